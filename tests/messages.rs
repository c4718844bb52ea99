//! Tests with real servers how the client sends messages and reads the archive and the histories of
//! rooms.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use ejabberd_operator::domain::model::{AffiliationId, Jid, RoomJid, Secret, Vhost};
use ejabberd_operator::domain::spec::{AffiliationKind, OptionValue};
use ejabberd_operator::ejabberd::{
    EjabberdClient, MessagePage, NewRoom, Outgoing, PageRequest, PageStart, Refusal, SendOutcome,
};
use support::real::{ARCHIVE_IN_SQL, CONFIG, Container, HOST, SQLITE, docker};

/// Texts that a shell, Erlang, XML or a terminal might misread.
const HOSTILE: [&str; 10] = [
    "$(touch /tmp/owned) `id` ; rm -rf / | cat && x",
    "<body>&amp;]]></message><message to='root'/>",
    "a'b\"c\\n\\0",
    "--help",
    "two\nlines\n\n",
    "\u{202e}evil\u{2066}",
    "%s%n~p~s {tuple,[1]}",
    " leading and trailing ",
    "🐘 ünïcödé ✓ 密码",
    "\t",
];

fn jid(local: &str) -> Jid {
    format!("{local}@{HOST}").parse().unwrap()
}

fn room(name: &str) -> RoomJid {
    format!("{name}@conference.{HOST}").parse().unwrap()
}

fn address(room: &RoomJid) -> Jid {
    room.to_string().parse().unwrap()
}

fn message<'a>(from: &'a Jid, to: &'a Jid, id: &'a str, body: &'a str) -> Outgoing<'a> {
    Outgoing {
        from,
        to,
        id,
        nickname: from.local.as_str(),
        maybe_sent_within: Duration::ZERO,
        body,
        subject: None,
        thread: None,
    }
}

async fn page(server: &EjabberdClient, reader: &Jid, start: PageStart<'_>) -> MessagePage {
    let request = PageRequest {
        reader: Some(reader),
        room: None,
        with: None,
        since: None,
        until: None,
        limit: 10,
        start,
    };
    server.messages(&request).await.unwrap().unwrap()
}

async fn room_page(
    server: &EjabberdClient,
    reader: Option<&Jid>,
    room: &Jid,
) -> Result<MessagePage, Refusal> {
    let request = PageRequest {
        reader,
        room: Some(room),
        with: None,
        since: None,
        until: None,
        limit: 10,
        start: PageStart::Newest,
    };
    server.messages(&request).await.unwrap()
}

fn bodies(page: &MessagePage) -> Vec<&str> {
    page.messages.iter().map(|message| message.body.as_deref().unwrap()).collect()
}

async fn create(server: &EjabberdClient, name: &str, options: &[(&str, bool)]) -> Jid {
    let options: BTreeMap<String, OptionValue> = options
        .iter()
        .chain(&[("persistent", true)])
        .map(|(name, value)| ((*name).to_owned(), OptionValue::Bool(*value)))
        .collect();
    let (host, room) = (Vhost::new(HOST).unwrap(), room(name));
    let new = NewRoom { options: &options, affiliations: &BTreeMap::new(), subject: None };
    server.create_room(&room, &host, &new).await.unwrap();
    address(&room)
}

async fn accounts_get_messages(server: &EjabberdClient, ann: &Jid, bob: &Jid) {
    for (n, body) in HOSTILE.iter().enumerate() {
        let id = format!("m{n}");
        let sent = server.send(&message(ann, bob, &id, body)).await.unwrap();
        assert!(
            matches!(&sent, SendOutcome::StoredOffline { archive_id: Some(_) }),
            "{body:?}: {sent:?}"
        );
    }
    let found = page(server, bob, PageStart::Newest).await;
    assert_eq!(bodies(&found), HOSTILE);
    assert!(found.archived && found.complete);
    assert_eq!(found.waiting, 10);
    let first = &found.messages[0];
    assert_eq!(first.from, ann.to_string());
    assert_eq!(first.to.as_deref(), Some(bob.to_string().as_str()));
    assert_eq!(first.id.as_deref(), Some("m0"));
    // The archive of the sender has the messages too.
    assert_eq!(bodies(&page(server, ann, PageStart::Newest).await), HOSTILE);
    let texts = Outgoing {
        subject: Some("a <subject>"),
        thread: Some("t-1"),
        ..message(ann, bob, "m10", "with texts")
    };
    server.send(&texts).await.unwrap();
    let last = page(server, bob, PageStart::Newest).await;
    assert!(!last.complete);
    let last = last.messages.last().unwrap();
    assert_eq!(last.subject.as_deref(), Some("a <subject>"));
    assert_eq!(last.thread.as_deref(), Some("t-1"));
    let large = "x".repeat(65_536);
    let sent = server.send(&message(ann, bob, "m11", &large)).await.unwrap();
    assert!(matches!(sent, SendOutcome::StoredOffline { archive_id: Some(_) }), "{sent:?}");
}

