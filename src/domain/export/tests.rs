use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::model::{Jid, Localpart, RoomJid, ServerVersion, Vhost};
use crate::domain::observed::ObservedRoom;
use crate::domain::spec;
use crate::domain::spec::{
    AffiliationKind, DesiredState, Docker, Member, Network, OptionValue, PortMapping, Recreate,
    Runtime, SourceFile, UserState,
};

/// Texts that a YAML parser or a person could misread.
const HOSTILE: [&str; 40] = [
    "true",
    "No",
    "null",
    "~",
    "007",
    "1e3",
    "0x1f",
    "12:30",
    "2024-01-01",
    "-",
    "- a",
    "? a",
    "a: b",
    "a #b",
    "#a",
    "@team",
    "&a",
    "*a",
    "!a",
    "%a",
    "`a`",
    "[a]",
    "{a}",
    "|",
    ">",
    "'",
    "\"quoted\"",
    "back\\slash \\n",
    "two\nlines",
    "\n\ttabs\t",
    " spaces around ",
    "a  b",
    "$(id); `ls`",
    "a,b",
    "Grüße 密 ✓ 🎉",
    "\u{202e}txt.exe",
    "\u{feff}",
    "\u{2028}\u{a0}",
    "~!",
    "---",
];

fn vhost(name: &str) -> Vhost {
    Vhost::new(name).unwrap()
}

fn jid(name: &str) -> Jid {
    Jid::parse(name, &vhost("home.example")).unwrap()
}

fn part<T>(declared: T) -> Part<T> {
    Part { declared: Some(declared), remarks: Vec::new() }
}

fn export() -> Export {
    Export {
        version: ServerVersion { year: 26, month: 7 },
        container: Container {
            docker: Docker {
                container: "xmpp".to_owned(),
                image: Some("registry.example:5000/e@sha256:00ff".to_owned()),
                engine: "unix:///run/other/docker.sock".to_owned(),
                network: Network::Bridge,
                ports: ["0.0.0.0", "::"]
                    .map(|address| PortMapping {
                        address: address.parse().unwrap(),
                        host_port: 15222,
                        container_port: 5222,
                    })
                    .into(),
                volumes: BTreeMap::from([("/a b: c".to_owned(), "0123".to_owned())]),
                environment: BTreeMap::new(),
                config_path: Some("/etc/e #1.yml".to_owned()),
                recreate: Recreate::Never,
            },
            remarks: Vec::new(),
        },
        config: "ejabberd.yml".to_owned(),
        included: Vec::new(),
        found: Found {
            home: vhost("home.example"),
            hosts: part(BTreeSet::from([vhost("123"), vhost("other.example")])),
            accounts: part(BTreeMap::new()),
            groups: part(BTreeMap::new()),
            rooms: part(BTreeMap::new()),
        },
    }
}

fn read_back(export: &Export) -> DesiredState {
    let text = export.text();
    let file = SourceFile { path: "/there/desired-state.yaml".into(), text: text.clone() };
    match spec::validate(&[file]) {
        Ok(validated) => {
            assert!(validated.warnings.is_empty(), "{:?}\n{text}", validated.warnings);
            validated.desired
        }
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}\n{text}", problems.join("\n"))
        }
    }
}

#[test]
fn the_server_is_read_back_unchanged() {
    let mut export = export();
    export.included = vec!["../a.yml".to_owned(), "b\n  x: y #".to_owned()];
    assert!(export.text().contains("includes files that are not managed"), "{}", export.text());
    let desired = read_back(&export);
    assert_eq!(desired.name, "xmpp");
    assert_eq!(desired.host, export.found.home);
    assert_eq!(Some(desired.hosts.into_iter().collect()), export.found.hosts.declared);
    assert_eq!(desired.server.runtime, Runtime::Docker(export.container.docker));
    let config = desired.config.unwrap();
    assert_eq!(config.variants[&config.variant].to_str(), Some("/there/ejabberd.yml"));
    assert_eq!(desired.users.map(|users| users.len()), Some(0));
    assert_eq!(desired.groups.map(|groups| groups.len()), Some(0));
    assert_eq!(desired.rooms.map(|rooms| rooms.len()), Some(0));
}

