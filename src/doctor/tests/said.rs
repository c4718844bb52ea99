//! What a server says that answers.

use super::*;

fn alive(e: &mut Evidence) -> &mut Alive {
    let Reading::Known(alive) = &mut server(e).answer else { panic!("not known") };
    alive
}

fn api(at: Option<&str>, tls: bool, status: Reading<u16>) -> Reading<Vec<Api>> {
    Reading::Known(vec![Api {
        at: at.map(|at| at.parse().unwrap()),
        path: "/api".into(),
        tls,
        status,
    }])
}

fn bridge(e: &mut Evidence, listens: &str, published: &[&str]) {
    let s = server(e);
    s.api = api(Some(listens), false, Reading::Known(200));
    let Reading::Known(surroundings) = &mut s.surroundings else { panic!() };
    surroundings.host_network = false;
    let Reading::Known(around) = &mut s.circumstances else { panic!() };
    around.published = published.iter().map(|at| (at.parse().unwrap(), 5280)).collect();
}

fn client(e: &mut Evidence) -> &mut Client {
    let Reading::Known(clients) = &mut delivery(e).clients else { panic!() };
    &mut clients[0]
}

#[test]
fn the_api() {
    table(&[
        (|e| server(e).answer = no(), "control", Problem, &["it hid", "docker restart xmpp"]),
        (
            |e| {
                server(e).answer = no();
                server(e).process = Reading::Known(stopped(0));
            },
            "control",
            Unknown,
            &["it hid"],
        ),
        (
            |e| {
                server(e).answer = no();
                e.desired =
                    Some(desired(&FILE.replace("  server:", "  server:\n    state: stopped")));
            },
            "control",
            DoesNotApply,
            &[],
        ),
        (
            |e| {
                alive(e).started = false;
                alive(e).halted = true;
            },
            "control",
            Problem,
            &["ejabberd was stopped while"],
        ),
        (|e| alive(e).started = false, "control", Problem, &["has not started yet", "wait"]),
        (|e| alive(e).started = false, "hosts", Unknown, &["has not started"]),
        (
            |e| alive(e).took = Duration::from_secs(7),
            "control",
            Problem,
            &["7000 ms", "--symptom load"],
        ),
        (|_| {}, "control", Fine, &["26.07 answers by session in 90 ms; up for 1h"]),
        (|_| {}, "http_api", Fine, &["none is needed", "docker exec xmpp ejabberdctl status"]),
        (
            |e| server(e).api = api(Some("127.0.0.1:5280"), false, Reading::Known(200)),
            "http_api",
            Fine,
            &["http://127.0.0.1:5280/api/status: 200"],
        ),
        (
            |e| server(e).api = api(Some("127.0.0.1:5280"), false, Reading::Known(401)),
            "http_api",
            Fine,
            &["401"],
        ),
        (
            |e| server(e).api = api(Some("127.0.0.1:5280"), false, Reading::Known(404)),
            "http_api",
            Problem,
            &["404", "request_handlers"],
        ),
        (
            |e| server(e).api = api(Some("127.0.0.1:5280"), false, no()),
            "http_api",
            Problem,
            &["it hid"],
        ),
        (
            |e| server(e).api = api(Some("127.0.0.1:5443"), true, no()),
            "http_api",
            Fine,
            &["https://127.0.0.1:5443/api"],
        ),
        (|e| server(e).api = api(None, false, no()), "http_api", Fine, &["a Unix socket"]),
        (
            |e| server(e).api = api(Some("127.0.0.1:5280"), false, Reading::Known(200)),
            "http_reach",
            Fine,
            &["host's network", "curl http://127.0.0.1:5280/api/status"],
        ),
        (|e| bridge(e, "127.0.0.1:5280", &[]), "http_reach", Fine, &["docker exec xmpp curl"]),
        (
            |e| bridge(e, "127.0.0.1:5280", &["127.0.0.1:80"]),
            "http_reach",
            Problem,
            &["own loopback", "network: host"],
        ),
        (
            |e| bridge(e, "0.0.0.0:5280", &["127.0.0.1:80"]),
            "http_reach",
            Fine,
            &["published at 127.0.0.1:80"],
        ),
    ]);
}

