mod registered;

use std::os::unix::fs::PermissionsExt;

use jiff::Timestamp;

use super::*;
use crate::domain::inventory::Origin;
use crate::domain::model::{Kind, Revision};
use crate::domain::spec::DeletionPolicy;

fn alice() -> Jid {
    "alice@example.org".parse().unwrap()
}

fn owned(password: Option<Fingerprint>) -> Owned {
    Owned {
        origin: Origin::Adopted,
        since: Timestamp::from_second(1_700_000_000).unwrap(),
        revision: Revision::new("c0ffee"),
        deletion_policy: DeletionPolicy::Retain,
        vcard: password.clone(),
        banned: password
            .is_some()
            .then(|| crate::domain::inventory::Ban { reason: "abuse".into(), confirmed: true }),
        password,
    }
}

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey::parse(kind, name).unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn message(result: Result<SqliteStore, StoreError>) -> String {
    match result {
        Ok(_) => panic!("the store was opened"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn stored_values_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let alices = key(Kind::User, "alice@example.org");
    let password = Secret::new("correct horse".into());
    let store = SqliteStore::open(dir.path()).unwrap();
    let print = store.fingerprint(&password);
    let kept = owned(Some(print.clone()));
    let room = key(Kind::Room, "r@c.example.org");
    store.record(&[(alices.clone(), kept.clone()), (room.clone(), owned(None))], &[]).unwrap();
    store.keep_generated(&[(alice(), password.clone())]).unwrap();
    store.save_status("{}").unwrap();
    drop(store);

    let store = SqliteStore::open(dir.path()).unwrap();
    assert_eq!(store.inventory().unwrap().get(&alices), Some(&kept));
    assert_eq!(store.generated(&alice()).unwrap(), Some(password.clone()));
    assert_eq!(store.generated(&"bob@example.org".parse().unwrap()).unwrap(), None);
    assert_eq!(store.status().unwrap().as_deref(), Some("{}"));
    assert_eq!(store.fingerprint(&password), print);
    store.record(&[], std::slice::from_ref(&room)).unwrap();
    assert!(!store.inventory().unwrap().holds(&room));
}

#[test]
fn a_second_operator_cannot_open_the_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = SqliteStore::open(dir.path()).unwrap();
    let second = SqliteStore::open(dir.path());
    assert!(message(second).contains(&dir.path().display().to_string()));
    assert!(matches!(SqliteStore::open(dir.path()), Err(StoreError::Locked(_))));
    drop(first);
    assert!(SqliteStore::open(dir.path()).is_ok());
}

/// Simulates a killed operator: the files stay unchanged, and the lock is released.
fn kill(store: SqliteStore) {
    if let Access::Writer { connection, .. } = store.access {
        std::mem::forget(connection);
    }
}

#[test]
fn a_killed_operator_loses_nothing_that_was_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    store.record(&[(key(Kind::Room, "r@c.example.org"), owned(None))], &[]).unwrap();
    kill(store);
    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let reader = SqliteStore::open_read_only(dir.path()).unwrap().unwrap();
    assert_eq!(reader.inventory().unwrap().count(Kind::Room), 1);
    assert_eq!(names(), before);
    let store = SqliteStore::open(dir.path()).unwrap();
    assert_eq!(store.inventory().unwrap().count(Kind::Room), 1);
}

#[test]
fn readers_take_no_lock_create_no_files_and_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state #1?%");
    assert!(SqliteStore::open_read_only(&state).unwrap().is_none());
    assert!(!state.exists());

    let store = SqliteStore::open(&state).unwrap();
    store.save_status("one").unwrap();
    let reader = SqliteStore::open_read_only(&state).unwrap().unwrap();
    assert_eq!(reader.status().unwrap().as_deref(), Some("one"));
    store.save_status("two").unwrap();
    assert_eq!(reader.status().unwrap().as_deref(), Some("two"));
    assert!(reader.save_status("three").is_err());
    assert_eq!(
        reader.fingerprint(&Secret::new("x".into())),
        store.fingerprint(&Secret::new("x".into()))
    );
    drop(store);

    // After a clean close there is no WAL, and reading must not create a WAL.
    assert_eq!(reader.status().unwrap().as_deref(), Some("two"));
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
    let store = SqliteStore::open(&state).unwrap();
    store.save_status("four").unwrap();
    assert_eq!(reader.status().unwrap().as_deref(), Some("four"));
}

