//! Finds the paths in an Erlang installation that are needed to start a second VM.
//!
//! Three layouts are known: Debian's packages (root `/usr/lib/erlang`, applications of ejabberd
//! elsewhere), the release of `ejabberd/ecs` (root `/home/ejabberd`, everything in `bin`), and the
//! release of `ghcr.io/processone/ejabberd` (root `/opt/ejabberd-VERSION`, programs in
//! `erts-X/bin`, boot files in `releases/V`). No layout needs a shell or a tool of the image: the
//! operator starts `erlexec`, the program that every `erl` script calls at its end, directly.

use super::vm::NodeAddress;

/// How to start another VM of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The program that starts the VM.
    pub launcher: Launcher,
    /// The boot file that starts only Erlang, without the suffix `.boot`. Without a boot file, the
    /// `erl` of a release starts a second server.
    pub boot: String,
    /// The value of `$RELEASE_LIB` in the boot files of a release. Without the value, the boot
    /// files fail with `cannot expand $RELEASE_LIB in bootfile`.
    pub release_lib: Option<String>,
    /// Directories of Erlang applications outside of the installation.
    pub libs: Vec<String>,
}

/// The program that starts an Erlang VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launcher {
    /// `erlexec` in `bindir`, which gets its paths from variables.
    Erlexec {
        /// The root of the installation.
        root: String,
        /// The directory of the VM's programs.
        bindir: String,
    },
    /// An `erl` script, if the paths of `erlexec` are unknown.
    Erl(String),
}

impl Launcher {
    /// The path of the program.
    #[must_use]
    pub fn program(&self) -> String {
        match self {
            Self::Erlexec { bindir, .. } => format!("{bindir}/erlexec"),
            Self::Erl(path) => path.clone(),
        }
    }

    /// The root of the installation; `None` if the root is unknown.
    #[must_use]
    pub fn root(&self) -> Option<&str> {
        match self {
            Self::Erlexec { root, .. } => Some(root),
            Self::Erl(_) => None,
        }
    }

    /// The variables that `erlexec` needs, as each `erl` script sets them.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        match self {
            Self::Erlexec { root, bindir } => [
                ("ROOTDIR", root.as_str()),
                ("BINDIR", bindir.as_str()),
                ("EMU", "beam"),
                ("PROGNAME", "erl"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            Self::Erl(_) => Vec::new(),
        }
    }

    /// The launcher in the installation of a running VM; `None` if the directory of its programs is
    /// unknown. Use this launcher first: an `erl` at another path can have another version.
    #[must_use]
    pub fn of_vm(node: &NodeAddress) -> Option<Self> {
        let bindir = node.bindir.clone()?;
        let root = node.root.clone().unwrap_or_else(|| root_of(&bindir).to_owned());
        Some(Self::Erlexec { root, bindir })
    }
}

/// The root of the installation whose programs are in `bindir`.
fn root_of(bindir: &str) -> &str {
    let above = bindir.strip_suffix("/bin").unwrap_or(bindir);
    match above.rsplit_once('/') {
        Some((root, last)) if last.starts_with("erts-") => root,
        _ => above,
    }
}

/// The known paths of `ejabberdctl`, most specific first.
pub const CTL_SCRIPTS: [&str; 5] = [
    "/home/ejabberd/bin/ejabberdctl",
    "/opt/ejabberd/bin/ejabberdctl",
    "/usr/sbin/ejabberdctl",
    "/usr/local/sbin/ejabberdctl",
    "/usr/local/bin/ejabberdctl",
];

/// The known paths of `erl`, if no script names a path.
const KNOWN_ERL: [&str; 4] =
    ["/home/ejabberd/bin/erl", "/opt/ejabberd/bin/erl", "/usr/bin/erl", "/usr/local/bin/erl"];

/// The control script of ejabberd, as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlScript {
    /// The path.
    pub path: String,
    /// The text.
    pub text: String,
}

