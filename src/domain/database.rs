//! The identity of a server's database, and whether the operator manages
//! that database.
//!
//! A container's name says little: behind it may come back a container with an
//! empty database, and the state directory may belong to another host. Mnesia
//! gives each database a cookie when it is made. The cookie is unique and does
//! not change with restarts, so it is the identity, together with the name of
//! the node and the place where the files are.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::configuration::AccountStore;

/// The file that holds the schema of a Mnesia database, and so its cookie.
pub const SCHEMA_FILE: &str = "schema.DAT";

/// The share of the owned accounts, in percent, that must be in a database which
/// the operator accepts without a known cookie. An administrator may have deleted
/// the others.
const ENOUGH_PERCENT: usize = 90;

/// The cookie of a Mnesia schema: `{{Time, Integer, 1}, Node}`
/// (`mnesia_lib:unique_cookie/0`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cookie {
    /// The numbers of the inner tuple.
    pub numbers: Vec<i64>,
    /// The node that made the database.
    pub made_by: String,
}

impl Cookie {
    /// Whether the content of a `schema.DAT` belongs to this database. The file
    /// holds the cookie in Erlang's external term format (seen on 23.01, 24.12
    /// and 26.07), so that no server has to be started to tell.
    #[must_use]
    pub fn is_in(&self, schema: &[u8]) -> bool {
        let wanted = self.encoded();
        !self.numbers.is_empty() && schema.windows(wanted.len()).any(|piece| piece == wanted)
    }

    /// The inner tuple in the external term format: `SMALL_TUPLE_EXT` of
    /// `SMALL_INTEGER_EXT`, `INTEGER_EXT` and `SMALL_BIG_EXT`
    /// (erts, "External Term Format").
    fn encoded(&self) -> Vec<u8> {
        let mut bytes = vec![104, u8::try_from(self.numbers.len()).unwrap_or(u8::MAX)];
        for number in &self.numbers {
            if let Ok(small) = u8::try_from(*number) {
                bytes.extend([97, small]);
            } else if let Ok(integer) = i32::try_from(*number) {
                bytes.push(98);
                bytes.extend(integer.to_be_bytes());
            } else {
                let magnitude = number.unsigned_abs().to_le_bytes();
                let length = magnitude.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
                bytes.extend([110, u8::try_from(length).unwrap_or(8), u8::from(*number < 0)]);
                bytes.extend(magnitude.iter().take(length));
            }
        }
        bytes
    }
}

/// Where the directory of a database is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Location {
    /// On a volume of the container engine.
    Volume {
        /// Its name.
        name: String,
        /// The directory's path within it; empty where it is the volume itself.
        within: String,
    },
    /// In a directory of the host.
    Host(String),
    /// In the container's own layer: it goes when the container is removed.
    Container,
    /// In memory: it goes when the server stops.
    Memory,
}

impl Location {
    /// The root directory of the volume `name`.
    #[must_use]
    pub fn whole_volume(name: &str) -> Self {
        Self::Volume { name: name.to_owned(), within: String::new() }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume { name, within } if within.is_empty() => write!(f, "the volume {name}"),
            Self::Volume { name, within } => write!(f, "{within} on the volume {name}"),
            Self::Host(path) => write!(f, "the directory {path} of the host"),
            Self::Container => f.write_str("the container itself"),
            Self::Memory => f.write_str("the container's memory"),
        }
    }
}

/// The database of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// The cookie of its schema.
    pub cookie: Cookie,
    /// The node that uses it.
    pub node: String,
    /// Its directory, as the server sees it.
    pub directory: String,
    /// Where that directory is stored; `None` where that could not be told.
    pub location: Option<Location>,
    /// Where the accounts of each host are kept.
    pub accounts: BTreeMap<String, AccountStore>,
}

/// How many owned accounts could be looked for, and how many are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Owned accounts on hosts whose accounts could be read.
    pub owned: usize,
    /// Those of them that are there.
    pub there: usize,
    /// Whether some accounts could not be read.
    pub partial: bool,
}

impl Found {
    /// Whether enough owned accounts exist for this to be the same database.
    #[must_use]
    pub fn enough(self) -> bool {
        self.there * 100 >= self.owned * ENOUGH_PERCENT
    }
}

/// What a database is to the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The operator manages this database.
    Ours,
    /// The operator takes this database over: it is the first that the operator
    /// sees, or the known database at another path. The text describes the move.
    TakenOver(Option<String>),
    /// The operator cannot tell, because it could not read everything: why.
    Unsure(String),
    /// This is another database: why.
    Foreign(String),
}