#[test]
fn other_accounts_have_no_access_to_the_directory_and_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("a/b");
    let store = SqliteStore::open(&state).unwrap();
    store.save_status("{}").unwrap();
    assert_eq!(mode(&state), 0o700);
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
    drop(store);
    let path = state.join("state.sqlite");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let _store = SqliteStore::open(&state).unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn the_error_for_a_damaged_file_contains_the_path_and_the_action() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE);
    std::fs::write(&path, "this is no database at all".repeat(400)).unwrap();
    for message in [
        message(SqliteStore::open(dir.path())),
        message(SqliteStore::open_read_only(dir.path()).map(Option::unwrap)),
    ] {
        assert!(
            message.contains("state.sqlite is damaged") && message.contains("move it away"),
            "{message}"
        );
    }
    std::fs::remove_file(&path).unwrap();

    // Damage the file after its header, so that `SQLite` still opens the file.
    let store = SqliteStore::open(dir.path()).unwrap();
    let many: Vec<_> =
        (0..3000).map(|n| (key(Kind::User, &format!("u{n}@h")), owned(None))).collect();
    store.record(&many, &[]).unwrap();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8192..40960].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let message = message(SqliteStore::open(dir.path()));
    assert!(message.contains("is damaged"), "{message}");
}

#[test]
fn a_newer_schema_is_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(dir.path()).unwrap());
    let raw = Connection::open(dir.path().join(DATABASE)).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    for message in [
        message(SqliteStore::open(dir.path())),
        message(SqliteStore::open_read_only(dir.path()).map(Option::unwrap)),
    ] {
        assert!(message.contains("newer ejabberd-operator (schema 99"), "{message}");
    }
}

#[test]
fn a_database_of_the_first_version_is_updated() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(dir.path()).unwrap());
    let before = rusqlite::Connection::open(dir.path().join(DATABASE)).unwrap();
    before
        .execute_batch("ALTER TABLE inventory DROP COLUMN vcard; ALTER TABLE inventory DROP COLUMN banned; DROP TABLE config_good; DROP TABLE config_file; DROP TABLE event; DROP TABLE registered; PRAGMA user_version = 1;")
        .unwrap();
    drop(before);
    let store = SqliteStore::open(dir.path()).unwrap();
    assert_eq!(store.good_configs().unwrap(), Vec::new());
}

#[test]
fn the_last_five_good_configurations_are_kept_with_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let digest = |n: usize| Digest::new(format!("digest-{n}"));
    let files =
        |n: usize| ConfigFiles::from([("a.yml".to_owned(), vec![u8::try_from(n).unwrap()])]);
    let good = |n: usize| GoodConfig {
        digest: digest(n),
        variant: "a".to_owned(),
        revision: Revision::new("r"),
        since: Timestamp::UNIX_EPOCH,
    };
    for n in 0..7 {
        store.keep_config(&digest(n), &files(n)).unwrap();
        store.record_good(&good(n)).unwrap();
    }
    // An earlier configuration that is good again moves to the top.
    store.record_good(&good(4)).unwrap();
    let listed: Vec<_> = store.good_configs().unwrap().into_iter().map(|g| g.digest).collect();
    assert_eq!(listed, [4, 6, 5, 3, 2].map(digest));
    assert_eq!(store.kept_config(&digest(4)).unwrap(), Some(files(4)));
    assert_eq!(
        store.kept_config(&digest(1)).unwrap(),
        None,
        "removed from the list with its files"
    );
    store.remember(StateKey::Latch, Some("{}")).unwrap();
    assert_eq!(store.recall(StateKey::Latch).unwrap().as_deref(), Some("{}"));
    store.remember(StateKey::Latch, None).unwrap();
    assert_eq!(store.recall(StateKey::Latch).unwrap(), None);
}

