//! Lists the fields of the desired state file for `explain` and the reference. The fields come from
//! the JSON Schema, and the JSON Schema is generated from the types that read the file.

use serde_json::Value;

use super::document::schema;

/// The maximum depth of a field.
const MAX_DEPTH: usize = 12;

/// A field with its inner fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    /// The name of the field; empty for the whole file.
    pub name: String,
    /// The type, in the notation of `kubectl explain`: `string`, `[]object`, `map[string]string`.
    pub shape: String,
    /// The description of the field.
    pub description: String,
    /// Whether the field is required.
    pub required: bool,
    /// The default, in the flow style of YAML; `None` if the field has no default to show.
    pub default: Option<String>,
    /// The allowed values and their descriptions; empty if the field has no list of values.
    pub allowed: Vec<(String, String)>,
    /// The range of a number; `None` if the field has no range to show.
    pub limits: Option<String>,
    /// Examples of values.
    pub examples: Vec<String>,
    /// The inner fields, the required fields first. The fields of a list are the fields of each
    /// entry.
    pub fields: Vec<Field>,
    /// The value of each entry, if the field is a map whose keys the author chooses; else `None`.
    pub entry: Option<Box<Field>>,
}

/// The whole file as a field without a name.
#[must_use]
pub fn fields() -> Field {
    let schema = schema();
    Reader { root: &schema }.field("", &schema, true, 0)
}

struct Reader<'s> {
    root: &'s Value,
}

impl<'s> Reader<'s> {
    fn field(&self, name: &str, node: &'s Value, required: bool, depth: usize) -> Field {
        let kind = self.resolved(node);
        let content = self.content(kind);
        let own = |key: &str| node.get(key).or_else(|| kind.get(key));
        let mut field = Field {
            name: name.to_owned(),
            shape: self.shape(kind),
            description: own("description")
                .and_then(Value::as_str)
                .map(one_line)
                .unwrap_or_default(),
            required,
            default: own("default").and_then(default),
            allowed: allowed(content),
            limits: limits(content),
            examples: list(content, "examples").map(flow).collect(),
            ..Field::default()
        };
        if depth == MAX_DEPTH {
            return field;
        }
        let needed: Vec<&str> = list(content, "required").filter_map(Value::as_str).collect();
        let inside = content.get("properties").and_then(Value::as_object);
        for (name, node) in inside.into_iter().flatten() {
            let required = needed.contains(&name.as_str());
            field.fields.push(self.field(name, node, required, depth + 1));
        }
        field.fields.sort_by_key(|field| !field.required);
        let entry = content.get("additionalProperties").filter(|entry| entry.is_object());
        field.entry = entry.map(|entry| Box::new(self.field("", entry, false, depth + 1)));
        field
    }

