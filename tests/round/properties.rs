//! Tests random sequences of desired states, changes by others, outages and faults. Each call must
//! be allowed, and the server must match the file at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;

use ejabberd_operator::domain::inventory::Inventory;
use ejabberd_operator::domain::model::{Kind, ObjectKey};
use ejabberd_operator::domain::spec::{
    DeletionPolicy, DesiredState, Mode, OptionValue, Prune, SecretSource, UserState,
};
use ejabberd_operator::ejabberd::Value;
use ejabberd_operator::engine::RoundReport;
use proptest::prelude::*;

use crate::support::world::{Effect, Fault, HOST, Lab, declare, free};

const USERS: [&str; 5] = ["ann", "bob", "cat", "dan", "eve"];
const ROOMS: [&str; 4] = ["hall", "attic", "cellar", "yard"];
const TITLES: [&str; 2] = ["One", "Two"];

/// The number of sequences, and the number of events in each.
const SEQUENCES: u32 = 640;
const EVENTS: usize = 16;
/// The number of pairs of desired states for round trips.
const ROUND_TRIPS: u32 = 200;

/// The declaration of one object.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Entry {
    None,
    Absent,
    Present { content: Option<usize>, retain: bool, paused: bool },
}

/// The content of the file.
#[derive(Debug, Clone)]
struct File {
    users: Option<Vec<Entry>>,
    rooms: Option<Vec<Entry>>,
    policy: String,
}

#[derive(Debug, Clone)]
enum Event {
    Declare(File),
    OthersMakeUser(usize),
    OthersDeleteUser(usize),
    OthersMakeRoom(usize),
    OthersDeleteRoom(usize),
    OthersSetTitle(usize),
    Down,
    AccountsReadAsNone,
    RoomsWithoutModule,
    DiskFull,
    Disturbed(usize, Fault),
}

fn entry() -> impl Strategy<Value = Entry> {
    let content = proptest::option::of(0..2_usize);
    let present = (content, proptest::bool::weighted(0.15), proptest::bool::weighted(0.1))
        .prop_map(|(content, retain, paused)| Entry::Present { content, retain, paused });
    prop_oneof![3 => Just(Entry::None), 1 => Just(Entry::Absent), 5 => present]
}

fn plain_entry() -> impl Strategy<Value = Entry> {
    let present = proptest::option::of(0..2_usize).prop_map(|content| Entry::Present {
        content,
        retain: false,
        paused: false,
    });
    prop_oneof![Just(Entry::None), present]
}

fn policy() -> impl Strategy<Value = String> {
    let mode = prop_oneof![9 => Just("enforce"), 1 => Just("report")];
    let prune = prop_oneof![4 => Just("managed"), 1 => Just("none"), 2 => Just("all")];
    let ignore = prop_oneof![3 => Just("[]"), 1 => Just("['b*']"), 1 => Just("[hall, dan]")];
    let percent = prop_oneof![Just(0_u32), Just(30), Just(50), Just(100)];
    (mode, prune, ignore, percent, 0..4_u32).prop_map(|(mode, prune, ignore, percent, free)| {
        format!(
            "{{ mode: {mode}, prune: {prune}, ignore: {ignore}, guard: {{ maxDeletePercent: {percent}, freeDeletes: {free} }} }}"
        )
    })
}

fn file() -> impl Strategy<Value = File> {
    let users = proptest::collection::vec(entry(), USERS.len());
    let rooms = proptest::collection::vec(entry(), ROOMS.len());
    let (users, rooms) = (users.prop_map(Some), rooms.prop_map(Some));
    let users = prop_oneof![12 => users, 1 => Just(None)];
    let rooms = prop_oneof![12 => rooms, 1 => Just(None)];
    (users, rooms, policy()).prop_map(|(users, rooms, policy)| File { users, rooms, policy })
}

