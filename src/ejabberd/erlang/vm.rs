//! The command lines of Erlang VMs: which VM is the server, how another node addresses that server,
//! and which installation the VM runs from.
//!
//! Only the command line of a running VM reliably contains these facts: start scripts compute most
//! of the facts from shell variables.

/// The address of the running server for another node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeAddress {
    /// `name@host`, or `name` if the VM adds the host itself.
    pub name: String,
    /// Whether the node was started with `-name`, not `-sname`.
    pub long_names: bool,
    /// The cookie; `None` if the cookie is not in the command line, but in a file in `home`.
    pub cookie: Option<String>,
    /// The home directory of the node (`-home`).
    pub home: Option<String>,
    /// The user that runs the VM, as a number.
    pub user: Option<String>,
    /// The root of the Erlang installation (`-root`).
    pub root: Option<String>,
    /// The directory of the VM's programs (`-bindir`).
    pub bindir: Option<String>,
    /// The boot file (`-boot`), without the suffix `.boot`; `None` if the command line names none.
    pub boot: Option<String>,
    /// The value of `$RELEASE_LIB` in boot files (`-boot_var`).
    pub release_lib: Option<String>,
    /// The directory of the database (`-mnesia dir`). The control script also makes this directory
    /// the working directory of the server (23.01 to 26.07).
    pub database: Option<String>,
    /// Flags, with their values, that another node needs to reach this node.
    pub distribution: Vec<String>,
}

/// A flag that Erlang ignores. The flag distinguishes the operator's VMs from the server.
pub(super) const MARK: [&str; 2] = ["-ejabberd_operator", "helper"];

/// Flags of the server, each with one value, that a second node needs to reach the server:
/// a fixed port without epmd, and a protocol other than plain TCP over IPv4.
const DISTRIBUTION_FLAGS: [&str; 4] =
    ["-erl_epmd_port", "-proto_dist", "-epmd_module", "-ssl_dist_optfile"];

/// The words of a VM's command line.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn new(argv: &'a [impl AsRef<str>]) -> Self {
        Self(argv.iter().map(AsRef::as_ref).collect())
    }

    fn after(&self, flag: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|word| *word == flag)?;
        self.0.get(at + 1).copied()
    }

    fn has(&self, pair: [&str; 2]) -> bool {
        self.0.windows(2).any(|words| words == pair)
    }

    /// The value of `-boot_var NAME VALUE`.
    fn boot_var(&self, name: &str) -> Option<&'a str> {
        self.0.windows(3).find_map(|words| match words {
            ["-boot_var", found, value] if *found == name => Some(*value),
            _ => None,
        })
    }

    /// The value of `-mnesia dir "PATH"`.
    fn database(&self) -> Option<&'a str> {
        self.0.windows(3).find_map(|words| match words {
            ["-mnesia", "dir", path] => Some(path.trim_matches('"')).filter(|p| p.starts_with('/')),
            _ => None,
        })
    }

    /// The name of the node, and whether it is a long name.
    fn node(&self) -> Option<(&'a str, bool)> {
        let named = self.after("-name").map(|name| (name, true));
        let named = named.or_else(|| self.after("-sname").map(|name| (name, false)));
        // A node with a dynamic name, such as the operator's node, has the name `undefined`.
        named.filter(|(name, _)| *name != "undefined")
    }

    fn is_vm(&self) -> bool {
        let program = self.0.first().and_then(|path| path.rsplit('/').next());
        program.is_some_and(|name| name == "beam" || name.starts_with("beam."))
    }

    /// Whether this VM is an ejabberd server, and not a VM that connects to a server.
    ///
    /// `ejabberdctl` starts servers with `-s ejabberd`, and its own short-lived VMs with
    /// `-s ejabberd_ctl` (23.01 to 26.07). A release may name the server only in its boot file.
    fn is_server(&self) -> bool {
        let helper = self.has(MARK)
            || self.has(["-s", "ejabberd_ctl"])
            || self.0.iter().any(|word| matches!(*word, "-remsh" | "-hidden"));
        if !self.is_vm() || self.node().is_none() || helper {
            return false;
        }
        let boots_release = || {
            let boot = self.after("-boot").and_then(|path| path.rsplit('/').next());
            boot.is_some_and(|name| name != "start_clean")
                && self.0.iter().any(|word| word.contains("ejabberd"))
        };
        self.has(["-s", "ejabberd"]) || boots_release()
    }
}

