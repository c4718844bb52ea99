//! Simulates in memory everything outside the engine: the server (a [`Double`]), its process, the
//! store, the secrets. Every effect of the engine passes one gate, which counts and logs the
//! effects, and can inject a failure or "kill" the engine.

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use ejabberd_operator::domain::configuration::Configuration;
use ejabberd_operator::domain::diff::StepInfo;
use ejabberd_operator::domain::inventory::{Fingerprint, Inventory, Owned, Registration};
use ejabberd_operator::domain::model::{Digest, Jid, Kind, ObjectKey, Secret, ServerVersion};
use ejabberd_operator::domain::nginx::Directive;
use ejabberd_operator::domain::observed::{ProcessState, RuntimeDrift, Usage};
use ejabberd_operator::domain::spec;
use ejabberd_operator::domain::spec::{
    DeletionPolicy, DesiredState, SecretSink, SecretSource, SourceFile,
};
use ejabberd_operator::domain::status::Event;
use ejabberd_operator::ejabberd::erlang::Verdict;
use ejabberd_operator::ejabberd::{
    Arg, Call, Control, ControlError, EjabberdClient, StartContext, Value,
};
use ejabberd_operator::engine::{
    ConfigFiles, Deferral, Engine, EngineEvent, EventSink, GOOD_CONFIGS, GoodConfig, Introspection,
    IsOurs, Lifecycle, LogLine, MAIN_CONFIG, Permission, Ports, RecheckBudget, Replacement,
    ReverseProxy, RoundReport, Runtime, RuntimeError, SecretError, Secrets, ServerConfig,
    StalenessCheck, StateKey, Store, StoreError, Supervisor,
};
use jiff::Timestamp;

use super::double::{Double, World};
use super::objects::Objects;
use super::schemas;

pub const HOST: &str = "example.org";

/// The configuration that the image contains.
pub const IMAGE_CONFIG: &[u8] = b"the image's own";

/// Reads a desired state from the content of `spec`.
pub fn declare(spec: &str) -> DesiredState {
    let indented = spec.lines().fold(String::new(), |text, line| text + "  " + line + "\n");
    let text = format!(
        "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: {{ name: test }}\nspec:\n  \
         host: {HOST}\n{}{indented}",
        if spec.contains("server:") { "" } else { "  server: { docker: { container: test } }\n" }
    );
    let file = SourceFile { path: "desired-state.yaml".into(), text };
    match spec::validate(&[file]) {
        Ok(validated) => validated.desired,
        Err(problems) => panic!("{spec}\n{}", problems.first().expect("a reason")),
    }
}

/// A fault at one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The effect fails before it is sent.
    NotSent,
    /// The effect is carried out, and its response is lost.
    AnswerLost,
    /// The engine is killed before the effect.
    KilledBefore,
    /// The engine is killed after the effect, before the response.
    KilledAfter,
}

impl Fault {
    pub const ALL: [Self; 4] =
        [Self::NotSent, Self::AnswerLost, Self::KilledBefore, Self::KilledAfter];
}

/// One effect that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The name of the command, or of the operation of a port.
    pub name: &'static str,
    /// The name of the object.
    pub object: String,
    /// `true` if the effect changed the object.
    pub changed: bool,
    /// `true` if the inventory held the object at that time.
    pub owned: bool,
}

#[derive(Default)]
struct Gate {
    seen: usize,
    fault: Option<(usize, Fault)>,
    killed: bool,
    log: Vec<Effect>,
}

/// The gate's decision on one effect.
#[derive(Clone, Copy)]
struct Passage {
    carried_out: bool,
    answer: Answer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Given,
    Lost,
    Never,
}

/// The server's process and its files.
#[derive(Debug, Clone)]
struct Machine {
    process: ProcessState,
    /// The files that the process read at its start.
    running: ConfigFiles,
    /// `true` if ejabberd can check a configuration.
    can_check: bool,
}

/// The content of the operator's state directory.
#[derive(Clone, Default)]
struct Memory {
    inventory: Inventory,
    generated: BTreeMap<Jid, Secret>,
    values: BTreeMap<StateKey, String>,
    configs: BTreeMap<String, ConfigFiles>,
    good: Vec<GoodConfig>,
}

/// A copy of the operator's state directory.
pub struct Copied(Memory);

