//! `scripts/prove chaos`: kills the operator at random moments while it works, and then causes
//! faults of a server under a running operator. Checks the end: the server runs, has exactly the
//! declared objects, and there are no leftovers.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::support::host::{Daemon, Host, eventually, replace};
use super::support::real::{CONFIG, HOST, docker};
use super::support::watched::{FAST, is_ready, started, status, until, vm, watch};

/// The number of objects that are created during the first kills.
const OBJECTS: usize = 2000;
/// The number of rooms among them.
const ROOMS: usize = 200;

/// The number of kills while the operator creates objects, rolls out a configuration, and
/// replaces the container.
const KILLS: (usize, usize, usize) = (60, 20, 20);

/// The duration of the random faults.
const FAULTS: Duration = Duration::from_mins(10);

/// The limit for the operator to converge at the end.
const AT_THE_END: Duration = Duration::from_mins(5);

/// Random numbers. The output contains the seed, so that a run can be repeated.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        let set = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = set.unwrap_or_else(|| getrandom::u64().unwrap());
        println!("CHAOS_SEED={seed}");
        Self(seed | 1)
    }

    /// A number of `0..below` (xorshift64, Marsaglia 2003).
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    pub fn millis(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.roll(below))
    }
}

/// The containers, volumes, programs and files of a host.
#[derive(Debug, PartialEq, Eq)]
struct HostState {
    containers: Vec<String>,
    volumes: Vec<String>,
    /// The programs in the container, without their numbers.
    programs: Vec<String>,
    files: String,
}

/// The name of a volume, or a common name for all anonymous volumes. The engine makes
/// anonymous volumes with random names for each new container whose image declares
/// `VOLUME`; only their number must stay.
fn named(volume: &str) -> &str {
    let is_anonymous = volume.len() == 64 && volume.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_anonymous { "(anonymous)" } else { volume }
}

impl HostState {
    fn of(host: &Host) -> Self {
        let sorted = |text: String| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let name = format!("name={}", host.container);
        let mounts = "{{range .Mounts}}{{.Name}}\n{{end}}";
        let ours = docker(&["volume", "ls", "-q", "--filter", &name]);
        let attached = docker(&["inspect", "-f", mounts, &host.container]);
        let all: BTreeSet<&str> = ours.lines().chain(attached.lines()).collect();
        let programs = docker(&["top", &host.container, "-eo", "pid,comm"]);
        let programs = programs.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        let list = "ls -a /tmp $HOME/conf 2>/dev/null | grep operator; true";
        Self {
            containers: sorted(docker(&["ps", "-a", "--filter", &name, "--format", "{{.Names}}"])),
            volumes: sorted(all.iter().map(|volume| named(volume)).collect::<Vec<_>>().join("\n")),
            programs: sorted(programs.collect::<Vec<_>>().join("\n")),
            files: docker(&["exec", &host.container, "sh", "-c", list]),
        }
    }
}

/// Whether the operator has begun a round with steps and not ended it.
fn works(log: &str) -> bool {
    match (log.rfind("reconciling create="), log.rfind("the round is over")) {
        (Some(begun), Some(ended)) => begun > ended,
        (begun, _) => begun.is_some(),
    }
}

/// Lets an operator work for a random time, and kills it. Returns whether it was at work.
fn killed_at_work(host: &Host, dice: &mut Dice, longest: u64) -> bool {
    let mut operator = watch(host, "killed.log");
    eventually("it works, or has nothing to do", AT_THE_END, || {
        works(&operator.log()) || is_ready(&status(host))
    });
    std::thread::sleep(dice.millis(longest));
    let at_work = works(&operator.log());
    operator.signal("KILL");
    let _ = operator.child.wait();
    at_work
}

