//! Tests each check with evidence that passes, evidence that fails, and missing evidence.

#![allow(
    clippy::too_many_lines,
    clippy::unnecessary_wraps,
    reason = "each test is one table, and the helpers return what a table sets"
)]

mod api_and_load;
mod delivery;
mod login;
mod published;
mod runtime;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::domain::checks::check::MAX_EVIDENCE;
use crate::domain::model::{ServerVersion, Vhost};
use crate::domain::observed::{
    ProcessState, Reading, RuntimeDiagnostics, RuntimeDrift, Space, Usage,
};
use crate::domain::spec::{SourceFile, validate};
use Verdict::{DoesNotApply, Fails, Passes, Unknown};

const FILE: &str = "
apiVersion: ejabberd-operator/v1
kind: EjabberdServer
metadata: { name: test }
spec:
  host: a.test
  server:
    docker: { container: xmpp, image: 'e:1' }
  config: { variant: one, variants: { one: one.yml } }
  users: [{ name: ann, password: x }, { name: bob, password: x }, { name: eve, state: banned }, { name: old, state: absent }]
  groups: [{ name: g, members: [ann] }]
  rooms: [{ name: r, options: { mam: true }, affiliations: { owner: ['@g'] } }]
";

fn desired(text: &str) -> crate::domain::spec::DesiredState {
    let file = SourceFile { path: "desired-state.yaml".into(), text: text.to_owned() };
    validate(&[file]).unwrap_or_else(|e| panic!("{e:?}")).desired
}

fn running() -> ProcessState {
    ProcessState::Running { health: None }
}

fn stopped(exit_code: i64) -> ProcessState {
    ProcessState::Stopped { exit_code: Some(exit_code), oom_killed: false }
}

fn no<T>() -> Reading<T> {
    Reading::Unknown("it hid".into())
}

fn ann() -> crate::domain::model::Jid {
    "ann@a.test".parse().unwrap()
}

fn space(free: u64, total: u64) -> Space {
    Space { what: "the database".into(), path: "/db".into(), free, total, no_inodes: false }
}

fn checked() -> Checked {
    Checked { path: "one.yml".into(), refused: None, differs: Vec::new() }
}

fn port(at: &str, module: &str) -> Port {
    let at = at.parse().unwrap();
    Port { at, module: module.into(), open: Some(true), holders: Vec::new() }
}

fn usage(cpu_seconds: f64, memory_bytes: u64) -> Usage {
    Usage { cpu_seconds, memory_bytes, work: None }
}

/// Returns two measurements with one second between the measurements.
fn samples(before: Usage, after: Usage) -> Reading<UsageSamples> {
    Reading::Known(UsageSamples { before, after, elapsed: Duration::from_secs(1) })
}

