//! The directories and the node name of the server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::ServerSetup;

/// epmd and the Erlang distribution listen on every address by default. `erl` itself reads both
/// variables, so the control script cannot override them.
const LOOPBACK_ONLY: [(&str, &str); 2] = [
    ("ERL_EPMD_ADDRESS", "127.0.0.1"),
    ("ERL_ZFLAGS", "-kernel inet_dist_use_interface {127,0,0,1}"),
];

/// The variables of the operator's environment that are meant for the server: macros of its
/// configuration, and the time zone of its log.
const PASSED_ON: [&str; 2] = ["EJABBERD_MACRO_", "TZ"];

/// The file beside the database with the name of the node that the database belongs to. The name
/// stays the same when the directory is moved.
pub(super) const NODE_FILE: &str = "node";

/// The directories of a server. The operator does not use the rest of the directory.
pub(super) const PARTS: [&str; 4] = ["conf", "database", "logs", "home"];

/// The paths of the server's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The main configuration file. The other configuration files are beside it.
    pub(super) config: PathBuf,
    /// The directory of the database.
    pub(super) spool: PathBuf,
    /// The directory of the logs.
    pub(super) logs: PathBuf,
}

impl Layout {
    /// The layout that the control script uses. `settings` is the text of `ejabberdctl.cfg`, which
    /// overrides the script's options.
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

/// The directory with the settings of the control script.
pub(super) fn config_dir(directory: Option<&Path>) -> PathBuf {
    directory.map_or_else(|| PathBuf::from("/etc/ejabberd"), |directory| directory.join("conf"))
}

/// The absolute path of the variable `name` in `ejabberdctl.cfg`.
fn setting(settings: &str, name: &str) -> Option<PathBuf> {
    let lines = settings.lines().rev();
    let mut values = lines.filter_map(|line| {
        let line = line.trim().trim_start_matches("export ");
        line.strip_prefix(name)?.strip_prefix('=')
    });
    let value = values.next()?.trim_matches(['"', '\'']);
    (value.starts_with('/') && !value.contains(['$', '`', ' '])).then(|| PathBuf::from(value))
}

/// The node name for a directory: unique on this host, and always the same.
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

/// Whether the control script can handle a path: the script does not quote some of its variables.
pub(super) fn is_plain(path: &Path) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,=~".contains(c);
    path.to_str().is_some_and(|path| path.chars().all(allowed))
}

impl ServerSetup {
    /// The options that select this server for the control script. Debian's script of 23.01, 24.12
    /// and 26.07 has all of these options.
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

    /// The home directory of the server, which contains its cookie.
    pub(super) fn home(&self) -> PathBuf {
        let installed = || PathBuf::from(&self.account.home);
        self.directory.as_ref().map_or_else(installed, |directory| directory.join("home"))
    }

    /// The environment of the server and of programs beside it.
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
    fn a_directory_always_has_the_same_node_name_and_other_directories_have_others() {
        let (one, two) = (Path::new("/srv/one"), Path::new("/srv/two"));
        assert_eq!(node_name(one, None), node_name(one, None));
        assert_ne!(node_name(one, None), node_name(two, None));
        assert_eq!(node_name(one, Some("old@localhost\n")), "old@localhost");
        assert_eq!(node_name(one, Some("a b@c")), node_name(one, None));
        assert!(is_plain(one) && !is_plain(Path::new("/a b")) && !is_plain(Path::new("/$x")));
    }
}