/// Files and passwords outside the server.
#[derive(Clone, Default)]
struct Disk {
    files: BTreeMap<PathBuf, Vec<u8>>,
    published: BTreeMap<PathBuf, String>,
    /// The operator's note beside the database.
    note: Option<Vec<u8>>,
    generated: usize,
}

/// The world of one test; see the module's documentation.
pub struct Lab {
    pub double: Double,
    gate: Mutex<Gate>,
    machine: Mutex<Machine>,
    memory: Mutex<Memory>,
    disk: Mutex<Disk>,
    /// Injected responses, by command.
    lies: Mutex<BTreeMap<&'static str, Value>>,
    /// The names of the objects whose changes the server refuses.
    cursed: Mutex<Vec<String>>,
    /// `true` if writing to the store fails.
    pub disk_full: Mutex<bool>,
}

/// A comparable copy of the world, without values that differ from run to run: random passwords
/// and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub users: BTreeMap<String, String>,
    pub rooms: BTreeMap<String, BTreeMap<String, String>>,
    pub objects: Objects,
    pub process: ProcessState,
    pub running: ConfigFiles,
    pub written: ConfigFiles,
    pub published: BTreeMap<PathBuf, String>,
    pub owned: BTreeMap<String, (DeletionPolicy, Option<Fingerprint>)>,
}

/// A staleness check with a fixed result.
pub struct Always(pub Option<Deferral>);

#[async_trait]
impl StalenessCheck for Always {
    async fn blocked_reason(&self) -> Option<Deferral> {
        self.0.clone()
    }
}

/// A round without any restriction.
pub fn free() -> Permission<'static> {
    Permission { approved: None, confirm: &Always(None), backing_off: &|_: &StepInfo| None }
}

impl Lab {
    /// A world with a running server, without accounts and rooms.
    pub fn new() -> Arc<Self> {
        let files = ConfigFiles::from([(MAIN_CONFIG.to_owned(), IMAGE_CONFIG.to_vec())]);
        let lab = Self::from_parts(
            World { hosts: [HOST.to_owned()].into(), files: files.clone(), ..World::default() },
            Machine {
                process: ProcessState::Running { health: None },
                running: files,
                can_check: true,
            },
            Memory::default(),
            Disk::default(),
        );
        Arc::new(lab)
    }

    /// A world without a server.
    pub fn without_server() -> Arc<Self> {
        let lab = Self::new();
        lab.machine.lock().unwrap().process = ProcessState::Absent;
        lab.machine.lock().unwrap().running.clear();
        lab.world(|world| (world.down, world.files) = (true, ConfigFiles::new()));
        lab
    }

    fn from_parts(world: World, machine: Machine, memory: Memory, disk: Disk) -> Self {
        let double = Double::new(HOST);
        *double.world.lock().unwrap() = world;
        Self {
            double,
            gate: Mutex::default(),
            machine: Mutex::new(machine),
            memory: Mutex::new(memory),
            disk: Mutex::new(disk),
            lies: Mutex::default(),
            cursed: Mutex::default(),
            disk_full: Mutex::default(),
        }
    }

    /// A separate world in the same state.
    pub fn fork(&self) -> Arc<Self> {
        Arc::new(Self::from_parts(
            self.double.world.lock().unwrap().clone(),
            self.machine.lock().unwrap().clone(),
            self.memory.lock().unwrap().clone(),
            self.disk.lock().unwrap().clone(),
        ))
    }

