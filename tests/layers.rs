//! Tests the five folders of `src`: a folder uses only itself and the folders below it, adapters do
//! not use each other, and `domain` is pure. Reads every path in every file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "layers/paths.rs"]
mod paths;

use std::fs;
use std::path::{Path, PathBuf};

use paths::names;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// The folders, from the lowest. A folder uses itself and the folders before it.
const FOLDERS: [&str; 5] = ["domain", "ejabberd", "engine", "adapters", "cli"];

/// The adapter that the other adapters may use.
const SHARED: &str = "host";

/// The crates that the code of `domain` may use.
const PURE_CRATES: [&str; 14] = [
    "hex",
    "jiff",
    "schemars",
    "serde",
    "serde_json",
    "serde_yaml",
    "sha2",
    "std",
    "stringprep",
    "strsim",
    "thiserror",
    "wildmatch",
    "x509_cert",
    "zeroize",
];

/// Paths that `domain` may not use although their crate is allowed: I/O, time and randomness.
const IMPURE: [&str; 19] = [
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "jiff::tz::TimeZone::system",
    "jiff::tz::TimeZone::try_system",
    "std::env",
    "std::fs",
    "std::hash::RandomState",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// Macros that write to the terminal.
const IMPURE_MACROS: [&str; 5] = ["dbg", "eprint", "eprintln", "print", "println"];

/// Returns the crates of `Cargo.toml`, with the names that code uses.
fn crates() -> Vec<String> {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let mut section = "";
    let mut found: Vec<String> = ["std", "core", "alloc", "proc_macro"].map(str::to_owned).to_vec();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]")
            && let Some((name, _)) = line.split_once('=')
            && !name.starts_with('#')
        {
            found.push(name.trim().replace('-', "_"));
        }
    }
    found
}

