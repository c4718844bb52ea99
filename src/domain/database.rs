//! The identity of a server's database, and whether the operator manages
//! that database.
//!
//! The name of a container does not identify a server: a new container with the same name can have an
//! empty database, and the state directory can belong to another host. Mnesia gives each new database
//! a cookie. The cookie is unique and does not change with restarts. The identity of a database is the
//! cookie with the name of the node and the location of the files.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::configuration::AccountStore;

/// The file with the schema of a Mnesia database, which contains the cookie.
pub const SCHEMA_FILE: &str = "schema.DAT";

/// The share of the owned accounts, in percent, that a database without a known cookie must contain.
/// The share is below 100, because an administrator may have deleted accounts.
const ENOUGH_PERCENT: usize = 90;

/// The cookie of a Mnesia schema: `{{Time, Integer, 1}, Node}`
/// (`mnesia_lib:unique_cookie/0`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cookie {
    /// The numbers of the inner tuple.
    pub numbers: Vec<i64>,
    /// The node that created the database.
    pub made_by: String,
}

impl Cookie {
    /// Whether `schema`, the content of a `schema.DAT`, contains this cookie. The file contains the
    /// cookie in Erlang's external term format (seen on 23.01, 24.12 and 26.07), so the check needs
    /// no running server.
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
        /// The name of the volume.
        name: String,
        /// The path of the directory in the volume; empty for the root directory of the volume.
        within: String,
    },
    /// In a directory of the host.
    Host(String),
    /// In the layer of the container. Removing the container deletes the database.
    Container,
    /// In memory. Stopping the server deletes the database.
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
    /// The cookie of the Mnesia schema.
    pub cookie: Cookie,
    /// The node that uses the database.
    pub node: String,
    /// The path of the directory, in the file system of the server.
    pub directory: String,
    /// Where the directory is stored; `None` if the location is not known.
    pub location: Option<Location>,
    /// Where the accounts of each host are stored.
    pub accounts: BTreeMap<String, AccountStore>,
}

/// The number of owned accounts that a database contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// The number of owned accounts on hosts whose accounts could be read.
    pub owned: usize,
    /// The number of these accounts that exist in the database.
    pub there: usize,
    /// Whether some accounts could not be read.
    pub partial: bool,
}

impl Found {
    /// Whether enough owned accounts exist to treat the database as the same database.
    #[must_use]
    pub fn enough(self) -> bool {
        self.there * 100 >= self.owned * ENOUGH_PERCENT
    }
}

/// The result of the comparison with the known database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The operator manages this database.
    Ours,
    /// The operator starts to manage this database: the operator knows no other database, or the
    /// known database has another location now. The text describes the move; `None` if the operator
    /// knows no other database.
    TakenOver(Option<String>),
    /// The operator could not read all accounts, so the result is unknown. The text is the reason.
    Unsure(String),
    /// The database is not the known database. The text is the reason.
    Foreign(String),
}

impl Database {
    /// Compares the database of a server with the `known` database.
    #[must_use]
    pub fn compare(&self, known: Option<&Self>, found: Found) -> Match {
        let counted = || match found {
            Found { owned, there: 0, .. } => {
                format!("it contains none of the {owned} owned accounts")
            }
            Found { owned, there, .. } if there < owned => {
                format!("it contains only {there} of the {owned} owned accounts")
            }
            Found { owned, .. } => {
                format!("it has an account with the name of each of the {owned} owned accounts")
            }
        };
        let Some(known) = known else {
            return match found {
                Found { partial: true, .. } => Match::Unsure(
                    "the accounts cannot be read, so the operator does not know whether this is the \
                    database of its state directory"
                        .to_owned(),
                ),
                found if found.enough() => Match::TakenOver(None),
                _ => Match::Foreign(counted()),
            };
        };
        if self.cookie != known.cookie {
            return Match::Foreign(format!(
                "it was created by {} at another time{}",
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
                "its location changed from {before} to {here}, and the accounts cannot be read"
            )),
            found if found.enough() => {
                Match::TakenOver(Some(format!("its location changed from {before} to {here}")))
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
    fn a_database_is_identified_by_cookie_node_and_location() {
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
    fn without_a_known_cookie_nine_of_ten_accounts_identify_a_database() {
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
