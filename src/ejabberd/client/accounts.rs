//! Commands for accounts.

use std::collections::BTreeSet;

use tokio::sync::MutexGuard;

use super::responses::{number, refused, says, texts};
use super::{Arg, Call, ControlError, Created, EjabberdClient, Result, Shape, not_served};
use crate::domain::model::{Jid, Localpart, Secret, ServerVersion, Vhost};

/// The first version in which a registration reads the whole account table under a lock
/// (`ejabberd_auth_mnesia:try_register_multiple`). With the table only on disk, which is the
/// default, parallel registrations wait for each other repeatedly: 30 registrations a second,
/// compared with 350 if registrations run one after the other (measured on 26.07).
const REGISTERS_ONE_BY_ONE_SINCE: ServerVersion = ServerVersion { year: 25, month: 3 };

impl EjabberdClient {
    /// The names of the accounts of `host`, normalised. Leaves out names that cannot be declared,
    /// because the operator cannot change those accounts.
    pub async fn registered_users(&self, host: &Vhost) -> Result<BTreeSet<Localpart>> {
        Ok(self.account_names(host).await?.0)
    }

    /// The names of the accounts of `host`: the names that can be declared, and the other names.
    pub async fn account_names(
        &self,
        host: &Vhost,
    ) -> Result<(BTreeSet<Localpart>, BTreeSet<String>)> {
        const NAME: &str = "registered_users";
        let response = self.command(NAME, Shape::Lines, vec![host.as_str().into()]).await?;
        if says(&response, "Unknown virtual host") && response.as_list().is_none() {
            return Err(ControlError::Refused { command: NAME, message: not_served(host) });
        }
        let (mut names, mut others) = (BTreeSet::new(), BTreeSet::new());
        for name in texts(NAME, &response)? {
            match Localpart::new(name) {
                Ok(name) => drop(names.insert(name)),
                Err(_) => drop(others.insert(name.to_owned())),
            }
        }
        Ok((names, others))
    }

    /// Whether the account exists.
    pub async fn account_exists(&self, jid: &Jid) -> Result<bool> {
        Ok(self.command("check_account", Shape::Rescode, account(jid)).await?.is_ok())
    }

    /// The number of accounts by the server's statistics, which are independent of
    /// [`registered_users`](Self::registered_users).
    pub async fn count_users(&self, host: &Vhost) -> Result<i64> {
        let args = vec!["registeredusers".into(), host.as_str().into()];
        number("stats_host", &self.command("stats_host", Shape::Text, args).await?)
    }

    /// Sends a headline to each session on `host`, up to 10,000 sessions. Returns the number of
    /// headlines that the server accepted.
    pub async fn tell_connected(&self, host: &Vhost, text: &str) -> Result<usize> {
        const MOST: usize = 10_000;
        let response =
            self.command("connected_users_vhost", Shape::Lines, vec![host.as_str().into()]).await?;
        let connected = texts("connected_users_vhost", &response)?;
        let mut recipients = 0;
        for jid in connected.into_iter().take(MOST) {
            let args =
                vec!["headline".into(), host.as_str().into(), jid.into(), "".into(), text.into()];
            recipients +=
                usize::from(self.command("send_message", Shape::Rescode, args).await?.is_ok());
        }
        Ok(recipients)
    }

    /// The accounts of this server that have a session. Sessions of names that cannot be declared
    /// are left out.
    pub async fn connected_accounts(&self) -> Result<BTreeSet<Jid>> {
        const NAME: &str = "connected_users";
        let response = self.command(NAME, Shape::Lines, Vec::new()).await?;
        let full = texts(NAME, &response)?.into_iter();
        let bare = full.filter_map(|jid| jid.split('/').next());
        Ok(bare.filter_map(|jid| jid.parse().ok()).collect())
    }

    /// Whether `password` is the password of the account. `false` for an account that does not
    /// exist.
    pub async fn password_is(&self, jid: &Jid, password: &Secret) -> Result<bool> {
        let mut args = account(jid);
        args.push(password.into());
        Ok(self.command("check_password", Shape::Rescode, args).await?.is_ok())
    }

    /// Creates an account. Returns [`Created::Before`] if the account exists already.
    pub async fn register(&self, jid: &Jid, password: &Secret) -> Result<Created> {
        let mut args = account(jid);
        args.push(password.into());
        let _turn = self.turn_to_register().await?;
        let response = self.command("register", Shape::Restuple, args).await?;
        if response.is_ok() {
            return Ok(Created::Now);
        }
        if says(&response, "conflict") || says(&response, "exists") {
            return Ok(Created::Before);
        }
        Err(refused("register", &response))
    }

    /// Takes the lock that serializes registrations. Returns `None` if the server does not need
    /// serialized registrations.
    async fn turn_to_register(&self) -> Result<Option<MutexGuard<'_, Option<bool>>>> {
        let mut turn = self.registering.lock().await;
        let one_by_one = match *turn {
            Some(known) => known,
            None => {
                let storage = [Arg::Atom("passwd"), Arg::Atom("storage_type")];
                let ask = Call::function("mnesia", "table_info", storage.into());
                let on_disk_only = match self.control.call(ask, self.deadline).await {
                    Ok(response) => response.as_text() == Some("disc_only_copies"),
                    // Without the table in Mnesia, the accounts are in SQL or LDAP.
                    Err(ControlError::Crashed { .. }) => false,
                    Err(error) => return Err(error),
                };
                self.version().await? >= REGISTERS_ONE_BY_ONE_SINCE && on_disk_only
            }
        };
        *turn = Some(one_by_one);
        Ok(one_by_one.then_some(turn))
    }

    /// Sets a password. Checks first whether the account exists, so that the error is the same on
    /// every version.
    pub async fn change_password(&self, jid: &Jid, password: &Secret) -> Result<()> {
        if !self.account_exists(jid).await? {
            return Err(ControlError::Refused {
                command: "change_password",
                message: "there is no such account".to_owned(),
            });
        }
        let mut args = account(jid);
        args.push(password.into());
        let response = self.command("change_password", Shape::Rescode, args).await?;
        if response.is_ok() { Ok(()) } else { Err(refused("change_password", &response)) }
    }

    /// Deletes an account. Returns `false` if the account does not exist. Checks first whether the
    /// account exists, because deleting an absent account damages the server's statistics.
    pub async fn unregister(&self, jid: &Jid) -> Result<bool> {
        if !self.account_exists(jid).await? {
            return Ok(false);
        }
        let response = self.command("unregister", Shape::Restuple, account(jid)).await?;
        if response.is_ok() { Ok(true) } else { Err(refused("unregister", &response)) }
    }

    /// The number of sessions on `host`.
    pub async fn connected_users(&self, host: &Vhost) -> Result<i64> {
        let args = vec!["onlineusers".into(), host.as_str().into()];
        number("stats_host", &self.command("stats_host", Shape::Text, args).await?)
    }
}

pub(super) fn account(jid: &Jid) -> Vec<super::Arg> {
    vec![jid.local.as_str().into(), jid.host.as_str().into()]
}
