//! Commands for bans of accounts.

use std::collections::BTreeSet;
use std::time::Duration;

use super::accounts::account;
use super::responses::{refused, texts};
use super::{ControlError, EjabberdClient, Result, Shape, Value};
use crate::domain::model::{Jid, ServerVersion, Vhost};

/// The first version that stores a ban and can lift a ban. In earlier versions, a ban only replaces
/// the password.
const REMEMBERED_SINCE: ServerVersion = ServerVersion { year: 24, month: 6 };

/// The first version that lists the accounts that may be banned.
const LISTED_SINCE: ServerVersion = ServerVersion { year: 25, month: 10 };

/// The pause between an unban and the next ban. The sessions of a banned account end shortly after
/// the response.
const BETWEEN: Duration = Duration::from_millis(20);

impl EjabberdClient {
    /// Whether the server stores bans, so that the operator can read and lift a ban.
    pub async fn remembers_bans(&self) -> Result<bool> {
        Ok(self.version().await? >= REMEMBERED_SINCE)
    }

    /// The reason for the account's ban; `None` if the account is not banned. Works only if the
    /// server [stores bans](Self::remembers_bans). A ban with another Erlang cookie does not count,
    /// because the server ignores such a ban.
    pub async fn ban_of(&self, jid: &Jid) -> Result<Option<String>> {
        const NAME: &str = "get_ban_details";
        let response = self.command(NAME, Shape::Pairs, account(jid)).await?;
        let details = response.as_list().ok_or(ControlError::Malformed(NAME))?;
        if details.is_empty() {
            return Ok(None);
        }
        let reason = details.iter().find_map(|pair| match pair.as_tuple() {
            Some([name, reason]) if name.as_text() == Some("reason") => reason.as_text(),
            _ => None,
        });
        Ok(Some(reason.unwrap_or_default().to_owned()))
    }

    /// The accounts of `host` that may be banned; `None` if the server has no such list. The list
    /// also contains accounts that were banned earlier, and accounts that stored private data under
    /// the name of a ban. [`ban_of`](Self::ban_of) returns the actual state.
    pub async fn perhaps_banned(&self, host: &Vhost) -> Result<Option<BTreeSet<Jid>>> {
        const NAME: &str = "list_banned";
        if self.version().await? < LISTED_SINCE {
            return Ok(None);
        }
        if !self.has_module(host, "mod_private").await? {
            // The server stores bans in that module: without the module no account is banned, and
            // the command crashes.
            return Ok(Some(BTreeSet::new()));
        }
        let response = self.command(NAME, Shape::Lines, vec![host.as_str().into()]).await?;
        let names = texts(NAME, &response)?.into_iter();
        Ok(Some(names.filter_map(|name| name.parse().ok()).collect()))
    }

    /// Bans an account and ends its sessions. Checks first whether the account exists: up to 24.12,
    /// banning an absent account creates the account.
    pub async fn ban(&self, jid: &Jid, reason: &str) -> Result<()> {
        const NAME: &str = "ban_account";
        if !self.account_exists(jid).await? {
            let message = "there is no such account".to_owned();
            return Err(ControlError::Refused { command: NAME, message });
        }
        let remembers = self.remembers_bans().await?;
        // In older versions the reason becomes part of a password, which cannot contain every
        // string.
        let reason = if remembers { reason } else { "banned" };
        if remembers {
            // Without `mod_private` the server refuses the command; without `mod_last` the command
            // crashes.
            self.needs_module(&jid.host, NAME, "mod_private").await?;
            self.needs_module(&jid.host, NAME, "mod_last").await?;
        }
        let response = self.ban_once(jid, reason).await?;
        if response.as_text() != Some("account_was_already_banned") {
            return if response.is_ok() { Ok(()) } else { Err(refused(NAME, &response)) };
        }
        // ejabberd cannot change the reason for a ban, so lift the ban and ban the account again.
        self.unban(jid).await?;
        tokio::time::sleep(BETWEEN).await;
        let response = self.ban_once(jid, reason).await?;
        if response.is_ok() { Ok(()) } else { Err(refused(NAME, &response)) }
    }

    async fn ban_once(&self, jid: &Jid, reason: &str) -> Result<Value> {
        let mut args = account(jid);
        args.push(reason.into());
        self.command("ban_account", Shape::Rescode, args).await
    }

    /// Lifts a ban. Works only if the server [stores bans](Self::remembers_bans).
    pub async fn unban(&self, jid: &Jid) -> Result<()> {
        const NAME: &str = "unban_account";
        let response = self.command(NAME, Shape::Rescode, account(jid)).await?;
        let already = response.as_text() == Some("account_was_not_banned");
        if response.is_ok() || already { Ok(()) } else { Err(refused(NAME, &response)) }
    }
}
