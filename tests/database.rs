//! Tests with a real ejabberd that the operator identifies its database. The operator never
//! replaces the database with an empty database, and never fills or prunes another database.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::host::{Host, eventually};
use support::real::{HOST, docker, image};
use support::watched::{PEOPLE, condition, converged, is_ready, started, status, until, watch};

/// The time for which a test observes that the operator does nothing.
const QUIET: Duration = Duration::from_secs(6);

fn is_missing(status: &Value) -> bool {
    let stalled = condition(status, "Stalled");
    stalled["status"] == "True" && stalled["reason"] == "DatabaseMissing"
}

fn exists(what: &[&str]) -> bool {
    Command::new("docker").args(what).output().unwrap().status.success()
}

/// Returns the home directory of ejabberd in an image.
fn home(version: &str) -> &'static str {
    if version.ends_with("ghcr") { "/opt/ejabberd" } else { "/home/ejabberd" }
}

/// Docker objects that a [`Host`] does not remove, each as kind and name. Dropping the value
/// removes the objects.
struct Leftovers(Vec<[String; 2]>);

impl Drop for Leftovers {
    fn drop(&mut self) {
        for [kind, name] in &self.0 {
            let args: &[&str] =
                if kind == "container" { &["rm", "-f", "-v", name] } else { &[kind, "rm", name] };
            let _ = Command::new("docker").args(args).output();
        }
    }
}

/// If the volume is lost, the operator creates nothing without an order.
fn emptied(version: &str) {
    let (host, operator) = converged(version, PEOPLE);
    let volume = format!("{}-database", host.container);
    // Pauses the operator. Otherwise the operator could see that the container is missing while the
    // volume still exists, and would create a new container.
    operator.signal("STOP");
    host.remove_container();
    docker(&["volume", "rm", &volume]);
    operator.signal("CONT");
    let shown = until(&host, &operator, "missing", is_missing);
    let message = condition(&shown, "Stalled")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("retry --fill") && message.contains(&volume), "{message}");
    std::thread::sleep(QUIET);
    host.run(&["retry"]).expect(0);
    std::thread::sleep(QUIET);
    assert!(!exists(&["inspect", &host.container]) && !exists(&["volume", "inspect", &volume]));
    let plan = host.run(&["plan", "--detailed-exitcode"]).expect(2);
    assert!(plan.stdout.contains("is missing"), "{}", plan.stdout);

    host.run(&["retry", "--fill"]).expect(0);
    until(&host, &operator, "filled", is_ready);
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
    let created = started(&host);
    host.remove_container();
    until(&host, &operator, "its own again", |s| started(&host) != created && is_ready(s));
}

/// Tests a new volume of the same name: first an empty volume, then a volume with another database.
fn exchanged(version: &str) {
    let host = Host::new(version);
    host.declare(PEOPLE);
    host.run(&["apply"]).expect(0);
    let volume = format!("{}-database", host.container);
    host.remove_container();
    docker(&["volume", "rm", &volume]);
    docker(&["volume", "create", &volume]);
    let ran = host.run(&["apply"]).expect(3);
    assert!(ran.stdout.contains("there is no database on the volume"), "{}", ran.stdout);
    assert!(!exists(&["inspect", &host.container]));

    // Another program starts a server, which creates a database on the volume.
    let mount = format!("{volume}:{}/database", home(version));
    docker(&["run", "-d", "--name", &host.container, "-v", &mount, &image(version)]);
    eventually("it starts", Duration::from_mins(1), || {
        exists(&["exec", &host.container, "ejabberdctl", "started"])
    });
    let ran = host.run(&["apply"]).expect(3);
    assert!(ran.stdout.contains("at another time"), "{}", ran.stdout);
    assert_eq!(host.ctl(&["registered_users", "localhost"]), "", "nothing was created");
    host.remove_container();
    let ran = host.run(&["apply"]).expect(3);
    assert!(ran.stdout.contains("there is another database on the volume"), "{}", ran.stdout);
    assert!(!exists(&["inspect", &host.container]));

    host.run(&["retry", "--fill"]).expect(0);
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
}

