//! Checks of the texts of a message. A text is sent unchanged, or refused with the reason.

use super::operation::{Failure, FailureCode};

/// The maximum length of an id in bytes.
const MAX_ID_BYTES: usize = 256;

/// Checks a text of a message. Fails for a text of more than `limit` bytes, and for characters that
/// XML 1.0 (section 2.2) cannot contain or that an XML parser changes: the recipient would get
/// another text.
pub fn check_text(field: &str, text: &str, limit: usize) -> Result<(), Failure> {
    if text.is_empty() {
        return Err(invalid(
            format!("`{field}` is empty"),
            format!("give `{field}` a text, or leave `{field}` out if it is optional"),
        ));
    }
    if text.len() > limit {
        return Err(invalid(
            format!("`{field}` has {} bytes; at most {limit} are allowed", text.len()),
            format!("shorten `{field}`, or send several messages"),
        ));
    }
    match text.char_indices().find(|(_, c)| !is_kept(*c)) {
        None => Ok(()),
        Some((at, '\r')) => Err(invalid(
            format!("`{field}` contains a carriage return at byte {at}, which XML changes"),
            "end lines with a line feed (\\n) only".to_owned(),
        )),
        Some((at, c)) => Err(invalid(
            format!(
                "`{field}` contains the character U+{:04X} at byte {at}, which XML forbids",
                u32::from(c)
            ),
            "remove the character".to_owned(),
        )),
    }
}

/// Checks the id of a message, which becomes an attribute: a parser changes line breaks and tabs in
/// attributes.
pub fn check_id(id: &str) -> Result<(), Failure> {
    check_text("id", id, MAX_ID_BYTES)?;
    if id.chars().any(char::is_control) {
        return Err(invalid(
            "`id` contains a control character".to_owned(),
            "use letters, digits and punctuation, for example a UUID".to_owned(),
        ));
    }
    Ok(())
}

/// Whether XML keeps the character.
const fn is_kept(c: char) -> bool {
    matches!(c, '\t' | '\n' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

fn invalid(message: String, next_step: String) -> Failure {
    Failure::new(FailureCode::InvalidArgument, message, next_step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_xml_would_change_is_refused() {
        for text in ["plain", "two\nlines\t", "🐘\u{202e}", "<a/>&amp;\u{FFFD}"] {
            assert_eq!(check_text("body", text, 100), Ok(()), "{text:?}");
        }
        for text in ["", "a\rb", "\0", "\u{1b}[31m", "\u{FFFE}", "\u{FFFF}", "\u{b}"] {
            let failure = check_text("body", text, 100).unwrap_err();
            assert_eq!(failure.code, FailureCode::InvalidArgument, "{text:?}");
        }
        assert!(check_text("body", &"x".repeat(101), 100).is_err());
        assert!(check_id("a\nb").is_err() && check_id("a\tb").is_err());
        assert_eq!(check_id("f81d4fae-7dec"), Ok(()));
    }
}