#[test]
fn delivery_of_messages() {
    table(&[
        (
            |e| delivery(e).hosts = Reading::Known(vec!["b.test".into()]),
            "hosts",
            Problem,
            &["does not serve a.test", "it serves b.test"],
        ),
        (
            |e| delivery(e).clients = Reading::Known(Vec::new()),
            "client_ports",
            Problem,
            &["ejabberd_c2s"],
        ),
        (|e| client(e).says = no(), "client_ports", Problem, &["127.0.0.1:5222, a.test: it hid"]),
        (
            |e| client(e).says = Reading::Known("HTTP/1.1".into()),
            "client_ports",
            Problem,
            &["does not speak XMPP"],
        ),
        (
            |e| {
                client(e).says =
                    Reading::Known("<stream:stream><stream:error><host-unknown/>".into())
            },
            "client_ports",
            Problem,
            &["does not know the host"],
        ),
        (
            |e| client(e).says = Reading::Known("<stream:stream><mechanisms/>".into()),
            "client_ports",
            Problem,
            &["STARTTLS", "certfiles"],
        ),
        (
            |e| {
                client(e).says = Reading::Known("<stream:stream><mechanisms/>".into());
                client(e).starttls = false;
            },
            "client_ports",
            Fine,
            &[],
        ),
        (
            |e| delivery(e).modules.values_mut().for_each(|m| m.0 = Reading::Known(false)),
            "offline_storage",
            Problem,
            &["mod_offline is not loaded for a.test"],
        ),
        (
            |e| delivery(e).modules.values_mut().for_each(|m| m.1 = Reading::Known(None)),
            "archive",
            Problem,
            &["mod_mam is not loaded for a.test"],
        ),
        (
            |e| {
                delivery(e)
                    .modules
                    .values_mut()
                    .for_each(|m| m.1 = Reading::Known(Some("never".into())))
            },
            "archive",
            Problem,
            &["default: never", "default: always"],
        ),
        (
            |e| {
                delivery(e).archive =
                    Reading::Known(Archive::Mnesia { messages: 9, bytes: Some(2_000_000_001) })
            },
            "archive",
            Problem,
            &["the archive is full", "delete_old_mam_messages"],
        ),
        (
            |e| delivery(e).archive = Reading::Known(Archive::Elsewhere(7)),
            "archive",
            Fine,
            &["7 messages"],
        ),
        (|e| delivery(e).archive = no(), "archive", Unknown, &["it hid"]),
        (
            |e| {
                delivery(e).rooms =
                    Reading::Known(vec![("r@conference.a.test".parse().unwrap(), None)])
            },
            "rooms",
            Problem,
            &["r@conference.a.test", "apply"],
        ),
        (
            |e| {
                delivery(e).rooms =
                    Reading::Known(vec![("r@conference.a.test".parse().unwrap(), Some(false))])
            },
            "rooms",
            Problem,
            &["not archived"],
        ),
        (
            |e| {
                delivery(e).rooms =
                    Reading::Known(vec![("s@conference.a.test".parse().unwrap(), Some(false))])
            },
            "rooms",
            Fine,
            &["not archived: s@"],
        ),
        (
            |e| delivery(e).missing = Reading::Known(vec![ann()]),
            "accounts",
            Problem,
            &["ann@a.test", "apply"],
        ),
        (
            |e| delivery(e).banned = Reading::Known(vec![(ann(), "spam".into())]),
            "bans",
            Problem,
            &["ann@a.test: spam", "state: present"],
        ),
        (
            |e| {
                delivery(e).waiting =
                    Reading::Known(vec![(ann(), 3), ("bob@a.test".parse().unwrap(), 9)])
            },
            "waiting_messages",
            Problem,
            &[
                "12 messages wait for 2 accounts, most for bob@a.test",
                "9 messages: for bob@a.test, which is not connected\n3 messages: for ann@a.test, though it is connected",
                "doctor bob@a.test",
            ],
        ),
        (|e| delivery(e).unasked = 7, "waiting_messages", Fine, &["7 declared accounts more"]),
    ]);
}

#[test]
fn what_a_version_cannot_tell_is_no_fault() {
    table(&[
        (old_and_untold, "bans", DoesNotApply, &["ejabberd 23.01 cannot tell who is banned"]),
        (old_and_untold, "account", Fine, &["is there", "23.01 cannot tell"]),
    ]);
}

fn old_and_untold(e: &mut Evidence) {
    alive(e).version = ServerVersion { year: 23, month: 1 };
    delivery(e).banned = no();
    account(e).banned = no();
}

