//! The contract of a store about registered objects: the store of the simulation and the `SQLite`
//! store keep the same rules.

use ejabberd_operator::adapters::sqlite::SqliteStore;
use ejabberd_operator::domain::inventory::{Origin, Owned, Registration};
use ejabberd_operator::domain::model::{Kind, ObjectKey, Revision};
use ejabberd_operator::domain::spec::DeletionPolicy;
use ejabberd_operator::engine::{StateKey, Store};
use jiff::Timestamp;

use crate::support::world::Lab;

/// Checks one rule with an empty store of each kind.
fn each_store(rule: impl Fn(&dyn Store)) {
    rule(&*Lab::new());
    let directory = tempfile::tempdir().unwrap();
    rule(&SqliteStore::open(directory.path()).unwrap());
}

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey::parse(kind, name).unwrap()
}

fn bot() -> [ObjectKey; 2] {
    [key(Kind::User, "bot@example.org"), key(Kind::Room, "bot@conference.example.org")]
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn owned() -> Owned {
    Owned {
        origin: Origin::Created,
        since: second(1),
        revision: Revision::new("r"),
        deletion_policy: DeletionPolicy::Delete,
        password: None,
        vcard: None,
        banned: None,
    }
}

/// Whether the ownership is marked as changed. Removes the mark.
fn marked(store: &dyn Store) -> bool {
    let marked = store.recall(StateKey::OwnershipChanged).unwrap().is_some();
    store.remember(StateKey::OwnershipChanged, None).unwrap();
    marked
}

#[test]
fn a_registered_object_keeps_its_first_client() {
    each_store(|store| {
        let [user, room] = bot();
        store.record_registered("agents", second(1), std::slice::from_ref(&user)).unwrap();
        assert_eq!(store.inventory().unwrap().registered_by(&room), None);
        for _ in 0..2 {
            store.record_registered("others", second(2), &[user.clone(), room.clone()]).unwrap();
            let inventory = store.inventory().unwrap();
            let agents = Registration { client: "agents".to_owned(), since: second(1) };
            let others = Registration { client: "others".to_owned(), since: second(2) };
            let registered: Vec<_> = inventory.registered().collect();
            assert_eq!(registered, [(&user, &agents), (&room, &others)]);
            assert_eq!(inventory.registered_by(&user), Some("agents"));
        }
    });
}

#[test]
fn only_the_accounts_of_a_client_count() {
    each_store(|store| {
        let more = key(Kind::User, "helper@example.org");
        store.record_registered("agents", second(1), &bot()).unwrap();
        store.record_registered("agents", second(2), &[more]).unwrap();
        store.record_registered("others", second(3), &[key(Kind::User, "x@example.org")]).unwrap();
        let inventory = store.inventory().unwrap();
        let counts = ["agents", "others", "nobody"].map(|name| inventory.registered_users_of(name));
        assert_eq!(counts, [2, 1, 0]);
    });
}

#[test]
fn only_accounts_and_rooms_are_registered() {
    each_store(|store| {
        let wrong = [
            key(Kind::Server, "test"),
            key(Kind::Config, "main"),
            key(Kind::Group, "staff@example.org"),
            key(Kind::Affiliation, "hall@conference.example.org/ann@example.org"),
        ];
        store.record_registered("agents", second(1), &wrong).unwrap();
        assert_eq!(store.inventory().unwrap().registered().count(), 0);
        assert!(!marked(store));
    });
}

#[test]
fn ownership_and_registration_are_independent() {
    each_store(|store| {
        let [user, room] = bot();
        store.record_registered("agents", second(1), &bot()).unwrap();
        let inventory = store.inventory().unwrap();
        assert!(inventory.is_empty() && !inventory.holds(&user), "a registration is no ownership");

        store.record(&[(user.clone(), owned()), (room.clone(), owned())], &[]).unwrap();
        store.record(&[], std::slice::from_ref(&user)).unwrap();
        store.forget_registered(std::slice::from_ref(&room)).unwrap();
        let inventory = store.inventory().unwrap();
        assert_eq!(inventory.registered_by(&user), Some("agents"));
        assert_eq!(inventory.registered_by(&room), None);
        assert_eq!([&user, &room].map(|key| inventory.holds(key)), [false, true]);
    });
}

#[test]
fn a_forgotten_object_can_be_registered_again() {
    each_store(|store| {
        let [user, _] = bot();
        store.record_registered("agents", second(1), &bot()).unwrap();
        store.forget_registered(&bot()).unwrap();
        assert_eq!(store.inventory().unwrap().registered().count(), 0);
        store.record_registered("others", second(2), std::slice::from_ref(&user)).unwrap();
        assert_eq!(store.inventory().unwrap().registered_by(&user), Some("others"));
    });
}

/// The mark makes a copy of the state directory from before the registration outdated.
#[test]
fn a_new_or_forgotten_registration_marks_the_ownership_as_changed() {
    each_store(|store| {
        store.record_registered("agents", second(1), &bot()).unwrap();
        assert!(marked(store), "new");
        store.record_registered("agents", second(2), &bot()).unwrap();
        assert!(!marked(store), "known already");
        store.forget_registered(&bot()).unwrap();
        assert!(marked(store), "forgotten");
        store.forget_registered(&bot()).unwrap();
        assert!(!marked(store), "not registered");
    });
}
