//! From a room as it was read to one as it would be declared.

use std::collections::{BTreeMap, BTreeSet};

use super::found::FoundRoom;
use super::yaml::quoted;
use crate::domain::observed::{ObservedRoom, RoomOptions};
use crate::domain::spec::{OptionValue, printed_room_option};

/// What ejabberd prints among the options and computes or keeps by itself.
const NOT_OPTIONS: [&str; 2] = ["captcha_whitelist", "vcard_xupdate"];

/// A room that persists, as it would be declared on a server whose new rooms
/// have the options `new`.
#[must_use]
pub fn describe(room: ObservedRoom, new: &RoomOptions) -> FoundRoom {
    let mut options = BTreeMap::new();
    let mut remarks = Vec::new();
    for (name, value) in &room.options {
        // A declared room persists.
        if name == "persistent" || NOT_OPTIONS.contains(&name.as_str()) {
            continue;
        }
        let Some(declared) = printed_room_option(name, value) else {
            if new.get(name) != Some(value) {
                let value = quoted(&value.chars().take(60).collect::<String>());
                remarks.push(format!("its option {name} is {value}, which cannot be declared"));
            }
            continue;
        };
        let default = new.get(name).and_then(|value| printed_room_option(name, value));
        if default.is_some_and(|default| same(&declared, &default)) {
            continue;
        }
        if name == "password" {
            remarks.push("its password is left out, and stays as it is".to_owned());
            continue;
        }
        options.insert(name.clone(), declared);
    }
    FoundRoom {
        options,
        subject: room.subject.unwrap_or_default(),
        affiliations: room.affiliations.unwrap_or_default(),
        remarks,
    }
}

/// Whether two values mean the same: the order of a list is of no account.
fn same(one: &OptionValue, other: &OptionValue) -> bool {
    match (one, other) {
        (OptionValue::List(one), OptionValue::List(other)) => {
            one.iter().collect::<BTreeSet<_>>() == other.iter().collect()
        }
        _ => one == other,
    }
}
