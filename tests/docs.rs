//! Tests of the Markdown files: every relative link leads to a file of the repository, every anchor
//! leads to a heading, and lines are not too long.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Directories without documents of this repository.
const SKIPPED: [&str; 5] = [".git", "target", ".ejabberd-operator", "secrets", "secrets-out"];

/// The maximum length of a line of prose in a document, in characters. Tables, links and code may
/// be longer.
const MAX_COLUMNS: usize = 110;

/// The maximum number of lines of the README. The README is a summary, and `docs` has the details.
const MAX_README_LINES: usize = 200;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Adds every Markdown file below `directory` to `found`, as a path relative to the root.
fn documents(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                documents(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
}

fn all_documents() -> BTreeMap<PathBuf, String> {
    let mut found = Vec::new();
    documents(root(), &mut found);
    let text = |path: &PathBuf| fs::read_to_string(root().join(path)).unwrap();
    found.into_iter().map(|path| (path.clone(), text(&path))).collect()
}

/// Returns the lines outside code blocks, with their line numbers. Fails the test if a code block
/// is not closed.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            lines.push((number + 1, line));
        }
    }
    assert!(!in_code, "a code block is not closed");
    lines
}

/// Returns a line without the code between backquotes, because `[a](b)` in code is no link.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// Returns the targets of the links in a line: `[text](target)` and `![text](target)`.
fn targets(line: &str) -> Vec<String> {
    let line = without_code(line);
    let rests = line.split("](").skip(1);
    rests.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// Returns the anchor that GitHub derives from a heading.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept: String =
        words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect();
    kept.replace(' ', "-")
}

/// Returns the anchors of a document. The anchor of a repeated heading ends with a number.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text).into_iter().filter(|(_, line)| line.starts_with('#')) {
        let anchor = anchor(line);
        let count = seen.entry(anchor.clone()).or_default();
        anchors.insert(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

/// Resolves `.` and `..` in `directory/target`. `None` if the path leaves the repository.
fn resolved(directory: &Path, target: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in directory.join(target).components() {
        match part {
            Component::ParentDir => path.pop().then_some(())?,
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// Returns why a link in `document` is broken. `None` if the target exists or is a URL.
fn broken(
    document: &Path,
    target: &str,
    documents: &BTreeMap<PathBuf, String>,
) -> Option<&'static str> {
    if ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme)) {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(p, a)| (p, Some(a)));
    let directory = document.parent().unwrap();
    let path = if path.is_empty() { Some(document.to_owned()) } else { resolved(directory, path) };
    let Some(path) = path else { return Some("the path leaves the repository") };
    if !root().join(&path).exists() {
        return Some("there is no such file");
    }
    match (anchor, documents.get(&path)) {
        (None, _) => None,
        (Some(_), None) => Some("an anchor needs a Markdown file"),
        (Some(anchor), Some(text)) => {
            (!anchors(text).contains(anchor)).then_some("there is no such heading")
        }
    }
}

#[test]
fn every_relative_link_resolves() {
    let documents = all_documents();
    let mut links = 0;
    let mut wrong = Vec::new();
    for (document, text) in &documents {
        for (number, line) in prose(text) {
            for target in targets(line) {
                links += 1;
                if let Some(why) = broken(document, &target, &documents) {
                    wrong.push(format!("{}:{number}: {target}: {why}", document.display()));
                }
            }
        }
    }
    assert!(links > 50, "{links} links found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_decision_is_in_the_index() {
    let index = fs::read_to_string(root().join("docs/decisions/README.md")).unwrap();
    for path in all_documents().into_keys() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.starts_with("docs/decisions") && name != "README.md" {
            assert!(index.contains(&format!("]({name})")), "the index lacks {name}");
        }
    }
}

#[test]
fn every_crate_has_a_row_in_the_table() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let table = page.split("\n## Dependencies\n").nth(1).unwrap();
    let mut in_dependencies = false;
    let mut crates = 0;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if in_dependencies
            && let Some((name, _)) = line.split_once('=')
            && !name.starts_with('#')
        {
            crates += 1;
            let name = name.trim();
            assert!(table.contains(&format!("`{name}`")), "the table of crates lacks `{name}`");
        }
    }
    assert!(crates > 30, "{crates} crates found");
}

/// The documents that `tests/generated.rs` writes. The lines of these documents are not wrapped.
const GENERATED: [&str; 3] = ["docs/commands.md", "docs/metrics.md", "docs/reference.md"];

#[test]
fn prose_fits_the_width_and_the_readme_is_short() {
    let documents = all_documents();
    let mut wrong = Vec::new();
    let written = |document: &Path| !GENERATED.iter().any(|name| document.ends_with(name));
    for (document, text) in documents.iter().filter(|(document, _)| written(document)) {
        for (number, line) in prose(text) {
            let free = line.trim_start().starts_with(['|', '[', '!', '#']);
            if !free && line.chars().count() > MAX_COLUMNS {
                wrong.push(format!("{}:{number}: {}", document.display(), line.len()));
            }
        }
    }
    assert!(wrong.is_empty(), "too long:\n{}", wrong.join("\n"));
    let readme = documents[Path::new("README.md")].lines().count();
    assert!(readme <= MAX_README_LINES, "README.md has {readme} lines");
}

#[test]
fn the_checker_finds_broken_links() {
    let page = "# A page\n\n## Two words\n\n## Two words\n\n```sh\n# no heading\n```\n";
    assert_eq!(anchors(page), ["a-page", "two-words", "two-words-1"].map(str::to_owned).into());
    assert_eq!(targets("see [a](b.md#c), `[x](y)` and ![z](z.png)"), ["b.md#c", "z.png"]);
    let here = Path::new("docs/style.md");
    let documents = BTreeMap::from([(here.to_owned(), page.to_owned())]);
    let reason = |target| broken(here, target, &documents);
    assert_eq!(reason("#two-words"), None);
    assert_eq!(reason("https://example.org/"), None);
    assert_eq!(reason("#no-heading"), Some("there is no such heading"));
    assert_eq!(reason("../Cargo.toml"), None);
    assert_eq!(reason("missing.md"), Some("there is no such file"));
    assert_eq!(reason("../../outside"), Some("the path leaves the repository"));
}