fn settle(host: &Host) -> Daemon {
    let operator = watch(host, "run.log");
    let began = Instant::now();
    while !is_ready(&status(host)) || works(&operator.log()) {
        assert!(began.elapsed() < AT_THE_END, "{:#}\n{}", status(host), operator.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    operator
}

fn people(prefix: &str, users: usize, rooms: usize) -> String {
    let mut text = String::from("  users:\n");
    (0..users).for_each(|n| text += &format!("    - {{ name: {prefix}{n}, password: s-{n} }}\n"));
    text += "  rooms:\n";
    (0..rooms).for_each(|n| text += &format!("    - {{ name: {prefix}r{n} }}\n"));
    text
}

/// Kills the operator while it creates objects. Returns the number of kills during the work, and
/// the number of objects.
fn creating(host: &mut Host, dice: &mut Dice) -> (usize, usize) {
    FAST.clone_into(&mut host.server);
    host.declare("  users: []\n  rooms: []\n");
    host.run(&["apply"]).expect(0);
    let before = (started(host), vm(host));
    let (mut kills, mut crowd) = (0, 0);
    while kills < KILLS.0 {
        // If all objects exist before there were enough kills, declare other ones.
        crowd += 1;
        let all: String = people(&format!("c{crowd}x"), OBJECTS - ROOMS, ROOMS);
        host.declare(&format!("{all}  policy: {{ prune: none }}\n"));
        while kills < KILLS.0 {
            if !killed_at_work(host, dice, 60) {
                break;
            }
            kills += 1;
        }
    }
    drop(settle(host));
    assert_eq!((started(host), vm(host)), before, "the server was not touched");
    let expected = |count: usize, kind: &str| {
        let of_crowd = move |crowd| (0..count).map(move |n| (crowd, n));
        let mut names: Vec<String> = (1..=crowd)
            .flat_map(of_crowd)
            .map(|(crowd, n)| format!("c{crowd}x{kind}{n}"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(host.users(), expected(OBJECTS - ROOMS, ""));
    assert_eq!(host.rooms(), expected(ROOMS, "r"));
    for n in [0, 7, OBJECTS - ROOMS - 1] {
        host.ctl(&["check_password", &format!("c{crowd}x{n}"), HOST, &format!("s-{n}")]);
    }
    host.run(&["plan", "--detailed-exitcode"]).expect(0);
    (kills, crowd * OBJECTS)
}

/// Kills the operator during rollouts, by reload and by restart.
fn rolling_out(host: &Host, dice: &mut Dice) -> usize {
    let (mut kills, mut number) = (0, 0);
    let mut text = String::new();
    while kills < KILLS.1 {
        number += 1;
        assert!(number < KILLS.1 * 5, "too few kills fell in the middle");
        let option = match number % 2 {
            0 => format!("max_fsm_queue: {}\n", 700 + number),
            _ => format!("net_ticktime: {}\nqueue_type: file\n", 40 + number),
        };
        text = format!("{option}{CONFIG}");
        replace(&host.path("ejabberd.yml"), &text);
        kills += usize::from(killed_at_work(host, dice, 5000));
    }
    drop(settle(host));
    let home = docker(&["exec", &host.container, "sh", "-c", "cat $HOME/conf/ejabberd.yml"]);
    assert_eq!(home.trim(), text.trim());
    kills
}

/// Kills the operator during replacements of the container.
fn replacing(host: &Host, dice: &mut Dice) -> usize {
    let declared = fs::read_to_string(host.file()).unwrap();
    let (mut kills, mut number) = (0, 0);
    while kills < KILLS.2 {
        number += 1;
        assert!(number < KILLS.2 * 5, "too few kills fell in the middle");
        let server =
            format!("network: bridge, recreate: whenChanged, environment: {{ N: n{number} }}");
        replace(&host.file(), &declared.replacen("network: bridge", &server, 1));
        kills += usize::from(killed_at_work(host, dice, 8000));
    }
    drop(settle(host));
    let env = docker(&["inspect", "-f", "{{.Config.Env}}", &host.container]);
    assert!(env.contains(&format!("N=n{number}")), "{env}");
    kills
}

/// The usage of an operator: kilobytes, descriptors, threads.
fn uses(operator: &Daemon) -> (u64, usize, u64) {
    let pid = operator.child.id();
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    (number("VmRSS:"), descriptors, number("Threads:"))
}

/// Random faults under one operator.
fn faults(host: &Host, dice: &mut Dice) -> String {
    let operator = settle(host);
    let good = fs::read_to_string(host.file()).unwrap();
    let quiet = || {
        until(host, &operator, "well again", is_ready);
        std::thread::sleep(Duration::from_secs(5));
        uses(&operator)
    };
    let before = quiet();
    let (began, mut count) = (Instant::now(), 0);
    // The command fails if the server is down at this moment.
    let quietly = |args: &[&str]| drop(Command::new("docker").args(args).output());
    let name = host.container.as_str();
    while began.elapsed() < FAULTS {
        count += 1;
        match dice.roll(8) {
            0 => quietly(&["kill", name]),
            1 => quietly(&["stop", "-t", "1", name]),
            // Not `docker pause`: an engine of version 20.10 may hang for good when a
            // program is started in a container that is being paused.
            2 => {
                if let Some(pid) = vm(host) {
                    let send =
                        |signal| drop(Command::new("kill").args(["-s", signal, &pid]).output());
                    send("STOP");
                    std::thread::sleep(dice.millis(4000));
                    send("CONT");
                }
            }
            3 => quietly(&["exec", name, "ejabberdctl", "unregister", "c1x1", HOST]),
            4 => {
                replace(&host.file(), "spec: }{\n");
                std::thread::sleep(dice.millis(2000));
                replace(&host.file(), &good);
            }
            5 => replace(
                &host.path("ejabberd.yml"),
                &format!("max_fsm_queue: {}\n{CONFIG}", 700 + count),
            ),
            6 => quietly(&["exec", name, "pkill", "-9", "beam.smp"]),
            _ => quietly(&["rm", "-f", name]),
        }
        std::thread::sleep(dice.millis(6000));
    }
    let after = quiet();
    host.run(&["plan", "--detailed-exitcode"]).expect(0);
    assert!(after.1 <= before.1 + 2, "descriptors: {before:?} {after:?}");
    assert!(after.2 <= before.2 + 2, "threads: {before:?} {after:?}");
    assert!(after.0 <= before.0 + before.0 / 2 + 32_768, "kilobytes: {before:?} {after:?}");
    format!(
        "{count} faults in {:.0?}; kilobytes, descriptors, threads: {before:?} before, {after:?} after",
        began.elapsed()
    )
}

/// Runs everything on one image.
pub fn on(version: &'static str, dice: &mut Dice) -> String {
    let mut host = Host::new(version);
    let began = Instant::now();
    let (created, objects) = creating(&mut host, dice);
    println!("{version}: {created} kills while {objects} objects were created: holds");
    let before = HostState::of(&host);
    let rolled = rolling_out(&host, dice);
    assert_eq!(HostState::of(&host), before);
    println!("{version}: {rolled} kills during rollouts: holds");
    let replaced = replacing(&host, dice);
    assert_eq!(HostState::of(&host), before);
    println!("{version}: {replaced} kills during replacements: holds");
    let killed = began.elapsed();
    let faults = faults(&host, dice);
    assert_eq!(HostState::of(&host), before);
    format!(
        "{created} kills while {objects} objects were created, {rolled} in rollouts, {replaced} in \
         replacements, in {killed:.0?}; {faults}"
    )
}
