//! Keywords (`define_keyword`): unlike macros they are still there in what ejabberd prints, because
//! it replaces them when it reads an option (`ejabberd_config:replace_keywords/3` of 25.10 and
//! 26.07; older versions have none). A word that is a keyword's name means the keyword's value,
//! whatever that is; `@NAME@` inside of a text for a value that is a text.
//!
//! Those that ejabberd defines itself (`@HOST@`, `@VERSION@`, `@CONFIG_PATH@`, …) stay as they are:
//! their values are not part of the configuration.

use super::Value;

/// The option that defines them.
const DEFINITIONS: &str = "define_keyword";

/// More are not followed. The first count.
const MAX_KEYWORDS: usize = 1000;

/// The largest text that replacing may make, in bytes: keywords can name each other.
const MAX_TEXT: usize = 64 << 10;

/// `options` with the keywords that it defines replaced.
pub(super) fn replaced(options: Value) -> Value {
    let defined: Vec<(String, Value)> = match options.get(DEFINITIONS).and_then(Value::entries) {
        Some(entries) if !entries.is_empty() => {
            entries.iter().take(MAX_KEYWORDS).cloned().collect()
        }
        _ => return options,
    };
    match options {
        Value::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(name, value)| {
                    let value = if name == DEFINITIONS { value } else { replace(value, &defined) };
                    (name, value)
                })
                .collect(),
        ),
        other => other,
    }
}

fn replace(value: Value, defined: &[(String, Value)]) -> Value {
    match value {
        Value::Text(text) => in_text(text, defined),
        Value::List(elements) => {
            Value::List(elements.into_iter().map(|element| replace(element, defined)).collect())
        }
        Value::Map(entries) => Value::Map(
            entries.into_iter().map(|(key, value)| (key, replace(value, defined))).collect(),
        ),
        other => other,
    }
}

fn in_text(mut text: String, defined: &[(String, Value)]) -> Value {
    if let Some((_, value)) = defined.iter().find(|(name, _)| *name == text) {
        return value.clone();
    }
    for (name, value) in defined {
        let Value::Text(value) = value else { continue };
        let mark = format!("@{name}@");
        if text.contains(&mark) {
            let longer = text.replace(&mark, value);
            if longer.len() > MAX_TEXT {
                break;
            }
            text = longer;
        }
    }
    Value::Text(text)
}
