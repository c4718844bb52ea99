//! `explain`: describes a field of the file, like `kubectl explain`.

use super::output::paint;
use super::table::{Cell, Page, Table};
use super::terminal::BOLD;
use super::{Exit, Outcome, output};
use crate::domain::spec::{Field, closest, fields, room_options, vcard_fields};

/// The optional first part of a path.
const SPEC: &str = "spec";

/// The function that returns all names of a list.
type Names = fn() -> Vec<&'static str>;

/// Fields with a fixed list of names: the path, the title of the list, and the names.
const NAMED: [(&str, &str, Names); 2] = [
    ("spec.rooms.options", "OPTIONS", || room_options().collect()),
    ("spec.users.vcard", "VCARD FIELDS", || vcard_fields().collect()),
];

/// Explains the field at `path`, or the whole file.
pub(super) fn explain(path: Option<&str>) -> Outcome {
    let (path, field) = find(&fields(), path.unwrap_or_default()).map_err(Exit::Failure)?;
    output::print(&text(&path, &field, Page::out()))
}

/// Prints the field at `path`, or the whole file, with all fields below that field.
pub(super) fn explain_recursively(path: Option<&str>) -> Outcome {
    let (path, field) = find(&fields(), path.unwrap_or_default()).map_err(Exit::Failure)?;
    output::print(&text_of_all(&path, &field, Page::out()))
}

/// Splits a path into its names. Ignores the indexes in `users[0].name` and `users[].name`.
fn parts(path: &str) -> Vec<String> {
    let whole = path.trim().trim_matches('.');
    let name = |part: &str| part.split_once('[').map_or(part, |(name, _)| name).to_owned();
    if whole.is_empty() { Vec::new() } else { whole.split('.').map(name).collect() }
}

/// Returns the field at `path` and the full path of the field. If there is no such field, the error
/// suggests similar fields.
fn find(root: &Field, path: &str) -> Result<(String, Field), String> {
    let mut parts = parts(path);
    if let Some(first) = parts.first()
        && !root.fields.iter().any(|field| field.name == *first)
    {
        parts.insert(0, SPEC.to_owned());
    }
    let mut here = root.clone();
    let mut way: Vec<String> = Vec::new();
    let mut rest = parts.as_slice();
    while let Some((name, after)) = rest.split_first() {
        let next = here.fields.iter().find(|field| field.name == *name).cloned();
        // Names in a map can contain dots: `ejabberdctl.cfg`, `N.GIVEN`.
        if let (None, Some(entry)) = (&next, &here.entry) {
            let name = rest.join(".");
            way.push(name.clone());
            known(&way, &name)?;
            let description = entry_of(&here);
            let entry = Field { name, description, ..Field::clone(entry) };
            return Ok((way.join("."), entry));
        }
        let Some(next) = next else { return Err(unknown(root, &here, &way, rest)) };
        here = next;
        way.push(name.clone());
        rest = after;
    }
    Ok((way.join("."), here))
}

fn entry_of(map: &Field) -> String {
    if map.description.is_empty() {
        String::new()
    } else {
        format!("An entry of: {}", map.description)
    }
}

/// Returns an error if `name` is not in the fixed list of names of its map.
fn known(way: &[String], name: &str) -> Result<(), String> {
    let Some((_, map)) = way.split_last() else { return Ok(()) };
    let map = map.join(".");
    let Some((_, _, names)) = NAMED.iter().find(|(path, _, _)| *path == map) else {
        return Ok(());
    };
    let names = names();
    if names.contains(&name) {
        return Ok(());
    }
    let help = closest(name, names).map_or_else(
        || format!("`ejabberd-operator explain {map}` lists them"),
        |meant| format!("did you mean `{map}.{meant}`?"),
    );
    Err(format!("{map} has no `{name}`; {help}"))
}

