//! Accounts, rooms and policy: one behaviour for each test.

use ejabberd_operator::domain::model::{Kind, ObjectKey, Op};
use ejabberd_operator::domain::observed::Reading;
use ejabberd_operator::ejabberd::Value;
use ejabberd_operator::engine::{Deferral, RoundReport, StepResult};

use crate::support::world::{Always, Fault, HOST, Lab, declare, free};

/// The names of the effects on the server, without those on the store.
fn commands(lab: &Lab) -> Vec<String> {
    let effects = lab.log().into_iter().filter(|effect| effect.name != "record");
    effects.map(|effect| effect.name.to_owned()).collect()
}

fn deleted(lab: &Lab) -> bool {
    lab.log().iter().any(|effect| matches!(effect.name, "unregister" | "destroy_room"))
}

fn steps(report: &RoundReport) -> Vec<String> {
    report.plan.steps().iter().map(|step| format!("{} {}", step.op, step.key)).collect()
}

#[tokio::test(start_paused = true)]
async fn missing_declared_objects_are_created() {
    let lab = Lab::new();
    let desired = declare(
        "users: [{ name: ann, password: one }, { name: bob }]\n\
         rooms: [{ name: hall, title: Hall, options: { members_only: true } }]",
    );
    let report = lab.round(&desired).await;
    assert!(report.converged() && report.changed_anything(), "{report:#?}");
    assert_eq!((lab.users(), lab.rooms()), (vec!["ann".into(), "bob".into()], vec!["hall".into()]));
    assert_eq!(lab.password("ann").unwrap(), "one");
    assert_eq!(lab.password("bob").unwrap(), "random-1", "no password is declared");
    assert_eq!(lab.room_option("hall", "title").unwrap(), "Hall");
    assert_eq!(lab.room_option("hall", "persistent").unwrap(), "true");
    assert_eq!(lab.owned(Kind::User), ["ann", "bob"]);
    assert_eq!(lab.owned(Kind::Room), ["hall"]);
}

#[tokio::test(start_paused = true)]
async fn a_generated_password_is_kept_before_it_is_set_and_published_after() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: ann, passwordTo: { file: out } }]")).await;
    let order = commands(&lab);
    assert_eq!(order, ["keep", "register", "publish"]);
    assert_eq!(lab.published("out"), lab.password("ann"));
}

#[tokio::test(start_paused = true)]
async fn an_existing_declared_account_is_adopted_without_a_step() {
    let lab = Lab::new();
    lab.others_make_user("ann", "hers");
    lab.round(&declare("rooms: []")).await;
    let report = lab.round(&declare("users: [{ name: ann }]")).await;
    assert_eq!(steps(&report), [""; 0]);
    assert_eq!(commands(&lab), [""; 0]);
    assert_eq!(lab.owned(Kind::User), ["ann"]);
    assert_eq!(lab.password("ann").unwrap(), "hers", "an undeclared password is not changed");
    assert_eq!(report.objects[&Kind::User].managed, 1, "from this round on");
}

#[tokio::test(start_paused = true)]
async fn a_second_round_does_nothing_and_checks_no_password() {
    let lab = Lab::new();
    let desired = declare("users: [{ name: ann, password: one }]\nrooms: [{ name: hall }]");
    lab.round(&desired).await;
    let (effects, asked) = (lab.effects(), lab.calls("check_password"));
    let report = lab.round(&desired).await;
    assert_eq!(steps(&report), [""; 0]);
    assert_eq!((lab.effects(), lab.calls("check_password")), (effects, asked));
}

#[tokio::test(start_paused = true)]
async fn a_password_that_changed_in_the_file_is_set() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: ann, password: one }]")).await;
    let report = lab.round(&declare("users: [{ name: ann, password: two }]")).await;
    assert_eq!(steps(&report), [format!("update user ann@{HOST}")]);
    assert_eq!(lab.password("ann").unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn owned_objects_that_are_no_longer_declared_are_deleted_and_forgotten() {
    let lab = Lab::new();
    lab.others_make_user("carl", "his");
    lab.others_make_room("club");
    lab.round(&declare(
        "users: [{ name: ann }, { name: bob }]\nrooms: [{ name: hall }, { name: attic }]",
    ))
    .await;
    lab.round(&declare("users: [{ name: ann }]\nrooms: [{ name: hall }]")).await;
    assert_eq!((lab.users(), lab.rooms()), (words("ann carl"), words("club hall")));
    assert_eq!((lab.owned(Kind::User), lab.owned(Kind::Room)), (words("ann"), words("hall")));
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn a_retained_object_stays_and_is_no_longer_owned() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: ann }, { name: bob, deletionPolicy: retain }]")).await;
    lab.rounds_until_quiet(&declare("users: [{ name: ann }]"), 3).await;
    assert_eq!((lab.users(), lab.owned(Kind::User)), (words("ann bob"), words("ann")));
}

