//! Tests the checks of messages, archives and accounts.

use super::*;

pub(super) fn client(e: &mut Evidence) -> &mut Client {
    let Reading::Known(clients) = &mut delivery(e).clients else { panic!() };
    &mut clients[0]
}

#[test]
fn messages_that_are_not_delivered_are_a_problem() {
    table(&[
        (
            |e| delivery(e).hosts = Reading::Known(vec!["b.test".into()]),
            "hosts",
            Fails,
            &["does not serve a.test", "serves b.test"],
        ),
        (
            |e| delivery(e).clients = Reading::Known(Vec::new()),
            "client_ports",
            Fails,
            &["ejabberd_c2s"],
        ),
        (|e| client(e).response = no(), "client_ports", Fails, &["127.0.0.1:5222, a.test: it hid"]),
        (
            |e| client(e).response = Reading::Known("HTTP/1.1".into()),
            "client_ports",
            Fails,
            &["does not speak XMPP"],
        ),
        (
            |e| {
                client(e).response =
                    Reading::Known("<stream:stream><stream:error><host-unknown/>".into())
            },
            "client_ports",
            Fails,
            &["does not know the host"],
        ),
        (
            |e| {
                client(e).response =
                    Reading::Known("<stream:stream><mechanism>X</mechanism>".into())
            },
            "client_ports",
            Fails,
            &["STARTTLS", "certfiles"],
        ),
        (
            |e| {
                client(e).response =
                    Reading::Known("<stream:stream><mechanism>X</mechanism>".into());
                client(e).opening = Opening::Plain;
            },
            "client_ports",
            Passes,
            &[],
        ),
        (
            |e| delivery(e).modules.values_mut().for_each(|m| m.offline = Reading::Known(false)),
            "offline_storage",
            Fails,
            &["mod_offline is not loaded for a.test"],
        ),
        (
            |e| delivery(e).modules.values_mut().for_each(|m| m.archive = Reading::Known(None)),
            "archive",
            Fails,
            &["mod_mam is not loaded for a.test"],
        ),
        (
            |e| {
                delivery(e)
                    .modules
                    .values_mut()
                    .for_each(|m| m.archive = Reading::Known(Some("never".into())))
            },
            "archive",
            Fails,
            &["default: never", "default: always"],
        ),
        (
            |e| {
                delivery(e).archive =
                    Reading::Known(Archive::Mnesia { messages: 9, bytes: Some(2_000_000_001) })
            },
            "archive",
            Fails,
            &["the archive is full", "delete_old_mam_messages"],
        ),
        (
            |e| delivery(e).archive = Reading::Known(Archive::Elsewhere(7)),
            "archive",
            Passes,
            &["7 messages"],
        ),
        (|e| delivery(e).archive = no(), "archive", Unknown, &["it hid"]),
        (
            |e| {
                delivery(e).rooms = Reading::Known(vec![(
                    "r@conference.a.test".parse().unwrap(),
                    RoomState::Missing,
                )])
            },
            "rooms",
            Fails,
            &["r@conference.a.test", "apply"],
        ),
        (
            |e| {
                delivery(e).rooms = Reading::Known(vec![(
                    "r@conference.a.test".parse().unwrap(),
                    RoomState::NotArchived,
                )])
            },
            "rooms",
            Fails,
            &["not archived"],
        ),
        (
            |e| {
                delivery(e).rooms = Reading::Known(vec![(
                    "s@conference.a.test".parse().unwrap(),
                    RoomState::NotArchived,
                )])
            },
            "rooms",
            Passes,
            &["not archived: s@"],
        ),
        (
            |e| delivery(e).missing = Reading::Known(vec![ann()]),
            "accounts",
            Fails,
            &["ann@a.test", "apply"],
        ),
        (
            |e| delivery(e).banned = Reading::Known(vec![(ann(), "spam".into())]),
            "bans",
            Fails,
            &["ann@a.test: spam", "state: present"],
        ),
        (
            |e| {
                delivery(e).waiting =
                    Reading::Known(vec![(ann(), 3), ("bob@a.test".parse().unwrap(), 9)])
            },
            "waiting_messages",
            Fails,
            &[
                "12 messages wait for 2 accounts, most for bob@a.test",
                "9 messages: for bob@a.test, which is not connected\n3 messages: for ann@a.test, though it is connected",
                "doctor bob@a.test",
            ],
        ),
        (|e| delivery(e).unasked = 7, "waiting_messages", Passes, &["7 declared accounts more"]),
    ]);
}

