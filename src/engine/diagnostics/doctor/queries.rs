//! Collects the evidence that the server reports.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};

use super::{CALL, LOGINS, QUERIES, explained, login, no_delivery, unknown};
use super::{unless, unneeded, within};
use crate::domain::checks::audit::Inside;
use crate::domain::checks::doctor::{
    Account, Api, Archive, Backend, Delivery, HostModules, Listening, RoomState, Server, Symptom,
};
use crate::domain::model::{Jid, RoomJid, Vhost};
use crate::domain::observed::Reading;
use crate::domain::spec::{DesiredState, User, UserState};
use crate::ejabberd::client::{Encryption, ListenAddress};
use crate::ejabberd::{ControlError, EjabberdClient};
use crate::engine::diagnostics::Diagnostics;

/// The maximum number of accounts that `doctor` queries one by one.
const MOST_ACCOUNTS: usize = 50;

/// The maximum number of rooms that `doctor` queries one by one.
const MOST_ROOMS: usize = 20;

/// The maximum number of sessions that `doctor` lists. If the server has more sessions, the
/// sessions are unknown.
const MOST_SESSIONS: i64 = 20_000;

/// The reason in the evidence if the server cannot list bans.
const NO_BANS: &str = "this ejabberd version does not report bans";

/// The maximum number of concurrent queries. More queries could overload a busy server.
pub(super) const AT_ONCE: usize = 8;

impl Diagnostics {
    /// Collects the evidence that the server reports. If `skip` holds a reason (for example, the
    /// server does not respond), this function sends no query, and every result is unknown with
    /// this reason.
    pub(super) async fn query_server(
        &self,
        desired: &DesiredState,
        server: &mut Server,
        skip: Option<&str>,
        symptoms: &[Symptom],
    ) {
        let unless_needed = |by: &[Symptom]| skip.or_else(|| unneeded(symptoms, by));
        let control = self.server.clone().with_deadline(CALL);
        let delivery = unless_needed(&[Symptom::Delivery]);
        let load = unless_needed(&[Symptom::Load]);
        let sessions = unless_needed(&[Symptom::Delivery, Symptom::Load]);
        // Read the sockets first. Otherwise the wait for the sockets uses up the deadlines of the
        // queries that need the sockets.
        let sockets = unless_needed(&[Symptom::Start, Symptom::Delivery]);
        let inside = unless(sockets, QUERIES, self.probe.sockets_inside()).await;
        let (api, found, connected, vm, registered, (backends, listeners)) = tokio::join!(
            unless(unless_needed(&[Symptom::Api]), QUERIES, apis(&control)),
            collect_delivery(&control, desired, delivery),
            unless(sessions, QUERIES, connected(&control)),
            unless(load, QUERIES, async { explained(control.vm().await) }),
            registered(&control, desired, load),
            logins(&control, &inside, delivery),
        );
        server.api = api;
        let published = match (&server.diagnostics, &inside) {
            (Reading::Unknown(why), _) | (_, Reading::Unknown(why)) => unknown(why),
            (Reading::Known(diagnostics), Reading::Known(inside)) => {
                Reading::Known(login::published(&diagnostics.bound, inside))
            }
        };
        server.delivery = Delivery { backends, listeners, published, connected, ..found };
        server.load.vm = vm;
        server.load.registered = registered;
        if let Reading::Known(inside) = &inside {
            note_open_ports(server, inside);
        }
    }

    /// Collects the evidence about one account.
    pub(super) async fn account(&self, jid: &Jid) -> Account {
        let server = self.server.clone().with_deadline(CALL);
        let (exists, sessions, last, waiting, archived) = tokio::join!(
            read(server.account_exists(jid)),
            read(server.sessions_of(jid)),
            read(server.last_activity(jid)),
            read(server.offline_messages(jid)),
            read(server.archived_messages(jid)),
        );
        let banned = match exists {
            Reading::Known(true) => match server.remembers_bans().await {
                Ok(true) => read(server.ban_of(jid)).await,
                Ok(false) => unknown(NO_BANS),
                Err(e) => unknown(&format!("failed to {e}")),
            },
            _ => Reading::Known(None),
        };
        Account { exists, banned, sessions, last, waiting, archived }
    }
}

/// Records for each port whether the server listens on the port.
fn note_open_ports(server: &mut Server, inside: &Inside) {
    let Reading::Known(ports) = &mut server.ports else { return };
    let host_network = server.drift.known().is_some_and(|drift| drift.host_network);
    for port in ports {
        let own = inside.own().any(|socket| socket.at.port() == port.at.port());
        // Without host networking, the container engine holds the published port open, even if no
        // listener uses the port.
        port.open = Some(own || !host_network);
    }
}