/// With the state directory of another server, the operator does not prune the accounts of this
/// server, although the container has the declared name.
fn foreign_state(version: &str) {
    let ours = Host::new(version);
    ours.declare(PEOPLE);
    ours.run(&["apply"]).expect(0);
    let other = Host::new(version);
    other.declare("  users: [{ name: ann, password: a }, { name: zoe, password: z }]\n");
    other.run(&["apply"]).expect(0);
    other.ctl(&["register", "gen", HOST, "theirs"]);
    other.ctl(&["register", "bob", HOST, "theirs"]);
    let before = other.users();

    let state = other.state();
    fs::remove_dir_all(&state).unwrap();
    assert!(Command::new("cp").arg("-a").args([ours.state(), state]).status().unwrap().success());
    other.declare("  users: [{ name: ann, password: changed }]\n");
    let ran = other.run(&["apply"]).expect(3);
    assert!(ran.stdout.contains("another time") && ran.stdout.contains("--fill"), "{}", ran.stdout);
    assert_eq!(other.users(), before);
    other.ctl(&["check_password", "ann", HOST, "a"]);

    // After the order, the operator manages this database. Objects of others in the database stay.
    other.run(&["retry", "--fill"]).expect(0);
    other.run(&["apply"]).expect(0);
    assert_eq!(other.users(), before);
    other.ctl(&["check_password", "ann", HOST, "changed"]);
}

/// Creates a directory of the host for the database, owned by the user of the image.
fn directory_for(host: &Host) -> String {
    let directory = host.path("database");
    fs::create_dir(&directory).unwrap();
    let uid = docker(&["run", "--rm", "--entrypoint", "id", &image(&host.version), "-u"]);
    let owned = Command::new("chown").args([&uid]).arg(&directory).status().unwrap();
    assert!(owned.success());
    directory.display().to_string()
}

fn start(host: &Host, options: &[&str]) {
    let image = image(&host.version);
    let mut args = vec!["run", "-d", "--name", host.container.as_str()];
    args.extend(options);
    args.push(&image);
    docker(&args);
    eventually("it starts", Duration::from_mins(1), || {
        exists(&["exec", &host.container, "ejabberdctl", "started"])
    });
}

/// If another program created the container, with the database in a directory of the host, the
/// operator creates no container without that directory after the container is gone.
fn bind_mounted(version: &str) {
    let host = Host::new(version);
    let mount = format!("{}:{}/database", directory_for(&host), home(version));
    start(&host, &["-v", &mount]);
    host.declare(PEOPLE);
    host.run(&["apply"]).expect(0);
    let operator = watch(&host, "run.log");
    until(&host, &operator, "ready", is_ready);
    host.remove_container();
    let shown = until(&host, &operator, "missing", is_missing);
    let message = condition(&shown, "Stalled")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("directory") && message.contains("of the host"), "{message}");
    host.run(&["retry"]).expect(0);
    std::thread::sleep(QUIET);
    assert!(!exists(&["inspect", &host.container]), "{}", operator.log());

    start(&host, &["-v", &mount]);
    until(&host, &operator, "adopted again", is_ready);
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
}

/// If a volume is mounted above the database directory, the operator knows in advance which volume
/// a new container gets.
fn parent_volume(version: &str) {
    let mut host = Host::new(version);
    let volume = format!("{}-all", host.container);
    let _leftovers = Leftovers(vec![["volume".to_owned(), volume.clone()]]);
    start(&host, &["-v", &format!("{volume}:{}", home(version))]);
    host.declare(PEOPLE);
    host.run(&["apply"]).expect(0);
    let password = published(&host);
    host.remove_container();
    // The declaration does not name the volume, so a new container would have an empty database.
    let ran = host.run(&["apply"]).expect(3);
    let shown = ["would get", "is gone", "would look for it", "would keep it on"];
    assert!(shown.iter().any(|words| ran.stdout.contains(words)), "{}", ran.stdout);
    assert!(!exists(&["inspect", &host.container]));
    if !version.ends_with("ghcr") {
        // Only the ghcr image has its database on the declared volume itself.
        return;
    }
    let head = format!("network: bridge, volumes: {{ \"{}\": {volume} }}", home(version));
    host.server = String::new();
    host.declare(PEOPLE);
    let text = fs::read_to_string(host.file()).unwrap().replacen("network: bridge", &head, 1);
    fs::write(host.file(), text).unwrap();
    host.run(&["retry"]).expect(0);
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
    host.ctl(&["check_password", "gen", HOST, &password]);
}