impl ControlScript {
    /// The path of the script that this script calls with `exec`; `None` if this script is not a
    /// wrapper.
    #[must_use]
    pub fn wrapped(&self) -> Option<&str> {
        self.text.lines().rev().find_map(|line| {
            let path = line.trim().strip_prefix("exec ")?.split_whitespace().next()?;
            let path = path.trim_matches(['"', '\'']);
            (path.starts_with('/') && path.ends_with("/ejabberdctl") && path != self.path)
                .then_some(path)
        })
    }

    /// The macros of the configuration that a wrapper sets. A program that starts without the
    /// wrapper does not get these macros. Several names can follow one `export`.
    pub fn exported_macros(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines();
        let exports = lines.filter_map(|line| line.trim().strip_prefix("export "));
        exports.flat_map(str::split_whitespace).filter_map(|word| {
            let name = word.split('=').next()?;
            name.starts_with("EJABBERD_MACRO_").then_some(name)
        })
    }

    /// The directory of the database; `None` if the script does not contain the directory
    /// literally.
    #[must_use]
    pub fn spool_directory(&self) -> Option<String> {
        literal_path(&self.text, "SPOOL_DIR")
    }

    /// The programs to try to start a second VM beside the server of this script, in order of
    /// preference. The caller checks which of the programs exist.
    #[must_use]
    pub fn launchers(&self) -> Vec<Launcher> {
        let mut found = Vec::new();
        if let Some(root) = self.path.strip_suffix("/bin/ejabberdctl") {
            let erts = self.text.lines().find_map(|line| line.strip_prefix("ERTS_VSN="));
            let erts = erts.map(|value| value.trim().trim_matches('"'));
            let erts = erts.filter(|value| value.starts_with("erts-") && !value.contains('/'));
            let bindirs = erts.map(|erts| format!("{root}/{erts}/bin"));
            for bindir in bindirs.into_iter().chain([format!("{root}/bin")]) {
                found.push(Launcher::Erlexec { root: root.to_owned(), bindir });
            }
        }
        found.extend(literal_path(&self.text, "ERL").map(Launcher::Erl));
        found
    }

    /// The boot file that the script names; `None` if the script names no boot file.
    #[must_use]
    pub fn boot(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("-boot ")?;
        rest.split_whitespace().next()
    }

    /// The directories for `ERL_LIBS` that the script names.
    #[must_use]
    pub fn libs(&self) -> Vec<String> {
        literal_path(&self.text, "ERL_LIBS").into_iter().collect()
    }
}

/// The programs to try to start a second VM, if no script names a program.
#[must_use]
pub fn known_launchers() -> Vec<Launcher> {
    KNOWN_ERL.map(|path| Launcher::Erl(path.to_owned())).into()
}

/// The value that a line of a shell script assigns to `name`, if the value is a literal absolute
/// path. Accepts `ERL="/x"`, `ERL=/x`, `: "${ERL:="/x"}"`.
fn literal_path(script: &str, name: &str) -> Option<String> {
    script.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("export ");
        let value = line
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
            .or_else(|| line.split_once(&format!("${{{name}:=")).map(|(_, rest)| rest))?;
        let value = value.trim_matches(|c| "\"'}".contains(c));
        (value.starts_with('/') && !value.contains(['$', '`', ' '])).then(|| value.to_owned())
    })
}

/// The possible paths of `start_clean` in the installation at `root`, best first, without
/// `.boot`. `named` is the boot file of the server itself, `start_data` the text of
/// `{root}/releases/start_erl.data`.
///
/// `erl` searches a relative boot file in its working directory and then in `{root}/bin`
/// (`init:get_boot/2` of OTP 25 to 29).
#[must_use]
pub fn boot_candidates(root: &str, named: Option<&str>, start_data: Option<&str>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    if let Some(named) = named {
        let absolute =
            if named.starts_with('/') { named.to_owned() } else { format!("{root}/bin/{named}") };
        // A release has `start_clean` in the directory of `start`.
        if let Some((directory, _)) = absolute.rsplit_once('/') {
            found.push(format!("{directory}/start_clean"));
        }
    }
    found.push(format!("{root}/bin/start_clean"));
    // `start_erl.data` contains the version of ERTS and the version of the release.
    if let Some(release) = start_data.and_then(|text| text.split_whitespace().nth(1))
        && !release.contains('/')
    {
        found.push(format!("{root}/releases/{release}/start_clean"));
    }
    found
}

