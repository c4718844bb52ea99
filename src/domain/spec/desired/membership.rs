//! Who is in a group and who is what in a room, once groups are spelled out.

use std::collections::{BTreeMap, BTreeSet};

use super::{AffiliationKind, DesiredState, Group, Member, Room, UserState};
use crate::domain::model::Jid;

/// How the names begin that the operator itself goes by in rooms, each for the
/// moment in which it sets a subject. What follows is random: a name that could
/// be foreseen could be registered, and whoever has it would own the room for
/// that moment.
pub const OWN_NAMES: &str = "ejabberd-operator-";

impl DesiredState {
    /// Whether an account may belong to anything: one that is declared banned
    /// or absent is in no group and no room, whoever lists it. Were it left
    /// there, whoever registered the name again would inherit its place.
    #[must_use]
    pub fn may_belong(&self, account: &Jid) -> bool {
        let declared = self.users.as_ref().and_then(|users| users.get(account));
        declared.is_none_or(|user| user.state == UserState::Present)
    }

    /// Whether it is one of the names that the operator itself goes by in rooms,
    /// left over where it was killed in that moment.
    #[must_use]
    pub fn is_own_name(&self, account: &Jid) -> bool {
        self.serves(&account.host) && account.local.as_str().starts_with(OWN_NAMES)
    }

    /// Whether an account is not to be touched at all: neither given anything
    /// nor deprived of it.
    #[must_use]
    pub fn leaves_alone(&self, account: &Jid) -> bool {
        let declared = self.users.as_ref().and_then(|users| users.get(account));
        declared.is_some_and(|user| user.paused) || self.policy.ignores(&account.to_string())
    }

    /// Who shall be in `group`; `None`: not managed.
    #[must_use]
    pub fn members_of(&self, group: &Group) -> Option<BTreeSet<Jid>> {
        let members = group.members.as_ref()?.iter();
        Some(members.filter(|member| self.may_belong(member)).cloned().collect())
    }

    /// Who shall be what in `room`; `None`: not managed.
    ///
    /// Who is named directly is what is said there. Of several groups an
    /// outcast's place wins, because it is there to keep people out, else the
    /// most powerful one.
    #[must_use]
    pub fn affiliations_of(&self, room: &Room) -> Option<BTreeMap<Jid, AffiliationKind>> {
        let declared = room.affiliations.as_ref()?;
        let mut wanted: BTreeMap<Jid, AffiliationKind> = BTreeMap::new();
        let listed = |member: &Member| match member {
            Member::Account(_) => Vec::new(),
            Member::Group(name) => {
                let group = self.groups.as_ref().and_then(|groups| groups.get(name));
                group.and_then(|group| group.members.clone()).unwrap_or_default()
            }
        };
        let rank = |kind: AffiliationKind| match kind {
            AffiliationKind::Outcast => 0,
            AffiliationKind::Owner => 1,
            AffiliationKind::Admin => 2,
            AffiliationKind::Member => 3,
        };
        for (kind, members) in declared {
            for account in members.iter().flat_map(listed) {
                let entry = wanted.entry(account).or_insert(*kind);
                if rank(*kind) < rank(*entry) {
                    *entry = *kind;
                }
            }
        }
        for (kind, members) in declared {
            let direct = members.iter().filter_map(|member| match member {
                Member::Account(account) => Some(account.clone()),
                Member::Group(_) => None,
            });
            wanted.extend(direct.map(|account| (account, *kind)));
        }
        wanted
            .retain(|account, kind| *kind == AffiliationKind::Outcast || self.may_belong(account));
        Some(wanted)
    }
}
