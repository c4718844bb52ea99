//! Where an image keeps Erlang, and which node its server is.
//!
//! Three layouts are known: Debian's packages (`/usr/bin/erl`), `ejabberd/ecs`
//! (`/home/ejabberd/bin/erl`) and `ghcr.io/processone/ejabberd` (an absolute
//! path in the `ERL=` line of its script).

/// Where an image keeps what a helper needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The `erl` program.
    pub erl: String,
    /// Directories of Erlang applications, for `ERL_LIBS`.
    pub libs: Vec<String>,
}

/// The running server, as another node addresses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// `name@host`.
    pub name: String,
    /// Whether it was started with `-name`, not `-sname`.
    pub long_names: bool,
    /// The cookie, where the command line has one; else a file in `home` has it.
    pub cookie: Option<String>,
    /// The home directory of the node.
    pub home: Option<String>,
    /// The Erlang installation that runs it.
    pub root: Option<String>,
    /// Who runs it, as a number.
    pub user: Option<String>,
}

/// Where `ejabberdctl` is looked for, most specific first.
pub const CTL_SCRIPTS: [&str; 5] = [
    "/home/ejabberd/bin/ejabberdctl",
    "/opt/ejabberd/bin/ejabberdctl",
    "/usr/sbin/ejabberdctl",
    "/usr/local/sbin/ejabberdctl",
    "/usr/local/bin/ejabberdctl",
];

/// The value that a line of a shell script gives to `name`, where that is a
/// literal absolute path. Takes `ERL="/x"`, `ERL=/x`, `: "${ERL:="/x"}"`.
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

/// Places where `erl` may be, best first: next to the server that runs, what
/// the image's script says, then the known ones.
#[must_use]
pub fn erl_candidates(script: Option<&str>, node: Option<&NodeAddress>) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    let named = [
        node.and_then(|n| n.root.as_ref()).map(|root| format!("{root}/bin/erl")),
        script.and_then(|s| literal_path(s, "ERL")),
    ];
    let known =
        ["/home/ejabberd/bin/erl", "/opt/ejabberd/bin/erl", "/usr/bin/erl", "/usr/local/bin/erl"];
    for place in named.into_iter().flatten().chain(known.map(str::to_owned)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The directories for `ERL_LIBS`: what the script says, then where releases
/// keep their applications. One that does not exist does no harm.
#[must_use]
pub fn libs_from_script(script: Option<&str>) -> Vec<String> {
    script
        .and_then(|s| literal_path(s, "ERL_LIBS"))
        .into_iter()
        .chain(["/home/ejabberd/lib", "/opt/ejabberd/lib"].map(str::to_owned))
        .collect()
}

/// Finds the server among `processes` (user, command line): the Erlang VM that
/// was started with `-s ejabberd` or as a release of it, and has a node name.
#[must_use]
pub fn find_node(processes: &[(String, String)]) -> Option<NodeAddress> {
    processes.iter().find_map(|(user, command)| {
        let words: Vec<&str> = command.split_whitespace().collect();
        let program = words.first()?;
        if !program.ends_with("beam.smp") || !command.contains("ejabberd") {
            return None;
        }
        let after = |flag: &str| {
            let at = words.iter().position(|word| *word == flag)?;
            words.get(at + 1).map(|word| (*word).to_owned())
        };
        let (name, long_names) = match after("-name") {
            Some(name) => (name, true),
            None => (after("-sname")?, false),
        };
        Some(NodeAddress {
            name,
            long_names,
            cookie: after("-setcookie"),
            home: after("-home"),
            root: after("-root"),
            user: Some(user.clone()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAM: &str = "/usr/lib/erlang/erts-17.1.1/bin/beam.smp -K true -P 250000 -- -root \
        /usr/lib/erlang -bindir /usr/lib/erlang/erts-17.1.1/bin -progname erl -- -home \
        /home/ejabberd -- -sname ejabberd@localhost -mnesia dir \"/home/ejabberd/database\" -s ejabberd";

    #[test]
    fn the_node_is_found_among_the_processes() {
        let processes = [
            ("995".to_owned(), "tini -- /usr/sbin/ejabberdctl foreground".to_owned()),
            ("995".to_owned(), BEAM.to_owned()),
        ];
        let node = find_node(&processes).unwrap();
        assert_eq!(node.name, "ejabberd@localhost");
        assert_eq!(node.home.as_deref(), Some("/home/ejabberd"));
        assert_eq!(node.root.as_deref(), Some("/usr/lib/erlang"));
        assert_eq!((node.user.as_deref(), node.long_names), (Some("995"), false));
        assert_eq!(find_node(&processes[..1]), None);
    }

    #[test]
    fn erl_is_looked_for_where_each_layout_has_it() {
        let debian = "x=1\nERL=\"/usr/bin/erl\"\nERL_LIBS='/usr/lib/x86_64-linux-gnu'\n";
        assert_eq!(erl_candidates(Some(debian), None).first().unwrap(), "/usr/bin/erl");
        assert_eq!(libs_from_script(Some(debian)).first().unwrap(), "/usr/lib/x86_64-linux-gnu");
        let ghcr = ": \"${ERL:=\"/opt/ejabberd-25.10/erts-15/bin/erl\"}\"\n";
        assert_eq!(
            erl_candidates(Some(ghcr), None).first().unwrap(),
            "/opt/ejabberd-25.10/erts-15/bin/erl"
        );
        let ecs = "ERL=\"$ROOTDIR/bin/erl\"\n";
        assert_eq!(erl_candidates(Some(ecs), None).first().unwrap(), "/home/ejabberd/bin/erl");
    }
}
