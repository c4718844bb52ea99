//! Validates every document in `tests/documents` and compares the problems with the text file beside
//! the document.
//!
//! `UPDATE_GOLDEN=1` writes the expected texts again. Read the difference before you commit the
//! texts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/golden.rs"]
mod golden;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ejabberd_operator::domain::spec::{Problem, SecretSource, SourceFile, schema, validate};
use proptest::prelude::*;

const COMPLETE: &str = include_str!("documents/complete.yaml");

fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents")
}

/// Reads the source files of a document, which is one file or a directory.
fn sources(path: &Path) -> Vec<SourceFile> {
    let mut files = if path.is_dir() {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    } else {
        vec![path.to_owned()]
    };
    files.sort();
    let shown = |file: &Path| file.strip_prefix(documents()).unwrap().to_owned();
    files
        .iter()
        .map(|file| SourceFile { path: shown(file), text: std::fs::read_to_string(file).unwrap() })
        .collect()
}

fn one(text: &str) -> Vec<SourceFile> {
    vec![SourceFile { path: "desired-state.yaml".into(), text: text.to_owned() }]
}

fn rendered(result: Result<Vec<Problem>, Vec<Problem>>) -> String {
    let (verdict, problems) = match result {
        Ok(warnings) => ("valid", warnings),
        Err(problems) => ("refused", problems),
    };
    let mut text = String::new();
    for problem in problems {
        writeln!(text, "{problem}\n").unwrap();
    }
    text + verdict + "\n"
}

fn report(files: &[SourceFile]) -> String {
    rendered(validate(files).map(|validated| validated.warnings))
}

#[test]
fn every_document_has_the_expected_problems() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for entry in std::fs::read_dir(documents()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            continue;
        }
        seen += 1;
        let report = report(&sources(&path));
        let golden = path.with_extension("txt");
        if !golden::is_golden(&golden, &report) {
            wrong.push(format!("--- {} ---\n{report}", golden.display()));
        }
    }
    assert!(seen > 20, "{seen} documents");
    assert!(wrong.is_empty(), "not as in the golden files:\n{}", wrong.join("\n"));
}

#[test]
fn the_committed_schema_matches_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/desired-state.schema.json");
    let now = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    golden::assert_golden(&path, &now);
}

#[test]
fn the_complete_document_is_valid_and_read_correctly() {
    let validated = validate(&one(COMPLETE)).unwrap();
    assert!(validated.warnings.iter().all(|warning| warning.message.contains("not yet supported")));
    let desired = validated.desired;
    assert_eq!(desired.name, "v2-messaging");
    let users: Vec<String> = desired.users.unwrap().keys().map(ToString::to_string).collect();
    assert_eq!(users.len(), 5);
    assert!(users.contains(&"ann@smoothcurves.nexus".to_owned()));
    let rooms = desired.rooms.unwrap();
    let (jid, room) = rooms.first_key_value().unwrap();
    assert_eq!(jid.to_string(), "general@conference.smoothcurves.nexus");
    assert_eq!(
        room.options.keys().collect::<Vec<_>>(),
        ["description", "members_only", "persistent", "title"]
    );
    let clients = desired.messaging.unwrap().clients;
    assert_eq!(clients[0].name.as_str(), "nexus");
    assert_eq!(clients[0].token_from, SecretSource::File("secrets/mcp-nexus".into()));
    assert_eq!((clients[0].act_as.len(), clients[0].tools.len(), clients[0].to.len()), (2, 4, 2));
    assert_eq!(clients[0].registration.as_ref().unwrap().rooms[0].local, "personal-{name}");
    assert!(desired.policy.ignores("guest-7@smoothcurves.nexus"));
}

#[test]
fn relative_paths_start_at_the_file_that_names_them() {
    let file =
        SourceFile { path: "/etc/xmpp/desired-state.yaml".into(), text: COMPLETE.to_owned() };
    let config = validate(&[file]).unwrap().desired.config.unwrap();
    assert_eq!(
        config.variants["hardened"],
        Path::new("/etc/xmpp/manifests/ejabberd/ejabberd-hardened.yml")
    );
}

#[test]
fn the_revision_is_the_hash_of_names_and_contents() {
    let revision = |path: &str, text: &str| {
        validate(&[SourceFile { path: path.into(), text: text.to_owned() }])
            .unwrap()
            .desired
            .revision
    };
    let first = revision("a/x.yaml", COMPLETE);
    assert_eq!(first, revision("b/x.yaml", COMPLETE));
    assert_ne!(first, revision("a/y.yaml", COMPLETE));
    assert_ne!(first, revision("a/x.yaml", &format!("{COMPLETE}# a comment\n")));
    assert_eq!(first.as_str().len(), 64);
}

#[test]
fn too_large_files_and_no_files_are_refused() {
    let much = "#".repeat(ejabberd_operator::domain::spec::MAX_FILE_BYTES + 1);
    assert!(validate(&one(&much)).unwrap_err()[0].message.contains("at most"));
    assert_eq!(validate(&[]).unwrap_err().len(), 1);
}

