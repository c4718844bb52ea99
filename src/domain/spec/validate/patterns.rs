//! Checks `spec.policy.ignore`. The operator compares a pattern with the names of accounts, groups
//! and rooms, with and without the host. A pattern that matches no possible name protects nothing,
//! so such a pattern is an error.

use std::collections::BTreeSet;

use wildmatch::WildMatch;

use crate::domain::model::Vhost;
use crate::domain::spec::{mask, suggest};

/// The maximum length of a part of a name, in bytes.
const MAX_PART_BYTES: usize = 1023;

/// The codes after a backslash in a name that XEP-0106 escapes. Any other backslash is an attempt
/// to escape a `*`, which patterns do not support.
const ESCAPED: [&str; 10] = ["20", "22", "26", "27", "2f", "3a", "3c", "3e", "40", "5c"];

/// A letter of a right-to-left script that does not combine with other characters.
const RIGHT_TO_LEFT: char = 'א';

const SPECIAL: &str = "only `*` (any text) and `?` (one character) are special";

/// The message and the help for a pattern that matches no name.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// The hosts of the names that patterns can match.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    /// The managed vhosts; `None` if a vhost has an error.
    pub(super) hosts: Option<BTreeSet<Vhost>>,
    /// The services of rooms, and the hosts of accounts on other servers.
    pub(super) others: BTreeSet<Vhost>,
    /// Whether accounts of any host can occur, because a room is `exclusive`.
    pub(super) anywhere: bool,
}

/// Normalises a pattern as ejabberd normalises names: `Guest-*` matches `guest-1`, because ejabberd
/// stores `Guest-1` as `guest-1`. Fails if the pattern matches no name.
pub(super) fn normalised(pattern: &str, known_hosts: &KnownHosts) -> Result<String, Wrong> {
    let none = |why: &str, help: Option<String>| {
        Err(Wrong { message: format!("{} matches no name: {why}", mask::quoted(pattern)), help })
    };
    let trimmed = pattern.trim();
    if trimmed.is_empty() {
        let help = Some(
            "remove the pattern, or write the name that the operator must not change".to_owned(),
        );
        return Err(Wrong { message: "an empty pattern matches nothing".to_owned(), help });
    }
    if trimmed != pattern {
        let help = format!("remove the spaces at the ends: {}", mask::quoted(trimmed));
        return none("a name has no spaces", Some(help));
    }
    let (local, host) = match pattern.split_once('@') {
        None => (pattern, None),
        Some((_, host)) if host.contains('@') => {
            let help =
                "write `name@host` for an account or a room, and the name without `@` for a group"
                    .to_owned();
            return none("it has more than one `@`", Some(help));
        }
        Some(("", host)) => {
            let help = format!("for every name on that host write {}", quoted(&["*@", host]));
            return none("the part before the `@` is empty", Some(help));
        }
        Some((local, "")) => {
            let help = format!("for a name on any host write {}", mask::quoted(local));
            return none("the part after the `@` is empty", Some(help));
        }
        Some((local, host)) => (local, Some(host)),
    };
    if let Some((what, help)) = unsupported(local) {
        return Err(Wrong {
            message: format!("{} {what}", mask::quoted(pattern)),
            help: Some(help),
        });
    }
    let local = match prepared(local, &LOCAL) {
        Ok(local) => local,
        Err(why) => return none(&why, Some(format!("ejabberd accepts no such name; {SPECIAL}"))),
    };
    let Some(host) = host else { return Ok(local) };
    let host = match prepared(host, &HOST) {
        Ok(host) => host.trim_end_matches('.').to_owned(),
        Err(why) => return none(&why, Some(SPECIAL.to_owned())),
    };
    match known_hosts.refuse(&host) {
        None => Ok(format!("{local}@{host}")),
        help => none(&format!("no name is on the host {}", mask::quoted(&host)), help),
    }
}