/// Returns the listeners with an HTTP API, each with the HTTP status of a request.
async fn apis(server: &EjabberdClient) -> Result<Vec<Api>, String> {
    let mut apis = Vec::new();
    let unix = explained(server.takes_unix_connections().await)?;
    for listener in explained(server.all_listeners().await)? {
        let of_api = listener.handlers.iter().find(|(_, module)| module == "mod_http_api");
        let Some((path, _)) = of_api else { continue };
        let path_of_status = format!("{}/status", path.trim_end_matches('/'));
        let status = match &listener.address {
            ListenAddress::Unix(_) if !unix => Reading::Unknown(
                "not queried: in this ejabberd version, a connection closes the Unix socket"
                    .to_owned(),
            ),
            _ => read(server.http_status(&listener, &path_of_status, CALL)).await,
        };
        let at = match &listener.address {
            ListenAddress::Net(at) => Some(*at),
            ListenAddress::Unix(_) => None,
        };
        let tls = listener.encryption == Encryption::Direct;
        apis.push(Api { at, path: path.clone(), tls, status });
    }
    Ok(apis)
}

/// Collects the evidence about message delivery. `logins` collects the evidence about logins.
async fn collect_delivery(
    server: &EjabberdClient,
    desired: &DesiredState,
    skip: Option<&str>,
) -> Delivery {
    let present = present(desired);
    let some: Vec<Jid> = present.iter().take(MOST_ACCOUNTS).map(|jid| (*jid).clone()).collect();
    let (hosts, modules, clients, waiting, missing, banned, rooms, services) = tokio::join!(
        unless(skip, QUERIES, async { explained(server.hosts().await) }),
        modules(server, desired, skip),
        unless(skip, QUERIES, login::clients(server, desired.all_hosts().cloned().collect())),
        unless(skip, QUERIES, waiting(server, &some)),
        unless(skip, QUERIES, missing(server, desired, &present)),
        unless(skip, QUERIES, banned(server, &some)),
        unless(skip, QUERIES, rooms(server, desired)),
        unless(skip, QUERIES, services(server)),
    );
    let archive = unless(skip, QUERIES, archive(server, &some)).await;
    Delivery {
        hosts,
        modules,
        clients,
        archive,
        waiting,
        unasked: present.len().saturating_sub(some.len()),
        missing,
        banned,
        rooms,
        services,
        ..no_delivery()
    }
}

/// Collects the evidence about the authentication methods and the listeners.
async fn logins(
    server: &EjabberdClient,
    inside: &Reading<Inside>,
    skip: Option<&str>,
) -> (Reading<Vec<Backend>>, Reading<Vec<Listening>>) {
    // An authentication method with an external server waits for that server, so this call has
    // the longer deadline `LOGINS`.
    let patient = server.clone().with_deadline(LOGINS);
    tokio::join!(
        unless(skip, LOGINS, login::backends(&patient)),
        unless(skip, QUERIES, login::listeners(server, inside)),
    )
}

/// Returns the result of one call, with the deadline [`CALL`].
async fn read<T>(call: impl Future<Output = Result<T, ControlError>>) -> Reading<T> {
    within(CALL, async { explained(call.await) }).await
}

/// Returns the accounts that are declared present.
fn present(desired: &DesiredState) -> Vec<&Jid> {
    let users = desired.users.iter().flatten();
    let there = |user: &User| user.state == UserState::Present;
    users.filter(|(_, user)| there(user)).map(|(jid, _)| jid).collect()
}

/// Returns the modules that store messages, for each declared host.
async fn modules(
    server: &EjabberdClient,
    desired: &DesiredState,
    skip: Option<&str>,
) -> BTreeMap<Vhost, HostModules> {
    let mut found = BTreeMap::new();
    for host in desired.all_hosts() {
        let offline =
            unless(skip, CALL, async { explained(server.has_module(host, "mod_offline").await) });
        let archive = unless(skip, CALL, async { explained(server.archive_default(host).await) });
        let (offline, archive) = tokio::join!(offline, archive);
        found.insert(host.clone(), HostModules { offline, archive });
    }
    found
}

