//! The arguments of the command line, for `clap`.
//!
//! The build script also compiles this file, to create the manual pages and the completions. So
//! this file uses no other module of the crate except `manual`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::manual;

/// The name of the program.
pub(super) const NAME: &str = "ejabberd-operator";

/// Keeps a live ejabberd in agreement with a desired-state.yaml.
#[derive(Debug, Parser)]
#[command(name = NAME, version, about, arg_required_else_help = true)]
pub struct Arguments {
    /// The desired state: a file, or a directory of `*.yaml` files
    #[arg(
        long,
        global = true,
        env = "EJABBERD_OPERATOR_DESIRED_STATE",
        default_value = "desired-state.yaml",
        value_name = "PATH"
    )]
    pub(super) desired_state: PathBuf,

    /// The state directory: owned objects, generated passwords, good configurations [default:
    /// `$STATE_DIRECTORY`, else `.ejabberd-operator`]
    #[arg(long, global = true, env = "EJABBERD_OPERATOR_STATE_DIR", value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,

    /// The format of the log on standard error [default: journald if standard error is the journal,
    /// else text]
    #[arg(
        long,
        global = true,
        env = "EJABBERD_OPERATOR_LOG_FORMAT",
        value_enum,
        value_name = "FORMAT"
    )]
    pub(super) log_format: Option<LogFormat>,

    #[command(subcommand)]
    pub(super) command: Command,
}

/// Returns the arguments for `clap`, with the examples of each command.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command().after_help(manual::help("")).mut_subcommands(|command| {
        let examples = manual::help(command.get_name());
        if examples.is_empty() { command } else { command.after_help(examples) }
    })
}

