//! Tests every field of every object on a real ejabberd: the effect of setting, changing, removing
//! and restoring the field, and the effect of a change on the server.
//!
//! A field without a row in [`rows`] fails a test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

#[path = "fields/rows.rs"]
mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use ejabberd_operator::domain::spec;
use rows::{Pick, Probe, Row, Version, rows};
use support::host::Host;
use support::real::CONFIG;

/// A stage of the test: what the file declares, and whether another program changed the server.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Set,
    SetAndDrifted,
    Changed,
    Removed,
    RemovedAndDrifted,
    SetBack,
}

use Stage::{Changed, Removed, RemovedAndDrifted, Set, SetAndDrifted, SetBack};

const STAGES: [Stage; 6] = [Set, SetAndDrifted, Changed, Removed, RemovedAndDrifted, SetBack];

impl Stage {
    /// Returns the index in `Row::entries` of the entry that the file declares.
    fn entry(self) -> usize {
        match self {
            Set | SetAndDrifted | SetBack => 0,
            Changed => 1,
            Removed | RemovedAndDrifted => 2,
        }
    }

    /// Returns the index in `Row::drift` of the commands before the stage. `None` if no other
    /// program changes the server.
    fn drift(self) -> Option<usize> {
        match self {
            SetAndDrifted => Some(0),
            RemovedAndDrifted => Some(1),
            Set | Changed | Removed | SetBack => None,
        }
    }
}

/// Declares the entry of each row for a stage.
fn declare(host: &mut Host, rows: &[Row], stage: Stage) {
    let mut text = String::new();
    for list in ["users", "groups", "rooms"] {
        text += &format!("  {list}:\n");
        for row in rows.iter().filter(|row| row.list == list) {
            for entry in row.entries[stage.entry()].lines().filter(|line| !line.is_empty()) {
                text += &format!("    - {entry}\n");
            }
        }
    }
    let server = rows.iter().filter(|row| row.list == "server");
    let lines: Vec<String> =
        server.map(|row| format!("    {}\n", row.entries[stage.entry()])).collect();
    host.server = lines.concat();
    host.declare(&text);
}

/// Replaces `{NAME}` in a command with the content of the file NAME, or with "absent" if the file
/// does not exist.
fn filled(host: &Host, command: &str) -> String {
    let Some((before, rest)) = command.split_once('{') else { return command.to_owned() };
    let (name, after) = rest.split_once('}').unwrap();
    let content = fs::read_to_string(host.path(name)).unwrap_or_else(|_| "absent".to_owned());
    format!("{before}{content}{after}")
}

/// Runs commands that change the server. `!rm` removes a file of the operator.
fn run_all<'c>(host: &Host, commands: impl Iterator<Item = &'c String>) {
    let (files, commands): (Vec<String>, Vec<String>) =
        commands.cloned().partition(|command| command.starts_with("!rm"));
    for file in files {
        fs::remove_file(host.path(file.split_once('\t').unwrap().1)).unwrap();
    }
    for (command, (status, text)) in commands.iter().zip(host.many(&commands)) {
        assert_eq!(status, 0, "{command}: {text}");
    }
}

/// Returns the current value of each row.
fn seen(host: &Host, rows: &[Row]) -> Vec<String> {
    let probes: Vec<&Probe> = rows.iter().flat_map(|row| &row.probes).collect();
    let asked: Vec<String> = probes
        .iter()
        .filter(|probe| !matches!(probe.pick, Pick::File(_)))
        .map(|probe| filled(host, &probe.command))
        .collect();
    let mut answers = host.many(&asked).into_iter();
    rows.iter()
        .map(|row| {
            let parts = row.probes.iter().map(|probe| match probe.pick {
                Pick::File(name) => file(host, name),
                _ => {
                    let (status, text) = answers.next().unwrap();
                    picked(&probe.pick, status, &text)
                }
            });
            let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
            parts.join(" ")
        })
        .collect()
}

fn file(host: &Host, name: &str) -> String {
    let path = host.path(name);
    let Ok(content) = fs::read_to_string(&path) else { return String::new() };
    let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
    format!("{name}:{content}:{mode:o}")
}