/// Whether a normalised pattern matches every name.
pub(super) fn matches_everything(pattern: &str) -> bool {
    let all = |part: &str| part.contains('*') && part.chars().all(|c| c == '*');
    match pattern.split_once('@') {
        Some((local, host)) => all(local) && all(host),
        None => all(&pattern.replacen('?', "", 1)),
    }
}

/// The advice for a pattern that looks like a regular expression; `None` for other patterns. Names
/// may contain these characters, so such a pattern can be correct.
pub(super) fn regular_expression(pattern: &str) -> Option<String> {
    let plain = pattern.replace(".*", "*").replace(".+", "*");
    let plain = plain.strip_prefix('^').unwrap_or(&plain);
    let plain = plain.strip_suffix('$').unwrap_or(plain);
    if plain.contains('|') {
        return Some(format!("{SPECIAL}; write a pattern for each alternative"));
    }
    (plain != pattern).then(|| format!("{SPECIAL}; did you mean {}?", mask::quoted(plain)))
}

fn quoted(parts: &[&str]) -> String {
    mask::quoted(&parts.concat())
}

/// The message and the help for a pattern with the syntax of another pattern language; `None` for
/// other patterns.
fn unsupported(local: &str) -> Option<(&'static str, String)> {
    if local.contains(['[', ']']) {
        let help = format!("{SPECIAL}; write a pattern for each of the characters, or `?`");
        return Some(("has `[` or `]`, and patterns have no classes of characters", help));
    }
    if local.contains(['{', '}']) {
        let help = format!("{SPECIAL}; write a pattern for each of the alternatives, or `?`");
        return Some(("has `{` or `}`, and patterns have no alternatives", help));
    }
    let escapes = |rest: &str| {
        ESCAPED.iter().any(|code| rest.get(..2).is_some_and(|two| two.eq_ignore_ascii_case(code)))
    };
    if local.split('\\').skip(1).any(|rest| !escapes(rest)) {
        let help = format!("{SPECIAL}; `?` also matches a `*`, a `?` or a `\\` of a name");
        return Some(("has a `\\`, and patterns have no escapes", help));
    }
    None
}

/// How ejabberd prepares a part of a name.
struct Part {
    prepare: fn(&str) -> Option<String>,
    forbidden: fn(char) -> bool,
    place: &'static str,
}

const LOCAL: Part = Part {
    prepare: |text| stringprep::nodeprep(text).ok().map(Into::into),
    forbidden: |_| false,
    place: "a name",
};

const HOST: Part = Part {
    prepare: |text| stringprep::nameprep(text).ok().map(Into::into),
    forbidden: |c| c.is_whitespace() || c.is_control() || "@/'\"<>&:".contains(c),
    place: "the name of a host",
};

/// Prepares the literal pieces of `text` as ejabberd prepares names, and keeps the wildcards
/// between the pieces. The error is the reason why no name matches.
fn prepared(text: &str, part: &Part) -> Result<String, String> {
    let place = part.place;
    let wildcard = |c: char| c == '*' || c == '?';
    for c in text.chars().filter(|c| !wildcard(*c)) {
        let alone = c.to_string();
        // Check each character separately, because stringprep maps and forbids single characters.
        // The error then names the character.
        let Some(alone) = (part.prepare)(&alone).filter(|_| !(part.forbidden)(c)) else {
            return Err(format!("`{}` is not allowed in {place}", c.escape_debug()));
        };
        if alone.contains(wildcard) {
            return Err(format!("{place} with `{}` would have a `*` or `?`", c.escape_debug()));
        }
    }
    let mut whole = String::with_capacity(text.len());
    let mut piece = String::new();
    // The `None` at the end completes the last piece.
    for c in text.chars().map(Some).chain([None]) {
        match c {
            Some(c) if !wildcard(c) => piece.push(c),
            c => {
                let ready = prepare_piece(&piece, part).ok_or_else(|| bidirectional(place))?;
                whole.push_str(&ready);
                whole.extend(c);
                piece.clear();
            }
        }
    }
    directions(&whole, place)?;
    if whole.is_empty() {
        return Err(format!("ejabberd removes every character of the pattern from {place}"));
    }
    let least = whole.chars().filter(|c| *c != '*').map(char::len_utf8).sum::<usize>();
    if least > MAX_PART_BYTES {
        return Err(format!("{place} has at most {MAX_PART_BYTES} bytes"));
    }
    Ok(whole)
}