impl Database {
    /// Compares the database of a server with the `known` database.
    #[must_use]
    pub fn compare(&self, known: Option<&Self>, found: Found) -> Match {
        let counted = || match found {
            Found { owned, there: 0, .. } => format!("none of the {owned} owned accounts is in it"),
            Found { owned, there, .. } if there < owned => {
                format!("only {there} of the {owned} owned accounts are in it")
            }
            Found { owned, .. } => format!("all {owned} owned accounts have a namesake in it"),
        };
        let Some(known) = known else {
            return match found {
                Found { partial: true, .. } => Match::Unsure(
                    "the accounts cannot be read, so the operator cannot tell whether this is the \
                     database of its state directory"
                        .to_owned(),
                ),
                found if found.enough() => Match::TakenOver(None),
                _ => Match::Foreign(counted()),
            };
        };
        if self.cookie != known.cookie {
            return Match::Foreign(format!(
                "it was made by {} at another time{}",
                self.cookie.made_by,
                if found.owned > 0 { format!(", and {}", counted()) } else { String::new() }
            ));
        }
        if self.node != known.node {
            return Match::Foreign(format!(
                "it belongs to the node {}, and the operator knows it on {}",
                self.node, known.node
            ));
        }
        let (Some(here), Some(before)) = (&self.location, &known.location) else {
            return Match::Ours;
        };
        match found {
            _ if here == before => Match::Ours,
            Found { partial: true, .. } => Match::Unsure(format!(
                "its place was {before} and is {here}, and the accounts cannot be read"
            )),
            found if found.enough() => {
                Match::TakenOver(Some(format!("its place was {before} and is {here}")))
            }
            _ => Match::Foreign(format!("it is an older copy in {here}: {}", counted())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(time: i64, place: &str) -> Database {
        let numbers = vec![time, -576_460_752_303_422_591, 1];
        Database {
            cookie: Cookie { numbers, made_by: "ejabberd@localhost".to_owned() },
            node: "ejabberd@localhost".to_owned(),
            directory: "/home/ejabberd/database".to_owned(),
            location: Some(Location::whole_volume(place)),
            accounts: BTreeMap::new(),
        }
    }

    fn found(there: usize, owned: usize) -> Found {
        Found { owned, there, partial: false }
    }

    #[test]
    fn a_database_is_known_by_its_cookie_node_and_place() {
        let known = database(7, "a");
        assert_eq!(known.compare(Some(&known), found(0, 5)), Match::Ours);
        let foreign = |compare| matches!(compare, Match::Foreign(_));
        assert!(foreign(database(8, "a").compare(Some(&known), found(5, 5))));
        let node = Database { node: "other@localhost".to_owned(), ..known.clone() };
        assert!(foreign(node.compare(Some(&known), found(5, 5))));
        let moved = database(7, "b");
        assert!(matches!(
            moved.compare(Some(&known), found(9, 10)),
            Match::TakenOver(Some(why)) if why.contains("volume a") && why.contains("volume b")
        ));
        assert!(foreign(moved.compare(Some(&known), found(8, 10))));
        let partial = Found { partial: true, ..found(0, 0) };
        assert!(matches!(moved.compare(Some(&known), partial), Match::Unsure(_)));
    }

    #[test]
    fn without_an_identity_nine_of_ten_accounts_decide() {
        let new = database(1, "a");
        assert_eq!(new.compare(None, found(0, 0)), Match::TakenOver(None));
        assert_eq!(new.compare(None, found(9, 10)), Match::TakenOver(None));
        assert!(matches!(new.compare(None, found(8, 10)), Match::Foreign(_)));
        assert!(matches!(
            new.compare(None, Found { partial: true, ..found(9, 10) }),
            Match::Unsure(_)
        ));
    }

    /// Bytes of a `schema.DAT` that ejabberd 26.07 wrote.
    #[test]
    fn a_cookie_is_found_in_the_schema_file() {
        let bytes = [
            b"..".as_slice(),
            &[0x68, 3, 0x6e, 8, 0, 0xf7, 0xa4, 0x24, 0x9b, 0xd3, 0x84, 0xeb, 0x18],
            &[0x6e, 8, 1, 0x7f, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 7, 0x61, 1, 0x77],
        ]
        .concat();
        assert!(database(1_795_674_920_813_110_519, "a").cookie.is_in(&bytes));
        assert!(!database(1_795_674_920_813_110_520, "a").cookie.is_in(&bytes));
        assert!(!Cookie::default().is_in(&bytes));
    }
}
