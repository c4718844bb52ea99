use std::os::unix::fs::symlink;
use std::time::Instant;

use super::*;

/// The time for which a test waits to prove that no event comes.
const SILENCE: Duration = Duration::from_millis(200);

async fn notices(source: &FileSource) -> bool {
    tokio::time::timeout(Duration::from_secs(3), source.changed()).await.is_ok()
}

async fn is_silent(source: &FileSource) -> bool {
    tokio::time::timeout(SILENCE, source.changed()).await.is_err()
}

/// Waits until no further notification comes, because the events of one change can arrive in two
/// notifications.
async fn settle(source: &FileSource) {
    while !is_silent(source).await {}
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// Creates a temporary directory whose path has no links, and a source in this directory.
fn source() -> (tempfile::TempDir, PathBuf, FileSource) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().canonicalize().unwrap().join("desired-state.yaml");
    write(&file, "a: 1\n");
    let source = FileSource::new(file.clone()).unwrap();
    (dir, file, source)
}

#[tokio::test]
async fn an_edit_in_place_is_noticed_fast_and_once() {
    let (_dir, file, source) = source();
    assert!(is_silent(&source).await);
    let began = Instant::now();
    write(&file, "a: 2\n");
    assert!(notices(&source).await);
    assert!(began.elapsed() < Duration::from_millis(150), "{:?}", began.elapsed());
    assert_eq!(source.load().await.unwrap()[0].text, "a: 2\n");
    assert!(is_silent(&source).await);
}

#[tokio::test]
async fn reads_and_unrelated_files_cause_no_notification() {
    let (dir, file, source) = source();
    source.load().await.unwrap();
    std::fs::read_to_string(&file).unwrap();
    write(&dir.path().join("operator.log"), "x");
    write(&dir.path().join(".desired-state.yaml.swp"), "x");
    std::fs::create_dir(dir.path().join(".ejabberd-operator")).unwrap();
    write(&dir.path().join(".ejabberd-operator/state.sqlite"), "x");
    dir.path().read_dir().unwrap().for_each(drop);
    assert!(is_silent(&source).await);
}

#[tokio::test]
async fn every_rename_over_the_file_is_noticed() {
    let (dir, file, source) = source();
    for round in 0..3 {
        let next = dir.path().join("next");
        write(&next, &round.to_string());
        std::fs::rename(&next, &file).unwrap();
        assert!(notices(&source).await, "{round}");
        settle(&source).await;
    }
}

#[tokio::test]
async fn the_file_and_its_directory_can_be_deleted_and_created_again() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("a/b");
    let file = below.join("desired-state.yaml");
    let source = FileSource::new(file.clone()).unwrap();
    let message = source.load().await.unwrap_err().to_string();
    assert!(message.contains("no such file"), "{message}");
    for round in 0..3 {
        std::fs::create_dir_all(&below).unwrap();
        write(&file, "a: 1\n");
        assert!(notices(&source).await, "{round}");
        settle(&source).await;
        write(&file, "a: 2\n");
        assert!(notices(&source).await, "{round}");
        settle(&source).await;
        std::fs::remove_dir_all(dir.path().join("a")).unwrap();
        assert!(notices(&source).await, "{round}");
        settle(&source).await;
    }
    // The test replaces a parent directory with another directory.
    let other = dir.path().join("other/b");
    std::fs::create_dir_all(&other).unwrap();
    write(&other.join("desired-state.yaml"), "a: 3\n");
    std::fs::rename(dir.path().join("other"), dir.path().join("a")).unwrap();
    assert!(notices(&source).await);
    assert_eq!(source.load().await.unwrap()[0].text, "a: 3\n");
}

#[tokio::test]
async fn a_directory_that_is_replaced_immediately_is_still_watched() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("a/b");
    let file = below.join("desired-state.yaml");
    std::fs::create_dir_all(&below).unwrap();
    let source = FileSource::new(file.clone()).unwrap();
    for round in 0..10 {
        // The new directories often get the inode numbers of the old directories.
        std::fs::remove_dir_all(dir.path().join("a")).unwrap();
        std::fs::create_dir_all(&below).unwrap();
        assert!(notices(&source).await, "{round}");
        settle(&source).await;
        write(&file, &round.to_string());
        assert!(notices(&source).await, "{round}");
        settle(&source).await;
    }
}