#[test]
fn load() {
    fn sessions(e: &mut Evidence, of_ann: usize) {
        let all = (0..of_ann).map(|n| format!("ann@a.test/{n}")).chain(["bob@a.test/x".into()]);
        delivery(e).connected = Reading::Known(all.collect());
    }
    fn vm(e: &mut Evidence) -> &mut Vm {
        let Reading::Known(vm) = &mut server(e).load.vm else { panic!() };
        vm
    }
    table(&[
        (
            |e| {
                server(e).load.usage =
                    Reading::Known((usage(1.0, 1), usage(2.9, 1), Duration::from_secs(1)))
            },
            "cpu",
            Problem,
            &["190 % of one core", "shaper"],
        ),
        (
            |e| {
                server(e).load.usage =
                    Reading::Known((usage(1.0, 1), usage(1.9, 1), Duration::from_secs(1)))
            },
            "cpu",
            Fine,
            &["90 % of one core"],
        ),
        // It was started anew in between.
        (
            |e| {
                server(e).load.usage =
                    Reading::Known((usage(9.0, 1), usage(0.1, 1), Duration::from_secs(1)))
            },
            "cpu",
            Fine,
            &["0 % of one core"],
        ),
        (
            |e| {
                let Reading::Known(c) = &mut server(e).circumstances else { panic!() };
                c.memory_limit = Some(1 << 27);
            },
            "container_memory",
            Problem,
            &["128.0 MiB of 128.0 MiB", "docker update"],
        ),
        (
            |e| {
                let Reading::Known(c) = &mut server(e).circumstances else { panic!() };
                c.memory_limit = Some(1 << 28);
            },
            "container_memory",
            Fine,
            &["of 256.0 MiB"],
        ),
        (|e| vm(e).processes = 950, "erlang", Problem, &["950 of 1000", "ERL_PROCESSES"]),
        (|e| vm(e).run_queue = 30, "erlang", Problem, &["more to do"]),
        (|e| sessions(e, 9), "sessions", Fine, &["10 sessions", "ann@a.test: 9 sessions"]),
        (
            |e| sessions(e, 12),
            "sessions",
            Problem,
            &["ann@a.test has 12 of 13 sessions", "state: banned"],
        ),
        (|_| {}, "registered", Fine, &["a.test: 2 accounts, 4 declared"]),
    ]);
}

#[test]
fn one_account() {
    table(&[
        (|e| e.account = None, "account", DoesNotApply, &[]),
        (
            |_| {},
            "account",
            Fine,
            &[
                "the file declares it",
                "in the groups g",
                "in the rooms r@conference.a.test (owner)",
            ],
        ),
        (
            |e| account(e).exists = Reading::Known(false),
            "account",
            Problem,
            &["is not there", "apply"],
        ),
        (
            |e| {
                account(e).exists = Reading::Known(false);
                e.account.as_mut().unwrap().0 = "old@a.test".parse().unwrap();
            },
            "account",
            Fine,
            &["as declared"],
        ),
        (
            |e| {
                account(e).exists = Reading::Known(false);
                e.account.as_mut().unwrap().0 = "who@a.test".parse().unwrap();
            },
            "account",
            Problem,
            &["spec.users"],
        ),
        (|e| account(e).exists = Reading::Known(false), "account_messages", DoesNotApply, &[]),
        (
            |e| account(e).banned = Reading::Known(Some("spam".into())),
            "account",
            Problem,
            &["is banned", "spam", "state: present"],
        ),
        (
            |e| {
                account(e).banned = Reading::Known(Some("spam".into()));
                e.account.as_mut().unwrap().0 = "who@a.test".parse().unwrap();
            },
            "account",
            Problem,
            &["docker exec xmpp ejabberdctl unban_account who a.test"],
        ),
        (|e| account(e).banned = no(), "account", Unknown, &["it hid"]),
        (
            |e| account(e).sessions = Reading::Known(Vec::new()),
            "account_sessions",
            Fine,
            &["is not connected", "last activity: now"],
        ),
        (
            |e| {
                let Reading::Known(s) = &mut account(e).sessions else { panic!() };
                s[0].priority = -1;
            },
            "account_sessions",
            Problem,
            &["negative priority"],
        ),
        (|_| {}, "account_sessions", Fine, &["phone: c2s_tls, available, priority 0"]),
        (|_| {}, "account_messages", Fine, &["3 messages in its archive"]),
        (
            |e| account(e).waiting = Reading::Known(2),
            "account_messages",
            Problem,
            &["2 messages wait", "though it is connected"],
        ),
        (
            |e| {
                account(e).waiting = Reading::Known(1);
                account(e).sessions = Reading::Known(Vec::new());
            },
            "account_messages",
            Problem,
            &["1 message waits", "which is not connected", "ejabberd-operator plan"],
        ),
        (
            |e| {
                account(e).waiting = Reading::Known(1);
                account(e).banned = Reading::Known(Some(String::new()));
            },
            "account_messages",
            Problem,
            &["which is banned"],
        ),
    ]);
}
