//! Parses responses.

use super::{ControlError, Result, Value};

pub(super) fn texts<'a>(command: &'static str, response: &'a Value) -> Result<Vec<&'a str>> {
    let items = response.as_list().ok_or_else(|| refused(command, response))?;
    items.iter().map(|item| item.as_text().ok_or(ControlError::Malformed(command))).collect()
}

pub(super) fn number(command: &'static str, response: &Value) -> Result<i64> {
    match response {
        Value::Int(number) => Ok(*number),
        Value::Text(text) => text.trim().parse().map_err(|_| ControlError::Malformed(command)),
        _ => Err(ControlError::Malformed(command)),
    }
}

/// Whether a string or atom in the response contains `word`.
pub(super) fn says(response: &Value, word: &str) -> bool {
    match response {
        Value::Atom(text) | Value::Text(text) => text.contains(word),
        Value::List(parts) | Value::Tuple(parts) => parts.iter().any(|part| says(part, word)),
        Value::Int(_) | Value::Float(_) | Value::Bytes(_) | Value::Other => false,
    }
}

/// The error for a refused call, with ejabberd's message. Responses contain names, never passwords.
pub(super) fn refused(command: &'static str, response: &Value) -> ControlError {
    fn collect(response: &Value, words: &mut Vec<String>) {
        match response {
            Value::Atom(text) | Value::Text(text) if text != "error" => words.push(text.clone()),
            Value::List(parts) | Value::Tuple(parts) => {
                parts.iter().for_each(|part| collect(part, words))
            }
            _ => {}
        }
    }
    let mut words = Vec::new();
    collect(response, &mut words);
    let message = if words.is_empty() {
        "ejabberd refused it without a reason".to_owned()
    } else {
        words.join(" ")
    };
    ControlError::Refused { command, message: message.chars().take(300).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_contains_ejabberds_message() {
        let response = Value::Tuple(vec![
            Value::Atom("error".into()),
            Value::Atom("cannot_register".into()),
            Value::Int(10001),
            Value::List(vec![Value::Text("not allowed".into())]),
        ]);
        assert_eq!(
            refused("register", &response).to_string(),
            "run `register`: cannot_register not allowed"
        );
        assert!(says(&response, "allowed") && !says(&response, "conflict"));
    }
}
