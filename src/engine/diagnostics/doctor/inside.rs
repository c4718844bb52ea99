//! What a server that answers says itself.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};

use super::{CALL, INSIDE, LOGINS, asked, login, said, within};
use crate::domain::checks::audit;
use crate::domain::checks::doctor::{
    Account, Api, Archive, Backend, Delivery, Listening, Server, Symptom,
};
use crate::domain::model::{Jid, RoomJid, Vhost};
use crate::domain::observed::Reading;
use crate::domain::spec::{DesiredState, User, UserState};
use crate::ejabberd::client::{Encryption, ListenAddress};
use crate::ejabberd::{ControlError, EjabberdClient};
use crate::engine::Engine;

/// No more accounts and rooms than these are looked at one by one.
const MOST_ACCOUNTS: usize = 50;
const MOST_ROOMS: usize = 20;

/// No more sessions than these are listed.
const MOST_SESSIONS: i64 = 20_000;

/// Questions under way at once: the server may have enough to do already.
const AT_ONCE: usize = 8;

impl Engine {
    pub(super) async fn inside(
        &self,
        desired: &DesiredState,
        server: &mut Server,
        silent: Option<&str>,
        symptoms: &[Symptom],
    ) {
        let wanted = |these: &[Symptom]| {
            let asked = symptoms.iter().any(|symptom| these.contains(symptom));
            silent.or_else(|| (!asked).then_some("it was not asked"))
        };
        let control = self.server.clone().with_deadline(CALL);
        let delivery = wanted(&[Symptom::Delivery]);
        let load = wanted(&[Symptom::Load]);
        // What others need is read before them: no reading waits for another's time.
        let inside =
            asked(wanted(&[Symptom::Start, Symptom::Delivery]), INSIDE, self.sockets_inside());
        let inside = inside.await;
        let (api, found, connected, vm, registered, (backends, listeners)) = tokio::join!(
            asked(wanted(&[Symptom::Api]), INSIDE, self.apis(&control)),
            self.delivery(&control, desired, delivery),
            asked(wanted(&[Symptom::Delivery, Symptom::Load]), INSIDE, connected(&control)),
            asked(load, INSIDE, async { said(control.vm().await) }),
            registered(&control, desired, load),
            logins(&control, &inside, delivery),
        );
        server.api = api;
        let published = match (&server.diagnostics, &inside) {
            (Reading::Unknown(why), _) | (_, Reading::Unknown(why)) => {
                Reading::Unknown(why.clone())
            }
            (Reading::Known(around), Reading::Known(inside)) => {
                Reading::Known(login::published(&around.bound, inside))
            }
        };
        server.delivery = Delivery { backends, listeners, published, connected, ..found };
        server.load.vm = vm;
        server.load.registered = registered;
        if let (Reading::Known(inside), Reading::Known(ports)) = (&inside, &mut server.ports) {
            let host_network = server.drift.known().is_some_and(|around| around.host_network);
            for port in ports {
                // A published port is open as long as the container runs.
                let own = inside
                    .tcp
                    .iter()
                    .any(|socket| socket.user == inside.user && socket.at.port() == port.at.port());
                port.open = Some(own || !host_network);
            }
        }
    }

    /// The listeners with an API, each asked for its status.
    async fn apis(&self, server: &EjabberdClient) -> Result<Vec<Api>, String> {
        let mut apis = Vec::new();
        let unix = said(server.takes_unix_connections().await)?;
        for listener in said(server.all_listeners().await)? {
            let of_api = listener.handlers.iter().find(|(_, module)| module == "mod_http_api");
            let Some((path, _)) = of_api else { continue };
            let question = format!("{}/status", path.trim_end_matches('/'));
            let status = match &listener.address {
                ListenAddress::Unix(_) if !unix => Reading::Unknown(
                    "it was not asked: a connection ends a Unix socket of this version".to_owned(),
                ),
                _ => read(server.http_status(&listener, &question, CALL)).await,
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

    async fn delivery(
        &self,
        server: &EjabberdClient,
        desired: &DesiredState,
        silent: Option<&str>,
    ) -> Delivery {
        let present = present(desired);
        let some: Vec<Jid> = present.iter().take(MOST_ACCOUNTS).map(|jid| (*jid).clone()).collect();
        let (hosts, modules, clients, waiting, missing, banned, rooms, services) = tokio::join!(
            asked(silent, INSIDE, async { said(server.hosts().await) }),
            modules(server, desired, silent),
            asked(silent, INSIDE, login::clients(server, hosts(desired).cloned().collect())),
            asked(silent, INSIDE, waiting(server, &some)),
            asked(silent, INSIDE, missing(server, desired, &present)),
            asked(silent, INSIDE, banned(server, &some)),
            asked(silent, INSIDE, rooms(server, desired)),
            asked(silent, INSIDE, services(server)),
        );
        let archive = asked(silent, INSIDE, archive(server, &some)).await;
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
            connected: Reading::Unknown("it was not asked".to_owned()),
            backends: Reading::Unknown("it was not asked".to_owned()),
            listeners: Reading::Unknown("it was not asked".to_owned()),
            published: Reading::Unknown("it was not asked".to_owned()),
        }
    }

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
                Ok(false) => Reading::Unknown("this version cannot tell who is banned".to_owned()),
                Err(e) => Reading::Unknown(format!("failed to {e}")),
            },
            _ => Reading::Known(None),
        };
        Account { exists, banned, sessions, last, waiting, archived }
    }
}