/// A file that manages all objects, without a limit on deletions.
fn plain_file() -> impl Strategy<Value = File> {
    let users = proptest::collection::vec(plain_entry(), USERS.len()).prop_map(Some);
    let rooms = proptest::collection::vec(plain_entry(), ROOMS.len()).prop_map(Some);
    let policy = "{ guard: { maxDeletePercent: 100, freeDeletes: 50 } }".to_owned();
    (users, rooms).prop_map(move |(users, rooms)| File { users, rooms, policy: policy.clone() })
}

fn event() -> impl Strategy<Value = Event> {
    let fault = (1..12_usize, 0..Fault::ALL.len());
    prop_oneof![
        8 => file().prop_map(Event::Declare),
        1 => (0..USERS.len()).prop_map(Event::OthersMakeUser),
        1 => (0..USERS.len()).prop_map(Event::OthersDeleteUser),
        1 => (0..ROOMS.len()).prop_map(Event::OthersMakeRoom),
        1 => (0..ROOMS.len()).prop_map(Event::OthersDeleteRoom),
        1 => (0..ROOMS.len()).prop_map(Event::OthersSetTitle),
        1 => Just(Event::Down),
        1 => Just(Event::AccountsReadAsNone),
        1 => Just(Event::RoomsWithoutModule),
        1 => Just(Event::DiskFull),
        3 => fault.prop_map(|(at, fault)| Event::Disturbed(at, Fault::ALL[fault])),
    ]
}

impl File {
    fn read(&self) -> DesiredState {
        let mut text = format!("policy: {}\n", self.policy);
        if let Some(entries) = &self.users {
            list(&mut text, "users", &USERS, entries, |n| format!("password: pw-{n}"));
        }
        if let Some(entries) = &self.rooms {
            list(&mut text, "rooms", &ROOMS, entries, |n| format!("title: {}", TITLES[n]));
        }
        declare(&text)
    }
}

fn list(
    text: &mut String,
    key: &str,
    names: &[&str],
    entries: &[Entry],
    content_of: impl Fn(usize) -> String,
) {
    let written = names.iter().zip(entries).filter_map(|(name, entry)| match entry {
        Entry::None => None,
        Entry::Absent => Some(format!("{{ name: {name}, state: absent }}")),
        Entry::Present { content, retain, paused } => {
            let policy = if *retain { "retain" } else { "delete" };
            let content = content.map_or_else(String::new, |n| format!(", {}", content_of(n)));
            Some(format!("{{ name: {name}, deletionPolicy: {policy}, paused: {paused}{content} }}"))
        }
    });
    let written: Vec<String> = written.collect();
    writeln!(text, "{key}: [{}]", written.join(", ")).unwrap();
}

/// How the file declares one object.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Declared {
    /// The kind of the object is not managed, or the object is paused or ignored.
    HandsOff,
    Nothing,
    Absent,
    Present,
}

fn declared(desired: &DesiredState, key: &ObjectKey) -> Declared {
    let entry = match key {
        ObjectKey::User(jid) => desired.users.as_ref().map(|users| {
            let user = users.get(jid);
            user.map(|user| (user.paused, user.state == UserState::Present))
        }),
        ObjectKey::Room(jid) => desired
            .rooms
            .as_ref()
            .map(|rooms| rooms.get(jid).map(|room| (room.paused, room.present))),
        other => panic!("{other} is neither an account nor a room"),
    };
    match entry {
        _ if desired.policy.ignores(&key.name()) => Declared::HandsOff,
        None | Some(Some((true, _))) => Declared::HandsOff,
        Some(None) => Declared::Nothing,
        Some(Some((false, true))) => Declared::Present,
        Some(Some((false, false))) => Declared::Absent,
    }
}

fn kind_of(effect: &Effect) -> Option<Kind> {
    match effect.name {
        "register" | "unregister" | "change_password" => Some(Kind::User),
        "create_room_with_opts" | "change_room_option" | "destroy_room" => Some(Kind::Room),
        _ => None,
    }
}

fn is_deletion(effect: &Effect) -> bool {
    matches!(effect.name, "unregister" | "destroy_room")
}