#[test]
fn accounts_with_any_name_are_read_back() {
    let mut export = export();
    let mut accounts = BTreeMap::new();
    for (n, text) in HOSTILE.iter().enumerate() {
        let ban = (n % 2 == 0).then(|| (*text).to_owned());
        accounts.insert(jid(&format!("n{n}")), Account { ban });
        // Only some of the texts are valid names.
        if let Ok(local) = Localpart::new(text) {
            let host = vhost(if n % 3 == 0 { "123" } else { "home.example" });
            accounts.insert(Jid { local, host }, Account::default());
        }
    }
    assert!(accounts.len() > HOSTILE.len() + 10);
    export.found.accounts = part(accounts.clone());
    let desired = read_back(&export).users.unwrap();
    assert_eq!(desired.keys().collect::<Vec<_>>(), accounts.keys().collect::<Vec<_>>());
    for (jid, Account { ban }) in accounts {
        let state =
            ban.map_or(UserState::Present, |reason| UserState::Banned { reason: Some(reason) });
        assert_eq!(desired[&jid].state, state, "{jid}");
        assert_eq!(desired[&jid].password, None);
    }
}

#[test]
fn groups_with_any_text_are_read_back() {
    let mut export = export();
    let groups: BTreeMap<Localpart, FoundGroup> = HOSTILE
        .iter()
        .enumerate()
        .map(|(n, text)| {
            let name =
                Localpart::new(text).unwrap_or_else(|_| Localpart::new(&n.to_string()).unwrap());
            let group = FoundGroup {
                display_name: (*text).to_owned(),
                description: HOSTILE[HOSTILE.len() - n - 1].to_owned(),
                members: (n % 5 != 0).then(|| (0..n).map(|m| jid(&format!("{m}"))).collect()),
                remarks: vec![format!("a remark on {text}\n  users: []")],
            };
            (name, group)
        })
        .collect();
    export.found.groups = part(groups.clone());
    // If the file declares no `users`, a member without an account is not reported as missing.
    export.found.accounts =
        Part { declared: None, remarks: vec!["kept\nelsewhere: \u{2028}x".to_owned()] };
    let desired = read_back(&export);
    assert_eq!(desired.users, None);
    let desired = desired.groups.unwrap();
    assert_eq!(desired.len(), groups.len());
    for (name, group) in groups {
        let there = &desired[&name];
        assert!(there.roster);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        assert_eq!(text(&there.display_name), group.display_name);
        assert_eq!(text(&there.description), group.description);
        let members = there.members.clone().map(BTreeSet::from_iter);
        assert_eq!(members, group.members, "{name}");
    }
}

#[test]
fn rooms_with_any_text_are_read_back() {
    let mut export = export();
    export.found.accounts.declared = None;
    let mut rooms: BTreeMap<RoomJid, FoundRoom> = BTreeMap::new();
    for (n, text) in HOSTILE.iter().enumerate() {
        let service = ["conference.home.example", "conference.other.example", "7"][n % 3];
        let room = Localpart::new(text).unwrap_or_else(|_| Localpart::new(&n.to_string()).unwrap());
        let words = ["visitor", "moderator"].map(str::to_owned);
        let options = [
            ("title", OptionValue::Text((*text).to_owned())),
            ("description", OptionValue::Text(HOSTILE[HOSTILE.len() - n - 1].to_owned())),
            ("lang", OptionValue::Text((*text).to_owned())),
            ("mam", OptionValue::Bool(n % 2 == 0)),
            ("max_users", OptionValue::Int(n as u64 + 1)),
            ("presence_broadcast", OptionValue::List(words[..n % 3].into())),
        ];
        let kind = |n: usize| AffiliationKind::ALL[n % 4];
        let affiliations = HOSTILE.iter().take(n).enumerate().filter_map(|(m, name)| {
            let local = Localpart::new(name).ok()?;
            let host = vhost(if m % 2 == 0 { "home.example" } else { "far.example" });
            Some((Jid { local, host }, kind(m / 2)))
        });
        let room = RoomJid { room, service: vhost(service) };
        rooms.insert(
            room,
            FoundRoom {
                options: options.map(|(name, value)| (name.to_owned(), value)).into(),
                subject: (*text).to_owned(),
                affiliations: affiliations.collect(),
                remarks: vec![format!("a remark on {text}")],
            },
        );
    }
    export.found.rooms = part(rooms.clone());
    let desired = read_back(&export).rooms.unwrap();
    assert_eq!(desired.keys().collect::<Vec<_>>(), rooms.keys().collect::<Vec<_>>());
    for (jid, mut room) in rooms {
        let there = &desired[&jid];
        room.options.insert("persistent".to_owned(), OptionValue::Bool(true));
        assert_eq!(there.options, room.options, "{jid}");
        assert_eq!(there.subject.as_deref(), Some(room.subject.as_str()));
        let listed = there.affiliations.iter().flatten().flat_map(|(kind, members)| {
            members.iter().map(|member| match member {
                Member::Account(account) => (account.clone(), *kind),
                Member::Group(group) => panic!("{group}"),
            })
        });
        assert_eq!(listed.collect::<BTreeMap<_, _>>(), room.affiliations);
    }
}

