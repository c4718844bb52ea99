//! Reads the section `observed:`, the state of the server.
//!
//! If a file omits a part, the part counts as read and empty. As in a real reconciliation, only
//! declared and owned objects have details.

use std::collections::{BTreeMap, BTreeSet};

use ejabberd_operator::domain::inventory::Inventory;
use ejabberd_operator::domain::model::{Jid, Localpart, RoomJid, ServerVersion, Vhost};
use ejabberd_operator::domain::observed::{
    ObservedGroup, ObservedGroups, ObservedRoom, ObservedRooms, ObservedState, ProcessState,
    Reading, RoomOptions, Vcard,
};
use ejabberd_operator::domain::spec::{AffiliationKind, DesiredState, VcardField};
use serde::Deserialize;

use crate::inventory::{account, room};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    observed: Written,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Written {
    version: Option<Read<String>>,
    /// The accounts of each host.
    users: BTreeMap<String, Read<Vec<String>>>,
    /// The reason of each ban; null if the account is not banned.
    bans: BTreeMap<String, Read<Option<String>>>,
    passwords: BTreeMap<String, Read<Password>>,
    vcards: BTreeMap<String, Read<BTreeMap<String, String>>>,
    groups: Option<Read<BTreeMap<String, Read<Group>>>>,
    rooms: Option<Read<BTreeMap<String, Read<Room>>>>,
    /// Hosts whose accounts come from outside ejabberd, and their source.
    kept_elsewhere: BTreeMap<String, String>,
    accounts_table: Option<Read<String>>,
}

/// A value that was read, or `{ unknown: why }` for a value that could not be read.
#[derive(Deserialize)]
#[serde(untagged)]
enum Read<T> {
    Unknown(Why),
    Known(T),
}

/// The reason of an unknown value. Decoded from a map, because serde would accept a list with one
/// string for a struct with one field.
#[derive(Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
struct Why {
    unknown: String,
}

impl TryFrom<BTreeMap<String, String>> for Why {
    type Error = &'static str;

