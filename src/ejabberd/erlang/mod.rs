//! The command lines of the Erlang programs beside the server.
//!
//! This module has no side effects: it computes each command line from the paths. There are two
//! programs, both fixed texts without insertions: the program of the control channel
//! (`session.erl`, with the functions for messaging in `messaging.erl`), and the offline check of a
//! configuration (`check.erl`).

pub(crate) mod find;
mod installation;
mod vm;

use crate::domain::configuration::Configuration;
pub use installation::{
    CTL_SCRIPTS, ControlScript, Installation, Launcher, boot_candidates, known_launchers,
    release_lib,
};

pub use vm::{ListedProcess, NodeAddress, server_node};

/// A program to run on the host of the server, without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The variables to set, in addition to the variables of the server's container.
    pub env: Vec<(String, String)>,
    /// The user to run as; `None` for the default user.
    pub user: Option<String>,
}

const SESSION: &str =
    concat!(include_str!("encode.erl"), include_str!("messaging.erl"), include_str!("session.erl"));
const CHECK: &str = concat!(include_str!("encode.erl"), include_str!("check.erl"));

/// Returns `program` without comments, so that the text is one sequence of expressions for `-eval`.
fn expressions(program: &str) -> String {
    program
        .lines()
        .filter(|line| !line.trim_start().starts_with('%'))
        .collect::<Vec<_>>()
        .join("\n")
}

impl Installation {
    /// The beginning of every command line: the program, the clean boot file, and the mark that
    /// distinguishes the operator's VMs from the server.
    fn start(&self) -> Vec<String> {
        let mut argv = vec![self.launcher.program(), "-boot".to_owned(), self.boot.clone()];
        if let Some(lib) = &self.release_lib {
            argv.extend(["-boot_var".to_owned(), "RELEASE_LIB".to_owned(), lib.clone()]);
        }
        argv.extend(vm::MARK.map(str::to_owned));
        argv.extend(["-noshell", "-noinput", "-kernel", "logger_level", "none"].map(str::to_owned));
        argv
    }

    /// The environment of every VM of the operator.
    ///
    /// Clears the flags from the server's environment, because the flags could give this node the
    /// name of the server. In a POSIX locale, `register Bób` would create `bã3b`. A VM that fails
    /// to start writes no crash dump into the server's home (`ERL_CRASH_DUMP_SECONDS=0`).
    fn environment(&self) -> Vec<(String, String)> {
        let fixed = [
            ("LC_ALL", "C.UTF-8"),
            ("ERL_CRASH_DUMP_SECONDS", "0"),
            ("ERL_AFLAGS", ""),
            ("ERL_FLAGS", ""),
            ("ERL_ZFLAGS", ""),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        fixed.into_iter().chain(self.launcher.variables()).collect()
    }
}

/// Sets the variable `name`, or replaces its value.
fn set(env: &mut Vec<(String, String)>, name: &str, value: String) {
    env.retain(|(other, _)| other != name);
    env.push((name.to_owned(), value));
}

/// The command line of the program `session.erl` of the control channel, for the server at `node`.
///
/// `-sname undefined` and `-dist_listen false` (OTP 25 and later) make a hidden node without a
/// fixed name and without a port. `-start_epmd false` prevents the start of a port mapper that the
/// server does not need. `logger_level none` keeps reports of failed commands, which contain
/// their arguments, out of the frames. The cookie is in a variable, so that the events of the
/// engine do not contain it; the process list shows the cookie in the server's own command line.
#[must_use]
pub fn session_command(installation: &Installation, node: &NodeAddress) -> CommandLine {
    let mut argv = installation.start();
    argv.extend(
        [
            "-hidden",
            "+S",
            "2:2",
            "+A",
            "1",
            if node.long_names { "-name" } else { "-sname" },
            "undefined",
            "-dist_listen",
            "false",
            "-start_epmd",
            "false",
        ]
        .map(str::to_owned),
    );
    argv.extend(node.distribution.iter().cloned());
    let mut env = installation.environment();
    if let Some(cookie) = &node.cookie {
        match quoted_flag(cookie) {
            Some(cookie) => set(&mut env, "ERL_AFLAGS", format!("-setcookie {cookie}")),
            None => argv.extend(["-setcookie".to_owned(), cookie.clone()]),
        }
    }
    argv.extend(["-eval".to_owned(), expressions(SESSION), "-extra".to_owned(), node.name.clone()]);
    if let Some(home) = &node.home {
        set(&mut env, "HOME", home.clone());
    }
    CommandLine { argv, env, user: node.user.clone() }
}

/// `word` in the syntax of `ERL_AFLAGS`; `None` if `word` cannot be quoted.
fn quoted_flag(word: &str) -> Option<String> {
    (!word.contains(['\'', '\\']) && !word.chars().any(char::is_control))
        .then(|| format!("'{word}'"))
}

/// The facts about the server that the offline check of new configuration files needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckPlan {
    /// The absolute path of the main configuration file. The other files are beside it.
    pub main: String,
    /// The directory that holds the new files for the check.
    pub staged: String,
    /// The working directory of the server, which is also the directory of its database; `None` if
    /// the directory is unknown.
    pub directory: Option<String>,
    /// The names of the new files.
    pub names: Vec<String>,
    /// The variables `EJABBERD_MACRO_*` of the server that are not in its container's environment.
    pub macros: Vec<(String, String)>,
}