/// Returns the evidence of a server without a problem, and of one account on the server.
fn good() -> Evidence {
    let now: Timestamp = "2026-07-01T10:00:00Z".parse().unwrap();
    let host = Vhost::new("a.test").unwrap();
    let room: crate::domain::model::RoomJid = "r@conference.a.test".parse().unwrap();
    let client = Client {
        at: "127.0.0.1:5222".into(),
        host: host.clone(),
        opening: Opening::Starttls,
        response: Reading::Known(
            "<stream:stream><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
             <stream:stream><mechanisms><mechanism>PLAIN</mechanism></mechanisms>"
                .into(),
        ),
    };
    let backend = Backend {
        host: host.clone(),
        method: "mnesia".into(),
        state: BackendState::Responds,
        servers: Vec::new(),
    };
    let listening = Listening {
        at: "127.0.0.1:5222".into(),
        udp: false,
        module: "ejabberd_c2s".into(),
        open: Reading::Known(true),
    };
    Evidence {
        now,
        file: File::Valid {
            path: "d.yaml".into(),
            revision: "0123456789abcdef".into(),
            warnings: Vec::new(),
        },
        desired: Some(desired(FILE)),
        operator: Operator {
            directory: "/state".into(),
            usable: Usable::Missing,
            lock: Reading::Known(None),
            response: None,
            remembered: Reading::Known(None),
            space: None,
        },
        server: Some(Server {
            process: Reading::Known(running()),
            diagnostics: Reading::Known(RuntimeDiagnostics {
                image: Some(("e:1".into(), true)),
                started: Some("2026-07-01T09:00:00Z".parse().unwrap()),
                ..RuntimeDiagnostics::default()
            }),
            drift: Reading::Known(RuntimeDrift { host_network: true, ..RuntimeDrift::default() }),
            log: Reading::Known(Vec::new()),
            cause: None,
            declared: Some(Reading::Known(checked())),
            live: None,
            ports: Reading::Known(vec![port("127.0.0.1:5222", "ejabberd_c2s")]),
            space: Reading::Known(vec![space(1 << 34, 1 << 36)]),
            memory: Some(HostMemory { available: 1 << 32, total: 1 << 33 }),
            response: Reading::Known(Alive {
                version: ServerVersion { year: 26, month: 7 },
                started: true,
                halted: false,
                channel: "session",
                took: Duration::from_millis(90),
                uptime: Some(3600),
            }),
            api: Reading::Known(Vec::new()),
            delivery: Delivery {
                hosts: Reading::Known(vec!["a.test".into()]),
                modules: BTreeMap::from([(
                    host.clone(),
                    HostModules {
                        offline: Reading::Known(true),
                        archive: Reading::Known(Some("always".into())),
                    },
                )]),
                clients: Reading::Known(vec![client]),
                backends: Reading::Known(vec![backend]),
                listeners: Reading::Known(vec![listening]),
                published: Reading::Known(Vec::new()),
                services: Reading::Known([room.service.clone()].into()),
                archive: Reading::Known(Archive::Mnesia { messages: 3, bytes: Some(9000) }),
                waiting: Reading::Known(vec![(ann(), 0)]),
                unasked: 0,
                missing: Reading::Known(Vec::new()),
                banned: Reading::Known(Vec::new()),
                rooms: Reading::Known(vec![(room, RoomState::Archived)]),
                connected: Reading::Known(vec!["ann@a.test/phone".into()]),
            },
            load: Load {
                usage: samples(usage(1.0, 1 << 27), usage(1.1, 1 << 27)),
                cores: 2,
                vm: Reading::Known(Vm {
                    processes: 200,
                    process_limit: 1000,
                    ports: 9,
                    port_limit: 100,
                    memory: 1 << 26,
                    run_queue: 0,
                    schedulers: 2,
                }),
                registered: BTreeMap::from([(host, Reading::Known(2))]),
            },
        }),
        account: Some((
            ann(),
            Reading::Known(Account {
                exists: Reading::Known(true),
                banned: Reading::Known(None),
                sessions: Reading::Known(vec![Session {
                    resource: "phone".into(),
                    connection: "c2s_tls".into(),
                    priority: 0,
                    uptime: 9,
                    status: "available".into(),
                    status_text: String::new(),
                }]),
                last: Reading::Known("now".into()),
                waiting: Reading::Known(0),
                archived: Reading::Known(3),
            }),
        )),
    }
}

fn server(e: &mut Evidence) -> &mut Server {
    e.server.as_mut().unwrap()
}

fn delivery(e: &mut Evidence) -> &mut Delivery {
    &mut server(e).delivery
}

fn alive(e: &mut Evidence) -> &mut Alive {
    let Reading::Known(alive) = &mut server(e).response else { panic!("not known") };
    alive
}

fn account(e: &mut Evidence) -> &mut super::Account {
    let Some((_, Reading::Known(account))) = &mut e.account else { panic!("no account") };
    account
}

