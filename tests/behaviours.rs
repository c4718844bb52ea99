//! Tests the decisions of the reconciler. `tests/behaviours` has one file for each behaviour, with
//! the declared state, the observed state, the owned objects, and the expected plan. The tests
//! compute the plan from the text of the file, without an engine and without a server.
//!
//! `UPDATE_GOLDEN=1` rewrites the `plan:` of each file and keeps the rest. Read the new plans as an
//! administrator would before you commit the files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "behaviours/desired.rs"]
mod desired;
#[path = "behaviours/difference.rs"]
mod difference;
#[path = "behaviours/golden.rs"]
mod golden;
#[path = "behaviours/inventory.rs"]
mod inventory;
#[path = "behaviours/observed.rs"]
mod observed;
#[path = "behaviours/planned.rs"]
mod planned;

use std::fs;
use std::path::{Path, PathBuf};

use golden::Golden;

/// The behaviours that must have a file. The directory may hold more files.
const PROMISED: &[&str] = &[
    "absent-ordered",
    "accounts-kept-elsewhere-observed",
    "accounts-table",
    "affiliation-changed",
    "affiliations-of-others-stay",
    "affiliations-set-only-if-needed",
    "ban",
    "ban-by-others-left-alone",
    "ban-leaves-past-rooms",
    "ban-leaves-rooms",
    "ban-with-another-reason",
    "banned-and-missing-left-alone",
    "banned-profile-untouched",
    "direct-listing-beats-group",
    "empty-users-list",
    "exclusive-affiliations",
    "group-change-reaches-rooms-and-roster",
    "group-missing-created",
    "group-removed",
    "group-without-roster",
    "guard-approved",
    "guard-empties-never",
    "guard-refuses-too-many",
    "ignored-left-alone",
    "last-good-order",
    "member-removed-from-group-loses-what-the-operator-gave-and-keeps-what-others-gave",
    "messaging-changes-nothing",
    "missing-account-created",
    "names-enforced",
    "names-left-alone",
    "null-users",
    "outcast-by-group-wins",
    "outcast-of-banned-stays",
    "paused-left-alone",
    "prune-all",
    "prune-none",
    "removed-entry-deleted",
    "renamed-host",
    "retained-entry-kept",
    "room-missing-created",
    "room-option-unknown-to-the-version",
    "room-options-and-subject",
    "subject-left-over",
    "unban",
    "unknown-accounts-delete-nothing",
    "unknown-room-deletes-nothing",
    "unmanaged-account-untouched",
    "unmanaged-room-untouched",
];

/// The golden files, sorted by name.
fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviours");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_plan_matches_its_golden_file() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for path in files() {
        let text = fs::read_to_string(&path).unwrap();
        let judged = Golden::read(&text).and_then(|golden| Ok((golden.plan()?, golden)));
        match judged {
            Err(why) => wrong.push(format!("=== {}: {why}", name(&path))),
            Ok((plan, golden)) if update => {
                fs::write(&path, golden.head.to_owned() + &plan).unwrap();
            }
            Ok((plan, golden)) if golden.expected == plan => {}
            Ok((plan, golden)) => {
                let lines = difference::lines(golden.expected, &plan);
                wrong.push(format!("=== {}: {}\n{lines}", name(&path), golden.sentence));
            }
        }
    }
    assert!(wrong.is_empty(), "not as in the golden files:\n\n{}\n", wrong.join("\n\n"));
}

#[test]
fn every_promised_behaviour_has_a_file() {
    assert!(PROMISED.is_sorted());
    let there: Vec<String> = files().iter().map(|path| name(path)).collect();
    let missing = PROMISED.iter().filter(|name| !there.iter().any(|there| there == *name));
    assert_eq!(missing.collect::<Vec<_>>(), [&""; 0]);
}

/// If the reader ignored a typo in a golden file, the test of that file would prove nothing.
#[test]
fn a_golden_file_with_a_mistake_is_refused() {
    const GOOD: &str = "# A sentence.\n\ndesired:\n  users: [{ name: ann }]\n\nobserved:\n  users: { example.org: [ann] }\n\ninventory:\n  users: { ann: {} }\n\nplan:\n";
    let plan = |text: &str| Golden::read(text)?.plan();
    plan(GOOD).unwrap();
    for (part, mistake) in [
        ("# A sentence.\n", ""),
        ("inventory:\n", "inventry:\n"),
        ("plan:\n", ""),
        ("\nobserved:\n", "\nextra: {}\nobserved:\n"),
        ("\nobserved:\n", "\ndesired:\n  rooms: []\nobserved:\n"),
        ("  users: { example.org: [ann] }", "  usrs: { example.org: [ann] }"),
        ("  users: { example.org: [ann] }", "  users: { elsewhere.example: [ann] }"),
        ("  users: { example.org: [ann] }", "  users: { example.org: { unknwon: why } }"),
        ("  users: { example.org: [ann] }", "  users: { example.org: ["),
        ("  users: { example.org: [ann] }", "  passwords: { ann: wrong }"),
        ("  users: { example.org: [ann] }", "  groups: { agents: {} }"),
        ("  users: { example.org: [ann] }", "  rooms: { hall: { affiliations: { ann: king } } }"),
        ("  users: { ann: {} }", "  users: { ann: { deletionPolcy: retain } }"),
        ("  users: { ann: {} }", "  rooms: { hall: {}, hall: {} }"),
        ("  users: { ann: {} }", "  affiliations: { ann: {} }"),
    ] {
        let text = GOOD.replacen(part, mistake, 1);
        assert_ne!(text, GOOD, "{part:?}");
        assert!(plan(&text).is_err(), "{text}");
    }
}