    /// Reads or changes the server, as another program may.
    pub fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.double.world.lock().unwrap())
    }

    /// Creates an account without the operator.
    pub fn others_make_user(&self, name: &str, password: &str) {
        self.world(|world| world.users.insert(account(name), password.to_owned()));
    }

    /// Creates a room without the operator.
    pub fn others_make_room(&self, name: &str) {
        self.world(|world| world.rooms.insert(room(name), super::double::default_options()));
    }

    /// The accounts' names, without the host.
    pub fn users(&self) -> Vec<String> {
        self.world(|world| world.users.keys().map(|jid| local(jid)).collect())
    }

    /// The rooms' names, without the service.
    pub fn rooms(&self) -> Vec<String> {
        self.world(|world| world.rooms.keys().map(|jid| local(jid)).collect())
    }

    pub fn password(&self, name: &str) -> Option<String> {
        self.world(|world| world.users.get(&account(name)).cloned())
    }

    pub fn room_option(&self, name: &str, option: &str) -> Option<String> {
        self.world(|world| world.rooms.get(&room(name))?.get(option).cloned())
    }

    /// How often a command was called.
    pub fn calls(&self, name: &str) -> usize {
        self.world(|world| world.calls.iter().filter(|call| **call == name).count())
    }

    /// The names that the inventory holds, without their hosts.
    pub fn owned(&self, kind: Kind) -> Vec<String> {
        self.inventory_now().of_kind(kind).map(|(key, _)| local(&key.name())).collect()
    }

    pub fn inventory_now(&self) -> Inventory {
        self.memory.lock().unwrap().inventory.clone()
    }

    pub fn write_file(&self, path: &str, content: &str) {
        self.disk.lock().unwrap().files.insert(path.into(), content.into());
    }

    pub fn published(&self, path: &str) -> Option<String> {
        self.disk.lock().unwrap().published.get(Path::new(path)).cloned()
    }

    /// The configuration that the process read when it started.
    pub fn running_config(&self) -> String {
        let machine = self.machine.lock().unwrap();
        machine.running.get(MAIN_CONFIG).map_or_else(String::new, |c| lossy(c))
    }

    pub fn process(&self) -> ProcessState {
        self.machine.lock().unwrap().process.clone()
    }

    /// Sets whether ejabberd can check a configuration.
    pub fn set_can_check(&self, can: bool) {
        self.machine.lock().unwrap().can_check = can;
    }

    /// Sets the response of the next calls of `command`.
    pub fn lie(&self, command: &'static str, answer: Value) {
        self.lies.lock().unwrap().insert(command, answer);
    }

    pub fn tell_the_truth(&self) {
        self.lies.lock().unwrap().clear();
    }

    /// Ends all refusals of [`curse`](Self::curse).
    pub fn lift_curses(&self) {
        self.cursed.lock().unwrap().clear();
    }

    /// The operator's note beside the database.
    pub fn note_beside(&self) -> Option<String> {
        self.disk.lock().unwrap().note.as_deref().map(lossy)
    }

    pub fn set_note_beside(&self, text: Option<&str>) {
        self.disk.lock().unwrap().note = text.map(|text| text.as_bytes().to_vec());
    }

    /// Makes the server refuse every change of the object.
    pub fn curse(&self, object: &str) {
        self.cursed.lock().unwrap().push(object.to_owned());
    }

    /// Injects `fault` at the effect number `at` from now on, counted from 1.
    pub fn disturb(&self, at: usize, fault: Fault) {
        let mut gate = self.gate.lock().unwrap();
        *gate = Gate { fault: Some((at, fault)), ..Gate::default() };
    }

    /// Ends all faults, and clears the counters and the log.
    pub fn calm(&self) {
        *self.gate.lock().unwrap() = Gate::default();
    }

    /// The number of tried effects.
    pub fn effects(&self) -> usize {
        self.gate.lock().unwrap().seen
    }

    /// The effects that were carried out since [`calm`](Self::calm).
    pub fn log(&self) -> Vec<Effect> {
        self.gate.lock().unwrap().log.clone()
    }

    /// Ends all faults, and keeps the log.
    pub fn no_more_faults(&self) {
        let mut gate = self.gate.lock().unwrap();
        gate.fault = None;
        gate.killed = false;
    }

    /// Runs one round of a newly started engine. `None` if the engine was killed.
    pub async fn try_round(
        self: &Arc<Self>,
        desired: &DesiredState,
        permission: &Permission<'_>,
    ) -> Option<Result<RoundReport, StoreError>> {
        let engine = self.engine(desired);
        let mut round = Box::pin(engine.reconciler.round(desired, permission));
        poll_fn(|context| {
            let polled = round.as_mut().poll(context);
            if self.gate.lock().unwrap().killed {
                return Poll::Ready(None);
            }
            polled.map(Some)
        })
        .await
    }

    /// Runs one round without faults. The plans of the first rounds of a test, as JSON, must match
    /// the schema.
    pub async fn round(self: &Arc<Self>, desired: &DesiredState) -> RoundReport {
        static VALIDATED: AtomicUsize = AtomicUsize::new(0);
        let report = self.try_round(desired, &free()).await.expect("no fault is injected").unwrap();
        // Only the first plans: a test with thousands of rounds would take twice as long.
        if VALIDATED.fetch_add(1, Ordering::Relaxed) < 20 {
            let plan = serde_json::to_value(&report.plan).expect("a plan is JSON");
            schemas::validate("plan", &plan).unwrap_or_else(|error| panic!("{error}"));
        }
        report
    }

    /// Runs rounds until a round has no effect. Fails the test after `limit` rounds.
    pub async fn rounds_until_quiet(
        self: &Arc<Self>,
        desired: &DesiredState,
        limit: usize,
    ) -> RoundReport {
        for _ in 0..limit {
            let before = self.effects();
            let report = self.round(desired).await;
            if self.effects() == before {
                return report;
            }
        }
        panic!("not quiet after {limit} rounds: {:#?}", self.log());
    }

    fn ports(self: &Arc<Self>) -> Ports {
        Ports {
            server: EjabberdClient::new(Arc::clone(self) as Arc<dyn Control>),
            runtime: Arc::clone(self) as Arc<dyn Runtime>,
            store: Arc::clone(self) as Arc<dyn Store>,
            secrets: Arc::clone(self) as Arc<dyn Secrets>,
            proxy: Arc::clone(self) as Arc<dyn ReverseProxy>,
            events: Arc::clone(self) as Arc<dyn EventSink>,
        }
    }

    pub fn engine(self: &Arc<Self>, desired: &DesiredState) -> Engine {
        let supervisor = Arc::new(self.supervisor(desired));
        Engine::new(self.ports(), supervisor, RecheckBudget::new(0, 0, 0))
    }

    pub fn supervisor(self: &Arc<Self>, desired: &DesiredState) -> Supervisor {
        Supervisor::new(desired, &self.ports())
    }

    /// Copies the operator's state directory.
    pub fn copy_memory(&self) -> Copied {
        Copied(self.memory.lock().unwrap().clone())
    }

    /// Replaces the operator's state directory with a copy.
    pub fn restore_memory(&self, copied: &Copied) {
        *self.memory.lock().unwrap() = copied.0.clone();
    }

    pub fn picture(&self) -> Picture {
        let memory = self.memory.lock().unwrap();
        let machine = self.machine.lock().unwrap();
        let disk = self.disk.lock().unwrap();
        let world = self.double.world.lock().unwrap();
        let unrandom = |password: &str| {
            let of = memory.generated.iter().find(|(_, secret)| secret.expose() == password);
            of.map_or_else(|| password.to_owned(), |(jid, _)| format!("generated for {jid}"))
        };
        let kinds = [Kind::User, Kind::Group, Kind::Room, Kind::Affiliation];
        let owned = kinds.into_iter().flat_map(|kind| {
            memory.inventory.of_kind(kind).map(|(key, owned)| {
                (key.to_string(), (owned.deletion_policy, owned.password.clone()))
            })
        });
        let named = |map: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            map.iter().map(|(name, password)| (name.clone(), unrandom(password))).collect()
        };
        let published = disk.published.iter();
        Picture {
            users: named(&world.users),
            rooms: world.rooms.clone(),
            objects: world.objects.clone(),
            process: machine.process.clone(),
            running: machine.running.clone(),
            written: world.files.clone(),
            published: published.map(|(path, text)| (path.clone(), unrandom(text))).collect(),
            owned: owned.collect(),
        }
    }

    fn pass(&self) -> Passage {
        let mut gate = self.gate.lock().unwrap();
        let (carried_out, answer) = if gate.killed {
            (false, Answer::Never)
        } else {
            gate.seen += 1;
            match gate.fault.filter(|(at, _)| *at == gate.seen).map(|(_, fault)| fault) {
                None => (true, Answer::Given),
                Some(Fault::NotSent) => (false, Answer::Lost),
                Some(Fault::AnswerLost) => (true, Answer::Lost),
                Some(Fault::KilledBefore) => (false, Answer::Never),
                Some(Fault::KilledAfter) => (true, Answer::Never),
            }
        };
        gate.killed |= answer == Answer::Never;
        Passage { carried_out, answer }
    }

    fn note(&self, name: &'static str, object: impl Into<String>, changed: bool, owned: bool) {
        let object = object.into();
        self.gate.lock().unwrap().log.push(Effect { name, object, changed, owned });
    }

    async fn alive(&self) {
        if self.gate.lock().unwrap().killed {
            pending::<()>().await;
        }
    }

    /// Carries out an effect on the process, the files or the secrets.
    async fn effect<E>(
        &self,
        name: &'static str,
        object: String,
        lost: E,
        act: impl FnOnce() -> bool,
    ) -> Result<(), E> {
        let passage = self.pass();
        if passage.carried_out {
            let changed = act();
            self.note(name, object, changed, false);
        }
        match passage.answer {
            Answer::Given => Ok(()),
            Answer::Lost => Err(lost),
            Answer::Never => pending().await,
        }
    }

    async fn change(
        &self,
        kind: Kind,
        call: Call,
        deadline: Duration,
    ) -> Result<Value, ControlError> {
        let (name, object) = (call.name(), object_of(&call));
        if self.cursed.lock().unwrap().contains(&local(&object)) {
            return Ok(Value::Tuple(vec![
                Value::Atom("error".to_owned()),
                Value::Text("cursed".to_owned()),
            ]));
        }
        let passage = self.pass();
        let mut answer = Err(ControlError::Unreachable("the double is away".to_owned()));
        if passage.carried_out {
            let owned = self.inventory_now().holds(&ObjectKey::parse(kind, &object).unwrap());
            let there = |world: &mut World| {
                (world.users.clone(), world.rooms.clone(), world.objects.clone())
            };
            let before = self.world(there);
            answer = self.double.call(call, deadline).await;
            let changed = self.world(there) != before;
            self.note(name, object, changed, owned);
        }
        match passage.answer {
            Answer::Lost if passage.carried_out => Err(ControlError::Broken(name)),
            Answer::Given | Answer::Lost => answer,
            Answer::Never => pending().await,
        }
    }

    fn write(
        &self,
        operation: &'static str,
        act: impl FnOnce(&mut Memory),
    ) -> Result<(), StoreError> {
        let failed = |cause: &str| StoreError::Io { operation, cause: cause.to_owned() };
        if *self.disk_full.lock().unwrap() {
            return Err(failed("no space left on device"));
        }
        let passage = self.pass();
        if passage.carried_out {
            act(&mut self.memory.lock().unwrap());
            self.note(operation, "", true, false);
        }
        if passage.answer == Answer::Given { Ok(()) } else { Err(failed("injected")) }
    }

    fn read<T>(&self, get: impl FnOnce(&Memory) -> T) -> Result<T, StoreError> {
        if self.gate.lock().unwrap().killed {
            return Err(StoreError::Io { operation: "read", cause: "killed".to_owned() });
        }
        Ok(get(&self.memory.lock().unwrap()))
    }
}

