//! Sets the subject of a room. No command sets a subject; an occupant with the right to do so
//! sends a message to the room. The operator joins the room under a separate name as a temporary
//! owner, sends the subject and leaves. The occupants see only the new subject.

use std::time::Duration;

use super::{Arg, Call, ControlError, EjabberdClient, Result};
use crate::domain::model::{AffiliationId, Jid, Localpart, RoomJid, Secret, Vhost};
use crate::domain::spec::{AffiliationKind, OWN_NAMES};

/// The maximum number of checks whether the room has the new subject. The room needs a moment to
/// set the subject.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(25);

/// The number of random characters in the operator's name.
const NONCE: usize = 16;

impl EjabberdClient {
    /// Sets the subject of a persistent room; an empty subject removes the current subject. `nonce`
    /// is random, so that no other account has the operator's name.
    pub async fn set_subject(
        &self,
        host: &Vhost,
        room: &RoomJid,
        subject: &str,
        nonce: &Secret,
    ) -> Result<()> {
        const NAME: &str = "subject";
        let stored = self.stored_room(host, room).await?;
        if stored.as_ref().is_some_and(|stored| stored.subject.is_none()) {
            // Joining the room without sending a subject would change the room for nothing.
            let why = "no command reads or sets a subject; use an image that has an `erl`";
            return Err(ControlError::Unsupported { command: NAME, why });
        }
        // Up to 24.12 even an owner must send the password.
        let password = stored.as_ref().and_then(|stored| {
            let wanted = stored.options.get("password_protected").is_some_and(|on| on == "true");
            stored.options.get("password").filter(|_| wanted)
        });
        let random: String =
            nonce.expose().chars().filter(char::is_ascii_alphanumeric).take(NONCE).collect();
        let Ok(local) = Localpart::new(&format!("{OWN_NAMES}{random}")) else {
            return Err(ControlError::Malformed(NAME));
        };
        let account = Jid { local, host: host.clone() };
        let from = format!("{account}/subject");
        let id = AffiliationId { room: room.clone(), account };
        self.affiliate(&id, Some(AffiliationKind::Owner)).await?;
        let stanzas =
            Arg::Pairs(stanzas(room, &id.account.local, subject, password.map(String::as_str)));
        let args = vec![
            host.as_str().into(),
            room.service.as_str().into(),
            room.room.as_str().into(),
            from.as_str().into(),
            stanzas,
        ];
        let sent = self.control.call(Call::Inside { function: NAME, args }, self.deadline).await;
        let mut taken = Ok(false);
        if sent.is_ok() {
            for _ in 0..TRIES {
                let stored = self.stored_room(host, room).await;
                taken = stored.map(|stored| {
                    stored.and_then(|stored| stored.subject).is_some_and(|there| there == subject)
                });
                if !matches!(taken, Ok(false)) {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        // Remove the temporary owner, even after a failure.
        self.affiliate(&id, None).await?;
        sent?;
        if taken? {
            return Ok(());
        }
        let message = "the room did not accept the subject".to_owned();
        Err(ControlError::Refused { command: NAME, message })
    }
}

/// The stanzas that set a subject, each with its recipient: join the room, send the subject,
/// leave the room.
fn stanzas(
    room: &RoomJid,
    nick: &Localpart,
    subject: &str,
    password: Option<&str>,
) -> Vec<(String, Secret)> {
    let occupant = format!("{room}/{nick}");
    let password = password
        .map(|password| format!("<password>{}</password>", escaped(password)))
        .unwrap_or_default();
    let join = format!(
        "<presence><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/>\
         {password}</x></presence>"
    );
    let say =
        format!("<message type='groupchat'><subject>{}</subject></message>", escaped(subject));
    vec![
        (occupant.clone(), Secret::new(join)),
        (room.to_string(), Secret::new(say)),
        (occupant, Secret::new("<presence type='unavailable'/>".to_owned())),
    ]
}

/// Escapes character data for XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
