//! Remembers the ids of sent messages, so that a repeated call sends no second message.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use tokio::time::Instant;

use crate::domain::messaging::{Failure, FailureCode, SendMessage, Sent};

/// The time for which an id is remembered.
pub(super) const REMEMBERED: Duration = Duration::from_mins(10);

/// The maximum number of remembered ids of one client: about 4 MB.
const MAX_IDS: usize = 20_000;

/// The ids of the messages of the last ten minutes.
pub(super) struct Repeats {
    clients: Mutex<BTreeMap<String, HashMap<String, Entry>>>,
    start: Instant,
}

struct Entry {
    since: Instant,
    arguments: [u8; 32],
    /// Held by the call that sends the message.
    outcome: Arc<Turn<Outcome>>,
}

/// The state of the message of an id.
#[derive(Debug, Clone, Default)]
pub(super) enum Outcome {
    /// No call sent the message.
    #[default]
    NotSent,
    /// A call may have sent the message, and ended without a result.
    Unknown,
    /// A call sent the message with this result.
    Sent(Sent),
}

impl Repeats {
    pub(super) fn new() -> Self {
        Self { clients: Mutex::default(), start: Instant::now() }
    }

    /// Waits for the other calls with the same id, and returns what is known about the message. The
    /// caller keeps the guard while the caller sends the message, and stores the outcome in the
    /// guard. Fails if the id belongs to another message, or if the client has used too many ids.
    pub(super) async fn turn(
        &self,
        client: &str,
        message: &SendMessage,
        id: &str,
    ) -> Result<OwnedMutexGuard<Outcome>, Failure> {
        let arguments = digest(message);
        let turn = {
            let mut clients = self.clients.lock();
            let ids = clients.entry(client.to_owned()).or_default();
            if ids.len() >= MAX_IDS {
                ids.retain(|_, entry| entry.since.elapsed() < REMEMBERED);
            }
            match ids.get(id) {
                Some(entry) if entry.since.elapsed() < REMEMBERED => {
                    if entry.arguments != arguments {
                        return Err(Failure::new(
                            FailureCode::InvalidArgument,
                            "`id` belongs to another message of the last ten minutes",
                            "use a new `id` for each message",
                        ));
                    }
                    Arc::clone(&entry.outcome)
                }
                _ if ids.len() >= MAX_IDS => {
                    return Err(Failure::new(
                        FailureCode::RateLimited,
                        format!("this client used {MAX_IDS} ids within ten minutes"),
                        "wait, or leave out `id`",
                    ));
                }
                _ => {
                    let outcome = Arc::default();
                    let entry =
                        Entry { since: Instant::now(), arguments, outcome: Arc::clone(&outcome) };
                    ids.insert(id.to_owned(), entry);
                    outcome
                }
            }
        };
        Ok(turn.lock_owned().await)
    }

    /// Whether an operator that ended before this operator began may have sent a message whose id
    /// is still valid.
    pub(super) fn began_lately(&self) -> bool {
        self.start.elapsed() < REMEMBERED
    }
}

/// The hash of the arguments that make the message.
fn digest(message: &SendMessage) -> [u8; 32] {
    let SendMessage { from, to, body, subject, thread, id: _, ensure_recipient: _ } = message;
    let mut hash = Sha256::new();
    for part in [Some(from), Some(to), Some(body), subject.as_ref(), thread.as_ref()] {
        // The length separates the parts.
        hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
        hash.update(part.map_or(&[][..], |part| part.as_bytes()));
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::messaging::Delivery;

    fn message(body: &str) -> SendMessage {
        SendMessage {
            from: "ann".into(),
            to: "bob".into(),
            body: body.into(),
            subject: None,
            thread: None,
            id: Some("1".into()),
            ensure_recipient: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_id_returns_the_first_result_for_ten_minutes() {
        let repeats = Repeats::new();
        let sent = Sent {
            stanza_id: "1".into(),
            archive_id: None,
            result: Delivery::Accepted,
            repeated: false,
        };
        let mut turn = repeats.turn("a", &message("x"), "1").await.unwrap();
        assert!(matches!(*turn, Outcome::NotSent));
        *turn = Outcome::Sent(sent);
        drop(turn);
        let again = repeats.turn("a", &message("x"), "1").await.unwrap();
        assert!(matches!(&*again, Outcome::Sent(_)));
        drop(again);
        // The id of another client is another id.
        assert!(matches!(*repeats.turn("b", &message("x"), "1").await.unwrap(), Outcome::NotSent));
        let other = repeats.turn("a", &message("y"), "1").await.unwrap_err();
        assert_eq!(other.code, FailureCode::InvalidArgument);
        tokio::time::advance(REMEMBERED).await;
        assert!(matches!(*repeats.turn("a", &message("y"), "1").await.unwrap(), Outcome::NotSent));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_ids_is_bounded() {
        let repeats = Repeats::new();
        for n in 0..MAX_IDS {
            drop(repeats.turn("a", &message("x"), &n.to_string()).await.unwrap());
        }
        let refused = repeats.turn("a", &message("x"), "one more").await.unwrap_err();
        assert_eq!(refused.code, FailureCode::RateLimited);
        tokio::time::advance(REMEMBERED).await;
        drop(repeats.turn("a", &message("x"), "one more").await.unwrap());
    }
}