fn picked(pick: &Pick, status: i32, text: &str) -> String {
    match pick {
        Pick::Accepted(label) if status == 0 => (*label).to_owned(),
        Pick::Accepted(_) | Pick::File(_) => String::new(),
        _ if status != 0 => String::new(),
        Pick::Text => text.to_owned(),
        Pick::Line(key) => {
            let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('\t'));
            value.unwrap_or_default().trim_end().to_owned()
        }
        Pick::Affiliations => {
            // `user host affiliation reason`, or since 24.12 `user@host affiliation reason`.
            let one = |line: &str| {
                let user = line.split(['@', '\t']).next().unwrap();
                let what = ["owner", "admin", "member", "outcast"]
                    .into_iter()
                    .find(|what| line.split('\t').any(|word| word == *what));
                format!("{user}={}", what.unwrap())
            };
            text.lines().map(one).collect::<Vec<_>>().join(" ")
        }
    }
}

fn every_field(version: Version) {
    let mut host = Host::new(version.name());
    let config = CONFIG.replace(
        "mod_muc: { max_users: 200 }",
        "mod_muc: { max_users: 200, hosts: [conference.test.example, rooms.test.example] }\n  mod_muc_log: {}",
    );
    fs::write(host.path("ejabberd.yml"), config).unwrap();
    fs::write(host.path("pw-1"), "one\n").unwrap();
    fs::write(host.path("pw-2"), "two").unwrap();
    // The objects of others exist before the first declaration.
    host.declare("");
    host.run(&["apply"]).expect(0);
    let rows = rows(version);
    run_all(&host, rows.iter().flat_map(|row| &row.before));
    let mut wrong = Vec::new();
    for (n, stage) in STAGES.into_iter().enumerate() {
        if let Some(drift) = stage.drift() {
            run_all(&host, rows.iter().flat_map(|row| &row.drift[drift]));
        }
        declare(&mut host, &rows, stage);
        let applied = host.run(&["apply"]);
        if applied.code != Some(0) {
            wrong.push(format!("{stage:?}: {}\n{}", applied.stdout, applied.stderr));
        }
        for (row, seen) in rows.iter().zip(seen(&host, &rows)) {
            if seen != row.seen[n] {
                wrong.push(format!(
                    "{stage:?}: {:?} is {seen:?}, not {:?}",
                    row.fields, row.seen[n]
                ));
            }
        }
        let again = host.run(&["plan", "--detailed-exitcode"]);
        if again.code != Some(0) {
            wrong.push(format!("{stage:?}, again: {}", again.stdout));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    only_at_creation(&mut host, version);
}

/// The operator reports options that a version can set only when it creates a room.
fn only_at_creation(host: &mut Host, version: Version) {
    if version == Version::V26_07 {
        return;
    }
    host.declare("  rooms: [{ name: o-enable_hats, options: { enable_hats: false } }]\n  policy: { prune: none }\n");
    let applied = host.run(&["apply"]).expect(1);
    assert!(
        applied.stdout.contains("`enable_hats` only when a room is created"),
        "{}",
        applied.stdout
    );
}

#[test]
fn every_field_newest() {
    every_field(Version::V26_07);
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn every_field_24_12() {
    every_field(Version::V24_12);
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn every_field_23_01() {
    every_field(Version::V23_01);
}

#[test]
fn every_field_has_a_row() {
    let schema: serde_json::Value = serde_json::from_str(include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/manifests/desired-state.schema.json"
    )))
    .unwrap();
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for object in ["User", "Group", "Room", "Affiliations", "SecretFrom", "SecretTo"] {
        let properties = schema["$defs"][object]["properties"].as_object().unwrap();
        expected.extend(properties.keys().map(|field| format!("{object}.{field}")));
    }
    expected.insert("server.accountsTable".to_owned());
    expected.extend(spec::room_options().map(|option| format!("Room.options.{option}")));
    expected.extend(spec::vcard_fields().map(|field| format!("User.vcard.{field}")));
    let tested: BTreeSet<String> =
        Version::ALL.into_iter().flat_map(rows).flat_map(|row| row.fields).collect();
    let missing: Vec<&String> = expected.difference(&tested).collect();
    assert!(missing.is_empty(), "without a row in tests/fields/rows.rs: {missing:?}");
    let unknown: Vec<&String> = tested.difference(&expected).collect();
    assert!(unknown.is_empty(), "not fields of the format: {unknown:?}");
}
