//! Tests the checks of the control channel, the HTTP APIs and the load.

use super::*;

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
    let Reading::Known(drift) = &mut s.drift else { panic!() };
    drift.host_network = false;
    let Reading::Known(around) = &mut s.diagnostics else { panic!() };
    around.published = published.iter().map(|at| (at.parse().unwrap(), 5280)).collect();
}

#[test]
fn an_api_that_does_not_respond_is_a_problem() {
    table(&[
        (|e| server(e).response = no(), "control", Fails, &["it hid", "docker restart xmpp"]),
        (
            |e| {
                server(e).response = no();
                server(e).process = Reading::Known(stopped(0));
            },
            "control",
            Unknown,
            &["it hid"],
        ),
        (
            |e| {
                server(e).response = no();
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
            Fails,
            &["ejabberd is stopped"],
        ),
        (|e| alive(e).started = false, "control", Fails, &["has not started yet", "wait"]),
        (|e| alive(e).started = false, "hosts", Unknown, &["has not started"]),
        (
            |e| alive(e).took = Duration::from_secs(7),
            "control",
            Fails,
            &["7000 ms", "--symptom load"],
        ),
        (|_| {}, "control", Passes, &["26.07 responds by session in 90 ms; up for 1h"]),
        (|_| {}, "http_api", Passes, &["none is needed", "docker exec xmpp ejabberdctl status"]),
        (
            |e| server(e).api = api(Some("127.0.0.1:5280"), false, Reading::Known(200)),
            "http_api",
            Passes,
            &["http://127.0.0.1:5280/api/status: 200"],
        ),
        (
            |e| server(e).api = api(Some("127.0.0.1:5280"), false, Reading::Known(401)),
            "http_api",
            Passes,
            &["401"],
        ),
        (
            |e| server(e).api = api(Some("127.0.0.1:5280"), false, Reading::Known(404)),
            "http_api",
            Fails,
            &["404", "request_handlers"],
        ),
        (
            |e| server(e).api = api(Some("127.0.0.1:5280"), false, no()),
            "http_api",
            Fails,
            &["it hid"],
        ),
        (
            |e| server(e).api = api(Some("127.0.0.1:5443"), true, no()),
            "http_api",
            Fails,
            &["https://127.0.0.1:5443/api: it hid"],
        ),
        (
            |e| server(e).api = api(None, false, Reading::Known(200)),
            "http_api",
            Passes,
            &["a Unix socket (/api)/status: 200"],
        ),
        (|e| server(e).api = api(None, false, no()), "http_api", Unknown, &["a Unix socket"]),
        (
            |e| server(e).api = api(Some("127.0.0.1:5280"), false, Reading::Known(200)),
            "http_reach",
            Passes,
            &["host's network", "curl http://127.0.0.1:5280/api/status"],
        ),
        (|e| bridge(e, "127.0.0.1:5280", &[]), "http_reach", Passes, &["docker exec xmpp curl"]),
        (
            |e| bridge(e, "127.0.0.1:5280", &["127.0.0.1:80"]),
            "http_reach",
            Fails,
            &["container's loopback", "network: host"],
        ),
        (
            |e| bridge(e, "0.0.0.0:5280", &["127.0.0.1:80"]),
            "http_reach",
            Passes,
            &["published at 127.0.0.1:80"],
        ),
    ]);
}

#[test]
fn a_load_near_its_limit_is_a_problem() {
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
            |e| server(e).load.usage = samples(usage(1.0, 1), usage(2.9, 1)),
            "cpu",
            Fails,
            &["190 % of one core", "shaper"],
        ),
        (
            |e| server(e).load.usage = samples(usage(1.0, 1), usage(1.9, 1)),
            "cpu",
            Passes,
            &["90 % of one core"],
        ),
        // The server restarted between the two measurements, so the second measurement is smaller
        // than the first.
        (
            |e| server(e).load.usage = samples(usage(9.0, 1), usage(0.1, 1)),
            "cpu",
            Passes,
            &["0 % of one core"],
        ),
        (
            |e| {
                let Reading::Known(c) = &mut server(e).diagnostics else { panic!() };
                c.memory_limit = Some(1 << 27);
            },
            "container_memory",
            Fails,
            &["128.0 MiB of 128.0 MiB", "docker update"],
        ),
        (
            |e| {
                let Reading::Known(c) = &mut server(e).diagnostics else { panic!() };
                c.memory_limit = Some(1 << 28);
            },
            "container_memory",
            Passes,
            &["of 256.0 MiB"],
        ),
        (|e| vm(e).processes = 950, "erlang", Fails, &["950 of 1000", "ERL_PROCESSES"]),
        (|e| vm(e).run_queue = 30, "erlang", Fails, &["more work"]),
        (|e| sessions(e, 9), "sessions", Passes, &["10 sessions", "ann@a.test: 9 sessions"]),
        (
            |e| sessions(e, 12),
            "sessions",
            Fails,
            &["ann@a.test has 12 of 13 sessions", "state: banned"],
        ),
        (|_| {}, "registered", Passes, &["a.test: 2 accounts, 4 declared"]),
    ]);
}
