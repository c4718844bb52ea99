//! Random sequences of teams (bans, groups, affiliations, subjects, vCards), with changes by
//! others and with faults: the server ends as declared, and no account loses an affiliation that
//! others gave.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use ejabberd_operator::domain::inventory::Inventory;
use ejabberd_operator::domain::model::{AffiliationId, ObjectKey};
use ejabberd_operator::domain::spec::{AffiliationKind, DesiredState, UserState};
use proptest::prelude::*;

use crate::support::world::{Effect, Fault, HOST, Lab, declare, free};

const PEOPLE: [&str; 5] = ["ann", "bob", "cat", "dan", "eve"];
const GROUPS: [&str; 2] = ["agents", "guests"];
const ROOMS: [&str; 3] = ["hall", "attic", "yard"];
const KINDS: [&str; 4] = ["owner", "admin", "member", "outcast"];

const SEQUENCES: u32 = 300;
const EVENTS: usize = 12;

/// The declaration of one account.
#[derive(Debug, Clone, Copy)]
enum Person {
    None,
    Present(Option<usize>),
    Banned(usize),
    Absent,
}

#[derive(Debug, Clone)]
struct RoomEntry {
    /// For each kind of affiliation: the listed people, and the listed groups.
    listed: Option<Vec<(Vec<bool>, Vec<bool>)>>,
    exclusive: bool,
    subject: Option<usize>,
}

#[derive(Debug, Clone)]
struct Team {
    people: Vec<Person>,
    groups: Vec<(Vec<bool>, bool)>,
    rooms: Vec<RoomEntry>,
}

#[derive(Debug, Clone)]
enum Event {
    Declare(Team),
    OthersBan(usize),
    OthersUnban(usize),
    OthersAffiliate(usize, usize, usize),
    OthersJoin(usize, usize),
    OthersSetSubject(usize),
    Disturbed(usize, Fault),
}

fn some(of: usize) -> impl Strategy<Value = Vec<bool>> {
    proptest::collection::vec(proptest::bool::weighted(0.3), of)
}

fn team() -> impl Strategy<Value = Team> {
    let person = prop_oneof![
        1 => Just(Person::None),
        5 => proptest::option::of(0..2_usize).prop_map(Person::Present),
        2 => (0..3_usize).prop_map(Person::Banned),
        1 => Just(Person::Absent),
    ];
    let listed = proptest::collection::vec((some(PEOPLE.len()), some(GROUPS.len())), KINDS.len());
    let room = (
        proptest::option::weighted(0.8, listed),
        proptest::bool::weighted(0.2),
        proptest::option::of(0..2_usize),
    )
        .prop_map(|(listed, exclusive, subject)| RoomEntry { listed, exclusive, subject });
    let groups = (some(PEOPLE.len()), proptest::bool::weighted(0.7));
    (
        proptest::collection::vec(person, PEOPLE.len()),
        proptest::collection::vec(groups, GROUPS.len()),
        proptest::collection::vec(room, ROOMS.len()),
    )
        .prop_map(|(people, groups, rooms)| Team { people, groups, rooms })
}

fn event() -> impl Strategy<Value = Event> {
    let fault = (1..14_usize, 0..Fault::ALL.len());
    prop_oneof![
        6 => team().prop_map(Event::Declare),
        1 => (0..PEOPLE.len()).prop_map(Event::OthersBan),
        1 => (0..PEOPLE.len()).prop_map(Event::OthersUnban),
        2 => (0..ROOMS.len(), 0..PEOPLE.len(), 0..KINDS.len())
            .prop_map(|(room, who, kind)| Event::OthersAffiliate(room, who, kind)),
        1 => (0..GROUPS.len(), 0..PEOPLE.len()).prop_map(|(group, who)| Event::OthersJoin(group, who)),
        1 => (0..ROOMS.len()).prop_map(Event::OthersSetSubject),
        3 => fault.prop_map(|(at, fault)| Event::Disturbed(at, Fault::ALL[fault])),
    ]
}

fn chosen<'n>(names: &'n [&str], which: &'n [bool]) -> impl Iterator<Item = &'n str> {
    names.iter().zip(which).filter(|(_, chosen)| **chosen).map(|(name, _)| *name)
}

