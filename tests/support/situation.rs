//! Adopts a server that was started by hand, in each way that administrators use, and then causes
//! the usual changes and faults of the server.
//!
//! A client is logged in throughout. The situation fails after a restart of a healthy server, an
//! unnecessary loss of the connection, or a change to another database.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::client::Client;
use super::host::{Daemon, Host, Ran};
use super::real::{docker, image};
use super::watched::{condition, is_ready, signal, started, until, vm, watch};

/// How a container gets its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `ejabberd.yml` of the host, mounted alone.
    File,
    /// The whole configuration directory of the host.
    Directory,
    /// A named volume for the database and one for the configuration.
    Named,
    /// Only the volumes that the image declares.
    Nothing,
    /// One volume for the home directory, which contains everything else.
    Parent,
    /// A compose file with named volumes.
    Compose,
}

impl Way {
    pub const ALL: [Self; 6] =
        [Self::File, Self::Directory, Self::Named, Self::Nothing, Self::Parent, Self::Compose];
}

/// One container that was started by hand.
#[derive(Debug, Clone, Copy)]
pub struct Situation {
    /// The tag of the image.
    pub version: &'static str,
    pub way: Way,
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12} {:<10}", self.version, format!("{:?}", self.way).to_lowercase())
    }
}

/// The result of one situation.
pub struct Proved {
    /// Each step with its duration.
    pub steps: Vec<(&'static str, Duration)>,
}

/// The account of the client that stays logged in.
const ACCOUNT: &str = "ann";
const PASSWORD: &str = "correct horse";
const DOMAIN: &str = "localhost";

/// The time that a test waits for an unwanted action of the operator.
const QUIET: Duration = Duration::from_secs(8);

impl Situation {
    /// Returns whether a container that is removed and created again gets the same database. If the
    /// image declares a volume for the database itself, a volume above that one does not contain
    /// it.
    fn keeps_database(self) -> bool {
        match self.way {
            Way::Named | Way::Compose => true,
            Way::Parent => self.version.ends_with("ghcr"),
            Way::File | Way::Directory | Way::Nothing => false,
        }
    }

    /// Runs all steps; panics at the first failure.
    pub fn prove(self) -> Proved {
        let stage = Stage::new(self);
        let mut steps = Vec::new();
        let mut step = |name, run: &dyn Fn()| {
            let began = Instant::now();
            run();
            steps.push((name, began.elapsed()));
        };
        stage.start();
        stage.populate();
        let mut client = stage.log_in();
        let before = stage.instance();
        step("export", &|| stage.export());
        step("plan", &|| stage.nothing_to_do());
        step("apply", &|| drop(stage.run(&["apply"]).expect(0)));
        let operator = stage.watch();
        step("run", &|| {
            until(&stage.host, &operator, "ready", is_ready);
            std::thread::sleep(QUIET);
        });
        stage.unchanged(&before, &mut client, &operator);

        // A configuration that needs no restart disconnects no client.
        step("reload", &|| {
            stage.change("loglevel: ", "loglevel: warning");
            until(&stage.host, &operator, "reloaded", |s| {
                is_ready(s) && stage.in_force("loglevel: warning")
            });
        });
        stage.unchanged(&before, &mut client, &operator);

        // The network of the client ends with the process of the container.
        drop(client);
        let restarted = |act: &dyn Fn()| {
            let before = stage.instance();
            act();
            until(&stage.host, &operator, "back again", |s| {
                let now = stage.instance();
                now != before && now.0.starts_with("true") && is_ready(s)
            });
            stage.has_its_database();
        };
        step("kill", &|| restarted(&|| drop(docker(&["kill", &stage.host.container]))));
        step("freeze", &|| restarted(&|| signal(&vm(&stage.host).unwrap(), "STOP")));
        step("stop", &|| restarted(&|| drop(docker(&["stop", &stage.host.container]))));
        step("closed", &|| stage.switch("closed", &operator));
        step("back", &|| stage.switch("exported", &operator));
        let mut client = stage.log_in();
        let before = stage.instance();
        std::thread::sleep(QUIET);
        stage.unchanged(&before, &mut client, &operator);

        // The owner removes the container, and starts a new container by hand.
        step("remove", &|| {
            stage.remove();
            std::thread::sleep(QUIET);
            let there = Command::new("docker").args(["inspect", &stage.host.container]).output();
            assert!(
                !there.unwrap().status.success(),
                "the operator replaced a container that it does not own\n{}",
                operator.log()
            );
        });
        step("again", &|| {
            stage.start();
            if !self.keeps_database() {
                stage.decide_about_another_database(&operator);
            }
            until(&stage.host, &operator, "adopted again", is_ready);
            if self.keeps_database() {
                stage.has_its_database();
            }
        });
        let before = stage.instance();
        std::thread::sleep(QUIET);
        assert_eq!(stage.instance(), before, "restarted\n{}", operator.log());
        Proved { steps }
    }
}

/// The files and the client of one situation.
struct Stage {
    situation: Situation,
    host: Host,
    /// The output file of `export`.
    exported: PathBuf,
}

impl Stage {
    fn new(situation: Situation) -> Self {
        let host = Host::new(situation.version);
        let exported = host.path("exported");
        let stage = Self { situation, host, exported };
        super::shipped::certificate(&stage.host);
        // The user of the container must be able to read the files.
        fs::set_permissions(stage.host.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        match situation.way {
            Way::File => {
                let file = stage.host.path("mounted.yml");
                fs::write(&file, stage.of_image("ejabberd.yml")).unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
            }
            Way::Directory => stage.copy_directory(),
            Way::Compose => stage.write_compose_file(),
            Way::Named | Way::Nothing | Way::Parent => {}
        }
        stage
    }

    /// The home directory of the image.
    fn home(&self) -> &'static str {
        if self.situation.version.ends_with("ghcr") { "/opt/ejabberd" } else { "/home/ejabberd" }
    }

