//! Compares the affiliations of accounts with rooms.

use std::collections::BTreeMap;

use super::rooms::DeclaredRoom;
use super::{ChangeSet, ObjectAction};
use crate::domain::inventory::Inventory;
use crate::domain::model::{AffiliationId, Jid, Kind, ObjectKey, RoomJid};
use crate::domain::spec::{AffiliationKind, DesiredState};

type Affiliations = BTreeMap<Jid, AffiliationKind>;

/// Removes affiliations of the operator's own temporary accounts, which remain if the operator
/// is killed while it sets a subject.
pub(super) fn left_over(
    desired: &DesiredState,
    jid: &RoomJid,
    found: Option<&Affiliations>,
    set: &mut ChangeSet,
) {
    for (account, there) in found.into_iter().flatten() {
        if !desired.is_own_name(account) {
            continue;
        }
        let id = AffiliationId { room: jid.clone(), account: account.clone() };
        let reason = "left over from setting the subject";
        let fields = vec![there.as_str().to_owned()];
        set.push_fields(ObjectAction::RemoveAffiliation(id), fields, reason);
    }
}

/// Compares the affiliations of one existing room.
///
/// An unlisted account keeps an affiliation that others gave, and loses an affiliation that the
/// operator gave; with `exclusive` the account loses both. An account that is declared banned or
/// absent keeps only the affiliation `outcast`.
pub(super) fn diff(
    desired: &DesiredState,
    declared: DeclaredRoom<'_>,
    found: Option<&Affiliations>,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    let DeclaredRoom { jid, room } = declared;
    let Some(wanted) = desired.affiliations_of(room) else { return };
    let Some(found) = found else {
        return set.unknown.push(format!("the affiliations of {jid}: they were not read"));
    };
    let touched = |account: &Jid| !desired.is_own_name(account) && !desired.leaves_alone(account);
    let id = |account: &Jid| AffiliationId { room: jid.clone(), account: account.clone() };
    for (account, kind) in wanted.iter().filter(|(account, _)| touched(account)) {
        let id = id(account);
        match found.get(account) {
            Some(there) if there == kind => {
                set.unchanged += 1;
                if inventory.affiliation(&id).is_none() {
                    set.adopt.push(ObjectKey::Affiliation(id));
                }
            }
            there => {
                let now =
                    there.map_or("has none".to_owned(), |there| format!("is {}", there.as_str()));
                let reason = format!("declared {}, {now}", kind.as_str());
                let fields = vec![kind.as_str().to_owned()];
                let action = ObjectAction::SetAffiliation { id, from: there.copied(), to: *kind };
                set.push_fields(action, fields, &reason);
            }
        }
    }
    let others = found
        .iter()
        .filter(|(account, _)| !wanted.contains_key(account) && !desired.is_own_name(account));
    for (account, there) in others {
        let id = id(account);
        let reason = if !touched(account) {
            continue;
        } else if *there != AffiliationKind::Outcast && !desired.may_belong(account) {
            "declared banned or absent, which leaves rooms"
        } else if inventory.affiliation(&id).is_some() {
            "given by the operator, and no longer declared"
        } else if room.exclusive {
            "not declared, and the room's affiliations are exclusive"
        } else {
            set.unmanaged.push(Kind::Affiliation);
            continue;
        };
        let fields = vec![there.as_str().to_owned()];
        set.push_fields(ObjectAction::RemoveAffiliation(id), fields, reason);
    }
}

/// Forgets owned affiliations whose room no longer exists, or whose room's affiliations are not
/// managed any more. Affiliations in an owned room whose entry was removed stay owned: the entry
/// may come back with fewer affiliations before the room is deleted, and the operator must then
/// remove the affiliations that the operator gave.
pub(super) fn forgotten(
    desired: &DesiredState,
    found: impl Fn(&RoomJid) -> Option<Option<Affiliations>>,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    let rooms = desired.rooms.as_ref();
    let managed = |room: &RoomJid| {
        let room = rooms.and_then(|rooms| rooms.get(room));
        room.is_some_and(|room| room.affiliations.is_some())
    };
    let waits = |room: &RoomJid| {
        !rooms.is_some_and(|rooms| rooms.contains_key(room)) && inventory.room(room).is_some()
    };
    for (id, _) in inventory.affiliations() {
        let AffiliationId { room, account } = id;
        let gone = match found(room) {
            // There is no such room.
            Some(None) => true,
            Some(Some(there)) => managed(room) && !there.contains_key(account),
            None => false,
        };
        let declared = || {
            let room = rooms.and_then(|rooms| rooms.get(room));
            room.filter(|room| room.present)
                .and_then(|room| desired.affiliations_of(room))
                .is_some_and(|wanted| wanted.contains_key(account))
        };
        let unmanaged = !managed(room) && !waits(room);
        if unmanaged || (gone && !declared()) {
            set.forget.push(ObjectKey::Affiliation(id.clone()));
        }
    }
}