/// The command line of the offline check of new configuration files.
///
/// The check reads each new file at the path that the file will have on the server, so that
/// `include_config_file` and certificates refer to the new files. The check only reads the
/// directories of the server.
#[must_use]
pub fn check_command(installation: &Installation, plan: &CheckPlan) -> CommandLine {
    let CheckPlan { main, staged, directory, names, macros } = plan;
    let database = directory.clone().unwrap_or_else(|| format!("{staged}/mnesia"));
    let database = database.replace('\\', "\\\\").replace('"', "\\\"");
    let mut argv = installation.start();
    // Mnesia is not started, but the keyword `DATABASE_PATH` needs this path.
    argv.extend(["-mnesia", "dir", &format!("\"{database}\""), "-eval"].map(str::to_owned));
    argv.extend([expressions(CHECK), "-extra".to_owned(), main.clone(), staged.clone()]);
    argv.push(directory.clone().unwrap_or_default());
    argv.extend(names.iter().cloned());
    let mut env = installation.environment();
    set(&mut env, "EJABBERD_CONFIG_PATH", main.clone());
    if !installation.libs.is_empty() {
        set(&mut env, "ERL_LIBS", installation.libs.join(":"));
    }
    // Some modules of ejabberd were compiled with this feature on OTP 25. Without the feature,
    // these modules do not load.
    set(&mut env, "ERL_FLAGS", "-enable-feature maybe_expr".to_owned());
    for (name, value) in macros {
        set(&mut env, name, value.clone());
    }
    CommandLine { argv, env, user: None }
}

/// The verdict of ejabberd about a configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// ejabberd would start with the configuration. Contains the expanded configuration.
    Accepted(Box<Configuration>),
    /// ejabberd would not start. Contains ejabberd's message.
    Refused(String),
    /// The check itself failed. Contains the cause.
    Unable(String),
}