/// Asserts that the file and the inventory allow each call.
fn assert_each_call_is_allowed(desired: &DesiredState, before: &Inventory, log: &[Effect]) {
    for effect in log {
        // A new `retain` is recorded in every mode.
        let allowed = desired.policy.mode == Mode::Enforce || effect.name == "record";
        assert!(allowed, "only reporting: {effect:?}");
        let Some(kind) = kind_of(effect) else { continue };
        let key = ObjectKey::parse(kind, &effect.object).unwrap();
        let declared = declared(desired, &key);
        if !is_deletion(effect) {
            assert_eq!(declared, Declared::Present, "{effect:?}");
            continue;
        }
        let retained =
            before.get(&key).is_some_and(|owned| owned.deletion_policy == DeletionPolicy::Retain);
        let allowed = match (declared, desired.policy.prune) {
            (Declared::Absent, _) => true,
            (Declared::Nothing, Prune::Managed) => effect.owned && !retained,
            (Declared::Nothing, Prune::All) => !retained,
            _ => false,
        };
        assert!(
            allowed,
            "{declared:?}, {:?}, retained: {retained}, {effect:?}",
            desired.policy.prune
        );
    }
}

fn keys(lab: &Lab, kind: Kind) -> BTreeSet<ObjectKey> {
    let names: Vec<String> = lab.world(|world| match kind {
        Kind::User => world.users.keys().cloned().collect(),
        _ => world.rooms.keys().cloned().collect(),
    });
    names.into_iter().map(|name| ObjectKey::parse(kind, &name).unwrap()).collect()
}

/// The owned objects after the adoption of the existing ones.
fn owned(
    desired: &DesiredState,
    before: &Inventory,
    there: &BTreeSet<ObjectKey>,
    kind: Kind,
) -> BTreeSet<ObjectKey> {
    let held = before.of_kind(kind).map(|(key, _)| key);
    let adopted = there.iter().filter(|key| declared(desired, key) == Declared::Present).cloned();
    held.chain(adopted).collect()
}

fn assert_the_guard_holds(
    desired: &DesiredState,
    before: &Inventory,
    there: &BTreeMap<Kind, BTreeSet<ObjectKey>>,
    log: &[Effect],
) {
    for (&kind, there) in there {
        let of_kind = log.iter().filter(|effect| kind_of(effect) == Some(kind));
        let (deletions, others): (Vec<&Effect>, Vec<&Effect>) =
            of_kind.partition(|effect| is_deletion(effect));
        let deleted: BTreeSet<ObjectKey> = deletions
            .iter()
            .map(|effect| ObjectKey::parse(kind, &effect.object).unwrap())
            .collect();
        let owned = owned(desired, before, there, kind);
        let limits = &desired.policy.guard;
        let within = deleted.len() <= limits.free_deletes as usize
            || deleted.len() * 100 <= owned.len() * usize::from(limits.max_delete_percent);
        assert!(within, "{deleted:?} of {owned:?}: {limits:?}");
        let creates = others.iter().any(|effect| effect.name != "change_password");
        let missing =
            |key: &ObjectKey| declared(desired, key) == Declared::Present && !there.contains(key);
        let emptied = !owned.is_empty() && owned.is_subset(&deleted);
        let wanted = USERS.iter().map(|name| format!("{name}@{HOST}"));
        let to_create = kind == Kind::User
            && wanted.into_iter().any(|name| missing(&ObjectKey::parse(kind, &name).unwrap()));
        assert!(!emptied || creates || to_create, "emptied: {owned:?}");
    }
}