fn account(name: &str) -> String {
    format!("{name}@{HOST}")
}

fn room(name: &str) -> String {
    if name.contains('@') { name.to_owned() } else { format!("{name}@conference.{HOST}") }
}

fn local(jid: &str) -> String {
    jid.split('@').next().unwrap_or_default().to_owned()
}

fn lossy(content: &[u8]) -> String {
    String::from_utf8_lossy(content).into_owned()
}

/// Returns the options that the double reads from a main file, with the host of the world. A text
/// that is not a list of options becomes a single option.
fn expanded(main: &[u8]) -> Vec<u8> {
    let text = match Configuration::of_plain_text(main) {
        Some(_) => lossy(main),
        None => format!("of_tomorrow: {:?}", lossy(main)),
    };
    format!("hosts: [{HOST}]\n{text}").into_bytes()
}

fn object_of(call: &Call) -> String {
    let word = |arg: &Arg| match arg {
        Arg::Text(text) => text.clone(),
        _ => String::new(),
    };
    let words: Vec<String> = call.args().iter().map(word).collect();
    match (call.name(), words.as_slice()) {
        ("set_room_affiliation", [room, service, user, host, ..]) => {
            format!("{room}@{service}/{user}@{host}")
        }
        (_, words) => words.iter().take(2).cloned().collect::<Vec<_>>().join("@"),
    }
}

