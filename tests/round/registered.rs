//! Accounts and rooms that clients registered: no policy deletes them.

use std::sync::Arc;

use async_trait::async_trait;
use ejabberd_operator::domain::model::{Kind, ObjectKey};
use ejabberd_operator::engine::{Deferral, Permission, StalenessCheck, StepResult, Store, forget};
use jiff::Timestamp;

use crate::support::world::{Fault, HOST, Lab, declare, free};

const PRUNE_ALL: &str = "users: [{ name: ann }]\nrooms: [{ name: hall }]\n\
     policy: { prune: all, guard: { freeDeletes: 10 } }";
const ABSENT: &str = "users: [{ name: ann }, { name: bot, state: absent }]\n\
     rooms: [{ name: hall }, { name: bot, state: absent }]";

fn bot() -> [ObjectKey; 2] {
    let parse = |kind, name: &str| ObjectKey::parse(kind, name).unwrap();
    [
        parse(Kind::User, &format!("bot@{HOST}")),
        parse(Kind::Room, &format!("bot@conference.{HOST}")),
    ]
}

/// Registers `bot`, as the messaging tool does: the record comes before the objects.
fn register(lab: &Lab) {
    lab.record_registered("agents", Timestamp::UNIX_EPOCH, &bot()).unwrap();
    lab.others_make_user("bot", "its");
    lab.others_make_room("bot");
}

fn registered(lab: &Lab) -> usize {
    lab.inventory_now().registered().count()
}

fn names(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn registered_objects_survive_prune_all_until_they_are_forgotten() {
    let lab = Lab::new();
    lab.others_make_user("spam", "x");
    lab.others_make_room("spam");
    register(&lab);
    lab.rounds_until_quiet(&declare(PRUNE_ALL), 5).await;
    assert_eq!((lab.users(), lab.rooms()), (names("ann bot"), names("bot hall")));
    assert_eq!((lab.owned(Kind::User), registered(&lab)), (names("ann"), 2));

    let message = forget(&*lab, &bot()).unwrap();
    assert_eq!(message, "2 objects are no longer registered");
    lab.rounds_until_quiet(&declare(PRUNE_ALL), 5).await;
    assert_eq!((lab.users(), lab.rooms()), (names("ann"), names("hall")));
}

#[tokio::test(start_paused = true)]
async fn registered_objects_that_are_declared_absent_are_deleted_and_forgotten() {
    let lab = Lab::new();
    register(&lab);
    lab.rounds_until_quiet(&declare(ABSENT), 5).await;
    assert_eq!((lab.users(), lab.rooms()), (names("ann"), names("hall")));
    assert_eq!(registered(&lab), 0);
}

/// The deletion and the end of the registration are two effects.
#[tokio::test(start_paused = true)]
async fn a_registration_ends_after_a_kill_between_deletion_and_record() {
    let lab = Lab::new();
    register(&lab);
    lab.calm();
    let quiet = lab.fork();
    quiet.rounds_until_quiet(&declare(ABSENT), 5).await;
    for at in 1..=quiet.effects() {
        for fault in Fault::ALL {
            let lab = lab.fork();
            lab.disturb(at, fault);
            let _ = lab.try_round(&declare(ABSENT), &free()).await;
            lab.no_more_faults();
            lab.rounds_until_quiet(&declare(ABSENT), 5).await;
            assert_eq!((lab.users(), registered(&lab)), (names("ann"), 0), "{at} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_declared_registered_object_is_owned_until_its_entry_is_removed() {
    let lab = Lab::new();
    register(&lab);
    lab.round(&declare(
        "users: [{ name: ann }, { name: bot, password: new }]\nrooms: [{ name: bot, title: Bot }]",
    ))
    .await;
    assert_eq!(lab.password("bot").unwrap(), "new");
    assert_eq!((lab.owned(Kind::User), lab.owned(Kind::Room)), (names("ann bot"), names("bot")));
    for prune in ["managed", "none", "all"] {
        let lab = lab.fork();
        let gone = format!("users: [{{ name: ann }}]\nrooms: []\npolicy: {{ prune: {prune} }}");
        lab.rounds_until_quiet(&declare(&gone), 5).await;
        assert_eq!((lab.users(), lab.rooms()), (names("ann bot"), names("bot")), "{prune}");
        assert_eq!(lab.owned(Kind::User).len(), if prune == "none" { 2 } else { 1 }, "{prune}");
        assert_eq!(registered(&lab), 2, "{prune}");
    }
}

/// Registers `bot` right before the deletions of a reconciliation.
struct RegistersNow(Arc<Lab>);

#[async_trait]
impl StalenessCheck for RegistersNow {
    async fn blocked_reason(&self) -> Option<Deferral> {
        self.0.record_registered("agents", Timestamp::UNIX_EPOCH, &bot()).unwrap();
        None
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_registered_during_a_reconciliation_stays() {
    let lab = Lab::new();
    for name in ["bot", "spam"] {
        lab.others_make_user(name, "x");
        lab.others_make_room(name);
    }
    let confirm = RegistersNow(Arc::clone(&lab));
    let permission = Permission { confirm: &confirm, ..free() };
    let report = lab.try_round(&declare(PRUNE_ALL), &permission).await.unwrap().unwrap();
    assert_eq!((lab.users(), lab.rooms()), (names("ann bot"), names("bot hall")));
    let waiting = report
        .outcomes
        .iter()
        .filter(|outcome| matches!(&outcome.result, StepResult::Deferred(Deferral::Registered)));
    assert_eq!(waiting.count(), 2);
    let report = lab.rounds_until_quiet(&declare(PRUNE_ALL), 5).await;
    assert!(report.converged(), "{report:#?}");
}

/// An old copy of the state directory does not have the latest registrations.
#[tokio::test(start_paused = true)]
async fn an_old_copy_of_the_state_directory_deletes_no_registered_object() {
    let lab = Lab::new();
    lab.rounds_until_quiet(&declare(PRUNE_ALL), 5).await;
    let copy = lab.copy_memory();
    register(&lab);
    lab.rounds_until_quiet(&declare(PRUNE_ALL), 5).await;
    lab.restore_memory(&copy);
    let report = lab.round(&declare(PRUNE_ALL)).await;
    assert!(report.plan.state_outdated.is_some(), "{report:#?}");
    assert_eq!((lab.users(), lab.rooms()), (names("ann bot"), names("bot hall")));
}
