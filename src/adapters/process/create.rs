//! Creates the directory of a server.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use super::drift::system_service;
use super::files::Owner;
use super::layout::{NODE_FILE, PARTS, config_dir};
use super::{MARK, ProcessRuntime, ServerSetup, failed, files, refused};
use crate::ejabberd::erlang::CommandLine;
use crate::engine::RuntimeError;

/// The package's configuration file, which is the initial configuration of a new directory.
const INSTALLED_CONFIG: &str = "/etc/ejabberd/ejabberd.yml";

/// The content of the resolver file of Erlang. Every program of ejabberd reads this file at its
/// start, and prints an error if the file is missing.
const INETRC: &str = "{lookup,[\"file\",\"native\"]}.\n\
    {host,{127,0,0,1}, [\"localhost\",\"hostalias\"]}.\n\
    {file, resolv, \"/etc/resolv.conf\"}.\n";

/// A script for administrators: `ejabberdctl` for the server in this directory. The operator does
/// not use the script. Debian's script alone would not find the cookie, because it searches the
/// cookie in the home directory from `/etc/passwd`.
const SCRIPT: &str = "#!/bin/sh
# ejabberdctl for the ejabberd in this directory.
here=$(cd \"$(dirname \"$0\")\" && pwd) || exit 1
if [ \"$(id -u)\" = 0 ]; then
  exec setpriv --reuid USER --regid GROUP --init-groups -- \"$here/ejabberdctl\" \"$@\"
fi
HOME=$here/home
export HOME
unset CONFIG_DIR SPOOL_DIR LOGS_DIR EJABBERD_CONFIG_PATH EJABBERDCTL_CONFIG_PATH
exec PROGRAM --config-dir \"$here/conf\" --ctl-config \"$here/conf/ejabberdctl.cfg\" \\
  --spool \"$here/database\" --logs \"$here/logs\" --node \"$(cat \"$here/database/node\")\" \"$@\"
";

/// The name of [`SCRIPT`] in the directory.
const SCRIPT_FILE: &str = "ejabberdctl";

/// The time limit of the access check of a directory.
const REACH_DEADLINE: Duration = Duration::from_secs(10);

impl ProcessRuntime {
    pub(super) async fn create_directory(&self) -> Result<(), RuntimeError> {
        let setup = self.setup()?;
        // Without `spec.server.process.directory`, the server uses the directories that the
        // ejabberd package created.
        let Some(directory) = setup.directory.clone() else { return Ok(()) };
        setup.refuse_strange_paths()?;
        refuse_foreign(&directory)?;
        if let Some(service) = system_service().await {
            tracing::warn!(
                "{service} runs another ejabberd on this host, which may have the same ports; \
                 `systemctl disable --now ejabberd` ends it"
            );
        }
        let make = || -> io::Result<()> {
            if let Some(parent) = directory.parent() {
                fs::create_dir_all(parent)?;
            }
            if !directory.exists() {
                fs::DirBuilder::new().mode(0o700).create(&directory)?;
                files::directory(&directory, setup.operator(0o750))?;
            }
            for part in PARTS {
                let owner =
                    if part == "conf" { setup.operator(0o750) } else { setup.runner(0o750) };
                files::directory(&directory.join(part), owner)?;
            }
            setup.furnish(&directory)
        };
        make().map_err(|e| failed("create", &directory, &e))?;
        self.refuse_out_of_reach(&setup, &directory).await?;
        let mark =
            b"Created by ejabberd-operator. Without this file, it creates the server again.\n";
        files::new(&directory.join(MARK), mark, setup.operator(0o640))
            .map_err(|e| failed("create", &directory.join(MARK), &e))
    }

    /// Fails if the server's user cannot enter the directory, for example because other users have
    /// no access to a parent directory.
    async fn refuse_out_of_reach(
        &self,
        setup: &ServerSetup,
        directory: &Path,
    ) -> Result<(), RuntimeError> {
        let database = directory.join("database").to_string_lossy().into_owned();
        let argv = ["test", "-w", &database].map(str::to_owned).into();
        let ask = CommandLine { argv, env: Vec::new(), user: None };
        match self.run(setup, ask, REACH_DEADLINE).await?.code {
            Some(0) => Ok(()),
            _ => {
                let cause = format!(
                    "the user `{}` cannot enter it; put it below a directory that is open to all, \
                     such as /var/lib",
                    setup.account.name
                );
                Err(refused(&format!("use {}", directory.display()), &cause))
            }
        }
    }
}

/// Fails if the directory contains files that do not belong to a server.
fn refuse_foreign(directory: &Path) -> Result<(), RuntimeError> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|e| failed("read", directory, &e))?,
    };
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    // The root of a separate file system has a `lost+found`.
    let known = |name: &str| PARTS.contains(&name) || [SCRIPT_FILE, "lost+found"].contains(&name);
    match names.find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => {
            let cause = format!(
                "there is already something else in it ({name}); \
                 spec.server.process.directory must be a separate directory"
            );
            Err(refused(&format!("use {}", directory.display()), &cause))
        }
    }
}

impl ServerSetup {
    /// Returns the owner and mode of files that only the operator changes. If the operator runs as
    /// root, the server can only read these files, as in Debian's `/etc/ejabberd`. A compromised
    /// server then cannot change the script and the settings of the server's next start, and cannot
    /// replace a file with a link that makes root write to another file.
    pub(super) fn operator(&self, mode: u32) -> Owner {
        let uid = if files::is_root() { 0 } else { self.account.uid };
        Owner { uid, gid: self.account.gid, mode }
    }

    /// Returns the owner and mode of files that the server changes.
    fn runner(&self, mode: u32) -> Owner {
        Owner { uid: self.account.uid, gid: self.account.gid, mode }
    }

    /// Creates the missing files of the server.
    fn furnish(&self, directory: &Path) -> io::Result<()> {
        let conf = config_dir(Some(directory));
        let node = self.node.as_deref().unwrap_or_default();
        let cookie = files::unpredictable()?;
        let installed = files::read(Path::new(INSTALLED_CONFIG)).ok().flatten();
        let script = SCRIPT
            .replace("USER", &self.account.name)
            .replace("GROUP", &self.account.gid.to_string())
            .replace("PROGRAM", &self.program.to_string_lossy());
        let furniture = [
            (directory.join(SCRIPT_FILE), Some(script.as_bytes()), self.operator(0o750)),
            (conf.join("inetrc"), Some(INETRC.as_bytes()), self.operator(0o640)),
            (conf.join("ejabberd.yml"), installed.as_deref(), self.operator(0o640)),
            (directory.join("database").join(NODE_FILE), Some(node.as_bytes()), self.runner(0o640)),
            // Create the cookie here. Otherwise Erlang creates a cookie from random numbers that an
            // attacker can guess.
            (directory.join("home/.erlang.cookie"), Some(cookie.as_bytes()), self.runner(0o400)),
        ];
        for (path, content, owner) in furniture {
            if let (Some(content), Err(_)) = (content, fs::symlink_metadata(&path)) {
                files::new(&path, content, owner)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_other_content_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        refuse_foreign(&directory.path().join("none")).unwrap();
        refuse_foreign(directory.path()).unwrap();
        fs::create_dir(directory.path().join("conf")).unwrap();
        refuse_foreign(directory.path()).unwrap();
        fs::write(directory.path().join("thesis.tex"), "").unwrap();
        let error = refuse_foreign(directory.path()).unwrap_err();
        assert!(error.to_string().contains("thesis.tex"), "{error}");
    }
}
