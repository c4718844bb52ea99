//! The tool `get_presence`.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};

use super::failures::unavailable;
use super::{Caller, MessagingService};
use crate::domain::checks::doctor::Session as ServerSession;
use crate::domain::messaging::operation::MAX_ACCOUNTS;
use crate::domain::messaging::rights::address;
use crate::domain::messaging::{Failure, FailureCode, GetPresence, Presence, Presences, Session};
use crate::domain::model::Jid;

/// The maximum number of sessions of one account in a result.
const MAX_SESSIONS: usize = 20;

/// The maximum length of a status text in characters.
const MAX_STATUS: usize = 500;

/// The number of concurrent calls to the server.
const CONCURRENT: usize = 8;

impl MessagingService {
    /// Reads the presence of accounts.
    pub(super) async fn presence(
        &self,
        caller: &Caller<'_>,
        arguments: GetPresence,
    ) -> Result<Presences, Failure> {
        let (accounts, truncated) = match arguments.accounts {
            Some(names) => (named(caller, &names)?, false),
            None => online(caller).await?,
        };
        let now = Timestamp::now();
        let server = &caller.in_force.server;
        let found: Vec<_> = futures_util::stream::iter(accounts)
            .map(|account| async move {
                let sessions = server.sessions_of(&account).await;
                sessions.map(|sessions| (account, sessions)).map_err(|error| unavailable(&error))
            })
            .buffered(CONCURRENT)
            .collect()
            .await;
        let accounts = found
            .into_iter()
            .map(|found| {
                let (account, sessions) = found?;
                let resources: Vec<Session> =
                    sessions.into_iter().take(MAX_SESSIONS).map(|s| session(s, now)).collect();
                let account = account.to_string();
                Ok(Presence { account, online: !resources.is_empty(), resources })
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Presences { accounts, truncated })
    }
}

fn session(session: ServerSession, now: Timestamp) -> Session {
    let ServerSession { resource, connection: _, priority: _, uptime, status, status_text } =
        session;
    let age = SignedDuration::from_secs(uptime.max(0));
    let since = now.checked_sub(age).unwrap_or(now);
    let since = since.round(jiff::Unit::Second).unwrap_or(since);
    let status_text = status_text.chars().take(MAX_STATUS).collect();
    Session { resource, show: status, status: status_text, since }
}

/// The named accounts. Fails if the client may not see one of them.
fn named(caller: &Caller<'_>, names: &[String]) -> Result<BTreeSet<Jid>, Failure> {
    if names.len() > MAX_ACCOUNTS {
        return Err(Failure::new(
            FailureCode::InvalidArgument,
            format!("`accounts` has {} names; at most {MAX_ACCOUNTS} are allowed", names.len()),
            "ask for fewer accounts in one call",
        ));
    }
    names
        .iter()
        .map(|name| {
            let account = address("accounts", name, &caller.in_force.host)?;
            caller.client.check_sees(&account)?;
            Ok(account)
        })
        .collect()
}

/// The accounts that are online and that the client may see, at most [`MAX_ACCOUNTS`], and whether
/// there are more.
async fn online(caller: &Caller<'_>) -> Result<(BTreeSet<Jid>, bool), Failure> {
    let connected = caller.in_force.server.connected_accounts().await;
    let connected = connected.map_err(|error| unavailable(&error))?;
    let mut seen: BTreeSet<Jid> =
        connected.into_iter().filter(|account| caller.client.sees(account)).collect();
    let truncated = seen.len() > MAX_ACCOUNTS;
    if let Some(first_left_out) = seen.iter().nth(MAX_ACCOUNTS).cloned() {
        drop(seen.split_off(&first_left_out));
    }
    Ok((seen, truncated))
}