#[tokio::test(start_paused = true)]
async fn a_retained_object_stays_with_prune_all() {
    let lab = Lab::new();
    lab.round(&declare(
        "users: [{ name: ann }, { name: bob, deletionPolicy: retain }]\npolicy: { prune: all }",
    ))
    .await;
    let desired = declare("users: [{ name: ann }]\npolicy: { prune: all }");
    lab.rounds_until_quiet(&desired, 5).await;
    assert_eq!(lab.users(), words("ann bob"));
}

#[tokio::test(start_paused = true)]
async fn prune_none_deletes_nothing_and_keeps_the_ownership() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: ann }, { name: bob }]")).await;
    lab.round(&declare("users: [{ name: ann }]\npolicy: { prune: none }")).await;
    assert_eq!((lab.users(), lab.owned(Kind::User)), (words("ann bob"), words("ann bob")));
}

#[tokio::test(start_paused = true)]
async fn prune_all_deletes_objects_that_others_created() {
    let lab = Lab::new();
    lab.others_make_user("carl", "his");
    lab.others_make_room("club");
    lab.round(&declare("users: [{ name: ann }]\nrooms: [{ name: hall }]\npolicy: { prune: all }"))
        .await;
    assert_eq!((lab.users(), lab.rooms()), (words("ann"), words("hall")));
}

#[tokio::test(start_paused = true)]
async fn prune_all_does_not_empty_a_kind_without_owned_objects() {
    let lab = Lab::new();
    lab.others_make_room("club");
    let round = lab.round(&declare("rooms: []\npolicy: { prune: all }")).await;
    assert_eq!((lab.rooms(), round.plan.blocked.is_some()), (words("club"), true));
}

#[tokio::test(start_paused = true)]
async fn prune_all_deletes_only_on_the_declared_hosts() {
    let lab = Lab::new();
    lab.world(|world| world.hosts.insert("elsewhere.example".to_owned()));
    lab.others_make_room("club@conference.elsewhere.example");
    lab.round(&declare("rooms: [{ name: hall }]\npolicy: { prune: all }")).await;
    assert_eq!(lab.rooms(), words("club hall"));
}

#[tokio::test(start_paused = true)]
async fn a_kind_without_its_key_is_not_managed_even_with_prune_all() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: ann }]\nrooms: [{ name: hall }]")).await;
    lab.round(&declare("rooms: [{ name: hall }]\npolicy: { prune: all }")).await;
    assert_eq!((lab.users(), lab.owned(Kind::User)), (words("ann"), words("ann")));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_declared_absent_is_deleted_owned_or_not() {
    let lab = Lab::new();
    lab.others_make_user("carl", "his");
    lab.others_make_room("club");
    let desired =
        "users: [{ name: carl, state: absent }]\nrooms: [{ name: club, state: absent }]\npolicy: ";
    lab.round(&declare(&format!("{desired} {{ prune: none }}"))).await;
    assert_eq!((lab.users(), lab.rooms()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn ignored_objects_are_never_changed() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: guest-1 }, { name: ann }]\nrooms: []")).await;
    lab.others_make_user("guest-2", "x");
    lab.others_make_room("guest-room");
    let policy = "policy: { prune: all, ignore: ['guest-*'] }";
    let users = "users: [{ name: ann }, { name: guest-2, state: absent }, { name: guest-3 }]";
    let report = lab.round(&declare(&format!("{users}\nrooms: []\n{policy}"))).await;
    assert_eq!(steps(&report), [""; 0]);
    assert_eq!((lab.users(), lab.rooms()), (words("ann guest-1 guest-2"), words("guest-room")));
}