    fn conf(&self) -> String {
        format!("{}/conf", self.home())
    }

    fn volume(&self, what: &str) -> String {
        format!("{}-{what}", self.host.container)
    }

    fn of_image(&self, file: &str) -> String {
        let path = format!("{}/{file}", self.conf());
        let image = image(&self.host.version);
        docker(&["run", "--rm", "--entrypoint", "cat", &image, &path]) + "\n"
    }

    fn copy_directory(&self) {
        let made = docker(&["create", &image(&self.host.version)]);
        let directory = self.host.path("conf");
        docker(&["cp", &format!("{made}:{}", self.conf()), directory.to_str().unwrap()]);
        docker(&["rm", "-v", &made]);
        let image = image(&self.host.version);
        let uid = docker(&["run", "--rm", "--entrypoint", "id", &image, "-u"]);
        let owned = Command::new("chown").args(["-R", &uid]).arg(&directory).status().unwrap();
        assert!(owned.success());
    }

    fn write_compose_file(&self) {
        let (home, database) = (self.home(), self.volume("db"));
        let text = format!(
            "version: '3'\nservices:\n  xmpp:\n    image: {}\n    container_name: {}\n    \
             volumes: ['{database}:{home}/database', '{1}-cf:{home}/conf']\nvolumes:\n  \
             {database}: {{ name: {database} }}\n  {1}-cf: {{ name: {1}-cf }}\n",
            image(&self.host.version),
            self.host.container,
        );
        fs::write(self.host.path("docker-compose.yml"), text).unwrap();
    }

    fn compose(&self, args: &[&str]) {
        let mut command = Command::new("docker-compose");
        command.current_dir(self.host.path("")).args(["-p", &self.host.container]).args(args);
        let output = command.output().expect("docker-compose is needed");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "docker-compose {args:?}: {text}");
    }

    fn start(&self) {
        let (home, conf) = (self.home(), self.conf());
        let host = |name: &str| self.host.path(name).display().to_string();
        let mounts = match self.situation.way {
            Way::Compose => {
                self.compose(&["up", "-d"]);
                return self.wait_until_started();
            }
            Way::File => vec![format!("{}:{conf}/ejabberd.yml", host("mounted.yml"))],
            Way::Directory => vec![format!("{}:{conf}", host("conf"))],
            Way::Named => vec![
                format!("{}:{home}/database", self.volume("db")),
                format!("{}:{conf}", self.volume("cf")),
            ],
            Way::Nothing => Vec::new(),
            Way::Parent => vec![format!("{}:{home}", self.volume("all"))],
        };
        let image = image(&self.host.version);
        let mut args = vec!["run", "-d", "--name", self.host.container.as_str()];
        for mount in &mounts {
            args.extend(["-v", mount.as_str()]);
        }
        args.push(&image);
        docker(&args);
        self.wait_until_started();
    }