/// Returns the generated password of `gen`.
fn published(host: &Host) -> String {
    host.run(&["secret", "gen"]).expect(0).stdout.trim().to_owned()
}

fn inspect(container: &str, format: &str) -> String {
    docker(&["inspect", "-f", format, container])
}

const MOUNTS: &str = "{{range .Mounts}}{{.Destination}}={{.Name}}{{.Source}}\n{{end}}";

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines
}

/// Replaces a container of others that has unnamed volumes, a host name and a memory limit. The new
/// container has the same volumes, host name and limit.
fn recreated(version: &str) {
    let host = Host::new(version);
    let home = home(version);
    let conf = format!("{}-conf", host.container);
    let mount = format!("{conf}:{home}/conf");
    let options = ["-v", &mount, "--hostname", "xmpp1", "--memory", "700m", "-e", "TZ=UTC"];
    start(&host, &options);
    host.declare(PEOPLE);
    host.run(&["apply"]).expect(0);
    let before = inspect(&host.container, MOUNTS);
    let cookie = docker(&["exec", &host.container, "cat", &format!("{home}/.erlang.cookie")]);
    let changed = |what: &str| {
        let text = fs::read_to_string(host.file()).unwrap();
        let text = text.replacen("network: bridge", &format!("network: bridge, {what}"), 1);
        fs::write(host.file(), text).unwrap();
    };
    changed("recreate: whenChanged, environment: { COLOUR: blue }");

    // Another container already has the name `NAME-before`, so the operator does not replace the
    // server's container.
    let aside = format!("{}-before", host.container);
    let _leftovers = Leftovers(vec![["container".to_owned(), aside.clone()]]);
    docker(&["create", "--name", &aside, &image(version)]);
    let ran = host.run(&["apply"]).expect(1);
    assert!(ran.stdout.contains(&aside), "{}", ran.stdout);
    assert_eq!(inspect(&aside, "{{.State.Status}}"), "created");
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
    docker(&["rm", "-v", &aside]);

    host.run(&["retry"]).expect(0);
    host.run(&["apply"]).expect(0);
    assert_eq!(
        inspect(&host.container, "{{.Config.Hostname}} {{.HostConfig.Memory}}"),
        "xmpp1 734003200"
    );
    assert_eq!(sorted(&inspect(&host.container, MOUNTS)), sorted(&before));
    let env = inspect(&host.container, "{{.Config.Env}}");
    assert!(env.contains("COLOUR=blue") && env.contains("TZ=UTC"), "{env}");
    assert!(inspect(&host.container, "{{.Config.Labels}}").contains("managed:true"));
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
    let now = docker(&["exec", &host.container, "cat", &format!("{home}/.erlang.cookie")]);
    assert_eq!(now, cookie);
    assert!(!exists(&["inspect", &aside]), "the old one was removed");
    host.run(&["plan", "--detailed-exitcode"]).expect(0);
}

