//! The commands for owned and registered objects: `inventory`, `forget`, `adopt`, `secret`.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::args::{Format, OwnedKind};
use super::configs::order;
use super::runtimes::Connectors;
use super::session::Paths;
use super::table::{Cell, Page, Table};
use super::{Exit, Outcome, output, session};
use crate::adapters::metrics::Metrics;
use crate::adapters::sqlite::SqliteStore;
use crate::domain::inventory::{Inventory, Origin, Owned, Registration};
use crate::domain::model::{GroupId, Jid, Kind, ObjectKey, RoomJid, Vhost};
use crate::domain::spec::{DeletionPolicy, DesiredState};
use crate::engine;
use crate::engine::{EventSink, Order, Store, StoreError};

/// An owned or registered object in the output of `inventory --output json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'i> {
    kind: Kind,
    name: String,
    origin: EntryOrigin,
    since: String,
    /// Empty if the object is not owned.
    revision: &'i str,
    deletion_policy: DeletionPolicy,
    banned: Option<&'i str>,
    registered_by: Option<&'i str>,
}

/// How an object came into the inventory.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum EntryOrigin {
    Created,
    Adopted,
    /// A client registered the object, and the operator does not own the object.
    Registered,
}

impl EntryOrigin {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Adopted => "adopted",
            Self::Registered => "registered",
        }
    }
}

impl<'i> Entry<'i> {
    fn owned(inventory: &'i Inventory, key: &ObjectKey, owned: &'i Owned) -> Self {
        Self {
            kind: key.kind(),
            name: key.name(),
            origin: match owned.origin {
                Origin::Created => EntryOrigin::Created,
                Origin::Adopted => EntryOrigin::Adopted,
            },
            since: to_the_second(owned.since),
            revision: owned.revision.short(),
            deletion_policy: owned.deletion_policy,
            banned: owned.banned.as_ref().map(|ban| ban.reason.as_str()),
            registered_by: inventory.registered_by(key),
        }
    }

    fn registered(key: &ObjectKey, registration: &'i Registration) -> Self {
        Self {
            kind: key.kind(),
            name: key.name(),
            origin: EntryOrigin::Registered,
            since: to_the_second(registration.since),
            revision: "",
            deletion_policy: DeletionPolicy::Retain,
            banned: None,
            registered_by: Some(&registration.client),
        }
    }

    fn note(&self) -> String {
        match (self.registered_by, self.deletion_policy, self.banned) {
            (Some(client), _, None) => format!("registered by {client}"),
            (Some(client), _, Some(_)) => format!("registered by {client}, banned"),
            (None, DeletionPolicy::Retain, _) => "retained when its entry is gone".to_owned(),
            (None, DeletionPolicy::Delete, Some(_)) => "banned".to_owned(),
            (None, DeletionPolicy::Delete, None) => String::new(),
        }
    }
}

fn to_the_second(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}

/// Returns the inventory; an empty inventory if there is no state directory.
fn recorded(paths: &Paths) -> Result<Inventory, Exit> {
    let store = paths.remembered()?;
    Ok(store.map(|store| store.inventory()).transpose()?.unwrap_or_default())
}

/// Lists the owned objects and the registered objects.
pub(super) fn inventory(paths: &Paths, format: Format) -> Outcome {
    let inventory = recorded(paths)?;
    let owned = inventory.iter().map(|(key, owned)| Entry::owned(&inventory, &key, owned));
    let registered = inventory.registered().filter(|(key, _)| !inventory.holds(key));
    let registered = registered.map(|(key, registration)| Entry::registered(key, registration));
    let mut entries: Vec<Entry<'_>> = owned.chain(registered).collect();
    entries.sort_by(|a, b| a.kind.cmp(&b.kind).then_with(|| a.name.cmp(&b.name)));
    if format == Format::Json {
        return output::pretty_json(&entries);
    }
    if entries.is_empty() {
        return output::print("The operator owns no objects yet.\n");
    }
    let mut table =
        Table::new(0, 2).headed(&["KIND", "NAME", "ORIGIN", "SINCE", "REVISION", "NOTE"]);
    for entry in &entries {
        let note = entry.note();
        let Entry { kind, name, origin, since, revision, .. } = entry;
        let cells = [kind.as_str(), name, origin.as_str(), since, revision, &note];
        table.row(cells.map(Cell::from));
    }
    output::print(&table.render(Page::out()))
}

