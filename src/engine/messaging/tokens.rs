//! The tokens of the clients.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::in_force::InForce;
use crate::domain::messaging::token::{TOKEN_RULE, TokenDigest, is_token};
use crate::domain::model::{Revision, Secret};
use crate::domain::spec::{ClientName, MessagingClient, SecretSource};
use crate::engine::ports::Secrets;

/// The time after which the operator reads the token files again.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// The time after which the operator runs the programs that print tokens again.
const RUN_AGAIN: Duration = Duration::from_mins(5);

/// Finds the client that a token belongs to.
pub(super) struct Tokens {
    secrets: Arc<dyn Secrets>,
    known: RwLock<Arc<Known>>,
    /// Held by the request that reads the tokens.
    reading: Mutex<()>,
}

/// The tokens that were read last.
#[derive(Default)]
struct Known {
    revision: Option<Revision>,
    /// The clients of each token, by their indices in the file. A token of two clients belongs to
    /// neither.
    owners: HashMap<TokenDigest, Vec<usize>>,
    read: BTreeMap<ClientName, Token>,
}

/// The token of a client.
#[derive(Clone, Copy)]
struct Token {
    read: Instant,
    /// `None` if the client has no usable token.
    digest: Option<TokenDigest>,
}

impl Tokens {
    pub(super) fn new(secrets: Arc<dyn Secrets>) -> Self {
        Self { secrets, known: RwLock::default(), reading: Mutex::default() }
    }

    /// The client that `token` belongs to.
    pub(super) async fn owner<'a>(
        &self,
        in_force: &'a InForce,
        token: &Secret,
    ) -> Option<&'a MessagingClient> {
        let clients = in_force.clients();
        // The map compares digests, not tokens, so the time of the search shows nothing about a
        // token.
        let known = self.current(&in_force.revision, clients).await;
        match known.owners.get(&TokenDigest::of(token))?.as_slice() {
            [owner] => clients.get(*owner),
            _ => None,
        }
    }

    /// The tokens of a revision. Reads the tokens that are due.
    async fn current(&self, revision: &Revision, clients: &[MessagingClient]) -> Arc<Known> {
        let known = || Arc::clone(&self.known.read());
        let before = known();
        let _turn = match before.state(revision, clients) {
            State::Current => return before,
            // Another request reads the tokens: a slow program must not delay the other clients.
            State::Due => match self.reading.try_lock() {
                Ok(turn) => turn,
                Err(_) => return before,
            },
            State::OtherRevision => self.reading.lock().await,
        };
        // Another request may have read the tokens during the wait.
        let before = known();
        if before.state(revision, clients) == State::Current {
            return before;
        }
        let now = Arc::new(self.read(&before, revision, clients).await);
        warn_of_shared_tokens(&before, &now, clients);
        *self.known.write() = Arc::clone(&now);
        now
    }

    async fn read(
        &self,
        before: &Known,
        revision: &Revision,
        clients: &[MessagingClient],
    ) -> Known {
        let of_revision = before.revision.as_ref() == Some(revision);
        let tokens = clients.iter().map(|client| async move {
            let before = before.read.get(&client.name).filter(|_| of_revision);
            match before {
                Some(token) if !token.is_due(client) => *token,
                _ => self.read_one(client, before).await,
            }
        });
        let read = clients.iter().map(|client| client.name.clone()).zip(join_all(tokens).await);
        let read: BTreeMap<_, _> = read.collect();
        Known { revision: Some(revision.clone()), owners: owners(clients, &read), read }
    }

    async fn read_one(&self, client: &MessagingClient, before: Option<&Token>) -> Token {
        let name = &client.name;
        let (digest, problem) = match self.secrets.read(&client.token_from).await {
            Ok(token) if is_token(token.expose().trim()) => (Some(TokenDigest::of(&token)), None),
            Ok(_) => {
                let problem = format!(
                    "the messaging client `{name}` has no usable token: {TOKEN_RULE}; replace the \
                     token, for example by the output of `openssl rand -hex 32`"
                );
                (None, Some(problem))
            }
            Err(error) => {
                let problem =
                    format!("the messaging client `{name}` has no token: failed to {error}");
                (None, Some(problem))
            }
        };
        // Warn once, not every five seconds.
        let known = before.is_some_and(|token| token.digest.is_none());
        if let Some(problem) = problem.filter(|_| !known) {
            tracing::warn!("{problem}");
        }
        Token { read: Instant::now(), digest }
    }
}

#[derive(PartialEq, Eq)]
enum State {
    /// The tokens are of the revision, and none is due.
    Current,
    /// The tokens are of the revision, and at least one must be read again.
    Due,
    /// The tokens are of another revision, and must not be used.
    OtherRevision,
}

impl Known {
    fn state(&self, revision: &Revision, clients: &[MessagingClient]) -> State {
        if self.revision.as_ref() != Some(revision) {
            return State::OtherRevision;
        }
        let due = |client: &MessagingClient| {
            self.read.get(&client.name).is_none_or(|token| token.is_due(client))
        };
        if clients.iter().any(due) { State::Due } else { State::Current }
    }
}

impl Token {
    fn is_due(&self, client: &MessagingClient) -> bool {
        let pause = match client.token_from {
            SecretSource::Command(_) => RUN_AGAIN,
            _ => READ_AGAIN,
        };
        self.read.elapsed() >= pause
    }
}

/// The clients of each token, by their indices in the file.
fn owners(
    clients: &[MessagingClient],
    read: &BTreeMap<ClientName, Token>,
) -> HashMap<TokenDigest, Vec<usize>> {
    let mut owners: HashMap<_, Vec<_>> = HashMap::new();
    for (index, client) in clients.iter().enumerate() {
        if let Some(Token { digest: Some(digest), .. }) = read.get(&client.name) {
            owners.entry(*digest).or_default().push(index);
        }
    }
    owners
}

/// Warns of clients with the same token, unless they had the same token before.
fn warn_of_shared_tokens(before: &Known, now: &Known, clients: &[MessagingClient]) {
    for (digest, owners) in now.owners.iter().filter(|(_, owners)| owners.len() > 1) {
        if before.owners.get(digest) != Some(owners) {
            let names = owners.iter().filter_map(|owner| clients.get(*owner));
            let names: Vec<String> = names.map(|client| format!("`{}`", client.name)).collect();
            tracing::warn!(
                "the messaging clients {} have the same token, so none of them can use the token; \
                 give each client a separate token",
                names.join(" and ")
            );
        }
    }
}
