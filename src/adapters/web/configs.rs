//! Lists the good configurations, and compares two good configurations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use similar::{Algorithm, DiffTag, capture_diff_slices_deadline, group_diff_ops};

use super::{Shared, ask, refused};
use crate::domain::configuration::{Configuration, Value};
use crate::domain::mask::configuration::{Masker, shown};
use crate::domain::model::Digest;
use crate::domain::rollout::{Snapshot, difference as options};
use crate::engine::{ConfigFiles, MAIN_CONFIG, latch};

/// The number of unchanged lines before and after a difference.
const CONTEXT: usize = 3;

/// The maximum size of a file that is compared, in lines.
const MAX_LINES: usize = 20_000;

/// The maximum number of lines in a response.
const MAX_SHOWN: usize = 2_000;

/// The time limit of a precise comparison. After the limit, the result may contain more changed
/// lines than necessary.
const COMPARED_WITHIN: Duration = Duration::from_millis(500);

/// The maximum number of options in a response.
const MAX_OPTIONS: usize = 100;

pub(super) async fn list(State(shared): State<Shared>) -> Response {
    let in_force = shared.status.borrow().config_digest.clone();
    let asked = ask(&shared.store, |store| Ok((store.good_configs()?, latch(store)?))).await;
    match asked {
        Ok((good, latch)) => {
            let held_back = latch.map(|latch| {
                json!({ "digest": latch.digest, "message": latch.message, "since": latch.since })
            });
            let response = json!({ "inForce": in_force, "good": good, "heldBack": held_back });
            axum::Json(response).into_response()
        }
        Err(response) => response,
    }
}