/// The address of the server that `user` started with `argv`; `None` if the process is no
/// ejabberd server.
#[must_use]
pub fn server_node(user: &str, argv: &[impl AsRef<str>]) -> Option<NodeAddress> {
    let words = Words::new(argv);
    if !words.is_server() {
        return None;
    }
    let (name, long_names) = words.node()?;
    let own = |flag: &str| words.after(flag).map(str::to_owned);
    let distribution = DISTRIBUTION_FLAGS
        .iter()
        .filter_map(|flag| words.after(flag).map(|value| [(*flag).to_owned(), value.to_owned()]));
    Some(NodeAddress {
        name: name.to_owned(),
        long_names,
        cookie: own("-setcookie"),
        home: own("-home"),
        user: Some(user.to_owned()),
        root: own("-root"),
        bindir: own("-bindir"),
        boot: own("-boot"),
        release_lib: words.boot_var("RELEASE_LIB").map(str::to_owned),
        database: words.database().map(str::to_owned),
        distribution: distribution.flatten().collect(),
    })
}

/// A process in the list of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedProcess {
    /// The user of the process, as a number.
    pub user: String,
    /// The command line, with blanks between the arguments.
    pub command: String,
}

impl ListedProcess {
    /// The address of the server; `None` if this process is no ejabberd server.
    #[must_use]
    pub fn server_node(&self) -> Option<NodeAddress> {
        let argv: Vec<&str> = self.command.split_whitespace().collect();
        server_node(&self.user, &argv)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "/usr/lib/erlang/erts-17.1.1/bin/beam.smp -K true -P 250000 -- -root \
        /usr/lib/erlang -bindir /usr/lib/erlang/erts-17.1.1/bin -progname erl -- -home \
        /home/ejabberd -- -sname ejabberd@localhost -mnesia dir \"/home/ejabberd/database\" -s ejabberd";

    const GHCR: &str = "/opt/ejabberd-25.10/erts-15.2/bin/beam.smp -K true -P 250000 -- -root \
        /opt/ejabberd-25.10 -bindir /opt/ejabberd-25.10/erts-15.2/bin -progname erl -- -home \
        /opt/ejabberd -- -name ejabberd@main.example -boot ../releases/25.10.0/start_clean -boot_var \
        RELEASE_LIB /opt/ejabberd-25.10/lib -erl_epmd_port 5210 -start_epmd false -setcookie s3cret \
        -mnesia dir \"/opt/ejabberd/database\" -s ejabberd -noshell";

    fn listed(command: &str) -> ListedProcess {
        ListedProcess { user: "995".to_owned(), command: command.to_owned() }
    }

    #[test]
    fn the_server_of_each_layout_is_recognised_with_its_address() {
        let node = listed(DEBIAN).server_node().unwrap();
        assert_eq!((node.name.as_str(), node.long_names), ("ejabberd@localhost", false));
        assert_eq!(node.home.as_deref(), Some("/home/ejabberd"));
        assert_eq!(node.bindir.as_deref(), Some("/usr/lib/erlang/erts-17.1.1/bin"));
        assert_eq!((node.user.as_deref(), node.boot), (Some("995"), None));
        assert_eq!(node.database.as_deref(), Some("/home/ejabberd/database"));

        let node = listed(GHCR).server_node().unwrap();
        assert_eq!((node.name.as_str(), node.long_names), ("ejabberd@main.example", true));
        assert_eq!(node.cookie.as_deref(), Some("s3cret"));
        assert_eq!(node.boot.as_deref(), Some("../releases/25.10.0/start_clean"));
        assert_eq!(node.release_lib.as_deref(), Some("/opt/ejabberd-25.10/lib"));
        assert_eq!(node.distribution, ["-erl_epmd_port", "5210"]);
    }

    #[test]
    fn a_release_that_starts_the_server_by_its_boot_file_is_recognised() {
        let release = "/srv/ejabberd/erts-15/bin/beam.smp -- -root /srv/ejabberd -- -boot \
            /srv/ejabberd/releases/1/start -sname ejabberd@localhost";
        assert!(listed(release).server_node().is_some());
    }

    #[test]
    fn a_vm_that_connects_to_the_server_is_not_the_server() {
        let beam = "/usr/lib/erlang/erts-17.1.1/bin/beam.smp -- -root /usr/lib/erlang -- ";
        for other in [
            "tini -- /usr/sbin/ejabberdctl foreground",
            "/bin/bash /usr/sbin/ejabberdctl foreground",
            "/usr/lib/erlang/erts-17.1.1/bin/epmd -daemon",
            &format!(
                "{beam}-sname ctl-1-ejabberd@localhost -hidden -s ejabberd_ctl -extra ejabberd@localhost status"
            ),
            &format!("{beam}-sname undefined -s ejabberd"),
            &format!("{beam}-ejabberd_operator helper -sname x@localhost -s ejabberd"),
            &format!("{beam}-sname debug@localhost -remsh ejabberd@localhost"),
            &format!("{beam}-boot start_clean -sname other@localhost -extra ejabberd"),
            &format!("{beam}-sname rabbit@localhost -s rabbit boot"),
        ] {
            assert_eq!(listed(other).server_node(), None, "{other}");
        }
    }
}