/// A change of the evidence, the name of a check, the expected verdict of the check, and parts of
/// the expected message.
type Case = (fn(&mut Evidence), &'static str, Verdict, &'static [&'static str]);

fn table(cases: &[Case]) {
    for (n, (change, name, verdict, words)) in cases.iter().enumerate() {
        let mut evidence = good();
        change(&mut evidence);
        let findings = diagnose(&evidence, &Symptom::ALL);
        let found = findings.into_iter().find(|finding| finding.check == *name).unwrap();
        let text = format!(
            "{}\n{}\n{}",
            found.seen,
            found.evidence.join("\n"),
            found.cure.clone().unwrap_or_default()
        );
        assert_eq!(found.verdict, *verdict, "case {n}, {name}: {text}");
        assert_eq!(
            found.cure.is_some(),
            *verdict == Fails,
            "case {n}, {name}: a problem has a cure"
        );
        for word in *words {
            assert!(text.contains(word), "case {n}, {name}: {text:?} lacks {word:?}");
        }
    }
}

#[test]
fn a_server_without_a_problem_passes_every_check() {
    for finding in diagnose(&good(), &Symptom::ALL) {
        assert!(matches!(finding.verdict, Passes | DoesNotApply), "{finding:?}");
    }
    assert_eq!(likely(&diagnose(&good(), &Symptom::ALL)), None);
}

#[test]
fn missing_evidence_never_passes() {
    let mut e = good();
    e.server = None;
    e.account = Some((ann(), no()));
    // The checks of the file and the operator need no server.
    let about_the_file = ["desired_state", "operator", "state_directory", "supervision"];
    for finding in diagnose(&e, &Symptom::ALL) {
        let expected = !about_the_file.contains(&finding.check);
        assert_eq!(finding.verdict == Unknown, expected, "{finding:?}");
    }
    let mut e = good();
    let s = server(&mut e);
    s.process = no();
    s.diagnostics = no();
    s.drift = no();
    s.log = no();
    s.declared = Some(no());
    s.live = Some(no());
    s.ports = no();
    s.space = no();
    s.memory = None;
    s.response = no();
    s.load.usage = no();
    for finding in diagnose(&e, &Symptom::ALL) {
        let expected = match finding.check {
            // Without a known process state, the engine does not respond, and this check reports
            // that problem.
            "engine" => Fails,
            name if about_the_file.contains(&name) => finding.verdict,
            _ => Unknown,
        };
        assert_eq!(finding.verdict, expected, "{finding:?}");
    }
}

#[test]
fn a_server_that_refuses_every_query_is_unknown() {
    let mut e = good();
    let d = delivery(&mut e);
    d.hosts = no();
    d.clients = no();
    d.backends = no();
    d.listeners = no();
    d.published = no();
    d.archive = no();
    d.waiting = no();
    d.missing = no();
    d.banned = no();
    d.rooms = no();
    d.connected = no();
    d.modules.values_mut().for_each(|modules| modules.offline = no());
    server(&mut e).load.vm = no();
    server(&mut e).api = no();
    let of_delivery = diagnose(&e, &[Symptom::Delivery]);
    assert!(
        of_delivery.iter().all(|f| f.verdict == Unknown || f.check == "archive"),
        "{of_delivery:?}"
    );
    for name in ["http_api", "http_reach", "erlang", "sessions", "archive"] {
        let all = diagnose(&e, &Symptom::ALL);
        assert_eq!(all.iter().find(|f| f.check == name).unwrap().verdict, Unknown, "{name}");
    }
}

#[test]
fn the_likely_cause_is_the_problem_with_the_smallest_rank() {
    let mut e = good();
    server(&mut e).process = Reading::Known(stopped(1));
    server(&mut e).response = no();
    let found = diagnose(&e, &Symptom::ALL);
    assert_eq!(likely(&found).unwrap().check, "process");
    let mut holder = port("127.0.0.1:5222", "ejabberd_c2s");
    holder.open = None;
    holder.holders.push(crate::domain::observed::Holder {
        at: holder.at,
        user: 0,
        program: None,
        own: false,
    });
    server(&mut e).ports = Reading::Known(vec![holder]);
    assert_eq!(likely(&diagnose(&e, &Symptom::ALL)).unwrap().check, "ports");
    server(&mut e).space = Reading::Known(vec![space(0, 1 << 36)]);
    assert_eq!(likely(&diagnose(&e, &Symptom::ALL)).unwrap().check, "disk");
}

#[test]
fn names_are_unique_and_symptoms_select_checks() {
    let names: std::collections::BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), CHECKS.len());
    let api = diagnose(&good(), &[Symptom::Api]);
    assert!(!api.is_empty() && api.iter().all(|finding| finding.topic.symptom == Symptom::Api));
}

#[test]
fn a_long_log_is_cut_in_the_evidence() {
    let mut e = good();
    server(&mut e).log = Reading::Known((0..50).map(|n| format!("line {n}")).collect());
    let found = diagnose(&e, &[Symptom::Start]);
    let found = found.iter().find(|finding| finding.check == "last_words").unwrap();
    assert_eq!(found.evidence.len(), MAX_EVIDENCE);
    assert_eq!(found.evidence.last().unwrap(), "and 45 more");
}
