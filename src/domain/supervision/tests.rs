use proptest::prelude::*;

use super::*;
use crate::domain::observed::Work;
use crate::domain::spec::Backoff;

fn settings() -> Settings {
    let seconds = Duration::from_secs;
    Settings {
        must_run: true,
        probe: Probe { interval: seconds(5), failures: 3, start_deadline: seconds(600) },
        backoff: Backoff { initial: seconds(10), max: seconds(300), reset_after: seconds(600) },
        others: Others::None,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The work of a VM that has used `cpu_seconds` seconds of processor time.
#[allow(clippy::unnecessary_wraps, reason = "what the events carry")]
fn did(cpu_seconds: u64) -> Option<Work> {
    Some(Work { cpu_seconds, ..Work::default() })
}

fn died() -> Event {
    Event::Ended(Ending { exit_code: Some(137), ..Ending::default() })
}

fn failed_with(line: &str) -> Event {
    let log = vec![line.to_owned()];
    Event::Ended(Ending { exit_code: Some(1), log, ..Ending::default() })
}

/// The name of a state, without its fields.
fn name(state: &State) -> String {
    format!("{state:?}").split([' ', '{']).next().unwrap().to_owned()
}

/// Rows with the time, the event, the expected state and the expected effect.
type Table = [(i64, Event, &'static str, Option<Effect>)];

fn play(settings: &Settings, table: &Table) {
    let mut machine = Supervision::new(at(0));
    for (row, (second, event, state, effect)) in table.iter().enumerate() {
        let did = machine.step(event.clone(), settings, at(*second));
        assert_eq!(
            (name(&machine.state).as_str(), did),
            (*state, *effect),
            "row {row}: {machine:?}"
        );
    }
}

#[test]
fn the_wait_before_a_restart_doubles() {
    use Event::{Answered, Nothing, Runs};
    play(
        &settings(),
        &[
            (0, Runs, "Starting", None),
            (1, Answered, "Running", None),
            (100, died(), "Starting", Some(Effect::Start)),
            (100, Runs, "Starting", None),
            (102, Answered, "Running", None),
            (103, died(), "BackingOff", None),
            (112, Nothing, "BackingOff", None),
            (113, Nothing, "Starting", Some(Effect::Start)),
            (115, died(), "BackingOff", None),
            (134, Nothing, "BackingOff", None),
            (135, Nothing, "Starting", Some(Effect::Start)),
            (136, Answered, "Running", None),
            // Ten minutes of health reset the backoff.
            (736, died(), "Starting", Some(Effect::Start)),
        ],
    );
}

#[test]
fn a_fault_for_a_person_is_reported_and_delays_the_start() {
    let mut machine = Supervision::new(at(0));
    let taken = "2026-11-22 19:20:24 \u{1b}[1;49;95m[error]\u{1b}[0m listener: eaddrinuse}}";
    let _ = machine.step(Event::Runs, &settings(), at(0));
    assert_eq!(machine.step(failed_with(taken), &settings(), at(1)), None);
    assert_eq!(machine.state, State::Failed { until: at(11) });
    let cause = machine.cause.clone().unwrap();
    assert_eq!((cause.reason, cause.config), (EndReason::PortTaken, false));
    assert!(cause.to_string().contains("ss -tlnp") && !cause.message.contains('\u{1b}'), "{cause}");
    // After the fix, an order starts the server at once.
    assert_eq!(machine.step(Event::TryNow, &settings(), at(2)), Some(Effect::Start));
    let row = |words: &str| {
        Cause::of(&Ending { log: vec![words.into()], ..Ending::default() }, EndedWhile::Starting)
    };
    for (words, reason) in [
        ("{file_error,enospc}", EndReason::DiskFull),
        (
            "Failed to read YAML file '/home/ejabberd/conf/ejabberd.yml': permission denied",
            EndReason::ConfigUnreadable,
        ),
        (
            "Failed to read YAML file '/home/ejabberd/conf/ejabberd.yml': Syntax error on line 2",
            EndReason::ConfigInvalid,
        ),
        (
            "Protocol 'inet_tcp': the name ejabberd@localhost seems to be in use by another Erlang node",
            EndReason::NodeNameTaken,
        ),
        ("Bind for 127.0.0.1:5222 failed: port is already allocated", EndReason::PortTaken),
        ("[critical] Failed to start module mod_x", EndReason::Ended),
    ] {
        assert_eq!(row(words).reason, reason, "{words}");
    }
    // The log of a server that was up does not explain a signal.
    let stopped = Ending { exit_code: Some(143), ..Ending::default() };
    let stopped = Cause::of(&stopped, EndedWhile::Starting);
    assert_eq!((stopped.reason, stopped.config), (EndReason::Terminated, false));
    let killed = Ending { exit_code: Some(137), log: vec!["eacces".into()], ..Ending::default() };
    assert_eq!(Cause::of(&killed, EndedWhile::Up).reason, EndReason::Killed);
    assert!(
        Cause::of(&Ending { oom_killed: true, ..killed }, EndedWhile::Up)
            .message
            .contains("memory")
    );
}

#[test]
fn several_slow_responses_are_an_outage_and_one_is_not() {
    use Event::{Answered, Missed, Runs};
    play(
        &settings(),
        &[
            (0, Runs, "Starting", None),
            (1, Answered, "Running", None),
            (6, Missed(did(7)), "Running", None),
            (8, Missed(did(7)), "Running", None),
            (10, Answered, "Running", None),
            (15, Missed(did(7)), "Running", None),
            (17, Missed(did(7)), "Running", None),
            (20, Missed(did(7)), "Unresponsive", None),
            (23, Missed(did(7)), "Starting", Some(Effect::Restart)),
        ],
    );
}

#[test]
fn a_busy_server_that_does_not_respond_gets_more_time() {
    let mut machine = Supervision::new(at(0));
    let _ = machine.step(Event::Answered, &settings(), at(0));
    let restarted = (1..100).find(|n| {
        let event = Event::Missed(did(10 * u64::try_from(*n).unwrap()));
        machine.step(event, &settings(), at(*n * 3)).is_some()
    });
    assert_eq!(restarted, Some(25), "{machine:?}");
}

#[test]
fn a_start_is_restarted_only_if_it_makes_no_progress() {
    let mut machine = Supervision::new(at(0));
    let _ = machine.step(Event::Runs, &settings(), at(0));
    // The start makes progress for an hour, and the operator does not interrupt the start.
    for second in 1..3600_u32 {
        let event = Event::InProgress(did(10 * u64::from(second)));
        assert_eq!(machine.step(event, &settings(), at(second.into())), None);
    }
    // Then the server does nothing for ten minutes, except for responses to the probes.
    let answers = |machine: &mut Supervision, second, cpu| {
        machine.step(Event::InProgress(did(cpu)), &settings(), at(second))
    };
    assert_eq!(answers(&mut machine, 4198, 35_993), None);
    assert_eq!(answers(&mut machine, 4199, 35_995), Some(Effect::Restart));
    assert_eq!(machine.cause.unwrap().reason, EndReason::StuckStart);
}

#[test]
fn a_server_that_is_frozen_while_it_starts_is_restarted_after_a_minute() {
    let after = |work: fn(i64) -> Option<Work>| {
        let mut machine = Supervision::new(at(0));
        let _ = machine.step(Event::Runs, &settings(), at(0));
        let restarted = (1..2000).find(|second| {
            machine.step(Event::Missed(work(*second)), &settings(), at(*second)).is_some()
        });
        (restarted, machine.cause.map(|cause| cause.reason))
    };
    let frozen = (Some(60), Some(EndReason::Frozen));
    assert_eq!(after(|_| did(1)), frozen);
    // The operator does not interrupt a server that reads its tables, waits for the disk, or computes.
    let disk = |second: i64| Some(Work { disk_bytes: second.cast_unsigned(), ..Work::default() });
    assert_eq!(after(disk), (None, None));
    assert_eq!(after(|_| Some(Work { waits_for_disk: true, ..Work::default() })), (None, None));
    assert_eq!(after(|second| did(second.cast_unsigned())), (None, None));
    // Before there is a VM, the start script may wait for another service.
    assert_eq!(after(|_| None).0, Some(600));
}

#[test]
fn ejabberd_stopped_in_a_running_node_is_restarted_after_two_observations() {
    use Event::{Answered, Halted, Nothing};
    play(
        &settings(),
        &[
            (0, Answered, "Running", None),
            (100, Halted, "Halted", None),
            (101, Halted, "Halted", None),
            (101, Event::InProgress(did(5)), "Starting", None),
            (102, Answered, "Running", None),
            (200, Halted, "Halted", None),
            (201, Nothing, "Halted", None),
            (202, Halted, "Starting", Some(Effect::Restart)),
        ],
    );
    let mut machine = Supervision::new(at(0));
    let _ = machine.step(Halted, &settings(), at(0));
    assert_eq!(machine.step(Event::TryNow, &settings(), at(1)), Some(Effect::Restart));
}

#[test]
fn a_server_that_cannot_be_observed_is_never_restarted() {
    let mut machine = Supervision::new(at(0));
    let unseen = || Event::Unseen("a wrong cookie".to_owned());
    for second in 0..5000 {
        let event = if second % 7 == 0 { Event::Runs } else { unseen() };
        assert_eq!(machine.step(event, &settings(), at(second)), None);
        assert_eq!(machine.step(Event::TryNow, &settings(), at(second)), None);
    }
    assert!(matches!(machine.state, State::Unseen { .. }));
    // The operator can still observe the end of the server's process.
    assert_eq!(machine.step(died(), &settings(), at(5000)), Some(Effect::Start));
}

#[test]
fn a_silent_client_port_of_a_node_that_responds_restarts_nothing() {
    let mut machine = Supervision::new(at(0));
    let _ = machine.step(Event::Answered, &settings(), at(0));
    for second in 1..5000 {
        let event = Event::PortSilent("127.0.0.1:5222".to_owned());
        assert_eq!(machine.step(event, &settings(), at(second)), None);
        let reported = matches!(machine.state, State::PortSilent { .. });
        assert_eq!(reported, second >= 3, "one slow answer is not reported");
    }
    assert_eq!(machine.step(Event::Answered, &settings(), at(5000)), None);
    assert!(matches!(machine.state, State::Running { .. }));
}

#[test]
fn a_stopped_server_stays_stopped_and_a_stop_without_effect_is_repeated() {
    let mut stopped = Settings { must_run: false, ..settings() };
    let mut machine = Supervision::new(at(0));
    let _ = machine.step(Event::Answered, &settings(), at(0));
    assert_eq!(machine.step(Event::Runs, &stopped, at(1)), Some(Effect::Stop));
    assert_eq!(machine.step(Event::Runs, &stopped, at(2)), None);
    assert_eq!(machine.step(Event::Runs, &stopped, at(31)), Some(Effect::Stop));
    for second in 32..1000 {
        assert_eq!(machine.step(died(), &stopped, at(second)), None);
        assert_eq!(machine.state, State::Stopped);
    }
    stopped.must_run = true;
    assert_eq!(machine.step(died(), &stopped, at(1001)), Some(Effect::Start));
}

#[test]
fn a_restart_policy_gets_ten_seconds_first() {
    let others = Settings { others: Others::RestartPolicy, ..settings() };
    let mut machine = Supervision::new(at(0));
    let _ = machine.step(Event::Answered, &others, at(0));
    assert_eq!(machine.step(died(), &others, at(100)), None);
    assert_eq!(machine.step(Event::Nothing, &others, at(109)), None);
    assert_eq!(machine.step(Event::Nothing, &others, at(110)), Some(Effect::Start));
}

#[test]
fn the_owner_of_the_container_may_stop_it_to_replace_it() {
    let owner = Settings { others: Others::Owner, ..settings() };
    let ended = |code| {
        let mut machine = Supervision::new(at(0));
        let _ = machine.step(Event::Answered, &owner, at(0));
        let ending = Ending { exit_code: Some(code), ..Ending::default() };
        machine.step(Event::Ended(ending), &owner, at(100))
    };
    assert_eq!((ended(0), ended(143)), (None, None));
    assert_eq!((ended(137), ended(1)), (Some(Effect::Start), Some(Effect::Start)));
}

#[test]
fn the_backoff_survives_a_restart_and_is_bounded_after_a_clock_set_back() {
    let mut machine = Supervision::new(at(0));
    let _ = machine.step(Event::Answered, &settings(), at(0));
    let _ = machine.step(died(), &settings(), at(1));
    let _ = machine.step(died(), &settings(), at(2));
    let kept: Supervision =
        serde_json::from_str(&serde_json::to_string(&machine).unwrap()).unwrap();
    assert_eq!(kept, machine);
    let mut resumed = kept.clone().resumed(&settings(), at(5));
    assert_eq!(resumed.step(died(), &settings(), at(11)), None);
    assert_eq!(resumed.step(died(), &settings(), at(12)), Some(Effect::Start));
    assert_eq!(
        kept.resumed(&settings(), at(-90_000)).due(),
        Some(at(-90_000) + Duration::from_mins(5))
    );
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Runs),
        3 => Just(died()),
        1 => Just(failed_with("eaddrinuse")),
        1 => Just(Event::IsAbsent),
        1 => Just(Event::IsPaused),
        4 => Just(Event::Answered),
        4 => proptest::option::of(0..4_u64).prop_map(|n| Event::Missed(n.and_then(did))),
        2 => Just(Event::Halted),
        1 => (0..9_u64).prop_map(|n| Event::InProgress(did(n))),
        1 => Just(Event::Unseen(String::new())),
        1 => Just(Event::PortSilent(String::new())),
        3 => Just(Event::Nothing),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// For every sequence of events: a stopped server is never started, the third and later starts
    /// wait, and a paused or absent server is not started.
    #[test]
    fn the_third_and_later_starts_wait(
        events in proptest::collection::vec((any_event(), 0..40_i64, proptest::bool::weighted(0.9)), 1..80)
    ) {
        let mut machine = Supervision::new(at(0));
        let mut now = 0;
        let mut starts: Vec<i64> = Vec::new();
        for (event, pause, must_run) in events {
            now += pause;
            let settings = Settings { must_run, ..settings() };
            let was_healthy = matches!(machine.state, State::Running { healthy, .. } if since(healthy, at(now)).as_secs() >= 600);
            let was_stopped = matches!(machine.state, State::Stopped | State::Stopping);
            let idle = matches!(
                event,
                Event::IsAbsent | Event::IsPaused | Event::Unseen(_) | Event::PortSilent(_)
            );
            let effect = machine.step(event, &settings, at(now));
            match effect {
                Some(Effect::Stop) => prop_assert!(!must_run),
                Some(Effect::Start | Effect::Restart) => {
                    prop_assert!(must_run && !idle);
                    if was_healthy || was_stopped {
                        starts.clear();
                    }
                    // The third and later starts in a row wait at least ten seconds.
                    if let [.., last] = starts.as_slice() && starts.len() >= 2 {
                        prop_assert!(now - last >= 10, "{starts:?} {now}");
                    }
                    starts.push(now);
                }
                None => {}
            }
            if !must_run { starts.clear(); }
        }
    }
}