/// Prepares a piece that may be in the middle of a name, between letters of the same direction.
/// `None` if stringprep refuses the piece.
fn prepare_piece(piece: &str, part: &Part) -> Option<String> {
    if let Some(ready) = (part.prepare)(piece) {
        return Some(ready);
    }
    let between = (part.prepare)(&format!("{RIGHT_TO_LEFT}{piece}{RIGHT_TO_LEFT}"))?;
    between.strip_prefix(RIGHT_TO_LEFT)?.strip_suffix(RIGHT_TO_LEFT).map(str::to_owned)
}

fn bidirectional(place: &str) -> String {
    format!("{place} has letters of one direction only, at both ends where that is right to left")
}

/// Checks the rules of RFC 3454, section 6, for the names that the pattern `whole` matches.
fn directions(whole: &str, place: &str) -> Result<(), String> {
    use stringprep::tables::{bidi_l, bidi_r_or_al};
    let fine_end = |c: Option<char>| c.is_none_or(|c| "*?".contains(c) || bidi_r_or_al(c));
    if whole.chars().any(bidi_r_or_al)
        && (whole.chars().any(bidi_l)
            || !fine_end(whole.chars().next())
            || !fine_end(whole.chars().next_back()))
    {
        return Err(bidirectional(place));
    }
    Ok(())
}

impl KnownHosts {
    /// Returns the help for a pattern that matches no host of a name; `None` if a name can be on a
    /// host that the pattern matches.
    fn refuse(&self, pattern: &str) -> Option<String> {
        let hosts = self.hosts.as_ref()?;
        let wild = WildMatch::new(pattern);
        let known = || hosts.iter().chain(&self.others);
        if self.anywhere
            || known().any(|host| wild.matches(host.as_str()))
            // The name of a MUC service can be any subdomain of a vhost.
            || hosts.iter().any(|host| may_be_below(pattern, host.as_str()))
        {
            return None;
        }
        let near = suggest::closest(pattern, known().map(Vhost::as_str));
        Some(match near {
            Some(host) => format!("did you mean `{host}`?"),
            None => format!(
                "the file names {}; add the host to `hosts`, or remove the `@` and the host",
                suggest::listed(known().map(Vhost::as_str).take(8))
            ),
        })
    }
}

