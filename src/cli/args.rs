//! The arguments, as `clap` reads them. The build script reads this file as
//! well, for the manual pages and completions, so it uses nothing of the crate
//! but the manual beside it.

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
    /// The desired state: a file, or a directory of them
    #[arg(
        long,
        global = true,
        env = "EJABBERD_OPERATOR_DESIRED_STATE",
        default_value = "desired-state.yaml",
        value_name = "PATH"
    )]
    pub(super) desired_state: PathBuf,

    /// What the operator remembers [default: `$STATE_DIRECTORY`, else `.ejabberd-operator`]
    #[arg(long, global = true, env = "EJABBERD_OPERATOR_STATE_DIR", value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,

    /// How the log is written on standard error [default: journald where that is the journal, else text]
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

/// The arguments as `clap` has them, with the examples of each command.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command().after_help(manual::help("")).mut_subcommands(|command| {
        let examples = manual::help(command.get_name());
        if examples.is_empty() { command } else { command.after_help(examples) }
    })
}

/// The arguments that the program was started with.
pub(super) fn parse() -> Result<Arguments, clap::Error> {
    let mut command = command();
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Where the state is kept when nothing is said: where systemd wants it, else here.
pub(super) fn default_state_dir() -> PathBuf {
    std::env::var_os("STATE_DIRECTORY").map_or_else(|| ".ejabberd-operator".into(), PathBuf::from)
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Reconcile until told to stop
    Run {
        /// Where metrics and status are served
        #[arg(
            long,
            env = "EJABBERD_OPERATOR_LISTEN",
            default_value = "127.0.0.1:9565",
            value_parser = address,
            value_name = "ADDRESS:PORT"
        )]
        listen: SocketAddr,
        /// A file with the token that whoever reads them has to give; needed to
        /// listen on anything but loopback
        #[arg(long, env = "EJABBERD_OPERATOR_TOKEN_FILE", value_name = "PATH")]
        token_file: Option<PathBuf>,
        /// The time between two rounds when nothing happens
        #[arg(long, env = "EJABBERD_OPERATOR_RESYNC", default_value = "30s", value_parser = duration, value_name = "TIME")]
        resync: Duration,
    },
    /// Show what would change; changes nothing
    Plan {
        /// How to print it
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
        /// Exit with 2 if there is anything to do
        #[arg(long)]
        detailed_exitcode: bool,
    },
    /// Reconcile once
    Apply {
        /// How to print the result
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
        /// Let the refused deletions with this digest through
        #[arg(long, value_name = "DIGEST")]
        approve: Option<String>,
    },
    /// Check the file; needs no server
    Validate,
    /// Show how things are
    Status {
        /// How to print it
        #[arg(long, value_enum, default_value = "text")]
        output: StatusFormat,
    },
    /// Show what happened: when, why, to what
    Events {
        /// At most so many, the latest
        #[arg(long, default_value_t = 40, value_name = "N")]
        limit: usize,
        /// Only what somebody should look at
        #[arg(long)]
        warnings: bool,
        /// Only what names this: an object, a reason, a word of the message
        #[arg(long, value_name = "WORD")]
        about: Option<String>,
        /// Only what happened in this last time, as 90m
        #[arg(long, value_parser = span, value_name = "TIME")]
        since: Option<Duration>,
        /// Go on as it happens
        #[arg(long, short)]
        follow: bool,
        /// How to print it; with --follow, JSON has a line for each
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Show what the server logged, with the operator's own marks between
    Logs {
        /// How far back, as 90m
        #[arg(long, default_value = "1h", value_parser = span, value_name = "TIME")]
        since: Duration,
        /// At most so many lines, the latest
        #[arg(long, default_value_t = 500, value_name = "N", value_parser = lines)]
        tail: usize,
        /// Go on as it happens
        #[arg(long, short)]
        follow: bool,
        /// Leave out the operator's marks
        #[arg(long)]
        no_marks: bool,
        /// How to print it; JSON has a line for each
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Go through the security checklist; exit with 2 if an item does not hold
    Audit {
        /// How to print it
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Find out what is wrong, and what to do about it; changes nothing. Exit
    /// with 2 if something is wrong or not known
    Doctor {
        /// An account to look at closely: a name on the default vhost, or a full JID
        user: Option<String>,
        /// Look only for what may explain this
        #[arg(long, value_enum)]
        symptom: Option<Complaint>,
        /// How to print it
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Try again now whatever failed, a configuration that was taken back too
    Retry {
        /// Fill the database that the server has now, though the operator does not
        /// know it (condition `DatabaseMissing`)
        #[arg(long)]
        fill: bool,
    },
    /// Show the configurations that proved good, the latest first
    History {
        /// How to print it
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Put a good configuration from before in force, until the file changes
    Rollback {
        /// The first digits of its digest, as `history` shows it [default: the one before the last]
        digest: Option<String>,
    },
    /// List what the operator owns: what it made or took over
    Inventory {
        /// How to print it
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// Let go of an object: it stays on the server, and is somebody else's business
    Forget {
        /// Its full name, as `inventory` shows it
        #[arg(required_unless_present = "host")]
        name: Option<String>,
        /// What it is, where the name alone does not say
        #[arg(long, value_enum)]
        kind: Option<OwnedKind>,
        /// All accounts of a host that the file does not name any more
        #[arg(long, conflicts_with_all = ["name", "kind"])]
        host: Option<String>,
    },
    /// Take over an object that is not declared, so that it is deleted like any
    /// other whose entry is gone
    Adopt {
        /// Its full name, e.g. `old-bot@example.org`
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Use an old copy of the state directory (condition `StateOutdated`): own what
        /// is declared, and nothing else
        #[arg(long, conflicts_with_all = ["name", "kind"])]
        all: bool,
        /// What it is [default: a room on a room service, else an account]
        #[arg(long, value_enum)]
        kind: Option<OwnedKind>,
    },
    /// Print the password that the operator has generated for an account
    Secret {
        /// The account: a name on the default vhost, or a full JID
        name: String,
    },
    /// Write down a live server as a desired state; changes nothing on it
    Export {
        /// The container that it runs in
        #[arg(long, value_name = "NAME")]
        container: String,
        /// The directory for the files; none of them may be there yet
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
        /// The Docker API
        #[arg(long, value_name = "URL", default_value = "unix:///var/run/docker.sock")]
        engine: String,
    },
    /// Say what a field of the file is, and which fields it has
    Explain {
        /// The field, e.g. `users.passwordFrom`; a leading `spec.` may be left out [default: the file]
        field: Option<String>,
        /// All fields below, as a tree
        #[arg(long)]
        recursive: bool,
    },
    /// Print the JSON Schema of the file
    Schema,
    /// Print a completion script
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Print the manual page, or write the pages of all commands
    Man {
        /// A directory for the pages, e.g. `/usr/local/share/man/man1`
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
}

/// The shells that there are completion scripts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl Shell {
    /// Its name, as its script is called.
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

/// What people complain of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Complaint {
    /// The server does not start
    Start,
    /// The API cannot be reached
    Api,
    /// Messages are not delivered
    Delivery,
    /// It uses a lot
    Load,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
    /// For the journal of systemd: priorities, and no time
    Journald,
}

/// The kinds of object that are owned.
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

/// `127.0.0.1:9565`, `[::1]:9565`.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give a numeric address and a port, e.g. 127.0.0.1:9565".to_owned())
}

/// From 1 to 10,000.
fn lines(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=10_000).contains(n));
    number.ok_or_else(|| "a number from 1 to 10000".to_owned())
}

/// `90m`, `2h`, `7d`: at most a year.
fn span(text: &str) -> Result<Duration, String> {
    let time: jiff::SignedDuration = match text.strip_suffix('d').map(str::parse::<i64>) {
        Some(Ok(days)) => jiff::SignedDuration::from_hours(days.saturating_mul(24).min(8784)),
        _ => text.parse().map_err(|_| format!("`{text}` is not a time like 90m, 2h or 7d"))?,
    };
    let time = Duration::try_from(time).map_err(|_| "a time cannot be negative".to_owned())?;
    if time <= Duration::from_hours(366 * 24) { Ok(time) } else { Err("at most 366d".to_owned()) }
}

/// `30s`, `5m`, `1h30m`: at least 100 ms, at most a day.
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
    fn the_arguments_hold_together() {
        command().debug_assert();
    }

    #[test]
    fn times_are_bounded() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("0s").is_err() && duration("25h").is_err() && duration("soon").is_err());
    }
}