#[test]
fn ten_thousand_objects_are_recorded_within_five_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let print = store.fingerprint(&Secret::new("x".into()));
    let many: Vec<_> = (0..10_000)
        .map(|n| (key(Kind::User, &format!("u{n}@h")), owned(Some(print.clone()))))
        .collect();
    let began = std::time::Instant::now();
    store.record(&many, &[]).unwrap();
    assert_eq!(store.inventory().unwrap().count(Kind::User), 10_000);
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_full_disk_is_an_error_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    store.record(&[(key(Kind::Room, "r@c.example.org"), owned(None))], &[]).unwrap();
    if let Access::Writer { connection, .. } = &store.access {
        let connection = connection.lock();
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
        connection.pragma_update_and_check(None, "max_page_count", pages + 2, |_| Ok(())).unwrap();
    }
    let many: Vec<_> =
        (0..10_000).map(|n| (key(Kind::User, &format!("u{n}@h")), owned(None))).collect();
    let error = store.record(&many, &[key(Kind::Room, "r@c.example.org")]).unwrap_err();
    assert!(error.to_string().contains("make room"), "{error}");
    let inventory = store.inventory().unwrap();
    assert_eq!((inventory.count(Kind::User), inventory.count(Kind::Room)), (0, 1));
}

#[test]
fn a_path_that_cannot_be_a_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for place in [file.clone(), file.join("below"), "/proc/nowhere".into()] {
        assert!(matches!(SqliteStore::open(&place), Err(StoreError::Io { .. })), "{place:?}");
    }
}

#[test]
fn two_stores_have_different_fingerprints_of_one_password() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let password = Secret::new("x".into());
    assert_ne!(
        SqliteStore::open(one.path()).unwrap().fingerprint(&password),
        SqliteStore::open(two.path()).unwrap().fingerprint(&password)
    );
}

#[test]
fn events_are_kept_in_their_order_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let event = |id: u64, second: i64| crate::domain::status::Event {
        id,
        time: jiff::Timestamp::from_second(second).unwrap(),
        first: jiff::Timestamp::UNIX_EPOCH,
        count: 1,
        kind: crate::domain::status::EventType::Warning,
        reason: "Test".to_owned(),
        object: Some("user ann@a.example".to_owned()),
        message: format!("number {id}"),
        revision: Some(Revision::new("r")),
    };
    {
        let store = SqliteStore::open(dir.path()).unwrap();
        let many: Vec<_> = (1..=1200).map(|id| event(id, i64::try_from(id).unwrap())).collect();
        store.record_events(&many).unwrap();
        // A repeated event moves to the end.
        store.record_events(&[event(700, 5000)]).unwrap();
    }
    let store = SqliteStore::open_read_only(dir.path()).unwrap().unwrap();
    let events = store.events(usize::MAX).unwrap();
    assert_eq!(events.len(), crate::engine::KEPT_EVENTS);
    assert_eq!(events.first().unwrap().id, 201);
    assert_eq!(events.last().unwrap(), &event(700, 5000));
    let few: Vec<u64> = store.events(2).unwrap().iter().map(|event| event.id).collect();
    assert_eq!(few, [1200, 700]);
}

