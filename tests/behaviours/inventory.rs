//! Reads the section `inventory:`, the objects that the operator owns, and the objects that clients
//! registered.

use std::collections::BTreeMap;

use ejabberd_operator::domain::inventory::{Ban, Inventory, Origin, Owned, Registration};
use ejabberd_operator::domain::model::{AffiliationId, Jid, Kind, ObjectKey, RoomJid, Vhost};
use ejabberd_operator::domain::spec::{DeletionPolicy, DesiredState};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    inventory: Written,
}

/// The section as it is written. A name without a host belongs to the host of the desired state.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Written {
    users: BTreeMap<String, Entry>,
    groups: BTreeMap<String, Entry>,
    rooms: BTreeMap<String, Entry>,
    /// The affiliations, by `room/account`.
    affiliations: BTreeMap<String, Entry>,
    /// The registered objects, by client.
    registered: BTreeMap<String, Registered>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Registered {
    users: Vec<String>,
    rooms: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    deletion_policy: Option<DeletionPolicy>,
    /// The reason of the ban; absent if the operator did not ban the account.
    banned: Option<String>,
}

pub fn read(section: &str, desired: &DesiredState) -> Result<Inventory, String> {
    let Section { inventory: Written { users, groups, rooms, affiliations, registered } } =
        serde_yaml::from_str(section).map_err(|error| error.to_string())?;
    let home = &desired.host;
    let mut objects = Vec::new();
    for (kind, entries) in [
        (Kind::User, users),
        (Kind::Group, groups),
        (Kind::Room, rooms),
        (Kind::Affiliation, affiliations),
    ] {
        for (written, entry) in entries {
            let name = match kind {
                Kind::Room => room(&written, home)?.to_string(),
                Kind::Affiliation => affiliation(&written, home)?.to_string(),
                _ => account(&written, home)?.to_string(),
            };
            let key = ObjectKey::parse(kind, &name).map_err(|error| error.to_string())?;
            objects.push((key, owned(entry, desired)));
        }
    }
    let mut inventory: Inventory = objects.into_iter().collect();
    for (client, Registered { users, rooms }) in registered {
        let users = users.iter().map(|name| account(name, home).map(ObjectKey::User));
        let rooms = rooms.iter().map(|name| room(name, home).map(ObjectKey::Room));
        for key in users.chain(rooms) {
            let since = jiff::Timestamp::UNIX_EPOCH;
            inventory.register(key?, Registration { client: client.clone(), since });
        }
    }
    Ok(inventory)
}

fn owned(entry: Entry, desired: &DesiredState) -> Owned {
    Owned {
        origin: Origin::Created,
        since: jiff::Timestamp::UNIX_EPOCH,
        revision: desired.revision.clone(),
        deletion_policy: entry.deletion_policy.unwrap_or(DeletionPolicy::Delete),
        password: None,
        vcard: None,
        banned: entry.banned.map(|reason| Ban { reason, confirmed: true }),
    }
}

pub fn account(written: &str, home: &Vhost) -> Result<Jid, String> {
    Jid::parse(written, home).map_err(|error| format!("{written}: {error}"))
}

pub fn room(written: &str, home: &Vhost) -> Result<RoomJid, String> {
    let full = if written.contains('@') {
        written.to_owned()
    } else {
        format!("{written}@conference.{home}")
    };
    full.parse().map_err(|error| format!("{written}: {error}"))
}

fn affiliation(written: &str, home: &Vhost) -> Result<AffiliationId, String> {
    let (inside, who) = written.split_once('/').ok_or("an affiliation is `room/account`")?;
    Ok(AffiliationId { room: room(inside, home)?, account: account(who, home)? })
}
