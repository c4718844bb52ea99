//! Injects every fault at every effect of a transition, without sampling. After the next rounds,
//! the world must be the same as without the fault.

use std::collections::BTreeMap;
use std::sync::Arc;

use ejabberd_operator::domain::inventory::Inventory;
use ejabberd_operator::domain::model::Kind;
use ejabberd_operator::domain::spec::DesiredState;

use crate::support::world::{Effect, Fault, HOST, Lab, declare, free};

/// The maximum number of rounds until no step is left.
const MOST_ROUNDS: usize = 6;

/// Counts the creations and deletions of each object. A fault must not cause a second creation or
/// deletion.
fn tally(log: &[Effect]) -> BTreeMap<(&'static str, &str), usize> {
    let mut tally = BTreeMap::new();
    for effect in log.iter().filter(|effect| {
        effect.changed
            && ["register", "unregister", "create_room_with_opts", "destroy_room", "create"]
                .contains(&effect.name)
    }) {
        *tally.entry((effect.name, effect.object.as_str())).or_default() += 1;
    }
    tally
}

fn assert_others_untouched(log: &[Effect]) {
    for effect in log {
        assert!(!effect.object.starts_with("other"), "{effect:?}");
    }
}

fn names(inventory: &Inventory) -> Vec<String> {
    let of = |kind: Kind| {
        let names = inventory.of_kind(kind).map(|(key, _)| key.name());
        names.collect::<Vec<_>>()
    };
    [of(Kind::User), of(Kind::Group), of(Kind::Room), of(Kind::Affiliation)].concat()
}

/// Returns the names of all declared objects. The inventory must hold these objects at the end.
fn declared(desired: &DesiredState) -> Vec<String> {
    use ejabberd_operator::domain::spec::UserState;
    let users = desired.users.iter().flatten();
    let users = users.filter(|(_, user)| user.state != UserState::Absent);
    let groups = desired.groups.iter().flatten().filter(|(_, group)| group.roster);
    let groups = groups.map(|(name, _)| desired.group_id(name).to_string());
    let rooms = desired.rooms.iter().flatten().filter(|(_, room)| room.present);
    let mut affiliations: Vec<String> = rooms
        .clone()
        .flat_map(|(jid, room)| {
            let wanted = desired.affiliations_of(room).unwrap_or_default();
            wanted.into_keys().map(move |account| format!("{jid}/{account}"))
        })
        .collect();
    affiliations.sort();
    let users = users.map(|(jid, _)| jid.to_string());
    let rooms = rooms.map(|(jid, _)| jid.to_string());
    users.chain(groups).chain(rooms).chain(affiliations).collect()
}

async fn three_more_rounds_change_nothing(lab: &Arc<Lab>, desired: &DesiredState) {
    let before = lab.effects();
    for _ in 0..3 {
        assert!(lab.round(desired).await.converged());
    }
    assert_eq!(lab.effects(), before, "{:?}", lab.log().last());
}

/// Adds objects of others to a world, and reconciles the world with `from`.
async fn brought_to(lab: Arc<Lab>, from: &DesiredState) -> Arc<Lab> {
    lab.others_make_user("other", "theirs");
    lab.others_make_room("other");
    lab.rounds_until_quiet(from, MOST_ROUNDS).await;
    lab.calm();
    lab
}

