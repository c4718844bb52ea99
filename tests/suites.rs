//! Which test binaries run where: `scripts/test --fast` runs the binaries that need no real server,
//! and `scripts/test` runs all of them. A binary that is missing from a list fails a test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `tests/support` that need a Docker engine, and a program that needs root.
const SERVER: [&str; 9] =
    ["browser", "client", "findings", "host", "inside", "real", "shipped", "situation", "watched"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the test binaries that nextest runs.
fn binaries() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("tests")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let names = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    // `scripts/prove` runs the binary `prove`, and nextest does not.
    names.filter(|name| name != "prove").collect()
}

/// Returns the text of a test binary: of its file, and of the files in the folder of the same name.
fn source(binary: &str) -> String {
    let mut text = fs::read_to_string(root().join(format!("tests/{binary}.rs"))).unwrap();
    for path in rust_files(root().join("tests").join(binary)) {
        text += &fs::read_to_string(path).unwrap();
    }
    text
}

/// Returns all Rust files below `folder`; none if the folder does not exist.
fn rust_files(folder: PathBuf) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// Returns whether a test binary talks to a real server.
fn needs_server(binary: &str) -> bool {
    let text = source(binary);
    SERVER.iter().any(|module| text.contains(&format!("support::{module}")))
        || text.contains("Command::new(\"docker\")")
        // A check in Python starts a server.
        || text.contains(&format!("tests/{binary}/check.py"))
}

/// Returns the names in the first `binary(/^(…)$/)` after `start` in `.config/nextest.toml`.
fn listed(start: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(".config/nextest.toml")).unwrap();
    let (_, after) = text.split_once(start).unwrap();
    let (_, list) = after.split_once("binary(/^(").unwrap();
    let (list, _) = list.split_once(")$/)").unwrap();
    list.split('|').map(str::to_owned).collect()
}

#[test]
fn the_fast_profile_runs_every_binary_without_a_server() {
    let without = binaries().into_iter().filter(|binary| !needs_server(binary));
    let expected: BTreeSet<String> = without.collect();
    assert_eq!(
        listed("[profile.fast]"),
        expected,
        "list in `profile.fast` of .config/nextest.toml the test binaries that need no server"
    );
}

#[test]
fn no_binary_of_the_fast_profile_is_retried() {
    let never = listed("[[profile.default.overrides]]");
    let retried: Vec<String> = listed("[profile.fast]").difference(&never).cloned().collect();
    assert!(retried.is_empty(), "list in `profile.default.overrides`, too: {retried:?}");
    let unknown: Vec<String> = never.difference(&binaries()).cloned().collect();
    assert!(unknown.is_empty(), "no test binary has these names: {unknown:?}");
}

#[test]
fn a_binary_with_a_server_is_recognised() {
    for binary in ["contract", "operator", "prometheus", "units", "images", "nginx"] {
        assert!(needs_server(binary), "{binary}");
    }
    assert!(!needs_server("round"));
}

/// `scripts/test --fast` omits these tests without root, so each name must be that of a test.
#[test]
fn each_test_that_is_omitted_without_root_exists() {
    let script = fs::read_to_string(root().join("scripts/test")).unwrap();
    let (_, names) = script.split_once("test(/::(").unwrap();
    let (names, _) = names.split_once(")$/)").unwrap();
    let mut text = String::new();
    for path in rust_files(root().join("src")) {
        text += &fs::read_to_string(path).unwrap();
    }
    for name in names.split('|') {
        assert!(text.contains(&format!("fn {name}(")), "{name} is no test of the library");
    }
}