#[test]
fn a_banned_member_of_a_group_or_room_stays_a_member() {
    let mut export = export();
    let ban = || Account { ban: Some("spam".to_owned()) };
    let accounts = ["member", "outcast", "grouped"].map(|name| (jid(name), ban()));
    export.found.accounts = part(accounts.into());
    let kinds = [("member", AffiliationKind::Member), ("outcast", AffiliationKind::Outcast)];
    let affiliations = kinds.map(|(name, kind)| (jid(name), kind)).into();
    let room = FoundRoom { affiliations, ..Default::default() };
    export.found.rooms = part([("hall@conference.home.example".parse().unwrap(), room)].into());
    let group = FoundGroup { members: Some([jid("grouped")].into()), ..Default::default() };
    export.found.groups = part([(Localpart::new("team").unwrap(), group)].into());
    let desired = read_back(&export);
    let users = desired.users.as_ref().unwrap();
    assert_eq!(users[&jid("outcast")].state, UserState::Banned { reason: Some("spam".to_owned()) });
    for name in ["member", "grouped"] {
        assert_eq!(users[&jid(name)].state, UserState::Present, "{name}");
    }
    assert!(export.text().contains("# Banned (\"spam\"), and still in a group"));
}

#[test]
fn only_differences_from_a_new_room_are_declared() {
    let options = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let new = options(&[
        ("mam", "false"),
        ("title", "Hello"),
        ("password", ""),
        ("max_users", "200"),
        ("presence_broadcast", "[moderator,participant,visitor]"),
    ]);
    let room = ObservedRoom {
        options: options(&[
            ("mam", "true"),
            ("title", ""),
            ("password", "hunter2"),
            ("max_users", "none"),
            ("presence_broadcast", "[visitor,participant,moderator]"),
            ("persistent", "true"),
            ("enable_hats", "false"),
            ("captcha_whitelist", "{0,nil}"),
            ("brand_new", "1"),
        ]),
        subject: None,
        affiliations: None,
    };
    let FoundRoom { options, remarks, .. } = describe_room(room, &new);
    let declared: Vec<(&str, OptionValue)> =
        options.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(
        declared,
        [
            ("enable_hats", OptionValue::Bool(false)),
            ("mam", OptionValue::Bool(true)),
            ("title", OptionValue::Text(String::new())),
        ]
    );
    assert_eq!(remarks.len(), 3, "{remarks:?}");
    assert!(!remarks.join(" ").contains("hunter2"));
}

/// The export leaves out values that the format refuses, and writes a comment about each value.
#[test]
fn texts_that_clients_cannot_receive_are_left_out() {
    let mut export = export();
    let group = FoundGroup { display_name: "a\u{1}b".to_owned(), ..FoundGroup::default() };
    export.found.groups = part([(Localpart::new("g").unwrap(), group)].into());
    let desired = read_back(&export);
    let groups = desired.groups.unwrap();
    assert_eq!(groups.values().next().unwrap().display_name, None);
}

#[test]
fn an_export_is_written_in_a_readable_form() {
    let mut export = export();
    export.container.docker.engine = "unix:///var/run/docker.sock".to_owned();
    export.found.accounts = part([(jid("ann"), Account::default())].into());
    let text = export.text();
    let begin = "# The ejabberd 26.07 in the container xmpp, as `ejabberd-operator export` found\n# it: 3 hosts, 1 account, 0 groups and 0 rooms.\n";
    assert!(text.starts_with(begin), "{text}");
    assert!(!text.contains("engine:"), "defaults are left out: {text}");
    assert!(
        text.ends_with("\n  users:\n    - name: ann\n\n  groups: []\n\n  rooms: []\n"),
        "{text}"
    );
    for line in text.lines() {
        assert!(line.chars().count() <= 90, "{line}");
        assert_eq!(line, line.trim_end());
    }
}
