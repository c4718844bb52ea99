//! Observes groups and rooms.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use super::{each, unknown};
use crate::domain::inventory::Inventory;
use crate::domain::model::RoomJid;
use crate::domain::observed::{ObservedGroups, ObservedRoom, ObservedRooms, Reading};
use crate::domain::spec::{DesiredState, Prune};
use crate::ejabberd::ControlError;
use crate::engine::reconcile::round::Reconciler;

impl Reconciler {
    /// Reads the groups. Returns `None` if no groups are declared, because the module for groups
    /// may then not be loaded.
    pub(super) async fn groups(
        &self,
        desired: &DesiredState,
        away: &AtomicBool,
    ) -> Option<Reading<ObservedGroups>> {
        let declared = desired.groups.as_ref()?;
        let rosters = declared.values().any(|group| group.roster);
        let names = match self.server.groups(&desired.host).await {
            Ok(names) => names,
            // Groups without rosters exist only in the file.
            Err(error) if !rosters && !error.is_outage() => BTreeSet::new(),
            Err(error) => return Some(unknown(&error, away)),
        };
        let there = &names;
        let details = each(declared.keys().cloned(), away, |name| async move {
            if !there.contains(&name) {
                return Ok(None);
            }
            self.server.group(&desired.host, &name).await
        });
        let details = details.await;
        Some(Reading::Known(ObservedGroups { names, details }))
    }

    pub(super) async fn rooms(
        &self,
        desired: &DesiredState,
        inventory: &Inventory,
        away: &AtomicBool,
    ) -> Reading<ObservedRooms> {
        let online = match self.server.online_rooms().await {
            Ok(rooms) => rooms,
            Err(error) => return unknown(&error, away),
        };
        // The list of online rooms lacks hibernated rooms, so read each declared room and each
        // owned room by name.
        let owned = inventory.rooms().map(|(room, _)| room.clone());
        let wanted: BTreeSet<RoomJid> =
            desired.rooms.iter().flat_map(|rooms| rooms.keys().cloned()).chain(owned).collect();
        let runs = &online;
        let details = each(wanted, away, |room| async move {
            self.room(desired, &room, runs.contains(&room)).await
        });
        let details = details.await;
        let mut present = online;
        if desired.policy.prune == Prune::All {
            // With `prune: all` the operator also deletes undeclared hibernated rooms, so add these
            // rooms to the list.
            match self.server.unoccupied_rooms().await {
                Ok(rooms) => present.extend(rooms),
                Err(error) => return unknown(&error, away),
            }
        }
        Reading::Known(ObservedRooms { present, details })
    }

    /// Reads one room from the database, because a read from the database does not start a
    /// hibernated room. Reads the process of the room if the database lacks the room or options.
    /// Returns `None` if the room does not exist.
    async fn room(
        &self,
        desired: &DesiredState,
        room: &RoomJid,
        runs: bool,
    ) -> Result<Option<ObservedRoom>, ControlError> {
        let host = desired.host_of(&room.service).unwrap_or(&desired.host);
        let stored = self.server.stored_room(host, room).await?;
        let declared = desired.rooms.as_ref().and_then(|rooms| rooms.get(room));
        match stored {
            // The room is not persistent, or was created a moment ago.
            None if runs => self.running_room(room).await,
            None => Ok(None),
            Some(mut found) => {
                let complete = declared
                    .is_none_or(|room| room.options.keys().all(|o| found.options.contains_key(o)));
                if !complete && runs {
                    // The database has only some options of a new room.
                    found.options = self.server.room_options(room).await?.unwrap_or(found.options);
                }
                Ok(Some(found))
            }
        }
    }

    async fn running_room(&self, room: &RoomJid) -> Result<Option<ObservedRoom>, ControlError> {
        let Some(options) = self.server.room_options(room).await? else { return Ok(None) };
        let affiliations = Some(self.server.affiliations(room).await?);
        Ok(Some(ObservedRoom { options, subject: None, affiliations }))
    }
}