impl Team {
    fn read(&self) -> DesiredState {
        let mut text =
            String::from("policy: { guard: { maxDeletePercent: 100, freeDeletes: 50 } }\nusers:\n");
        for (name, person) in PEOPLE.iter().zip(&self.people) {
            let rest = match person {
                Person::None => continue,
                Person::Present(None) => String::new(),
                Person::Present(Some(n)) => format!(", nickname: N{n}"),
                Person::Banned(0) => ", state: banned".to_owned(),
                Person::Banned(n) => format!(", state: banned, reason: R{n}"),
                Person::Absent => ", state: absent".to_owned(),
            };
            writeln!(text, "- {{ name: {name}{rest} }}").unwrap();
        }
        // One object of each kind always stays, so that no kind is ever emptied.
        text += "- { name: supervisor }\ngroups:\n- { name: kept, members: [supervisor] }\n";
        for (name, (members, roster)) in GROUPS.iter().zip(&self.groups) {
            let members: Vec<&str> = chosen(&PEOPLE, members).collect();
            let members = members.join(", ");
            writeln!(text, "- {{ name: {name}, members: [{members}], roster: {roster} }}").unwrap();
        }
        text += "rooms:\n- { name: kept }\n";
        for (name, room) in ROOMS.iter().zip(&self.rooms) {
            let RoomEntry { listed, exclusive, subject } = room;
            write!(text, "- {{ name: {name}").unwrap();
            if let Some(subject) = subject {
                write!(text, ", subject: S{subject}").unwrap();
            }
            if let Some(listed) = listed {
                let mut named = BTreeSet::new();
                let lists = KINDS.iter().zip(listed).map(|(kind, (people, groups))| {
                    let people = chosen(&PEOPLE, people).map(str::to_owned);
                    let groups = chosen(&GROUPS, groups).map(|group| format!("'@{group}'"));
                    // No account or group may be listed with two affiliations.
                    let all = people.chain(groups).filter(|who| named.insert(who.clone()));
                    format!("{kind}: [{}]", all.collect::<Vec<_>>().join(", "))
                });
                let lists: Vec<String> = lists.collect();
                let lists = lists.join(", ");
                write!(text, ", exclusive: {exclusive}, affiliations: {{ {lists} }}").unwrap();
            }
            writeln!(text, " }}").unwrap();
        }
        declare(&text)
    }
}

fn account(n: usize) -> String {
    format!("{}@{HOST}", PEOPLE[n])
}

fn room(n: usize) -> String {
    format!("{}@conference.{HOST}", ROOMS[n])
}

/// Asserts that the operator removed only affiliations that it may remove.
fn assert_taken_rightly(lab: &Lab, desired: &DesiredState, before: &Inventory, log: &[Effect]) {
    for effect in log.iter().filter(|e| e.name == "set_room_affiliation" && e.changed) {
        let id: AffiliationId = effect.object.parse().unwrap();
        let key = ObjectKey::Affiliation(id.clone());
        let declared = desired.rooms.as_ref().unwrap().get(&id.room).unwrap();
        let wanted = desired.affiliations_of(declared).unwrap_or_default();
        let own = id.account.local.as_str().starts_with("ejabberd-operator-");
        let ours = before.holds(&key) || effect.owned;
        let entitled = desired.may_belong(&id.account);
        assert!(
            own || wanted.contains_key(&id.account) || ours || declared.exclusive || !entitled,
            "{effect:?} of {:?}",
            lab.world(|world| world.objects.affiliations.clone())
        );
    }
}

