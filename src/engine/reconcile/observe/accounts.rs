//! Observes accounts: which accounts exist, and whether the password, the ban and the vCard of each
//! account match the desired state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use super::{AWAY, CONCURRENCY, Seen, each, unknown};
use crate::domain::inventory::{Fingerprint, Inventory};
use crate::domain::model::{Jid, Localpart, ObjectKey, Secret, Vhost};
use crate::domain::observed::{Reading, Vcard};
use crate::domain::spec::{
    DesiredState, PasswordPolicy, SecretSource, User, UserState, VcardField,
};
use crate::ejabberd::ControlError;
use crate::engine::reconcile::round::Reconciler;

/// The maximum number of owned accounts that the operator checks by name if the server returns an
/// empty list of accounts for a host.
const NAMED_CHECKS: usize = 3;

type Users = BTreeMap<Vhost, Reading<BTreeSet<Localpart>>>;
type Bans = BTreeMap<Jid, Reading<Option<String>>>;

/// The readings of accounts.
#[derive(Default)]
pub(super) struct Accounts {
    pub(super) users: Users,
    pub(super) kept_elsewhere: BTreeMap<Vhost, String>,
    pub(super) passwords: BTreeMap<Jid, Reading<bool>>,
    pub(super) bans: Bans,
    pub(super) vcards: BTreeMap<Jid, Reading<Vcard>>,
    pub(super) seen: Seen,
}

/// The result of comparing a password.
enum Asked {
    Is(Reading<bool>, Option<Fingerprint>),
    /// The account is banned, so the server rejects every password.
    Banned(String),
}

impl Reconciler {
    pub(super) async fn accounts(
        &self,
        desired: &DesiredState,
        inventory: &Inventory,
        away: &AtomicBool,
    ) -> Accounts {
        let reads = desired.all_hosts().map(|host| async move {
            let elsewhere = self.server.accounts_elsewhere(host).await;
            let users = match &elsewhere {
                // The fallback control, which only runs commands, cannot check the backend of the
                // accounts.
                Ok(_) | Err(ControlError::Unsupported { .. }) => self.names(host, inventory).await,
                Err(error) => unknown(error, away),
            };
            (host.clone(), users, elsewhere.ok().flatten())
        });
        let mut accounts = Accounts::default();
        for (host, users, elsewhere) in futures_util::future::join_all(reads).await {
            accounts.kept_elsewhere.extend(elsewhere.map(|kept| (host.clone(), kept)));
            accounts.users.insert(host, users);
        }
        // Skip accounts in another account store, such as LDAP, because the operator can only
        // observe these accounts.
        let there = |jid: &Jid| {
            let names = accounts.users.get(&jid.host).and_then(Reading::known);
            !accounts.kept_elsewhere.contains_key(&jid.host)
                && names.is_some_and(|names| names.contains(&jid.local))
        };
        let managed: Vec<(&Jid, &User)> = desired
            .users
            .iter()
            .flatten()
            .filter(|(jid, _)| !desired.leaves_alone(jid) && there(jid))
            .collect();
        let ((passwords, found_banned), mut bans, vcards) = tokio::join!(
            self.passwords(&managed, inventory, away),
            self.bans(&managed, inventory, away),
            self.vcards(&managed, inventory, away),
        );
        for (jid, reason) in found_banned {
            bans.entry(jid).or_insert(Reading::Known(Some(reason)));
        }
        accounts.bans = bans;
        for (jid, reading, seen) in passwords {
            accounts.seen.passwords.extend(seen.map(|seen| (ObjectKey::User(jid.clone()), seen)));
            accounts.passwords.insert(jid, reading);
        }
        for (jid, reading) in vcards {
            if let (Reading::Known(there), Some(user)) =
                (&reading, desired.users.as_ref().and_then(|users| users.get(&jid)))
                && *there == user.vcard
            {
                let seen = self.vcard_fingerprint(&user.vcard);
                accounts.seen.vcards.push((ObjectKey::User(jid.clone()), seen));
            }
            accounts.vcards.insert(jid, reading);
        }
        accounts
    }