#[tokio::test(start_paused = true)]
async fn paused_objects_are_not_changed() {
    let lab = Lab::new();
    lab.others_make_user("ann", "hers");
    lab.others_make_room("hall");
    let desired = declare(
        "users: [{ name: ann, password: one, paused: true }, { name: bob, paused: true }]\n\
         rooms: [{ name: hall, title: Hall, paused: true }]",
    );
    lab.round(&desired).await;
    assert_eq!(lab.effects(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_or_reporting_operator_changes_and_records_nothing() {
    for held in ["suspend: true", "policy: { mode: report }"] {
        let lab = Lab::new();
        lab.others_make_user("carl", "his");
        let desired = declare(&format!("{held}\nusers: [{{ name: ann }}, {{ name: carl }}]"));
        let report = lab.round(&desired).await;
        assert_eq!(steps(&report), [format!("create user ann@{HOST}")]);
        assert_eq!((lab.effects(), report.held.is_some()), (0, true), "{held}");
        assert_eq!(report.drift[&(Kind::User, Op::Create)], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_messaging_alone_changes_nothing_on_the_server() {
    let lab = Lab::new();
    let plain = "users: [{ name: ann }]\nrooms: [{ name: hall }]\n";
    lab.round(&declare(plain)).await;
    let (effects, before) = (lab.effects(), lab.picture());
    let mut revisions = vec![declare(plain).revision];
    for tools in ["[get_presence]", "[xmpp_get_messages]"] {
        let desired = declare(&format!(
            "{plain}messaging: {{ clients: [{{ name: c, tokenFrom: {{ file: t }}, actAs: [ann], tools: {tools} }}] }}"
        ));
        let report = lab.round(&desired).await;
        assert!(report.converged() && !report.changed_anything(), "{report:#?}");
        assert_eq!(steps(&report), [""; 0]);
        assert!(!revisions.contains(&desired.revision));
        revisions.push(desired.revision);
    }
    assert_eq!(lab.effects(), effects);
    assert_eq!(lab.picture(), before);
}

/// A server with ten accounts, and a desired state with only the first `left` of them.
async fn ten_and_then(left: usize, policy: &str) -> (std::sync::Arc<Lab>, String) {
    let lab = Lab::new();
    let list = |count: usize| {
        let users: Vec<String> = (0..count).map(|n| format!("{{ name: u{n} }}")).collect();
        format!("users: [{}]\n", users.join(", "))
    };
    lab.round(&declare(&list(10))).await;
    lab.calm();
    (lab, list(left) + policy)
}

#[tokio::test(start_paused = true)]
async fn the_guard_refuses_too_many_deletions_and_permits_other_steps() {
    let (lab, desired) = ten_and_then(6, "rooms: [{ name: hall }]").await;
    let report = lab.round(&declare(&desired)).await;
    assert_eq!(report.plan.blocked.as_ref().unwrap().deletions.len(), 4);
    assert_eq!((lab.users().len(), lab.rooms()), (10, words("hall")));
    assert!(!report.converged());
}

#[tokio::test(start_paused = true)]
async fn the_guard_permits_deletions_within_its_limit() {
    let (lab, desired) = ten_and_then(7, "").await;
    assert!(lab.round(&declare(&desired)).await.converged());
    assert_eq!(lab.users().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn refused_deletions_are_carried_out_after_their_digest_is_approved() {
    let (lab, desired) = ten_and_then(6, "").await;
    let digest = lab.round(&declare(&desired)).await.plan.digest;
    let by_hand = ejabberd_operator::engine::Permission { approved: Some(&digest), ..free() };
    let fork = lab.fork();
    fork.try_round(&declare(&desired), &by_hand).await.unwrap().unwrap();
    assert_eq!(fork.users().len(), 6);

    let in_file = format!("{desired}policy: {{ guard: {{ approve: '{digest}' }} }}");
    lab.round(&declare(&in_file)).await;
    assert_eq!(lab.users().len(), 6);

    let fewer = in_file.replace("{ name: u5 }", "");
    let report = lab.round(&declare(&fewer.replace(", ]", "]"))).await;
    assert!(report.plan.blocked.is_none(), "one more deletion is within `freeDeletes`");
}

#[tokio::test(start_paused = true)]
async fn an_approval_permits_only_the_approved_deletions() {
    let (lab, desired) = ten_and_then(6, "").await;
    let digest = lab.round(&declare(&desired)).await.plan.digest;
    let more = desired.replace(", { name: u5 }", "");
    let in_file = format!("{more}policy: {{ guard: {{ approve: '{digest}' }} }}");
    assert!(lab.round(&declare(&in_file)).await.plan.blocked.is_some());
    assert_eq!(lab.users().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn emptying_a_kind_is_refused_even_for_one_object() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: ann }]\nrooms: [{ name: hall }]")).await;
    let report = lab.round(&declare("users: []\nrooms: []")).await;
    assert_eq!(report.plan.blocked.unwrap().deletions.len(), 2);
    assert_eq!((lab.users(), lab.rooms()), (words("ann"), words("hall")));
}

#[tokio::test(start_paused = true)]
async fn deletions_wait_while_the_staleness_check_blocks_them() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: ann }, { name: bob }]")).await;
    let young = ejabberd_operator::engine::Permission {
        confirm: &Always(Some(Deferral::RevisionTooYoung)),
        ..free()
    };
    let desired = declare("users: [{ name: ann }, { name: cat }]");
    let report = lab.try_round(&desired, &young).await.unwrap().unwrap();
    assert_eq!(lab.users(), words("ann bob cat"));
    let waiting = |o: &&ejabberd_operator::engine::StepOutcome| {
        matches!(&o.result, StepResult::Deferred(Deferral::RevisionTooYoung))
    };
    assert_eq!(report.outcomes.iter().filter(waiting).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn rooms_are_unknown_without_their_module_and_none_is_deleted() {
    let lab = Lab::new();
    lab.round(&declare("users: []\nrooms: [{ name: hall }, { name: attic }]")).await;
    for missing in ["muc_online_rooms"] {
        lab.world(|world| world.missing = [missing].into());
        let desired = declare(
            "users: [{ name: ann }]\nrooms: [{ name: hall }, { name: attic, state: absent }]",
        );
        let report = lab.round(&desired).await;
        assert_eq!(lab.rooms(), words("attic hall"), "{missing}");
        assert!(!report.plan.unknown.is_empty() && !report.converged(), "{missing}");
        assert_eq!(lab.users(), words("ann"), "steps that need no module are carried out");
        assert_eq!(lab.owned(Kind::Room), words("attic hall"), "{missing}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_that_is_contradicted_is_unknown() {
    let lab = Lab::new();
    let desired = declare("users: [{ name: ann }, { name: bob }]");
    lab.round(&desired).await;
    lab.calm();
    lab.lie("registered_users", Value::List(vec![]));
    let report = lab.round(&desired).await;
    assert!(report.observed.users.values().all(|reading| matches!(reading, Reading::Unknown(_))));
    assert_eq!((lab.effects(), steps(&report).len()), (0, 0));
    assert_eq!(lab.owned(Kind::User), words("ann bob"), "and nothing is forgotten");
}

/// With SQL, every ejabberd command reports a missing table as an empty list of accounts (tried).
/// Only a query of the database itself detects the missing table.
#[tokio::test(start_paused = true)]
async fn an_empty_list_from_a_database_that_fails_is_unknown() {
    let lab = Lab::new();
    let desired = declare("users: [{ name: ann }, { name: bob }]");
    lab.round(&desired).await;
    let sql = Value::List(vec![Value::Atom("sql".to_owned())]);
    let tuple = |tag: &str| Value::Tuple(vec![Value::Atom(tag.to_owned()), Value::List(vec![])]);
    for broken in ["error", "updated"] {
        lab.lie("auth_method", sql.clone());
        lab.lie("registered_users", Value::List(vec![]));
        lab.lie("check_account", Value::Atom("false".to_owned()));
        lab.lie("stats_host", Value::Int(0));
        lab.lie("sql_query", tuple(broken));
        lab.calm();
        let report = lab.round(&declare("users: [{ name: ann }]")).await;
        assert!(!report.converged() && !report.plan.has_steps(), "{report:#?}");
        assert_eq!(lab.owned(Kind::User), words("ann bob"), "nothing is forgotten");
        lab.tell_the_truth();
    }
    assert_eq!(lab.users(), words("ann bob"));
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_empty_list_is_accepted() {
    let lab = Lab::new();
    let desired = declare("users: [{ name: ann, password: one }]");
    lab.round(&desired).await;
    lab.world(|world| world.users.clear());
    assert!(lab.round(&desired).await.converged());
    assert_eq!(lab.password("ann").unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn only_options_of_a_room_that_differ_are_set() {
    let lab = Lab::new();
    lab.others_make_room("hall");
    let options = "{ max_users: 200, public: false, presence_broadcast: [visitor, moderator] }";
    let desired = declare(&format!("rooms: [{{ name: hall, options: {options} }}]"));
    let report = lab.round(&desired).await;
    let fields = ["options.persistent", "options.presence_broadcast", "options.public"];
    assert_eq!(report.plan.steps()[0].fields, fields);
    assert_eq!(lab.calls("change_room_option"), 3);
    assert!(report.converged() && !deleted(&lab), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn one_failing_object_does_not_block_the_others() {
    let lab = Lab::new();
    lab.curse("bob");
    let users = "users: [{ name: ann }, { name: bob }, { name: cat }]\nrooms: [{ name: hall }]";
    let report = lab.round(&declare(users)).await;
    assert_eq!((lab.users(), lab.rooms()), (words("ann cat"), words("hall")));
    let failed: Vec<_> = report.failures().map(|(step, _)| step.name()).collect();
    assert_eq!(failed, [format!("bob@{HOST}")]);
    assert_eq!(report.drift[&(Kind::User, Op::Create)], 1);
}

#[tokio::test(start_paused = true)]
async fn a_step_in_backoff_waits_and_other_steps_are_carried_out() {
    let lab = Lab::new();
    let wait = |step: &ejabberd_operator::domain::diff::StepInfo| {
        step.name().starts_with("bob").then_some(Deferral::Backoff)
    };
    let patient = ejabberd_operator::engine::Permission { backing_off: &wait, ..free() };
    let desired = declare("users: [{ name: ann }, { name: bob }]");
    lab.try_round(&desired, &patient).await.unwrap().unwrap();
    assert_eq!(lab.users(), words("ann"));
}

#[tokio::test(start_paused = true)]
async fn a_reported_success_is_verified_by_reading_back() {
    let lab = Lab::new();
    lab.lie("register", Value::Tuple(vec![Value::Atom("ok".to_owned())]));
    let report = lab.round(&declare("users: [{ name: ann }]")).await;
    let (_, error) = report.failures().next().expect("it is a failure");
    assert_eq!(error.category(), "not_read_back");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_changed_or_forgotten_while_the_server_does_not_respond() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: ann }, { name: bob }]")).await;
    lab.calm();
    lab.world(|world| world.down = true);
    let report = lab.round(&declare("users: [{ name: ann }]")).await;
    assert_eq!((lab.effects(), steps(&report).len()), (0, 0));
    assert!(!report.converged());
    assert_eq!(lab.owned(Kind::User), words("ann bob"));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_cannot_be_recorded_is_not_carried_out() {
    let lab = Lab::new();
    *lab.disk_full.lock().unwrap() = true;
    let report = lab.round(&declare("users: [{ name: ann }, { name: bob }]")).await;
    assert_eq!((lab.effects(), lab.users()), (0, vec![]));
    assert!(report.failures().all(|(_, error)| error.category() == "store"));
    *lab.disk_full.lock().unwrap() = false;
    assert!(lab.round(&declare("users: [{ name: ann }, { name: bob }]")).await.converged());
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_during_an_adoption_does_not_end_the_round() {
    let lab = Lab::new();
    lab.others_make_user("ann", "hers");
    *lab.disk_full.lock().unwrap() = true;
    let round = lab.try_round(&declare("users: [{ name: ann }]"), &free()).await.unwrap();
    assert!(!round.expect("the failure is in the report").converged());
}

#[tokio::test(start_paused = true)]
async fn a_password_whose_response_was_lost_follows_the_file_back() {
    use crate::support::world::Fault;
    let (one, two) =
        ("users: [{ name: ann, password: one }]", "users: [{ name: ann, password: two }]");
    let lab = Lab::new();
    lab.rounds_until_quiet(&declare(one), 3).await;
    // The first effect removes the recorded fingerprint.
    lab.disturb(2, Fault::AnswerLost);
    lab.try_round(&declare(two), &free()).await.unwrap().unwrap();
    assert_eq!(
        lab.password("ann").unwrap(),
        "two",
        "the password was set, and the response was lost"
    );
    lab.calm();
    lab.rounds_until_quiet(&declare(one), 3).await;
    assert_eq!(lab.password("ann").unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn enforcing_a_password_again_sets_it() {
    let lab = Lab::new();
    let enforced = declare("users: [{ name: ann, password: one }]");
    lab.rounds_until_quiet(&enforced, 3).await;
    let initial = "users: [{ name: ann, password: one, passwordPolicy: initial }]";
    lab.rounds_until_quiet(&declare(initial), 3).await;
    lab.others_make_user("ann", "her own");
    lab.rounds_until_quiet(&enforced, 3).await;
    assert_eq!(lab.password("ann").unwrap(), "one");
}

/// A server of `version`, with one account that the operator did not create.
fn of_version(version: &str) -> std::sync::Arc<Lab> {
    let mut lab = Lab::new();
    let version = ejabberd_operator::domain::model::ServerVersion::parse(version).unwrap();
    std::sync::Arc::get_mut(&mut lab).unwrap().double.version = version;
    lab.others_make_user("ann", "theirs");
    lab
}

/// ejabberd 23.01 cannot report bans, and a ban replaces the password. An operator that is killed
/// during a ban still knows that the ban may exist.
#[tokio::test(start_paused = true)]
async fn the_inventory_records_bans_for_a_server_that_does_not() {
    let (banned, present) =
        (declare("users: [{ name: ann, state: banned }]"), declare("users: [{ name: ann }]"));
    let lab = of_version("23.01");
    lab.round(&declare("users: [{ name: ann }]")).await;
    lab.rounds_until_quiet(&banned, 4).await;
    assert_eq!(lab.password("ann").unwrap(), "BANNED banned");
    lab.rounds_until_quiet(&present, 4).await;
    let generated = lab.password("ann").unwrap();
    assert!(generated.starts_with("random-"), "the account can log in again: {generated}");

    for at in 1..=6 {
        for fault in [Fault::KilledBefore, Fault::KilledAfter, Fault::AnswerLost, Fault::NotSent] {
            let lab = of_version("23.01");
            lab.round(&present).await;
            lab.disturb(at, fault);
            let _ = lab.try_round(&banned, &free()).await;
            lab.no_more_faults();
            let met = lab.password("ann").unwrap().starts_with("BANNED");
            lab.rounds_until_quiet(&present, 4).await;
            let after = lab.password("ann").unwrap();
            assert!(!after.starts_with("BANNED"), "{fault:?} at {at}, banned before: {met}");
            lab.rounds_until_quiet(&banned, 4).await;
            assert_eq!(lab.password("ann").unwrap(), "BANNED banned", "{fault:?} at {at}");
        }
    }
}

/// A state directory that is used with another database must not make the operator own the
/// objects in that database.
#[tokio::test(start_paused = true)]
async fn a_state_directory_of_another_database_changes_nothing() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: ann }, { name: bob }]")).await;
    lab.others_make_user("eve", "theirs");
    lab.world(|world| world.database = 7);
    let desired = declare("users: [{ name: ann }, { name: new }, { name: eve, state: absent }]");
    let report = lab.round(&desired).await;
    assert!(!report.plan.has_steps() && !report.converged(), "{report:#?}");
    let why = report.plan.database_missing.unwrap();
    assert!(why.contains("retry --fill"), "{why}");
    assert_eq!(lab.users(), words("ann bob eve"));
    assert_eq!(lab.owned(Kind::User), words("ann bob"), "nothing is forgotten");

    ejabberd_operator::engine::order_fill(&*lab).unwrap();
    lab.rounds_until_quiet(&desired, 4).await;
    assert_eq!(lab.users(), words("ann bob new"), "bob belongs to others in this database");
    lab.world(|world| world.database = 0);
    let report = lab.round(&declare("users: [{ name: ann }]")).await;
    assert!(report.plan.database_missing.is_some(), "an order counts once");
}

/// Accounts are not created in another account store without an approval.
#[tokio::test(start_paused = true)]
async fn accounts_are_created_in_another_store_after_an_approval() {
    let lab = Lab::new();
    let people = "users: [{ name: ann, password: a }, { name: bob, password: b }]";
    lab.round(&declare(people)).await;
    let other = "hosts: [test.example]\nauth_method: [sql]\nsql_type: sqlite\n";
    lab.lie("configuration", Value::Text(other.to_owned()));
    lab.world(|world| world.users.clear());
    let report = lab.round(&declare(people)).await;
    let blocked = report.plan.blocked.unwrap();
    assert_eq!((blocked.creations.len(), blocked.deletions.len()), (2, 0));
    assert!(
        blocked.reason.contains("left behind in ejabberd's own database"),
        "{}",
        blocked.reason
    );
    assert!(lab.users().is_empty());
    let approve = format!("{people}\npolicy: {{ guard: {{ approve: {} }} }}", report.plan.digest);
    lab.rounds_until_quiet(&declare(&approve), 4).await;
    assert_eq!(lab.users(), words("ann bob"));
    // The approved store is now the known store: a missing account is created again.
    lab.world(|world| world.users.remove("bob@test.example"));
    lab.rounds_until_quiet(&declare(people), 4).await;
    assert_eq!(lab.users(), words("ann bob"));
}

/// An old copy of the state directory does not delete objects that were forgotten since.
#[tokio::test(start_paused = true)]
async fn an_old_copy_of_the_state_directory_changes_nothing() {
    let lab = Lab::new();
    lab.round(&declare("users: [{ name: ann }, { name: bob }, { name: eve }]")).await;
    let before = lab.copy_memory();
    let keep = "users: [{ name: ann }, { name: bob }]\npolicy: { prune: none }";
    lab.rounds_until_quiet(&declare(keep), 4).await;
    let eve = ObjectKey::parse(Kind::User, "eve@example.org").unwrap();
    ejabberd_operator::engine::forget(&*lab, &[eve]).unwrap();
    lab.round(&declare(keep)).await;
    let current = lab.copy_memory();

    let desired = declare("users: [{ name: ann }, { name: bob }, { name: new }]");
    lab.restore_memory(&before);
    let report = lab.round(&desired).await;
    let why = report.plan.state_outdated.clone().unwrap();
    assert!(why.contains("adopt --all") && !report.plan.has_steps(), "{why}");
    assert_eq!(lab.users(), words("ann bob eve"));
    assert!(!report.converged());

    // With the current copy, the operator continues. With the old copy and an order, the operator
    // owns the declared objects.
    lab.restore_memory(&current);
    lab.rounds_until_quiet(&desired, 4).await;
    assert_eq!(lab.users(), words("ann bob eve new"));
    lab.restore_memory(&before);
    ejabberd_operator::engine::order_adoption(&*lab).unwrap();
    lab.rounds_until_quiet(&desired, 4).await;
    assert_eq!(lab.users(), words("ann bob eve new"));
    assert_eq!(lab.owned(Kind::User), words("ann bob new"));
    // The order counts once. After the order, the copy that was current is an old copy.
    let accepted = lab.note_beside().unwrap();
    lab.set_note_beside(Some("{\"generation\":99}"));
    assert!(lab.round(&desired).await.plan.state_outdated.is_some());
    lab.set_note_beside(Some(&accepted));
    assert!(lab.round(&desired).await.plan.state_outdated.is_none());
    lab.restore_memory(&current);
    assert!(lab.round(&desired).await.plan.state_outdated.is_some());
}

/// Neither a new state directory nor a state directory of version 0.1 is an old copy. The operator
/// rewrites a missing or damaged file beside the database.
#[tokio::test(start_paused = true)]
async fn the_generation_beside_the_database_is_kept() {
    let lab = Lab::new();
    let desired = declare("users: [{ name: ann }, { name: bob }]");
    let new = lab.copy_memory();
    lab.rounds_until_quiet(&desired, 4).await;
    let first = lab.note_beside().unwrap();
    lab.rounds_until_quiet(&desired, 4).await;
    assert_eq!(lab.note_beside().unwrap(), first, "nothing has changed");
    for damaged in ["", "{", "{\"generation\":-1}", "[]"] {
        lab.set_note_beside(Some(damaged));
        lab.rounds_until_quiet(&desired, 4).await;
        assert!(lab.note_beside().unwrap().contains("generation"), "{damaged}");
    }
    lab.set_note_beside(None);
    lab.rounds_until_quiet(&desired, 4).await;
    assert!(lab.note_beside().is_some());
    let last = generation(&lab);
    lab.restore_memory(&new);
    let one = declare("users: [{ name: ann }]");
    assert!(lab.round(&one).await.plan.state_outdated.is_none());
    lab.rounds_until_quiet(&one, 4).await;
    assert_eq!(lab.users(), words("ann bob"), "a new state directory owns only what it took over");
    assert_eq!(lab.owned(Kind::User), words("ann"));
    assert!(generation(&lab) > last, "other copies of the state directory are old now");
    // The maximum generation does not overflow.
    lab.set_note_beside(Some("{\"generation\":18446744073709551615}"));
    assert!(lab.round(&desired).await.plan.state_outdated.is_some());
    ejabberd_operator::engine::order_adoption(&*lab).unwrap();
    lab.rounds_until_quiet(&desired, 4).await;
}

fn generation(lab: &Lab) -> u64 {
    let note: serde_json::Value = serde_json::from_str(&lab.note_beside().unwrap()).unwrap();
    note["generation"].as_u64().unwrap()
}

/// If the operator is killed after the write of the generation file and before the record in the
/// store, the next operator continues. A copy of the state directory from that moment is old after
/// the next change.
#[tokio::test(start_paused = true)]
async fn a_kill_during_the_write_of_the_generation_leaves_no_old_copy() {
    let lab = Lab::new();
    let desired = declare("users: [{ name: ann }, { name: bob }]\npolicy: { prune: none }");
    let account = |name: &str| ObjectKey::parse(Kind::User, name).unwrap();
    lab.rounds_until_quiet(&declare("users: [{ name: ann }, { name: bob }, { name: eve }]"), 4)
        .await;
    ejabberd_operator::engine::forget(&*lab, &[account("eve@example.org")]).unwrap();
    let killed = lab.copy_memory();
    lab.rounds_until_quiet(&desired, 4).await;

    lab.restore_memory(&killed);
    assert!(lab.round(&desired).await.plan.state_outdated.is_none());
    lab.rounds_until_quiet(&desired, 4).await;
    ejabberd_operator::engine::forget(&*lab, &[account("bob@example.org")]).unwrap();
    lab.rounds_until_quiet(&declare("users: [{ name: ann }]\npolicy: { prune: none }"), 4).await;
    lab.restore_memory(&killed);
    assert!(lab.round(&desired).await.plan.state_outdated.is_some());
}

/// `forget` outside of a reconciliation writes the generation file only beside the known database.
#[tokio::test(start_paused = true)]
async fn the_generation_is_not_written_beside_another_database() {
    let lab = Lab::new();
    let desired = declare("users: [{ name: ann }]");
    lab.rounds_until_quiet(&desired, 4).await;
    let before = generation(&lab);
    let ann = ObjectKey::parse(Kind::User, "ann@example.org").unwrap();
    ejabberd_operator::engine::forget(&*lab, &[ann]).unwrap();
    lab.world(|world| world.database = 7);
    let why = lab.engine(&desired).databases.publish_now(&desired).await.unwrap_err();
    assert!(why.contains("another database"), "{why}");
    assert_eq!(generation(&lab), before);
    lab.world(|world| world.database = 0);
    lab.engine(&desired).databases.publish_now(&desired).await.unwrap();
    assert_eq!(generation(&lab), before + 1);
}

/// The same deletions need another approval later.
#[tokio::test(start_paused = true)]
async fn an_approval_counts_once() {
    let lab = Lab::new();
    let all = declare("users: [{ name: ann }, { name: bob }, { name: eve }, { name: dan }]");
    let few = |approve: &str| {
        let guard = format!("policy: {{ guard: {{ freeDeletes: 0, approve: {approve} }} }}");
        declare(&format!("users: [{{ name: ann }}]\n{guard}"))
    };
    let mut approve = "null".to_owned();
    for _ in 0..3 {
        lab.rounds_until_quiet(&all, 4).await;
        let report = lab.round(&few(&approve)).await;
        assert!(report.plan.blocked.is_some(), "used before: {:?}", report.plan.notes);
        assert_eq!(lab.users(), words("ann bob dan eve"));
        assert_ne!(report.plan.digest.to_string(), approve);
        approve = report.plan.digest.to_string();
        lab.rounds_until_quiet(&few(&approve), 4).await;
        assert_eq!(lab.users(), words("ann"));
    }
    // An approval whose deletions all fail is not used up.
    lab.rounds_until_quiet(&all, 4).await;
    let report = lab.round(&few(&approve)).await;
    approve = report.plan.digest.to_string();
    for name in ["bob", "eve", "dan"] {
        lab.curse(name);
    }
    lab.round(&few(&approve)).await;
    lab.lift_curses();
    lab.rounds_until_quiet(&few(&approve), 4).await;
    assert_eq!(lab.users(), words("ann"));
}
