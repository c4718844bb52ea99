//! Floor 1: how a small Erlang program beside the server is started.
//!
//! Pure: given where things are, it says what to run. Two programs exist, both
//! fixed texts into which nothing is ever pasted: the far end of the control
//! channel (`session.erl`) and the offline check of a configuration
//! (`check.erl`).

mod locate;

pub use locate::{CTL_SCRIPTS, Layout, NodeAddress, erl_candidates, find_node, libs_from_script};

/// A program to run where the server runs. No shell is between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables to set, beside those of the server's container.
    pub env: Vec<(String, String)>,
    /// The user to run as, where that is not the default one.
    pub user: Option<String>,
}

const SESSION: &str = include_str!("session.erl");
const CHECK: &str = include_str!("check.erl");

/// Without it, a POSIX locale makes `Bób` into `bã3b`.
fn locale() -> (String, String) {
    ("LC_ALL".to_owned(), "C.UTF-8".to_owned())
}

/// Comments go, so that the text is one expression sequence for `-eval`.
fn expressions(program: &str) -> String {
    program
        .lines()
        .filter(|line| !line.trim_start().starts_with('%'))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The far end of the control channel, for the server at `node`.
///
/// `-sname undefined` and `-dist_listen false` (OTP 25 and later) make a hidden node without a name or
/// a port of its own; `logger_level none` keeps reports of failing commands,
/// which hold their arguments, out of the frames.
#[must_use]
pub fn session_command(erl: &str, node: &NodeAddress) -> CommandLine {
    let mut argv: Vec<String> = [
        erl,
        "-hidden",
        "-noshell",
        "-noinput",
        "+S",
        "2:2",
        "+A",
        "1",
        if node.long_names { "-name" } else { "-sname" },
        "undefined",
        "-dist_listen",
        "false",
        "-kernel",
        "logger_level",
        "none",
    ]
    .map(str::to_owned)
    .into();
    if let Some(cookie) = &node.cookie {
        argv.extend(["-setcookie".to_owned(), cookie.clone()]);
    }
    argv.extend(["-eval".to_owned(), expressions(SESSION), "-extra".to_owned(), node.name.clone()]);
    let mut env = vec![locale()];
    if let Some(home) = &node.home {
        env.push(("HOME".to_owned(), home.clone()));
    }
    CommandLine { argv, env, user: node.user.clone() }
}

/// The offline check of the configuration at `path`.
#[must_use]
pub fn check_command(layout: &Layout, path: &str, user: Option<String>) -> CommandLine {
    let scratch = format!("\"{}.mnesia\"", path.trim_end_matches(".yml"));
    let argv = [
        layout.erl.as_str(),
        "-noshell",
        "-noinput",
        "-boot",
        "start_clean",
        "-kernel",
        "logger_level",
        "none",
        "-mnesia",
        "dir",
        &scratch,
        "-eval",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([expressions(CHECK)])
    .collect();
    let mut env = vec![locale(), ("EJABBERD_CONFIG_PATH".to_owned(), path.to_owned())];
    if !layout.libs.is_empty() {
        env.push(("ERL_LIBS".to_owned(), layout.libs.join(":")));
    }
    // Some of ejabberd's modules were compiled with it on OTP 25, and do not load without.
    env.push(("ERL_FLAGS".to_owned(), "-enable-feature maybe_expr".to_owned()));
    CommandLine { argv, env, user }
}

/// What ejabberd said of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It would start with it.
    Accepted,
    /// It would not, and why, in its own words.
    Refused(String),
    /// It could not be asked.
    Unable(String),
}

/// Reads what the program of [`check_command`] prints.
#[must_use]
pub fn read_verdict(stdout: &str, stderr: &str) -> Verdict {
    let said = stdout
        .rsplit_once("\nverdict: ")
        .and_then(|(_, said)| said.split_once("\nend of verdict"))
        .map_or("", |(said, _)| said.trim());
    let (word, message) = said.split_once(' ').unwrap_or((said, ""));
    match word {
        "accepted" => Verdict::Accepted,
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

    #[test]
    fn a_verdict_is_read_from_its_line() {
        assert_eq!(
            read_verdict(
                "=PROGRESS REPORT====\n\nverdict: accepted\nend of verdict\n=INFO REPORT====",
                ""
            ),
            Verdict::Accepted
        );
        assert_eq!(
            read_verdict("\nverdict: refused Missing required option: hosts\nend of verdict\n", ""),
            Verdict::Refused("Missing required option: hosts".into())
        );
        assert_eq!(read_verdict("", "erl: not found"), Verdict::Unable("erl: not found".into()));
    }

    #[test]
    fn programs_have_no_comments_and_end_as_eval_wants_it() {
        for program in [SESSION, CHECK] {
            let text = expressions(program);
            assert!(!text.contains('%') && text.trim_end().ends_with('.'), "{text}");
        }
    }
}
