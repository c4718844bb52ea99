//! Runs the built program on a real terminal and without a terminal: the colours, the width of
//! tables, and the escaping of text from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use console::{measure_text_width, strip_ansi_codes};
use ejabberd_operator::adapters::sqlite::SqliteStore;
use ejabberd_operator::domain::inventory::{Ban, Origin, Owned};
use ejabberd_operator::domain::model::{Kind, ObjectKey, Revision};
use ejabberd_operator::domain::spec::DeletionPolicy;
use ejabberd_operator::engine::Store;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A text with control sequences, which could take over the terminal of a reader. The inventory of
/// the tests contains this text as a revision and as the reason for a ban.
const EVIL: &str = "evil\u{1b}]0;owned\u{7}\u{9b}2J\r\u{202e}@conference.example.org";

fn operator(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"));
    command.current_dir(directory).args(arguments).stdin(Stdio::null()).env("TERM", "xterm");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI", "COLUMNS", "JOURNAL_STREAM"] {
        command.env_remove(name);
    }
    command
}

/// Runs the program with a terminal of `columns` columns as standard output and standard error.
fn on_terminal(mut command: Command, columns: u16) -> String {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let theirs = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut child = command.stdout(theirs.try_clone().unwrap()).stderr(theirs).spawn().unwrap();
    // Close the last copies of the terminal in this process, so that reading ends with the child.
    drop(command);
    let mut all = Vec::new();
    // After the child has closed the terminal, the read returns the remaining data and then fails,
    // so ignore the error.
    let _ = std::fs::File::from(ours).read_to_end(&mut all);
    child.wait().unwrap();
    // The terminal writes line ends as two characters.
    String::from_utf8(all).unwrap().replace("\r\n", "\n")
}

fn piped(mut command: Command) -> (String, String) {
    let out = command.output().unwrap();
    (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
}

/// Creates a state directory with a few owned objects.
fn owned(directory: &Path) {
    let store = SqliteStore::open(&directory.join("state")).unwrap();
    let long = "a-room-with-quite-a-long-name@conference.smoothcurves.nexus";
    let names = [
        (Kind::User, "ann@example.org"),
        (Kind::User, "日本語@example.org"),
        (Kind::Room, long),
        (Kind::Room, "hall@conference.smoothcurves.nexus"),
    ];
    let owned = Owned {
        origin: Origin::Created,
        since: jiff::Timestamp::UNIX_EPOCH,
        revision: Revision::new(EVIL),
        deletion_policy: DeletionPolicy::Retain,
        password: None,
        vcard: None,
        banned: Some(Ban { reason: EVIL.to_owned(), confirmed: true }),
    };
    let entries = names.map(|(kind, name)| (ObjectKey::parse(kind, name).unwrap(), owned.clone()));
    store.record(&entries, &[]).unwrap();
}

fn is_harmless(text: &str) {
    let text = strip_ansi_codes(text);
    let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
    assert_eq!(bad, None, "{text:?}");
}

const LIST: [&str; 3] = ["--state-dir", "state", "inventory"];

#[test]
fn a_table_fits_its_terminal_and_is_not_wrapped_in_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    owned(directory.path());
    for columns in [40, 80, 160] {
        let text = on_terminal(operator(directory.path(), &LIST), columns);
        assert!(text.contains("ann@example.org") && text.contains("日本語@example.org"), "{text}");
        for line in text.lines() {
            assert!(measure_text_width(line) <= columns.into(), "{columns}: {line}\n{text}");
        }
        is_harmless(&text);
    }
    let (text, _) = piped(operator(directory.path(), &LIST));
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(text.lines().next().unwrap().starts_with("KIND"), "{text}");
    is_harmless(&text);
}

#[test]
fn escaped_json_keeps_its_values() {
    let directory = tempfile::tempdir().unwrap();
    owned(directory.path());
    let (json, _) = piped(operator(directory.path(), &[&LIST[..], &["--output", "json"]].concat()));
    is_harmless(&json);
    let list: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(list.as_array().unwrap().iter().any(|entry| entry["banned"] == EVIL), "{json}");
}

/// Returns whether a text has colour sequences.
fn coloured(text: &str) -> bool {
    text.contains("\u{1b}[")
}

#[test]
fn colours_follow_the_environment_and_the_stream() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("absent.sock");
    let file = format!(
        "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: {{ name: test }}\n\
         spec:\n  host: example.org\n  server: {{ docker: {{ container: absent, engine: \"unix://{}\" }} }}\n",
        socket.display()
    );
    fs::write(directory.path().join("desired-state.yaml"), file).unwrap();
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = operator(directory.path(), arguments);
        command.envs(variables.iter().copied());
        command
    };
    // A result on standard output, an error of the arguments, and an error of the program.
    for arguments in [&["plan"][..], &["plan", "--ouput"], &["run", "--listen", "192.0.2.1:9"]] {
        let on = |variables: &[(&str, &str)]| on_terminal(with(variables, arguments), 80);
        assert!(coloured(&on(&[])), "{arguments:?}: {:?}", on(&[]));
        assert!(coloured(&on(&[("NO_COLOR", "")])), "an empty NO_COLOR has no effect");
        assert!(!coloured(&on(&[("NO_COLOR", "1")])), "{arguments:?}");
        assert!(!coloured(&on(&[("TERM", "dumb")])), "{arguments:?}");
        let through = |variables: &[(&str, &str)]| {
            let (out, err) = piped(with(variables, arguments));
            out + &err
        };
        assert!(!coloured(&through(&[])), "{arguments:?}");
        assert!(coloured(&through(&[("CLICOLOR_FORCE", "1")])), "{arguments:?}");
        let both = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
        assert!(!coloured(&through(&both)), "{arguments:?}");
    }
    // The program decides about colours for each stream: here the result goes to a file, and the
    // error to the terminal.
    let path = directory.path().join("plan.txt");
    let sh = format!("exec {} plan > {}", env!("CARGO_BIN_EXE_ejabberd-operator"), path.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &sh]).current_dir(directory.path()).env("TERM", "xterm");
    shell.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").stdin(Stdio::null());
    assert!(coloured(&on_terminal(shell, 80)), "the error has colours");
    assert!(!coloured(&fs::read_to_string(&path).unwrap()), "the result has no colours");
}

#[test]
fn names_and_contents_of_files_are_escaped_on_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let name = "a\u{1b}[2Jb.yaml";
    let file = directory.path().join(name);
    let text =
        "apiVersion: ejabberd-operator/v1\nspec: { \"\\e[2J\\x9b1m\": 1, host: \"x\\e]0;y\\a\" }\n";
    fs::write(&file, text).unwrap();
    for wanted in [name, "no\u{1b}[2Jwhere.yaml"] {
        for command in ["validate", "plan", "audit"] {
            let text =
                on_terminal(operator(directory.path(), &["--desired-state", wanted, command]), 80);
            assert!(text.contains("error:"), "{text}");
            is_harmless(&text);
        }
    }
    for arguments in
        [["adopt", "x\u{1b}[2Jy"], ["secret", "x\u{1b}[2Jy"], ["rollback", "\u{1b}[2J12345"]]
    {
        is_harmless(&on_terminal(operator(directory.path(), &arguments), 80));
    }
}
