use crate::domain::spec::{
    DesiredState, Messaging, MessagingClient, Problem, SecretSource, SourceFile, validate,
};

/// Validates a file with `more` in `spec`. A warning fails the test.
fn read(more: &str) -> Result<DesiredState, Vec<Problem>> {
    let text = format!(
        "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: {{ name: test }}\nspec:\n  \
         host: example.org\n  hosts: [example.net]\n  server: {{ docker: {{ container: test }} }}\n{more}"
    );
    let file = SourceFile { path: "/etc/xmpp/desired-state.yaml".into(), text };
    validate(&[file]).map(|validated| {
        let warnings: Vec<String> = validated.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.is_empty(), "{more}\n{}", warnings.join("\n"));
        validated.desired
    })
}

/// The only client of a file, or the messages and helps of the errors.
fn client_of(more: &str, fields: &str) -> Result<MessagingClient, String> {
    let client = format!("{{ name: c, tokenFrom: {{ env: TOKEN }}, {fields} }}");
    match read(&format!("{more}  messaging: {{ clients: [{client}] }}\n")) {
        Ok(desired) => Ok(desired.messaging.unwrap().clients.remove(0)),
        Err(problems) => {
            assert!(problems.iter().all(|problem| problem.position.is_some()));
            Err(problems.iter().map(ToString::to_string).collect())
        }
    }
}

fn client(fields: &str) -> Result<MessagingClient, String> {
    client_of("", fields)
}

#[test]
fn a_client_with_defaults_only_reads_messages() {
    let client = client("actAs: [ann]").unwrap();
    let tools: Vec<&str> = client.tools.iter().map(|tool| tool.as_str()).collect();
    assert_eq!(tools, ["xmpp_get_messages", "get_presence"]);
    assert_eq!((client.rate.per_minute, client.rate.burst), (60, 20));
    assert!(client.to.is_empty() && client.registration.is_none());
    assert_eq!(client.token_from, SecretSource::Env("TOKEN".into()));
}

#[test]
fn names_are_normalised_and_get_the_default_host() {
    let client = client(
        "actAs: [Ann, 'Agent-*', 'bot-*@Example.NET'], to: ['*', '*@*.example.org'], \
         tools: [register_messaging_user, xmpp_send_message], \
         registration: { names: 'agent-*', rooms: ['personal-{name}', '{name}@rooms.example.org'] }",
    )
    .unwrap();
    let texts = |patterns: &[crate::domain::messaging::JidPattern]| -> Vec<String> {
        patterns.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        texts(&client.act_as),
        ["ann@example.org", "agent-*@example.org", "bot-*@example.net"]
    );
    assert_eq!(texts(&client.to), ["*@example.org", "*@*.example.org"]);
    let registration = client.registration.unwrap();
    assert_eq!((registration.names.as_str(), registration.max), ("agent-*@example.org", 1000));
    let name = crate::domain::model::Localpart::new("agent-1").unwrap();
    let rooms: Vec<String> =
        registration.rooms.iter().map(|room| room.room(&name).unwrap().to_string()).collect();
    assert_eq!(rooms, ["personal-agent-1@conference.example.org", "agent-1@rooms.example.org"]);
}

#[test]
fn a_file_without_clients_is_valid() {
    assert_eq!(read("").unwrap().messaging, None);
    assert_eq!(read("  messaging:\n").unwrap().messaging, None);
    for empty in ["{}", "{ clients: [] }", "{ clients: }"] {
        let messaging = read(&format!("  messaging: {empty}\n")).unwrap().messaging;
        assert_eq!(messaging, Some(Messaging { clients: Vec::new() }), "{empty}");
    }
}

