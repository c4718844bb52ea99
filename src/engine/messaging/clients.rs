//! Finds the client of a token, and limits what a client uses.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::in_force::InForce;
use crate::domain::messaging::rate::Bucket;
use crate::domain::messaging::{Failure, FailureCode};
use crate::domain::model::{Revision, Secret};
use crate::domain::spec::{MessagingClient, SecretSource};
use crate::engine::ports::Secrets;

/// The minimum length of a token in bytes. A shorter token could be guessed.
const MIN_TOKEN_BYTES: usize = 16;

/// The maximum length of a token in bytes.
const MAX_TOKEN_BYTES: usize = 4096;

/// The time after which the operator reads the token files again.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// The time after which the operator runs the commands that print tokens again.
const RUN_AGAIN: Duration = Duration::from_mins(5);

/// The maximum number of operations of one client at the same time.
const MAX_CONCURRENT: usize = 16;

/// The time for which an operation waits for a place.
const MAX_WAIT: Duration = Duration::from_secs(5);

type TokenDigest = [u8; 32];

/// A request of a client.
pub(super) struct Caller<'a> {
    /// The revision in force when the request came.
    pub(super) in_force: &'a Arc<InForce>,
    /// The client.
    pub(super) client: &'a MessagingClient,
}

/// The tokens and the limits of the clients.
pub(super) struct Clients {
    secrets: Arc<dyn Secrets>,
    tokens: tokio::sync::Mutex<Tokens>,
    usage: Mutex<BTreeMap<String, Usage>>,
    start: Instant,
}

/// The tokens that were read last.
#[derive(Default)]
struct Tokens {
    revision: Option<Revision>,
    /// The client of each token, by the index in the file. A token of two clients belongs to
    /// neither.
    clients: HashMap<TokenDigest, usize>,
    /// The digest of the token of each client, and when the operator read the token.
    read: BTreeMap<String, (Instant, Option<TokenDigest>)>,
}

struct Usage {
    bucket: Bucket,
    places: Arc<Semaphore>,
}

impl Clients {
    pub(super) fn new(secrets: Arc<dyn Secrets>) -> Self {
        Self {
            secrets,
            tokens: tokio::sync::Mutex::default(),
            usage: Mutex::default(),
            start: Instant::now(),
        }
    }

