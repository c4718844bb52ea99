//! Patterns of the accounts and rooms that a client may use.

use std::fmt;

use wildmatch::WildMatchPattern;

use crate::domain::model::{Jid, NameError, Vhost};

/// A pattern of an account or a room, as `name` or `name@host`. Only `*` is special, and matches any
/// characters of its part. ejabberd permits `?` in names, so `?` matches only itself.
#[derive(Debug, Clone, PartialEq)]
pub struct JidPattern {
    text: String,
    exact: bool,
    local: Part,
    host: Part,
}

/// NUL occurs in no name, so the library matches no wildcard for a single character.
type Part = WildMatchPattern<'*', '\0'>;

impl JidPattern {
    /// Normalises a pattern as ejabberd normalises names. A pattern without a host belongs to
    /// `default_host`. Fails if the pattern can match no name.
    pub fn new(text: &str, default_host: &Vhost) -> Result<Self, NameError> {
        // stringprep keeps `*` in both parts.
        let Jid { local, host } = Jid::parse(text, default_host)?;
        let exact = !local.as_str().contains('*') && !host.as_str().contains('*');
        Ok(Self {
            text: format!("{}@{}", local.as_str(), host.as_str()),
            exact,
            local: Part::new(local.as_str()),
            host: Part::new(host.as_str()),
        })
    }

    /// Whether the pattern matches the bare JID of an account or a room.
    #[must_use]
    pub fn matches(&self, jid: &Jid) -> bool {
        self.local.matches(jid.local.as_str()) && self.host.matches(jid.host.as_str())
    }

    /// Whether the pattern matches one name only.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.exact
    }

    /// The normalised pattern, as `name@host`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for JidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> JidPattern {
        JidPattern::new(text, &Vhost::new("example.org").unwrap()).unwrap()
    }

    #[test]
    fn a_star_matches_within_one_part_only() {
        for (text, name, expected) in [
            ("agent-*", "agent-7@example.org", true),
            ("Agent-*", "agent-@example.org", true),
            ("agent-*", "agent-7@example.net", false),
            ("agent-*", "xagent-7@example.org", false),
            ("*@example.org", "a@example.org", true),
            ("*@example.org", "a@evil.example.org", false),
            ("*@*.example.org", "room@conference.example.org", true),
            ("*@*.example.org", "room@example.org", false),
            ("a?c", "abc@example.org", false),
            ("a?c", "a?c@example.org", true),
            ("a", "a@example.org", true),
        ] {
            assert_eq!(pattern(text).matches(&name.parse().unwrap()), expected, "{text} {name}");
        }
        assert!(pattern("a@example.net").is_exact());
        assert!(!pattern("a@*").is_exact() && !pattern("*").is_exact());
    }

    #[test]
    fn a_pattern_that_matches_no_name_is_refused() {
        let host = Vhost::new("example.org").unwrap();
        for text in ["", "a b", "@example.org", "a@", "a/b", "a@b/c", "a@b@c", "a\0b"] {
            assert!(JidPattern::new(text, &host).is_err(), "{text}");
        }
    }
}
