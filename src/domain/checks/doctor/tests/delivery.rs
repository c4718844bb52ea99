//! Messages, archives and accounts of a server that answers.

use super::*;

pub(super) fn client(e: &mut Evidence) -> &mut Client {
    let Reading::Known(clients) = &mut delivery(e).clients else { panic!() };
    &mut clients[0]
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
            |e| client(e).says = Reading::Known("<stream:stream><mechanism>X</mechanism>".into()),
            "client_ports",
            Problem,
            &["STARTTLS", "certfiles"],
        ),
        (
            |e| {
                client(e).says = Reading::Known("<stream:stream><mechanism>X</mechanism>".into());
                client(e).opening = Opening::Plain;
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
