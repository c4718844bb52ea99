//! Compares the declared affiliations of accounts in rooms with the affiliations on the server.

use std::collections::BTreeMap;

use super::rooms::DeclaredRoom;
use super::{ChangeSet, ObjectAction};
use crate::domain::inventory::Inventory;
use crate::domain::model::{AffiliationId, Jid, Kind, ObjectKey, RoomJid};
use crate::domain::spec::{AffiliationKind, DesiredState};

type Affiliations = BTreeMap<Jid, AffiliationKind>;

/// Adds steps that remove the affiliations of the operator's temporary accounts. These affiliations
/// remain if the operator is killed while the operator sets a subject.
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

/// Compares the affiliations of an existing room.
///
/// An account that the file does not list keeps an affiliation that another program or user gave,
/// and loses an affiliation that the operator gave. With `exclusive`, the account loses either
/// affiliation. An account that is declared banned or absent keeps only the affiliation `outcast`.
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

/// Ends the ownership of affiliations that the file no longer manages, and of affiliations that
/// neither exist on the server nor are declared. Affiliations in an owned room whose entry was
/// removed from the file stay owned: if the entry returns with fewer affiliations before the
/// operator deletes the room, the operator must remove the affiliations that the operator gave.
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
            // The room does not exist.
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
