//! The tool `register_messaging_user`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::failures::{internal, state_unavailable, unavailable};
use super::{Caller, MessagingService};
use crate::domain::messaging::rights::address;
use crate::domain::messaging::text::check_text;
use crate::domain::messaging::{Failure, FailureCode, RegisterUser, Registered};
use crate::domain::model::{Jid, ObjectKey, RoomJid};
use crate::domain::spec::{AffiliationKind, OptionValue, Registration, VcardField};
use crate::ejabberd::{Created, NewRoom};

/// The field of the vCard that people see (XEP-0054).
const NICKNAME: VcardField = VcardField { element: "NICKNAME", part: None };

/// The maximum length of a display name in bytes.
const MAX_DISPLAY_NAME: usize = 256;

impl MessagingService {
    /// Creates an account with a generated password, and its rooms. Repeating a call changes
    /// nothing, and creates what an interrupted call did not create.
    pub(super) async fn register(
        &self,
        caller: &Caller<'_>,
        arguments: RegisterUser,
    ) -> Result<Registered, Failure> {
        let (rule, account) = check(caller, &arguments)?;
        // One registration at a time, so that two calls cannot both take the last place.
        let _turn = self.registering.lock().await;
        let server = &caller.in_force.server;
        let key = ObjectKey::User(account.clone());
        let inventory = self.store.inventory().map_err(|error| state_unavailable(&error))?;
        let client = caller.client.name.as_str();
        let ours = match inventory.registered_by(&key) {
            Some(by) if by == client => true,
            Some(_) => return Err(taken(&account)),
            None => false,
        };
        let exists = server.account_exists(&account).await;
        let exists = exists.map_err(|error| unavailable(&error))?;
        if exists && !ours {
            return Err(taken(&account));
        }
        if !ours && inventory.registered_users_of(client) >= rule.max as usize {
            return Err(Failure::new(
                FailureCode::LimitReached,
                format!("the client `{client}` has registered {} accounts, its maximum", rule.max),
                "ask the administrator to delete unused accounts or to raise `registration.max`",
            ));
        }
        let rooms = rooms(rule, &account)?;
        // Record the objects first: after a kill, the account counts, and no prune deletes it.
        let objects: Vec<ObjectKey> =
            rooms.iter().cloned().map(ObjectKey::Room).chain([key.clone()]).collect();
        self.store
            .record_registered(client, Timestamp::now(), &objects)
            .map_err(|error| state_unavailable(&error))?;
        let password = if exists { None } else { Some(self.create(caller, &account).await?) };
        if let Some(name) = &arguments.display_name {
            let named = server.set_vcard(&account, &NICKNAME, name).await;
            named.map_err(|error| unavailable(&error))?;
        }
        for room in &rooms {
            self.create_room(caller, room, &account, arguments.display_name.as_deref()).await?;
        }
        Ok(Registered {
            account: account.to_string(),
            created: password.is_some(),
            password,
            rooms: rooms.iter().map(ToString::to_string).collect(),
        })
    }

    /// Creates the account, and returns its password. If another program created the account
    /// meanwhile, the client does not keep the account.
    async fn create(&self, caller: &Caller<'_>, account: &Jid) -> Result<String, Failure> {
        let password = self.secrets.generate().map_err(|error| {
            tracing::warn!("messaging failed to {error}");
            internal()
        })?;
        match caller.in_force.server.register(account, &password).await {
            Ok(Created::Now) => {
                tracing::info!(client = %caller.client.name, "registered {account}");
                Ok(password.expose().to_owned())
            }
            Ok(Created::Before) => {
                let key = ObjectKey::User(account.clone());
                let forgotten = self.store.forget_registered(&[key]);
                forgotten.map_err(|error| state_unavailable(&error))?;
                Err(taken(account))
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    async fn create_room(
        &self,
        caller: &Caller<'_>,
        room: &RoomJid,
        owner: &Jid,
        title: Option<&str>,
    ) -> Result<(), Failure> {
        let server = &caller.in_force.server;
        let mut options = BTreeMap::from([("persistent".to_owned(), OptionValue::Bool(true))]);
        if let Some(title) = title {
            options.insert("title".to_owned(), OptionValue::Text(title.to_owned()));
        }
        let affiliations = BTreeMap::from([(owner.clone(), AffiliationKind::Owner)]);
        let new = NewRoom { options: &options, affiliations: &affiliations, subject: None };
        let host = &caller.in_force.host;
        let stored = server.stored_room(host, room).await.map_err(|error| unavailable(&error))?;
        if stored.is_some() {
            return Ok(());
        }
        server.create_room(room, host, &new).await.map_err(|error| unavailable(&error)).map(drop)
    }
}

fn taken(account: &Jid) -> Failure {
    Failure::new(
        FailureCode::Forbidden,
        format!("the account {account} exists, and this client did not register it"),
        "use another name",
    )
}

/// Checks that the rule of the client permits the name.
fn check<'c>(
    caller: &'c Caller<'_>,
    arguments: &RegisterUser,
) -> Result<(&'c Registration, Jid), Failure> {
    let client = caller.client;
    let Some(rule) = &client.registration else {
        return Err(Failure::new(
            FailureCode::Forbidden,
            format!("the client `{}` may not register accounts", client.name),
            "ask the administrator to add `registration` to this client",
        ));
    };
    let account = address("name", &arguments.name, &caller.in_force.host)?;
    if account.host != caller.in_force.host {
        return Err(Failure::new(
            FailureCode::InvalidArgument,
            "`name` has another host than the default host",
            "give the name without a host",
        ));
    }
    if !rule.names.matches(&account) {
        return Err(Failure::new(
            FailureCode::Forbidden,
            format!("the client `{}` may not register {account}", client.name),
            format!("use a name like `{}`", rule.names),
        ));
    }
    if caller.in_force.barred.contains(&account) {
        return Err(Failure::new(
            FailureCode::Forbidden,
            format!("the desired state declares {account} banned or absent"),
            "use another name",
        ));
    }
    if caller.in_force.suspend {
        return Err(Failure::new(
            FailureCode::Unavailable,
            "the operator is suspended and changes nothing",
            "try again when the administrator has set `spec.suspend: false`",
        ));
    }
    if let Some(name) = &arguments.display_name {
        check_text("display_name", name, MAX_DISPLAY_NAME)?;
    }
    Ok((rule, account))
}

/// The rooms of an account by the templates of the rule.
fn rooms(rule: &Registration, account: &Jid) -> Result<Vec<RoomJid>, Failure> {
    let rooms = rule.rooms.iter().map(|template| template.room(&account.local));
    rooms.collect::<Result<_, _>>().map_err(|error| {
        Failure::new(
            FailureCode::InvalidArgument,
            format!("the room of the account would have an invalid name: {error}"),
            "use a shorter name",
        )
    })
}