    async fn names(&self, host: &Vhost, inventory: &Inventory) -> Reading<BTreeSet<Localpart>> {
        let names = match self.server.registered_users(host).await {
            Ok(names) => names,
            Err(e) => return Reading::Unknown(format!("failed to {e}")),
        };
        if !names.is_empty() {
            return Reading::Known(names);
        }
        match self.emptiness_is_real(host, inventory).await {
            Ok(true) => Reading::Known(names),
            Ok(false) => Reading::Unknown(
                "the server returned an empty list of accounts, but other commands find accounts"
                    .to_owned(),
            ),
            Err(e) => Reading::Unknown(format!(
                "the server returned an empty list of accounts, which could not be confirmed: failed to {e}"
            )),
        }
    }

    /// Confirms with other commands that a host has no accounts, because an empty list can also
    /// mean a failed query.
    async fn emptiness_is_real(
        &self,
        host: &Vhost,
        inventory: &Inventory,
    ) -> Result<bool, ControlError> {
        match self.server.accounts_can_be_read(host).await {
            Ok(true) | Err(ControlError::Unsupported { .. }) => {}
            other => return other,
        }
        let on_host = inventory.users().map(|(jid, _)| jid).filter(|jid| jid.host == *host);
        let owned: Vec<Jid> = on_host.take(NAMED_CHECKS).cloned().collect();
        if owned.is_empty() {
            return Ok(true);
        }
        for jid in &owned {
            if self.server.account_exists(jid).await? {
                return Ok(false);
            }
        }
        Ok(self.server.count_users(host).await? <= 0)
    }

    /// Compares the declared passwords with the passwords on the server. Compares a password that
    /// was in force before only by the fingerprint, except within the recheck budget, because a
    /// check costs the server half a millisecond of hashing.
    #[allow(clippy::type_complexity, reason = "rows of one table, used once")]
    async fn passwords(
        &self,
        managed: &[(&Jid, &User)],
        inventory: &Inventory,
        away: &AtomicBool,
    ) -> (Vec<(Jid, Reading<bool>, Option<Fingerprint>)>, Vec<(Jid, String)>) {
        let declared = managed.iter().filter_map(|(jid, user)| {
            let source = user.password.as_ref()?;
            let enforced = user.password_policy == PasswordPolicy::Enforce
                && user.state == UserState::Present
                && !matches!(source, SecretSource::Generate);
            enforced.then_some((*jid, source))
        });
        let declared: Vec<_> = declared.collect();
        let again = self.recheck_budget.passwords.next(declared.len());
        let checks = declared.into_iter().enumerate().map(|(n, (jid, source))| async move {
            let remembered = inventory.user(jid).and_then(|owned| owned.password.as_ref());
            let remembered = remembered.filter(|_| !again.contains(n));
            (jid.clone(), self.password(jid, source, remembered, away).await)
        });
        let checks: Vec<_> = checks.collect();
        let results: Vec<_> = stream::iter(checks).buffer_unordered(CONCURRENCY).collect().await;
        let (mut readings, mut banned) = (Vec::new(), Vec::new());
        for (jid, asked) in results {
            match asked {
                Asked::Is(reading, seen) => readings.push((jid, reading, seen)),
                Asked::Banned(reason) => banned.push((jid, reason)),
            }
        }
        (readings, banned)
    }

    async fn password(
        &self,
        jid: &Jid,
        source: &SecretSource,
        remembered: Option<&Fingerprint>,
        away: &AtomicBool,
    ) -> Asked {
        let password = match self.secrets.read(source).await {
            Ok(password) => password,
            Err(e) => return Asked::Is(Reading::Unknown(format!("failed to {e}")), None),
        };
        let fingerprint = self.store.fingerprint(&password);
        if remembered == Some(&fingerprint) {
            return Asked::Is(Reading::Known(true), None);
        }
        if away.load(Ordering::Relaxed) {
            return Asked::Is(Reading::Unknown(AWAY.to_owned()), None);
        }
        let response = self.server.password_is(jid, &password).await;
        // The server rejects every password of a banned account; in 24.12 the command crashes
        // instead.
        let suspicious = matches!(response, Ok(false) | Err(ControlError::Crashed { .. }));
        if suspicious
            && matches!(self.server.remembers_bans().await, Ok(true))
            && let Ok(Some(reason)) = self.server.ban_of(jid).await
        {
            return Asked::Banned(reason);
        }
        match response {
            Ok(true) => Asked::Is(Reading::Known(true), Some(fingerprint)),
            Ok(false) => Asked::Is(Reading::Known(false), None),
            Err(e) => Asked::Is(unknown(&e, away), None),
        }
    }