/// Disturbs the transition from `before` to `to` at each effect.
async fn sieve(before: &Lab, to: &DesiredState, prepare: impl Fn(&Lab)) {
    let undisturbed = before.fork();
    prepare(&undisturbed);
    let report = undisturbed.rounds_until_quiet(to, MOST_ROUNDS).await;
    assert!(report.converged(), "{report:#?}");
    assert_eq!(names(&undisturbed.inventory_now()), declared(to));
    let (effects, log) = (undisturbed.effects(), undisturbed.log());
    assert!(effects > 0, "a transition has effects");
    for at in 1..=effects {
        for fault in Fault::ALL {
            let lab = before.fork();
            prepare(&lab);
            lab.disturb(at, fault);
            disturbed_rounds(&lab, to, at).await;
            lab.no_more_faults();
            let report = lab.rounds_until_quiet(to, MOST_ROUNDS).await;
            let place = format!("{fault:?} at effect {at} of {effects}: {:#?}", lab.log());
            assert!(report.converged(), "{place}");
            assert_eq!(lab.picture(), undisturbed.picture(), "{place}");
            assert_eq!(names(&lab.inventory_now()), declared(to), "{place}");
            assert_eq!(tally(&lab.log()), tally(&log), "{place}");
            assert_others_untouched(&lab.log());
            three_more_rounds_change_nothing(&lab, to).await;
        }
    }
    print_count(effects * Fault::ALL.len());
}

/// Prints the number of disturbed transitions.
fn print_count(runs: usize) {
    println!("{runs} disturbed transitions");
}

/// Runs rounds until the fault at effect `at` has occurred.
async fn disturbed_rounds(lab: &Arc<Lab>, to: &DesiredState, at: usize) {
    for _ in 0..MOST_ROUNDS {
        let killed = lab.try_round(to, &free()).await.is_none();
        if killed || lab.effects() >= at {
            return;
        }
    }
    panic!("effect {at} was never reached");
}

/// Disturbs the transition at each effect, and then goes back: the previous state must be
/// restored.
async fn sieve_back(from: &DesiredState, to: &DesiredState, before: &Lab) {
    let undisturbed = before.fork();
    undisturbed.rounds_until_quiet(to, MOST_ROUNDS).await;
    let effects = undisturbed.effects();
    for at in 1..=effects {
        for fault in Fault::ALL {
            let lab = before.fork();
            lab.disturb(at, fault);
            disturbed_rounds(&lab, to, at).await;
            lab.no_more_faults();
            lab.rounds_until_quiet(from, MOST_ROUNDS).await;
            let place = format!("{fault:?} at effect {at} of {effects}: {:#?}", lab.log());
            assert_eq!(lab.picture(), before.picture(), "{place}");
            assert_others_untouched(&lab.log());
            three_more_rounds_change_nothing(&lab, from).await;
        }
    }
    print_count(effects * Fault::ALL.len());
}

/// A policy that permits twelve accounts and eight rooms to be deleted.
const LOOSE: &str = "policy: { guard: { maxDeletePercent: 100, freeDeletes: 50 } }";

fn crowd(users: &str, rooms: &str) -> DesiredState {
    let users: Vec<String> = users
        .split_whitespace()
        .map(|name| format!("{{ name: {name}, password: secret-{name} }}"))
        .collect();
    let rooms: Vec<String> = rooms
        .split_whitespace()
        .map(|name| format!("{{ name: {name}, title: Room {name} }}"))
        .collect();
    declare(&format!("users: [{}]\nrooms: [{}]\n{LOOSE}", users.join(", "), rooms.join(", ")))
}

#[tokio::test(start_paused = true)]
async fn filling_an_empty_server() {
    let before = brought_to(Lab::new(), &declare("users: []\nrooms: []")).await;
    sieve(&before, &crowd("a b c d e f g h i j k l m n o p", "a b c d e f g h"), |_| ()).await;
}

#[tokio::test(start_paused = true)]
async fn generating_passwords() {
    let before = brought_to(Lab::new(), &declare("users: []")).await;
    let to =
        declare("users: [{ name: a }, { name: b, passwordFrom: { generate: true } }, { name: c }]");
    sieve(&before, &to, |_| ()).await;
}

#[tokio::test(start_paused = true)]
async fn publishing_passwords() {
    let before = brought_to(Lab::new(), &declare("users: []")).await;
    let to = declare(
        "users: [{ name: a, passwordTo: { file: a.out } }, { name: b, password: x, passwordTo: { file: b.out } }]",
    );
    sieve(&before, &to, |_| ()).await;
}