/// Returns the violations in the code of the module at `module`.
fn violations(module: &[&str], code: &str, crates: &[String]) -> Vec<String> {
    let named = names(module, code, true).paths;
    let mut wrong: Vec<String> =
        named.iter().filter_map(|path| wrong_folder(module, path)).collect();
    if module.contains(&"tests") {
        return wrong;
    }
    let own = names(module, code, false);
    wrong.extend(own.paths.iter().filter_map(|path| another_adapter(module, path)));
    if module.first() == Some(&"domain") {
        wrong.extend(own.paths.iter().filter_map(|path| impure(path, crates)));
        wrong.extend(own.is_async.then(|| "async code".to_owned()));
        let macros = own.macros.iter().filter(|name| IMPURE_MACROS.contains(&name.as_str()));
        wrong.extend(macros.map(|name| format!("{name}!")));
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

/// Returns the path if the folder of `module` may not use the path. `None` if the folder may use
/// the path.
fn wrong_folder(module: &[&str], path: &[String]) -> Option<String> {
    let rank = |name: &str| FOLDERS.iter().position(|folder| *folder == name);
    let [root, there, ..] = path else { return None };
    if root != "crate" {
        return None;
    }
    let allowed = match (module.first(), rank(there)) {
        // `lib.rs` and `main.rs` combine all folders.
        (None, _) => true,
        (Some(here), Some(below)) => rank(here).is_some_and(|here| below <= here),
        (Some(_), None) => false,
    };
    (!allowed).then(|| path.join("::"))
}

/// Returns the path if the adapter `module` may not use the adapter in the path. The caller omits
/// tests, because tests use the real store.
fn another_adapter(module: &[&str], path: &[String]) -> Option<String> {
    let ([own, here, ..], [root, there, other, ..]) = (module, path) else { return None };
    let between = *own == "adapters" && root == "crate" && there == "adapters";
    (between && other != here && other != SHARED).then(|| path.join("::"))
}

/// Returns the path if `domain` may not use the path. `None` if `domain` may use the path.
fn impure(path: &[String], crates: &[String]) -> Option<String> {
    let whole = path.join("::");
    let first = path.first()?;
    let below = |names: &str| {
        whole.strip_prefix(names).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let is_pure_crate = PURE_CRATES.contains(&first.as_str());
    let of_another = path.len() > 1 && crates.contains(first) && !is_pure_crate;
    // `use std::*` and `use std::time::*` may import a forbidden name.
    let opened = whole.strip_suffix("::*").is_some_and(|open| {
        open == "std" || IMPURE.iter().any(|banned| banned.starts_with(&format!("{open}::")))
    });
    (of_another || opened || IMPURE.iter().any(|banned| below(banned))).then_some(whole)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the path of a file relative to `src`, and the path of its module.
fn module(path: &Path) -> (String, Vec<String>) {
    let inside = path.strip_prefix(SOURCE).unwrap().to_string_lossy().into_owned();
    let mut module: Vec<String> =
        inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if ["mod", "lib", "main"].contains(&module.last().unwrap().as_str()) {
        module.pop();
    }
    (inside, module)
}

#[test]
fn a_folder_uses_only_the_folders_below_it_and_the_domain_is_pure() {
    let crates = crates();
    assert!(crates.contains(&"tokio".to_owned()) && crates.contains(&"serde_yaml".to_owned()));
    let (mut wrong, mut read) = (Vec::new(), 0);
    for path in files(Path::new(SOURCE)) {
        let (inside, module) = module(&path);
        let module: Vec<&str> = module.iter().map(String::as_str).collect();
        let code = fs::read_to_string(&path).unwrap();
        read += names(&module, &code, true).paths.len();
        wrong.extend(
            violations(&module, &code, &crates).iter().map(|what| format!("{inside}: {what}")),
        );
    }
    assert!(read > 20_000, "the test read only {read} paths");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn planted_violations_are_found() {
    let planted = [
        ("domain", "use crate::engine::Engine;", "crate::engine::Engine"),
        ("domain::plan", "use super::super::engine::Engine as E;", "crate::engine::Engine"),
        ("domain", "fn f() { crate::ejabberd::shown(\"\"); }", "crate::ejabberd::shown"),
        ("domain", "use crate::{domain::plan, cli};", "crate::cli"),
        ("domain", "#[cfg(test)] mod tests { use crate::cli::main; }", "crate::cli::main"),
        ("ejabberd::client", "fn f(_: &crate::engine::Engine) {}", "crate::engine::Engine"),
        ("engine", "use crate::adapters::docker;", "crate::adapters::docker"),
        ("engine", "fn f() { println!(\"{}\", crate::cli::X); }", "crate::cli::X"),
        ("adapters::docker", "use super::process::X;", "crate::adapters::process::X"),
        ("adapters::web::page", "use crate::adapters::{host, sqlite};", "crate::adapters::sqlite"),
        ("adapters::host", "use crate::adapters::sqlite::X;", "crate::adapters::sqlite::X"),
        ("adapters::web", "use crate::cli::Exit;", "crate::cli::Exit"),
        ("web", "use crate::domain::plan;", "crate::domain::plan"),
        ("domain", "use std::fs;", "std::fs"),
        ("domain", "use std::{fs as files, fmt};", "std::fs"),
        ("domain", "fn f() { std::fs::read(\"x\"); }", "std::fs::read"),
        (
            "domain",
            "use std::time; fn f() { time::SystemTime::now(); }",
            "std::time::SystemTime::now",
        ),
        ("domain", "fn f() { use std::time::*; }", "std::time::*"),
        ("domain", "fn f() -> Vec<u8> { vec![std::env::var(\"x\")] }", "std::env::var"),
        ("domain", "fn f() { getrandom::fill(&mut []); }", "getrandom::fill"),
        ("domain", "use tokio::sync::Mutex;", "tokio::sync::Mutex"),
        ("domain", "extern crate tokio;", "tokio::*"),
        ("domain", "fn f(x: Option<rusqlite::Connection>) {}", "rusqlite::Connection"),
        ("domain", "use jiff::Timestamp; fn f() { Timestamp::now(); }", "jiff::Timestamp::now"),
        ("domain", "fn f() { g(jiff::Zoned::now) }", "jiff::Zoned::now"),
        ("domain", "fn f() { println!(\"\"); }", "println!"),
        ("domain", "trait T { async fn f(); }", "async code"),
        ("domain", "fn f() { let x = async { 1 }; }", "async code"),
    ];
    let crates = crates();
    for (module, code, what) in planted {
        let module: Vec<&str> = module.split("::").collect();
        let found = violations(&module, code, &crates);
        assert!(found.contains(&what.to_owned()), "{code}: {found:?}");
    }
    let clean = [
        ("domain", "use std::time::Duration; use jiff::Timestamp; use super::domain::plan::P;"),
        ("domain", "#[cfg(test)] mod tests { fn f() { std::fs::read(\"x\"); } }"),
        ("domain::plan", "use super::diff::D; mod m { use super::super::x; }"),
        ("ejabberd", "use crate::domain::model::Jid; use tokio::sync::Mutex;"),
        ("engine::ports", "use crate::ejabberd::Control; use super::super::domain::x;"),
        ("adapters::docker::exec", "use super::X; use crate::adapters::host::files;"),
        ("cli", "use crate::adapters::web; use crate::engine::Engine;"),
    ];
    for (module, code) in clean {
        let module: Vec<&str> = module.split("::").collect();
        assert_eq!(violations(&module, code, &crates), Vec::<String>::new(), "{code}");
    }
}

/// Returns the code of a file without comments and without tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The code that may open files without `adapters::host::files`, with the reason. The module
/// `adapters::host::files` refuses planted links and pipes.
const OPENS_FILES: [(&str, &str); 11] = [
    ("cli/doctor/operator.rs", "`/proc`, and the state directory"),
    ("cli/endpoint.rs", "the state directory, which is checked when it is opened"),
    ("cli/export.rs", "creates new files with the rights of the caller"),
    ("cli/pages.rs", "creates manual pages with the rights of the caller"),
    ("engine/diagnostics/doctor/runtime.rs", "`/proc`"),
    ("adapters/docker/diagnostics.rs", "`/proc`"),
    ("adapters/docker/published.rs", "`/proc`"),
    ("adapters/docker/drift.rs", "`/proc`"),
    ("adapters/host/holders.rs", "`/proc`"),
    ("adapters/process/", "the server's directory, through the module `files` of the adapter"),
    ("adapters/sqlite/", "the state directory, which is checked when it is opened"),
];

#[test]
fn files_are_opened_in_one_module() {
    const OPENS: [&str; 8] = [
        "File::open",
        "File::create",
        "File::options",
        "OpenOptions::",
        "fs::read(",
        "fs::read_to_string(",
        "fs::write(",
        "fs::copy(",
    ];
    let (mut wrong, mut used) = (Vec::new(), Vec::new());
    for path in files(Path::new(SOURCE)) {
        let (inside, _) = module(&path);
        let is_test = inside.split('/').any(|part| part == "tests" || part == "tests.rs");
        let code = code(&path);
        if is_test || !OPENS.iter().any(|word| code.contains(word)) {
            continue;
        }
        match OPENS_FILES.iter().find(|(path, _)| inside.starts_with(path)) {
            Some((path, _)) => used.push(*path),
            None => wrong.push(inside),
        }
    }
    assert!(wrong.is_empty(), "these open files themselves: {wrong:?}");
    let unused = OPENS_FILES.iter().filter(|(path, _)| !used.contains(path));
    assert_eq!(unused.count(), 0, "only these exceptions are used: {used:?}");
}