/// Removes an object, or all accounts of a host, from the inventory: the owned objects and the
/// registered objects. The objects stay on the server.
pub(super) async fn forget(
    paths: &Paths,
    name: Option<String>,
    kind: Option<OwnedKind>,
    host: Option<String>,
) -> Outcome {
    let inventory = recorded(paths)?;
    let desired = paths.desired().await?;
    let keys = match (name, host) {
        (Some(name), _) if name.is_empty() => {
            return Err(Exit::Failure(
                "give the full name of the object, as `inventory` lists it".to_owned(),
            ));
        }
        (Some(name), _) => vec![the_one(&inventory, &name, kind)?],
        (None, Some(host)) => of_host(&inventory, &host)?,
        (None, None) => Vec::new(),
    };
    if let Some(declared) = keys.iter().find(|key| desired.declares(key)) {
        return Err(Exit::Failure(format!(
            "{declared} is declared, so the operator would adopt it again at once: give its entry \
             `deletionPolicy: retain` and take it out afterwards, or `paused: true`"
        )));
    }
    carry_out(paths, Ownership::Forget(keys), &desired).await
}

/// Adopts an object that is not declared.
pub(super) async fn adopt(paths: &Paths, name: &str, kind: Option<OwnedKind>) -> Outcome {
    let desired = paths.desired().await?;
    let key = named(&desired, name, kind)?;
    if desired.declares(&key) {
        return Err(Exit::Failure(format!(
            "{key} is declared: the operator adopts it in the next round"
        )));
    }
    if let Some(client) = recorded(paths)?.registered_by(&key) {
        return Err(Exit::Failure(format!(
            "{key} was not adopted: the messaging client `{client}` registered it, so the operator \
             would not delete it; give its entry `state: absent` to delete it, or run \
             `ejabberd-operator forget {}` first",
            key.name()
        )));
    }
    carry_out(paths, Ownership::Adopt(key), &desired).await?;
    output::print(
        "It is not declared, so the next round deletes it, unless the guard refuses the deletion.\n",
    )
}

/// Accepts an old copy of the state directory. The operator then owns only the declared objects.
pub(super) async fn adopt_all(paths: &Paths) -> Outcome {
    match paths.memory() {
        Ok(store) => {
            engine::order_adoption(&store)?;
            output::print(
                "The next `apply` or `run` uses this state directory, if it is an old copy: what is \
                 declared is owned then, and nothing else.\n",
            )
        }
        Err(StoreError::Locked(_)) => order(paths, &Order::AdoptAll).await,
        Err(error) => Err(paths.unusable(&error)),
    }
}

/// Prints a generated password.
pub(super) async fn secret(paths: &Paths, name: &str) -> Outcome {
    let desired = paths.desired().await?;
    let jid = jid(name, &desired.host)?;
    let store = paths.remembered()?;
    match store.map(|store| store.generated(&jid)).transpose()?.flatten() {
        Some(password) => output::verbatim(format!("{}\n", password.expose()).as_bytes()),
        None => Err(Exit::Failure(format!(
            "no password was generated for {jid}: it was declared, or the account was there before; \
             `passwordFrom` in its entry sets one"
        ))),
    }
}

/// A change of what the operator owns.
enum Ownership {
    Forget(Vec<ObjectKey>),
    Adopt(ObjectKey),
}

impl Ownership {
    fn into_order(self) -> Order {
        match self {
            Self::Forget(keys) => Order::Forget(keys),
            Self::Adopt(key) => Order::Adopt(key),
        }
    }
}

async fn carry_out(paths: &Paths, change: Ownership, desired: &DesiredState) -> Outcome {
    let store = match paths.memory() {
        Ok(store) => Arc::new(store),
        Err(StoreError::Locked(_)) => return order(paths, &change.into_order()).await,
        Err(error) => return Err(paths.unusable(&error)),
    };
    let message = match &change {
        Ownership::Forget(keys) => engine::forget(&*store, keys)?,
        Ownership::Adopt(key) => engine::adopt(&*store, key, desired)?,
    };
    output::print(&format!("{message}.\n"))?;
    note_beside_the_database(paths, store, desired).await
}

/// Records the change of ownership beside the server's database, so that an older copy of the state
/// directory cannot undo the change.
async fn note_beside_the_database(
    paths: &Paths,
    store: Arc<SqliteStore>,
    desired: &DesiredState,
) -> Outcome {
    let metrics = Arc::new(Metrics::new()?);
    let events = Arc::clone(&metrics) as Arc<dyn EventSink>;
    let connectors = Connectors { metrics, holder: paths.holder() };
    let engine = session::engine(desired, store, events, &connectors);
    let noted = engine.databases.publish_now(desired).await;
    engine.server.close().await;
    if let Err(why) = noted {
        output::say(&format!(
            "warning: until the next `apply` or `run`, a copy of the state directory from before \
             would undo this: it could not be noted beside the database ({why})"
        ));
    }
    Ok(())
}

