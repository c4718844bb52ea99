//! The process and its configuration: one behaviour for each test.

use ejabberd_operator::domain::model::{Kind, Op};
use ejabberd_operator::domain::observed::ProcessState;
use ejabberd_operator::engine::{Deferral, RoundReport, StepResult};

use crate::support::world::{Always, Fault, IMAGE_CONFIG, Lab, declare, free};

const SPEC: &str = "server: { docker: { container: test, image: ejabberd } }\n\
     config: { variant: a, variants: { a: a.yml } }\nusers: [{ name: ann }]";

/// Returns whether the process runs.
fn runs(lab: &Lab) -> bool {
    matches!(lab.process(), ProcessState::Running { .. })
}

/// The number of effects on the server, without effects on the store.
fn touched(lab: &Lab) -> usize {
    lab.log().iter().filter(|effect| !["remember", "keep config"].contains(&effect.name)).count()
}

fn count(lab: &Lab, name: &str) -> usize {
    lab.log().iter().filter(|effect| effect.name == name).count()
}

#[tokio::test(start_paused = true)]
async fn a_missing_server_is_created_with_the_declared_configuration_and_accounts() {
    let lab = Lab::without_server();
    lab.write_file("a.yml", "first");
    let report = lab.round(&declare(SPEC)).await;
    assert!(report.converged(), "{report:#?}");
    assert_eq!((lab.running_config(), lab.users()), ("first".into(), vec!["ann".into()]));
    assert_eq!((count(&lab, "create"), count(&lab, "start")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn no_server_is_created_with_a_refused_configuration() {
    let lab = Lab::without_server();
    lab.write_file("a.yml", "refused");
    let report = lab.round(&declare(SPEC)).await;
    assert_eq!((touched(&lab), lab.process()), (0, ProcessState::Absent));
    assert!(report.failures().any(|(_, error)| error.category() == "config_refused"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_configuration_does_not_change_the_running_server() {
    let lab = Lab::new();
    lab.write_file("a.yml", "first");
    lab.round(&declare(SPEC)).await;
    lab.calm();
    lab.write_file("a.yml", "refused");
    let report = lab.round(&declare(SPEC)).await;
    assert_eq!((touched(&lab), lab.running_config()), (0, "first".to_owned()));
    assert_eq!(report.drift[&(Kind::Config, Op::Update)], 1);
}

/// If the file changes between the announcement and the restart, the operator defers the restart.
/// The deferral is not a failure.
#[tokio::test(start_paused = true)]
async fn an_announced_restart_is_deferred_when_the_file_changed() {
    let announced =
        SPEC.replace("image: ejabberd }", "image: ejabberd }, announce: { delay: 5s, text: soon }");
    let announced = announced.replace("config: {", "config: { apply: restart,");
    let lab = Lab::new();
    lab.write_file("a.yml", "first");
    assert!(lab.round(&declare(&announced)).await.converged());
    lab.write_file("a.yml", "second");
    let young = ejabberd_operator::engine::Permission {
        confirm: &Always(Some(Deferral::RevisionTooYoung)),
        ..free()
    };
    let report = lab.try_round(&declare(&announced), &young).await.unwrap().unwrap();
    let results: Vec<&StepResult> = report.outcomes.iter().map(|o| &o.result).collect();
    assert!(
        matches!(results[..], [StepResult::Deferred(Deferral::RevisionTooYoung)]),
        "{results:?}"
    );
    assert_eq!(lab.running_config(), "first");
    assert!(lab.round(&declare(&announced)).await.converged());
    assert_eq!(lab.running_config(), "second");
}

#[tokio::test(start_paused = true)]
async fn the_summary_counts_the_steps_of_the_plan() {
    let lab = Lab::new();
    lab.write_file("a.yml", "refused");
    let plan = lab.round(&declare(SPEC)).await.plan;
    let of = |op: Op| plan.steps().into_iter().filter(|step| step.op == op).count();
    assert_eq!((plan.summary.create, plan.summary.update), (of(Op::Create), of(Op::Update)));
}

#[tokio::test(start_paused = true)]
async fn a_changed_configuration_restarts_the_server_once() {
    let lab = Lab::new();
    lab.write_file("a.yml", "first");
    lab.rounds_until_quiet(&declare(SPEC), 3).await;
    lab.calm();
    lab.write_file("a.yml", "second");
    lab.rounds_until_quiet(&declare(SPEC), 3).await;
    assert_eq!((lab.running_config(), runs(&lab)), ("second".to_owned(), true));
    assert_eq!((count(&lab, "start"), count(&lab, "stop process")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_whose_start_fails_is_rolled_back() {
    let lab = Lab::new();
    lab.write_file("a.yml", "first");
    lab.rounds_until_quiet(&declare(SPEC), 3).await;
    lab.write_file("a.yml", "ends at once");
    let report = lab.round(&declare(SPEC)).await;
    assert!(report.failures().any(|(_, error)| error.category() == "rolled_back"));
    assert_eq!((lab.running_config(), runs(&lab)), ("first".to_owned(), true));
}

#[tokio::test(start_paused = true)]
async fn a_server_declared_stopped_is_stopped_and_stays_stopped() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: ann }]")).await;
    let stopped =
        declare("server: { docker: { container: test }, state: stopped }\nusers: [{ name: bob }]");
    let report = lab.rounds_until_quiet(&stopped, 3).await;
    assert!(report.converged() && !runs(&lab), "{report:#?}");
    assert_eq!(lab.owned(Kind::User), ["ann"], "nothing is forgotten meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stopped_is_started() {
    let lab = Lab::new();
    ejabberd_operator::engine::Lifecycle::stop(&*lab).await.unwrap();
    let report = lab.round(&declare("users: [{ name: ann }]")).await;
    assert!(report.converged() && runs(&lab), "{report:#?}");
    let done = |o: &ejabberd_operator::engine::StepOutcome| matches!(o.result, StepResult::Done);
    assert_eq!(report.outcomes.iter().filter(|outcome| done(outcome)).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_takes_effect_although_the_response_of_its_write_was_lost() {
    let lab = Lab::new();
    lab.write_file("a.yml", "first");
    lab.rounds_until_quiet(&declare(SPEC), 3).await;
    lab.write_file("a.yml", "second");
    lab.disturb(1, Fault::AnswerLost);
    lab.try_round(&declare(SPEC), &free()).await.unwrap().unwrap();
    lab.calm();
    lab.rounds_until_quiet(&declare(SPEC), 5).await;
    assert_eq!(lab.running_config(), "second");
}

#[tokio::test(start_paused = true)]
async fn no_server_starts_with_a_configuration_that_was_never_accepted() {
    let lab = Lab::without_server();
    lab.write_file("a.yml", "first");
    lab.disturb(1, Fault::KilledAfter);
    assert!(lab.try_round(&declare(SPEC), &free()).await.is_none());
    lab.calm();
    lab.set_can_check(false);
    lab.round(&declare(SPEC)).await;
    assert_ne!(lab.running_config().as_bytes(), IMAGE_CONFIG);
}

#[tokio::test(start_paused = true)]
async fn an_operator_killed_during_a_restart_starts_the_server_afterwards() {
    let lab = Lab::new();
    lab.write_file("a.yml", "first");
    lab.rounds_until_quiet(&declare(SPEC), 3).await;
    lab.write_file("a.yml", "second");
    // A restart has these effects: write the files, stop ejabberd, stop its database, stop the
    // process.
    lab.disturb(3, Fault::KilledAfter);
    assert!(lab.try_round(&declare(SPEC), &free()).await.is_none());
    lab.calm();
    let report = lab.rounds_until_quiet(&declare(SPEC), 5).await;
    assert!(report.converged(), "{:?}", report.plan.unknown);
}

/// The checks of a configuration depend on the name of its variant, too: `hardened` has more
/// checks.
#[tokio::test(start_paused = true)]
async fn a_failed_configuration_is_tried_again_under_another_variant() {
    let lab = Lab::new();
    lab.write_file("a.yml", "first");
    lab.round(&declare(SPEC)).await;
    lab.write_file("a.yml", "refused");
    let tried = |report: &RoundReport| {
        report.failures().any(|(_, error)| error.category() == "config_refused")
    };
    assert!(tried(&lab.round(&declare(SPEC)).await));
    assert!(!tried(&lab.round(&declare(SPEC)).await), "it is latched");
    let renamed = SPEC.replace("variant: a, variants: { a:", "variant: b, variants: { b:");
    assert!(tried(&lab.round(&declare(&renamed)).await));
    assert!(!tried(&lab.round(&declare(&renamed)).await), "it is latched again");
}
