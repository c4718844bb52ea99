//! Determines the types of plain YAML scalars by the core schema of YAML 1.2.
//!
//! `yes` and `on` are strings, not booleans. There is one difference from the core schema: a number
//! with a leading zero is a string, because authors do not mean `0600` and `007` as decimal
//! numbers.

use super::tree::Value;

/// The value of a scalar without quotes.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let based =
        |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(|n| Value::Int(n.into()));
    if let Some(octal) = text.strip_prefix("0o") {
        return based(octal, 8);
    }
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        return based(hexadecimal, 16);
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        if digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        return Some(text.parse().map_or(Value::Float(f64::INFINITY), Value::Int));
    }
    if digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return text.parse().ok().map(Value::Float);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_the_types_of_yaml_1_2() {
        for text in [
            "yes",
            "on",
            "0600",
            "5s",
            "1.2.3",
            "10:20",
            "127.0.0.1:1:2",
            "-",
            "+",
            ".",
            "e1",
            "<<",
        ] {
            assert_eq!(resolve(text), Value::Text(text.into()), "{text}");
        }
        assert_eq!(resolve("0"), Value::Int(0));
        assert_eq!(resolve("-12"), Value::Int(-12));
        assert_eq!(resolve("0x1F"), Value::Int(31));
        assert_eq!(resolve("1.5"), Value::Float(1.5));
        assert_eq!(resolve("~"), Value::Null);
        assert_eq!(resolve("True"), Value::Bool(true));
    }
}
