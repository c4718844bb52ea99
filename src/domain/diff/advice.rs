//! What an administrator should know, though nothing is done about it.

use std::collections::BTreeMap;

use super::ChangeSet;
use crate::domain::inventory::Inventory;
use crate::domain::model::{Jid, Kind};
use crate::domain::spec::DesiredState;

/// Owned accounts on hosts that the file does not name any more. They are left
/// alone: a host that was renamed must not look like the end of its accounts.
pub(super) fn orphans(desired: &DesiredState, inventory: &Inventory, set: &mut ChangeSet) {
    let mut orphans: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _) in inventory.of_kind(Kind::User) {
        let Ok(jid) = name.parse::<Jid>() else { continue };
        if !desired.serves(&jid.host) {
            *orphans.entry(jid.host.to_string()).or_default() += 1;
        }
    }
    for (host, count) in orphans {
        set.notes.push(format!(
            "{count} owned accounts are on {host}, which the file does not name any more: they are \
             left alone; add it to `spec.hosts` to go on managing them, or let them go with \
             `ejabberd-operator forget --host {host}`"
        ));
    }
}
