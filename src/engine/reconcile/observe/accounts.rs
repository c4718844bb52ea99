//! Reading accounts: who is there, whose password, ban and vCard are as declared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use super::{AWAY, CONCURRENCY, Seen, each, hosts, unknown};
use crate::domain::inventory::{Fingerprint, Inventory};
use crate::domain::model::{Jid, Localpart, ObjectKey, Secret, Vhost};
use crate::domain::observed::{Reading, Vcard};
use crate::domain::spec::{
    DesiredState, PasswordPolicy, SecretSource, User, UserState, VcardField,
};
use crate::ejabberd::ControlError;
use crate::engine::reconcile::round::Reconciler;

/// So many owned accounts are asked for by name when a host reads as empty.
const SECOND_LOOKS: usize = 3;

type Users = BTreeMap<Vhost, Reading<BTreeSet<Localpart>>>;
type Bans = BTreeMap<Jid, Reading<Option<String>>>;

/// What was read of accounts.
#[derive(Default)]
pub(super) struct Accounts {
    pub(super) users: Users,
    pub(super) kept_elsewhere: BTreeMap<Vhost, String>,
    pub(super) passwords: BTreeMap<Jid, Reading<bool>>,
    pub(super) bans: Bans,
    pub(super) vcards: BTreeMap<Jid, Reading<Vcard>>,
    pub(super) seen: Seen,
}

/// What asking for a password came to.
enum Asked {
    Is(Reading<bool>, Option<Fingerprint>),
    /// The account is banned, which makes every password wrong.
    Banned(String),
}

impl Reconciler {
    pub(super) async fn accounts(
        &self,
        desired: &DesiredState,
        inventory: &Inventory,
        away: &AtomicBool,
    ) -> Accounts {
        let reads = hosts(desired).map(|host| async move {
            let elsewhere = self.server.accounts_elsewhere(host).await;
            let users = match &elsewhere {
                // A channel that carries commands alone cannot tell.
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
        // Those that are there and ours to decide on.
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
                "the list of accounts came back empty, but the server says otherwise when asked in another way".to_owned(),
            ),
            Err(e) => Reading::Unknown(format!("an empty list of accounts could not be confirmed: failed to {e}")),
        }
    }

    /// Whether a host that reads as empty is so: an empty list can also be a
    /// failed query. Asks in other ways.
    async fn emptiness_is_real(
        &self,
        host: &Vhost,
        inventory: &Inventory,
    ) -> Result<bool, ControlError> {
        match self.server.accounts_can_be_read(host).await {
            Ok(true) | Err(ControlError::Unsupported { .. }) => {}
            other => return other,
        }
        let owned = inventory.users().map(|(jid, _)| jid.clone());
        let owned: Vec<Jid> = owned.filter(|jid| jid.host == *host).take(SECOND_LOOKS).collect();
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

    /// Compares the passwords that are declared with those in force. One that
    /// was seen in force before is only compared by its fingerprint: asking
    /// costs the server half a millisecond of hashing each.
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
        let answer = self.server.password_is(jid, &password).await;
        // Of a banned account every password is wrong; 24.12 crashes when asked.
        let suspicious = matches!(answer, Ok(false) | Err(ControlError::Crashed { .. }));
        if suspicious
            && matches!(self.server.remembers_bans().await, Ok(true))
            && let Ok(Some(reason)) = self.server.ban_of(jid).await
        {
            return Asked::Banned(reason);
        }
        match answer {
            Ok(true) => Asked::Is(Reading::Known(true), Some(fingerprint)),
            Ok(false) => Asked::Is(Reading::Known(false), None),
            Err(e) => Asked::Is(unknown(&e, away), None),
        }
    }

    /// Who is banned, of those that are declared so or that the operator has
    /// banned. Where the server cannot tell, the inventory does.
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
            // A ban is a password that nobody knows. With the one from before in
            // force it is lifted: an old database was restored. One that was only
            // intended may have come about or not: who shall be banned is banned
            // once more, and who shall not is let in again.
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

    /// The vCards of those that declare one and were not seen to have it, and
    /// of those whose turn it is.
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
