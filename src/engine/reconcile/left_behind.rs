//! Finds accounts that stay behind in the old account store when a configuration moves a host to
//! another account store.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::configuration::AccountStore;
use crate::domain::database::Found;
use crate::domain::inventory::Inventory;
use crate::domain::model::{Jid, Localpart, Vhost};
use crate::domain::observed::Reading;
use crate::domain::spec::DesiredState;

/// Counts the owned accounts for which `counts` returns true, and how many of these accounts exist.
pub(in crate::engine) fn accounts(
    users: &BTreeMap<Vhost, Reading<BTreeSet<Localpart>>>,
    inventory: &Inventory,
    counts: impl Fn(&Jid, Timestamp) -> bool,
) -> Found {
    let mut found = Found::default();
    for (jid, owned) in inventory.users() {
        // The operator does not read the accounts of a host that the file no longer lists.
        let Some(names) = users.get(&jid.host) else { continue };
        if !counts(jid, owned.since) {
            continue;
        }
        match names {
            Reading::Known(names) => {
                found.owned += 1;
                found.there += usize::from(names.contains(&jid.local));
            }
            Reading::Unknown(_) => found.partial = true,
        }
    }
    found
}

/// Returns each host whose accounts are left behind in another account store, with a description
/// for people. `found` returns how many owned accounts are in the new store; `None` if the new
/// store cannot be read, which is the case before the change.
pub(super) fn left_behind(
    desired: &DesiredState,
    before: &BTreeMap<String, AccountStore>,
    now: &BTreeMap<String, AccountStore>,
    inventory: &Inventory,
    found: impl Fn(&Vhost) -> Option<Found>,
) -> BTreeMap<Vhost, String> {
    let mut left = BTreeMap::new();
    for host in desired.all_hosts() {
        let Some(now) = now.get(host.as_str()) else { continue };
        let why = match before.get(host.as_str()) {
            Some(before) if before == now => None,
            Some(before) => {
                let owned = owned_on(inventory, host.as_str());
                let gone = match found(host) {
                    Some(found) if found.enough() => 0,
                    Some(found) => found.owned - found.there,
                    None => owned,
                };
                (gone > 0).then(|| {
                    format!(
                        "{} of {host} are left behind in {before}: {host} keeps its accounts in \
                         {now} instead",
                        accounts_owned(gone)
                    )
                })
            }
            // The host is new. The host may be the new name of an old host only if an old host is
            // no longer declared.
            None => {
                let dropped = before.keys().filter(|old| !serves(desired, old));
                let mut dropped = dropped.map(|old| (old, owned_on(inventory, old)));
                dropped.find(|(_, owned)| *owned > 0).map(|(old, owned)| {
                    format!(
                        "{} are left behind on {old}, which is no longer declared: {host} is \
                         another host, with other accounts",
                        accounts_owned(owned)
                    )
                })
            }
        };
        left.extend(why.map(|why| (host.clone(), why)));
    }
    left
}

fn accounts_owned(count: usize) -> String {
    if count == 1 { "1 owned account".to_owned() } else { format!("{count} owned accounts") }
}

fn serves(desired: &DesiredState, host: &str) -> bool {
    desired.all_hosts().any(|served| served.as_str() == host)
}

fn owned_on(inventory: &Inventory, host: &str) -> usize {
    inventory.users().filter(|(jid, _)| jid.host.as_str() == host).count()
}
