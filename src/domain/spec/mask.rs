//! What of a file may be shown.

use super::render::is_treacherous;

/// Whatever stands for a secret.
pub(crate) const MASK: &str = "***";
/// A value in a message is cut after so many characters.
const QUOTED_CHARS: usize = 60;
/// Fields that sound secret and are not.
const HARMLESS: [&str; 5] =
    ["passwordFrom", "passwordTo", "passwordPolicy", "tokenFrom", "password_protected"];

/// Whether the value of `key` must not be shown. Misspelt keys count as well: the
/// message about an unknown field `pasword` must not show the password.
pub(crate) fn is_secret_key(key: &str) -> bool {
    if HARMLESS.contains(&key) {
        return false;
    }
    let lower = key.get(..64).unwrap_or(key).to_lowercase();
    names_a_secret(&lower)
        || lower.contains("passw")
        || strsim::jaro_winkler(&lower, "password") > 0.84
}

/// Whether an environment variable of this name holds a secret by all appearances.
pub(crate) fn names_a_secret(name: &str) -> bool {
    let lower = name.to_lowercase();
    ["password", "passwd", "secret", "token"].iter().any(|word| lower.contains(word))
}

/// `text` in backquotes, fit for a message: one line, not too long, and without
/// the passwords that a misplaced quotation mark may have drawn into it.
pub(crate) fn quoted(text: &str) -> String {
    let text = match after_password_keys(text).next() {
        Some(start) => format!("{}{MASK}", text.get(..start).unwrap_or_default()),
        None => text.to_owned(),
    };
    let mut shown = String::from("`");
    for (count, c) in text.chars().enumerate() {
        if count == QUOTED_CHARS {
            shown.push('…');
            break;
        }
        if is_treacherous(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown.push('`');
    shown
}

/// Where in `text` something begins that follows what looks like the key of a
/// password. The tree knows better, but a file with a syntax error has none, and
/// a comment is not part of it.
pub(crate) fn after_password_keys(text: &str) -> impl Iterator<Item = usize> {
    const WORD: &[u8] = b"password";
    let bytes = text.as_bytes();
    bytes.windows(WORD.len()).enumerate().filter_map(|(at, window)| {
        if !window.eq_ignore_ascii_case(WORD) {
            return None;
        }
        let rest = bytes.get(at + WORD.len()..)?;
        let closing =
            rest.iter().take_while(|b| matches!(b, b'"' | b'\'' | b' ' | b'\t' | b'\\')).count();
        if rest.get(closing) != Some(&b':') {
            return None;
        }
        let blank = rest.get(closing + 1..)?.iter().take_while(|b| b.is_ascii_whitespace()).count();
        let start = at + WORD.len() + closing + 1 + blank;
        (start < bytes.len()).then_some(start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_passwords_are_found_without_a_tree() {
        for text in ["password: x", "- {name: a, \"password\" : x", "# PASSWORD:x"] {
            assert_eq!(
                after_password_keys(text).map(|start| &text[start..]).next(),
                Some("x"),
                "{text}"
            );
        }
        assert_eq!(after_password_keys("passwordFrom: x").next(), None);
        assert_eq!(after_password_keys("password:").next(), None);
        assert_eq!(quoted("present\n  password: hunter2"), "`present\\n  password: ***`");
    }

    #[test]
    fn misspelt_passwords_are_secrets_and_their_neighbours_are_not() {
        for key in [
            "password",
            "pasword",
            "Password",
            "passwrd",
            "passwordfrom",
            "DB_PASSWORD",
            "API_TOKEN",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in [
            "passwordFrom",
            "passwordTo",
            "password_protected",
            "paused",
            "persistent",
            "name",
            "tokenFrom",
        ] {
            assert!(!is_secret_key(key), "{key}");
        }
    }
}