/// Returns the message about a name that is not a field.
fn unknown(root: &Field, here: &Field, way: &[String], rest: &[String]) -> String {
    let name = rest.first().map(String::as_str).unwrap_or_default();
    let (whole, prefix) = match way.join(".") {
        whole if whole.is_empty() => ("the file".to_owned(), whole),
        whole => (whole.clone(), whole + "."),
    };
    let names = here.fields.iter().map(|field| field.name.as_str());
    if let Some(meant) = closest(name, names.clone()) {
        let meant_path = std::iter::once(meant).chain(rest.iter().skip(1).map(String::as_str));
        let path = format!("{prefix}{}", meant_path.collect::<Vec<_>>().join("."));
        // The rest of the path may also be wrong. In that case suggest only the part that exists.
        let path = if find(root, &path).is_ok() { path } else { format!("{prefix}{meant}") };
        return format!("{whole} has no field `{name}`; did you mean `{path}`?");
    }
    let mut all = Vec::new();
    paths(root, "", &mut all);
    let elsewhere =
        all.iter().filter(|(_, last)| last == name).map(|(path, _)| format!("`{path}`"));
    let elsewhere: Vec<String> = elsewhere.take(5).collect();
    if !elsewhere.is_empty() {
        return format!("{whole} has no field `{name}`; did you mean {}?", elsewhere.join(" or "));
    }
    if here.fields.is_empty() {
        return format!("{whole} has no fields");
    }
    let last = all.iter().map(|(_, last)| last.as_str());
    if let Some(meant) = closest(name, last).and_then(|last| all.iter().find(|(_, l)| l == last)) {
        return format!("{whole} has no field `{name}`; did you mean `{}`?", meant.0);
    }
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    format!("{whole} has no field `{name}`; it has {}", names.join(", "))
}

/// Collects the path and the name of every field below `field`.
fn paths(field: &Field, above: &str, found: &mut Vec<(String, String)>) {
    for field in &field.fields {
        let path =
            if above.is_empty() { field.name.clone() } else { format!("{above}.{}", field.name) };
        found.push((path.clone(), field.name.clone()));
        paths(field, &path, found);
    }
}

/// Returns the text about a field.
fn text(path: &str, field: &Field, page: Page) -> String {
    let mut text = head(path, field, page);
    if !field.allowed.is_empty() {
        text += &format!("\n{}\n", paint("ONE OF", BOLD));
        let mut words = Table::new(2, 1);
        for (word, meaning) in &field.allowed {
            words.row([word.into(), meaning.into()]);
        }
        text += &words.render(page);
    }
    if !field.fields.is_empty() {
        text += &format!("\n{}\n", paint("FIELDS", BOLD));
        let mut table = Table::new(2, 2);
        for field in &field.fields {
            let shape = format!("<{}>", field.shape);
            table.row([Cell::painted(&field.name, BOLD), shape.into(), summary(field).into()]);
        }
        text += &table.render(page);
    }
    if let Some((_, title, names)) = NAMED.iter().find(|(named, _, _)| *named == path) {
        text += &format!("\n{}\n", paint(title, BOLD));
        let mut table = Table::new(2, 0);
        table.row([names().join(", ").into()]);
        text += &table.render(page);
    }
    text
}

fn head(path: &str, field: &Field, page: Page) -> String {
    let mut facts = Table::new(0, 1);
    let name = if path.is_empty() { "desired-state.yaml" } else { path };
    let mut fact = |label: &str, value: String| {
        facts.row([Cell::painted(label, BOLD), value.into()]);
    };
    fact("FIELD", format!("{name} <{}>", field.shape));
    if field.required && !path.is_empty() {
        fact("REQUIRED", "yes".to_owned());
    }
    if let Some(default) = &field.default {
        fact("DEFAULT", default.clone());
    }
    if let Some(limits) = &field.limits {
        fact("RANGE", limits.clone());
    }
    if !field.examples.is_empty() {
        fact("EXAMPLES", field.examples.join(", "));
    }
    let mut description = Table::new(2, 0);
    description.row([Cell::from(&field.description)]);
    format!("{}\n{}", facts.render(page), description.render(page))
}

/// Returns the line about a field in a list of fields.
fn summary(field: &Field) -> String {
    let mut facts = Vec::new();
    if field.required {
        facts.push("required".to_owned());
    }
    if let Some(default) = &field.default {
        facts.push(format!("default {default}"));
    }
    // The list of values already shows the default, if there is a default.
    if field.allowed.len() > 1 {
        let words: Vec<&str> = field.allowed.iter().map(|(word, _)| word.as_str()).collect();
        facts.push(words.join(" | "));
    }
    if facts.is_empty() {
        field.description.clone()
    } else {
        format!("{} ({})", field.description, facts.join("; "))
    }
}

