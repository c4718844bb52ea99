//! A separate host for one test: a directory with the files, a container with a unique name, and
//! the real binary.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::real::{HOST, docker, image, unique};
use super::schemas::assert_valid_output;

/// The host of a test. Dropping the value removes the files, the containers and the volumes.
pub struct Host {
    directory: tempfile::TempDir,
    pub container: String,
    pub version: String,
    /// Further lines of `spec.server`, indented by four spaces.
    pub server: String,
    /// The name of the configuration file.
    pub config: String,
    /// The unnamed volumes that `remove_container` left behind.
    unnamed: Mutex<Vec<String>>,
}

/// The output and the exit status of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Fails the test unless the command ended with `code`.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "\n-- stdout\n{}\n-- stderr\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

impl Host {
    pub fn new(version: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ejabberd.yml"), super::real::CONFIG).unwrap();
        Self {
            directory,
            container: unique("host"),
            version: version.to_owned(),
            server: String::new(),
            config: "ejabberd.yml".to_owned(),
            unnamed: Mutex::default(),
        }
    }

    /// Runs `docker rm -f`, as administrators do. Unnamed volumes stay until the test ends.
    pub fn remove_container(&self) {
        let volumes = volumes_of(&self.container);
        // The engine gives an unnamed volume a name of 64 hexadecimal digits.
        let unnamed = volumes.into_iter().filter(|name| name.len() == 64);
        self.unnamed.lock().unwrap().extend(unnamed);
        docker(&["rm", "-f", &self.container]);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn file(&self) -> PathBuf {
        self.path("desired-state.yaml")
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Returns the address at which the running operator listens.
    pub fn endpoint(&self) -> String {
        let text = fs::read_to_string(self.state().join("endpoint")).unwrap();
        text.split_whitespace().next().unwrap().to_owned()
    }

    /// Returns the beginning of a desired state for this host, without the objects.
    pub fn head(&self) -> String {
        format!(
            "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: {{ name: test }}\nspec:\n  host: {HOST}\n  \
             server:\n    docker: {{ container: {}, image: \"{}\", network: bridge }}\n{}  \
             config:\n    variant: test\n    variants: {{ test: {} }}\n    gate: {{ settle: 1s, timeout: 30s }}\n",
            self.container,
            image(&self.version),
            self.server,
            self.config
        )
    }

    /// Writes the desired state: the head and `objects`.
    pub fn declare(&self, objects: &str) {
        fs::write(self.file(), self.head() + objects).unwrap();
    }

    /// Writes users `u0`… and rooms `r0`….
    pub fn declare_many(&self, users: usize, rooms: usize) {
        let mut text = String::from("  users:\n");
        for n in 0..users {
            writeln!(text, "    - {{ name: u{n}, password: \"secret-{n}\" }}").unwrap();
        }
        text += "  rooms:\n";
        for n in 0..rooms {
            writeln!(
                text,
                "    - {{ name: r{n}, title: \"Room {n}\", options: {{ members_only: true }} }}"
            )
            .unwrap();
        }
        self.declare(&text);
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"));
        command
            .arg("--desired-state")
            .arg(self.file())
            .arg("--state-dir")
            .arg(self.state())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end. JSON that it prints must match its schema.
    pub fn run(&self, args: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let ran = Ran {
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        };
        assert_valid_output(args, &ran.stdout);
        ran
    }

    /// Starts a command. The output of the command goes to the file `log`.
    pub fn start(&self, args: &[&str], log: &str) -> Daemon {
        let log = self.path(log);
        let out = fs::File::create(&log).unwrap();
        let child =
            self.command(args).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        Daemon { child, log }
    }

    /// Runs `ejabberdctl` as an administrator does.
    pub fn ctl(&self, args: &[&str]) -> String {
        let all: Vec<&str> =
            ["exec", self.container.as_str(), "ejabberdctl"].iter().chain(args).copied().collect();
        docker(&all)
    }

    /// Runs many commands of `ejabberdctl`. The words of a command are separated by tabs. Returns
    /// the status and the text of each command. `many.erl` describes the additional requests.
    pub fn many(&self, commands: &[String]) -> Vec<(i32, String)> {
        let list = self.path("commands");
        fs::write(&list, commands.join("\n") + "\n").unwrap();
        let node = unique("many");
        let erl = ["timeout", "120", "erl", "-noshell", "-hidden", "-sname", &node, "-eval"];
        let Output { status, stdout, stderr } = Command::new("docker")
            .args(["exec", "-i", &self.container])
            .args(erl)
            .arg(include_str!("many.erl"))
            .stdin(fs::File::open(&list).unwrap())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{out}{err}");
        let mut answers = Vec::new();
        for line in out.lines() {
            if line == "#" {
                answers.push((-1, String::new()));
            } else if let Some((status, text)) = answers.last_mut() {
                match line.strip_prefix('=').and_then(|number| number.parse().ok()) {
                    Some(number) => *status = number,
                    None => *text += &format!("{line}\n"),
                }
            }
        }
        assert_eq!(answers.len(), commands.len(), "{out}{err}");
        answers.into_iter().map(|(status, text)| (status, as_meant(text.trim_end()))).collect()
    }

    /// Returns the accounts that `ejabberdctl` lists, sorted.
    pub fn users(&self) -> Vec<String> {
        let mut users: Vec<String> =
            self.ctl(&["registered_users", HOST]).lines().map(str::to_owned).collect();
        users.sort();
        users
    }

    /// Returns the names of the rooms that `ejabberdctl` lists, sorted.
    pub fn rooms(&self) -> Vec<String> {
        let rooms = self.ctl(&["muc_online_rooms", "global"]);
        let mut rooms: Vec<String> =
            rooms.lines().filter_map(|r| Some(r.split_once('@')?.0.to_owned())).collect();
        rooms.sort();
        rooms
    }
}

/// Returns the words of Docker's output. The list is empty if the command fails.
fn listed(args: &[&str]) -> Vec<String> {
    let output = Command::new("docker").args(args).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).split_whitespace().map(str::to_owned).collect()
}

fn volumes_of(container: &str) -> Vec<String> {
    let names = "{{range .Mounts}}{{println .Name}}{{end}}";
    listed(&["inspect", "--format", names, container])
}

impl Drop for Host {
    fn drop(&mut self) {
        // A replaced container leaves its volumes to the new container, which lists them.
        let mut volumes = volumes_of(&self.container);
        volumes.extend(["database", "conf"].map(|what| format!("{}-{what}", self.container)));
        volumes.extend(self.unnamed.lock().unwrap().iter().cloned());
        listed(&["rm", "-f", "-v", &self.container]);
        // An operator that the test killed may have left the container of an offline check. The
        // engine may also create such a container a moment later, so the loop runs twice.
        let checks = format!("name=^/{}-check-", self.container);
        for _ in 0..2 {
            for id in listed(&["ps", "-aq", "--filter", &checks]) {
                listed(&["rm", "-f", "-v", &id]);
            }
            std::thread::sleep(Duration::from_millis(150));
        }
        volumes.iter().for_each(|volume| drop(listed(&["volume", "rm", volume])));
    }
}

/// Decodes a text: some commands of some versions print each byte of a text as a character.
fn as_meant(text: &str) -> String {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let meant = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    meant.unwrap_or_else(|| text.to_owned())
}

/// A running command. Dropping the value kills the command.
pub struct Daemon {
    pub child: Child,
    log: PathBuf,
}

impl Daemon {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for the end of the command, and returns the exit code. Fails the test after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < limit, "it did not end within {limit:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `holds` returns `true`, and returns the elapsed time. Fails the test after `limit`.
pub fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    began.elapsed()
}

/// Replaces a file by a rename, as editors and git do.
pub fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

/// Returns the status code and the body of the response to `GET path`. `None` if the response is
/// missing or incomplete.
pub fn get(address: &str, path: &str) -> Option<(u16, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