#[tokio::test(start_paused = true)]
async fn adopting_objects_of_others() {
    let before = brought_to(Lab::new(), &declare("users: []\nrooms: []")).await;
    let adoptable = |lab: &Lab| {
        for name in ["a", "b", "c"] {
            lab.others_make_user(name, "theirs");
            lab.others_make_room(name);
        }
    };
    sieve(&before, &crowd("a b c d", "a b c d"), adoptable).await;
}

#[tokio::test(start_paused = true)]
async fn replacing_one_crowd_by_another() {
    let from = crowd("a b c d e f g h i j k l", "a b c d e f g h");
    let before = brought_to(Lab::new(), &from).await;
    let to = crowd("i j k l m n o p q r s t", "e f g h i j k l");
    sieve(&before, &to, |_| ()).await;
    sieve_back(&from, &to, &before).await;
}

#[tokio::test(start_paused = true)]
async fn deleting_objects_that_are_declared_absent() {
    let before = brought_to(Lab::new(), &crowd("a b c", "k l m")).await;
    let to = declare(&format!(
        "users: [{{ name: a }}, {{ name: b, state: absent }}, {{ name: x, state: absent }}]\n\
         rooms: [{{ name: k }}, {{ name: l, state: absent }}]\n{LOOSE}"
    ));
    sieve(&before, &to, |lab| lab.others_make_user("x", "theirs")).await;
}

#[tokio::test(start_paused = true)]
async fn releasing_retained_objects() {
    let from = declare(
        "users: [{ name: a }, { name: b, deletionPolicy: retain }]\n\
         rooms: [{ name: k }, { name: l, deletionPolicy: retain }]",
    );
    let before = brought_to(Lab::new(), &from).await;
    let to = declare("users: [{ name: a }]\nrooms: [{ name: k }]");
    sieve(&before, &to, |_| ()).await;
}

#[tokio::test(start_paused = true)]
async fn changing_the_deletion_policy() {
    let before = brought_to(Lab::new(), &crowd("a b c", "k l")).await;
    let to = declare(
        "users: [{ name: a, deletionPolicy: retain }, { name: b }, { name: c, deletionPolicy: retain }]\n\
         rooms: [{ name: k, deletionPolicy: retain }, { name: l }]",
    );
    sieve(&before, &to, |_| ()).await;
}

fn passwords(of_a: &str, of_b: &str) -> DesiredState {
    declare(&format!(
        "users: [{{ name: a, password: {of_a} }}, {{ name: b, password: {of_b} }}, {{ name: c, password: same }}]"
    ))
}

#[tokio::test(start_paused = true)]
async fn changing_passwords() {
    let before = brought_to(Lab::new(), &passwords("one", "two")).await;
    sieve(&before, &passwords("three", "four"), |_| ()).await;
}

#[tokio::test(start_paused = true)]
async fn changing_passwords_and_going_back() {
    let from = passwords("one", "two");
    let before = brought_to(Lab::new(), &from).await;
    sieve_back(&from, &passwords("three", "four"), &before).await;
}

fn options(public: bool, most: u32, title: &str) -> DesiredState {
    let room = |name: &str| {
        format!(
            "{{ name: {name}, title: {title}, options: {{ public: {public}, max_users: {most} }} }}"
        )
    };
    declare(&format!("rooms: [{}, {}, {}]", room("k"), room("l"), room("m")))
}

#[tokio::test(start_paused = true)]
async fn changing_options_of_rooms() {
    let (from, to) = (options(true, 200, "One"), options(false, 50, "Two"));
    let before = brought_to(Lab::new(), &from).await;
    sieve(&before, &to, |_| ()).await;
    sieve_back(&from, &to, &before).await;
}

