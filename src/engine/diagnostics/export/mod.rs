//! Collects every object of a server, so that `export` can write the declarations. Changes nothing
//! on the server.
//!
//! A failed query ends the export. Otherwise the exported file lacks objects, and a reader of the
//! file concludes that these objects do not exist.

mod rooms;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::domain::export::{Account, Found, FoundGroup, Part, quoted};
use crate::domain::model::{Jid, Localpart, Vhost};
use crate::ejabberd::ControlError;
use crate::ejabberd::client::{EjabberdClient, group_name};
use crate::engine::reconcile::observe::CONCURRENCY;

/// The maximum number of accounts whose bans `export` queries one by one, if the server has no list
/// of bans.
const MOST_ASKED: usize = 2_000;

type Result<T> = std::result::Result<T, ControlError>;

/// The hosts of a server. The home host is the host with the most accounts.
struct Hosts {
    home: Vhost,
    others: BTreeSet<Vhost>,
}

impl Hosts {
    fn all(&self) -> impl Iterator<Item = &Vhost> {
        std::iter::once(&self.home).chain(&self.others)
    }

    /// Returns the host to which a service for rooms belongs, by the same rule as a reconciliation.
    fn of_service(&self, service: &Vhost) -> &Vhost {
        service.owner(self.all()).unwrap_or(&self.home)
    }
}

impl EjabberdClient {
    /// Collects every object that can be declared.
    pub async fn collect(&self) -> Result<Found> {
        let mut remarks = Vec::new();
        let mut names = Vec::new();
        for name in self.hosts().await? {
            match Vhost::new(&name) {
                Ok(host) => names.push(host),
                Err(why) => remarks.push(format!("the host {} is left out: {why}", quoted(&name))),
            }
        }
        let mut accounts = Part { declared: None, remarks: Vec::new() };
        let mut most = None;
        for host in &names {
            let found = self.accounts_of(host, &mut accounts.remarks).await?;
            let count = found.as_ref().map_or(0, BTreeMap::len);
            if most.as_ref().is_none_or(|(_, before)| count > *before) {
                most = Some((host.clone(), count));
            }
            if let Some(found) = found {
                accounts.declared.get_or_insert_with(BTreeMap::new).extend(found);
            }
        }
        let Some((home, _)) = most else { return Err(ControlError::Malformed("hosts")) };
        let others = names.into_iter().filter(|host| *host != home).collect();
        let hosts = Hosts { home, others };
        let groups = self.groups_of(&hosts).await?;
        let rooms = self.rooms_of(&hosts).await?;
        let Hosts { home, others } = hosts;
        Ok(Found { home, hosts: Part { declared: Some(others), remarks }, accounts, groups, rooms })
    }

    /// Returns the accounts of a host; `None` if ejabberd does not store the accounts of this host.
    async fn accounts_of(
        &self,
        host: &Vhost,
        remarks: &mut Vec<String>,
    ) -> Result<Option<BTreeMap<Jid, Account>>> {
        if let Some(kept) = self.accounts_elsewhere(host).await? {
            remarks.push(format!(
                "the accounts of {host} come from {kept}: they are managed there, and left out here"
            ));
            return Ok(None);
        }
        if !self.accounts_can_be_read(host).await? {
            let message = format!("the database with the accounts of {host} does not respond");
            return Err(ControlError::Refused { command: "registered_users", message });
        }
        let (names, others) = self.account_names(host).await?;
        remarks.extend(others.iter().map(|name| {
            format!("the account {} is left out: that name cannot be declared", quoted(name))
        }));
        let accounts = names.into_iter().map(|local| Jid { local, host: host.clone() });
        let mut accounts: BTreeMap<Jid, Account> =
            accounts.map(|jid| (jid, Account::default())).collect();
        let candidates: Vec<Jid> = match self.perhaps_banned(host).await? {
            Some(listed) => listed.into_iter().filter(|jid| accounts.contains_key(jid)).collect(),
            None if accounts.is_empty() => Vec::new(),
            None if !self.remembers_bans().await? => {
                remarks.push(format!(
                    "ejabberd {} does not remember who is banned: a banned account of {host} looks \
                     like any other",
                    self.version().await?
                ));
                Vec::new()
            }
            None if accounts.len() > MOST_ASKED => {
                remarks.push(format!(
                    "{host} has more than {MOST_ASKED} accounts, and this server has no list of bans: \
                     the export did not query the bans; bans stay as they are"
                ));
                Vec::new()
            }
            None => accounts.keys().cloned().collect(),
        };
        let asked = stream::iter(candidates).map(|jid| async move {
            let ban = self.ban_of(&jid).await?;
            Ok::<_, ControlError>((jid, Account { ban }))
        });
        let asked: Vec<_> = asked.buffer_unordered(CONCURRENCY).try_collect().await?;
        accounts.extend(asked);
        Ok(Some(accounts))
    }