/// Returns all fields below a field, with their types, as a tree.
fn text_of_all(path: &str, field: &Field, page: Page) -> String {
    fn branch(fields: &[Field], depth: usize, table: &mut Table) {
        for field in fields {
            let name = format!("{}{}", "  ".repeat(depth), field.name);
            let shape = format!("<{}>", field.shape);
            let required = if field.required { "required" } else { "" };
            table.row([name.into(), shape.into(), required.into()]);
            branch(&field.fields, depth + 1, table);
        }
    }
    let mut table = Table::new(2, 2);
    branch(&field.fields, 0, &mut table);
    let all = table.render(page);
    if field.fields.is_empty() {
        return text(path, field, page);
    }
    format!("{}\n{}\n{all}", head(path, field, page), paint("FIELDS", BOLD))
}

#[cfg(test)]
mod tests {
    use super::super::terminal::Colours;
    use super::*;

    const PAGE: Page = Page { width: None, colours: Colours::Off };

    fn at(path: &str) -> Result<String, String> {
        find(&fields(), path).map(|(path, _)| path)
    }

    #[test]
    fn every_field_can_be_explained_with_and_without_spec() {
        let root = fields();
        let mut all = Vec::new();
        paths(&root, "", &mut all);
        assert!(all.len() > 80, "{}", all.len());
        for (path, _) in all {
            let (found, field) = find(&root, &path).unwrap();
            assert_eq!(found, path);
            assert!(text(&path, &field, PAGE).contains(&field.description), "{path}");
            if let Some(short) = path.strip_prefix("spec.") {
                assert_eq!(at(short).as_deref(), Ok(path.as_str()));
            }
        }
    }

    #[test]
    fn the_fields_of_the_example_all_resolve() {
        fn walk(value: &serde_json::Value, path: &str, seen: &mut usize) {
            match value {
                serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                    let path = format!("{path}.{name}");
                    assert_eq!(at(&path).as_deref(), Ok(path.trim_matches('.')));
                    *seen += 1;
                    walk(value, &path, seen);
                }),
                serde_json::Value::Array(entries) => {
                    entries.iter().for_each(|entry| walk(entry, path, seen));
                }
                _ => {}
            }
        }
        let example = include_str!("../../desired-state.yaml");
        let mut seen = 0;
        walk(&serde_yaml::from_str(example).unwrap(), "", &mut seen);
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn unknown_fields_get_a_suggestion() {
        let no = |path: &str| at(path).unwrap_err();
        assert!(no("spec.users.passwrdFrom").contains("`spec.users.passwordFrom`"));
        assert!(no("usrs.passwordFrom.file").contains("`spec.users.passwordFrom.file`"));
        assert!(no("passwordFrom").contains("`spec.users.passwordFrom`"));
        assert!(no("users.name.first").contains("has no fields"));
        assert!(no("spec.rooms.options.member_only").contains("options.members_only`"));
        assert!(no("colour").contains("`users`"), "{}", no("colour"));
    }

    #[test]
    fn paths_with_indexes_map_keys_and_dots_are_resolved() {
        assert_eq!(at("users[0].name").as_deref(), Ok("spec.users.name"));
        assert_eq!(
            at("config.files.ejabberdctl.cfg").as_deref(),
            Ok("spec.config.files.ejabberdctl.cfg")
        );
        assert_eq!(
            at("rooms.options.members_only").as_deref(),
            Ok("spec.rooms.options.members_only")
        );
        assert_eq!(at("users.vcard.N.GIVEN").as_deref(), Ok("spec.users.vcard.N.GIVEN"));
        assert_eq!(at("").as_deref(), Ok(""));
    }

    #[test]
    fn a_field_is_described_with_its_type_and_default() {
        let root = fields();
        let (path, field) = find(&root, "users.state").unwrap();
        let shown = text(&path, &field, PAGE);
        for word in ["spec.users.state <string>", "DEFAULT", "present", "ONE OF", "banned"] {
            assert!(shown.contains(word), "{word} in\n{shown}");
        }
        let (path, field) = find(&root, "").unwrap();
        let all = text_of_all(&path, &field, PAGE);
        assert!(all.contains("passwordFrom") && all.contains("maxDeletePercent"), "{all}");
    }
}