fn assert_as_declared(lab: &Lab, desired: &DesiredState, banned_by_others: &BTreeSet<String>) {
    let (users, objects) = lab.world(|world| (world.users.clone(), world.objects.clone()));
    for (jid, user) in desired.users.iter().flatten() {
        let name = jid.to_string();
        let ban = objects.bans.get(&name);
        match &user.state {
            UserState::Present => {
                assert!(ban.is_none() || banned_by_others.contains(&name), "{name} is banned");
                for (field, text) in &user.vcard {
                    let key = (field.element.to_owned(), String::new());
                    assert_eq!(objects.vcards[&name].get(&key), Some(text), "{name}");
                }
            }
            UserState::Banned { reason } if users.contains_key(&name) => {
                let ban = ban.unwrap_or_else(|| panic!("{name} is not banned"));
                assert!(
                    reason.as_ref().is_none_or(|reason| ban == reason),
                    "{name}: {ban}, {reason:?}"
                );
            }
            _ => {}
        }
    }
    for (name, group) in desired.groups.iter().flatten().filter(|(_, group)| group.roster) {
        let there = &objects.groups[name.as_str()];
        let wanted: BTreeSet<String> =
            desired.members_of(group).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(there.members, wanted, "{name}");
        assert!(there.displayed.contains(name.as_str()));
    }
    for (jid, room) in desired.rooms.iter().flatten() {
        let name = jid.to_string();
        if let Some(subject) = &room.subject {
            assert_eq!(objects.subjects.get(&name), Some(subject), "{name}");
        }
        let Some(wanted) = desired.affiliations_of(room) else { continue };
        let there = objects.affiliations.get(&name).cloned().unwrap_or_default();
        let found: BTreeMap<String, AffiliationKind> = there
            .iter()
            .map(|(who, word)| {
                let kind = AffiliationKind::ALL.into_iter().find(|kind| kind.as_str() == word);
                (who.clone(), kind.unwrap())
            })
            .collect();
        for (who, kind) in &wanted {
            assert_eq!(found.get(&who.to_string()), Some(kind), "{who} in {name}");
        }
        for (who, kind) in &found {
            let jid = who.parse().unwrap();
            let outcast = *kind == AffiliationKind::Outcast;
            assert!(outcast || desired.may_belong(&jid), "{who} is {kind:?} of {name}");
            assert!(!room.exclusive || wanted.contains_key(&jid), "{who} in {name}");
        }
    }
}

struct Story {
    lab: Arc<Lab>,
    desired: DesiredState,
    banned_by_others: BTreeSet<String>,
}

impl Story {
    async fn happen(&mut self, event: Event) {
        let lab = Arc::clone(&self.lab);
        lab.calm();
        match &event {
            Event::Declare(team) => self.desired = team.read(),
            Event::OthersBan(n) => lab.world(|world| {
                if world.users.contains_key(&account(*n)) {
                    self.banned_by_others.insert(account(*n));
                    world.objects.bans.entry(account(*n)).or_insert_with(|| "theirs".to_owned());
                }
            }),
            Event::OthersUnban(n) => {
                drop(lab.world(|world| world.objects.bans.remove(&account(*n))))
            }
            Event::OthersAffiliate(at, who, kind) => lab.world(|world| {
                if world.rooms.contains_key(&room(*at)) {
                    let room = world.objects.affiliations.entry(room(*at)).or_default();
                    room.insert(account(*who), KINDS[*kind].to_owned());
                }
            }),
            Event::OthersJoin(group, who) => lab.world(|world| {
                if let Some(group) = world.objects.groups.get_mut(GROUPS[*group]) {
                    group.members.insert(account(*who));
                }
            }),
            Event::OthersSetSubject(at) => lab.world(|world| {
                if world.rooms.contains_key(&room(*at)) {
                    world.objects.subjects.insert(room(*at), "theirs".to_owned());
                }
            }),
            Event::Disturbed(at, fault) => lab.disturb(*at, *fault),
        }
        self.round().await;
        lab.no_more_faults();
        for _ in 0..6 {
            let before = lab.effects();
            let report = self.round().await.expect("nothing disturbs it");
            if lab.effects() == before {
                assert!(report.converged(), "{report:#?}");
                return assert_as_declared(&lab, &self.desired, &self.banned_by_others);
            }
        }
        panic!("not quiet: {:#?}", lab.log());
    }

    async fn round(&self) -> Option<ejabberd_operator::engine::RoundReport> {
        let (lab, desired) = (&self.lab, &self.desired);
        let (before, seen) = (lab.inventory_now(), lab.log().len());
        let report = lab.try_round(desired, &free()).await.and_then(Result::ok);
        assert_taken_rightly(lab, desired, &before, &lab.log().split_off(seen));
        report
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: SEQUENCES, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn every_sequence_of_events_ends_with_the_declared_team(
        first in team(), events in proptest::collection::vec(event(), EVENTS)
    ) {
        super::properties::run(async {
            let mut story = Story {
                lab: Lab::new(), desired: first.read(), banned_by_others: BTreeSet::new(),
            };
            for event in events {
                story.happen(event).await;
            }
        });
    }
}
