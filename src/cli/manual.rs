//! Texts of the manual pages and of `--help` in addition to the arguments.
//!
//! The build script also compiles this file, so this file uses no other module of the crate.

/// Examples by command, as pairs of a description and a command line. The empty name is for the
/// program without a command.
pub(super) const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "",
        &[
            ("Check the desired state for errors", "ejabberd-operator validate"),
            ("Show what would change, without changing it", "ejabberd-operator plan"),
            ("Keep the server as declared", "ejabberd-operator run"),
            ("Show the status", "ejabberd-operator status"),
        ],
    ),
    (
        "run",
        &[
            (
                "Use a directory of files, and the state directory of a systemd service",
                "ejabberd-operator run --desired-state /etc/ejabberd-operator --state-dir /var/lib/ejabberd-operator",
            ),
            ("Compare every five minutes if nothing changes", "ejabberd-operator run --resync 5m"),
        ],
    ),
    (
        "plan",
        &[
            ("Show what would change", "ejabberd-operator plan"),
            (
                "Fail in a pipeline if there are changes",
                "ejabberd-operator plan --detailed-exitcode",
            ),
        ],
    ),
    (
        "apply",
        &[
            ("Change what differs, once", "ejabberd-operator apply"),
            (
                "Approve deletions that the guard refused",
                "ejabberd-operator apply --approve 3f2a9c41d07b",
            ),
        ],
    ),
    ("validate", &[("Check another file", "ejabberd-operator --desired-state new.yaml validate")]),
    ("status", &[("Print the status for a program", "ejabberd-operator status --output json")]),
    ("audit", &[("Check the security of the server", "ejabberd-operator audit")]),
    (
        "doctor",
        &[
            ("Find problems", "ejabberd-operator doctor"),
            (
                "Find out why an account gets no messages",
                "ejabberd-operator doctor ann --symptom delivery",
            ),
        ],
    ),
    (
        "events",
        &[
            (
                "Show the warnings of the last day",
                "ejabberd-operator events --warnings --since 24h",
            ),
            ("Follow the events of an account", "ejabberd-operator events --about ann --follow"),
        ],
    ),
    (
        "logs",
        &[
            ("Show the last ten minutes", "ejabberd-operator logs --since 10m"),
            (
                "Show the last 20 lines, then follow the log",
                "ejabberd-operator logs --tail 20 --follow",
            ),
        ],
    ),
    (
        "explain",
        &[
            ("List the fields of an account", "ejabberd-operator explain users"),
            ("Print all fields as a tree", "ejabberd-operator explain --recursive"),
        ],
    ),
    (
        "rollback",
        &[
            ("List the good configurations", "ejabberd-operator history"),
            ("Restore the configuration before the latest", "ejabberd-operator rollback"),
        ],
    ),
    (
        "forget",
        &[
            ("Stop owning one account", "ejabberd-operator forget ann@example.org"),
            (
                "Stop owning all accounts of a removed host",
                "ejabberd-operator forget --host old.example.org",
            ),
        ],
    ),
    (
        "adopt",
        &[(
            "Own an account, so that the operator deletes it",
            "ejabberd-operator adopt old-bot@example.org",
        )],
    ),
    ("secret", &[("Print a generated password", "ejabberd-operator secret messenger")]),
    (
        "export",
        &[(
            "Write the desired state of an existing server",
            "ejabberd-operator export --container my-ejabberd --output mine",
        )],
    ),
    (
        "man",
        &[
            ("Read the manual", "ejabberd-operator man"),
            (
                "Install the manual pages",
                "ejabberd-operator man --output /usr/local/share/man/man1",
            ),
        ],
    ),
    (
        "mcp",
        &[
            ("Serve MCP over HTTP", "ejabberd-operator mcp --listen 127.0.0.1:3444"),
            (
                "Serve MCP behind a reverse proxy",
                "ejabberd-operator mcp --listen 127.0.0.1:3444 --allowed-host mcp.example.org",
            ),
            (
                "Serve one client on standard input",
                "ejabberd-operator mcp --stdio --token-file /etc/ejabberd-operator/agent.token",
            ),
        ],
    ),
    ("completions", &[("Print the script for bash", "ejabberd-operator completions bash")]),
];

