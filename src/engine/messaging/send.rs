//! The tool `xmpp_send_message`.

use std::time::Duration;

use super::failures::{internal, refused, unavailable};
use super::repeats::{Outcome, REMEMBERED};
use super::{Caller, MessagingService};
use crate::domain::messaging::operation::{MAX_BODY_BYTES, MAX_SHORT_BYTES};
use crate::domain::messaging::rights::address;
use crate::domain::messaging::text::{check_id, check_text};
use crate::domain::messaging::{Delivery, Failure, RegisterUser, SendMessage, Sent};
use crate::domain::model::Jid;
use crate::ejabberd::{Outgoing, Refusal, SendOutcome};

/// The number of characters of an id that the operator makes.
const ID_CHARS: usize = 24;

/// The sender and the recipient of a message.
struct Addresses {
    from: Jid,
    to: Jid,
}

impl MessagingService {
    /// Sends a message, or returns the result of an earlier call with the same id.
    pub(super) async fn send(
        &self,
        caller: &Caller<'_>,
        message: SendMessage,
    ) -> Result<Sent, Failure> {
        let addresses = check(caller, &message)?;
        if caller.in_force.barred.contains(&addresses.from) {
            return Err(refused(&Refusal::Banned, &addresses.from.to_string(), ""));
        }
        let Some(id) = &message.id else {
            let id = self.new_id()?;
            return self.send_once(caller, &message, &addresses, &id, Duration::ZERO).await;
        };
        let mut turn = self.repeats.turn(caller.client.name.as_str(), &message, id).await?;
        let perhaps_sent = match &*turn {
            Outcome::Sent(sent) => return Ok(Sent { repeated: true, ..sent.clone() }),
            Outcome::Unknown => true,
            Outcome::NotSent => self.repeats.began_lately(),
        };
        let within = if perhaps_sent { REMEMBERED } else { Duration::ZERO };
        // If the caller goes away during the call, the outcome stays unknown.
        *turn = Outcome::Unknown;
        let sent = self.send_once(caller, &message, &addresses, id, within).await;
        match &sent {
            Ok(sent) => *turn = Outcome::Sent(Sent { repeated: false, ..sent.clone() }),
            Err(failure) if failure.code.is_final() => *turn = Outcome::NotSent,
            Err(_) => {}
        }
        sent
    }

    fn new_id(&self) -> Result<String, Failure> {
        let random = self.secrets.generate().map_err(|error| {
            tracing::warn!("messaging failed to {error}");
            internal()
        })?;
        let random = random.expose().chars().filter(char::is_ascii_alphanumeric);
        Ok(random.take(ID_CHARS).collect())
    }

    async fn send_once(
        &self,
        caller: &Caller<'_>,
        message: &SendMessage,
        addresses: &Addresses,
        id: &str,
        maybe_sent_within: Duration,
    ) -> Result<Sent, Failure> {
        let Addresses { from, to } = addresses;
        let outgoing = Outgoing {
            from,
            to,
            id,
            nickname: from.local.as_str(),
            maybe_sent_within,
            body: &message.body,
            subject: message.subject.as_deref(),
            thread: message.thread.as_deref(),
        };
        let server = &caller.in_force.server;
        let mut outcome = server.send(&outgoing).await.map_err(|error| unavailable(&error))?;
        if outcome == SendOutcome::Refused(Refusal::NoRecipient) && message.ensure_recipient {
            self.ensure(caller, to).await?;
            outcome = server.send(&outgoing).await.map_err(|error| unavailable(&error))?;
        }
        let sent = |result, archive_id, repeated| {
            Ok(Sent { stanza_id: id.to_owned(), archive_id, result, repeated })
        };
        match outcome {
            SendOutcome::Delivered { archive_id } => sent(Delivery::Delivered, archive_id, false),
            SendOutcome::StoredOffline { archive_id } => {
                sent(Delivery::StoredOffline, archive_id, false)
            }
            SendOutcome::Repeated { archive_id, delivered: true } => {
                sent(Delivery::Delivered, Some(archive_id), true)
            }
            SendOutcome::Repeated { archive_id, delivered: false } => {
                sent(Delivery::StoredOffline, Some(archive_id), true)
            }
            SendOutcome::Accepted => sent(Delivery::Accepted, None, false),
            SendOutcome::Refused(refusal) => {
                Err(refused(&refusal, &from.to_string(), &to.to_string()))
            }
        }
    }

    /// Registers a missing recipient, if the rule of the client permits the name.
    async fn ensure(&self, caller: &Caller<'_>, recipient: &Jid) -> Result<(), Failure> {
        if recipient.host != caller.in_force.host {
            return Err(refused(&Refusal::NoRecipient, "", &recipient.to_string()));
        }
        let name = recipient.local.as_str().to_owned();
        self.register(caller, RegisterUser { name, display_name: None }).await.map(drop)
    }
}

/// Checks the texts of a message, and that the client may send it.
fn check(caller: &Caller<'_>, message: &SendMessage) -> Result<Addresses, Failure> {
    let host = &caller.in_force.host;
    let from = address("from", &message.from, host)?;
    let to = address("to", &message.to, host)?;
    caller.client.check_acts_as(&from)?;
    caller.client.check_addresses(&to)?;
    check_text("body", &message.body, MAX_BODY_BYTES)?;
    for (field, text) in [("subject", &message.subject), ("thread", &message.thread)] {
        if let Some(text) = text {
            check_text(field, text, MAX_SHORT_BYTES)?;
        }
    }
    if let Some(id) = &message.id {
        check_id(id)?;
    }
    Ok(Addresses { from, to })
}
