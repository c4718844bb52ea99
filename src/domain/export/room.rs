//! Turns an observed room into the declaration of a room.

use std::collections::{BTreeMap, BTreeSet};

use super::found::FoundRoom;
use super::yaml::quoted;
use crate::domain::observed::{ObservedRoom, RoomOptions};
use crate::domain::spec::{OptionValue, printed_room_option};

/// Values that ejabberd prints with the options, but that are not options.
const NOT_OPTIONS: [&str; 2] = ["captcha_whitelist", "vcard_xupdate"];

/// The declaration of a persistent room on a server whose new rooms have the options `new`.
#[must_use]
pub fn describe(room: ObservedRoom, new: &RoomOptions) -> FoundRoom {
    let mut options = BTreeMap::new();
    let mut remarks = Vec::new();
    for (name, value) in &room.options {
        // A declared room is persistent by default.
        if name == "persistent" || NOT_OPTIONS.contains(&name.as_str()) {
            continue;
        }
        let Some(declared) = printed_room_option(name, value) else {
            if new.get(name) != Some(value) {
                let value = quoted(&value.chars().take(60).collect::<String>());
                remarks.push(format!(
                    "the option {name} has the value {value}, which cannot be declared"
                ));
            }
            continue;
        };
        let default = new.get(name).and_then(|value| printed_room_option(name, value));
        if default.is_some_and(|default| same(&declared, &default)) {
            continue;
        }
        if name == "password" {
            remarks.push("the password of the room is left out and does not change".to_owned());
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

/// Whether two values are equal. The order of a list does not matter.
fn same(one: &OptionValue, other: &OptionValue) -> bool {
    match (one, other) {
        (OptionValue::List(one), OptionValue::List(other)) => {
            one.iter().collect::<BTreeSet<_>>() == other.iter().collect()
        }
        _ => one == other,
    }
}