    /// Follows a reference, and removes the alternative `null`.
    fn resolved(&self, node: &'s Value) -> &'s Value {
        let reference = node.get("$ref").and_then(Value::as_str);
        if let Some(pointer) = reference.and_then(|reference| reference.strip_prefix('#')) {
            return self.root.pointer(pointer).unwrap_or(node);
        }
        let not_null = |node: &&Value| node.get("type").and_then(Value::as_str) != Some("null");
        let mut ways = list(node, "anyOf").filter(not_null);
        match (ways.next(), ways.next()) {
            (Some(only), None) => self.resolved(only),
            _ => node,
        }
    }

    /// The schema of the entries of a list, else the node.
    fn content(&self, node: &'s Value) -> &'s Value {
        match node.get("items") {
            Some(items) if types(node).eq(["array"]) => self.content(self.resolved(items)),
            _ => node,
        }
    }

    fn shape(&self, node: &'s Value) -> String {
        let words: Vec<String> = types(node)
            .map(|word| match word {
                "array" => {
                    let items = node.get("items").map(|items| self.shape(self.resolved(items)));
                    format!("[]{}", items.unwrap_or_default())
                }
                "object" => match node.get("additionalProperties").filter(|e| e.is_object()) {
                    Some(entry) => match self.shape(self.resolved(entry)) {
                        shape if shape.contains(' ') => format!("map[string]({shape})"),
                        shape => format!("map[string]{shape}"),
                    },
                    None => "object".to_owned(),
                },
                other => other.to_owned(),
            })
            .collect();
        // The schema of an enum has the type in each value, not in the node.
        if words.is_empty() { "string".to_owned() } else { words.join(" or ") }
    }
}

/// The types of a node without `null`: `required` already shows whether a field is optional.
fn types(node: &Value) -> impl Iterator<Item = &str> {
    let one = node.get("type").into_iter().filter(|kind| kind.is_string());
    one.chain(list(node, "type")).filter_map(Value::as_str).filter(|word| *word != "null")
}

fn list<'v>(node: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    node.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Joins the lines of a description, which are the lines of the source.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn allowed(node: &Value) -> Vec<(String, String)> {
    let of = |node: &Value| {
        let value = flow(node.get("const")?);
        let meaning = node.get("description").and_then(Value::as_str).map(one_line);
        Some((value, meaning.unwrap_or_default()))
    };
    // The description of the field is enough for a single value.
    let only = node.get("const").map(|value| (flow(value), String::new()));
    only.into_iter().chain(list(node, "oneOf").filter_map(of)).collect()
}

fn limits(node: &Value) -> Option<String> {
    match (node.get("minimum"), node.get("maximum")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        // All numbers are at least 0, so the bound 0 gives no information.
        (Some(least), None) if least.as_u64() == Some(0) => None,
        (Some(least), None) => Some(format!("at least {least}")),
        _ => None,
    }
}

/// The default as YAML. `None` for null, and for an object whose fields have defaults.
fn default(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Object(fields) if !fields.is_empty() => None,
        value => Some(flow(value)),
    }
}

/// A value as YAML in flow style.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'f>(root: &'f Field, path: &str) -> &'f Field {
        path.split('.').fold(root, |field, name| {
            field.fields.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no {path}"))
        })
    }

    #[test]
    fn shapes_defaults_and_values_come_from_the_schema() {
        let root = fields();
        let of = |path: &str| at(&root, path);
        assert_eq!(of("spec.users").shape, "[]object");
        assert!(of("spec.users.name").required && !of("spec.users.state").required);
        assert_eq!(of("spec.users.state").default.as_deref(), Some("present"));
        let words: Vec<&str> =
            of("spec.users.state").allowed.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(words, ["present", "absent", "banned"]);
        assert_eq!(of("spec.users.passwordFrom.command").shape, "[]string");
        assert_eq!(of("spec.config.variants").shape, "map[string]string");
        assert_eq!(
            of("spec.rooms.options").shape,
            "map[string](boolean or integer or string or []string)"
        );
        assert_eq!(of("spec.policy.guard").default, None, "its own fields have defaults");
        assert_eq!(of("spec.policy.guard.freeDeletes").default.as_deref(), Some("2"));
        assert_eq!(of("spec.policy.guard.maxDeletePercent").limits.as_deref(), Some("0 to 100"));
        assert_eq!(of("apiVersion").allowed, [("ejabberd-operator/v1".to_owned(), String::new())]);
    }

    /// Adds every inner field with its path to `found`.
    fn all(field: &Field, path: &str, found: &mut Vec<(String, Field)>) {
        for field in &field.fields {
            let path = format!("{path}.{}", field.name);
            all(field, &path, found);
            found.push((path, field.clone()));
        }
    }

    #[test]
    fn every_field_and_every_value_has_a_description() {
        let mut found = Vec::new();
        all(&fields(), "", &mut found);
        assert!(found.len() > 80, "only {} fields: is the schema still read?", found.len());
        for (path, field) in found {
            // A description of one or two words adds no information to the name.
            assert!(field.description.split(' ').count() > 2, "{path}: {:?}", field.description);
            for (word, meaning) in field.allowed.iter().filter(|_| field.allowed.len() > 1) {
                assert!(meaning.split(' ').count() > 2, "{path}: {word}: {meaning:?}");
            }
            assert!(!field.shape.is_empty() && !field.shape.contains("[] "), "{path}");
        }
    }
}
