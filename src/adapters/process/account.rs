//! The account that runs the server, and programs that run as that account.

use std::path::Path;
use std::{io, thread};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::{ServerSetup, refused};
use crate::engine::RuntimeError;

/// A user account of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: String,
}

/// The path of `setpriv` of `util-linux`, which starts a program as another user. Unlike the
/// standard library, `setpriv` sets the supplementary groups of the user. On Debian a program needs
/// the group `ssl-cert` to read certificates.
const SETPRIV: &str = "/usr/bin/setpriv";

impl Account {
    /// Returns the account of the server: the user in the control script, or the operator's user if
    /// the script names no user.
    pub(super) fn of_script(
        script: &str,
        program: &Path,
        passwd: &str,
    ) -> Result<Self, RuntimeError> {
        let own = rustix::process::geteuid().as_raw();
        let wanted = install_user(script);
        let account = match wanted {
            Some(name) => find(passwd, |account| account.name == name),
            None => find(passwd, |account| account.uid == own),
        };
        let operation = format!("run {}", program.display());
        let account = account.ok_or_else(|| {
            let who = wanted.map_or_else(|| format!("number {own}"), |name| format!("`{name}`"));
            refused(&operation, &format!("there is no user {who} in /etc/passwd"))
        })?;
        if own != 0 && own != account.uid {
            let cause =
                format!("only root and `{0}` may; run the operator as one of them", account.name);
            return Err(refused(&operation, &cause));
        }
        Ok(account)
    }

    /// Returns whether the programs of the server must run as a user other than the operator's
    /// user.
    fn is_another(&self) -> bool {
        rustix::process::geteuid().is_root() && self.uid != 0
    }
}

impl ServerSetup {
    /// Returns a command that runs as the server's user. The environment does not contain the
    /// operator's variables, because these variables may hold secrets. The program has a separate
    /// process group, so that a Ctrl-C for the operator does not end the program.
    pub(super) fn command(&self, program: &Path, args: &[String]) -> Command {
        let mut command = if self.account.is_another() && Path::new(SETPRIV).exists() {
            let mut command = Command::new(SETPRIV);
            let (uid, gid) = (self.account.uid.to_string(), self.account.gid.to_string());
            command.args(["--reuid", &uid, "--regid", &gid, "--init-groups", "--"]);
            command.arg(program);
            command
        } else {
            let mut command = Command::new(program);
            if self.account.is_another() {
                command.uid(self.account.uid).gid(self.account.gid);
            }
            command
        };
        // Erlang reads the working directory, and the server's user may have no access to the
        // working directory of the operator.
        command.args(args).current_dir("/").process_group(0);
        command.env_clear().envs(self.environment());
        command
    }
}

/// Starts a [`ServerSetup::command`]. The program and its children cannot gain rights through a
/// set-user-id file. The program inherits only the standard descriptors.
pub(super) fn start(mut command: Command) -> io::Result<Child> {
    let runtime = Handle::current();
    // The kernel stores `no_new_privs` for each thread, and a child inherits the setting from the
    // thread that starts the child. This thread ends after the start, so the setting affects no
    // other child.
    let start = move || {
        let _inside = runtime.enter();
        rustix::thread::set_no_new_privs(true)?;
        close_fds::set_fds_cloexec_threadsafe(3, &[]);
        command.spawn()
    };
    let starting = thread::Builder::new().name("start".to_owned()).spawn(start)?;
    starting.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts it failed")))
}

/// Returns the user in the script's `INSTALLUSER=` line.
fn install_user(script: &str) -> Option<&str> {
    let value = script.lines().find_map(|line| line.strip_prefix("INSTALLUSER="))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty() && !value.contains(['$', '{', '@'])).then_some(value)
}

fn find(passwd: &str, wanted: impl Fn(&Account) -> bool) -> Option<Account> {
    passwd.lines().filter_map(account).find(wanted)
}

/// Parses the account in a line of `/etc/passwd`.
fn account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Account { name, uid, gid, home: fields.nth(1)?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_runs_as_the_user_in_the_script() {
        assert_eq!(install_user("x=1\nINSTALLUSER=ejabberd\n"), Some("ejabberd"));
        assert_eq!(install_user("INSTALLUSER=\"xmpp\""), Some("xmpp"));
        assert_eq!(install_user("INSTALLUSER=\n"), None);
        assert_eq!(install_user("INSTALLUSER={{installuser}}\n"), None);
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\nejabberd:x:995:994::/var/lib/ejabberd:/bin/false\n";
        let found = find(passwd, |account| account.name == "ejabberd").unwrap();
        assert_eq!((found.uid, found.gid, found.home.as_str()), (995, 994, "/var/lib/ejabberd"));
    }
}