/// How accounts are checked, and the listeners.
async fn logins(
    server: &EjabberdClient,
    inside: &Reading<audit::Inside>,
    silent: Option<&str>,
) -> (Reading<Vec<Backend>>, Reading<Vec<Listening>>) {
    // A backend that is away takes most of the time that is left.
    let patient = server.clone().with_deadline(LOGINS);
    tokio::join!(
        asked(silent, LOGINS, login::backends(&patient)),
        asked(silent, INSIDE, login::listeners(server, inside)),
    )
}

async fn read<T>(ask: impl Future<Output = Result<T, ControlError>>) -> Reading<T> {
    within(CALL, async { said(ask.await) }).await
}

/// The accounts that are declared to be there.
fn present(desired: &DesiredState) -> Vec<&Jid> {
    let users = desired.users.iter().flatten();
    let there = |user: &User| user.state == UserState::Present;
    users.filter(|(_, user)| there(user)).map(|(jid, _)| jid).collect()
}

fn hosts(desired: &DesiredState) -> impl Iterator<Item = &Vhost> {
    std::iter::once(&desired.host).chain(&desired.hosts)
}

async fn modules(
    server: &EjabberdClient,
    desired: &DesiredState,
    silent: Option<&str>,
) -> BTreeMap<Vhost, (Reading<bool>, Reading<Option<String>>)> {
    let mut found = BTreeMap::new();
    for host in hosts(desired) {
        let offline =
            asked(silent, CALL, async { said(server.has_module(host, "mod_offline").await) });
        let archive = asked(silent, CALL, async { said(server.archive_default(host).await) });
        found.insert(host.clone(), tokio::join!(offline, archive));
    }
    found
}

async fn waiting(server: &EjabberdClient, accounts: &[Jid]) -> Result<Vec<(Jid, i64)>, String> {
    let counts = accounts
        .iter()
        .map(|jid| async move { Ok((jid.clone(), said(server.offline_messages(jid).await)?)) });
    stream::iter(counts).buffered(AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
}

async fn missing(
    server: &EjabberdClient,
    desired: &DesiredState,
    present: &[&Jid],
) -> Result<Vec<Jid>, String> {
    let mut missing = Vec::new();
    let named: BTreeSet<&Vhost> = present.iter().map(|jid| &jid.host).collect();
    for host in hosts(desired).filter(|host| named.contains(host)) {
        if said(server.accounts_elsewhere(host).await)?.is_some() {
            continue;
        }
        let there = said(server.registered_users(host).await)?;
        let gone = present.iter().filter(|jid| jid.host == *host && !there.contains(&jid.local));
        missing.extend(gone.map(|jid| (*jid).clone()));
    }
    Ok(missing)
}

async fn banned(server: &EjabberdClient, accounts: &[Jid]) -> Result<Vec<(Jid, String)>, String> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    if !said(server.remembers_bans().await)? {
        return Err("this version cannot tell who is banned".to_owned());
    }
    let bans = accounts
        .iter()
        .map(|jid| async move { Ok((jid.clone(), said(server.ban_of(jid).await)?)) });
    let bans: Vec<Result<_, String>> = stream::iter(bans).buffered(AT_ONCE).collect().await;
    let mut found = Vec::new();
    for ban in bans {
        if let (jid, Some(reason)) = ban? {
            found.push((jid, reason));
        }
    }
    Ok(found)
}

/// Some of the declared rooms: nobody is woken, and nothing said in them is read.
async fn rooms(
    server: &EjabberdClient,
    desired: &DesiredState,
) -> Result<Vec<(RoomJid, Option<bool>)>, String> {
    let declared = desired.rooms.iter().flatten().filter(|(_, room)| room.present);
    let mut found = Vec::new();
    for (name, _) in declared.take(MOST_ROOMS) {
        let host = desired.host_of(&name.service).unwrap_or(&desired.host);
        let stored = said(server.stored_room(host, name).await)?;
        let mam = stored.map(|room| room.options.get("mam").is_some_and(|word| word == "true"));
        found.push((name.clone(), mam));
    }
    Ok(found)
}

/// The names under which the server has rooms, of all its vhosts.
async fn services(server: &EjabberdClient) -> Result<BTreeSet<Vhost>, String> {
    let mut found = BTreeSet::new();
    for host in said(server.hosts().await)? {
        let host = Vhost::new(&host).map_err(|e| e.to_string())?;
        found.extend(said(server.room_services(&host).await)?);
    }
    Ok(found)
}

async fn archive(server: &EjabberdClient, accounts: &[Jid]) -> Result<Archive, String> {
    if let Some(archive) = said(server.archive_table().await)? {
        return Ok(archive);
    }
    let mut messages: i64 = 0;
    for jid in accounts {
        let count = said(server.archived_messages(jid).await)?;
        messages = messages.saturating_add(count);
    }
    if accounts.is_empty() {
        return Err("no account is declared whose archive could be read".to_owned());
    }
    Ok(Archive::Elsewhere(messages))
}

async fn connected(server: &EjabberdClient) -> Result<Vec<String>, String> {
    let mut count: i64 = 0;
    for host in said(server.hosts().await)? {
        let host = Vhost::new(&host).map_err(|e| e.to_string())?;
        count = count.saturating_add(said(server.connected_users(&host).await)?);
    }
    if count > MOST_SESSIONS {
        return Err(format!("{count} sessions are too many to list"));
    }
    said(server.connected().await)
}

async fn registered(
    server: &EjabberdClient,
    desired: &DesiredState,
    silent: Option<&str>,
) -> BTreeMap<Vhost, Reading<i64>> {
    let mut found = BTreeMap::new();
    for host in hosts(desired) {
        let count = asked(silent, CALL, async { said(server.count_users(host).await) }).await;
        found.insert(host.clone(), count);
    }
    found
}