/// The query of a request: the digests of the two configurations to compare.
#[derive(Deserialize)]
pub(super) struct Question {
    from: String,
    to: String,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct ConfigList {
    pub(super) files: Vec<File>,
    /// The options that differ, each with the rollout method that the option needs.
    pub(super) options: Vec<Opt>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Opt {
    name: String,
    method: &'static str,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct File {
    pub(super) name: String,
    /// The kind of difference: `same`, `changed`, `added` or `removed`.
    pub(super) change: &'static str,
    /// A note about the comparison, such as the reason why lines are omitted; empty without a note.
    pub(super) note: &'static str,
    /// The lines that differ, with [`CONTEXT`] lines before and after each difference, and a gap
    /// between two parts.
    pub(super) lines: Vec<Line>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Line {
    /// The sign of the line: `+` for a new line, `-` for a removed line, a blank for an unchanged
    /// line, or `@` for a gap.
    pub(super) sign: char,
    pub(super) text: String,
}

pub(super) async fn difference(
    State(shared): State<Shared>,
    Query(question): Query<Question>,
) -> Response {
    let (from, to) = (Digest::new(question.from), Digest::new(question.to));
    let asked = ask(&shared.store, move |store| {
        // Show only good configurations. The store keeps the files of other configurations only for
        // a short time.
        let good = store.good_configs()?;
        if ![&from, &to].iter().all(|wanted| good.iter().any(|good| good.digest == **wanted)) {
            return Ok(None);
        }
        let (from, to) = (store.kept_config(&from)?, store.kept_config(&to)?);
        Ok(from.zip(to).map(|(from, to)| compare(&from, &to)))
    });
    match asked.await {
        Ok(Some(response)) => axum::Json(response).into_response(),
        Ok(None) => refused(StatusCode::NOT_FOUND, "this configuration is not stored any more\n"),
        Err(response) => response,
    }
}

/// Returns the differences between two configurations. Secrets are masked.
pub(super) fn compare(from: &ConfigFiles, to: &ConfigFiles) -> ConfigList {
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let files = names.into_iter().map(|name| match (from.get(name), to.get(name)) {
        (before, after) if before == after => file(name, "same"),
        (Some(before), Some(after)) if name == MAIN_CONFIG => main_file(before, after),
        (Some(_), Some(_)) => file(name, "changed"),
        (None, _) => file(name, "added"),
        (_, None) => file(name, "removed"),
    });
    // The page does not call the server, so the page can compare options only in files without
    // includes.
    let expanded =
        |files: &ConfigFiles| files.get(MAIN_CONFIG).and_then(|f| Configuration::of_plain_text(f));
    let (old, new) = (expanded(from), expanded(to));
    let options = options(
        Snapshot { files: from, expanded: old.as_ref() },
        Snapshot { files: to, expanded: new.as_ref() },
        None,
    );
    let options = options.into_iter().take(MAX_OPTIONS);
    ConfigList {
        files: files.collect(),
        options: options.map(|c| Opt { name: c.name, method: c.method.as_str() }).collect(),
    }
}

fn file(name: &str, change: &'static str) -> File {
    File { name: name.to_owned(), change, ..File::default() }
}

fn main_file(before: &[u8], after: &[u8]) -> File {
    let noted = |note| File { note, ..file(MAIN_CONFIG, "changed") };
    let (Some(before), Some(after)) = (Value::of_text(before), Value::of_text(after)) else {
        return noted("a file is not YAML with unique keys, so it could show a secret");
    };
    let mut masker = Masker::new();
    let (before, after) = (masker.lines(&before), masker.lines(&after));
    if before.len().max(after.len()) > MAX_LINES {
        return noted("the file is too long for a comparison");
    }
    if before == after {
        return noted("only comments, quotes or spaces differ");
    }
    let mut lines = between(&before, &after);
    let note = if lines.len() > MAX_SHOWN { "not all lines are shown" } else { "" };
    lines.truncate(MAX_SHOWN);
    File { note, lines, ..file(MAIN_CONFIG, "changed") }
}

fn between(before: &[String], after: &[String]) -> Vec<Line> {
    let deadline = Instant::now() + COMPARED_WITHIN;
    let ops = capture_diff_slices_deadline(Algorithm::Myers, before, after, Some(deadline));
    let mut lines = Vec::new();
    for group in group_diff_ops(ops, CONTEXT) {
        if !lines.is_empty() {
            lines.push(Line { sign: '@', text: String::new() });
        }
        for op in group {
            let old = before.get(op.old_range()).unwrap_or_default();
            let new = after.get(op.new_range()).unwrap_or_default();
            if op.tag() == DiffTag::Equal {
                lines.extend(old.iter().map(|line| Line { sign: ' ', text: shown(line).0 }));
                continue;
            }
            let gone: BTreeMap<String, &String> =
                old.iter().map(|line| (shown(line).0, line)).collect();
            lines.extend(old.iter().map(|line| Line { sign: '-', text: shown(line).0 }));
            lines.extend(new.iter().map(|line| new_line(line, &gone)));
        }
    }
    lines
}

/// Returns a new line. Adds a note if the line and a removed line differ only in a masked secret.
fn new_line(line: &String, gone: &BTreeMap<String, &String>) -> Line {
    let (mut text, masked) = shown(line);
    if masked && gone.get(&text).is_some_and(|before| *before != line) {
        text.push_str(" (changed)");
    }
    Line { sign: '+', text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(main: &str, pem: &str) -> ConfigFiles {
        [("ejabberd.yml", main), ("server.pem", pem)]
            .map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec()))
            .into()
    }

    fn lines(before: &str, after: &str) -> Vec<String> {
        let response = compare(&files(before, "x"), &files(after, "x"));
        response.files[0].lines.iter().map(|line| format!("{}{}", line.sign, line.text)).collect()
    }

    #[test]
    fn a_changed_secret_is_marked_and_not_shown() {
        let shown =
            lines("sql_password: before1\nloglevel: 4\n", "sql_password: after2\nloglevel: 4\n");
        assert_eq!(shown, ["-sql_password: ***", "+sql_password: *** (changed)", " loglevel: 4"]);
        // A secret that only moved to another line has no note.
        let shown = lines(
            "a:\n  - {password: same}\n",
            "a:\n  - {password: other}\n  - {password: same}\n",
        );
        assert_eq!(shown, [" a:", "+  - password: ***", "   - password: ***"]);
        let json = serde_json::to_string(&compare(
            &files("sql_password: before1\n", "PRIVATE1"),
            &files("sql_password: after2\nurl: \"x://u:third3@h\"\n", "PRIVATE2"),
        ))
        .unwrap();
        for secret in ["before1", "after2", "third3", "PRIVATE", "\\u0001"] {
            assert!(!json.contains(secret), "{secret}: {json}");
        }
        assert!(json.contains("\"name\":\"server.pem\",\"change\":\"changed\""), "{json}");
    }

    #[test]
    fn a_file_that_is_not_yaml_is_not_shown() {
        for broken in
            ["sql_password: [hunter2", "a: 1\na: hunter2\n", "- hunter2\n", "\u{0}hunter2"]
        {
            for (from, to) in [(broken, "a: 1\n"), ("a: 1\n", broken)] {
                let response = compare(&files(from, "x"), &files(to, "x"));
                assert!(response.files[0].lines.is_empty() && !response.files[0].note.is_empty());
                assert!(!serde_json::to_string(&response).unwrap().contains("hunter2"));
            }
        }
    }

    #[test]
    fn a_changed_comment_is_no_difference_and_distant_lines_are_omitted() {
        let response = compare(&files("a: 1 # hunter2\n", "x"), &files("a: 1\n", "x"));
        assert!(response.files[0].note.contains("only comments"));
        let long = |first: &str, last: &str| {
            let middle: Vec<String> = (0..100).map(|n| format!("o{n}: {n}")).collect();
            let middle = middle.join("\n");
            format!("first: {first}\n{middle}\nlast: {last}\n")
        };
        let shown = lines(&long("a", "b"), &long("c", "d"));
        assert_eq!(shown.len(), 2 + CONTEXT + 1 + CONTEXT + 2, "{shown:?}");
        assert!(shown.contains(&"@".to_owned()));
    }

    #[test]
    fn large_files_are_bounded() {
        let many = |n: usize| {
            let lines: Vec<String> = (0..15_000).map(|i| format!("o{i}: {}", i * n)).collect();
            lines.join("\n")
        };
        let response = compare(&files(&many(1), "x"), &files(&many(2), "x"));
        assert_eq!(response.files[0].lines.len(), MAX_SHOWN);
        assert!(response.options.len() <= MAX_OPTIONS);
    }
}