/// Asserts that the server matches the file, except for objects that the guard keeps.
fn assert_as_declared(lab: &Lab, desired: &DesiredState, blocked: bool, passwords: bool) {
    for (jid, user) in desired.users.iter().flatten() {
        let key = ObjectKey::User(jid.clone());
        let there = keys(lab, Kind::User).contains(&key);
        match declared(desired, &key) {
            Declared::Present => assert!(there, "{jid} is missing"),
            Declared::Absent => assert!(!there || blocked, "{jid} is there"),
            Declared::Nothing | Declared::HandsOff => continue,
        }
        if let (true, Some(SecretSource::Inline(password))) = (passwords && there, &user.password) {
            assert_eq!(lab.password(jid.local.as_str()).unwrap(), password.expose(), "{jid}");
        }
    }
    for (jid, room) in desired.rooms.iter().flatten() {
        let key = ObjectKey::Room(jid.clone());
        let there = keys(lab, Kind::Room).contains(&key);
        match declared(desired, &key) {
            Declared::Present => assert!(there, "{jid} is missing"),
            Declared::Absent => assert!(!there || blocked, "{jid} is there"),
            Declared::Nothing | Declared::HandsOff => continue,
        }
        if let (true, Some(OptionValue::Text(title))) = (there, room.options.get("title")) {
            assert_eq!(lab.room_option(jid.room.as_str(), "title").as_ref(), Some(title));
        }
    }
}

/// Asserts that each owned object is declared, or waits for an approval, or must not be changed.
fn assert_nothing_left_over(lab: &Lab, desired: &DesiredState, blocked: bool) {
    let inventory = lab.inventory_now();
    let owned = [Kind::User, Kind::Room]
        .into_iter()
        .flat_map(|kind| inventory.of_kind(kind).map(|(key, _)| key));
    for key in owned {
        // A retained object stays owned with `prune: all`.
        let retained = desired.policy.prune == Prune::All
            && inventory.get(&key).unwrap().deletion_policy == DeletionPolicy::Retain;
        let left =
            !retained && matches!(declared(desired, &key), Declared::Nothing | Declared::Absent);
        assert!(!left || blocked || desired.policy.prune == Prune::None, "{key} is still owned");
    }
}

/// One sequence of events.
struct Story {
    lab: Arc<Lab>,
    desired: DesiredState,
    /// `true` if the test can assert passwords. The operator does not notice a password that others
    /// set or that a fault affected.
    passwords: bool,
}

impl Story {
    fn new() -> Self {
        let desired = declare("users: []\nrooms: []");
        Self { lab: Lab::new(), desired, passwords: true }
    }

    async fn happen(&mut self, event: Event) {
        let lab = Arc::clone(&self.lab);
        lab.calm();
        let in_rooms = |name: &str| format!("{name}@conference.{HOST}");
        match &event {
            Event::Declare(file) => self.desired = file.read(),
            Event::OthersMakeUser(n) => {
                lab.world(|world| {
                    let key = format!("{}@{HOST}", USERS[*n]);
                    world.users.entry(key).or_insert_with(|| "theirs".to_owned());
                });
                self.passwords = false;
            }
            Event::OthersDeleteUser(n) => {
                lab.world(|world| world.users.remove(&format!("{}@{HOST}", USERS[*n])));
            }
            Event::OthersMakeRoom(n) if !lab.rooms().contains(&ROOMS[*n].to_owned()) => {
                lab.others_make_room(ROOMS[*n]);
            }
            Event::OthersMakeRoom(_) => {}
            Event::OthersDeleteRoom(n) => {
                lab.world(|world| world.rooms.remove(&in_rooms(ROOMS[*n])));
            }
            Event::OthersSetTitle(n) => lab.world(|world| {
                if let Some(room) = world.rooms.get_mut(&in_rooms(ROOMS[*n])) {
                    room.insert("title".to_owned(), "theirs".to_owned());
                }
            }),
            Event::Down => lab.world(|world| world.down = true),
            Event::AccountsReadAsNone => lab.lie("registered_users", Value::List(vec![])),
            Event::RoomsWithoutModule => {
                lab.world(|world| world.missing = ["muc_online_rooms"].into());
            }
            Event::DiskFull => *lab.disk_full.lock().unwrap() = true,
            Event::Disturbed(at, fault) => {
                lab.disturb(*at, *fault);
                self.passwords = false;
            }
        }
        self.round().await;
        self.assert_nothing_deleted_unseen(&event);
        self.end_of_trouble();
        self.until_quiet().await;
    }