/// Finds the owned or registered object with the full name `name`. If there is no such object,
/// `name` can be the part before the `@`. Fails if no object or more than one object matches.
fn the_one(inventory: &Inventory, name: &str, kind: Option<OwnedKind>) -> Result<ObjectKey, Exit> {
    let kinds = kind.map_or_else(|| vec![Kind::User, Kind::Group, Kind::Room], |k| vec![k.into()]);
    let all = all_keys(inventory).into_iter().filter(|key| kinds.contains(&key.kind()));
    let local =
        |key: &ObjectKey| key.name().split_once('@').is_some_and(|(local, _)| local == name);
    let (exact, near): (Vec<_>, Vec<_>) =
        all.filter(|key| key.name() == name || local(key)).partition(|key| key.name() == name);
    let found = if exact.is_empty() { near } else { exact };
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Exit::Failure(format!(
            "the operator owns no `{name}`, and no client registered one; `inventory` lists the \
             objects"
        ))),
        several => {
            let names: Vec<String> = several.iter().take(5).map(ToString::to_string).collect();
            Err(Exit::Failure(format!(
                "{name} can mean {}; give the full name, and --kind",
                names.join(", ")
            )))
        }
    }
}

/// Returns the keys of the owned objects and of the registered objects.
fn all_keys(inventory: &Inventory) -> BTreeSet<ObjectKey> {
    inventory.keys().chain(inventory.registered().map(|(key, _)| key.clone())).collect()
}

fn of_host(inventory: &Inventory, host: &str) -> Result<Vec<ObjectKey>, Exit> {
    let host = Vhost::new(host).map_err(|error| {
        Exit::Failure(format!("{host:?} cannot be a host: {error}; `inventory` shows the names"))
    })?;
    let on_host = |key: &ObjectKey| matches!(key, ObjectKey::User(jid) if jid.host == host);
    let keys: Vec<ObjectKey> = all_keys(inventory).into_iter().filter(on_host).collect();
    if keys.is_empty() {
        return Err(Exit::Failure(format!(
            "the operator owns no account of {host}, and no client registered one; `inventory` \
             lists the objects"
        )));
    }
    Ok(keys)
}

/// Parses the name of an account. A name without a host is on the host `host`.
fn jid(name: &str, host: &Vhost) -> Result<Jid, Exit> {
    Jid::parse(name, host).map_err(|error| {
        Exit::Failure(format!("{name:?} cannot be a name: {error}; give NAME or NAME@HOST"))
    })
}

/// Returns the key of the object `name` in the inventory.
fn named(desired: &DesiredState, name: &str, kind: Option<OwnedKind>) -> Result<ObjectKey, Exit> {
    let jid = jid(name, &desired.host)?;
    let room = RoomJid { room: jid.local.clone(), service: jid.host.clone() };
    let room_service = !desired.serves(&jid.host) && desired.serves_rooms_of(&room.service);
    let kind = match kind {
        Some(kind) => kind,
        None if room_service => OwnedKind::Room,
        None => OwnedKind::User,
    };
    let ours = if kind == OwnedKind::Room { room_service } else { desired.serves(&jid.host) };
    if ours {
        let group = GroupId { name: jid.local.clone(), host: jid.host.clone() };
        return Ok(match kind {
            OwnedKind::User => ObjectKey::User(jid),
            OwnedKind::Group => ObjectKey::Group(group),
            OwnedKind::Room => ObjectKey::Room(room),
        });
    }
    let hosts: Vec<&str> = desired.all_hosts().map(Vhost::as_str).collect();
    let form = if kind == OwnedKind::Room { "NAME@SERVICE" } else { "NAME@HOST" };
    Err(Exit::Failure(format!(
        "{jid} is not on a host of the file ({}), so the operator cannot manage it; give the full \
         name, as {form}",
        hosts.join(", ")
    )))
}

impl From<OwnedKind> for Kind {
    fn from(kind: OwnedKind) -> Self {
        match kind {
            OwnedKind::User => Self::User,
            OwnedKind::Group => Self::Group,
            OwnedKind::Room => Self::Room,
        }
    }
}
