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

/// NUL occurs in no name, so no character is a wildcard for one character.
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

    /// Whether a name can match both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        overlap(self.local(), other.local()) && overlap(self.host(), other.host())
    }

    /// Whether the pattern can match a name that begins with `prefix`.
    #[must_use]
    pub fn can_begin_with(&self, prefix: &str) -> bool {
        overlap(self.local(), &format!("{prefix}*"))
    }

    /// The normalised pattern of the part before the `@`.
    #[must_use]
    pub fn local(&self) -> &str {
        self.text.split_once('@').map_or(&self.text, |(local, _)| local)
    }

    /// The normalised pattern of the host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text.split_once('@').map_or("", |(_, host)| host)
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

/// Whether a text can match both patterns of a part.
fn overlap(a: &str, b: &str) -> bool {
    /// The text before the first `*` and the text after the last `*`; `None` without a `*`.
    fn ends(part: &str) -> Option<(&str, &str)> {
        let (start, _) = part.split_once('*')?;
        let (_, end) = part.rsplit_once('*')?;
        Some((start, end))
    }
    match (ends(a), ends(b)) {
        (None, None) => a == b,
        (None, Some(_)) => Part::new(b).matches(a),
        (Some(_), None) => Part::new(a).matches(b),
        // A `*` of one pattern can match the middle of the other pattern, so only the ends decide.
        (Some((start_a, end_a)), Some((start_b, end_b))) => {
            (start_a.starts_with(start_b) || start_b.starts_with(start_a))
                && (end_a.ends_with(end_b) || end_b.ends_with(end_a))
        }
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
    fn patterns_overlap_if_a_name_matches_both() {
        for (a, b, expected) in [
            ("agent-*", "agent-7", true),
            ("agent-*", "bot-7", false),
            ("agent-*", "agent-x-*", true),
            ("agent-*", "*-bot", true),
            ("agent-*", "*", true),
            ("agent-*", "bot-*", false),
            ("*-bot", "*-agent", false),
            ("a*b*c", "a*x*c", true),
            ("ab*", "a*b", true),
            ("agent-*", "agent-*@example.net", false),
            ("agent-*", "*@*", true),
            ("ann", "ann", true),
            ("ann", "bob", false),
        ] {
            assert_eq!(pattern(a).overlaps(&pattern(b)), expected, "{a} {b}");
            assert_eq!(pattern(b).overlaps(&pattern(a)), expected, "{b} {a}");
        }
        for (text, expected) in
            [("own-*", true), ("o*", true), ("*-x", true), ("own-x", true), ("ow", false)]
        {
            assert_eq!(pattern(text).can_begin_with("own-"), expected, "{text}");
        }
    }

    #[test]
    fn a_pattern_that_matches_no_name_is_refused() {
        let host = Vhost::new("example.org").unwrap();
        for text in ["", "a b", "@example.org", "a@", "a/b", "a@b/c", "a@b@c", "a\0b"] {
            assert!(JidPattern::new(text, &host).is_err(), "{text}");
        }
    }
}
