//! `docs/reference.md`: every field of `desired-state.yaml`, from its schema.

use ejabberd_operator::domain::spec::{Field, fields, room_options, vcard_fields};

use super::{code, head, table};

pub fn document() -> String {
    let mut text = head(
        "`desired-state.yaml`",
        "Every field of the file. `ejabberd-operator explain FIELD` prints the same, and an editor that reads \
         [the JSON Schema](../manifests/desired-state.schema.json) completes and checks the fields. \
         A field that is absent is not managed, unless the table names a default; an empty list means \"none\". \
         A field that is not listed here is an error.",
    );
    section("", &fields(), &mut text);
    text
}

/// The fields of `field`, then a section for each that has fields.
fn section(path: &str, field: &Field, text: &mut String) {
    if !path.is_empty() {
        *text += &format!("\n## {path}\n\n{}\n", sentence(&field.description));
    }
    let rows: Vec<[String; 4]> = field.fields.iter().map(row).collect();
    *text += &table(["field", "type", "default", "meaning"], &rows);
    for below in &field.fields {
        let path = match path {
            "" => below.name.clone(),
            path => format!("{path}.{}", below.name),
        };
        let names: Vec<&str> = match path.as_str() {
            "spec.rooms.options" => room_options().collect(),
            "spec.users.vcard" => vcard_fields().collect(),
            _ => Vec::new(),
        };
        if !below.fields.is_empty() {
            section(&path, below, text);
        }
        if !names.is_empty() {
            let names: Vec<String> = names.into_iter().map(code).collect();
            *text += &format!("\n## {path}\n\n{}\n", sentence(&below.description));
            *text += &format!("\nKnown names: {}.\n", names.join(", "));
        }
        if let Some(entry) = below.entry.as_ref().filter(|entry| !entry.fields.is_empty()) {
            section(&format!("{path}.NAME"), entry, text);
        }
    }
}

fn row(field: &Field) -> [String; 4] {
    let default = match (&field.default, field.required) {
        (_, true) => "required".to_owned(),
        (Some(default), false) => code(default),
        (None, false) => String::new(),
    };
    let mut meaning = sentence(&field.description);
    if field.allowed.len() > 1 {
        let value = |(value, meaning): &(String, String)| match meaning.trim_end_matches('.') {
            "" => code(value),
            meaning => format!("`{value}` ({meaning})"),
        };
        let values: Vec<String> = field.allowed.iter().map(value).collect();
        meaning += &format!(" One of {}.", values.join(", "));
    }
    if let Some(limits) = &field.limits {
        meaning += &format!(" Range: {limits}.");
    }
    if !field.examples.is_empty() {
        let examples: Vec<String> = field.examples.iter().map(|example| code(example)).collect();
        meaning += &format!(" For example {}.", examples.join(", "));
    }
    [code(&field.name), code(&field.shape), default, meaning]
}

/// With a full stop.
fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with(['.', '!', '?']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}
