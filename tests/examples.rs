//! Each directory in `examples` is a valid desired state whose configuration fits the
//! declared hosts.

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

use ejabberd_operator::domain::checks::audit::broken_promise;
use ejabberd_operator::domain::configuration::Configuration;
use ejabberd_operator::domain::spec::{DesiredState, SourceFile, validate};

/// The examples that `examples/README.md` explains.
const EXAMPLES: [&str; 4] = ["agents", "process", "team-chat", "two-hosts"];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Reads the desired state of an example. Fails the test on an error or a warning.
fn desired(name: &str) -> DesiredState {
    let path = examples().join(name).join("desired-state.yaml");
    let text = fs::read_to_string(&path).unwrap();
    match validate(&[SourceFile { path, text }]) {
        Ok(validated) => {
            let warnings: Vec<String> =
                validated.warnings.iter().map(ToString::to_string).collect();
            assert!(warnings.is_empty(), "{name}:\n{}", warnings.join("\n"));
            validated.desired
        }
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{name}:\n{}", problems.join("\n"));
        }
    }
}

#[test]
fn every_directory_is_a_listed_example() {
    let entries = fs::read_dir(examples()).unwrap().map(Result::unwrap);
    let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let found: BTreeSet<String> =
        directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(found, EXAMPLES.map(str::to_owned).into());
    let readme = fs::read_to_string(examples().join("README.md")).unwrap();
    for name in EXAMPLES {
        assert!(readme.contains(&format!("({name}/desired-state.yaml)")), "README lacks {name}");
    }
}

#[test]
fn every_example_is_valid_without_a_warning() {
    for name in EXAMPLES {
        let desired = desired(name);
        assert_eq!(desired.name, name);
        assert!(desired.users.is_some() && desired.rooms.is_some(), "{name} declares objects");
    }
}

#[test]
fn every_configuration_serves_the_declared_hosts() {
    for name in EXAMPLES {
        let desired = desired(name);
        let declared: Vec<String> =
            std::iter::once(&desired.host).chain(&desired.hosts).map(ToString::to_string).collect();
        for (variant, path) in desired.config.unwrap().variants {
            let text = fs::read(&path).unwrap();
            let config = Configuration::of_plain_text(&text).unwrap();
            assert_eq!(config.hosts(), declared, "{name}, variant {variant}");
            if variant == "hardened" {
                assert_eq!(broken_promise(&config), None, "{name} promises `hardened`");
            }
        }
    }
}