#[async_trait]
impl Control for Lab {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        self.alive().await;
        let lie = self.lies.lock().unwrap().get(call.name()).cloned();
        if let Some(answer) = lie {
            return Ok(answer);
        }
        match call.name() {
            "register" | "unregister" | "change_password" | "ban_account" | "unban_account"
            | "set_vcard" | "set_vcard2" => self.change(Kind::User, call, deadline).await,
            "srg_create" | "srg_delete" | "srg_user_add" | "srg_user_del" => {
                self.change(Kind::Group, call, deadline).await
            }
            "set_room_affiliation" => self.change(Kind::Affiliation, call, deadline).await,
            "change_table_copy_type" | "write_file" => {
                self.change(Kind::Server, call, deadline).await
            }
            "create_room_with_opts" | "change_room_option" | "destroy_room" | "subject" => {
                self.change(Kind::Room, call, deadline).await
            }
            "reload_config" => {
                self.effect("reload", String::new(), ControlError::Broken("reload_config"), || {
                    self.machine.lock().unwrap().running = self.world(|world| world.files.clone());
                    true
                })
                .await?;
                Ok(Value::Atom("ok".to_owned()))
            }
            "stop" => self.change(Kind::Server, call, deadline).await,
            // The double reports no environment.
            "start" => Ok(Value::Tuple(vec![
                Value::Text("/home/ejabberd/database".to_owned()),
                Value::List(Vec::new()),
            ])),
            "configuration" => {
                let running = self.machine.lock().unwrap().running.clone();
                let main = running.get(MAIN_CONFIG).map(Vec::as_slice).unwrap_or_default();
                Ok(Value::Text(lossy(&expanded(main))))
            }
            _ => self.double.call(call, deadline).await,
        }
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        self.alive().await;
        self.double.version().await
    }

    async fn close(&self) {}
}

