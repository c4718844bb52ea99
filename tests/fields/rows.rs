//! The table of the declarations, the commands that observe them, and the expected values.

#![allow(clippy::too_many_lines, reason = "a table has as many lines as it has rows")]

use ejabberd_operator::domain::spec;

use crate::support::real::HOST;

const SERVICE: &str = "conference.test.example";
const OTHER_SERVICE: &str = "rooms.test.example";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V23_01,
    V24_12,
    V26_07,
}

use Version::{V23_01, V24_12, V26_07};

impl Version {
    pub const ALL: [Self; 3] = [V23_01, V24_12, V26_07];

    pub fn name(self) -> &'static str {
        match self {
            V23_01 => "23.01",
            V24_12 => "24.12",
            V26_07 => "newest",
        }
    }
}

/// The part of a command's output that the test compares. The value is "" if the command fails.
pub enum Pick {
    /// This label, if the command succeeds.
    Accepted(&'static str),
    /// The whole output.
    Text,
    /// The text after this name and a tab, in the line that begins with the name.
    Line(&'static str),
    /// The affiliations, as `user=affiliation`.
    Affiliations,
    /// The content and the permissions of a file of the operator, without a command.
    File(&'static str),
}

pub struct Probe {
    pub command: String,
    pub pick: Pick,
}

/// A row of the table: a field, with objects that no other row uses.
pub struct Row {
    pub fields: Vec<String>,
    /// The list of the entries, or `server`.
    pub list: &'static str,
    /// The entries, one in each line: with the field set, changed, and removed.
    pub entries: [String; 3],
    /// The commands of another program before the first declaration.
    pub before: Vec<String>,
    /// The commands of another program while the field is set, and after the field is removed.
    pub drift: [Vec<String>; 2],
    pub probes: Vec<Probe>,
    /// The expected value after each stage.
    pub seen: [String; 6],
}

impl Row {
    fn new(field: &str, list: &'static str, entries: [&str; 3]) -> Self {
        Self {
            fields: vec![field.to_owned()],
            list,
            entries: entries.map(str::to_owned),
            before: Vec::new(),
            drift: [Vec::new(), Vec::new()],
            probes: Vec::new(),
            seen: Default::default(),
        }
    }

    fn also(mut self, field: &str) -> Self {
        self.fields.push(field.to_owned());
        self
    }

    fn before(mut self, words: &[&str]) -> Self {
        self.before.push(words.join("\t"));
        self
    }

    /// Adds a command that another program runs while the field is set.
    fn drift(mut self, words: &[&str]) -> Self {
        self.drift[0].push(words.join("\t"));
        self
    }

    /// Adds a command that another program runs after the field is removed.
    fn drift_later(mut self, words: &[&str]) -> Self {
        self.drift[1].push(words.join("\t"));
        self
    }

    fn drifts(self, words: &[&str]) -> Self {
        self.drift(words).drift_later(words)
    }

    fn probe(mut self, words: &[&str], pick: Pick) -> Self {
        self.probes.push(Probe { command: words.join("\t"), pick });
        self
    }

    fn seen(mut self, seen: [&str; 6]) -> Self {
        self.seen = seen.map(str::to_owned);
        self
    }

    /// Expects that the operator reverts a change while the field is declared, and does not revert a
    /// change after the field is removed.
    fn managed(self, set: &str, changed: &str, drifted: &str) -> Self {
        self.seen([set, set, changed, changed, drifted, set])
    }

    /// Observes which of the `known` passwords the account has.
    fn passwords(self, user: &str, known: &[(&'static str, &str)]) -> Self {
        known.iter().fold(self, |row, (label, password)| {
            row.probe(&["check_password", user, HOST, password], Pick::Accepted(label))
        })
    }
}

/// Returns every row for an ejabberd version.
pub fn rows(version: Version) -> Vec<Row> {
    let mut rows = passwords();
    rows.extend(accounts(version));
    rows.extend(vcards());
    rows.extend(groups());
    rows.extend(rooms());
    rows.extend(affiliations(version));
    rows.extend(options(version));
    rows.push(
        Row::new(
            "server.accountsTable",
            "server",
            ["accountsTable: disc_copies", "accountsTable: disc_only_copies", ""],
        )
        .probe(&["!table"], Pick::Text)
        .drift(&["!table", "disc_only_copies"])
        .drift_later(&["!table", "disc_copies"])
        .managed("disc_copies", "disc_only_copies", "disc_copies"),
    );
    rows
}

const KNOWN: [(&str, &str); 3] = [("one", "one"), ("two", "two"), ("drifted", "drifted")];

fn passwords() -> Vec<Row> {
    let drifting = |row: Row, user: &str| {
        row.drifts(&["change_password", user, HOST, "drifted"]).passwords(user, &KNOWN)
    };
    vec![
        drifting(
            Row::new(
                "User.password",
                "users",
                [
                    "{ name: u-password, password: one }",
                    "{ name: u-password, password: two }",
                    "{ name: u-password }",
                ],
            ),
            "u-password",
        )
        .managed("one", "two", "drifted"),
        drifting(
            Row::new(
                "User.passwordFrom",
                "users",
                [
                    "{ name: u-file, passwordFrom: { file: pw-1 } }",
                    "{ name: u-file, passwordFrom: { file: pw-2 } }",
                    "{ name: u-file }",
                ],
            )
            .also("SecretFrom.file"),
            "u-file",
        )
        .managed("one", "two", "drifted"),
        Row::new(
            "SecretFrom.env",
            "users",
            [
                "{ name: u-env, passwordFrom: { env: CARGO_PKG_NAME } }",
                "{ name: u-env, passwordFrom: { env: CARGO_PKG_VERSION } }",
                "{ name: u-env }",
            ],
        )
        .drifts(&["change_password", "u-env", HOST, "drifted"])
        .passwords(
            "u-env",
            &[
                ("the name", env!("CARGO_PKG_NAME")),
                ("the version", env!("CARGO_PKG_VERSION")),
                ("drifted", "drifted"),
            ],
        )
        .managed("the name", "the version", "drifted"),
        drifting(
            Row::new(
                "SecretFrom.command",
                "users",
                [
                    "{ name: u-command, passwordFrom: { command: [echo, one] } }",
                    "{ name: u-command, passwordFrom: { command: [echo, two] } }",
                    "{ name: u-command }",
                ],
            ),
            "u-command",
        )
        .managed("one", "two", "drifted"),
        // The operator generates the password when it creates the account, and does not manage the
        // password later.
        Row::new(
            "SecretFrom.generate",
            "users",
            [
                "{ name: u-generate, passwordFrom: { generate: true }, passwordTo: { file: out/made } }",
                "{ name: u-generate, passwordFrom: { generate: true }, passwordTo: { file: out/made, mode: \"0640\" } }",
                "{ name: u-generate, passwordTo: { file: out/made } }",
            ],
        )
        .drift(&["unregister", "u-generate", HOST])
        .drift_later(&["change_password", "u-generate", HOST, "drifted"])
        .passwords("u-generate", &[("made", "{out/made}"), ("drifted", "drifted")])
        .seen(["made", "made", "made", "made", "drifted", "drifted"]),
        // The owner of the account decides until the file declares `enforce`.
        drifting(
            Row::new(
                "User.passwordPolicy",
                "users",
                [
                    "{ name: u-policy, password: one, passwordPolicy: initial }",
                    "{ name: u-policy, password: one, passwordPolicy: enforce }",
                    "{ name: u-policy, password: one }",
                ],
            ),
            "u-policy",
        )
        .seen(["one", "drifted", "one", "one", "one", "one"]),
        // The operator does not delete a file that is no longer declared.
        Row::new(
            "User.passwordTo",
            "users",
            [
                "{ name: u-to, password: one, passwordTo: { file: out/to-1 } }",
                "{ name: u-to, password: one, passwordTo: { file: out/to-2, mode: \"0640\" } }",
                "{ name: u-to, password: one }",
            ],
        )
        .also("SecretTo.file")
        .also("SecretTo.mode")
        .drift(&["!rm", "out/to-1"])
        .drift_later(&["!rm", "out/to-2"])
        .probe(&[], Pick::File("out/to-1"))
        .probe(&[], Pick::File("out/to-2"))
        .seen([
            "out/to-1:one:600",
            "out/to-1:one:600",
            "out/to-1:one:600 out/to-2:one:640",
            "out/to-1:one:600 out/to-2:one:640",
            "out/to-1:one:600",
            "out/to-1:one:600",
        ]),
    ]
}

fn accounts(version: Version) -> Vec<Row> {
    let mut rows = vec![
        Row::new("User.name", "users", ["{ name: u-name }", "{ name: u-renamed }", ""])
            .drift(&["unregister", "u-name", HOST])
            .drift_later(&["register", "u-renamed", HOST, "x"])
            .probe(&["check_account", "u-name", HOST], Pick::Accepted("name"))
            .probe(&["check_account", "u-renamed", HOST], Pick::Accepted("renamed"))
            // The operator does not delete the account that another program registered.
            .seen(["name", "name", "renamed", "", "renamed", "name renamed"]),
        Row::new(
            "User.state",
            "users",
            [
                "{ name: u-state, password: one, state: present }",
                "{ name: u-state, password: one, state: banned, reason: spam }",
                "{ name: u-state, password: one }",
            ],
        )
        .drifts(&["change_password", "u-state", HOST, "drifted"])
        .passwords("u-state", &KNOWN)
        .seen(["one", "one", "", "one", "one", "one"]),
        Row::new(
            "User.state",
            "users",
            [
                "{ name: u-banned, password: one, state: banned }",
                "{ name: u-banned, password: one, state: absent }",
                "{ name: u-banned, password: one }",
            ],
        )
        // There is no account to ban until another program registers the account.
        .drift(&["register", "u-banned", HOST, "one"])
        .drift_later(&["unregister", "u-banned", HOST])
        .probe(&["check_account", "u-banned", HOST], Pick::Accepted("there"))
        .passwords("u-banned", &KNOWN)
        .seen(["", "there", "", "there one", "there one", "there"]),
        Row::new(
            "User.deletionPolicy",
            "users",
            ["{ name: u-retain, deletionPolicy: retain }", "", ""],
        )
        .drifts(&["unregister", "u-retain", HOST])
        .probe(&["check_account", "u-retain", HOST], Pick::Accepted("there"))
        .seen(["there", "there", "there", "there", "", "there"]),
        Row::new(
            "User.deletionPolicy",
            "users",
            ["{ name: u-delete, deletionPolicy: delete }", "", ""],
        )
        .drift(&["unregister", "u-delete", HOST])
        .drift_later(&["register", "u-delete", HOST, "x"])
        .probe(&["check_account", "u-delete", HOST], Pick::Accepted("there"))
        .seen(["there", "there", "", "", "there", "there"]),
        Row::new(
            "User.paused",
            "users",
            [
                "{ name: u-paused, password: one, paused: false }",
                "{ name: u-paused, password: two, paused: true }",
                "{ name: u-paused, password: two }",
            ],
        )
        .drifts(&["change_password", "u-paused", HOST, "drifted"])
        .passwords("u-paused", &KNOWN)
        .seen(["one", "one", "one", "two", "two", "one"]),
    ];
    let reason = Row::new(
        "User.reason",
        "users",
        [
            "{ name: u-reason, password: one, state: banned, reason: one }",
            "{ name: u-reason, password: one, state: banned, reason: two }",
            "{ name: u-reason, password: one, state: banned }",
        ],
    )
    .before(&["register", "u-reason", HOST, "one"])
    .passwords("u-reason", &KNOWN);
    rows.push(if version == V23_01 {
        // This version stores no reason, so the test only checks that the account cannot log in.
        reason.seen([""; 6])
    } else {
        reason
            .drifts(&["unban_account", "u-reason", HOST])
            .drifts(&["ban_account", "u-reason", HOST, "drifted"])
            .probe(&["get_ban_details", "u-reason", HOST], Pick::Line("reason"))
            .managed("one", "two", "drifted")
    });
    if version != V23_01 {
        rows.push(
            Row::new(
                "User.state",
                "users",
                [
                    "{ name: u-unbanned, password: one, state: banned, reason: kept }",
                    // The changes that were declared during the ban take effect at once.
                    "{ name: u-unbanned, password: two, nickname: Una }",
                    "{ name: u-unbanned, password: two, nickname: Una }",
                ],
            )
            .before(&["register", "u-unbanned", HOST, "one"])
            .drift(&["unban_account", "u-unbanned", HOST])
            // The operator does not lift a ban of an administrator.
            .drift_later(&["ban_account", "u-unbanned", HOST, "drifted"])
            .probe(&["get_ban_details", "u-unbanned", HOST], Pick::Line("reason"))
            .passwords("u-unbanned", &KNOWN)
            .probe(&["get_vcard", "u-unbanned", HOST, "NICKNAME"], Pick::Text)
            .seen(["kept", "kept", "two Una", "two Una", "drifted Una", "kept Una"]),
        );
    }
    rows
}

fn vcards() -> Vec<Row> {
    let nickname = ["get_vcard", "u-nickname", HOST, "NICKNAME"];
    let second: [&str; 2] = ["EMAIL.USERID", "ORG.ORGNAME"];
    let (second, first): (Vec<&str>, Vec<&str>) =
        spec::vcard_fields().partition(|field| second.contains(field));
    vec![
        Row::new(
            "User.nickname",
            "users",
            [
                "{ name: u-nickname, nickname: Änn }",
                "{ name: u-nickname, nickname: Bea & Co }",
                "{ name: u-nickname }",
            ],
        )
        .drifts(&["set_vcard", "u-nickname", HOST, "NICKNAME", "drifted"])
        .probe(&nickname, Pick::Text)
        .managed("Änn", "Bea & Co", "drifted"),
        vcard("u-vcard", &first),
        vcard("u-vcard2", &second),
    ]
}

/// Returns a row with all of `fields` in one vCard.
fn vcard(user: &str, fields: &[&str]) -> Row {
    let all = |word: &str| {
        let all: Vec<String> =
            fields.iter().map(|field| format!("{field}: \"{field} {word}\"")).collect();
        all.join(", ")
    };
    let entry = |word: &str| format!("{{ name: {user}, vcard: {{ {} }} }}", all(word));
    let (set, changed) = (entry("one"), entry("two"));
    let mut row = Row::new("User.vcard", "users", [&set, &changed, &format!("{{ name: {user} }}")]);
    let seen = |word: &str| {
        let all: Vec<String> = fields.iter().map(|field| format!("{field} {word}")).collect();
        all.join(" ")
    };
    row = row.managed(&seen("one"), &seen("two"), &seen("drifted"));
    for field in fields {
        let path = match *field {
            "EMAIL" => "EMAIL.USERID",
            "ORG" => "ORG.ORGNAME",
            field => field,
        };
        let value = format!("{field} drifted");
        row = row.also(&format!("User.vcard.{field}"));
        row = match path.split_once('.') {
            None => row.probe(&["get_vcard", user, HOST, path], Pick::Text).drifts(&[
                "set_vcard",
                user,
                HOST,
                path,
                &value,
            ]),
            Some((element, part)) => row
                .probe(&["get_vcard2", user, HOST, element, part], Pick::Text)
                .drifts(&["set_vcard2", user, HOST, element, part, &value]),
        };
    }
    row
}

fn groups() -> Vec<Row> {
    let info = |row: Row, group: &str, key: &'static str| {
        row.probe(&["srg_get_info", group, HOST], Pick::Line(key))
    };
    vec![
        Row::new("Group.name", "groups", ["{ name: g-name }", "{ name: g-renamed }", ""])
            .drift(&["srg_delete", "g-name", HOST])
            .drift_later(&["srg_create", "g-renamed", HOST, "By hand", "", "g-renamed"])
            .probe(&["srg_get_info", "g-name", HOST], Pick::Line("displayed_groups"))
            .probe(&["srg_get_info", "g-renamed", HOST], Pick::Line("displayed_groups"))
            .seen([
                "[\"g-name\"]",
                "[\"g-name\"]",
                "[\"g-renamed\"]",
                "",
                "[\"g-renamed\"]",
                "[\"g-name\"] [\"g-renamed\"]",
            ]),
        info(
            Row::new(
                "Group.displayName",
                "groups",
                [
                    "{ name: g-display, displayName: \"Öne; 'two'\" }",
                    "{ name: g-display, displayName: Two }",
                    "{ name: g-display }",
                ],
            )
            .drifts(&["srg_create", "g-display", HOST, "Drifted", "", "g-display"]),
            "g-display",
            "label",
        )
        .managed("Öne; 'two'", "Two", "Drifted"),
        info(
            Row::new(
                "Group.description",
                "groups",
                [
                    "{ name: g-text, description: One of them }",
                    "{ name: g-text, description: Two }",
                    "{ name: g-text }",
                ],
            )
            .drifts(&["srg_create", "g-text", HOST, "", "Drifted", "g-text"]),
            "g-text",
            "description",
        )
        .managed("One of them", "Two", "Drifted"),
        // The operator removes an account from the group if the list does not name the account.
        Row::new(
            "Group.members",
            "groups",
            [
                "{ name: g-members, members: [m1] }",
                "{ name: g-members, members: [m2] }",
                "{ name: g-members }",
            ],
        )
        .drift(&["srg_user_del", "m1", HOST, "g-members", HOST])
        .drift_later(&["srg_user_del", "m2", HOST, "g-members", HOST])
        .drifts(&["srg_user_add", "m3", HOST, "g-members", HOST])
        .probe(&["srg_get_members", "g-members", HOST], Pick::Text)
        .managed("m1@test.example", "m2@test.example", "m3@test.example"),
        // The operator creates no group on the server for a group without a roster.
        info(
            Row::new(
                "Group.roster",
                "groups",
                [
                    "{ name: g-roster, roster: true }",
                    "{ name: g-roster, roster: false }",
                    "{ name: g-roster }",
                ],
            )
            .drifts(&["srg_create", "g-roster", HOST, "", "", ""]),
            "g-roster",
            "displayed_groups",
        )
        .seen([
            "[\"g-roster\"]",
            "[\"g-roster\"]",
            "",
            "[\"g-roster\"]",
            "[\"g-roster\"]",
            "[\"g-roster\"]",
        ]),
    ]
}

/// Observes whether a room exists.
fn there(row: Row, room: &str, service: &str, label: &'static str) -> Row {
    row.probe(&["get_room_affiliations", room, service], Pick::Accepted(label))
}

fn room_option_of(row: Row, room: &str, option: &'static str) -> Row {
    row.probe(&["get_room_options", room, SERVICE], Pick::Line(option))
}

fn rooms() -> Vec<Row> {
    let text = |field: &str, room: &str, option: &'static str| {
        let entry = |value: &str| format!("{{ name: {room}, {option}: {value} }}");
        let entries =
            [&entry("\"Öne: 'the' first\"")[..], &entry("Two"), &format!("{{ name: {room} }}")];
        let row = Row::new(field, "rooms", entries);
        row.managed("Öne: 'the' first", "Two", "Drifted")
    };
    let titled = |room: &str, row: Row| {
        let drift = ["change_room_option", room, SERVICE, "title", "Drifted"];
        room_option_of(row.drifts(&drift), room, "title")
    };
    let mut rows = vec![
        there(
            there(
                Row::new("Room.name", "rooms", ["{ name: r-name }", "{ name: r-renamed }", ""]),
                "r-name",
                SERVICE,
                "name",
            ),
            "r-renamed",
            SERVICE,
            "renamed",
        )
        .drift(&["destroy_room", "r-name", SERVICE])
        .drift_later(&["!room", "r-renamed", SERVICE, HOST, ""])
        .seen(["name", "name", "renamed", "", "renamed", "name renamed"]),
        there(
            there(
                Row::new(
                    "Room.service",
                    "rooms",
                    [
                        &format!("{{ name: r-service, service: {OTHER_SERVICE} }}"),
                        &format!("{{ name: r-service, service: {SERVICE} }}"),
                        "{ name: r-service }",
                    ],
                ),
                "r-service",
                OTHER_SERVICE,
                "other",
            ),
            "r-service",
            SERVICE,
            "first",
        )
        .drift(&["destroy_room", "r-service", OTHER_SERVICE])
        .drift_later(&["destroy_room", "r-service", SERVICE])
        .seen(["other", "other", "first", "first", "first", "other"]),
        titled("r-title", text("Room.title", "r-title", "title")),
        room_option_of(text("Room.description", "r-text", "description"), "r-text", "description")
            .drifts(&["change_room_option", "r-text", SERVICE, "description", "Drifted"]),
        text("Room.subject", "r-subject", "subject")
            .probe(&["!subject", "r-subject", SERVICE, HOST], Pick::Text)
            .drifts(&["destroy_room", "r-subject", SERVICE])
            .drifts(&["!sleep", "200"])
            .drifts(&["!room", "r-subject", SERVICE, HOST, "Drifted"]),
        there(
            Row::new(
                "Room.state",
                "rooms",
                [
                    "{ name: r-state, state: present }",
                    "{ name: r-state, state: absent }",
                    "{ name: r-state }",
                ],
            ),
            "r-state",
            SERVICE,
            "there",
        )
        .drifts(&["destroy_room", "r-state", SERVICE])
        .seen(["there", "there", "", "there", "there", "there"]),
        there(
            Row::new(
                "Room.deletionPolicy",
                "rooms",
                ["{ name: r-retain, deletionPolicy: retain }", "", ""],
            ),
            "r-retain",
            SERVICE,
            "there",
        )
        .drifts(&["destroy_room", "r-retain", SERVICE])
        .seen(["there", "there", "there", "there", "", "there"]),
        there(
            Row::new(
                "Room.deletionPolicy",
                "rooms",
                ["{ name: r-delete, deletionPolicy: delete }", "", ""],
            ),
            "r-delete",
            SERVICE,
            "there",
        )
        .drift(&["destroy_room", "r-delete", SERVICE])
        .drift_later(&["!room", "r-delete", SERVICE, HOST, ""])
        .seen(["there", "there", "", "", "there", "there"]),
    ];
    rows.push(
        titled(
            "r-paused",
            Row::new(
                "Room.paused",
                "rooms",
                [
                    "{ name: r-paused, title: One, paused: false }",
                    "{ name: r-paused, title: Two, paused: true }",
                    "{ name: r-paused, title: Two }",
                ],
            ),
        )
        .seen(["One", "One", "One", "Two", "Two", "One"]),
    );
    rows
}

/// Returns the words of the command with which another program gives an account an affiliation. The
/// value `none` removes the affiliation.
fn affiliate(version: Version, room: &str, user: &str, what: &str) -> Vec<String> {
    let mut words = vec!["set_room_affiliation".to_owned(), room.to_owned(), SERVICE.to_owned()];
    if version == V23_01 {
        words.push(format!("{user}@{HOST}"));
    } else {
        words.extend([user.to_owned(), HOST.to_owned()]);
    }
    words.push(what.to_owned());
    words
}

fn affiliations(version: Version) -> Vec<Row> {
    let of = |row: Row, room: &str| {
        row.probe(&["get_room_affiliations", room, SERVICE], Pick::Affiliations)
    };
    let give = |mut row: Row, stage: usize, room: &str, user: &str, what: &str| {
        row.drift[stage].push(affiliate(version, room, user, what).join("\t"));
        row
    };
    let mut rows = Vec::new();
    // An account that is removed from the list, or with the list, loses the affiliation.
    for what in ["owner", "admin", "member", "outcast"] {
        let room = format!("r-{what}");
        let entry = |who: &str| {
            let list = if who.is_empty() { String::new() } else { format!("{what}: [{who}]") };
            format!("{{ name: {room}, affiliations: {{ {list} }} }}")
        };
        let row = Row::new(
            &format!("Affiliations.{what}"),
            "rooms",
            [&entry("m1"), &entry("m2"), &entry("")],
        );
        let row = give(row, 0, &room, "m1", "none");
        let other = if what == "owner" { "admin" } else { "owner" };
        // The operator does not remove an affiliation that another program gave.
        let row = give(row, 1, &room, "m3", other);
        let (m1, m2, m3) = (format!("m1={what}"), format!("m2={what}"), format!("m3={other}"));
        let back = format!("{m1} {m3}");
        rows.push(of(row, &room).seen([&m1, &m1, &m2, "", &m3, &back]));
    }
    let row = Row::new(
        "Room.affiliations",
        "rooms",
        [
            "{ name: r-affiliations, affiliations: { owner: [m1], member: [m2, \"@g-listed\"] } }",
            "{ name: r-affiliations, affiliations: { owner: [m2], member: [m1] } }",
            "{ name: r-affiliations }",
        ],
    );
    let row = give(row, 0, "r-affiliations", "m1", "outcast");
    let row = give(row, 1, "r-affiliations", "m2", "admin");
    rows.push(of(row, "r-affiliations").seen([
        "m1=owner m2=member m4=member",
        "m1=owner m2=member m4=member",
        "m1=member m2=owner",
        "m1=member m2=owner",
        "m1=member m2=admin",
        "m1=owner m2=member m4=member",
    ]));
    rows.push(
        Row::new(
            "Group.members",
            "groups",
            ["{ name: g-listed, members: [m4], roster: false }"; 3],
        )
        .probe(&["srg_get_info", "g-listed", HOST], Pick::Text)
        .seen([""; 6]),
    );
    let row = Row::new(
        "Room.exclusive",
        "rooms",
        [
            "{ name: r-exclusive, affiliations: { member: [m1] }, exclusive: true }",
            "{ name: r-exclusive, affiliations: { member: [m1] }, exclusive: false }",
            "{ name: r-exclusive, affiliations: { member: [m1] } }",
        ],
    );
    let row = give(row, 0, "r-exclusive", "m3", "admin");
    let row = give(row, 1, "r-exclusive", "m3", "admin");
    rows.push(of(row, "r-exclusive").seen([
        "m1=member",
        "m1=member",
        "m1=member",
        "m1=member",
        "m1=member m3=admin",
        "m1=member",
    ]));
    rows
}

/// The room options with three values: set, changed, and set by others.
const OPTIONS: [(&str, [&str; 3]); 31] = [
    ("allow_change_subj", ["false", "true", "false"]),
    ("allow_private_messages", ["false", "true", "false"]),
    ("allow_private_messages_from_visitors", ["nobody", "moderators", "anyone"]),
    ("allow_query_users", ["false", "true", "false"]),
    ("allow_subscription", ["true", "false", "true"]),
    ("allow_user_invites", ["true", "false", "true"]),
    ("allow_visitor_nickchange", ["false", "true", "false"]),
    ("allow_visitor_status", ["false", "true", "false"]),
    ("allow_voice_requests", ["false", "true", "false"]),
    ("allowpm", ["none", "moderators", "participants"]),
    ("anonymous", ["false", "true", "false"]),
    ("captcha_protected", ["true", "false", "true"]),
    ("description", ["One", "\"Zwö: 'x'\"", "Drifted"]),
    ("enable_hats", ["true", "false", "true"]),
    ("lang", ["de", "fr", "es"]),
    ("logging", ["true", "false", "true"]),
    ("mam", ["true", "false", "true"]),
    ("max_users", ["10", "20", "30"]),
    ("members_by_default", ["false", "true", "false"]),
    ("members_only", ["true", "false", "true"]),
    ("moderated", ["false", "true", "false"]),
    ("password", ["one", "\"zwö, & <so>\"", "drifted"]),
    ("password_protected", ["true", "false", "true"]),
    ("persistent", ["true", "false", "false"]),
    ("presence_broadcast", ["[moderator]", "[moderator, participant]", "[visitor]"]),
    ("public", ["false", "true", "false"]),
    ("public_list", ["false", "true", "false"]),
    ("pubsub", ["node-1", "node-2", "node-3"]),
    ("title", ["One", "Two", "Drifted"]),
    ("vcard", ["'<vCard xmlns=\"vcard-temp\"/>'", "''", "x"]),
    ("voice_request_min_interval", ["60", "120", "180"]),
];

fn options(version: Version) -> Vec<Row> {
    let has = |name: &str| match name {
        "allow_private_messages" => version == V23_01,
        "allowpm" => version != V23_01,
        _ => true,
    };
    OPTIONS.iter().filter(|(name, _)| has(name)).map(|row| option(version, row)).collect()
}

fn option(version: Version, (name, values): &(&'static str, [&'static str; 3])) -> Row {
    let [set, changed, drifted] = *values;
    let room = format!("o-{name}");
    let entry = |value: &str| format!("{{ name: {room}, options: {{ {name}: {value} }} }}");
    let without = format!("{{ name: {room} }}");
    // ejabberd prints some values in another form than YAML.
    let printed = |value: &str| {
        let inside = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
        let inside = inside('"').or(inside('\'')).unwrap_or(value);
        if value.starts_with('[') { inside.replace(", ", ",") } else { inside.to_owned() }
    };
    let field = format!("Room.options.{name}");
    let row = match *name {
        // Up to ejabberd 24.12, this option can be set only when a room is created.
        "enable_hats" if version != V26_07 => {
            let row = Row::new(&field, "rooms", [&entry(set), &entry(set), &without]);
            return room_option_of(row.seen(["true"; 6]), &room, name);
        }
        // Without the option, the operator creates a persistent room.
        "persistent" => Row::new(&field, "rooms", [&entry(set), &entry(changed), &without])
            .seen(["true", "true", "false", "true", "true", "true"]),
        _ => Row::new(&field, "rooms", [&entry(set), &entry(changed), &without]).managed(
            &printed(set),
            &printed(changed),
            &printed(drifted),
        ),
    };
    let row = if *name == "title" { row.also("Room.options") } else { row };
    let drifted = match drifted {
        // ejabberd prints brackets around a list up to 24.12, and none later.
        "[visitor]" if version == V26_07 => "visitor",
        drifted => drifted,
    };
    room_option_of(row, &room, name).drifts(&["change_room_option", &room, SERVICE, name, drifted])
}
