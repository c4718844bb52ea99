//! Logs in as the canary: an account whose login must succeed before a changed server counts as
//! healthy.

use super::execute::RolloutExecutor;
use crate::domain::model::Jid;
use crate::domain::rollout::Failure;
use crate::domain::spec::DesiredState;
use crate::ejabberd::ControlError;
use crate::ejabberd::client::PLAIN_LOGGED;

impl RolloutExecutor {
    /// Returns the reason why the canary cannot test a new configuration: the password on the
    /// server differs from the declared password, so the login fails with every configuration.
    /// `None` if the passwords are equal, or if the operator cannot compare the passwords.
    pub(in crate::engine) async fn canary_is_off(&self, desired: &DesiredState) -> Option<String> {
        let jid = desired.config.as_ref()?.gate.canary.as_ref()?;
        if !matches!(self.server.account_exists(jid).await, Ok(true)) {
            return None;
        }
        let password = self.passwords.password_of(desired, jid).await.ok().flatten()?;
        let right = self.server.password_is(jid, &password).await;
        matches!(right, Ok(false)).then(|| {
            format!("the canary {jid} has another password on the server than the declared one")
        })
    }

    /// Whether the account of the canary does not exist because the operator has not created the
    /// account yet. On a new or empty server, the operator creates accounts after the health gate.
    async fn canary_is_missing(&self, jid: &Jid) -> bool {
        if !matches!(self.server.account_exists(jid).await, Ok(false)) {
            return false;
        }
        self.store.inventory().is_ok_and(|inventory| inventory.user(jid).is_none())
            || matches!(self.server.registered_users(&jid.host).await, Ok(all) if all.is_empty())
    }

    /// Logs in as the canary. Skips the login if the account does not exist yet, or if the server
    /// would log the password.
    pub(super) async fn canary(&self, desired: &DesiredState, jid: &Jid) -> Result<(), Failure> {
        let failed = |message: String, blame| Err(Failure { message, blame });
        if self.canary_is_missing(jid).await {
            tracing::info!(%jid, "the canary does not exist yet; the health gate skips its login");
            return Ok(());
        }
        let Ok(Some(password)) = self.passwords.password_of(desired, jid).await else {
            return failed(format!("the password of the canary {jid} is not known"), false);
        };
        let listeners = match self.server.listeners().await {
            Ok(listeners) => listeners,
            Err(error) => return failed(format!("the canary {jid}: failed to {error}"), false),
        };
        // Try every listener, because the access rule of one listener may refuse the canary, and
        // clients may use another listener.
        let mut first = None;
        for listener in listeners.iter().filter(|listener| listener.is_c2s()) {
            let to = listener.endpoint();
            let Err(error) = self.server.log_in(to, jid, &password).await else { return Ok(()) };
            if matches!(&error, ControlError::Refused { message, .. } if message == PLAIN_LOGGED) {
                tracing::warn!(
                    %jid,
                    "the health gate skips the login of the canary, because the server offers only \
                     PLAIN and logs at debug, so its log would contain the password; set \
                     `loglevel: info`"
                );
                return Ok(());
            }
            // If the operator could not try the login, the failure proves nothing about the
            // configuration.
            let blame = !error.is_outage() && !matches!(error, ControlError::Unsupported { .. });
            let why = format!("the canary {jid} cannot log in at {}: {}", to.at, refusal(&error));
            first.get_or_insert((why, blame));
        }
        match first {
            Some((why, blame)) => failed(why, blame),
            None => failed(format!("the canary {jid} has no listener to log in at"), true),
        }
    }
}

/// Returns the reason for a failed login, as a message for people.
fn refusal(error: &ControlError) -> String {
    match error {
        ControlError::Refused { message, .. } => match message.as_str() {
            "no_common_mechanism" => "the server offers none of SCRAM-SHA-512, SCRAM-SHA-256, \
                                      SCRAM-SHA-1 and PLAIN"
                .to_owned(),
            "not_authorized" => "the server refuses its password".to_owned(),
            "not_allowed" => "the access rule of the listener refuses it".to_owned(),
            "tls" => "TLS cannot be negotiated".to_owned(),
            other => other.to_owned(),
        },
        other => format!("failed to {other}"),
    }
}