fn engine_away() -> RuntimeError {
    RuntimeError::Engine { what: "the engine".to_owned(), cause: "injected".to_owned() }
}

#[async_trait]
impl Lifecycle for Lab {
    async fn inspect(&self) -> Result<ProcessState, RuntimeError> {
        self.alive().await;
        Ok(self.process())
    }

    async fn create(&self) -> Result<(), RuntimeError> {
        self.effect("create", String::new(), engine_away(), || {
            self.machine.lock().unwrap().process = ProcessState::Created;
            self.world(|world| {
                world.files = [(MAIN_CONFIG.to_owned(), IMAGE_CONFIG.to_vec())].into();
            });
            true
        })
        .await
    }

    async fn start(&self) -> Result<(), RuntimeError> {
        self.effect("start", String::new(), engine_away(), || {
            let mut machine = self.machine.lock().unwrap();
            self.world(|world| {
                let main = world.files.get(MAIN_CONFIG).cloned().unwrap_or_default();
                if main.starts_with(b"ends at once") {
                    machine.process =
                        ProcessState::Stopped { exit_code: Some(1), oom_killed: false };
                } else {
                    machine.process = ProcessState::Running { health: None };
                    machine.running = world.files.clone();
                    (world.down, world.halted) = (false, false);
                }
            });
            true
        })
        .await
    }

    async fn stop(&self) -> Result<(), RuntimeError> {
        self.effect("stop process", String::new(), engine_away(), || {
            self.machine.lock().unwrap().process =
                ProcessState::Stopped { exit_code: Some(0), oom_killed: false };
            self.world(|world| (world.down, world.halted) = (true, false));
            true
        })
        .await
    }

    async fn disable_restart_policy(&self) -> Result<(), RuntimeError> {
        self.alive().await;
        Ok(())
    }

    async fn watch(&self, _: &tokio::sync::Notify) {
        pending().await
    }
}

#[async_trait]
impl ServerConfig for Lab {
    async fn read_config(&self, names: &[String]) -> Result<ConfigFiles, RuntimeError> {
        self.alive().await;
        let files = self.world(|world| world.files.clone());
        Ok(files.into_iter().filter(|(name, _)| names.contains(name)).collect())
    }

    async fn check_config(
        &self,
        files: &ConfigFiles,
        _: &StartContext,
    ) -> Result<Verdict, RuntimeError> {
        self.alive().await;
        if !self.machine.lock().unwrap().can_check {
            return Ok(Verdict::Unable("no memory".to_owned()));
        }
        let main = files.get(MAIN_CONFIG).map(Vec::as_slice).unwrap_or_default();
        Ok(if main.starts_with(b"refused") {
            Verdict::Refused("line 1".to_owned())
        } else {
            Verdict::Accepted(Box::new(Configuration::from_dump(&expanded(main)).unwrap()))
        })
    }