/// Parses the output of the program of [`check_command`].
#[must_use]
pub fn read_verdict(stdout: &str, stderr: &str) -> Verdict {
    let verdict = stdout
        .rsplit_once("\nverdict: ")
        .and_then(|(_, rest)| rest.split_once("\nend of verdict"))
        .map_or("", |(verdict, _)| verdict.trim());
    let (word, message) = verdict.split_once(' ').unwrap_or((verdict, ""));
    match word {
        "accepted" => match Configuration::from_json(message.as_bytes()) {
            Ok(configuration) => Verdict::Accepted(Box::new(configuration)),
            Err(error) => Verdict::Unable(format!("failed to {error}")),
        },
        "refused" => Verdict::Refused(message.to_owned()),
        "unable" => Verdict::Unable(message.to_owned()),
        _ => {
            let shown = if stderr.trim().is_empty() { stdout.trim() } else { stderr.trim() };
            Verdict::Unable(shown.chars().take(500).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> Installation {
        let (root, bindir) = ("/opt/e".to_owned(), "/opt/e/erts-15/bin".to_owned());
        Installation {
            launcher: Launcher::Erlexec { root, bindir },
            boot: "/opt/e/releases/1/start_clean".to_owned(),
            release_lib: Some("/opt/e/lib".to_owned()),
            libs: Vec::new(),
        }
    }

    /// In an Erlang shell, a pattern with the name of an earlier variable compares instead of
    /// binding: `{Send, Recv} = …` fails if `Send` exists.
    #[test]
    fn the_session_binds_no_name_of_the_messaging_program() {
        let names = include_str!("messaging.erl").lines().filter_map(|line| {
            let (name, _) = line.split_once(" = ")?;
            name.chars().all(char::is_alphanumeric).then_some(name)
        });
        for name in names {
            for (at, _) in SESSION.match_indices(name) {
                let (before, after) = (&SESSION[..at], &SESSION[at + name.len()..]);
                let whole = !before.ends_with(char::is_alphanumeric)
                    && !after.starts_with(char::is_alphanumeric);
                let defined = after.starts_with(" = fun");
                let used = after.starts_with('(') || before.ends_with("apply, [");
                let argument = after.starts_with(", ") && before.ends_with(", ");
                assert!(!whole || defined || used || argument, "{name}{}", &after[..20]);
            }
        }
    }

    #[test]
    fn a_helper_has_a_clean_boot_file_and_a_mark() {
        let node = NodeAddress {
            name: "ejabberd@localhost".to_owned(),
            cookie: Some("s3cret $x".to_owned()),
            distribution: vec!["-erl_epmd_port".to_owned(), "5210".to_owned()],
            ..NodeAddress::default()
        };
        let session = session_command(&release(), &node);
        let plan = CheckPlan {
            main: "/opt/e/conf/ejabberd.yml".to_owned(),
            staged: "/tmp/new".to_owned(),
            directory: None,
            names: vec!["ejabberd.yml".to_owned()],
            macros: Vec::new(),
        };
        let check = check_command(&release(), &plan);
        for line in [&session, &check] {
            let words = line.argv.join(" ");
            assert!(
                words.starts_with(
                    "/opt/e/erts-15/bin/erlexec -boot /opt/e/releases/1/start_clean -boot_var \
                     RELEASE_LIB /opt/e/lib -ejabberd_operator helper "
                ),
                "{words}"
            );
            let vm = ["/opt/e/erts-15/bin/beam.smp".to_owned()];
            let vm: Vec<String> = vm.into_iter().chain(line.argv.iter().skip(1).cloned()).collect();
            assert_eq!(server_node("0", &vm), None);
            assert!(line.env.contains(&("ERL_CRASH_DUMP_SECONDS".to_owned(), "0".to_owned())));
        }
        assert!(session.argv.windows(2).any(|pair| pair == ["-erl_epmd_port", "5210"]));
        assert!(!session.argv.iter().any(|word| word.contains("s3cret")), "{session:?}");
        let flags = session.env.iter().filter(|(name, _)| name == "ERL_AFLAGS");
        let flags: Vec<&str> = flags.map(|(_, value)| value.as_str()).collect();
        assert_eq!(flags, ["-setcookie 's3cret $x'"]);
    }

    #[test]
    fn a_verdict_is_parsed_from_the_output() {
        let output = "=PROGRESS REPORT====\n\nverdict: accepted {\"hosts\":[\"a\"]}\n\nend of \
                    verdict\n=INFO REPORT====";
        let Verdict::Accepted(configuration) = read_verdict(output, "") else { panic!("{output}") };
        assert_eq!(configuration.hosts(), ["a"]);
        assert_eq!(
            read_verdict("\nverdict: refused Missing required option: hosts\nend of verdict\n", ""),
            Verdict::Refused("Missing required option: hosts".into())
        );
        assert_eq!(read_verdict("", "erl: not found"), Verdict::Unable("erl: not found".into()));
        for broken in ["", " [1]", " {\"hosts\":", " 5"] {
            let output = format!("\nverdict: accepted{broken}\nend of verdict\n");
            assert!(matches!(read_verdict(&output, ""), Verdict::Unable(_)), "{output}");
        }
    }

    #[test]
    fn programs_have_no_comments_and_end_with_a_dot() {
        for program in [SESSION, CHECK] {
            let text = expressions(program);
            assert!(!text.contains('%') && text.trim_end().ends_with('.'), "{text}");
        }
    }
}