async fn pages_follow_each_other(server: &EjabberdClient, ann: &Jid, bob: &Jid) {
    for n in 0..25 {
        let (id, body) = (format!("p{n}"), format!("number {n}"));
        server.send(&message(bob, ann, &id, &body)).await.unwrap();
    }
    let newest = page(server, ann, PageStart::Newest).await;
    assert_eq!(bodies(&newest)[9], "number 24");
    let older = page(server, ann, PageStart::Older(&newest.messages[0].archive_id)).await;
    assert_eq!((bodies(&older)[0], bodies(&older)[9]), ("number 5", "number 14"));
    let newer = page(server, ann, PageStart::Newer(&older.messages[9].archive_id)).await;
    assert_eq!(newer.messages, newest.messages);
    assert!(newer.complete);
    let with = PageRequest {
        reader: Some(ann),
        room: None,
        with: Some(&jid("carl")),
        since: None,
        until: None,
        limit: 10,
        start: PageStart::Newest,
    };
    assert_eq!(server.messages(&with).await.unwrap().unwrap().messages, []);
    let old = PageRequest {
        with: None,
        until: Some(newest.messages[0].time - jiff::SignedDuration::from_hours(1)),
        ..with
    };
    assert_eq!(server.messages(&old).await.unwrap().unwrap().messages, []);
    let since = PageRequest { since: Some(newest.messages[0].time), until: None, ..old };
    assert_eq!(server.messages(&since).await.unwrap().unwrap().messages.len(), 10);
}

async fn refused(server: &EjabberdClient, from: &Jid, to: &Jid, why: Refusal) {
    let sent = server.send(&message(from, to, "r1", "refused")).await.unwrap();
    assert_eq!(sent, SendOutcome::Refused(why), "{from} to {to}");
}

async fn rooms_get_messages(server: &EjabberdClient, ann: &Jid, archives: bool) {
    let name = if archives { "archived" } else { "kept" };
    for (subscribable, suffix) in [(true, "s"), (false, "j")] {
        let name = format!("{name}-{suffix}");
        let hall =
            create(server, &name, &[("mam", archives), ("allow_subscription", subscribable)]).await;
        for (n, body) in HOSTILE.iter().enumerate() {
            let sent = server.send(&message(ann, &hall, &format!("g{n}"), body)).await.unwrap();
            let SendOutcome::Delivered { archive_id } = &sent else {
                panic!("{name} {body:?}: {sent:?}")
            };
            assert_eq!(archive_id.is_some(), archives);
        }
        let found = room_page(server, None, &hall).await.unwrap();
        assert_eq!(bodies(&found), HOSTILE, "{name}");
        assert_eq!(found.archived, archives);
        assert_eq!(found.messages[0].from, format!("{hall}/ann"));
        let stored = server.stored_room(&Vhost::new(HOST).unwrap(), &room(&name)).await.unwrap();
        assert_eq!(stored.unwrap().affiliations.unwrap(), BTreeMap::new());
    }
}

async fn rooms_keep_their_rules(server: &EjabberdClient, ann: &Jid, bob: &Jid) {
    let club =
        create(server, "club", &[("members_only", true), ("allow_subscription", true)]).await;
    refused(server, ann, &club, Refusal::MembersOnly).await;
    assert_eq!(room_page(server, Some(ann), &club).await, Err(Refusal::MembersOnly));
    assert_eq!(room_page(server, None, &club).await, Err(Refusal::MembersOnly));
    let member = AffiliationId { room: room("club"), account: ann.clone() };
    server.affiliate(&member, Some(AffiliationKind::Member)).await.unwrap();
    let sent = server.send(&message(ann, &club, "r2", "as a member")).await.unwrap();
    assert!(matches!(sent, SendOutcome::Delivered { .. }), "{sent:?}");
    assert_eq!(bodies(&room_page(server, Some(ann), &club).await.unwrap()), ["as a member"]);
    // A subscription that outlives the membership gives no right.
    server.affiliate(&member, None).await.unwrap();
    refused(server, ann, &club, Refusal::MembersOnly).await;
    server.affiliate(&member, Some(AffiliationKind::Outcast)).await.unwrap();
    refused(server, ann, &club, Refusal::Outcast).await;

    let stage = create(
        server,
        "stage",
        &[("moderated", true), ("members_by_default", false), ("allow_subscription", true)],
    )
    .await;
    refused(server, bob, &stage, Refusal::Moderated).await;
    assert_eq!(bodies(&room_page(server, Some(bob), &stage).await.unwrap()), [""; 0]);
    refused(server, ann, &address(&room("missing")), Refusal::NoRoom).await;
}

