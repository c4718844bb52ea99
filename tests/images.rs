//! The test images in the layouts of the official images: checks every property of `ejabberd/ecs`
//! and `ghcr.io/processone/ejabberd` that the operator depends on, with the image that
//! `scripts/ejabberd-image` builds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::real::{docker, image, unique};

/// The image in the layout of `ejabberd/ecs`, with the version that most hosts use in production.
const ECS: &str = "24.12-ecs";

/// The image in the layout of `ghcr.io/processone/ejabberd`. The VM is a child of the script, as in
/// the official image from 26.01 on.
const GHCR: &str = "newest-ghcr";

/// The process id of the server's VM, as an expression for a shell in the container. A VM that runs
/// a command beside the server's VM has a higher process id.
const PID: &str = "$(pidof beam.smp | tr ' ' '\\n' | sort -n | head -1)";

/// A container with a running server. Dropping the value removes the container.
struct Server {
    name: String,
}

impl Server {
    /// Starts a container with these arguments of `docker run`, and returns when the
    /// server has started.
    ///
    /// Reads the log, because `ejabberdctl status` would start a second VM. If two VMs create the
    /// cookie file at the same time, one of them can fail.
    fn start(tag: &str, arguments: &[&str]) -> Self {
        let server = Self::launch(tag, arguments);
        let began = Instant::now();
        while !server.log().contains(" is started in the node ") {
            assert!(began.elapsed() < Duration::from_secs(90), "{}", server.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        server
    }

    fn launch(tag: &str, arguments: &[&str]) -> Self {
        let name = unique("image");
        let image = image(tag);
        docker(&[&["run", "-d", "--name", &name], arguments, &[&image]].concat());
        Self { name }
    }

    /// Runs a shell script in the container; returns its standard output.
    fn shell(&self, script: &str) -> String {
        text(&run(&["exec", &self.name, "sh", "-c", script]).stdout)
    }

    /// The command line of the VM of the server.
    fn vm(&self) -> String {
        docker(&["top", &self.name, "-o", "pid,args"])
            .lines()
            .find(|line| line.contains("beam.smp") && line.contains("-s ejabberd "))
            .map(|line| {
                line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').to_owned()
            })
            .expect("no VM of a server")
    }

    fn log(&self) -> String {
        let Output { stdout, stderr, .. } = run(&["logs", &self.name]);
        text(&stdout) + &text(&stderr)
    }

    /// Stops the container; returns its exit code.
    fn stop(&self) -> String {
        docker(&["stop", &self.name]);
        docker(&["inspect", "-f", "{{.State.ExitCode}}", &self.name])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run(&["rm", "-f", "-v", &self.name]);
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().expect("docker is needed")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Runs a shell script in a new container, without a server; returns both outputs.
fn shell(tag: &str, script: &str) -> String {
    let Output { stdout, stderr, .. } =
        run(&["run", "--rm", "--entrypoint", "sh", &image(tag), "-c", script]);
    format!("{}\n{}", text(&stdout), text(&stderr)).trim().to_owned()
}

/// A part of the image's configuration.
fn config(tag: &str, key: &str) -> Value {
    let json = docker(&["image", "inspect", "-f", "{{json .Config}}", &image(tag)]);
    serde_json::from_str::<Value>(&json).expect("JSON")[key].take()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// The version of ejabberd in the image, like 26.04.
fn version(tag: &str) -> String {
    let labels = config(tag, "Labels");
    labels["io.ejabberd-operator.ejabberd-version"].as_str().expect("a label").to_owned()
}

/// The version of the release, like 26.4.0.
fn release(tag: &str) -> String {
    let version = version(tag);
    let (year, month) = version.split_once('.').expect("year and month");
    format!("{year}.{}.0", month.trim_start_matches('0'))
}

/// The directory of the release in the layout `ghcr`.
fn ghcr_root() -> String {
    format!("/opt/ejabberd-{}", version(GHCR))
}

#[track_caller]
fn lists(listing: &str, wanted: &[&str]) {
    let found: BTreeSet<&str> = listing.lines().map(str::trim).collect();
    let missing: Vec<_> = wanted.iter().filter(|name| !found.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} not in\n{listing}");
}

#[track_caller]
fn contains(text: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(text.contains(part), "`{part}` not in\n{text}");
    }
}

// --- both layouts -------------------------------------------------------------

fn busybox_is_every_tool(tag: &str) {
    let found = shell(
        tag,
        "for tool in sh sed netstat ps; do readlink -f /bin/$tool; done;
         ls -d /bin/bash /usr/bin/bash /usr/bin/erl /usr/lib/erlang 2>/dev/null",
    );
    let tools: BTreeSet<&str> = found.lines().collect();
    assert_eq!(tools, BTreeSet::from(["/usr/bin/busybox"]));
}

fn applications_lie_side_by_side(tag: &str, root: &str) {
    let found = shell(tag, &format!("ls {root}/lib"));
    let release = release(tag);
    lists(&found, &[&format!("ejabberd-{release}")]);
    for app in ["kernel", "stdlib", "mnesia", "ssl", "elixir", "logger", "fast_xml", "xmpp"] {
        assert!(
            found.lines().any(|name| name.starts_with(&format!("{app}-"))),
            "{app} not in\n{found}"
        );
    }
}

/// Checks that `erl` fails with a boot file but without `-boot_var`.
fn boot_files_need_release_lib(tag: &str, erl: &str, boot_files: &[&str]) {
    for boot in boot_files {
        let found = shell(
            tag,
            &format!("cd; {erl} -noshell -boot {boot} -s init stop; echo \"code $?\"; ls"),
        );
        contains(&found, &["cannot expand $RELEASE_LIB in bootfile", "code 1"]);
        lists(&found, &["erl_crash.dump"]);
    }
}

/// Returns the applications that run after `erl` has loaded a boot file.
fn running_applications(tag: &str, erl: &str, lib: &str, boot: &str) -> BTreeSet<String> {
    let names =
        "[io:format(\"~s~n\", [A]) || {A, _, _} <- application:which_applications()], halt().";
    let script = format!(
        "cd ~/database; export EJABBERD_CONFIG_PATH=../conf/ejabberd.yml
         {erl} -noshell {boot} -boot_var RELEASE_LIB {lib} -mnesia dir '\"'$PWD'\"' -eval '{names}'"
    );
    shell(tag, &script).lines().map(str::to_owned).collect()
}

fn kernel_and_stdlib() -> BTreeSet<String> {
    BTreeSet::from(["kernel".to_owned(), "stdlib".to_owned()])
}

fn configuration_uses_macros(tag: &str, conf: &str) {
    let file = shell(tag, &format!("cat {conf}/ejabberd.yml"));
    contains(&file, &["define_macro:\n", "port: PORT_C2S\n", "hosts:\n  - HOST\n"]);
    contains(&file, &["  HOST: localhost\n", "  PORT_C2S: 5222\n"]);
    let server = Server::start(
        tag,
        &["-e", "EJABBERD_MACRO_HOST=macro.example", "-e", "EJABBERD_MACRO_PORT_C2S=5333"],
    );
    contains(&server.shell("ejabberdctl status"), &["is started", &release(tag)]);
    assert_eq!(server.shell("ejabberdctl registered_vhosts"), "macro.example");
    contains(&server.shell("netstat -ltn"), &[":5333 "]);
}

/// Checks the log of a server that cannot start because another process has its port.
///
/// Tries up to three times, because a VM that halts can lose the last message on its console.
fn logs_a_reason_over_many_lines(tag: &str) {
    let script = "nc -l -p 5222 & exec ejabberdctl foreground";
    let begins = " [critical] Failed to start ejabberd application: {:error,\n {:shutdown,\n";
    let log = (0..3).map(|_| shell(tag, script)).find(|log| log.contains(begins));
    contains(&log.expect("no reason in the log"), &["\n     :eaddrinuse}"]);
}

/// Checks that with `ERL_DIST_PORT` the VM listens at that port and no epmd runs.
fn a_distribution_port_replaces_epmd(tag: &str) {
    let server = Server::start(tag, &["-e", "ERL_DIST_PORT=5210"]);
    contains(&server.vm(), &[" -erl_epmd_port 5210 -start_epmd false "]);
    contains(&server.shell("netstat -ltn"), &[":5210 "]);
    assert!(!docker(&["top", &server.name, "-o", "pid,args"]).contains("epmd -daemon"));
}

// --- ecs ----------------------------------------------------------------------

mod ecs {
    use super::*;

    #[test]
    fn busybox_is_every_tool() {
        super::busybox_is_every_tool(ECS);
    }

    #[test]
    fn the_home_is_the_release() {
        applications_lie_side_by_side(ECS, "/home/ejabberd");
        let version = version(ECS);
        let found = shell(
            ECS,
            &format!("readlink /opt/ejabberd; readlink /opt/ejabberd-{version}; ls /home/ejabberd"),
        );
        assert!(found.starts_with("/home/ejabberd\n/home/ejabberd\n"), "{found}");
        lists(&found, &["bin", "conf", "database", "lib", "logs", "upload"]);
        assert!(!found.contains("erts-") && !found.contains("releases"), "{found}");
    }

    #[test]
    fn erl_and_both_boot_files_are_in_bin() {
        let found = shell(ECS, "ls /home/ejabberd/bin; cat /home/ejabberd/bin/erl");
        lists(&found, &["beam.smp", "epmd", "erl", "erlexec", "erl_child_setup", "inet_gethost"]);
        lists(&found, &["ejabberdctl", "start.boot", "start_clean.boot"]);
        contains(&found, &["ROOTDIR=/home/ejabberd"]);
    }

    #[test]
    fn boot_files_need_release_lib() {
        super::boot_files_need_release_lib(ECS, "bin/erl", &["start", "start_clean"]);
    }

    #[test]
    fn only_start_clean_is_clean() {
        let running = |boot| running_applications(ECS, "../bin/erl", "/home/ejabberd/lib", boot);
        assert_eq!(running("-boot start_clean"), kernel_and_stdlib());
        // Without -boot, `erl` loads start.boot.
        assert!(running("").contains("ejabberd"));
    }

    #[test]
    fn user_is_9000_with_a_shell() {
        let found = shell(ECS, "id; grep ejabberd /etc/passwd; stat -c '%U %n' /home/ejabberd/*");
        contains(&found, &["uid=9000(ejabberd) gid=9000(ejabberd)"]);
        contains(&found, &[":9000:9000::/home/ejabberd:/bin/sh\n"]);
        lists(&found, &["ejabberd /home/ejabberd/conf", "ejabberd /home/ejabberd/database"]);
        lists(&found, &["root /home/ejabberd/bin", "root /home/ejabberd/lib"]);
    }

    #[test]
    fn script_sets_interface_and_ports_of_the_distribution() {
        let server = Server::start(ECS, &["-e", "INET_DIST_INTERFACE=127.0.0.1"]);
        let vm = server.vm();
        assert!(
            vm.starts_with(
                "/home/ejabberd/bin/beam.smp -K true -P 250000 -- -root /home/ejabberd \
                 -bindir /home/ejabberd/bin -progname erl -- -home /home/ejabberd -- \
                 -sname ejabberd@localhost -boot_var RELEASE_LIB ../lib \
                 -kernel inet_dist_listen_min 4370 inet_dist_listen_max 4379 "
            ),
            "{vm}"
        );
        assert!(!vm.contains("inet_dist_use_interface"), "{vm}");
        contains(&server.shell("netstat -ltn"), &[" 0.0.0.0:437"]);
        let directory = server.shell(&format!("readlink /proc/{PID}/cwd"));
        assert_eq!(directory, "/home/ejabberd/database");
        let link = server.shell("readlink database/ejabberd@localhost");
        assert_eq!(link, "/home/ejabberd/database");
    }

    #[test]
    fn a_distribution_port_replaces_epmd() {
        super::a_distribution_port_replaces_epmd(ECS);
    }

    #[test]
    fn volumes_are_four() {
        let volumes = config(ECS, "Volumes");
        let wanted = ["conf", "database", "logs", "upload"].map(|v| format!("/home/ejabberd/{v}"));
        assert_eq!(keys(&volumes), wanted.iter().map(String::as_str).collect());
    }

    #[test]
    fn environment_has_home_locale_and_path() {
        let env = config(ECS, "Env").to_string();
        contains(&env, &["\"HOME=/home/ejabberd\"", "\"LC_ALL=C.UTF-8\"", ":/home/ejabberd/bin\""]);
    }

    #[test]
    fn image_has_no_health_check_and_no_curl() {
        assert_eq!(config(ECS, "Healthcheck"), Value::Null);
        assert_eq!(shell(ECS, "command -v curl"), "");
    }

    #[test]
    fn configuration_uses_macros() {
        super::configuration_uses_macros(ECS, "/home/ejabberd/conf");
    }

    #[test]
    fn logs_a_reason_over_many_lines() {
        super::logs_a_reason_over_many_lines(ECS);
    }

    #[test]
    fn docker_stop_is_clean() {
        let server = Server::start(ECS, &[]);
        assert_eq!(server.stop(), "0");
        contains(&server.log(), &["is stopped in the node"]);
    }
}

// --- ghcr ---------------------------------------------------------------------

mod ghcr {
    use super::*;

    fn erl() -> String {
        format!("{}/erts-*/bin/erl", ghcr_root())
    }

    fn start_clean() -> String {
        format!("{}/releases/{}/start_clean", ghcr_root(), release(GHCR))
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn busybox_is_every_tool() {
        super::busybox_is_every_tool(GHCR);
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn release_and_home_are_apart() {
        let root = ghcr_root();
        applications_lie_side_by_side(GHCR, &root);
        let found = shell(
            GHCR,
            &format!("ls {root} {root}/bin {root}/releases; stat -c '%U %n' {root} /opt/ejabberd"),
        );
        lists(&found, &["bin", "lib", "releases", &release(GHCR)]);
        lists(&found, &[&format!("root {root}"), "ejabberd /opt/ejabberd"]);
        assert_eq!(shell(GHCR, &format!("ls {root}/bin")), "ejabberdctl");
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn erl_is_in_the_runtime_system_only() {
        let found = shell(GHCR, "find / -xdev -name erl -type f; find / -xdev -name '*.boot'");
        let root = ghcr_root();
        let (erl, boot): (Vec<&str>, Vec<&str>) =
            found.lines().partition(|path| path.ends_with("/erl"));
        assert_eq!(erl.len(), 1, "{found}");
        assert!(erl[0].starts_with(&format!("{root}/erts-")), "{found}");
        let releases = format!("{root}/releases/{}/", release(GHCR));
        assert!(boot.iter().all(|path| path.starts_with(&releases)), "{found}");
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn boot_files_need_release_lib() {
        let clean = start_clean();
        let start = clean.trim_end_matches("_clean");
        super::boot_files_need_release_lib(GHCR, &erl(), &[start, &clean]);
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn only_start_clean_is_clean() {
        let lib = format!("{}/lib", ghcr_root());
        let running =
            |boot: &str| running_applications(GHCR, &erl(), &lib, &format!("-boot {boot}"));
        let clean = start_clean();
        assert_eq!(running(&clean), kernel_and_stdlib());
        assert!(running(clean.trim_end_matches("_clean")).contains("ejabberd"));
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn user_is_9000_without_a_shell() {
        let found = shell(GHCR, "id; grep ejabberd /etc/passwd; readlink /home; pwd");
        contains(&found, &["uid=9000(ejabberd) gid=9000(ejabberd)"]);
        contains(&found, &[":9000:9000::/opt/ejabberd:/sbin/nologin\n/opt\n/opt/ejabberd"]);
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn wrapper_leads_to_the_script_of_the_release() {
        let wrapper = shell(GHCR, "cat $(command -v ejabberdctl)");
        for name in
            ["CONFIG_DIR", "LOGS_DIR", "SPOOL_DIR", "ERLANG_NODE_ARG", "EJABBERD_MACRO_ADMIN"]
        {
            contains(&wrapper, &[&format!("export {name}")]);
        }
        let root = ghcr_root();
        assert!(wrapper.ends_with(&format!("exec {root}/bin/ejabberdctl \"$@\"")), "{wrapper}");
        let script = shell(GHCR, &format!("cat {root}/bin/ejabberdctl; ls {root}"));
        let erts = script.lines().find(|line| line.starts_with("erts-")).expect("no erts");
        contains(&script, &[&format!("ERTS_VSN=\"{erts}\"\n")]);
        contains(&script, &["ERL=\"${SCRIPT_DIR%/*}/erts-${ERTS_VSN#erts-}/bin/erl\"\n"]);
        contains(&script, &["ERL_LIBS='"]);
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn vm_is_a_child_of_the_script() {
        let server = Server::start(GHCR, &[]);
        let vm = server.vm();
        let root = ghcr_root();
        contains(
            &vm,
            &[&format!("/beam.smp -K true -P 250000 -- -root {root} -bindir {root}/erts-")],
        );
        contains(
            &vm,
            &[&format!(
                " -home /opt/ejabberd -- -sname ejabberd@localhost \
                 -boot ../releases/{}/start_clean -boot_var RELEASE_LIB ../lib ",
                release(GHCR)
            )],
        );
        let script = format!("/bin/sh {root}/bin/ejabberdctl foreground");
        contains(&docker(&["top", &server.name, "-o", "pid,args"]), &[&script]);
        // The wrapper sets these variables only for the server.
        let env = server.shell("env");
        assert!(!env.contains("CONFIG_DIR") && !env.contains("EJABBERD_MACRO"), "{env}");
        // `docker stop` ends the script, and the engine then kills the VM.
        assert_eq!(server.stop(), "143");
        assert!(!server.log().contains("is stopped in the node"));
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn a_distribution_port_replaces_epmd() {
        super::a_distribution_port_replaces_epmd(GHCR);
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn the_one_volume_has_all_data() {
        let volumes = config(GHCR, "Volumes");
        assert_eq!(keys(&volumes), BTreeSet::from(["/opt/ejabberd"]));
        let server = Server::start(GHCR, &[]);
        let found = server.shell("ls -A /opt/ejabberd");
        lists(&found, &["conf", "database", "logs", "upload", "sql"]);
        lists(&found, &[".ejabberd-modules", ".erlang.cookie"]);
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn environment_is_empty() {
        let env = config(GHCR, "Env");
        let names: Vec<_> = env.as_array().into_iter().flatten().collect();
        assert!(names.iter().all(|v| v.as_str().unwrap().starts_with("PATH=")), "{env}");
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn health_check_asks_for_the_status() {
        let check = config(GHCR, "Healthcheck");
        assert_eq!(check["Test"], serde_json::json!(["CMD-SHELL", "ejabberdctl status"]));
        assert_eq!(check["Interval"], 60_000_000_000_u64);
        assert_eq!(check["Retries"], 10);
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn configuration_uses_macros() {
        super::configuration_uses_macros(GHCR, "/opt/ejabberd/conf");
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn logs_a_reason_over_many_lines() {
        super::logs_a_reason_over_many_lines(GHCR);
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn ejabberdctl_talks_to_a_socket_with_curl() {
        let server = Server::start(GHCR, &[]);
        let found = server.shell(
            "grep ^CTL_OVER_HTTP= conf/ejabberdctl.cfg
             stat -c '%A %U' sockets/ctl_over_http.sock; curl --version",
        );
        let wanted = "CTL_OVER_HTTP=../sockets/ctl_over_http.sock\nsrw------- ejabberd\ncurl ";
        assert!(found.starts_with(wanted), "{found}");
    }

    /// With this cookie, the temporary name of the socket for `ejabberdctl` has a slash, so
    /// ejabberd cannot start.
    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn a_cookie_can_prevent_the_start() {
        let server = Server::launch(GHCR, &["-e", "ERLANG_COOKIE=COOKIE9"]);
        assert_eq!(docker(&["wait", &server.name]), "1");
        // Reads the log file, which contains the reason even if the console lost the last message.
        let log = docker(&["cp", &format!("{}:/opt/ejabberd/logs/ejabberd.log", server.name), "-"]);
        contains(&log, &["ctl_over_http.sock", "{badmatch,{error,enoent}}"]);
    }

    #[test]
    #[ignore = "scripts/test --all runs it"]
    fn vm_has_a_file_capability() {
        let server = Server::start(GHCR, &[]);
        // CAP_NET_BIND_SERVICE is bit 10. A process with a capability of its file is hidden
        // from other processes of the same user.
        let found = server
            .shell(&format!("cd /proc/{PID}; grep CapEff status; readlink cwd || echo hidden"));
        assert_eq!(found, "CapEff:\t0000000000000400\nhidden");
    }
}
