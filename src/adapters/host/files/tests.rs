//! Tests of attacks on paths by an account that owns a directory in the path. The tests need root.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::PathBuf;
use std::process::Command;

use super::*;

/// A user id that no account of the host has.
const OTHER: u32 = 65_531;

/// Creates a directory of root. The subdirectory `theirs` belongs to another account.
fn scene() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let theirs = directory.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(directory.path().join("secret"), "ours").unwrap();
    fs::write(theirs.join("file"), "theirs").unwrap();
    for path in [&theirs, &theirs.join("file")] {
        chown(path, Some(OTHER), Some(OTHER)).unwrap();
    }
    (directory, theirs)
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

const OURS: Rights = Rights { owner: None, mode: 0o640 };

#[test]
fn a_file_of_another_account_is_read_but_its_links_are_not_followed() {
    let (directory, theirs) = scene();
    assert_eq!(*read(&theirs.join("file"), 100).unwrap(), b"theirs");
    let plant = |name: &str, target: &Path| {
        symlink(target, theirs.join(name)).unwrap();
        std::os::unix::fs::lchown(theirs.join(name), Some(OTHER), Some(OTHER)).unwrap();
    };
    plant("link", &directory.path().join("secret"));
    plant("up", Path::new("../secret"));
    plant("directory", directory.path());
    for name in ["link", "up", "directory/secret"] {
        assert_eq!(
            kind(read(&theirs.join(name), 100)),
            Some(ErrorKind::PermissionDenied),
            "{name}"
        );
        assert!(write_in_place(&theirs.join(name), b"evil").is_err(), "{name}");
    }
    // A link that root created in that directory is not followed either, because the owner of the
    // directory may have moved the link.
    symlink(directory.path().join("secret"), theirs.join("roots")).unwrap();
    assert!(read(&theirs.join("roots"), 100).is_err());
    // A second name of root's file.
    fs::hard_link(directory.path().join("secret"), theirs.join("hard")).unwrap();
    assert!(read(&theirs.join("hard"), 100).is_err());
    assert!(write_in_place(&theirs.join("hard"), b"evil").is_err());
    assert_eq!(fs::read(directory.path().join("secret")).unwrap(), b"ours");
    // A file of the other account can be written in place.
    write_in_place(&theirs.join("file"), b"new").unwrap();
    assert_eq!(fs::read(theirs.join("file")).unwrap(), b"new");
}

#[test]
fn no_file_is_created_where_other_accounts_may_write() {
    let (directory, theirs) = scene();
    assert_eq!(kind(replace(&theirs.join("file"), b"x", OURS)), Some(ErrorKind::PermissionDenied));
    fs::create_dir(theirs.join("ours")).unwrap();
    let below = theirs.join("ours/file");
    assert_eq!(kind(replace(&below, b"x", OURS)), Some(ErrorKind::PermissionDenied));
    for mode in [0o775, 0o757, 0o1777] {
        let open = directory.path().join(format!("open{mode:o}"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(mode)).unwrap();
        let written = replace(&open.join("file"), b"x", OURS);
        assert_eq!(kind(written), Some(ErrorKind::PermissionDenied), "{mode:o}");
        assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
    }
    // A directory of root is trusted, even if its parent directory is sticky.
    let nested = directory.path().join("open1777/ours");
    fs::create_dir(&nested).unwrap();
    replace(&nested.join("file"), b"x", OURS).unwrap();
}

#[test]
fn a_replaced_file_has_no_set_user_id_bit_and_no_draft_remains() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o4755)).unwrap();
    replace(&path, b"new", Rights { owner: Some((OTHER, OTHER)), mode: 0o4640 }).unwrap();
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o640, OTHER));
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    fs::create_dir(directory.path().join("directory")).unwrap();
    assert!(replace(&directory.path().join("directory"), b"x", OURS).is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn links_of_root_are_followed_to_read_but_not_to_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    // The links are as in a secret that Kubernetes mounts, and as in the certificates of certbot.
    fs::create_dir(path("..2026")).unwrap();
    fs::write(path("..2026/tls.key"), "key").unwrap();
    symlink("..2026", path("..data")).unwrap();
    symlink("..data/tls.key", path("tls.key")).unwrap();
    assert_eq!(*read(&path("tls.key"), 100).unwrap(), b"key");
    symlink(path("tls.key"), path("absolute")).unwrap();
    assert_eq!(*read(&path("absolute"), 100).unwrap(), b"key");
    symlink("loop", path("loop")).unwrap();
    assert!(read(&path("loop"), 100).is_err());
    // The operator does not write through a link, and does not replace a link.
    assert_eq!(kind(replace(&path("tls.key"), b"new", OURS)), Some(ErrorKind::InvalidInput));
    assert_eq!(kind(write_in_place(&path("tls.key"), b"n")), Some(ErrorKind::InvalidInput));
    assert_eq!(fs::read(path("..2026/tls.key")).unwrap(), b"key");
    assert!(path("tls.key").is_symlink());
}

#[test]
fn pipes_devices_and_sockets_are_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let made = Command::new("mkfifo").arg(path("fifo")).status().unwrap();
    // The same device numbers as `/dev/null`; the test does not touch `/dev/null` itself.
    let device = Command::new("mknod").arg(path("null")).args(["c", "1", "3"]).status().unwrap();
    assert!(made.success() && device.success());
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    for name in ["fifo", "null", "socket", "."] {
        assert_eq!(kind(read(&path(name), 100)), Some(ErrorKind::InvalidInput), "{name}");
        assert_eq!(kind(write_in_place(&path(name), b"x")), Some(ErrorKind::InvalidInput));
    }
    assert_eq!(kind(read(&path("nowhere"), 100)), Some(ErrorKind::NotFound));
    fs::write(path("large"), "1234").unwrap();
    assert_eq!(kind(read(&path("large"), 3)), Some(ErrorKind::FileTooLarge));
    assert_eq!(*read(Path::new("/proc/self/comm"), 100).unwrap().last().unwrap(), b'\n');
}