/// Returns one of two different teams.
fn team(other: bool) -> DesiredState {
    declare(if other {
        "users:\n- { name: a, password: x, nickname: Aa, vcard: { EMAIL: a@b.example } }\n- { name: b, password: y }\n\
         - { name: c, password: z, state: banned, reason: abuse }\n- { name: d }\n\
         groups:\n- { name: g, displayName: Others, members: [a, c, d] }\n- { name: n, members: [b] }\n\
         rooms:\n- { name: k, subject: Second, affiliations: { owner: [b], member: ['@g'] } }\n\
         - { name: l, affiliations: { owner: [a], admin: ['@n'] }, exclusive: true }\n\
         server: { docker: { container: test }, accountsTable: disc_copies }\n\
         policy: { guard: { maxDeletePercent: 100, freeDeletes: 50 } }"
    } else {
        "users:\n- { name: a, password: x, nickname: Ann }\n- { name: b, password: y, state: banned }\n- { name: c, password: z }\n\
         groups:\n- { name: g, displayName: Gang, description: All, members: [a, b, c] }\n- { name: m, members: [c] }\n\
         rooms:\n- { name: k, subject: First, affiliations: { owner: [a], member: ['@g'] } }\n\
         - { name: l, affiliations: { owner: ['@m'], outcast: [b] } }\n\
         policy: { guard: { maxDeletePercent: 100, freeDeletes: 50 } }"
    })
}

#[tokio::test(start_paused = true)]
async fn a_team_and_its_rooms() {
    let empty = declare("users: []\ngroups: []\nrooms: []");
    let before = brought_to(Lab::new(), &empty).await;
    sieve(&before, &team(true), |lab| lab.others_make_user("c", "theirs")).await;
}

#[tokio::test(start_paused = true)]
async fn changing_a_team() {
    let before = brought_to(Lab::new(), &team(false)).await;
    sieve(&before, &team(true), |_| ()).await;
}

#[tokio::test(start_paused = true)]
async fn changing_a_team_the_other_way() {
    let before = brought_to(Lab::new(), &team(true)).await;
    sieve(&before, &team(false), |_| ()).await;
}

fn configured(users: &str) -> DesiredState {
    declare(&format!(
        "server: {{ docker: {{ container: test, image: ejabberd }} }}\n\
         config: {{ variant: a, variants: {{ a: a.yml }} }}\nusers: [{users}]"
    ))
}

#[tokio::test(start_paused = true)]
async fn creating_the_server() {
    let lab = Lab::without_server();
    lab.write_file("a.yml", "first");
    sieve(&lab, &configured("{ name: a }, { name: b }"), |_| ()).await;
}

#[tokio::test(start_paused = true)]
async fn changing_the_configuration() {
    let lab = Lab::new();
    lab.write_file("a.yml", "first");
    let before = brought_to(lab, &configured("{ name: a }")).await;
    let to = configured("{ name: a }, { name: b }");
    sieve(&before, &to, |lab| lab.write_file("a.yml", "second")).await;
}

/// A desired state with a running server, and a desired state with a stopped server.
fn stopping() -> (DesiredState, DesiredState) {
    let stopped = "server: { docker: { container: test }, state: stopped }\nusers: [{ name: a }]";
    (declare("users: [{ name: a }]"), declare(stopped))
}

#[tokio::test(start_paused = true)]
async fn stopping_the_server() {
    let (from, to) = stopping();
    let before = brought_to(Lab::new(), &from).await;
    sieve(&before, &to, |_| ()).await;
}

#[tokio::test(start_paused = true)]
async fn stopping_the_server_and_going_back() {
    let (from, to) = stopping();
    let before = brought_to(Lab::new(), &from).await;
    sieve_back(&from, &to, &before).await;
}

#[tokio::test(start_paused = true)]
async fn starting_the_server() {
    let (to, from) = stopping();
    let before = brought_to(Lab::new(), &to).await;
    before.rounds_until_quiet(&from, MOST_ROUNDS).await;
    before.calm();
    sieve(&before, &to, |_| ()).await;
}

#[tokio::test(start_paused = true)]
async fn the_comparisons_detect_a_difference() {
    let lab = Lab::new();
    lab.round(&crowd("a", "k")).await;
    let other = lab.fork();
    other.others_make_user("a", "changed");
    assert_ne!(lab.picture(), other.picture());
    assert_eq!(tally(&lab.log())[&("register", format!("a@{HOST}").as_str())], 1);
}
