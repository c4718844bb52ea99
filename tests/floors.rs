//! The floors of the house: a module uses only what is below it, and adapters
//! do not use each other. Reads the `use` lines and the paths in the code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the crate and its floor.
const FLOORS: [(&str, u8); 29] = [
    ("configuration", 0),
    ("model", 0),
    ("database", 1),
    ("erlang", 1),
    ("inventory", 1),
    ("observed", 1),
    ("spec", 1),
    ("status", 1),
    ("audit", 2),
    ("diff", 2),
    ("doctor", 2),
    ("export", 2),
    ("overview", 2),
    ("plan", 2),
    ("rollout", 2),
    ("supervision", 2),
    ("engine", 3),
    ("files", 3),
    ("control", 4),
    ("metrics", 4),
    ("runtime", 4),
    ("secrets", 4),
    ("source", 4),
    ("store", 4),
    ("web", 4),
    ("cli", 5),
    ("lib", 5),
    ("main", 5),
    // Test code inside the library may look at its own module only.
    ("super", 0),
];

/// Modules of one floor that may use each other: what the design puts together.
const NEIGHBOURS: [(&str, &str); 5] = [
    ("inventory", "spec"),
    ("plan", "diff"),
    ("observed", "spec"),
    ("observed", "database"),
    ("doctor", "supervision"),
];

/// What the pure floors may not touch: the world, and time.
const IMPURE: [&str; 10] = [
    "std::fs",
    "std::net::Tcp",
    "std::process",
    "std::env",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "Timestamp::now",
    "async fn",
];

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

/// The code of a file without comments and without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    // Tests in a file of their own are read like everything else.
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn module(path: &Path) -> String {
    let inside = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that follow `crate::` anywhere in the code, also inside braces.
fn used(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let list = rest.strip_prefix('{').and_then(|r| r.split('}').next());
        let heads = list.map_or_else(|| vec![rest], |list| list.split(',').collect());
        for head in heads {
            let name: String =
                head.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.push(name);
        }
    }
    names
}

#[test]
fn a_module_uses_only_the_floors_below_it() {
    let floors: BTreeMap<&str, u8> = FLOORS.into();
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for path in files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        let here = module(&path);
        let floor = *floors
            .get(here.as_str())
            .unwrap_or_else(|| panic!("{} stands on no floor", path.display()));
        for there in used(&code(&path)) {
            looked_at += 1;
            let Some(below) = floors.get(there.as_str()) else {
                wrong.push(format!("{}: crate::{there} stands on no floor", path.display()));
                continue;
            };
            let neighbours = NEIGHBOURS.iter().any(|(a, b)| *a == here && *b == there);
            if there != here && *below >= floor && !neighbours {
                wrong.push(format!(
                    "{} (floor {floor}) uses crate::{there} (floor {below})",
                    path.display()
                ));
            }
        }
    }
    assert!(looked_at > 50, "only {looked_at} uses were seen: does the test still read them?");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn floors_0_to_2_are_pure() {
    let floors: BTreeMap<&str, u8> = FLOORS.into();
    let mut wrong = Vec::new();
    for path in files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        if floors.get(module(&path).as_str()).is_some_and(|floor| *floor <= 2) {
            let code = code(&path);
            wrong.extend(
                IMPURE
                    .iter()
                    .filter(|word| code.contains(**word))
                    .map(|word| format!("{}: {word}", path.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Code that opens files without the module `files`, and why. The module `files` refuses
/// planted links and pipes.
const OPENS_FILES: [(&str, &str); 11] = [
    ("cli/doctor/operator.rs", "`/proc`, and the state directory"),
    ("cli/endpoint.rs", "the state directory, which is checked when it is opened"),
    ("cli/export.rs", "makes files that are not there yet, as who calls it"),
    ("cli/pages.rs", "makes manual pages, as who calls it"),
    ("engine/doctor/beside.rs", "`/proc`"),
    ("runtime/docker/circumstances.rs", "`/proc`"),
    ("runtime/docker/published.rs", "`/proc`"),
    ("runtime/docker/surroundings.rs", "`/proc`"),
    ("runtime/holders.rs", "`/proc`"),
    ("runtime/process/", "the server's own directory, by functions of its own `files`"),
    ("store/", "the state directory, which is checked when it is opened"),
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
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let (mut wrong, mut used) = (Vec::new(), Vec::new());
    for path in files(root) {
        let inside = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let is_test = inside.split('/').any(|part| part == "tests" || part == "tests.rs");
        let code = code(&path);
        if is_test || !OPENS.iter().any(|word| code.contains(word)) {
            continue;
        }
        match OPENS_FILES.iter().find(|(place, _)| inside.starts_with(place)) {
            Some((place, _)) => used.push(*place),
            None => wrong.push(inside),
        }
    }
    assert!(wrong.is_empty(), "these open files themselves: {wrong:?}");
    let idle = OPENS_FILES.iter().filter(|(place, _)| !used.contains(place));
    assert_eq!(idle.count(), 0, "of the exceptions only these are needed: {used:?}");
}