    /// Returns the groups of the home host.
    async fn groups_of(&self, hosts: &Hosts) -> Result<Part<BTreeMap<Localpart, FoundGroup>>> {
        let mut part = Part { declared: None, remarks: Vec::new() };
        let home = &hosts.home;
        for host in &hosts.others {
            for name in self.group_names(host).await?.into_iter().flatten() {
                part.remarks.push(format!(
                    "the group {} of {host} is left out: only those of {home} can be declared",
                    quoted(&name)
                ));
            }
        }
        let Some(names) = self.group_names(home).await? else { return Ok(part) };
        let mut groups = BTreeMap::new();
        for name in names {
            let Some(local) = group_name(&name) else {
                part.remarks.push(format!(
                    "the group {} is left out: that name cannot be declared",
                    quoted(&name)
                ));
                continue;
            };
            match self.one_group(hosts, &local).await? {
                Some(Ok(group)) => drop(groups.insert(local, group)),
                Some(Err(why)) => {
                    part.remarks.push(format!("the group {} is left out: {why}", quoted(&name)));
                }
                // Another program deleted the group after the export read the names.
                None => {}
            }
        }
        part.declared = Some(groups);
        Ok(part)
    }

    /// Returns a group, or the reason why the group cannot be declared; `None` if the group does
    /// not exist.
    async fn one_group(
        &self,
        hosts: &Hosts,
        name: &Localpart,
    ) -> Result<Option<std::result::Result<FoundGroup, String>>> {
        let Some(whole) = self.whole_group(&hosts.home, name).await? else { return Ok(None) };
        if !whole.everybody.is_empty() {
            let why = format!("{} is in it, which means all accounts", whole.everybody.join(", "));
            return Ok(Some(Err(why)));
        }
        let mut group = whole.group;
        if !group.displayed.remove(name.as_str()) {
            return Ok(Some(Err("its members do not see each other".to_owned())));
        }
        let mut remarks = Vec::new();
        let list = |names: &mut dyn Iterator<Item = String>| {
            names.map(|name| quoted(&name)).collect::<Vec<_>>().join(", ")
        };
        if !group.displayed.is_empty() {
            let seen = list(&mut group.displayed.into_iter());
            remarks.push(format!("its members also see {seen}, which stays so"));
        }
        if !whole.others.is_empty() {
            let left_out = list(&mut whole.others.into_iter());
            remarks.push(format!("these members cannot be declared, and stay: {left_out}"));
        }
        let all_ours = group.members.iter().all(|member| hosts.all().any(|h| *h == member.host));
        let members = if all_ours {
            Some(group.members)
        } else {
            let members = list(&mut group.members.iter().map(ToString::to_string));
            remarks.push(format!(
                "its members are not managed, as some are on hosts that are not served: {members}"
            ));
            None
        };
        let (display_name, description) = (group.display_name, group.description);
        Ok(Some(Ok(FoundGroup { display_name, description, members, remarks })))
    }
}