/// The store refuses a state directory that another account created or can write to, before the
/// store opens a file in the directory.
#[test]
fn a_directory_that_others_prepared_is_refused() {
    use std::os::unix::fs::{chown, lchown, symlink};
    type Prepare = fn(&Path);
    let run = |program: &str, args: &[&std::ffi::OsStr]| {
        assert!(std::process::Command::new(program).args(args).status().unwrap().success());
    };
    let fifo = |path: &Path| run("mkfifo", &[path.as_os_str()]);
    let cases: [(&str, Prepare, &str); 9] = [
        ("a directory of others", |dir| chown(dir, Some(65_531), None).unwrap(), "belongs to"),
        ("an open directory", |dir| open_to(dir, 0o777), "others may write"),
        ("an open directory of a group", |dir| open_to(dir, 0o770), "others may write"),
        ("a link for the database", |dir| symlink("/x", dir.join(DATABASE)).unwrap(), "a link"),
        (
            "a link for the log",
            |dir| symlink("/x", dir.join("state.sqlite-wal")).unwrap(),
            "a link",
        ),
        (
            "a link of others",
            |dir| {
                symlink("/x", dir.join("lock")).unwrap();
                lchown(dir.join("lock"), Some(65_531), None).unwrap();
            },
            "a link",
        ),
        (
            "a database of others",
            |dir| {
                std::fs::write(dir.join(DATABASE), "").unwrap();
                chown(dir.join(DATABASE), Some(65_531), None).unwrap();
            },
            "belongs to",
        ),
        (
            "an open file",
            |dir| {
                std::fs::write(dir.join("endpoint"), "").unwrap();
                open_to(&dir.join("endpoint"), 0o666);
            },
            "others may write",
        ),
        (
            "a second name",
            |dir| {
                std::fs::write(dir.join("victim"), "").unwrap();
                std::fs::hard_link(dir.join("victim"), dir.join(DATABASE)).unwrap();
            },
            "another name",
        ),
    ];
    for (what, prepare, why) in cases {
        let scratch = tempfile::tempdir().unwrap();
        let state = scratch.path().join("state");
        std::fs::create_dir(&state).unwrap();
        prepare(&state);
        let before = std::fs::read_dir(&state).unwrap().count();
        let message = message(SqliteStore::open(&state));
        assert!(message.contains(why), "{what}: {message}");
        assert_eq!(std::fs::read_dir(&state).unwrap().count(), before, "{what}");
    }
    for name in [DATABASE, "lock", "state.sqlite-shm", "orders"] {
        let scratch = tempfile::tempdir().unwrap();
        fifo(&scratch.path().join(name));
        let message = message(SqliteStore::open(scratch.path()));
        assert!(message.contains("no file"), "{name}: {message}");
    }
    // Another account can replace a parent directory.
    let scratch = tempfile::tempdir().unwrap();
    let theirs = scratch.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(65_531), None).unwrap();
    assert!(message(SqliteStore::open(&theirs.join("state"))).contains("above it"));
}

fn open_to(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The lock is on the directory, so neither another path nor the removal of files releases the
/// lock.
#[test]
fn the_lock_outlives_the_removal_of_files() {
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path().join("state");
    let store = SqliteStore::open(&state).unwrap();
    std::os::unix::fs::symlink(&state, scratch.path().join("link")).unwrap();
    for entry in std::fs::read_dir(&state).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for path in [state.clone(), scratch.path().join("link")] {
        assert!(matches!(SqliteStore::open(&path), Err(StoreError::Locked(_))));
    }
    drop(store);
    SqliteStore::open(&state).unwrap();
}

/// A row that no version of the operator writes must not make the whole inventory unreadable.
#[test]
fn a_row_with_an_invalid_name_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let ann = key(Kind::User, "ann@h");
    store.record(&[(ann.clone(), owned(None))], &[]).unwrap();
    let database = rusqlite::Connection::open(dir.path().join("state.sqlite")).unwrap();
    for name in ["no-host", "Not-Normalised@h", "a b@h"] {
        let columns = "origin, since, revision, deletion_policy, password, vcard, banned";
        let copy = format!(
            "INSERT INTO inventory (kind, name, {columns}) SELECT kind, ?, {columns} FROM inventory \
             WHERE name = 'ann@h'"
        );
        database.execute(&copy, [name]).unwrap();
    }
    let inventory = store.inventory().unwrap();
    assert_eq!(inventory.keys().collect::<Vec<_>>(), [ann]);
}
