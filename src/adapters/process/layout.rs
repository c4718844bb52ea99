//! The directories and the node name of the server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::ServerSetup;

/// The variables that limit epmd and the Erlang distribution to loopback. By default both listen on
/// every address. `erl` itself reads both variables, so the control script cannot override them.
const LOOPBACK_ONLY: [(&str, &str); 2] = [
    ("ERL_EPMD_ADDRESS", "127.0.0.1"),
    ("ERL_ZFLAGS", "-kernel inet_dist_use_interface {127,0,0,1}"),
];

/// The prefixes of the variables that the operator passes on to the server: macros of the
/// configuration, and the time zone of the log.
const PASSED_ON: [&str; 2] = ["EJABBERD_MACRO_", "TZ"];

/// The file beside the database with the name of the node that created the database. The node keeps
/// this name after the directory is moved.
pub(super) const NODE_FILE: &str = "node";

/// The subdirectories of a server's directory. The operator uses no other subdirectory.
pub(super) const PARTS: [&str; 4] = ["conf", "database", "logs", "home"];

/// The paths of the server's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The main configuration file. The other configuration files are in the same directory.
    pub(super) config: PathBuf,
    /// The directory of the database.
    pub(super) spool: PathBuf,
    /// The directory of the logs.
    pub(super) logs: PathBuf,
}

impl Layout {
    /// Returns the layout that the control script uses. `settings` is the content of
    /// `ejabberdctl.cfg`, which overrides the script's options.
    pub(super) fn new(directory: Option<&Path>, settings: &str) -> Self {
        let part_of = |part: &str, installed: &str| {
            directory.map_or_else(|| PathBuf::from(installed), |directory| directory.join(part))
        };
        let set = |name: &str, otherwise: PathBuf| setting(settings, name).unwrap_or(otherwise);
        Self {
            config: set("EJABBERD_CONFIG_PATH", config_dir(directory).join("ejabberd.yml")),
            spool: set("SPOOL_DIR", part_of("database", "/var/lib/ejabberd")),
            logs: set("LOGS_DIR", part_of("logs", "/var/log/ejabberd")),
        }
    }
}

/// Returns the directory with `ejabberdctl.cfg`.
pub(super) fn config_dir(directory: Option<&Path>) -> PathBuf {
    directory.map_or_else(|| PathBuf::from("/etc/ejabberd"), |directory| directory.join("conf"))
}

/// Returns the absolute path in the variable `name` of `ejabberdctl.cfg`. `None` if the variable is
/// not set.
fn setting(settings: &str, name: &str) -> Option<PathBuf> {
    let lines = settings.lines().rev();
    let mut values = lines.filter_map(|line| {
        let line = line.trim().trim_start_matches("export ");
        line.strip_prefix(name)?.strip_prefix('=')
    });
    let value = values.next()?.trim_matches(['"', '\'']);
    (value.starts_with('/') && !value.contains(['$', '`', ' '])).then(|| PathBuf::from(value))
}

/// Returns the node name for a directory: the name in `written` if that name is valid, otherwise a
/// name with a hash of the path. The name is unique on this host.
pub(super) fn node_name(directory: &Path, written: Option<&str>) -> String {
    let valid = |name: &&str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
        name.len() < 200 && name.contains('@') && name.chars().all(allowed)
    };
    if let Some(name) = written.map(str::trim).filter(valid) {
        return name.to_owned();
    }
    let hash = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    let hash = hash.first_chunk().map_or(0, |first| u32::from_be_bytes(*first));
    format!("ejabberd-{hash:08x}@localhost")
}

/// Returns whether the control script can use a path. The script does not quote some of its
/// variables, so some characters are not possible.
pub(super) fn is_plain(path: &Path) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,=~".contains(c);
    path.to_str().is_some_and(|path| path.chars().all(allowed))
}

impl ServerSetup {
    /// Returns the options that select this server for the control script. Debian's scripts of
    /// ejabberd 23.01, 24.12 and 26.07 have all of these options.
    pub(super) fn options(&self) -> Vec<String> {
        let (Some(directory), Some(node)) = (&self.directory, &self.node) else {
            return Vec::new();
        };
        let conf = config_dir(Some(directory));
        let path = |path: &Path| path.to_string_lossy().into_owned();
        [
            ["--config-dir".to_owned(), path(&conf)],
            ["--ctl-config".to_owned(), path(&conf.join("ejabberdctl.cfg"))],
            ["--spool".to_owned(), path(&self.layout.spool)],
            ["--logs".to_owned(), path(&self.layout.logs)],
            ["--node".to_owned(), node.clone()],
        ]
        .concat()
    }

    /// Returns the home directory of the server, which contains the cookie.
    pub(super) fn home(&self) -> PathBuf {
        let installed = || PathBuf::from(&self.account.home);
        self.directory.as_ref().map_or_else(installed, |directory| directory.join("home"))
    }

    /// Returns the environment of the server and of the programs next to the server.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        let name = self.account.name.as_str();
        let fixed = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("LC_ALL", "C.UTF-8"),
            ("USER", name),
            ("LOGNAME", name),
            ("SHELL", "/bin/sh"),
        ];
        let fixed = fixed.into_iter().chain(LOOPBACK_ONLY);
        let passed = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            PASSED_ON
                .iter()
                .any(|ours| name == *ours || (ours.ends_with('_') && name.starts_with(ours)))
        });
        fixed
            .map(|(name, value)| (name.into(), value.into()))
            .chain([("HOME".into(), self.home().into())])
            .chain(passed)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_paths_are_in_the_directory_unless_ejabberdctl_cfg_sets_others() {
        let directory = Path::new("/srv/xmpp");
        let layout = Layout::new(Some(directory), "");
        assert_eq!(layout.config, Path::new("/srv/xmpp/conf/ejabberd.yml"));
        assert_eq!(layout.spool, Path::new("/srv/xmpp/database"));
        let layout = Layout::new(None, "#SPOOL_DIR=/a\nSPOOL_DIR=/b\nLOGS_DIR=\"/c\"\n");
        assert_eq!(layout.config, Path::new("/etc/ejabberd/ejabberd.yml"));
        assert_eq!((layout.spool, layout.logs), ("/b".into(), "/c".into()));
        let layout = Layout::new(None, "LOGS_DIR=$HOME/logs\n");
        assert_eq!(layout.logs, Path::new("/var/log/ejabberd"));
    }

    #[test]
    fn each_directory_has_a_fixed_and_unique_node_name() {
        let (one, two) = (Path::new("/srv/one"), Path::new("/srv/two"));
        assert_eq!(node_name(one, None), node_name(one, None));
        assert_ne!(node_name(one, None), node_name(two, None));
        assert_eq!(node_name(one, Some("old@localhost\n")), "old@localhost");
        assert_eq!(node_name(one, Some("a b@c")), node_name(one, None));
        assert!(is_plain(one) && !is_plain(Path::new("/a b")) && !is_plain(Path::new("/$x")));
    }
}