    /// The client that `token` belongs to.
    pub(super) async fn caller<'a>(
        &self,
        in_force: &'a Arc<InForce>,
        token: &Secret,
    ) -> Result<Caller<'a>, Failure> {
        let clients = in_force.messaging.as_ref().map_or(&[][..], |m| m.clients.as_slice());
        let mut tokens = self.tokens.lock().await;
        self.refresh(&mut tokens, in_force, clients).await;
        // The map compares digests, not tokens, so the time of the search shows nothing about a
        // token.
        let known = tokens.clients.get(&digest(token)).copied();
        drop(tokens);
        let client = known.and_then(|index| clients.get(index)).ok_or_else(|| {
            Failure::new(
                FailureCode::Unauthorized,
                "the token belongs to no client",
                "ask the administrator for the token of this client",
            )
        })?;
        Ok(Caller { in_force, client })
    }

    /// Reads the tokens again that are due.
    async fn refresh(&self, tokens: &mut Tokens, in_force: &InForce, clients: &[MessagingClient]) {
        let new = tokens.revision.as_ref() != Some(&in_force.revision);
        let mut changed = new;
        for client in clients {
            let pause = match client.token_from {
                SecretSource::Command(_) => RUN_AGAIN,
                _ => READ_AGAIN,
            };
            let before = tokens.read.get(client.name.as_str()).filter(|_| !new);
            if before.is_some_and(|(at, _)| at.elapsed() < pause) {
                continue;
            }
            let failed_before = before.is_some_and(|(_, digest)| digest.is_none());
            let found = self.read(client, failed_before).await;
            changed |= before.is_none_or(|(_, digest)| *digest != found);
            tokens.read.insert(client.name.to_string(), (Instant::now(), found));
        }
        if !changed {
            return;
        }
        tokens.revision = Some(in_force.revision.clone());
        tokens.read.retain(|name, _| clients.iter().any(|client| client.name.as_str() == name));
        let mut owners: HashMap<TokenDigest, Vec<usize>> = HashMap::new();
        for (index, client) in clients.iter().enumerate() {
            if let Some((_, Some(digest))) = tokens.read.get(client.name.as_str()) {
                owners.entry(*digest).or_default().push(index);
            }
        }
        tokens.clients.clear();
        for (digest, owners) in owners {
            match owners.as_slice() {
                [owner] => drop(tokens.clients.insert(digest, *owner)),
                _ => tracing::warn!(
                    "{} messaging clients have the same token, so none of them can use it; give \
                     each client its own token",
                    owners.len()
                ),
            }
        }
    }

    /// The digest of the token of a client; `None` if the client has no usable token.
    async fn read(&self, client: &MessagingClient, failed_before: bool) -> Option<TokenDigest> {
        let name = &client.name;
        let problem = match self.secrets.read(&client.token_from).await {
            Ok(token) if token.expose().len() < MIN_TOKEN_BYTES => format!(
                "the token of the messaging client `{name}` is shorter than {MIN_TOKEN_BYTES} \
                 bytes; replace it, for example by the output of `openssl rand -hex 32`"
            ),
            Ok(token) if token.expose().len() > MAX_TOKEN_BYTES => format!(
                "the token of the messaging client `{name}` is longer than {MAX_TOKEN_BYTES} bytes"
            ),
            Ok(token) => return Some(digest(&token)),
            Err(error) => {
                format!("the messaging client `{name}` has no token: failed to {error}")
            }
        };
        if !failed_before {
            tracing::warn!("{problem}");
        }
        None
    }

    /// Counts one use of a tool. Fails if the client has used its rate.
    pub(super) fn spend(&self, client: &MessagingClient) -> Result<(), Failure> {
        let now = self.start.elapsed();
        let mut usage = self.usage.lock();
        let used = Self::usage(&mut usage, client, now);
        used.bucket.take(client.rate, now).map_err(|wait| {
            Failure::new(
                FailureCode::RateLimited,
                format!("the client `{}` sent too many requests", client.name),
                format!("wait {} seconds", wait.as_secs() + 1),
            )
        })
    }

    /// A place for one operation of a client. Waits up to [`MAX_WAIT`] while all places of the client
    /// are taken, and fails afterwards.
    pub(super) async fn place(
        &self,
        client: &MessagingClient,
    ) -> Result<OwnedSemaphorePermit, Failure> {
        let now = self.start.elapsed();
        let places = Arc::clone(&Self::usage(&mut self.usage.lock(), client, now).places);
        match timeout(MAX_WAIT, places.acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            // The semaphore is never closed, so the other error is the end of the wait.
            _ => Err(Failure::new(
                FailureCode::RateLimited,
                format!(
                    "the client `{}` already has {MAX_CONCURRENT} requests in progress",
                    client.name
                ),
                "wait for the responses",
            )),
        }
    }

    /// The usage of a client. The file declares at most 100 clients; entries of earlier revisions
    /// are removed when there are many.
    fn usage<'u>(
        usage: &'u mut BTreeMap<String, Usage>,
        client: &MessagingClient,
        now: Duration,
    ) -> &'u mut Usage {
        const MOST: usize = 1000;
        if usage.len() >= MOST && !usage.contains_key(client.name.as_str()) {
            usage.retain(|_, used| used.places.available_permits() < MAX_CONCURRENT);
        }
        usage.entry(client.name.to_string()).or_insert_with(|| Usage {
            bucket: Bucket::new(client.rate, now),
            places: Arc::new(Semaphore::new(MAX_CONCURRENT)),
        })
    }
}

fn digest(token: &Secret) -> TokenDigest {
    Sha256::digest(token.expose().trim().as_bytes()).into()
}