/// Returns the number of waiting messages of each account.
async fn waiting(server: &EjabberdClient, accounts: &[Jid]) -> Result<Vec<(Jid, i64)>, String> {
    let counts = accounts.iter().map(|jid| async move {
        Ok((jid.clone(), explained(server.offline_messages(jid).await)?))
    });
    stream::iter(counts).buffered(AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
}

/// Returns the accounts of `present` that do not exist. Skips hosts whose accounts come from
/// outside ejabberd.
async fn missing(
    server: &EjabberdClient,
    desired: &DesiredState,
    present: &[&Jid],
) -> Result<Vec<Jid>, String> {
    let mut missing = Vec::new();
    let named: BTreeSet<&Vhost> = present.iter().map(|jid| &jid.host).collect();
    for host in desired.all_hosts().filter(|host| named.contains(host)) {
        if explained(server.accounts_elsewhere(host).await)?.is_some() {
            continue;
        }
        let there = explained(server.registered_users(host).await)?;
        let gone = present.iter().filter(|jid| jid.host == *host && !there.contains(&jid.local));
        missing.extend(gone.map(|jid| (*jid).clone()));
    }
    Ok(missing)
}

/// Returns the banned accounts of `accounts`, each with the reason for the ban.
async fn banned(server: &EjabberdClient, accounts: &[Jid]) -> Result<Vec<(Jid, String)>, String> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    if !explained(server.remembers_bans().await)? {
        return Err(NO_BANS.to_owned());
    }
    let bans = accounts
        .iter()
        .map(|jid| async move { Ok((jid.clone(), explained(server.ban_of(jid).await)?)) });
    let bans: Vec<Result<_, String>> = stream::iter(bans).buffered(AT_ONCE).collect().await;
    let mut found = Vec::new();
    for ban in bans {
        if let (jid, Some(reason)) = ban? {
            found.push((jid, reason));
        }
    }
    Ok(found)
}

/// Returns the state of the first [`MOST_ROOMS`] declared rooms. Reads the stored rooms, because a
/// query of a stored room starts no room and reads no messages.
async fn rooms(
    server: &EjabberdClient,
    desired: &DesiredState,
) -> Result<Vec<(RoomJid, RoomState)>, String> {
    let declared = desired.rooms.iter().flatten().filter(|(_, room)| room.present);
    let mut found = Vec::new();
    for (name, _) in declared.take(MOST_ROOMS) {
        let host = desired.host_of(&name.service).unwrap_or(&desired.host);
        let stored = explained(server.stored_room(host, name).await)?;
        let state = match stored {
            None => RoomState::Missing,
            Some(room) if room.options.get("mam").is_some_and(|mam| mam == "true") => {
                RoomState::Archived
            }
            Some(_) => RoomState::NotArchived,
        };
        found.push((name.clone(), state));
    }
    Ok(found)
}

/// Returns the names of the services for rooms of all hosts.
async fn services(server: &EjabberdClient) -> Result<BTreeSet<Vhost>, String> {
    let mut found = BTreeSet::new();
    for host in explained(server.hosts().await)? {
        let host = Vhost::new(&host).map_err(|e| e.to_string())?;
        found.extend(explained(server.room_services(&host).await)?);
    }
    Ok(found)
}

/// Returns the size of the message archive. If the archive is not in ejabberd's database, this
/// function adds up the messages of `accounts`.
async fn archive(server: &EjabberdClient, accounts: &[Jid]) -> Result<Archive, String> {
    if let Some(archive) = explained(server.archive_table().await)? {
        return Ok(archive);
    }
    let mut messages: i64 = 0;
    for jid in accounts {
        let count = explained(server.archived_messages(jid).await)?;
        messages = messages.saturating_add(count);
    }
    if accounts.is_empty() {
        return Err("cannot count the archive: the file declares no account".to_owned());
    }
    Ok(Archive::Elsewhere(messages))
}

/// Returns the full JIDs of the connected sessions, or an error if there are more than
/// [`MOST_SESSIONS`].
async fn connected(server: &EjabberdClient) -> Result<Vec<String>, String> {
    let mut count: i64 = 0;
    for host in explained(server.hosts().await)? {
        let host = Vhost::new(&host).map_err(|e| e.to_string())?;
        count = count.saturating_add(explained(server.connected_users(&host).await)?);
    }
    if count > MOST_SESSIONS {
        return Err(format!("{count} sessions are too many to list"));
    }
    explained(server.connected().await)
}

/// Returns the number of accounts on each declared host.
async fn registered(
    server: &EjabberdClient,
    desired: &DesiredState,
    skip: Option<&str>,
) -> BTreeMap<Vhost, Reading<i64>> {
    let mut found = BTreeMap::new();
    for host in desired.all_hosts() {
        let count = unless(skip, CALL, async { explained(server.count_users(host).await) }).await;
        found.insert(host.clone(), count);
    }
    found
}