/// Parses the arguments of this process.
pub(super) fn parse() -> Result<Arguments, clap::Error> {
    let mut command = command();
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Returns the default state directory: `$STATE_DIRECTORY`, which systemd sets, or
/// `.ejabberd-operator` in the working directory.
pub(super) fn default_state_dir() -> PathBuf {
    std::env::var_os("STATE_DIRECTORY").map_or_else(|| ".ejabberd-operator".into(), PathBuf::from)
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Keep the server as declared, until SIGTERM or SIGINT
    Run {
        /// Listen on this address for the page, the metrics and the status
        #[arg(
            long,
            env = "EJABBERD_OPERATOR_LISTEN",
            default_value = "127.0.0.1:9565",
            value_parser = address,
            value_name = "ADDRESS:PORT"
        )]
        listen: SocketAddr,
        /// A file with the token that clients must send; required to listen on an
        /// address that is not loopback
        #[arg(long, env = "EJABBERD_OPERATOR_TOKEN_FILE", value_name = "PATH")]
        token_file: Option<PathBuf>,
        /// Compare again after this time if nothing changes, e.g. 30s or 5m
        #[arg(long, env = "EJABBERD_OPERATOR_RESYNC", default_value = "30s", value_parser = duration, value_name = "TIME")]
        resync: Duration,
    },
    /// Show what `apply` would change; changes nothing
    Plan {
        /// The format of the output
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
        /// Exit with 2 if the plan has changes
        #[arg(long)]
        detailed_exitcode: bool,
    },
    /// Compare the server with the desired state once, and change what differs
    Apply {
        /// The format of the output
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
        /// Approve the refused deletions with this digest; `plan` prints the digest
        #[arg(long, value_name = "DIGEST")]
        approve: Option<String>,
    },
    /// Check the desired state for errors; needs no server
    Validate,
    /// Show the status of the server and of the operator
    Status {
        /// The format of the output
        #[arg(long, value_enum, default_value = "text")]
        output: StatusFormat,
    },
    /// Show recorded events: time, reason, object, message
    Events {
        /// Show at most N events, the latest ones
        #[arg(long, default_value_t = 40, value_name = "N")]
        limit: usize,
        /// Show only warnings
        #[arg(long)]
        warnings: bool,
        /// Show only events with this word in the object, the reason or the message
        #[arg(long, value_name = "WORD")]
        about: Option<String>,
        /// Show only events of this last time, e.g. 90m, 2h or 7d
        #[arg(long, value_parser = span, value_name = "TIME")]
        since: Option<Duration>,
        /// Print new events until interrupted
        #[arg(long, short)]
        follow: bool,
        /// The format of the output; with --follow, JSON has one object in a line
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Show the log of the server, with the events of the operator between the lines
    Logs {
        /// Show only lines of this last time, e.g. 90m, 2h or 7d
        #[arg(long, default_value = "1h", value_parser = span, value_name = "TIME")]
        since: Duration,
        /// Show at most N lines, the latest ones
        #[arg(long, default_value_t = 500, value_name = "N", value_parser = lines)]
        tail: usize,
        /// Print new lines until interrupted
        #[arg(long, short)]
        follow: bool,
        /// Do not print the events of the operator
        #[arg(long)]
        no_marks: bool,
        /// The format of the output; JSON has one object in a line
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Check the server against the security checklist; exit with 2 if an item does not hold
    Audit {
        /// The format of the output
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Find problems of the server and suggest a fix for each; changes nothing. Exit
    /// with 2 if a problem was found or a check was not possible
    Doctor {
        /// Check this account in detail: a name on the default vhost, or a full JID
        user: Option<String>,
        /// Run only the checks that can explain this symptom
        #[arg(long, value_enum)]
        symptom: Option<Complaint>,
        /// The format of the output
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Try all failed changes again now, also a configuration that was rolled back
    Retry {
        /// Accept the current database, which the operator does not know, and create
        /// the declared objects in this database (condition `DatabaseMissing`)
        #[arg(long)]
        fill: bool,
    },
    /// List the configurations that passed the health gate, the latest first
    History {
        /// The format of the output
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Restore an earlier good configuration, until the declared configuration changes
    Rollback {
        /// The first digits of the digest that `history` shows [default: the configuration before
        /// the latest]
        digest: Option<String>,
    },
    /// List the objects that the operator owns, because it created or adopted them, and the objects
    /// that messaging clients registered
    Inventory {
        /// The format of the output
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Stop owning an object: the object stays on the server and is no longer managed; also ends the
    /// registration of an object that a messaging client registered
    Forget {
        /// The full name of the object, as `inventory` shows it
        #[arg(required_unless_present = "host")]
        name: Option<String>,
        /// The kind of the object, if several kinds have the name
        #[arg(long, value_enum)]
        kind: Option<OwnedKind>,
        /// All accounts of a host that is no longer in the desired state
        #[arg(long, conflicts_with_all = ["name", "kind"])]
        host: Option<String>,
    },
    /// Own an object that is not declared, so that the operator deletes it like an
    /// object whose entry was removed
    Adopt {
        /// The full name of the object, e.g. `old-bot@example.org`
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Continue with an old copy of the state directory (condition `StateOutdated`):
        /// own the declared objects and no others
        #[arg(long, conflicts_with_all = ["name", "kind"])]
        all: bool,
        /// The kind of the object [default: a room on a room service, else an account]
        #[arg(long, value_enum)]
        kind: Option<OwnedKind>,
    },
    /// Print the password that the operator generated for an account
    Secret {
        /// The account: a name on the default vhost, or a full JID
        name: String,
    },
    /// Write the desired state of a live server; changes nothing on the server
    Export {
        /// The container of the server
        #[arg(long, value_name = "NAME")]
        container: String,
        /// The directory for the files; the command fails if one of the files exists
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
        /// The address of the Docker API
        #[arg(long, value_name = "URL", default_value = "unix:///var/run/docker.sock")]
        engine: String,
    },
    /// Describe a field of the desired state, and list its fields
    Explain {
        /// The field, e.g. `users.passwordFrom`, with or without a leading `spec.` [default: the
        /// whole file]
        field: Option<String>,
        /// Print all fields below this field, as a tree
        #[arg(long)]
        recursive: bool,
    },
    /// Print the JSON Schema of the desired state
    Schema,
    /// Print a completion script
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write the pages of all commands
    Man {
        /// A directory for the pages, e.g. `/usr/local/share/man/man1`
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
}

/// The shells with a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl Shell {
    /// Returns the name of the shell, which is also the name of the script.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Elvish => "elvish",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
            Self::Zsh => "zsh",
        }
    }
}

/// The symptoms that `doctor` can explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Complaint {
    /// The server does not start
    Start,
    /// The API cannot be reached
    Api,
    /// Messages are not delivered
    Delivery,
    /// The server uses much CPU time or memory
    Load,
}

/// The formats of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object in a line
    Json,
    /// For the journal of systemd: with priorities, without times
    Journald,
}

/// The kinds of object that the operator can own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OwnedKind {
    User,
    Group,
    Room,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum StatusFormat {
    Text,
    Json,
    Yaml,
}

/// Parses an address, such as `127.0.0.1:9565` or `[::1]:9565`.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give a numeric address and a port, e.g. 127.0.0.1:9565".to_owned())
}

/// Parses a number of lines, from 1 to 10,000.
fn lines(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=10_000).contains(n));
    number.ok_or_else(|| "a number from 1 to 10000".to_owned())
}

/// Parses a time span, such as `90m`, `2h` or `7d`, of at most 366 days.
fn span(text: &str) -> Result<Duration, String> {
    let time: jiff::SignedDuration = match text.strip_suffix('d').map(str::parse::<i64>) {
        Some(Ok(days)) => jiff::SignedDuration::from_hours(days.saturating_mul(24).min(8784)),
        _ => text.parse().map_err(|_| format!("`{text}` is not a time like 90m, 2h or 7d"))?,
    };
    let time = Duration::try_from(time).map_err(|_| "a time cannot be negative".to_owned())?;
    if time <= Duration::from_hours(366 * 24) { Ok(time) } else { Err("at most 366d".to_owned()) }
}

/// Parses a time, such as `30s`, `5m` or `1h30m`, from 100 ms to 24 hours.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is not a time like 30s or 5m"))?;
    let time = Duration::try_from(parsed).map_err(|_| "a time cannot be negative".to_owned())?;
    if (Duration::from_millis(100)..=Duration::from_hours(24)).contains(&time) {
        Ok(time)
    } else {
        Err("it must be between 100ms and 24h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_valid() {
        command().debug_assert();
    }

    #[test]
    fn times_are_bounded() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("0s").is_err() && duration("25h").is_err() && duration("soon").is_err());
    }
}