/// Whether a pattern matches some host that ends in `.host`.
fn may_be_below(pattern: &str, host: &str) -> bool {
    let end = format!(".{host}");
    // The start of the pattern must match the text before `.host`, and the rest must match `.host`;
    // one `*` can match both.
    pattern.char_indices().any(|(at, c)| {
        (at > 0 || c == '*')
            && pattern.get(at..).is_some_and(|rest| WildMatch::new(rest).matches(&end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::Localpart;

    fn known_hosts() -> KnownHosts {
        let hosts = ["a.example", "b.example"].map(|host| Vhost::new(host).unwrap());
        let others = ["rooms.elsewhere"].map(|host| Vhost::new(host).unwrap());
        KnownHosts { hosts: Some(hosts.into()), others: others.into(), anywhere: false }
    }

    fn means(pattern: &str) -> Result<String, String> {
        normalised(pattern, &known_hosts()).map_err(|wrong| {
            assert!(wrong.help.is_some(), "{pattern:?}: {}", wrong.message);
            wrong.message
        })
    }

    #[test]
    fn a_pattern_that_no_name_matches_is_refused() {
        for pattern in [
            "",
            " ",
            "guest-1 ",
            " guest-*",
            "guest 1",
            "guest\u{a0}*",
            "guest\t*",
            "@a.example",
            "guest@",
            "guest@@a.example",
            "a@b@a.example",
            "guest\"",
            "a&b*",
            "o'hara",
            "room/nick",
            "xmpp:ann",
            "<guest>",
            "guest-[ab]",
            "{a,b}-*",
            "\\*",
            "\\d*",
            "a\\",
            "guest-\u{1f418}*",
            "\u{202e}guest",
            "\u{ad}",
            "\u{ff0a}",
            "guest\u{ff1f}",
            "guest\u{ff20}a.example",
            "*@c.example",
            "guest@a.exmple",
            "*@*.example.org",
            "*@a example",
            "*@a.example:5222",
            "*@a.example/x",
            "g\u{5d0}*",
            "1\u{5d0}",
        ] {
            assert!(means(pattern).is_err(), "{pattern:?}: {:?}", means(pattern));
        }
        let long = "x".repeat(1024);
        assert!(means(&long).is_err() && means(&format!("{}*", &long[1..])).is_ok());
        assert!(means(&"?".repeat(1024)).is_err() && means(&"\u{e9}".repeat(512)).is_err());
    }

    #[test]
    fn a_pattern_that_matches_a_name_is_normalised_like_a_name() {
        for (pattern, expected) in [
            ("guest-*", "guest-*"),
            ("Guest-?", "guest-?"),
            ("\u{fb01}x-*", "fix-*"),
            ("\u{d8}re*", "\u{f8}re*"),
            ("STRASSE*STRA\u{df}E", "strasse*strasse"),
            ("*", "*"),
            ("*@A.Example", "*@a.example"),
            ("guest-*@conference.a.example", "guest-*@conference.a.example"),
            ("*@*.b.example", "*@*.b.example"),
            ("*@conference.*", "*@conference.*"),
            ("*@*", "*@*"),
            ("*@*example", "*@*example"),
            ("lobby@rooms.elsewhere", "lobby@rooms.elsewhere"),
            ("joe\\40corp*", "joe\\40corp*"),
            ("guest-.*", "guest-.*"),
            ("a+b", "a+b"),
            ("\u{5d0}*", "\u{5d0}*"),
            ("*1\u{5d0}", "*1\u{5d0}"),
            ("\u{5d0}1*", "\u{5d0}1*"),
            ("$(id)", "$(id)"),
        ] {
            assert_eq!(means(pattern).as_deref(), Ok(expected), "{pattern:?}");
        }
        let anywhere = KnownHosts { anywhere: true, ..known_hosts() };
        assert!(normalised("*@c.example", &anywhere).is_ok());
        assert!(normalised("*@c.example", &KnownHosts::default()).is_ok(), "hosts are not known");
    }

    proptest::proptest! {
        /// A pattern without wildcards is valid exactly if the pattern is a valid name.
        #[test]
        fn a_pattern_without_wildcards_is_valid_exactly_if_it_is_a_name(
            name in "[a-zA-Z\u{5d0}\u{627}\u{e9}\u{df}\u{fb01}\u{ad}\u{1f418} :&.1-]{1,6}"
        ) {
            let trimmed = name.trim() == name;
            match (Localpart::new(&name), means(&name)) {
                (Ok(name), Ok(pattern)) => assert_eq!(name.as_str(), pattern),
                (Err(_), Err(_)) => {}
                (name, pattern) => panic!("{name:?} {pattern:?} {trimmed}"),
            }
        }
    }

    #[test]
    fn a_likely_regular_expression_is_reported() {
        for (pattern, better) in
            [("guest-.*", "`guest-*`"), ("^bot", "`bot`"), ("bot$", "`bot`"), ("a.+b", "`a*b`")]
        {
            assert!(regular_expression(pattern).unwrap().contains(better), "{pattern}");
        }
        assert!(regular_expression("a|b").is_some());
        assert!(regular_expression("guest-*").is_none() && regular_expression("a.b").is_none());
        for pattern in ["*", "***", "?*", "*?", "*@*"] {
            assert!(matches_everything(pattern), "{pattern}");
        }
        for pattern in ["?", "??*", "a*", "*@a.example"] {
            assert!(!matches_everything(pattern), "{pattern}");
        }
    }
}
