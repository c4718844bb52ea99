//! Tests configurations on a real ejabberd. The operator reads a configuration as the server does,
//! and checks new files at their final paths before a change. The operator does not change a server
//! if the operator cannot write its files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use ejabberd_operator::adapters::docker::DockerRuntime;
use ejabberd_operator::domain::configuration::Configuration;
use ejabberd_operator::domain::model::ServerVersion;
use ejabberd_operator::ejabberd::erlang::Verdict;
use ejabberd_operator::ejabberd::{EjabberdClient, StartContext};
use ejabberd_operator::engine::{ConfigFiles, Lifecycle, ServerConfig};
use support::host::{Host, replace};
use support::real::{CONFIG, Container, HOST, docker, ejabberd_version, image, unique};
use support::shipped;
use support::watched::{condition, left_alone, started, status, until, watch};

fn files(entries: &[(&str, &str)]) -> ConfigFiles {
    entries.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

/// Creates a container whose environment defines two macros.
async fn container(version: &str) -> Container {
    let name = unique("reader");
    let mut spec = Container::spec(&name, version);
    spec.environment = BTreeMap::from([
        ("EJABBERD_MACRO_WHO".to_owned(), "ann".to_owned()),
        ("EJABBERD_MACRO_PORT_OF_ENV".to_owned(), "5444".to_owned()),
    ]);
    let container = Container { name, runtime: Arc::new(DockerRuntime::new(spec)) };
    container.runtime.create().await.expect("create");
    container.runtime.write_config(&files(&[("ejabberd.yml", CONFIG)])).await.expect("write");
    container
}

async fn verdict(
    container: &Container,
    server: Option<&EjabberdClient>,
    new: &ConfigFiles,
) -> Verdict {
    let context = match server {
        Some(server) => server.start_context().await.unwrap(),
        None => StartContext::default(),
    };
    container.runtime.check_config(new, &context).await.unwrap()
}

/// Returns, as one string, the values that the operator reads from a configuration.
fn answers(config: &Configuration) -> String {
    let listeners = config.listeners().unwrap();
    let listeners: Vec<String> = listeners
        .iter()
        .map(|l| {
            format!("{l} {:?} {}", l.address, if l.is_on("starttls") { "starttls" } else { "" })
        })
        .collect();
    let hosts = config.hosts();
    let of_hosts: Vec<String> = hosts
        .iter()
        .map(|host| {
            let modules = config.modules(host).unwrap();
            let modules: Vec<&str> = modules.iter().map(|(name, _)| *name).collect();
            format!("{host}: {:?} {}", config.auth_methods(host), modules.join(" "))
        })
        .collect();
    format!("{}\n{}", of_hosts.join("\n"), listeners.join("\n"))
}

struct Kind {
    name: &'static str,
    /// The first ejabberd version that supports this kind of configuration.
    since: ServerVersion,
    files: &'static [(&'static str, &'static str)],
    expected: &'static str,
}

const ALL: ServerVersion = ServerVersion { year: 23, month: 1 };
/// The first version with macros from the environment (source: ejabberd's change log of 24.12).
const ENVIRONMENT: ServerVersion = ServerVersion { year: 24, month: 12 };
/// The first version with keywords, and with macros inside strings.
const IN_TEXTS: ServerVersion = ServerVersion { year: 25, month: 3 };

const KINDS: &[Kind] = &[
    Kind {
        name: "macros as whole values, in lists, and of each other",
        since: ALL,
        files: &[(
            "ejabberd.yml",
            "define_macro:\n  HOST: test.example\n  PORT_C2S: 5222\n  ANY: \"::\"\n  C2S:\n    port: PORT_C2S\n    ip: ANY\n    module: ejabberd_c2s\n    starttls: yes\n  MODULES:\n    mod_last: {}\n    mod_ping: {}\n\
             hosts: [HOST]\nlisten: [C2S]\nmodules: MODULES\n",
        )],
        expected: "test.example: [\"mnesia\"] mod_last mod_ping\nthe ejabberd_c2s on port 5222 Port([::]:5222) starttls",
    },
    Kind {
        name: "options that are there several times",
        since: ALL,
        files: &[(
            "ejabberd.yml",
            "hosts: [test.example]\nlisten:\n  - { port: 5222, module: ejabberd_c2s }\nmodules:\n  mod_last: {}\n\
             listen:\n  - { port: 5280, ip: 127.0.0.1, module: ejabberd_http }\nmodules:\n  mod_ping: {}\n",
        )],
        expected: "test.example: [\"mnesia\"] mod_last mod_ping\nthe ejabberd_c2s on port 5222 Port(0.0.0.0:5222) \nthe ejabberd_http on port 5280 Port(127.0.0.1:5280) ",
    },
    Kind {
        name: "files that include files, by absolute and relative paths, with what they may say",
        since: ALL,
        files: &[
            (
                "ejabberd.yml",
                "hosts: [test.example]\ninclude_config_file:\n  /home/ejabberd/conf/listen.yml:\n    allow_only: [listen, define_macro]\n  ../conf/modules.yml:\n    disallow: [auth_method, hosts]\n",
            ),
            (
                "listen.yml",
                "define_macro: { PORT_A: 5333 }\nlisten:\n  - { port: PORT_A, module: ejabberd_c2s }\nauth_method: external\n",
            ),
            (
                "modules.yml",
                "include_config_file: ../conf/more.yml\nauth_method: external\nhosts: [other.example]\nmodules:\n  mod_last: {}\n",
            ),
            ("more.yml", "modules:\n  mod_ping: {}\n"),
        ],
        expected: "test.example: [\"mnesia\"] mod_ping mod_last\nthe ejabberd_c2s on port 5333 Port(0.0.0.0:5333) ",
    },
    Kind {
        name: "options of hosts, unix sockets and IPv6",
        since: ALL,
        files: &[(
            "ejabberd.yml",
            "hosts: [test.example, Other.example]\nlisten:\n  - { port: \"unix:/tmp/x.sock\", module: ejabberd_http }\n  - { port: 5269, ip: \"::1\", module: ejabberd_s2s_in }\n\
             modules:\n  mod_last: {}\nhost_config:\n  other.example:\n    auth_method: [ldap, mnesia]\n    modules:\n      mod_ping: {}\n\
             append_host_config:\n  test.example:\n    modules:\n      mod_private: {}\n",
        )],
        expected: "test.example: [\"mnesia\"] mod_last mod_private\nother.example: [\"ldap\", \"mnesia\"] mod_ping\nthe ejabberd_http on a unix socket Unix(\"/tmp/x.sock\") \nthe ejabberd_s2s_in on port 5269 Port([::1]:5269) ",
    },
    Kind {
        name: "macros of the environment",
        since: ENVIRONMENT,
        files: &[(
            "ejabberd.yml",
            "define_macro: { PORT_OF_ENV: 1, NAME: mod_last }\nhosts: [test.example]\nlisten:\n  - { port: PORT_OF_ENV, module: ejabberd_c2s }\n",
        )],
        expected: "test.example: [\"mnesia\"] \nthe ejabberd_c2s on port 5444 Port(0.0.0.0:5444) ",
    },
    Kind {
        name: "macros and keywords inside of texts",
        since: IN_TEXTS,
        files: &[(
            "ejabberd.yml",
            "define_macro: { DOMAIN: \"test.example\" }\ndefine_keyword: { SOCKET: chat, METHOD: ldap }\nhosts: [\"@DOMAIN@\", \"@WHO@.@DOMAIN@\"]\n\
             listen:\n  - { port: \"unix:/tmp/@SOCKET@.sock\", module: ejabberd_http }\nauth_method: METHOD\n",
        )],
        expected: "test.example: [\"ldap\"] \nann.test.example: [\"ldap\"] \nthe ejabberd_http on a unix socket Unix(\"/tmp/chat.sock\") ",
    },
];

/// The offline check reads new files while the server runs and while the server is stopped, and the
/// server reads the active files in the same way.
async fn reads_as_ejabberd(version: &str) {
    let has = ServerVersion::parse(&ejabberd_version(version)).unwrap();
    let container = container(version).await;
    container.runtime.start().await.unwrap();
    let server = container.server();
    container.wait_until_up(&server).await;
    for kind in KINDS.iter().filter(|kind| kind.since <= has) {
        let new = files(kind.files);
        match verdict(&container, Some(&server), &new).await {
            Verdict::Accepted(read) => assert_eq!(answers(&read), kind.expected, "{}", kind.name),
            other => panic!("{}: {other:?}", kind.name),
        }
    }
    // Puts a configuration in force whose files include each other.
    let new = files(KINDS[2].files);
    container.runtime.try_to_write_config(&new).await.unwrap();
    container.runtime.write_config(&new).await.unwrap();
    server.reload_config().await.unwrap();
    assert_eq!(answers(&server.configuration().await.unwrap()), KINDS[2].expected);
    // The check finds an invalid or missing included file at its own path.
    for (change, words) in [
        (("more.yml", "modules: [\n"), "conf/more.yml'"),
        (("listen.yml", "listen:\n  - { port: many, module: ejabberd_c2s }\n"), "listen"),
        (
            (
                "ejabberd.yml",
                "hosts: [test.example]\ninclude_config_file: /home/ejabberd/conf/gone.yml\n",
            ),
            "gone.yml",
        ),
    ] {
        let mut broken = new.clone();
        broken.insert(change.0.to_owned(), change.1.as_bytes().to_vec());
        match verdict(&container, Some(&server), &broken).await {
            Verdict::Refused(why) => assert!(why.contains(words), "{words}: {why}"),
            other => panic!("{words}: {other:?}"),
        }
    }
    // The check refuses a configuration whose database driver is missing. The images have no driver
    // for PostgreSQL, MySQL or Redis.
    for (line, words) in [
        ("auth_method: sql\nsql_type: pgsql\n", "`sql_type: pgsql` of test.example needs"),
        ("host_config:\n  test.example:\n    default_db: sql\n    sql_type: mysql\n", "p1_mysql"),
        ("default_ram_db: redis\n", "eredis"),
    ] {
        let new = files(&[("ejabberd.yml", &format!("hosts: [test.example]\n{line}"))]);
        match verdict(&container, Some(&server), &new).await {
            Verdict::Refused(why) => assert!(why.contains(words), "{words}: {why}"),
            other => panic!("{words}: {other:?}"),
        }
    }
    // The check leaves no files behind, and the server has its old files.
    let left =
        "ls -d /tmp/ejabberd-operator-* /home/ejabberd/conf/.ejabberd-operator-* 2>/dev/null";
    let left = docker(&["exec", &container.name, "sh", "-c", &format!("{left}; true")]);
    assert_eq!(left, "");
    assert_eq!(answers(&server.configuration().await.unwrap()), KINDS[2].expected);
    // The check has the same results for a stopped server.
    server.stop().await.unwrap();
    server.close().await;
    container.runtime.stop().await.unwrap();
    for kind in KINDS.iter().filter(|kind| kind.since <= has) {
        match verdict(&container, None, &files(kind.files)).await {
            Verdict::Accepted(read) => assert_eq!(answers(&read), kind.expected, "{}", kind.name),
            other => panic!("stopped, {}: {other:?}", kind.name),
        }
    }
}

#[tokio::test]
async fn configurations_read_as_ejabberd_reads_them_newest() {
    reads_as_ejabberd("newest").await;
}

#[tokio::test]
async fn configurations_read_as_ejabberd_reads_them_ecs() {
    reads_as_ejabberd("24.12-ecs").await;
}

#[tokio::test]
async fn configurations_read_as_ejabberd_reads_them_ghcr() {
    reads_as_ejabberd("newest-ghcr").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn configurations_read_as_ejabberd_reads_them_24_12() {
    reads_as_ejabberd("24.12").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn configurations_read_as_ejabberd_reads_them_23_01() {
    reads_as_ejabberd("23.01").await;
}

/// Declares the configuration with the further files `beside`, and with `objects`.
fn declare(host: &Host, beside: &[&str], objects: &str) {
    let beside: Vec<String> = beside.iter().map(|name| format!("{name}: {name}")).collect();
    let text = format!("{}    files: {{ {} }}\n{objects}", host.head(), beside.join(", "));
    fs::write(host.file(), text).unwrap();
}

/// Returns the step of the kind `config` in the plan; null if the plan has no such step.
fn step(host: &Host) -> serde_json::Value {
    let plan = host.run(&["plan", "--output", "json"]).expect(0).json();
    let steps = plan["steps"].as_array().unwrap();
    steps.iter().find(|step| step["kind"] == "config").cloned().unwrap_or_default()
}

fn reason(host: &Host) -> String {
    step(host)["reason"].as_str().unwrap_or_default().to_owned()
}

fn read_on_server(host: &Host, name: &str) -> String {
    docker(&["exec", &host.container, "cat", &format!("/home/ejabberd/conf/{name}")])
}

const INCLUDES: &str = "include_config_file: /home/ejabberd/conf/extra.yml\n";

/// Tests included files. At the first start, a new file includes another new file by its absolute
/// path. Later, the operator refuses a broken included file, and does not interrupt the server.
fn included_files(version: &str) {
    let host = Host::new(version);
    fs::write(host.path("ejabberd.yml"), format!("{CONFIG}{INCLUDES}")).unwrap();
    fs::write(host.path("extra.yml"), "language: de\n").unwrap();
    declare(&host, &["extra.yml"], "  users: [{ name: ann, password: a }]\n");
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users(), ["ann"]);
    let before = started(&host);

    fs::write(host.path("extra.yml"), "language: [\n").unwrap();
    let why = reason(&host);
    assert!(why.contains("refused: ") && why.contains("extra.yml"), "{why}");
    let ran = host.run(&["apply"]).expect(1);
    assert!(ran.stdout.contains("extra.yml"), "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(
        (started(&host), read_on_server(&host, "extra.yml")),
        (before.clone(), "language: de".to_owned())
    );

    // The operator compares the content of included files: a reload is enough for this option.
    fs::write(host.path("extra.yml"), "# a comment\nlanguage: fr\n").unwrap();
    let found = step(&host);
    assert!(found["reason"].as_str().unwrap().contains("a reload is enough"), "{found}");
    assert_eq!(found["fields"], serde_json::json!(["language"]));
    host.run(&["apply"]).expect(0);
    assert_eq!(started(&host), before);
    // This option needs a restart.
    fs::write(host.path("extra.yml"), "language: fr\nqueue_type: file\n").unwrap();
    assert!(reason(&host).contains("a restart is needed: `queue_type`"), "{}", reason(&host));
}

#[test]
fn included_files_are_checked_at_their_paths_newest() {
    included_files("newest");
}

#[test]
fn included_files_are_checked_at_their_paths_ecs() {
    included_files("24.12-ecs");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn included_files_are_checked_at_their_paths_ghcr() {
    included_files("newest-ghcr");
}

/// The plan refuses an invalid configuration, and the server keeps running.
fn refused_in_the_plan(version: &str) {
    let host = Host::new(version);
    host.declare("  users: [{ name: ann, password: a }]\n");
    host.run(&["apply"]).expect(0);
    let before = started(&host);
    let hosts = |hosts: &str| CONFIG.replace("hosts: [test.example]", hosts);
    for (text, words) in [
        (hosts("hosts: [other.example]"), "it does not serve `test.example`"),
        (hosts("define_macro: { H: third.example }\nhosts: [H]"), "its `hosts` are third.example"),
        (format!("{CONFIG}sql_type: pgsql\ndefault_db: sql\n"), "p1_pgsql, which is not installed"),
        (CONFIG.replace("port: 5222", "port: many"), "ejabberd refuses it: "),
    ] {
        fs::write(host.path("ejabberd.yml"), text).unwrap();
        let why = reason(&host);
        assert!(why.contains("refused: ") && why.contains(words), "{words}: {why}");
        let shown = host.run(&["plan"]).expect(0).stdout.replace(['\n', ' '], "");
        assert!(shown.contains(&words.replace(' ', "")), "{words}: {shown}");
        let ran = host.run(&["apply"]).expect(1);
        let output = format!("{}{}", ran.stdout, ran.stderr).replace(['\n', ' '], "");
        assert!(output.contains(&words.replace(' ', "")), "{words}: {output}");
        assert_eq!(started(&host), before, "{words}");
        assert_eq!(read_on_server(&host, "ejabberd.yml"), CONFIG.trim(), "{words}");
    }
    // A variant with the name `hardened` must pass the security checklist.
    let head = host
        .head()
        .replace("variant: test\n", "variant: hardened\n")
        .replace("{ test:", "{ hardened:");
    fs::write(host.file(), head).unwrap();
    for (text, words) in [
        (
            CONFIG.replace("ip: 127.0.0.1", "ip: \"::\""),
            "loopback_inside: ejabberd_c2s would listen at [::]:5222",
        ),
        (format!("{CONFIG}# more\n"), "api_commands: there are no api_permissions"),
    ] {
        fs::write(host.path("ejabberd.yml"), text).unwrap();
        let why = reason(&host);
        assert!(why.contains("it is called `hardened` and fails"), "{why}");
        assert!(why.contains(words), "{words}: {why}");
        host.run(&["apply"]).expect(1);
        assert_eq!(started(&host), before);
    }
}

#[test]
fn an_invalid_configuration_is_refused_in_the_plan_newest() {
    refused_in_the_plan("newest");
}

#[test]
fn an_invalid_configuration_is_refused_in_the_plan_ecs() {
    refused_in_the_plan("24.12-ecs");
}

/// The plan refuses a hardened variant that cannot be secure in the container.
fn hardened_where_it_runs(version: &str) {
    let host = Host::new(version);
    shipped::certificate(&host);
    let image = image(version);
    docker(&["run", "-d", "--name", &host.container, "-p", "5222", &image]);
    shipped::declare(&host, "bridge", "permissive", "");
    host.run(&["apply"]).expect(0);
    let before = started(&host);
    shipped::declare(&host, "bridge", "hardened", "");
    let plan = host.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("it is called `hardened` and fails"), "{plan}");
    assert!(plan.contains("loopback_published"), "{plan}");
    host.run(&["apply"]).expect(1);
    assert_eq!(started(&host), before);
}

#[test]
fn a_hardened_variant_is_refused_where_it_cannot_be_newest() {
    hardened_where_it_runs("newest");
}

#[test]
fn a_hardened_variant_is_refused_where_it_cannot_be_ecs() {
    hardened_where_it_runs("24.12-ecs");
}

/// The operator compares the values of macros, not their names, and uses the rules of the server's
/// version.
fn values_decide(version: &str, log_reloads: bool) {
    let host = Host::new(version);
    let with = |macros: &str, more: &str| {
        let text = CONFIG.replace("max_users: 200", "max_users: MOST");
        fs::write(host.path("ejabberd.yml"), format!("define_macro: {macros}\n{text}{more}"))
            .unwrap();
    };
    with("{ MOST: 150, KIND: ram }", "queue_type: KIND\nlog_rotate_count: 1\n");
    host.declare("");
    host.run(&["apply"]).expect(0);
    let before = started(&host);
    // A reload is enough for other macros with the same values, and for an unused macro.
    with(
        "{ ALSO: 150, MOST: ALSO, KIND: \"ram\", OTHER: 7 }",
        "queue_type: KIND\nlog_rotate_count: 1\n",
    );
    let found = step(&host);
    assert!(found["reason"].as_str().unwrap().contains("a reload is enough"), "{found}");
    assert_eq!(found["fields"], serde_json::json!(["ejabberd.yml"]));
    host.run(&["apply"]).expect(0);
    assert_eq!(started(&host), before);
    // A new value of a macro needs a restart if an option that uses the macro needs a restart.
    with("{ MOST: 150, KIND: file }", "queue_type: KIND\nlog_rotate_count: 1\n");
    assert!(reason(&host).contains("a restart is needed: `queue_type`"), "{}", reason(&host));
    with("{ MOST: 150, KIND: ram }", "queue_type: KIND\nlog_rotate_count: 2\n");
    assert_eq!(reason(&host).contains("a reload is enough"), log_reloads, "{}", reason(&host));
}

#[test]
fn values_decide_between_reload_and_restart_newest() {
    values_decide("newest", true);
}

#[test]
fn values_decide_between_reload_and_restart_ecs() {
    values_decide("24.12-ecs", true);
}

#[test]
fn values_decide_between_reload_and_restart_23_01() {
    values_decide("23.01", false);
}

/// If the configuration is mounted read-only, the operator does not change the server and does not
/// write files of the host. The status has the cause.
fn read_only(version: &str, directory: bool) {
    let host = Host::new(version);
    let mounted = host.path(if directory { "conf" } else { "conf/ejabberd.yml" });
    fs::create_dir(host.path("conf")).unwrap();
    let origin = unique("origin");
    docker(&["create", "--name", &origin, &image(version)]);
    docker(&[
        "cp",
        &format!("{origin}:/home/ejabberd/conf/."),
        &host.path("conf").display().to_string(),
    ]);
    docker(&["rm", "-v", &origin]);
    replace(&host.path("conf/ejabberd.yml"), CONFIG);
    for entry in fs::read_dir(host.path("conf")).unwrap() {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::set_permissions(path, open).unwrap();
        }
    }
    let parent = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(host.path("."), parent).unwrap();
    let inside = if directory { "/home/ejabberd/conf" } else { "/home/ejabberd/conf/ejabberd.yml" };
    let mount = format!("{}:{inside}:ro", mounted.display());
    docker(&["run", "-d", "--name", &host.container, "-v", &mount, &image(version)]);
    host.declare("  users: [{ name: ann, password: a }]\n");
    host.run(&["apply"]).expect(0);
    let before = started(&host);

    // The change needs a restart, but the files cannot be written.
    let new = format!("{CONFIG}queue_type: file\n");
    replace(&host.path("ejabberd.yml"), &new);
    let operator = watch(&host, "run.log");
    until(&host, &operator, "the status has the cause", |status| {
        let message =
            condition(status, "ConfigApplied")["message"].as_str().unwrap_or_default().to_owned();
        message.contains("read-only") && message.contains(&host.path("conf").display().to_string())
    });
    left_alone(&host, &operator, std::time::Duration::from_secs(8));
    assert_eq!(started(&host), before);
    assert_eq!(fs::read_to_string(host.path("conf/ejabberd.yml")).unwrap(), CONFIG);
    assert_eq!(host.users(), ["ann"], "{:#}", status(&host));
    // After an administrator edits the mounted file on the host, the plan has no step for the
    // configuration.
    drop(operator);
    if !directory {
        fs::write(host.path("conf/ejabberd.yml"), &new).unwrap();
        let plan = host.run(&["plan", "--output", "json"]).expect(0).json();
        let steps = plan["steps"].as_array().unwrap();
        assert!(steps.iter().all(|step| step["kind"] != "config"), "{plan:#}");
    }
}

#[test]
fn a_file_that_is_mounted_read_only_belongs_to_the_host_newest() {
    read_only("newest", false);
}

#[test]
fn a_directory_that_is_mounted_read_only_is_left_alone_newest() {
    read_only("newest", true);
}

#[test]
fn a_file_that_is_mounted_read_only_belongs_to_the_host_ecs() {
    read_only("24.12-ecs", false);
}

/// The operator understands the configuration files of the official images, which have macros in
/// `listen` and `hosts`.
fn shipped_files(version: &str) {
    let host = Host::new(version);
    docker(&[
        "run",
        "-d",
        "--name",
        &host.container,
        "-e",
        "EJABBERD_MACRO_PORT_C2S=5333",
        &image(version),
    ]);
    let text = format!(
        "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: {{ name: test }}\nspec:\n  host: localhost\n  \
         server:\n    docker: {{ container: {}, image: \"{}\", network: bridge }}\n",
        host.container,
        image(version)
    );
    fs::write(host.file(), text).unwrap();
    host.run(&["apply"]).expect(0);
    let audit = host.run(&["audit", "--output", "json"]).expect(2).stdout;
    assert!(audit.contains("ejabberd_c2s on port 5333"), "{audit}");
    assert!(!audit.contains("of `listen`") && !audit.contains("not understood"), "{audit}");
    let doctor = host.run(&["doctor"]).stdout;
    assert!(!doctor.contains("of `listen`") && !doctor.contains("not understood"), "{doctor}");
    // The same file as a declared variant changes no option.
    let shipped = docker(&["exec", &host.container, "cat", "/home/ejabberd/conf/ejabberd.yml"]);
    fs::write(host.path("ejabberd.yml"), format!("{shipped}\n# more\n")).unwrap();
    let declared = host.head().replace(&format!("host: {HOST}"), "host: localhost");
    fs::write(host.file(), declared).unwrap();
    let found = step(&host);
    assert!(found["reason"].as_str().unwrap().contains("a reload is enough"), "{found}");
    assert_eq!(found["fields"], serde_json::json!(["ejabberd.yml"]));
}

#[test]
fn the_files_of_the_official_images_are_understood_ecs() {
    shipped_files("24.12-ecs");
}

#[test]
fn the_files_of_the_official_images_are_understood_ghcr() {
    shipped_files("newest-ghcr");
}
