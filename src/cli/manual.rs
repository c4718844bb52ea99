//! What the manual pages and `--help` say beside the arguments. Compiled into
//! the build script as well, so it uses nothing of the crate.

/// Examples by command; the first are those of the whole. What each does, and
/// what is typed.
pub(super) const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "",
        &[
            ("Check the file, then see what would change", "ejabberd-operator validate"),
            ("Look without changing anything", "ejabberd-operator plan"),
            ("Keep the server in agreement with the file", "ejabberd-operator run"),
            ("See how things are", "ejabberd-operator status"),
        ],
    ),
    (
        "run",
        &[
            (
                "Keep a server as declared, with the memory where systemd keeps it",
                "ejabberd-operator run --desired-state /etc/ejabberd-operator --state-dir /var/lib/ejabberd-operator",
            ),
            ("Look every five minutes when nothing happens", "ejabberd-operator run --resync 5m"),
        ],
    ),
    (
        "plan",
        &[
            ("See what would change", "ejabberd-operator plan"),
            ("Fail in a pipeline if something would", "ejabberd-operator plan --detailed-exitcode"),
        ],
    ),
    (
        "apply",
        &[
            ("Carry out the plan once", "ejabberd-operator apply"),
            (
                "Let deletions through that the guard refused",
                "ejabberd-operator apply --approve 3f2a9c41d07b",
            ),
        ],
    ),
    ("validate", &[("Check a file", "ejabberd-operator --desired-state new.yaml validate")]),
    ("status", &[("For a program", "ejabberd-operator status --output json")]),
    ("audit", &[("Go through the checklist", "ejabberd-operator audit")]),
    (
        "doctor",
        &[
            ("Find out what is wrong", "ejabberd-operator doctor"),
            ("Why somebody gets no messages", "ejabberd-operator doctor ann --symptom delivery"),
        ],
    ),
    (
        "events",
        &[
            ("What went wrong today", "ejabberd-operator events --warnings --since 24h"),
            (
                "What happened to an account, as it happens",
                "ejabberd-operator events --about ann --follow",
            ),
        ],
    ),
    (
        "logs",
        &[
            ("The last ten minutes", "ejabberd-operator logs --since 10m"),
            ("As it happens", "ejabberd-operator logs --tail 20 --follow"),
        ],
    ),
    (
        "explain",
        &[
            ("What an account can have", "ejabberd-operator explain users"),
            ("All of the file, as a tree", "ejabberd-operator explain --recursive"),
        ],
    ),
    (
        "rollback",
        &[
            ("The configurations that are kept", "ejabberd-operator history"),
            ("The one before the present one", "ejabberd-operator rollback"),
        ],
    ),
    (
        "forget",
        &[
            ("One account", "ejabberd-operator forget ann@example.org"),
            ("All accounts of a host", "ejabberd-operator forget --host old.example.org"),
        ],
    ),
    ("adopt", &[("An account that is to go", "ejabberd-operator adopt old-bot@example.org")]),
    ("secret", &[("A password that was made up", "ejabberd-operator secret messenger")]),
    (
        "export",
        &[(
            "A server that was made by hand",
            "ejabberd-operator export --container my-ejabberd --output mine",
        )],
    ),
    (
        "man",
        &[
            ("Read the manual", "ejabberd-operator man"),
            ("Install the pages", "ejabberd-operator man --output /usr/local/share/man/man1"),
        ],
    ),
    ("completions", &[("For bash", "ejabberd-operator completions bash")]),
];

/// What any command ends with.
pub(super) const EXIT: &[(&str, &str)] =
    &[("0", "It went well."), ("1", "It failed."), ("64", "It was used in the wrong way.")];

/// What some commands end with beside or instead of that.
pub(super) const EXIT_OF: &[(&str, &[(&str, &str)])] = &[
    ("run", &[("0", "It was told to stop, by SIGTERM or SIGINT."), ("130", "It was told twice.")]),
    (
        "plan",
        &[(
            "2",
            "There is something to do. Only with --detailed-exitcode; without it, this is a 0.",
        )],
    ),
    (
        "apply",
        &[
            ("0", "The server is as declared."),
            ("1", "Something failed, or is not known."),
            ("3", "The guard refused deletions; all else was done."),
        ],
    ),
    ("status", &[("0", "Ready."), ("1", "Not ready, or nobody knows.")]),
    ("audit", &[("0", "All items hold."), ("2", "Some do not, or are not known to.")]),
    ("doctor", &[("0", "Nothing wrong was found."), ("2", "Something is wrong, or is not known.")]),
];

/// The environment, beside the variables that stand for flags.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "EJABBERD_OPERATOR_LOG",
        "What is logged: error, warn, info, debug or trace. Without it, run logs at info and every \
         other command at warn.",
    ),
    ("STATE_DIRECTORY", "The default of --state-dir. systemd sets it."),
    (
        "JOURNAL_STREAM",
        "If it names standard error, the log is written for the journal. systemd sets it.",
    ),
    ("NO_COLOR", "If it is not empty, nothing is coloured."),
    ("CLICOLOR_FORCE", "If it is not 0, results are coloured even where there is no terminal."),
];

/// The files.
pub const FILES: &[(&str, &str)] = &[
    (
        "desired-state.yaml",
        "The desired state, unless --desired-state names another. A directory means all *.yaml in it.",
    ),
    (
        ".ejabberd-operator/",
        "What the operator remembers, unless --state-dir names another: what it owns, passwords that \
         it made up, and the last five configurations that proved good. Closed to others.",
    ),
    (".ejabberd-operator/state.sqlite", "The memory itself. A copy of it is a backup."),
    (".ejabberd-operator/lock", "Locked by the one operator that uses the directory."),
    (".ejabberd-operator/endpoint", "Where the running operator listens; status asks there."),
];

/// The exit statuses of a command, or of the whole program for an empty name: each status and
/// what it means, in ascending order.
#[must_use]
pub fn exit_statuses(command: &str) -> Vec<(&'static str, &'static str)> {
    let own = of(EXIT_OF, command);
    let other = EXIT.iter().filter(|(status, _)| !own.iter().any(|(own, _)| own == status));
    let mut statuses: Vec<_> = own.iter().chain(other).copied().collect();
    statuses.sort_by_key(|(status, _)| status.parse::<u8>().unwrap_or(u8::MAX));
    statuses
}

/// What is in `table` for `command`.
pub(super) fn of<T>(table: &[(&str, &'static [T])], command: &str) -> &'static [T] {
    table.iter().find(|(name, _)| *name == command).map_or(&[], |(_, found)| *found)
}

/// The examples of a command, as `--help` ends with them.
pub(super) fn help(command: &str) -> String {
    let mut text = String::new();
    for (what, typed) in of(EXAMPLES, command) {
        if text.is_empty() {
            text.push_str("Examples:\n");
        }
        text.push_str(&format!("  # {what}\n  {typed}\n"));
    }
    text
}