    fn try_from(mut written: BTreeMap<String, String>) -> Result<Self, Self::Error> {
        match (written.remove("unknown"), written.is_empty()) {
            (Some(unknown), true) => Ok(Self { unknown }),
            _ => Err("not `{ unknown: why }`"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Password {
    Right,
    Wrong,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Group {
    display_name: String,
    description: String,
    /// The groups whose members this group shows. By default, only the group itself.
    displayed: Option<Vec<String>>,
    members: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Room {
    /// The options that differ from the defaults.
    options: RoomOptions,
    subject: Option<Read<String>>,
    affiliations: Option<Read<BTreeMap<String, Affiliation>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Affiliation {
    Owner,
    Admin,
    Member,
    Outcast,
}

impl<T> Read<T> {
    fn reading<U>(self, with: impl FnOnce(T) -> Result<U, String>) -> Result<Reading<U>, String> {
        match self {
            Self::Unknown(why) => Ok(Reading::Unknown(why.unknown)),
            Self::Known(value) => with(value).map(Reading::Known),
        }
    }
}

pub fn read(
    section: &str,
    desired: &DesiredState,
    inventory: &Inventory,
) -> Result<ObservedState, String> {
    let Section { observed } = serde_yaml::from_str(section).map_err(|error| error.to_string())?;
    let version = observed.version.unwrap_or_else(|| Read::Known("24.12".to_owned()));
    let version =
        version.reading(|text| ServerVersion::parse(&text).ok_or(format!("no version: {text}")))?;
    let users = users(observed.users, desired)?;
    let home = &desired.host;
    let there = |written: &str| {
        let jid = account(written, home)?;
        let known = users.get(&jid.host).and_then(Reading::known);
        let there = known.is_some_and(|names| names.contains(&jid.local));
        if there { Ok(jid) } else { Err(format!("there is no account {jid} to observe")) }
    };
    let new = *version.known().unwrap_or(&SINCE_ALLOWPM) >= SINCE_ALLOWPM;
    Ok(ObservedState {
        starting: false,
        unseen: false,
        process: Reading::Known(ProcessState::Running { health: None }),
        version,
        config: None,
        drift: Reading::Known(None),
        passwords: each(observed.passwords, there, |password| {
            Ok(matches!(password, Password::Right))
        })?,
        kept_elsewhere: observed
            .kept_elsewhere
            .into_iter()
            .map(|(name, from)| Ok((host(&name, desired)?, from)))
            .collect::<Result<_, String>>()?,
        bans: each(observed.bans, there, Ok)?,
        vcards: vcards(observed.vcards, there, desired)?,
        groups: groups(observed.groups, desired)?,
        rooms: rooms(observed.rooms, desired, inventory, new)?,
        accounts_table: observed.accounts_table.map(|table| table.reading(Ok)).transpose()?,
        database: Reading::Unknown("not part of a behaviour".to_owned()),
        listeners: None,
        services: BTreeMap::new(),
        users,
    })
}

/// Reads a map of named objects.
fn each<K: Ord, T, U>(
    written: BTreeMap<String, Read<T>>,
    name: impl Fn(&str) -> Result<K, String>,
    mut with: impl FnMut(T) -> Result<U, String>,
) -> Result<BTreeMap<K, Reading<U>>, String> {
    let one = |(written, read): (String, Read<T>)| Ok((name(&written)?, read.reading(&mut with)?));
    written.into_iter().map(one).collect()
}

fn host(written: &str, desired: &DesiredState) -> Result<Vhost, String> {
    let host = Vhost::new(written).map_err(|error| error.to_string())?;
    if !desired.serves(&host) {
        return Err(format!("{host} is not declared, so its accounts are not read"));
    }
    Ok(host)
}

fn local(name: &str) -> Result<Localpart, String> {
    Localpart::new(name).map_err(|error| format!("{name}: {error}"))
}

type Users = BTreeMap<Vhost, Reading<BTreeSet<Localpart>>>;

fn users(
    written: BTreeMap<String, Read<Vec<String>>>,
    desired: &DesiredState,
) -> Result<Users, String> {
    let mut users = each(
        written,
        |name| host(name, desired),
        |names| names.iter().map(|name| local(name)).collect(),
    )?;
    for host in std::iter::once(&desired.host).chain(&desired.hosts) {
        users.entry(host.clone()).or_insert(Reading::Known(BTreeSet::new()));
    }
    Ok(users)
}

/// Reads vCards. A declared field that the account does not have is an empty string.
fn vcards(
    written: BTreeMap<String, Read<BTreeMap<String, String>>>,
    there: impl Fn(&str) -> Result<Jid, String>,
    desired: &DesiredState,
) -> Result<BTreeMap<Jid, Reading<Vcard>>, String> {
    const FIELDS: [VcardField; 3] = [
        VcardField { element: "NICKNAME", part: None },
        VcardField { element: "FN", part: None },
        VcardField { element: "EMAIL", part: Some("USERID") },
    ];
    let field = |(name, text): (String, String)| {
        let field = FIELDS.into_iter().find(|field| field.to_string() == name);
        Ok((field.ok_or(format!("no field of a vCard here: {name}"))?, text))
    };
    let mut vcards: BTreeMap<Jid, Reading<Vcard>> =
        each(written, there, |fields| fields.into_iter().map(field).collect())?;
    for (jid, vcard) in &mut vcards {
        let user = desired.users.as_ref().and_then(|users| users.get(jid));
        if let (Reading::Known(vcard), Some(user)) = (vcard, user) {
            for field in user.vcard.keys() {
                vcard.entry(field.clone()).or_default();
            }
        }
    }
    Ok(vcards)
}

fn groups(
    written: Option<Read<BTreeMap<String, Read<Group>>>>,
    desired: &DesiredState,
) -> Result<Option<Reading<ObservedGroups>>, String> {
    let Some(declared) = &desired.groups else {
        return match written {
            Some(_) => Err("no groups are declared, so groups are not read".to_owned()),
            None => Ok(None),
        };
    };
    let one = |name: Localpart, group: Group| {
        let Group { display_name, description, displayed, members } = group;
        let displayed = displayed.unwrap_or_else(|| vec![name.to_string()]).into_iter().collect();
        let members: Result<_, String> =
            members.iter().map(|member| account(member, &desired.host)).collect();
        Ok(Some(ObservedGroup { display_name, description, displayed, members: members? }))
    };
    let written = written.unwrap_or_else(|| Read::Known(BTreeMap::new()));
    let groups = written.reading(|groups| {
        let names = groups.keys().map(|name| local(name)).collect::<Result<BTreeSet<_>, _>>()?;
        let mut details: BTreeMap<Localpart, Reading<Option<ObservedGroup>>> =
            declared.keys().map(|name| (name.clone(), Reading::Known(None))).collect();
        for (name, group) in groups {
            let name = local(&name)?;
            if declared.contains_key(&name) {
                details.insert(name.clone(), group.reading(|group| one(name, group))?);
            }
        }
        Ok(ObservedGroups { names, details })
    });
    groups.map(Some)
}

/// The first version with the room option `allowpm`. Earlier versions have
/// `allow_private_messages`.
const SINCE_ALLOWPM: ServerVersion = ServerVersion { year: 23, month: 2 };

/// Returns the default options of a room, with `persistent` enabled. With `new`, the options have
/// `allowpm` instead of `allow_private_messages`.
fn options(new: bool) -> RoomOptions {
    let private = if new { ("allowpm", "anyone") } else { ("allow_private_messages", "true") };
    [
        ("description", ""),
        ("max_users", "200"),
        ("members_only", "false"),
        ("persistent", "true"),
        ("public", "true"),
        ("title", ""),
        private,
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn rooms(
    written: Option<Read<BTreeMap<String, Read<Room>>>>,
    desired: &DesiredState,
    inventory: &Inventory,
    new: bool,
) -> Result<Reading<ObservedRooms>, String> {
    let home = &desired.host;
    let affiliated = |(who, what): (String, Affiliation)| {
        let kind = match what {
            Affiliation::Owner => AffiliationKind::Owner,
            Affiliation::Admin => AffiliationKind::Admin,
            Affiliation::Member => AffiliationKind::Member,
            Affiliation::Outcast => AffiliationKind::Outcast,
        };
        Ok((account(&who, home)?, kind))
    };
    let one = |written: Room| {
        let mut options = options(new);
        options.extend(written.options);
        let subject = match written.subject {
            None => Some(String::new()),
            Some(subject) => subject.reading(Ok)?.known().cloned(),
        };
        let affiliations = written.affiliations.unwrap_or_else(|| Read::Known(BTreeMap::new()));
        let affiliations = affiliations
            .reading(|list| list.into_iter().map(affiliated).collect::<Result<_, String>>())?;
        let affiliations = affiliations.known().cloned();
        Ok(Some(ObservedRoom { options, subject, affiliations }))
    };
    let owned = inventory.rooms().map(|(room, _)| room.clone());
    let wanted: BTreeSet<RoomJid> =
        desired.rooms.iter().flatten().map(|(jid, _)| jid.clone()).chain(owned).collect();
    written.unwrap_or_else(|| Read::Known(BTreeMap::new())).reading(|written| {
        let read = each(written, |name| room(name, home), one)?;
        let known = |reading: &Reading<_>| reading.known().is_some();
        let present = read.iter().filter(|(_, room)| known(room)).map(|(jid, _)| jid.clone());
        let present = present.collect();
        let mut details: BTreeMap<_, _> =
            wanted.iter().map(|jid| (jid.clone(), Reading::Known(None))).collect();
        details.extend(read.into_iter().filter(|(jid, _)| wanted.contains(jid)));
        Ok(ObservedRooms { present, details })
    })
}
