//! Commands for shared roster groups.
//!
//! The operator reads groups with functions of `mod_shared_roster`, because the commands print
//! groups in three formats and crash on members that other programs added. The operator writes
//! groups with `srg_create`, the only such command in every version. On an existing group,
//! `srg_create` sets the label and the displayed groups, and keeps the members.

use std::collections::BTreeSet;

use super::responses::{refused, texts};
use super::{Arg, Call, ControlError, EjabberdClient, Result, Shape, Value};
use crate::domain::model::{Jid, Localpart, Vhost};
use crate::domain::observed::ObservedGroup;

const MODULE: &str = "mod_shared_roster";

/// The group options that add all accounts, or all connected accounts, to a group, each with the
/// member name for the option.
const EVERYBODY: [(&str, &str); 2] = [("all_users", "@all@"), ("online_users", "@online@")];

/// A group with its whole content.
pub struct WholeGroup {
    /// The part of the group that can be declared.
    pub group: ObservedGroup,
    /// The member names in the group that include all accounts or all connected accounts: `@all@`,
    /// `@online@`.
    pub everybody: Vec<&'static str>,
    /// Members that cannot be declared.
    pub others: BTreeSet<String>,
}

impl EjabberdClient {
    /// The names of the groups of `host`. Leaves out names that cannot be declared, because the
    /// operator cannot change those groups.
    pub async fn groups(&self, host: &Vhost) -> Result<BTreeSet<Localpart>> {
        let names = self.group_names(host).await?;
        if names.is_none() {
            // Without the module, return the error with the advice.
            self.needs_module(host, "srg_list", MODULE).await?;
        }
        Ok(names.iter().flatten().filter_map(|name| group_name(name)).collect())
    }

    /// The unchanged names of all groups of `host`; `None` if `host` does not have the module.
    pub async fn group_names(&self, host: &Vhost) -> Result<Option<BTreeSet<String>>> {
        const NAME: &str = "srg_list";
        if !self.has_module(host, MODULE).await? {
            return Ok(None);
        }
        let response = self.command(NAME, Shape::Lines, vec![host.as_str().into()]).await?;
        Ok(Some(texts(NAME, &response)?.into_iter().map(str::to_owned).collect()))
    }

    /// One group; `None` if the group does not exist.
    pub async fn group(&self, host: &Vhost, name: &Localpart) -> Result<Option<ObservedGroup>> {
        Ok(self.whole_group(host, name).await?.map(|whole| whole.group))
    }

    /// One group, with the members that cannot be declared; `None` if the group does not exist.
    pub async fn whole_group(&self, host: &Vhost, name: &Localpart) -> Result<Option<WholeGroup>> {
        const USERS: &str = "get_group_explicit_users";
        let Some(options) = self.group_options(host, name).await? else { return Ok(None) };
        let call = Call::function(MODULE, USERS, group_args(host, name));
        let response = self.control.call(call, self.deadline).await?;
        let users = response.as_list().ok_or(ControlError::Malformed(USERS))?;
        let (mut members, mut others) = (BTreeSet::new(), BTreeSet::new());
        for user in users {
            let Some([user, host]) = user.as_tuple() else { continue };
            let (Some(user), Some(host)) = (user.as_text(), host.as_text()) else { continue };
            let name = format!("{user}@{host}");
            match name.parse::<Jid>() {
                Ok(member) => drop(members.insert(member)),
                Err(_) => drop(others.insert(name)),
            }
        }
        let text = |key: &str| option(&options, key).and_then(Value::as_text).unwrap_or_default();
        let displayed = option(&options, "displayed_groups").and_then(Value::as_list);
        let displayed =
            displayed.unwrap_or_default().iter().filter_map(Value::as_text).map(str::to_owned);
        let group = ObservedGroup {
            display_name: text("label").to_owned(),
            description: text("description").to_owned(),
            displayed: displayed.collect(),
            members,
        };
        let everybody = EVERYBODY.iter().filter(|(key, _)| text(key) == "true");
        let everybody = everybody.map(|(_, member)| *member).collect();
        Ok(Some(WholeGroup { group, everybody, others }))
    }