    async fn try_to_write_config(&self, _: &ConfigFiles) -> Result<(), RuntimeError> {
        self.alive().await;
        Ok(())
    }

    async fn write_config(&self, files: &ConfigFiles) -> Result<(), RuntimeError> {
        self.effect("write config", String::new(), engine_away(), || {
            self.world(|world| world.files.extend(files.clone()));
            true
        })
        .await
    }
}

#[async_trait]
impl Replacement for Lab {
    async fn read_note(&self, _: &str) -> Result<Option<Vec<u8>>, RuntimeError> {
        self.alive().await;
        Ok(self.disk.lock().unwrap().note.clone())
    }

    async fn write_note(&self, _: &str, content: &[u8]) -> Result<(), RuntimeError> {
        self.alive().await;
        self.disk.lock().unwrap().note = Some(content.to_vec());
        Ok(())
    }

    async fn replace(&self, _: &str) -> Result<(), RuntimeError> {
        self.effect("replace", String::new(), engine_away(), || {
            self.machine.lock().unwrap().process = ProcessState::Created;
            true
        })
        .await
    }

    async fn rollback_replacement(&self, _: &str) -> Result<(), RuntimeError> {
        self.alive().await;
        Ok(())
    }

    async fn commit_replacement(&self, _: &str) -> Result<(), RuntimeError> {
        self.alive().await;
        Ok(())
    }
}

#[async_trait]
impl Introspection for Lab {
    async fn drift(&self, _: Option<&str>) -> Result<Option<RuntimeDrift>, RuntimeError> {
        self.alive().await;
        let there = self.process() != ProcessState::Absent;
        Ok(there.then(|| RuntimeDrift { ours: true, ..Default::default() }))
    }

    async fn usage(&self) -> Result<Option<Usage>, RuntimeError> {
        self.alive().await;
        let runs = matches!(self.process(), ProcessState::Running { .. });
        Ok(runs.then(Usage::default))
    }

    async fn log_lines(&self, _: Timestamp, _: usize) -> Result<Vec<LogLine>, RuntimeError> {
        self.alive().await;
        Ok(Vec::new())
    }
}

impl Store for Lab {
    fn inventory(&self) -> Result<Inventory, StoreError> {
        self.read(|memory| memory.inventory.clone())
    }

    fn record(
        &self,
        owned: &[(ObjectKey, Owned)],
        forgotten: &[ObjectKey],
    ) -> Result<(), StoreError> {
        if owned.is_empty() && forgotten.is_empty() {
            return Ok(());
        }
        self.write("record", |memory| {
            let lost = forgotten.iter().any(|key| memory.inventory.holds(key));
            if lost || owned.iter().any(|(key, _)| !memory.inventory.holds(key)) {
                memory.values.insert(StateKey::OwnershipChanged, "yes".to_owned());
            }
            forgotten.iter().for_each(|key| memory.inventory.remove(key));
            let owned = owned.iter().cloned();
            owned.for_each(|(key, entry)| memory.inventory.insert(key, entry));
        })
    }

    fn record_registered(
        &self,
        client: &str,
        since: Timestamp,
        objects: &[ObjectKey],
    ) -> Result<(), StoreError> {
        self.write("record registered", |memory| {
            for key in objects {
                let registration = Registration { client: client.to_owned(), since };
                if memory.inventory.register(key.clone(), registration) {
                    memory.values.insert(StateKey::OwnershipChanged, "yes".to_owned());
                }
            }
        })
    }

    fn forget_registered(&self, objects: &[ObjectKey]) -> Result<(), StoreError> {
        self.write("forget registered", |memory| {
            for key in objects {
                if memory.inventory.unregister(key) {
                    memory.values.insert(StateKey::OwnershipChanged, "yes".to_owned());
                }
            }
        })
    }

    fn fingerprint(&self, password: &Secret) -> Fingerprint {
        Fingerprint::new(format!("of {}", password.expose()))
    }

    fn generated(&self, account: &Jid) -> Result<Option<Secret>, StoreError> {
        self.read(|memory| memory.generated.get(account).cloned())
    }

    fn keep_generated(&self, passwords: &[(Jid, Secret)]) -> Result<(), StoreError> {
        if passwords.is_empty() {
            return Ok(());
        }
        self.write("keep", |memory| memory.generated.extend(passwords.iter().cloned()))
    }