/// The exit statuses that every command has.
pub(super) const EXIT: &[(&str, &str)] =
    &[("0", "Success."), ("1", "Failure."), ("64", "The arguments are wrong.")];

/// The exit statuses of single commands. An entry replaces the entry of [`EXIT`] with the same
/// status.
pub(super) const EXIT_OF: &[(&str, &[(&str, &str)])] = &[
    (
        "run",
        &[("0", "Stopped by SIGTERM or SIGINT."), ("130", "Stopped at once by a second signal.")],
    ),
    ("mcp", &[("0", "Stopped by SIGTERM or SIGINT, or by the end of standard input.")]),
    (
        "plan",
        &[(
            "2",
            "The plan has changes. Only with --detailed-exitcode; without this flag, the status is 0.",
        )],
    ),
    (
        "apply",
        &[
            ("0", "The server is as declared."),
            ("1", "A change failed, or a part of the server could not be read."),
            ("3", "The guard refused deletions; all other changes were made."),
        ],
    ),
    ("status", &[("0", "Ready."), ("1", "Not ready, or the status is unknown.")]),
    (
        "audit",
        &[("0", "All items hold."), ("2", "An item does not hold, or could not be checked.")],
    ),
    (
        "doctor",
        &[
            ("0", "No problem was found."),
            ("2", "A problem was found, or a check was not possible."),
        ],
    ),
];

/// The environment variables, except the variables that replace flags.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "EJABBERD_OPERATOR_LOG",
        "The log level: error, warn, info, debug or trace. The default is info for run and mcp, and \
         warn for every other command.",
    ),
    ("STATE_DIRECTORY", "The default of --state-dir. systemd sets it."),
    (
        "JOURNAL_STREAM",
        "If the variable identifies standard error, the log is in the format of the journal. systemd \
         sets the variable.",
    ),
    ("NO_COLOR", "If the variable is not empty, the output has no colours."),
    (
        "CLICOLOR_FORCE",
        "If the variable is not 0, results have colours even if standard output is no terminal.",
    ),
];

/// The files that the program uses.
pub const FILES: &[(&str, &str)] = &[
    (
        "desired-state.yaml",
        "The desired state, unless --desired-state names another path. A directory means all *.yaml \
         files in it.",
    ),
    (
        ".ejabberd-operator/",
        "The state directory, unless --state-dir names another: the inventory, generated passwords, \
         events, and the last five good configurations. Only its owner may read it.",
    ),
    (
        ".ejabberd-operator/state.sqlite",
        "The database with the state. A copy of this file is a backup.",
    ),
    (
        ".ejabberd-operator/lock",
        "The lock of the operator that uses the directory. Only one operator can use it.",
    ),
    (
        ".ejabberd-operator/endpoint",
        "The address of the running operator, which the status command reads.",
    ),
];

/// Returns the exit statuses of a command, or of the whole program if `command` is empty: pairs of
/// a status and its meaning, in ascending order.
#[must_use]
pub fn exit_statuses(command: &str) -> Vec<(&'static str, &'static str)> {
    let own = of(EXIT_OF, command);
    let other = EXIT.iter().filter(|(status, _)| !own.iter().any(|(own, _)| own == status));
    let mut statuses: Vec<_> = own.iter().chain(other).copied().collect();
    statuses.sort_by_key(|(status, _)| status.parse::<u8>().unwrap_or(u8::MAX));
    statuses
}

/// Returns the entries of `table` for `command`; an empty list if there are no entries.
pub(super) fn of<T>(table: &[(&str, &'static [T])], command: &str) -> &'static [T] {
    table.iter().find(|(name, _)| *name == command).map_or(&[], |(_, found)| *found)
}

/// Returns the examples of a command, for the end of its `--help`.
pub(super) fn help(command: &str) -> String {
    let mut text = String::new();
    for (description, command_line) in of(EXAMPLES, command) {
        if text.is_empty() {
            text.push_str("Examples:\n");
        }
        text.push_str(&format!("  # {description}\n  {command_line}\n"));
    }
    text
}