/// If a replacement would lose data, the plan names the data, and the operator does not replace the
/// container.
fn not_recreated(version: &str) {
    let host = Host::new(version);
    // Stores the database in the container's own layer, which a replacement would lose.
    let spool = format!("{}/elsewhere", home(version));
    start(&host, &["-e", &format!("SPOOL_DIR={spool}")]);
    host.declare(PEOPLE);
    host.run(&["apply"]).expect(0);
    let before = started(&host);
    let text = fs::read_to_string(host.file()).unwrap();
    let more = "network: bridge, recreate: whenChanged, environment: { COLOUR: blue }";
    fs::write(host.file(), text.replacen("network: bridge", more, 1)).unwrap();
    let plan = host.run(&["plan"]);
    let lost = match version {
        // The image writes only to its volume, and its script sets the variable itself.
        "newest-ghcr" => None,
        "24.12-ecs" => Some("the container itself"),
        _ => Some("/conf/ejabberd.yml"),
    };
    assert_eq!(plan.stdout.contains("this would be lost"), lost.is_some(), "{}", plan.stdout);
    if let Some(lost) = lost {
        assert!(plan.stdout.contains(lost), "{}", plan.stdout);
        host.run(&["apply"]).expect(1);
        assert_eq!(started(&host), before);
    } else {
        let volume = inspect(&host.container, "{{(index .Mounts 0).Name}}");
        let advice = format!("declare `/opt/ejabberd: {volume}`");
        assert!(plan.stdout.contains(&advice), "{}", plan.stdout);
    }

    // Tests a container that the operator created. If the start script uses the variable, the new
    // container keeps the volume; otherwise the new container would have an empty database, which
    // the operator detects before it removes the old container.
    let own = Host::new(version);
    own.declare(PEOPLE);
    own.run(&["apply"]).expect(0);
    let text = fs::read_to_string(own.file()).unwrap();
    let more =
        format!("network: bridge, recreate: whenChanged, environment: {{ SPOOL_DIR: {spool} }}");
    fs::write(own.file(), text.replacen("network: bridge", &more, 1)).unwrap();
    if version.ends_with("ecs") {
        own.run(&["apply"]).expect(0);
        assert!(inspect(&own.container, MOUNTS).contains(&spool));
    } else {
        let before = inspect(&own.container, "{{.Id}}");
        let ran = own.run(&["apply"]).expect(1);
        let ghcr = version.ends_with("ghcr");
        let refusal = if ghcr { "this would be lost" } else { "another database" };
        assert!(ran.stdout.contains(refusal), "{}", ran.stdout);
        assert_eq!(inspect(&own.container, "{{.Id}}"), before);
        eventually("it is back", Duration::from_mins(1), || {
            exists(&["exec", &own.container, "ejabberdctl", "started"])
        });
    }
    assert_eq!(own.users(), ["ann", "bob", "gen"]);
}

/// The operator does not start a stopped container `NAME-before` of others as the server.
fn not_started(version: &str) {
    let host = Host::new(version);
    let aside = format!("{}-before", host.container);
    let _leftovers = Leftovers(vec![["container".to_owned(), aside.clone()]]);
    docker(&["create", "--name", &aside, &image(version)]);
    host.declare(PEOPLE);
    host.run(&["apply"]).expect(0);
    assert_eq!(inspect(&aside, "{{.State.Status}}"), "created");
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
}

/// The guard counts again after the creations. If the only creation fails, the guard refuses the
/// deletion that would empty the kind.
fn counted_afterwards(version: &str) {
    let host = Host::new(version);
    let policy = "  policy: { guard: { freeDeletes: 5 } }\n";
    host.declare(&format!("  users: [{{ name: old, password: a }}]\n{policy}"));
    host.run(&["apply"]).expect(0);
    let missing = "passwordFrom: { file: nowhere }";
    host.declare(&format!("  users: [{{ name: new, {missing} }}]\n{policy}"));
    let ran = host.run(&["apply"]).expect(1);
    assert!(ran.stdout.contains("too much would be deleted"), "{}", ran.stdout);
    assert_eq!(host.users(), ["old"]);
    host.declare(&format!("  users: [{{ name: new, password: b }}]\n{policy}"));
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users(), ["new"]);
    assert!(status(&host).is_null() || !is_missing(&status(&host)));
}