    fn wait_until_started(&self) {
        let began = Instant::now();
        while !self.ctl(&["status"]).is_some_and(|text| text.contains("is running")) {
            // On a busy host a server may fail to load its code (seen once). The operator does not
            // run yet, so the test starts the server again.
            if started(&self.host).starts_with("false") {
                docker(&["start", &self.host.container]);
            }
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "{}",
                docker(&["logs", "--tail", "20", &self.host.container])
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Returns the output of `ejabberdctl`. `None` if the command fails.
    fn ctl(&self, args: &[&str]) -> Option<String> {
        let ctl = ["exec", self.host.container.as_str(), "ejabberdctl"];
        let output = Command::new("docker").args(ctl).args(args).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn populate(&self) {
        self.host.ctl(&["register", ACCOUNT, DOMAIN, PASSWORD]);
        self.host.ctl(&["register", "bob", DOMAIN, "another"]);
        self.host.ctl(&["create_room", "hall", &format!("conference.{DOMAIN}"), DOMAIN]);
    }

    /// Waits for a server that has just started, and checks its accounts.
    fn has_its_database(&self) {
        let began = Instant::now();
        loop {
            // While the server starts, the list may be empty for a moment.
            let users = self.ctl(&["registered_users", DOMAIN]).unwrap_or_default();
            if users.lines().any(|line| line == ACCOUNT) {
                let right = self.ctl(&["check_password", ACCOUNT, DOMAIN, PASSWORD]);
                assert!(right.is_some(), "the password of {ACCOUNT} is another one");
                return;
            }
            assert!(began.elapsed() < Duration::from_mins(1), "the accounts are gone: {users}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Checks that the operator fills the new database only after an order. The old database was
    /// lost with the container.
    fn decide_about_another_database(&self, operator: &Daemon) {
        until(&self.host, operator, "missing", |s| {
            condition(s, "Stalled")["reason"] == "DatabaseMissing"
        });
        std::thread::sleep(QUIET);
        let users = self.ctl(&["registered_users", DOMAIN]).unwrap_or_default();
        assert_eq!(users, "", "filled without an order\n{}", operator.log());
        self.run(&["retry", "--fill"]).expect(0);
    }

    /// Returns the state of the container with its start time, and the process id of the VM.
    fn instance(&self) -> (String, Option<String>) {
        (started(&self.host), vm(&self.host))
    }

    fn unchanged(&self, before: &(String, Option<String>), client: &mut Client, operator: &Daemon) {
        assert_eq!(self.instance(), *before, "a healthy server was restarted\n{}", operator.log());
        client.has_stayed();
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.host.run(args)
    }

    fn watch(&self) -> Daemon {
        watch(&self.host, "run.log")
    }

    /// Uses the exported file as the desired state, with a second variant.
    fn export(&self) {
        let into = self.exported.to_str().unwrap();
        self.host.run(&["export", "--container", &self.host.container, "--output", into]).expect(0);
        let text = fs::read_to_string(self.exported.join("desired-state.yaml")).unwrap();
        let text =
            text.replace("exported: ejabberd.yml", &format!("exported: {into}/ejabberd.yml"));
        let gate = "    gate: { settle: 1s }\n    variants:\n";
        let text = text.replacen("    variants:\n", gate, 1);
        let probes = "    probe: { interval: 2s }\n    backoff: { initial: 1s, max: 10s }\n";
        let text = text.replacen("  server:\n", &format!("  server:\n{probes}"), 1);
        fs::write(self.host.file(), text).unwrap();
    }

    fn nothing_to_do(&self) {
        let plan = self.host.run(&["plan", "--detailed-exitcode"]).expect(0);
        assert!(plan.stdout.contains("Nothing to do"), "{}", plan.stdout);
    }

    /// Replaces the line of the configuration that begins with `option`.
    fn change(&self, option: &str, line: &str) {
        let path = self.exported.join("ejabberd.yml");
        let text = fs::read_to_string(&path).unwrap();
        let others = text.lines().filter(|line| !line.starts_with(option));
        let lines: Vec<&str> = others.chain([line, ""]).collect();
        super::host::replace(&path, &lines.join("\n"));
    }

    fn in_force(&self, line: &str) -> bool {
        let file = format!("{}/ejabberd.yml", self.conf());
        docker(&["exec", &self.host.container, "cat", &file]).contains(line)
    }

    /// Puts `variant` in force: the shipped hardened configuration or the exported configuration.
    /// The hardened configuration has the name `closed` here. In a bridge network other containers
    /// can reach epmd, so the operator would refuse a variant with the name `hardened`.
    fn switch(&self, variant: &str, operator: &Daemon) {
        let closed = self.host.path("closed.yml");
        let shipped = Path::new(super::shipped::MANIFESTS).join("ejabberd-hardened.yml");
        let text = fs::read_to_string(shipped).unwrap();
        let text = text.replace("/home/ejabberd/conf/", &format!("{}/", self.conf()));
        fs::write(&closed, text.replace("- smoothcurves.nexus", &format!("- {DOMAIN}"))).unwrap();
        let file = fs::read_to_string(self.host.file()).unwrap();
        let exported = format!("exported: {}", self.exported.join("ejabberd.yml").display());
        let file = if file.contains("closed: ") {
            file
        } else {
            let both = format!("{exported}\n      closed: {}", closed.display());
            file.replace(&exported, &both).replace(
                "    variants:\n",
                "    files: { server.pem: server.pem }\n    variants:\n",
            )
        };
        let chosen = format!("    variant: {variant}");
        let lines = file
            .lines()
            .map(|line| if line.starts_with("    variant: ") { chosen.as_str() } else { line });
        let file = lines.chain([""]).collect::<Vec<_>>().join("\n");
        super::host::replace(&self.host.file(), &file);
        until(&self.host, operator, variant, |s| s["variant"] == variant && is_ready(s));
        self.has_its_database();
    }

    fn remove(&self) {
        match self.situation.way {
            Way::Compose => self.compose(&["down"]),
            _ => self.host.remove_container(),
        }
    }

    fn log_in(&self) -> Client {
        Client::new(&self.host, &format!("{ACCOUNT}@{DOMAIN}"), PASSWORD)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let container = &self.host.container;
        let _ = Command::new("docker").args(["rm", "-f", "-v", container]).output();
        for what in ["db", "cf", "all"] {
            let _ = Command::new("docker").args(["volume", "rm", &self.volume(what)]).output();
        }
        let network = format!("{container}_default");
        let _ = Command::new("docker").args(["network", "rm", &network]).output();
    }
}