    fn recall(&self, key: StateKey) -> Result<Option<String>, StoreError> {
        self.read(|memory| memory.values.get(&key).cloned())
    }

    fn remember(&self, key: StateKey, text: Option<&str>) -> Result<(), StoreError> {
        if key == StateKey::Supervision {
            return Ok(());
        }
        let quiet = [
            StateKey::Published,
            StateKey::Approvals,
            StateKey::Database,
            StateKey::Origin,
            StateKey::Generation,
            StateKey::OwnershipChanged,
        ];
        if quiet.contains(&key) {
            let mut memory = self.memory.lock().unwrap();
            match text {
                Some(text) => drop(memory.values.insert(key, text.to_owned())),
                None => drop(memory.values.remove(&key)),
            }
            return Ok(());
        }
        self.write("remember", |memory| match text {
            Some(text) => drop(memory.values.insert(key, text.to_owned())),
            None => drop(memory.values.remove(&key)),
        })
    }

    fn keep_config(&self, digest: &Digest, files: &ConfigFiles) -> Result<(), StoreError> {
        self.write("keep config", |memory| {
            memory.configs.insert(digest.to_string(), files.clone());
        })
    }

    fn kept_config(&self, digest: &Digest) -> Result<Option<ConfigFiles>, StoreError> {
        self.read(|memory| memory.configs.get(digest.as_str()).cloned())
    }

    fn record_good(&self, good: &GoodConfig) -> Result<(), StoreError> {
        self.write("record good", |memory| {
            memory.good.retain(|before| before.digest != good.digest);
            memory.good.insert(0, good.clone());
            memory.good.truncate(GOOD_CONFIGS);
        })
    }

    fn good_configs(&self) -> Result<Vec<GoodConfig>, StoreError> {
        self.read(|memory| memory.good.clone())
    }

    fn record_events(&self, _: &[Event]) -> Result<(), StoreError> {
        Ok(())
    }

    fn events(&self, _: usize) -> Result<Vec<Event>, StoreError> {
        Ok(Vec::new())
    }

    fn save_status(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

fn no_secret(what: &str) -> SecretError {
    SecretError { what: what.to_owned(), cause: "it is not there".to_owned() }
}

#[async_trait]
impl Secrets for Lab {
    async fn read(&self, source: &SecretSource) -> Result<Secret, SecretError> {
        self.alive().await;
        match source {
            SecretSource::Inline(secret) => Ok(secret.clone()),
            SecretSource::File(path) => {
                self.read_file(path).await.map(|text| Secret::new(lossy(&text)))
            }
            _ => Err(no_secret("a secret")),
        }
    }

    fn generate(&self) -> Result<Secret, SecretError> {
        let mut drift = self.disk.lock().unwrap();
        drift.generated += 1;
        Ok(Secret::new(format!("random-{}", drift.generated)))
    }

    async fn publish(
        &self,
        sink: &SecretSink,
        secret: &Secret,
        is_ours: IsOurs,
    ) -> Result<(), SecretError> {
        self.alive().await;
        let (path, text) = (sink.file.clone(), secret.expose().to_owned());
        if self.disk.lock().unwrap().published.get(&path) == Some(&text) {
            return Ok(());
        }
        let there = self.disk.lock().unwrap().published.get(&path).cloned();
        if there.is_some_and(|there| !is_ours(&Secret::new(there))) {
            return Err(no_secret("a file of the operator's"));
        }
        self.effect("publish", path.display().to_string(), no_secret("a directory"), || {
            self.disk.lock().unwrap().published.insert(path, text);
            true
        })
        .await
    }

    async fn exposure(&self, _: &Path) -> Result<Option<String>, SecretError> {
        Ok(None)
    }

    async fn read_file(&self, path: &Path) -> Result<Vec<u8>, SecretError> {
        self.alive().await;
        let found = self.disk.lock().unwrap().files.get(path).cloned();
        found.ok_or_else(|| no_secret(&path.display().to_string()))
    }
}

impl EventSink for Lab {
    fn take(&self, _: EngineEvent<'_>) {}
}

#[async_trait]
impl ReverseProxy for Lab {
    async fn directives(&self) -> Result<Option<Vec<Directive>>, String> {
        Ok(None)
    }
}