#[tokio::test]
async fn replaced_links_are_noticed_at_every_level() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for version in ["1", "2", "3"] {
        std::fs::create_dir_all(at(&format!("elsewhere/{version}"))).unwrap();
        write(&at(&format!("elsewhere/{version}/f.yaml")), version);
    }
    std::fs::create_dir(at("mount")).unwrap();
    symlink("../elsewhere/1", at("mount/..data")).unwrap();
    symlink("..data/f.yaml", at("mount/f.yaml")).unwrap();
    // A link to the file from a third directory.
    symlink(at("mount/f.yaml"), at("entry.yaml")).unwrap();
    let source = FileSource::new(at("entry.yaml")).unwrap();
    assert_eq!(source.load().await.unwrap()[0].text, "1");
    for version in ["2", "3"] {
        symlink(format!("../elsewhere/{version}"), at("mount/..new")).unwrap();
        std::fs::rename(at("mount/..new"), at("mount/..data")).unwrap();
        assert!(notices(&source).await);
        assert_eq!(source.load().await.unwrap()[0].text, version);
        settle(&source).await;
    }
    // The new target is watched in its directory, and the old target is not.
    write(&at("elsewhere/2/f.yaml"), "old");
    assert!(is_silent(&source).await);
    write(&at("elsewhere/3/f.yaml"), "new");
    assert!(notices(&source).await);
}

#[tokio::test]
async fn other_files_are_watched_only_while_they_are_in_the_list() {
    let (dir, _file, source) = source();
    let secret = dir.path().join("secrets/bot");
    source.watch(std::slice::from_ref(&secret));
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    assert!(notices(&source).await);
    settle(&source).await;
    write(&secret, "pw");
    assert!(notices(&source).await);
    settle(&source).await;
    write(&dir.path().join("secrets/other"), "pw");
    assert!(is_silent(&source).await);
    source.watch(&[]);
    write(&secret, "pw2");
    assert!(is_silent(&source).await);
}

#[tokio::test]
async fn a_directory_is_read_as_its_yaml_files_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["b.yml", "a.yaml", "c.txt", ".hidden.yaml"] {
        write(&at(name), name);
    }
    std::fs::create_dir(at("d.yaml")).unwrap();
    let source = FileSource::new(dir.path().to_owned()).unwrap();
    let texts = || async {
        let files = source.load().await.unwrap();
        files.into_iter().map(|f| f.text).collect::<Vec<_>>()
    };
    assert_eq!(texts().await, ["a.yaml"]);
    write(&at("new.yaml"), "new.yaml");
    assert!(notices(&source).await);
    assert_eq!(texts().await, ["a.yaml", "new.yaml"]);
    settle(&source).await;
    write(&at("c.txt"), "changed");
    assert!(is_silent(&source).await);
    std::fs::remove_file(at("a.yaml")).unwrap();
    assert!(notices(&source).await);
}

#[tokio::test]
async fn a_burst_delays_no_notification_and_loses_no_change() {
    let (_dir, file, source) = source();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (stop, file) = (Arc::clone(&stop), file.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                write(&file, "burst");
            }
            write(&file, "last");
        }
    });
    let began = Instant::now();
    for _ in 0..3 {
        assert!(notices(&source).await);
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(notices(&source).await);
    settle(&source).await;
    assert_eq!(source.load().await.unwrap()[0].text, "last");
}

#[tokio::test]
async fn a_cancelled_wait_loses_no_change() {
    let (_dir, file, source) = source();
    write(&file, "a: 2\n");
    for _ in 0..5 {
        let _ = tokio::time::timeout(Duration::from_millis(5), source.changed()).await;
    }
    assert!(notices(&source).await);
}

#[tokio::test]
async fn unreadable_files_are_errors_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.yaml");
    let empty = FileSource::new(dir.path().to_owned()).unwrap();
    assert!(empty.load().await.unwrap_err().to_string().contains("no *.yaml"));
    let source = FileSource::new(file.clone()).unwrap();
    std::fs::write(&file, b"a: 1\nb: \xff\n").unwrap();
    assert!(source.load().await.unwrap_err().to_string().contains("line 2 is not UTF-8"));
    std::fs::File::create(&file).unwrap().set_len((16 << 20) + 1).unwrap();
    assert!(source.load().await.unwrap_err().to_string().contains("longer than 16 MiB"));
    // A link to itself.
    std::fs::remove_file(&file).unwrap();
    symlink(&file, &file).unwrap();
    source.watch(&[]);
    assert!(source.load().await.is_err());
}
