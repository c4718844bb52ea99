//! Names of accounts, hosts and rooms.
//!
//! ejabberd normalises with stringprep (RFC 3491, RFC 3920 appendix A), not with
//! PRECIS: `CaseRoom` becomes `caseroom`, `ﬁx` becomes `fix`.

use std::fmt;
use std::str::FromStr;

/// The maximum length of a part of a JID in bytes, after normalisation (RFC 3920, 3.1).
const MAX_PART_BYTES: usize = 1023;

/// The error of a name that ejabberd refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty, or empty after normalisation.
    #[error("the name is empty")]
    Empty,
    /// The name has over 1023 bytes after normalisation.
    #[error("the name has {0} bytes; at most 1023 are allowed")]
    TooLong(usize),
    /// The name contains a character that stringprep forbids in this part of a name.
    #[error("`{character}` is not allowed in {place}")]
    Forbidden {
        /// The first forbidden character, escaped.
        character: String,
        /// The part of the name, e.g. "an account name".
        place: &'static str,
    },
    /// stringprep refused the whole name (e.g. mixed text directions).
    #[error("{0} is not allowed by stringprep (mixed text directions or unassigned characters)")]
    Refused(&'static str),
    /// The text is not a full JID.
    #[error("{0} is not of the form name@host")]
    NotAJid(String),
}

fn check_length(part: String) -> Result<String, NameError> {
    match part.len() {
        0 => Err(NameError::Empty),
        n if n > MAX_PART_BYTES => Err(NameError::TooLong(n)),
        _ => Ok(part),
    }
}

/// The error for the first character that `prep` refuses.
fn first_refused(text: &str, place: &'static str, prep: fn(&str) -> bool) -> NameError {
    text.chars().find(|c| !prep(c.encode_utf8(&mut [0; 4]))).map_or(
        NameError::Refused(place),
        |c| NameError::Forbidden { character: c.escape_debug().to_string(), place },
    )
}

/// The part of a JID before the `@`, normalised with nodeprep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Localpart(String);

impl Localpart {
    /// Normalises `text`. Fails if ejabberd would refuse the name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let prepared = stringprep::nodeprep(text)
            .map_err(|_| first_refused(text, "a name", |c| stringprep::nodeprep(c).is_ok()))?;
        check_length(prepared.into_owned()).map(Self)
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A domain that ejabberd serves or addresses, normalised with nameprep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vhost(String);

impl Vhost {
    /// Normalises `text`. Fails if the text cannot be a host.
    pub fn new(text: &str) -> Result<Self, NameError> {
        const PLACE: &str = "a host name";
        // nameprep accepts these characters, but the domain of a JID cannot contain them.
        if let Some(c) =
            text.chars().find(|c| c.is_whitespace() || c.is_control() || "@/'\"<>&".contains(*c))
        {
            return Err(NameError::Forbidden {
                character: c.escape_debug().to_string(),
                place: PLACE,
            });
        }
        let prepared = stringprep::nameprep(text)
            .map_err(|_| first_refused(text, PLACE, |c| stringprep::nameprep(c).is_ok()))?;
        check_length(prepared.trim_end_matches('.').to_owned()).map(Self)
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Vhost {
    /// The host of `hosts` that a service with this name belongs to: the longest host that the name
    /// ends with, after a dot. `None` if no host fits.
    pub fn owner<'h>(&self, hosts: impl IntoIterator<Item = &'h Self>) -> Option<&'h Self> {
        let within = |host: &&Self| {
            let before = self.0.strip_suffix(host.as_str());
            before.is_some_and(|before| before.ends_with('.'))
        };
        hosts.into_iter().filter(within).max_by_key(|host| host.0.len())
    }
}

/// An account: `local@host`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jid {
    /// The name of the account on its host.
    pub local: Localpart,
    /// The host of the account.
    pub host: Vhost,
}

impl Jid {
    /// Parses a localpart on `default_host` or a full JID.
    pub fn parse(text: &str, default_host: &Vhost) -> Result<Self, NameError> {
        match text.split_once('@') {
            Some((local, host)) => {
                Ok(Self { local: Localpart::new(local)?, host: Vhost::new(host)? })
            }
            None => Ok(Self { local: Localpart::new(text)?, host: default_host.clone() }),
        }
    }
}

impl FromStr for Jid {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (local, host) =
            text.split_once('@').ok_or_else(|| NameError::NotAJid(format!("{text:?}")))?;
        Ok(Self { local: Localpart::new(local)?, host: Vhost::new(host)? })
    }
}

/// A shared roster group: `name@host`. In ejabberd the groups of each host are separate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId {
    /// The name of the group on its host.
    pub name: Localpart,
    /// The host of the group.
    pub host: Vhost,
}

impl FromStr for GroupId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let Jid { local, host } = text.parse()?;
        Ok(Self { name: local, host })
    }
}

/// A room: `room@service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomJid {
    /// The name of the room on its service.
    pub room: Localpart,
    /// The MUC service, e.g. `conference.example.org`.
    pub service: Vhost,
}

impl FromStr for RoomJid {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let Jid { local, host } = text.parse()?;
        Ok(Self { room: local, service: host })
    }
}

/// The affiliation of an account with a room: `room@service/account@host` in plans and in the
/// inventory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AffiliationId {
    /// The room.
    pub room: RoomJid,
    /// The account, on a managed vhost or on another server.
    pub account: Jid,
}

impl FromStr for AffiliationId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (room, account) =
            text.split_once('/').ok_or_else(|| NameError::NotAJid(format!("{text:?}")))?;
        Ok(Self { room: room.parse()?, account: account.parse()? })
    }
}

impl fmt::Display for AffiliationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.room, self.account)
    }
}

impl fmt::Display for Localpart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Vhost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.host)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.host)
    }
}

impl fmt::Display for RoomJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.room, self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_like_ejabberd() {
        for (written, kept) in
            [("CaseRoom", "caseroom"), ("ﬁx", "fix"), ("Øre", "øre"), ("a.b-c", "a.b-c")]
        {
            assert_eq!(Localpart::new(written).unwrap().as_str(), kept);
        }
        assert_eq!(Vhost::new("Example.ORG").unwrap().as_str(), "example.org");
    }

    #[test]
    fn names_that_ejabberd_refuses_are_refused_with_the_reason() {
        for bad in [" ", "a b", "a@b", "a/b", "a\nb", "a\"b", "a&b", "a'b", "a:b", "a<b", "a>b", ""]
        {
            assert!(Localpart::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            Localpart::new("two words").unwrap_err().to_string(),
            "` ` is not allowed in a name"
        );
        assert!(matches!(Localpart::new(&"x".repeat(1024)), Err(NameError::TooLong(1024))));
        assert!(Vhost::new("a b").is_err() && Vhost::new("").is_err());
    }

    #[test]
    fn a_full_jid_overrides_the_default_host() {
        let home = Vhost::new("home.example").unwrap();
        assert_eq!(Jid::parse("ann", &home).unwrap().to_string(), "ann@home.example");
        assert_eq!(Jid::parse("Ann@Away.Example", &home).unwrap().to_string(), "ann@away.example");
        assert!("ann".parse::<Jid>().is_err());
    }
}