#[test]
fn many_users_with_many_mistakes_are_checked_quickly() {
    let mut text = COMPLETE.split("  users:\n").next().unwrap().to_owned() + "  users:\n";
    for number in 0..20_000 {
        let name = if number % 2 == 0 { number } else { number - 1 };
        writeln!(
            text,
            "    - {{ name: u{name}, password: secret{number}, colour: blue, state: gone }}"
        )
        .unwrap();
    }
    let start = std::time::Instant::now();
    assert!(validate(&one(&text)).is_err());
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

const MARKER: &str = "hunter2marker";

/// Passwords in every notation of YAML.
const PASSWORDS: &str = r#"
apiVersion: ejabberd-operator/v1
kind: EjabberdServer
metadata: { name: test }
spec:
  host: example.org
  server:
    docker:
      container: v2-ejabberd
  users:
    - name: ann
      password: hunter2marker
      paused: true
    - { name: bob, password: "hunter2marker", state: present }
    - name: carl
      password: >-
        hunter2marker
      deletionPolicy: retain
    - name: dora
      password:
        'hunter2marker'
  rooms:
    - name: secret
      options: { password_protected: true, password: hunter2marker }
      title: Secret
  policy: { mode: report }
"#;

/// Removes `cut` characters of a line and inserts `what`. With `spare`, does not change a line with
/// a password or with the key `password`, because the program does not mask a string that is no
/// longer the value of `password`.
fn edited(text: &str, (line, column, cut, what): &Edit, spare: bool) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = line % lines.len();
    if spare && (lines[line].contains(MARKER) || lines[line].contains("password:")) {
        return text.to_owned();
    }
    let mut chars: Vec<char> = lines[line].chars().collect();
    let at = column % (chars.len() + 1);
    chars.splice(at..(at + cut).min(chars.len()), what.chars());
    lines[line] = chars.into_iter().collect();
    lines.join("\n") + "\n"
}

type Edit = (usize, usize, usize, String);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let word = prop::sample::select(vec![
        "", " ", "\t", ":", ": ", "- ", "\"", "'", "[", "]", "{", "}", "#", "&a ", "*a", "!",
        "!!str ", "|", ">", "---", "<<: ", "~", "%", "@", "\n", "\r", "\0", "é", "\u{feff}",
        "\u{202e}", "1", "true", "name", "password", ",",
    ]);
    prop::collection::vec(
        (0..100_usize, 0..80_usize, 0..6_usize, word.prop_map(str::to_owned)),
        1..6,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edited_document_does_not_panic(edits in edits()) {
        let text = edits.iter().fold(COMPLETE.to_owned(), |text, edit| edited(&text, edit, false));
        if let Err(problems) = validate(&one(&text)) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(!problem.to_string().contains(['\t', '\r', '\0', '\u{202e}']), "{problem}");
            }
        }
    }

    #[test]
    fn arbitrary_text_does_not_panic(text in ".{0,200}") {
        prop_assert!(validate(&one(&text)).is_err());
    }

    #[test]
    fn an_edited_document_does_not_show_a_password(edits in edits()) {
        let text = edits.iter().fold(PASSWORDS.to_owned(), |text, edit| edited(&text, edit, true));
        let report = report(&one(&text));
        prop_assert!(!report.contains(MARKER), "{text}\n=====\n{report}");
    }

    #[test]
    fn the_order_of_entries_does_not_matter(by in 0..5_usize) {
        let (head, rest) = COMPLETE.split_once("  users:\n").unwrap();
        let (users, tail) = rest.split_once("\n  groups:\n").unwrap();
        let mut users: Vec<&str> = users.split("    - ").filter(|user| !user.is_empty()).collect();
        users.rotate_left(by);
        let users: Vec<String> = users.iter().map(|user| format!("    - {}\n", user.trim_end())).collect();
        let users = users.concat();
        let turned = validate(&one(&format!("{head}  users:\n{users}\n  groups:\n{tail}"))).unwrap().desired;
        let straight = validate(&one(COMPLETE)).unwrap().desired;
        prop_assert_eq!(turned.users, straight.users);
        prop_assert_eq!(turned.groups, straight.groups);
    }
}

#[test]
#[ignore = "measures; run it with --release"]
fn a_hundred_thousand_users() {
    let mut text = COMPLETE.split("  users:\n").next().unwrap().to_owned() + "  users:\n";
    for number in 0..100_000 {
        writeln!(
            text,
            "    - name: user{number}\n      passwordFrom: {{ file: secrets/user{number} }}"
        )
        .unwrap();
    }
    text += "  rooms:\n    - name: all\n      affiliations:\n        member:\n";
    for number in 0..100_000 {
        writeln!(text, "          - stranger{number}").unwrap();
    }
    let start = std::time::Instant::now();
    let users = validate(&one(&text)).unwrap().desired.users.unwrap().len();
    eprintln!("{users} users, {} bytes: {:?}", text.len(), start.elapsed());
}

#[test]
fn carriage_returns_and_a_byte_order_mark_do_not_matter() {
    let windows = format!("\u{feff}{}", COMPLETE.replace('\n', "\r\n"));
    let (here, there) = (validate(&one(COMPLETE)).unwrap(), validate(&one(&windows)).unwrap());
    assert_eq!(here.desired.users, there.desired.users);
    let lines = |problems: &[Problem]| -> Vec<usize> {
        problems.iter().map(|problem| problem.position.as_ref().unwrap().line).collect()
    };
    assert_eq!(lines(&here.warnings), lines(&there.warnings));
}