    /// Reads the bans of accounts that are declared banned or that the operator has banned. If the
    /// server cannot report bans, the inventory decides.
    async fn bans(
        &self,
        managed: &[(&Jid, &User)],
        inventory: &Inventory,
        away: &AtomicBool,
    ) -> Bans {
        let ours = |jid: &Jid| inventory.user(jid)?.banned.as_ref();
        let concerned = managed.iter().filter(|(jid, user)| {
            matches!(user.state, UserState::Banned { .. })
                || (user.state == UserState::Present && ours(jid).is_some())
        });
        let concerned: BTreeSet<Jid> = concerned.map(|(jid, _)| (*jid).clone()).collect();
        if concerned.is_empty() {
            return Bans::new();
        }
        match self.server.remembers_bans().await {
            Ok(true) => {
                each(concerned, away, |jid| async move { self.server.ban_of(&jid).await }).await
            }
            // On such a server a ban is a random password. If the previous password works, the ban
            // is gone, for example because an administrator has restored an old database. A ban
            // that was recorded but not confirmed may or may not exist. To be safe, the operator
            // bans an account again that is declared banned, and unbans an account that is declared
            // present.
            Ok(false) => {
                let users: BTreeMap<&Jid, &User> = managed.iter().copied().collect();
                let users = &users;
                each(concerned, away, |jid| async move {
                    let user = users.get(&jid);
                    let present = user.is_some_and(|user| user.state == UserState::Present);
                    let Some(ban) = ours(&jid).filter(|ban| ban.confirmed || present) else {
                        return Ok(None);
                    };
                    let source = user.and_then(|user| user.password.as_ref());
                    let before = self.passwords.known_password(source, &jid).await.ok().flatten();
                    let lifted = match before {
                        Some(password) => self.server.password_is(&jid, &password).await?,
                        None => false,
                    };
                    Ok((!lifted).then(|| ban.reason.clone()))
                })
                .await
            }
            Err(error) => concerned.into_iter().map(|jid| (jid, unknown(&error, away))).collect(),
        }
    }

    /// Reads the declared vCards that are not known to be in force, and a part of the other vCards
    /// within the recheck budget.
    async fn vcards(
        &self,
        managed: &[(&Jid, &User)],
        inventory: &Inventory,
        away: &AtomicBool,
    ) -> BTreeMap<Jid, Reading<Vcard>> {
        let declared: Vec<(&Jid, &User)> = managed
            .iter()
            .filter(|(_, user)| user.state == UserState::Present && !user.vcard.is_empty())
            .copied()
            .collect();
        let again = self.recheck_budget.vcards.next(declared.len());
        let fields: BTreeMap<Jid, &BTreeMap<VcardField, String>> = declared
            .into_iter()
            .enumerate()
            .filter(|(n, (jid, user))| {
                let owned = inventory.user(jid);
                let seen = owned.and_then(|owned| owned.vcard.as_ref());
                again.contains(*n) || seen != Some(&self.vcard_fingerprint(&user.vcard))
            })
            .map(|(_, (jid, user))| (jid.clone(), &user.vcard))
            .collect();
        let fields = &fields;
        each(fields.keys().cloned(), away, |jid| async move {
            let declared = fields.get(&jid).into_iter().flat_map(|fields| fields.keys());
            self.server.vcard(&jid, declared).await
        })
        .await
    }

    fn vcard_fingerprint(&self, fields: &BTreeMap<VcardField, String>) -> Fingerprint {
        let text = fields.iter().fold(String::from("vcard\0"), |text, (field, value)| {
            format!("{text}{field}\0{value}\0")
        });
        self.store.fingerprint(&Secret::new(text))
    }
}