#[test]
fn clients_are_sorted_by_name() {
    let one = |name: &str| {
        format!("{{ name: {name}, tokenFrom: {{ file: {name} }}, tools: [plan, audit] }}")
    };
    let (b, a) = (one("b"), one("a"));
    let desired = read(&format!("  messaging: {{ clients: [{b}, {a}] }}\n")).unwrap();
    let names: Vec<String> =
        desired.messaging.unwrap().clients.iter().map(|client| client.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn every_list_and_every_number_has_a_limit() {
    let many = |count: usize| -> String {
        let names: Vec<String> = (0..count).map(|number| format!("n{number}")).collect();
        names.join(", ")
    };
    let rooms = |count: usize| -> String {
        let names: Vec<String> = (0..count).map(|number| format!("'{{name}}-{number}'")).collect();
        names.join(", ")
    };
    let registering = |rule: &str| {
        format!(
            "actAs: ['agent-*'], tools: [register_messaging_user], registration: {{ names: 'agent-*', {rule} }}"
        )
    };
    for (good, bad) in [
        (format!("actAs: [{}]", many(100)), format!("actAs: [{}]", many(101))),
        (format!("actAs: [a], to: [{}]", many(100)), format!("actAs: [a], to: [{}]", many(101))),
        (
            registering(&format!("rooms: [{}]", rooms(10))),
            registering(&format!("rooms: [{}]", rooms(11))),
        ),
        (registering("max: 100000"), registering("max: 100001")),
        (registering("max: 1"), registering("max: 0")),
        (
            "actAs: [a], rate: { perMinute: 60000, burst: 10000 }".into(),
            "actAs: [a], rate: { perMinute: 60001 }".into(),
        ),
        ("actAs: [a], rate: { burst: 1 }".into(), "actAs: [a], rate: { burst: 10001 }".into()),
        ("actAs: [a], rate: { perMinute: 1 }".into(), "actAs: [a], rate: { perMinute: 0 }".into()),
    ] {
        client(&good).unwrap();
        let report = client(&bad).unwrap_err();
        assert!(report.contains("at most") || report.contains("use a value from"), "{report}");
    }
    let clients = |count: usize| {
        let one = |number| {
            format!("{{ name: c{number}, tokenFrom: {{ file: f{number} }}, tools: [plan] }}")
        };
        let all: Vec<String> = (0..count).map(one).collect();
        read(&format!("  messaging: {{ clients: [{}] }}\n", all.join(", ")))
    };
    assert_eq!(clients(100).unwrap().messaging.unwrap().clients.len(), 100);
    assert_eq!(clients(101).unwrap_err().len(), 1);
}

/// Rooms whose owners are `lead` directly, and `agent-2` through a group.
const OWNED: &str = "  groups: [{ name: leads, members: [agent-2, agent-3] }]\n  rooms:\n    \
                     - { name: hall, affiliations: { owner: [lead, '@leads'], member: [agent-3] } }\n    \
                     - { name: attic, state: absent, affiliations: { owner: [ghost] } }\n";

#[test]
fn a_pattern_that_matches_an_owner_of_a_room_is_refused() {
    for (act_as, owner) in [
        ("'le*'", "`lead@example.org`"),
        ("'*d'", "own names"),
        ("'agent-*'", "`agent-2@example.org`"),
        ("'agent-*', lead", "`agent-2@example.org`"),
        ("'agent-*@example.org'", "`agent-2@example.org`"),
    ] {
        let report = client_of(OWNED, &format!("actAs: [{act_as}]")).unwrap_err();
        assert!(report.contains(owner), "{act_as}: {report}");
    }
    for act_as in [
        "lead, agent-2",
        "agent-3",
        // A direct listing overrides the group, so `agent-3` owns no room.
        "'agent-3*'",
        "'agent-*@example.net'",
        // The room does not exist.
        "'gh*'",
        "'agent-*', agent-2",
    ] {
        client_of(OWNED, &format!("actAs: [{act_as}]")).unwrap();
    }
}

#[test]
fn a_banned_owner_owns_no_room() {
    let users = "  users: [{ name: lead, state: banned }, { name: ghost }, { name: agent-2 }, { name: agent-3 }]\n";
    client_of(&(users.to_owned() + OWNED), "actAs: ['le*']").unwrap();
}

#[test]
fn names_of_the_operator_are_refused() {
    for name in ["'*-bot'", "'ejabberd-*'", "ejabberd-operator-1", "'ejabberd-operator-x*'", "'e*'"]
    {
        let report = client(&format!("actAs: [{name}]")).unwrap_err();
        assert!(report.contains("own names"), "{report}");
    }
    client("actAs: [ejabberd-operator, ejabberd, 'ej-*']").unwrap();
}

#[test]
fn one_token_belongs_to_one_client() {
    let two = |first: &str, second: &str| {
        read(&format!(
            "  messaging:\n    clients:\n      - {{ name: a, tokenFrom: {first}, tools: [plan] }}\n      \
             - {{ name: b, tokenFrom: {second}, tools: [plan] }}\n"
        ))
    };
    for (first, second) in [
        ("{ file: t }", "{ file: t }"),
        ("{ file: t }", "{ file: x/.././t }"),
        ("{ file: t }", "{ file: /etc/xmpp/t }"),
        ("{ env: T }", "{ env: T }"),
        ("{ command: [pass, t] }", "{ command: [pass, t] }"),
    ] {
        let problems = two(first, second).unwrap_err();
        assert!(problems.iter().any(|p| p.message.contains("same token")), "{first} {second}");
    }
    for (first, second) in [
        ("{ file: t }", "{ env: t }"),
        ("{ file: t }", "{ file: u }"),
        ("{ command: [pass, t] }", "{ command: [pass, u] }"),
    ] {
        two(first, second).unwrap();
    }
}

#[test]
fn the_file_of_a_token_is_never_replaced_by_a_password() {
    let report = client_of(
        "  users: [{ name: ann, passwordTo: { file: secrets/t } }]\n",
        "tools: [plan] }, { name: d, tokenFrom: { file: secrets/t }, tools: [plan]",
    )
    .unwrap_err();
    assert!(report.contains("a password would replace it"), "{report}");
}

#[test]
fn a_mistake_causes_no_second_message() {
    for fields in [
        "actAs: [ann], tools: [xmpp_send_mesage]",
        "actAs: ['a b']",
        "actAs: [ann], tools: [xmpp_send_message], to: ['a b']",
        "actAs: 7",
        "actAs: [ann], tools: [xmpp_send_message], to: 7",
        "actAs: ['agent-*'], tools: [register_messaging_user], registration: { names: '*' }",
        "actAs: ['agent-*'], tools: [register_messaging_user], registration: agents",
    ] {
        let client = format!("{{ name: c, tokenFrom: {{ env: TOKEN }}, {fields} }}");
        let problems = read(&format!("  messaging: {{ clients: [{client}] }}\n")).unwrap_err();
        assert_eq!(problems.len(), 1, "{fields}: {problems:#?}");
    }
}
