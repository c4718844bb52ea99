//! A host without Docker: a container with an installed ejabberd, in which the operator runs as a
//! program of that host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::host::Ran;
use super::real::{CONFIG, HOST, docker, image, unique};

/// The directory of the server's files inside the container.
pub const DIRECTORY: &str = "/srv/xmpp";
/// The operator's state directory inside the container. Not below `/files`, which other users may
/// write: the operator refuses such a state directory.
pub const STATE: &str = "/state";

/// The container that is used as a host. Dropping the value removes the container.
pub struct Inside {
    directory: tempfile::TempDir,
    pub name: String,
    /// The user that runs the operator.
    pub user: &'static str,
    /// The content of `spec.server.process`.
    pub process: String,
}

impl Inside {
    /// Starts a container with `programs` as `/usr/local/bin/NAME`.
    pub fn new(version: &str, programs: &[(&str, PathBuf)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(directory.path().join("ejabberd.yml"), CONFIG).unwrap();
        let name = unique("inside");
        let mut args: Vec<String> =
            ["run", "--rm", "-d", "--name", &name, "--user", "root", "--entrypoint", "sleep"]
                .map(str::to_owned)
                .into();
        for (name, program) in programs {
            args.push(format!("-v={}:/usr/local/bin/{name}:ro", program.display()));
        }
        args.push(format!("-v={}:/files:rw", directory.path().display()));
        args.extend([image(version), "infinity".to_owned()]);
        docker(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let process = format!("{{ directory: {DIRECTORY} }}");
        Self { directory, name, user: "root", process }
    }

    /// Starts a container with the operator.
    pub fn with_operator(version: &str) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_ejabberd-operator"));
        Self::new(version, &[("ejabberd-operator", program)])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the desired state. `state` is `spec.server.state`, and `more` has further keys of
    /// `spec`.
    pub fn declare(&self, state: &str, more: &str) {
        let text = format!(
            "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: {{ name: test }}\nspec:\n  host: {HOST}\n  \
             server: {{ process: {}, state: {state} }}\n  config:\n    variant: test\n    variants: {{ test: ejabberd.yml }}\n{more}",
            self.process
        );
        let new = self.path("desired-state.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path("desired-state.yaml")).unwrap();
    }

    /// Runs a program inside the container as `user`, until the program ends.
    pub fn exec(&self, user: &str, args: &[&str]) -> Ran {
        let exec = ["exec", "--user", user, "-w", "/files", &self.name];
        let Output { status, stdout, stderr } =
            Command::new("docker").args(exec).args(args).output().unwrap();
        Ran {
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Runs the operator until the operator ends.
    pub fn operator(&self, args: &[&str]) -> Ran {
        self.own_state();
        let program = ["ejabberd-operator", "--state-dir", STATE];
        self.exec(self.user, &[&program[..], args].concat())
    }

    /// Starts the operator. Returns the process id of the operator inside the container.
    pub fn start(&self) -> String {
        let _ = fs::remove_file(self.path("pid"));
        self.own_state();
        let run = format!(
            "echo $$ >/files/pid.new && mv /files/pid.new /files/pid && \
            exec ejabberd-operator --state-dir {STATE} run --listen 127.0.0.1:0 --resync 1h \
            >>/files/run.log 2>&1"
        );
        docker(&["exec", "-d", "--user", self.user, "-w", "/files", &self.name, "sh", "-c", &run]);
        self.wait("the operator's pid", || self.path("pid").exists());
        fs::read_to_string(self.path("pid")).unwrap().trim().to_owned()
    }

    /// Creates the state directory for the user that runs the operator.
    pub fn own_state(&self) {
        let user = self.user;
        self.exec("root", &["install", "-d", "-m", "0700", "-o", user, STATE]).expect(0);
    }

    /// Returns the process ids of the servers inside the container.
    pub fn servers(&self) -> Vec<String> {
        let found = self.exec("root", &["pgrep", "-f", "beam.smp .* -s ejabberd( |$)"]).stdout;
        found.lines().map(str::to_owned).collect()
    }

    /// Returns the process id of the only server. Fails the test if there is not exactly one
    /// server.
    pub fn server(&self) -> String {
        match self.servers().as_slice() {
            [one] => one.clone(),
            other => panic!("servers: {other:?}\n{}", self.log()),
        }
    }

    pub fn kill(&self, signal: &str, pid: &str) {
        self.exec("root", &["kill", "-s", signal, pid]).expect(0);
    }

    pub fn runs(&self, pid: &str) -> bool {
        self.exec("root", &["kill", "-0", pid]).code == Some(0)
    }

    /// Runs `ejabberdctl` for the server in [`DIRECTORY`], as an administrator would.
    pub fn ctl(&self, args: &[&str]) -> String {
        self.try_ctl(args).expect(0).stdout
    }

    /// Returns whether the server responds.
    pub fn answers(&self) -> bool {
        self.try_ctl(&["status"]).code == Some(0)
    }

    fn try_ctl(&self, args: &[&str]) -> Ran {
        let script = format!("{DIRECTORY}/ejabberdctl");
        self.exec("root", &[&[script.as_str()][..], args].concat())
    }

    /// Returns the output of the operator and the server.
    pub fn log(&self) -> String {
        let log = format!("{DIRECTORY}/logs");
        let console =
            self.exec("root", &["tail", "-n", "30", &format!("{log}/console.log")]).stdout;
        let server =
            self.exec("root", &["tail", "-n", "30", &format!("{log}/ejabberd.log")]).stdout;
        let operator = fs::read_to_string(self.path("run.log")).unwrap_or_default();
        format!("-- operator\n{operator}\n-- console\n{console}\n-- server\n{server}")
    }

    /// Waits until `holds` returns `true`, and returns the elapsed time. Fails the test after one
    /// minute.
    pub fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
        let began = Instant::now();
        while !holds() {
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "{what}: not in time\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        began.elapsed()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // Removes the files as root, because the user of the test cannot always remove the files of
        // other users.
        let _ = self.exec("root", &["sh", "-c", "rm -rf /files/*"]);
        let _ = Command::new("docker").args(["rm", "-f", "-v", &self.name]).output();
    }
}
