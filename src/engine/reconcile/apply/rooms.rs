//! Carries out the steps on groups and rooms.

use std::collections::BTreeMap;

use super::Ownership;
use crate::domain::diff::GroupChange;
use crate::domain::model::{GroupId, Jid, RoomJid, Vhost};
use crate::domain::spec::{AffiliationKind, DesiredState, Group, OptionValue, Room, RoomSettings};
use crate::ejabberd::{Created, NewRoom};
use crate::engine::reconcile::report::ApplyError;
use crate::engine::reconcile::round::Reconciler;

impl Reconciler {
    pub(super) async fn create_group(
        &self,
        desired: &DesiredState,
        group: &GroupId,
    ) -> Result<(), ApplyError> {
        let Some(declared) = declared_group(desired, group) else { return Ok(()) };
        let members = desired.members_of(declared).unwrap_or_default();
        let add = members.into_iter().filter(|who| !desired.leaves_alone(who)).collect();
        let group = group.clone();
        let change = GroupChange { group, info: true, add, remove: Vec::new() };
        self.update_group(desired, &change).await
    }

    /// Writes the display name and the description of a group if `change.info` is true, and changes
    /// the members.
    pub(super) async fn update_group(
        &self,
        desired: &DesiredState,
        change: &GroupChange,
    ) -> Result<(), ApplyError> {
        let GroupChange { group, info, add, remove } = change;
        let Some(declared) = declared_group(desired, group) else { return Ok(()) };
        let Group { display_name, description, members: _, roster: _ } = declared;
        let GroupId { name, host } = group;
        if *info {
            let texts = (display_name.as_deref(), description.as_deref());
            self.server.write_group(host, name, texts.0, texts.1).await?;
        }
        for who in remove {
            self.server.remove_member(host, name, who).await?;
        }
        for who in add {
            self.server.add_member(host, name, who).await?;
        }
        Ok(())
    }

    pub(super) async fn create_room(
        &self,
        desired: &DesiredState,
        jid: &RoomJid,
    ) -> Result<Ownership, ApplyError> {
        let Some(room) = declared_room(desired, jid) else { return Ok(Ownership::Keep) };
        let affiliations = affiliations_at_creation(desired, jid);
        let RoomSettings { options, subject } = room.settings();
        let new = NewRoom { options, affiliations: &affiliations, subject };
        match self.server.create_room(jid, host_of(desired, jid), &new).await? {
            Created::Now => Ok(Ownership::Keep),
            Created::Before => Ok(Ownership::Adopted),
        }
    }

    pub(super) async fn update_room(
        &self,
        desired: &DesiredState,
        room: &RoomJid,
        options: &[(String, OptionValue)],
        subject: Option<&str>,
    ) -> Result<(), ApplyError> {
        for (name, value) in options {
            self.server.change_room_option(room, name, value).await?;
        }
        if let Some(subject) = subject {
            let nonce = self.secrets.generate()?;
            self.server.set_subject(host_of(desired, room), room, subject, &nonce).await?;
        }
        Ok(())
    }
}

/// Returns the affiliations that the operator gives to a new room.
pub(super) fn affiliations_at_creation(
    desired: &DesiredState,
    jid: &RoomJid,
) -> BTreeMap<Jid, AffiliationKind> {
    let wanted = declared_room(desired, jid).and_then(|room| desired.affiliations_of(room));
    let mut wanted = wanted.unwrap_or_default();
    wanted.retain(|account, _| !desired.leaves_alone(account));
    wanted
}

fn declared_group<'d>(desired: &'d DesiredState, id: &GroupId) -> Option<&'d Group> {
    desired.groups.as_ref()?.get(&id.name)
}

fn declared_room<'d>(desired: &'d DesiredState, jid: &RoomJid) -> Option<&'d Room> {
    desired.rooms.as_ref()?.get(jid)
}

/// Returns the vhost that owns the service of a room; the main vhost if no declared vhost owns the
/// service.
fn host_of<'d>(desired: &'d DesiredState, room: &RoomJid) -> &'d Vhost {
    desired.host_of(&room.service).unwrap_or(&desired.host)
}