    async fn group_options(&self, host: &Vhost, name: &Localpart) -> Result<Option<Vec<Value>>> {
        const NAME: &str = "get_group_opts";
        let call = Call::function(MODULE, NAME, group_args(host, name));
        match self.control.call(call, self.deadline).await? {
            Value::List(options) => Ok(Some(options)),
            Value::Atom(word) if word == "error" => Ok(None),
            _ => Err(ControlError::Malformed(NAME)),
        }
    }

    /// Creates a group whose members see each other, or updates an existing group. A `None` field
    /// stays unchanged.
    pub async fn write_group(
        &self,
        host: &Vhost,
        name: &Localpart,
        display_name: Option<&str>,
        description: Option<&str>,
    ) -> Result<()> {
        const NAME: &str = "srg_create";
        let before = self.whole_group(host, name).await?;
        let (before, everybody) =
            before.map(|whole| (whole.group, whole.everybody)).unwrap_or_default();
        let mut displayed = before.displayed;
        displayed.insert(name.as_str().to_owned());
        // Every version splits the list of names at a backslash followed by `n`.
        let displayed: Vec<String> = displayed.into_iter().collect();
        let mut args = vec![name.as_str().into(), host.as_str().into()];
        for text in [
            display_name.unwrap_or(&before.display_name),
            description.unwrap_or(&before.description),
            &displayed.join("\\n"),
        ] {
            args.push(text.into());
        }
        done(NAME, &self.command(NAME, Shape::Rescode, args).await?)?;
        // `srg_create` removes these members, so add them again.
        for member in everybody {
            let member = Member { user: member, host: host.as_str() };
            self.change_member("srg_user_add", member, host, name).await?;
        }
        Ok(())
    }

    /// Adds an account to a group.
    pub async fn add_member(&self, host: &Vhost, name: &Localpart, who: &Jid) -> Result<()> {
        self.change_member("srg_user_add", who.into(), host, name).await
    }

    /// Removes an account from a group.
    pub async fn remove_member(&self, host: &Vhost, name: &Localpart, who: &Jid) -> Result<()> {
        self.change_member("srg_user_del", who.into(), host, name).await
    }

    async fn change_member(
        &self,
        command: &'static str,
        member: Member<'_>,
        host: &Vhost,
        name: &Localpart,
    ) -> Result<()> {
        let args = vec![
            member.user.into(),
            member.host.into(),
            name.as_str().into(),
            host.as_str().into(),
        ];
        done(command, &self.command(command, Shape::Rescode, args).await?)
    }

    /// Deletes a group with its list of members.
    pub async fn delete_group(&self, host: &Vhost, name: &Localpart) -> Result<()> {
        const NAME: &str = "srg_delete";
        let args = vec![name.as_str().into(), host.as_str().into()];
        done(NAME, &self.command(NAME, Shape::Rescode, args).await?)
    }
}

/// A member of a group: an account, or one of ejabberd's names for all accounts.
struct Member<'a> {
    user: &'a str,
    host: &'a str,
}

impl<'a> From<&'a Jid> for Member<'a> {
    fn from(account: &'a Jid) -> Self {
        Self { user: account.local.as_str(), host: account.host.as_str() }
    }
}

/// Parses the name of a group. Returns `None` if a group with this name cannot be declared and
/// addressed: the name must be in normalised spelling, and without the characters that separate
/// names in ejabberd.
pub fn group_name(name: &str) -> Option<Localpart> {
    let local = Localpart::new(name).ok()?;
    (local.as_str() == name && !name.contains('\\')).then_some(local)
}

fn done(command: &'static str, response: &Value) -> Result<()> {
    if response.is_ok() { Ok(()) } else { Err(refused(command, response)) }
}

fn group_args(host: &Vhost, name: &Localpart) -> Vec<Arg> {
    vec![host.as_str().into(), name.as_str().into()]
}

/// The value of `key` among `options`, which are pairs; `None` if no option has the key.
pub(super) fn option<'v>(options: &'v [Value], key: &str) -> Option<&'v Value> {
    options.iter().find_map(|pair| match pair.as_tuple()? {
        [name, value] if name.as_text() == Some(key) => Some(value),
        _ => None,
    })
}