/// The plan reports accounts that a change would leave behind, and the operator creates accounts
/// in the new store only after an approval.
fn left_behind(version: &str) {
    let host = Host::new(version);
    host.declare(PEOPLE);
    host.run(&["apply"]).expect(0);
    let text = fs::read_to_string(host.file()).unwrap();
    let config = fs::read_to_string(host.path("ejabberd.yml")).unwrap();

    // Renames the host in both files.
    let other = "chat.example";
    fs::write(host.path("ejabberd.yml"), config.replace(HOST, other)).unwrap();
    let renamed = text.replace(&format!("host: {HOST}"), &format!("host: {other}"));
    fs::write(host.file(), &renamed).unwrap();
    let plan = host.run(&["plan"]).expect(0);
    let shown = format!("3 owned accounts are left behind on {HOST}");
    assert!(plan.stdout.contains(&shown), "{}", plan.stdout);
    let before = started(&host);
    let ran = host.run(&["apply"]).expect(3);
    assert!(ran.stdout.contains("approve"), "{}", ran.stdout);
    assert_eq!((started(&host), host.users().len()), (before, 3), "nothing was done");
    let digest = host.run(&["plan", "--output", "json"]).json()["digest"].clone();
    let approve = format!("{renamed}  policy: {{ guard: {{ approve: {digest} }} }}\n");
    fs::write(host.file(), approve).unwrap();
    host.run(&["apply"]).expect(0);
    assert_eq!(host.ctl(&["registered_users", other]).lines().count(), 3);
}

/// With another `auth_method`, the plan reports that the accounts stay in Mnesia.
fn other_method(version: &str) {
    let host = Host::new(version);
    host.declare(PEOPLE);
    host.run(&["apply"]).expect(0);
    let config = fs::read_to_string(host.path("ejabberd.yml")).unwrap();
    let external = "auth_method: [external]\nextauth_program: /bin/cat\n";
    fs::write(host.path("ejabberd.yml"), format!("{config}{external}")).unwrap();
    let plan = host.run(&["plan"]).expect(0);
    let shown = "3 owned accounts of test.example are left behind in ejabberd's own database";
    assert!(plan.stdout.contains(shown), "{}", plan.stdout);
    host.run(&["apply"]).expect(3);
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
}

/// Defines the tests of each case: on the newest ejabberd and on the layout `ecs` and, with
/// `scripts/test --all`, on the layout `ghcr` and on 23.01.
macro_rules! on {
    ($($name:ident: $newest:ident $ecs:ident $ghcr:ident $older:ident,)*) => { $(
        #[test]
        fn $newest() {
            $name("newest");
        }
        #[test]
        fn $ecs() {
            $name("24.12-ecs");
        }
        #[test]
        #[ignore = "scripts/test --all runs it"]
        fn $ghcr() {
            $name("newest-ghcr");
        }
        #[test]
        #[ignore = "scripts/test --all runs it"]
        fn $older() {
            $name("23.01");
        }
    )* };
}

on! {
    emptied: emptied_newest emptied_ecs emptied_ghcr emptied_23_01,
    exchanged: exchanged_newest exchanged_ecs exchanged_ghcr exchanged_23_01,
    foreign_state: foreign_state_newest foreign_state_ecs foreign_state_ghcr foreign_state_23_01,
    bind_mounted: bind_mounted_newest bind_mounted_ecs bind_mounted_ghcr bind_mounted_23_01,
    parent_volume: parent_volume_newest parent_volume_ecs parent_volume_ghcr parent_volume_23_01,
    recreated: recreated_newest recreated_ecs recreated_ghcr recreated_23_01,
    not_recreated: not_recreated_newest not_recreated_ecs not_recreated_ghcr not_recreated_23_01,
    not_started: not_started_newest not_started_ecs not_started_ghcr not_started_23_01,
    left_behind: left_behind_newest left_behind_ecs left_behind_ghcr left_behind_23_01,
    other_method: other_method_newest other_method_ecs other_method_ghcr other_method_23_01,
    counted_afterwards: counted_newest counted_ecs counted_ghcr counted_23_01,
}
