//! Creates the messaging socket.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Gid, Mode};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;

use crate::adapters::host::files;

/// The group whose members may connect to the socket.
const GROUP: &str = "ejabberd-mcp";

/// The file with the groups of the host.
const GROUPS: &str = "/etc/group";

/// The maximum size of the file with the groups, in bytes.
const MAX_GROUPS_BYTES: usize = 1 << 20;

/// The mode of the socket: the owner and the group may connect.
const SOCKET_MODE: u32 = 0o660;

/// The mode of the directory of the socket, if [`bind`] creates the directory.
const DIRECTORY_MODE: u32 = 0o755;

/// The maximum number of connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Creates the messaging socket at `path`. The socket has mode 0660 and belongs to the group
/// `ejabberd-mcp` if `/etc/group` has this group. Creates the directory of the socket if the
/// directory does not exist. Replaces a socket that an ended operator left behind.
///
/// # Errors
/// The system's errors; [`ErrorKind::AddrInUse`] if another process listens at `path`, and
/// [`ErrorKind::AlreadyExists`] if the file at `path` is not a socket.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    create_directory(path)?;
    remove_stale(path)?;
    let socket = new_socket()?;
    // Linux gives the mode of the descriptor to the file. So no other account can connect before
    // the file has its group.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    let listener = open_to_group(path)
        .and_then(|()| Ok(rustix::net::listen(&socket, BACKLOG)?))
        .and_then(|()| UnixListener::from_std(socket.into()));
    if listener.is_err() {
        // Ignore the error, because the first error is the cause.
        let _ = fs::remove_file(path);
    }
    listener
}

/// Removes the socket at `path` if no process listens.
///
/// # Errors
/// The errors of [`bind`].
pub(super) fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    let shown = path.display();
    if !metadata.file_type().is_socket() {
        let why = format!("`{shown}` exists, and is not a socket; remove the file");
        return Err(io::Error::new(ErrorKind::AlreadyExists, why));
    }
    if has_listener(path)? {
        let why = format!("another process listens at `{shown}`; stop the other operator");
        return Err(io::Error::new(ErrorKind::AddrInUse, why));
    }
    fs::remove_file(path)
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// Returns whether a process listens at `path`. Does not wait for the process.
fn has_listener(path: &Path) -> io::Result<bool> {
    match rustix::net::connect(&new_socket()?, &SocketAddrUnix::new(path)?) {
        // `AGAIN` means that the queue of the other process is full.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn create_directory(path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty())
    else {
        return Ok(());
    };
    if directory.exists() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
    // The umask may have removed permissions that the MCP server needs.
    fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE))
}

/// Lets the owner and the group connect.
fn open_to_group(path: &Path) -> io::Result<()> {
    if let Some(group) = group(GROUP) {
        let chown = rustix::fs::chownat(CWD, path, None, Some(group), AtFlags::SYMLINK_NOFOLLOW);
        if let Err(error) = chown {
            tracing::warn!(
                "failed to give the messaging socket to the group `{GROUP}`: {error}; run the \
                 operator as root or as a member of the group"
            );
        }
    }
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))
}

/// Returns the id of a group in `/etc/group`. `None` if the file has no such group.
fn group(name: &str) -> Option<Gid> {
    let content = files::read(Path::new(GROUPS), MAX_GROUPS_BYTES)
        .inspect_err(|error| tracing::debug!(%error, "failed to read {GROUPS}"))
        .ok()?;
    group_in(&String::from_utf8_lossy(&content), name)
}

/// Returns the id of a group in the text of `/etc/group`: lines of `name:password:id:members`.
fn group_in(text: &str, name: &str) -> Option<Gid> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        let id = fields.nth(1)?.parse().ok()?;
        found.then(|| Gid::from_raw(id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_name() {
        let text = "root:x:0:\n# note\nbroken\nejabberd-mcp:x:998:mcp\nejabberd:x:999:\n";
        assert_eq!(group_in(text, GROUP), Some(Gid::from_raw(998)));
        assert_eq!(group_in(text, "x"), None);
        assert_eq!(group_in("ejabberd-mcp:x:many:", GROUP), None);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_other_files_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/messaging.sock");
        drop(bind(&path).unwrap());
        assert!(path.exists(), "the file remains, as after a kill");
        let listener = bind(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), SOCKET_MODE);
        assert_eq!(mode(path.parent().unwrap()), DIRECTORY_MODE);
        assert_eq!(bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listener);
        let file = directory.path().join("file");
        fs::write(&file, "kept").unwrap();
        assert_eq!(bind(&file).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(file).unwrap(), "kept");
    }
}
