//! The members of groups, and the affiliations of rooms with the groups resolved.

use std::collections::{BTreeMap, BTreeSet};

use super::{AffiliationKind, DesiredState, Group, Member, Room, User, UserState};
use crate::domain::model::{Jid, Localpart};

/// The prefix of the names under which the operator enters a room to set the subject. The rest of the
/// name is random: another account could register a predictable name, and would own the room while
/// the operator sets the subject.
pub const OWN_NAMES: &str = "ejabberd-operator-";

/// The declared accounts and groups, which decide who is in groups and rooms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memberships<'d> {
    /// The accounts; `None` if accounts are not managed.
    pub(crate) users: Option<&'d BTreeMap<Jid, User>>,
    /// The groups; `None` if groups are not managed.
    pub(crate) groups: Option<&'d BTreeMap<Localpart, Group>>,
}

impl DesiredState {
    fn memberships(&self) -> Memberships<'_> {
        Memberships { users: self.users.as_ref(), groups: self.groups.as_ref() }
    }

    /// Whether an account may be in groups and rooms. An account that is declared banned or absent
    /// is in no group and no room, even if the file lists the account in a group or a room.
    /// Otherwise a person who registers the name again would get these memberships.
    #[must_use]
    pub fn may_belong(&self, account: &Jid) -> bool {
        self.memberships().may_belong(account)
    }

    /// Whether `account` is a name under which the operator enters rooms ([`OWN_NAMES`]). Such a
    /// name stays in a room if the operator is killed while the operator sets a subject.
    #[must_use]
    pub fn is_own_name(&self, account: &Jid) -> bool {
        self.serves(&account.host) && account.local.as_str().starts_with(OWN_NAMES)
    }

    /// Whether the operator must not change an account or its memberships: the account is paused or
    /// ignored.
    #[must_use]
    pub fn leaves_alone(&self, account: &Jid) -> bool {
        let declared = self.users.as_ref().and_then(|users| users.get(account));
        declared.is_some_and(|user| user.paused) || self.policy.ignores(&account.to_string())
    }

    /// The declared members of `group`; `None` if the members are not managed.
    #[must_use]
    pub fn members_of(&self, group: &Group) -> Option<BTreeSet<Jid>> {
        let members = group.members.as_ref()?.iter();
        Some(members.filter(|member| self.may_belong(member)).cloned().collect())
    }

    /// The declared affiliations of `room`; `None` if the affiliations are not managed.
    ///
    /// A direct listing overrides the affiliations from groups. If several groups give an account
    /// different affiliations, `outcast` wins, because `outcast` must keep the account out; otherwise
    /// the most powerful affiliation wins.
    #[must_use]
    pub fn affiliations_of(&self, room: &Room) -> Option<BTreeMap<Jid, AffiliationKind>> {
        self.memberships().affiliations_of(room)
    }
}

impl Memberships<'_> {
    /// See [`DesiredState::may_belong`].
    fn may_belong(self, account: &Jid) -> bool {
        let declared = self.users.and_then(|users| users.get(account));
        declared.is_none_or(|user| user.state == UserState::Present)
    }

    /// See [`DesiredState::affiliations_of`].
    pub(crate) fn affiliations_of(self, room: &Room) -> Option<BTreeMap<Jid, AffiliationKind>> {
        let declared = room.affiliations.as_ref()?;
        let mut wanted: BTreeMap<Jid, AffiliationKind> = BTreeMap::new();
        let listed = |member: &Member| match member {
            Member::Account(_) => Vec::new(),
            Member::Group(name) => {
                let group = self.groups.and_then(|groups| groups.get(name));
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
