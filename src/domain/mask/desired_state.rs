//! Masks the secrets of a desired state in messages.

pub(crate) use crate::domain::mask::MASK;
use crate::domain::mask::SecretNames;
use crate::domain::spec::is_treacherous;

/// The maximum number of characters of a value that a message shows.
const QUOTED_CHARS: usize = 60;

/// The environment variables that hold secrets. No name with such a word is harmless.
const VARIABLES: SecretNames =
    SecretNames { words: &["password", "passwd", "secret", "token"], harmless: &[] };

/// Fields whose names look like the key of a secret, but that hold no secret.
const HARMLESS_FIELDS: [&str; 5] =
    ["passwordFrom", "passwordTo", "passwordPolicy", "tokenFrom", "password_protected"];

/// Whether the value of `key` must not be shown. Misspelt keys count as well: the
/// message about an unknown field `pasword` must not show the password.
pub(crate) fn is_secret_key(key: &str) -> bool {
    // Field names are case-sensitive, so `passwordfrom` is a misspelt key and not harmless.
    if HARMLESS_FIELDS.contains(&key) {
        return false;
    }
    let lower = key.get(..64).unwrap_or(key).to_lowercase();
    names_a_secret(&lower)
        || lower.contains("passw")
        || strsim::jaro_winkler(&lower, "password") > 0.84
}

/// Whether `key` names the source of a secret. An author may write the secret itself there, so a
/// text must not be shown. A mapping is the source, and may be shown.
pub(crate) fn is_source_key(key: &str) -> bool {
    matches!(key, "passwordFrom" | "tokenFrom")
}

/// Whether the name of an environment variable announces a secret.
pub(crate) fn names_a_secret(name: &str) -> bool {
    VARIABLES.announces(&name.to_lowercase())
}

/// `text` in backquotes for a message: one line, at most 60 characters, and without
/// the passwords that a misplaced quotation mark may have included.
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

/// The offsets in `text`, in bytes, at which the values of `password` keys begin. This search is
/// for text without a syntax tree: a file with a syntax error, and comments.
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
    fn misspelt_password_keys_are_secret_and_similar_keys_are_not() {
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