/// The value of `$RELEASE_LIB`. Uses `{root}/lib` for a relative value: a relative path depends on
/// the server's working directory, and that directory is unknown here. Every known release has
/// `lib`.
#[must_use]
pub fn release_lib(root: &str, node: Option<&NodeAddress>) -> String {
    let named = node.and_then(|node| node.release_lib.clone());
    named.filter(|path| path.starts_with('/')).unwrap_or_else(|| format!("{root}/lib"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(path: &str, text: &str) -> ControlScript {
        ControlScript { path: path.to_owned(), text: text.to_owned() }
    }

    fn programs(script: &ControlScript) -> Vec<String> {
        script.launchers().iter().map(Launcher::program).collect()
    }

    #[test]
    fn each_layouts_script_names_the_erlang_programs() {
        let debian = script(
            "/usr/sbin/ejabberdctl",
            "x=1\nERL=\"/usr/bin/erl\"\nERL_LIBS='/usr/lib/x86_64-linux-gnu'\n",
        );
        assert_eq!(programs(&debian), ["/usr/bin/erl"]);
        assert_eq!(debian.libs(), ["/usr/lib/x86_64-linux-gnu"]);

        let ecs = script("/home/ejabberd/bin/ejabberdctl", "ERL=\"$ROOT_DIR\"/bin/erl\n");
        assert_eq!(programs(&ecs), ["/home/ejabberd/bin/erlexec"]);

        let wrapper = script(
            "/usr/local/bin/ejabberdctl",
            "#!/bin/sh\nexport EJABBERD_MACRO_ADMIN=\"$U@$H\"\nexport CONFIG_DIR=/opt/ejabberd/conf\n\
             exec /opt/ejabberd-25.10/bin/ejabberdctl \"$@\"\n",
        );
        assert_eq!(wrapper.wrapped(), Some("/opt/ejabberd-25.10/bin/ejabberdctl"));
        assert_eq!(wrapper.exported_macros().collect::<Vec<_>>(), ["EJABBERD_MACRO_ADMIN"]);
        let ghcr = script(
            "/opt/ejabberd-25.10/bin/ejabberdctl",
            "ERTS_VSN=\"erts-15.2\"\nERL=\"$SCRIPT_DIR/../$ERTS_VSN/bin/erl\"\n\
             ERLANG_OPTS=\"-boot ../releases/25.10.0/start_clean -boot_var RELEASE_LIB ../lib +K $POLL\"\n",
        );
        assert_eq!(ghcr.wrapped(), None);
        assert_eq!(programs(&ghcr)[0], "/opt/ejabberd-25.10/erts-15.2/bin/erlexec");
        assert_eq!(ghcr.boot(), Some("../releases/25.10.0/start_clean"));
    }

    #[test]
    fn start_clean_is_searched_beside_the_server_boot_file_and_in_known_paths() {
        let root = "/opt/ejabberd-25.10";
        let found = boot_candidates(root, Some("../releases/25.10.0/start"), Some("15.2 25.10.0"));
        assert_eq!(
            found,
            [
                "/opt/ejabberd-25.10/bin/../releases/25.10.0/start_clean",
                "/opt/ejabberd-25.10/bin/start_clean",
                "/opt/ejabberd-25.10/releases/25.10.0/start_clean",
            ]
        );
        assert_eq!(
            boot_candidates("/r", Some("/a/start"), None),
            ["/a/start_clean", "/r/bin/start_clean"]
        );
        assert_eq!(boot_candidates("/r", None, Some("1 ../../etc")), ["/r/bin/start_clean"]);
    }

    #[test]
    fn the_root_is_derived_from_bindir_if_the_vm_reports_none() {
        let node = |bindir: &str| NodeAddress {
            bindir: Some(bindir.to_owned()),
            ..NodeAddress::default()
        };
        let root = |bindir| Launcher::of_vm(&node(bindir)).unwrap().root().unwrap().to_owned();
        assert_eq!(root("/opt/x/erts-15.2/bin"), "/opt/x");
        assert_eq!(root("/home/ejabberd/bin"), "/home/ejabberd");
    }
}
