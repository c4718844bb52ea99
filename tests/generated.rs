//! Tests that the generated documents `docs/reference.md`, `docs/commands.md` and `docs/metrics.md`
//! match the code.
//!
//! `UPDATE_GOLDEN=1` regenerates the documents. Read the difference before you commit the
//! documents.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "generated/commands.rs"]
mod commands;
#[path = "support/golden.rs"]
mod golden;
#[path = "generated/metrics.rs"]
mod metrics;
#[path = "generated/reference.rs"]
mod reference;

use std::path::Path;

/// Returns the head of a document.
fn head(title: &str, intro: &str) -> String {
    format!(
        "# {title}\n\n<!-- Generated from the code by tests/generated.rs; do not edit. To regenerate this file:\n     \
         UPDATE_GOLDEN=1 cargo nextest run --test generated -->\n\n{intro}\n"
    )
}

/// Returns a table. The string is empty if there are no rows.
fn table<const N: usize>(columns: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: [String; N]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(columns.map(str::to_owned)) + &line(columns.map(|_| "---".to_owned()));
    for row in rows {
        text += &line(row.each_ref().map(|cell| cell.replace('|', "\\|").replace('\n', " ")));
    }
    format!("\n{text}")
}

/// Returns `text` between backquotes. The string is empty if `text` is empty.
fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

fn assert_current(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    golden::assert_golden(&path, now);
}

#[test]
fn the_reference_of_the_file_is_current() {
    assert_current("reference.md", &reference::document());
}

#[test]
fn the_reference_of_the_commands_is_current() {
    assert_current("commands.md", &commands::document());
}

#[test]
fn the_reference_of_the_metrics_is_current() {
    assert_current("metrics.md", &metrics::document());
}
