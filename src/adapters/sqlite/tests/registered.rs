//! Tests of the accounts and rooms that clients registered. `tests/round/store.rs` has the rules
//! that every store keeps.

use std::time::{Duration, Instant};

use super::*;

const TABLE: &str = "registered";

fn since() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn raw(dir: &Path) -> Connection {
    Connection::open(dir.join(DATABASE)).unwrap()
}

#[test]
fn a_database_of_version_four_is_updated_and_keeps_its_objects() {
    let dir = tempfile::tempdir().unwrap();
    let ann = key(Kind::User, "ann@h");
    {
        let store = SqliteStore::open(dir.path()).unwrap();
        store.record(&[(ann.clone(), owned(None))], &[]).unwrap();
    }
    raw(dir.path()).execute_batch("DROP TABLE registered; PRAGMA user_version = 4;").unwrap();
    let older = message(SqliteStore::open_read_only(dir.path()).map(Option::unwrap));
    assert!(older.contains("older ejabberd-operator (schema 4"), "{older}");
    let store = SqliteStore::open(dir.path()).unwrap();
    assert!(store.inventory().unwrap().holds(&ann));
    store.record_registered("agents", since(), std::slice::from_ref(&ann)).unwrap();
    assert_eq!(store.inventory().unwrap().registered_by(&ann), Some("agents"));
}

#[test]
fn a_registration_survives_a_move_of_the_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    let bot = key(Kind::Room, "bot@c.example.org");
    let store = SqliteStore::open(&before).unwrap();
    store.record_registered("agents", since(), std::slice::from_ref(&bot)).unwrap();
    drop(store);
    std::fs::rename(&before, &after).unwrap();
    let reader = SqliteStore::open_read_only(&after).unwrap().unwrap();
    assert_eq!(reader.inventory().unwrap().registered_by(&bot), Some("agents"));
}

#[test]
fn an_invalid_registration_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let ann = key(Kind::User, "ann@h");
    store.record_registered("agents", since(), std::slice::from_ref(&ann)).unwrap();
    for (kind, name) in
        [("user", "no-host"), ("user", "Not-Normalised@h"), ("room", "a b@h"), ("group", "g@h")]
    {
        let copy = format!("INSERT INTO {TABLE} SELECT ?, ?, client, since FROM {TABLE} LIMIT 1");
        raw(dir.path()).execute(&copy, [kind, name]).unwrap();
    }
    let inventory = store.inventory().unwrap();
    assert_eq!(inventory.registered().map(|(key, _)| key).collect::<Vec<_>>(), [&ann]);
}

#[test]
fn a_hundred_thousand_registrations_do_not_slow_a_reconciliation() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let many: Vec<_> =
        (0..100_000).map(|n| key(Kind::User, &format!("agent-{n}@example.org"))).collect();
    store.record_registered("agents", since(), &many).unwrap();
    // The first read parses all names. Later reads cost little, also after a registration.
    assert_eq!(store.inventory().unwrap().registered_users_of("agents"), 100_000);
    let began = Instant::now();
    let before = store.inventory().unwrap();
    let one = key(Kind::User, "one-more@example.org");
    store.record_registered("agents", since(), &[one]).unwrap();
    assert_eq!(store.inventory().unwrap().registered_users_of("agents"), 100_001);
    assert_eq!(before.registered_users_of("agents"), 100_000);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_failed_registration_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let ann = key(Kind::User, "ann@h");
    store.record_registered("agents", since(), std::slice::from_ref(&ann)).unwrap();
    let many: Vec<_> = (0..10_000).map(|n| key(Kind::User, &format!("u{n}@h"))).collect();
    assert_eq!(store.inventory().unwrap().registered().count(), 1);
    if let Access::Writer { connection, .. } = &store.access {
        let connection = connection.lock();
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
        connection.pragma_update_and_check(None, "max_page_count", pages + 2, |_| Ok(())).unwrap();
    }
    let error = store.record_registered("agents", since(), &many).unwrap_err();
    assert!(error.to_string().contains("make room"), "{error}");
    let inventory = store.inventory().unwrap();
    assert_eq!(inventory.registered().map(|(key, _)| key).collect::<Vec<_>>(), [&ann]);
}