#[test]
fn bans_that_a_version_cannot_list_are_no_problem() {
    table(&[
        (without_bans, "bans", DoesNotApply, &["ejabberd 23.01 cannot list banned accounts"]),
        (without_bans, "account", Passes, &["exists", "23.01 cannot list"]),
    ]);
}

fn without_bans(e: &mut Evidence) {
    alive(e).version = ServerVersion { year: 23, month: 1 };
    delivery(e).banned = no();
    account(e).banned = no();
}

#[test]
fn an_account_that_cannot_receive_messages_is_a_problem() {
    table(&[
        (|e| e.account = None, "account", DoesNotApply, &[]),
        (
            |_| {},
            "account",
            Passes,
            &[
                "the file declares the account",
                "in the groups g",
                "in the rooms r@conference.a.test (owner)",
            ],
        ),
        (
            |e| account(e).exists = Reading::Known(false),
            "account",
            Fails,
            &["does not exist", "apply"],
        ),
        (
            |e| {
                account(e).exists = Reading::Known(false);
                e.account.as_mut().unwrap().0 = "old@a.test".parse().unwrap();
            },
            "account",
            Passes,
            &["as declared"],
        ),
        (
            |e| {
                account(e).exists = Reading::Known(false);
                e.account.as_mut().unwrap().0 = "who@a.test".parse().unwrap();
            },
            "account",
            Fails,
            &["spec.users"],
        ),
        (|e| account(e).exists = Reading::Known(false), "account_messages", DoesNotApply, &[]),
        (
            |e| account(e).banned = Reading::Known(Some("spam".into())),
            "account",
            Fails,
            &["is banned", "spam", "state: present"],
        ),
        (
            |e| {
                account(e).banned = Reading::Known(Some("spam".into()));
                e.account.as_mut().unwrap().0 = "who@a.test".parse().unwrap();
            },
            "account",
            Fails,
            &["docker exec xmpp ejabberdctl unban_account who a.test"],
        ),
        (|e| account(e).banned = no(), "account", Unknown, &["it hid"]),
        (
            |e| account(e).sessions = Reading::Known(Vec::new()),
            "account_sessions",
            Passes,
            &["is not connected", "last activity: now"],
        ),
        (
            |e| {
                let Reading::Known(s) = &mut account(e).sessions else { panic!() };
                s[0].priority = -1;
            },
            "account_sessions",
            Fails,
            &["negative priority"],
        ),
        (|_| {}, "account_sessions", Passes, &["phone: c2s_tls, available, priority 0"]),
        (|_| {}, "account_messages", Passes, &["3 messages in its archive"]),
        (
            |e| account(e).waiting = Reading::Known(2),
            "account_messages",
            Fails,
            &["2 messages wait", "though it is connected"],
        ),
        (
            |e| {
                account(e).waiting = Reading::Known(1);
                account(e).sessions = Reading::Known(Vec::new());
            },
            "account_messages",
            Fails,
            &["1 message waits", "which is not connected", "ejabberd-operator plan"],
        ),
        (
            |e| {
                account(e).waiting = Reading::Known(1);
                account(e).banned = Reading::Known(Some(String::new()));
            },
            "account_messages",
            Fails,
            &["which is banned"],
        ),
    ]);
}