    fn assert_nothing_deleted_unseen(&self, event: &Event) {
        let log = self.lab.log();
        let calls = |name: &str| log.iter().filter(|effect| effect.name == name).count();
        match event {
            Event::Down => assert!(log.is_empty(), "{log:?}"),
            Event::AccountsReadAsNone => assert_eq!(calls("unregister"), 0),
            Event::RoomsWithoutModule => assert_eq!(calls("destroy_room"), 0),
            _ => {}
        }
    }

    fn end_of_trouble(&self) {
        self.lab.tell_the_truth();
        self.lab.no_more_faults();
        *self.lab.disk_full.lock().unwrap() = false;
        self.lab.world(|world| (world.down, world.missing) = (false, BTreeSet::new()));
    }

    /// Runs one round and checks each call. `None` if the engine was killed or the round failed.
    async fn round(&self) -> Option<RoundReport> {
        let (lab, desired) = (&self.lab, &self.desired);
        let before = lab.inventory_now();
        let there = [Kind::User, Kind::Room].map(|kind| (kind, keys(lab, kind))).into();
        let seen = lab.log().len();
        let report = lab.try_round(desired, &free()).await.and_then(Result::ok);
        let log = lab.log().split_off(seen);
        assert_each_call_is_allowed(desired, &before, &log);
        assert_the_guard_holds(desired, &before, &there, &log);
        report
    }

    async fn until_quiet(&self) {
        for _ in 0..6 {
            let before = self.lab.effects();
            let report = self.round().await.expect("nothing disturbs it");
            if self.lab.effects() == before {
                return self.assert_well(&report);
            }
        }
        panic!("not quiet: {:#?}", self.lab.log());
    }

    fn assert_well(&self, report: &RoundReport) {
        if self.desired.policy.mode == Mode::Report {
            return;
        }
        assert!(!report.plan.has_steps() && report.plan.unknown.is_empty(), "{report:#?}");
        let blocked = report.plan.blocked.is_some();
        assert_as_declared(&self.lab, &self.desired, blocked, self.passwords);
        assert_nothing_left_over(&self.lab, &self.desired, blocked);
    }
}

/// Runs a test on a simulated clock, so that waits take no time.
pub fn run(story: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(story);
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(SEQUENCES))]

    #[test]
    fn every_sequence_of_events_ends_as_declared(
        events in proptest::collection::vec(event(), EVENTS)
    ) {
        run(async {
            let mut story = Story::new();
            for event in events {
                story.happen(event).await;
            }
        });
    }
}

proptest! {
    #![proptest_config(cases(ROUND_TRIPS))]

    #[test]
    fn a_round_trip_restores_the_first_state(a in plain_file(), b in plain_file()) {
        run(async {
            let (a, b) = (a.read(), b.read());
            let lab = Lab::new();
            lab.others_make_user("other", "theirs");
            lab.rounds_until_quiet(&a, 6).await;
            let before = lab.picture();
            let at_b = lab.rounds_until_quiet(&b, 6).await;
            let fresh = Lab::new();
            fresh.others_make_user("other", "theirs");
            fresh.rounds_until_quiet(&b, 6).await;
            let back = lab.rounds_until_quiet(&a, 6).await;
            // Deletions that empty a kind wait for an approval.
            if at_b.plan.blocked.is_none() && back.plan.blocked.is_none() {
                let after = lab.picture();
                assert!(after.users.keys().eq(before.users.keys()));
                assert!(after.rooms.keys().eq(before.rooms.keys()));
                assert!(after.owned.keys().eq(before.owned.keys()));
                assert_as_declared(&lab, &a, false, true);
                lab.rounds_until_quiet(&b, 6).await;
                assert_eq!(lab.users(), fresh.users());
                assert_eq!(lab.rooms(), fresh.rooms());
            }
        });
    }
}
