//! The ids of the sessions of the revisions that begin with `initialize`.
//!
//! A session belongs to the client that began the session. For another client, the id does not
//! exist.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The maximum number of sessions.
const MAX_SESSIONS: usize = 256;

/// The maximum number of sessions of one client.
const MAX_OF_CLIENT: usize = 32;

/// The time after which an unused session ends.
const IDLE: Duration = Duration::from_mins(5);

/// The number of random bytes of an id.
const ID_BYTES: usize = 16;

/// The sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<String, Session>>);

struct Session {
    client: String,
    used: Instant,
}

impl Sessions {
    /// Begins a session and returns its id. If the client or the server has the maximum number of
    /// sessions, the session that was unused for the longest time ends: of the client, or of the
    /// client with the most sessions. The owner of the ended session begins again with
    /// `initialize`.
    pub(super) fn begin(&self, client: &str) -> Result<String, getrandom::Error> {
        let mut bytes = [0; ID_BYTES];
        getrandom::fill(&mut bytes)?;
        let id = hex::encode(bytes);
        let mut sessions = self.current();
        if count(&sessions, client) >= MAX_OF_CLIENT {
            end_oldest(&mut sessions, client);
        } else if sessions.len() >= MAX_SESSIONS {
            let most = sessions.values().map(|session| &session.client);
            let most = most.max_by_key(|client| count(&sessions, client)).cloned();
            end_oldest(&mut sessions, &most.unwrap_or_default());
        }
        let session = Session { client: client.to_owned(), used: Instant::now() };
        sessions.insert(id.clone(), session);
        Ok(id)
    }

    /// Uses a session. Returns whether the client has this session.
    pub(super) fn continue_session(&self, id: &str, client: &str) -> bool {
        match self.current().get_mut(id) {
            Some(session) if session.client == client => {
                session.used = Instant::now();
                true
            }
            _ => false,
        }
    }

    /// Ends a session. Returns whether the client had this session.
    pub(super) fn end(&self, id: &str, client: &str) -> bool {
        let mut sessions = self.current();
        let is_own = sessions.get(id).is_some_and(|session| session.client == client);
        is_own && sessions.remove(id).is_some()
    }

    /// Returns the sessions that are in use.
    fn current(&self) -> parking_lot::MutexGuard<'_, BTreeMap<String, Session>> {
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| session.used.elapsed() < IDLE);
        sessions
    }
}

fn count(sessions: &BTreeMap<String, Session>, client: &str) -> usize {
    sessions.values().filter(|session| session.client == client).count()
}

fn end_oldest(sessions: &mut BTreeMap<String, Session>, client: &str) {
    let own = sessions.iter().filter(|(_, session)| session.client == client);
    let oldest = own.min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone());
    if let Some(id) = oldest {
        sessions.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_belongs_to_one_client_and_ends_when_it_is_unused() {
        let sessions = Sessions::default();
        let id = sessions.begin("a").unwrap();
        assert!(sessions.continue_session(&id, "a"));
        assert!(!sessions.continue_session(&id, "b") && !sessions.end(&id, "b"));
        tokio::time::advance(IDLE / 2).await;
        assert!(sessions.continue_session(&id, "a"));
        tokio::time::advance(IDLE).await;
        assert!(!sessions.continue_session(&id, "a"));
        let id = sessions.begin("a").unwrap();
        assert!(sessions.end(&id, "a") && !sessions.end(&id, "a"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_sessions_are_bounded_and_the_oldest_session_ends() {
        let sessions = Sessions::default();
        let first = sessions.begin("a").unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = sessions.begin("a").unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 2..=MAX_OF_CLIENT {
            sessions.begin("a").unwrap();
        }
        assert!(!sessions.continue_session(&first, "a"));
        assert!(sessions.continue_session(&second, "a"));
        let single = sessions.begin("single").unwrap();
        for client in 0..20 {
            for _ in 0..MAX_OF_CLIENT {
                sessions.begin(&format!("client-{client}")).unwrap();
            }
        }
        assert_eq!(sessions.0.lock().len(), MAX_SESSIONS);
        assert!(sessions.continue_session(&single, "single"));
    }
}