/// After a restart, the operator does not know which messages it sent.
async fn a_message_is_found_again(server: &EjabberdClient, ann: &Jid, bob: &Jid) {
    let hall = create(server, "again", &[("mam", true), ("allow_subscription", true)]).await;
    let kept = create(server, "again-kept", &[("mam", false)]).await;
    for to in [bob, &hall, &kept] {
        let within = Duration::from_mins(10);
        let again = || Outgoing { maybe_sent_within: within, ..message(ann, to, "a1", "once") };
        let first = server.send(&again()).await.unwrap();
        assert!(!matches!(first, SendOutcome::Repeated { .. }), "{first:?}");
        let second = server.send(&again()).await.unwrap();
        assert!(matches!(second, SendOutcome::Repeated { .. }), "{to}: {second:?}");
    }
    assert_eq!(bodies(&room_page(server, None, &hall).await.unwrap()), ["once"]);
    assert_eq!(bodies(&room_page(server, None, &kept).await.unwrap()), ["once"]);
}

/// A subscription of the account itself, with all its events, stays as it is.
async fn own_subscriptions_stay(container: &Container, server: &EjabberdClient, ann: &Jid) {
    let hall = create(server, "own", &[("allow_subscription", true)]).await;
    let ctl =
        |args: &[&str]| docker(&[&["exec", &container.name, "ejabberdctl"][..], args].concat());
    let subscribed = || ctl(&["get_user_subscriptions", "ann", HOST]);
    let nodes = "urn:xmpp:mucsub:nodes:messages,urn:xmpp:mucsub:nodes:presence";
    // From 24.02 on the command has an argument for each part of a name.
    if server.remembers_bans().await.unwrap() {
        let service = hall.host.as_str();
        ctl(&["subscribe_room", "ann", HOST, "Annie", hall.local.as_str(), service, nodes]);
    } else {
        ctl(&["subscribe_room", &format!("{ann}/phone"), "Annie", &hall.to_string(), nodes]);
    }
    let before = subscribed();
    assert!(before.contains("nodes:presence"), "{before}");
    let sent = server.send(&message(ann, &hall, "o1", "hello")).await.unwrap();
    assert!(matches!(sent, SendOutcome::Delivered { .. }), "{sent:?}");
    assert_eq!(subscribed(), before);
    let found = room_page(server, None, &hall).await.unwrap();
    assert_eq!(found.messages[0].from, format!("{hall}/Annie"));
}

async fn senders_and_recipients_exist(server: &EjabberdClient, ann: &Jid, bob: &Jid) {
    refused(server, &jid("missing"), ann, Refusal::NoAccount).await;
    refused(server, &"ann@far.example".parse().unwrap(), ann, Refusal::NoAccount).await;
    refused(server, ann, &jid("missing"), Refusal::NoRecipient).await;
    if server.remembers_bans().await.unwrap() {
        server.ban(bob, "spam").await.unwrap();
        refused(server, bob, ann, Refusal::Banned).await;
        server.unban(bob).await.unwrap();
    }
}

/// Runs every case against a real server of `version`, with the archive in Mnesia.
async fn real(version: &str) {
    real_with(version, &format!("{CONFIG}  mod_mam: {{ default: always }}\n")).await;
}

async fn real_with(version: &str, config: &str) {
    let (container, server) = Container::started(version, config).await;
    let (ann, bob) = (jid("ann"), jid("bob"));
    for jid in [&ann, &bob] {
        server.register(jid, &Secret::new("a long password 1".into())).await.unwrap();
    }
    accounts_get_messages(&server, &ann, &bob).await;
    pages_follow_each_other(&server, &ann, &bob).await;
    rooms_get_messages(&server, &ann, true).await;
    rooms_get_messages(&server, &ann, false).await;
    rooms_keep_their_rules(&server, &ann, &bob).await;
    a_message_is_found_again(&server, &ann, &bob).await;
    own_subscriptions_stay(&container, &server, &ann).await;
    senders_and_recipients_exist(&server, &ann, &bob).await;
    server.close().await;
    drop(container);
}

#[tokio::test]
async fn messages_newest() {
    real("newest").await;
}

/// An archive in SQL is searched instead of reported by its table.
#[tokio::test]
async fn messages_newest_in_sql() {
    real_with("newest", &format!("{SQLITE}{CONFIG}  {ARCHIVE_IN_SQL}\n")).await;
}

#[tokio::test]
async fn messages_24_12_ecs() {
    real("24.12-ecs").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn messages_24_12() {
    real("24.12").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn messages_23_01() {
    real("23.01").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn messages_newest_ghcr() {
    real("newest-ghcr").await;
}
