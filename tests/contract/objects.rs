//! The contract of groups, affiliations, subjects, bans, vCards, and the storage of accounts.

use std::collections::{BTreeMap, BTreeSet};

use ejabberd_operator::domain::model::{AffiliationId, Localpart};
use ejabberd_operator::domain::spec::{AffiliationKind, OptionValue, TableStorage, VcardField};
use ejabberd_operator::ejabberd::{ControlError, Created, EjabberdClient, NewRoom};

use super::{HOSTILE, HOSTILE_NAMES, gone, host, jid, options, plain, room, secret};

/// Strings that a parser of XML, of Erlang terms or of lists might misread.
const TEXTS: [&str; 6] =
    ["", "Grüße; $(id) 'x' \"y\"", "two\nlines", "<a/>&amp;]]>", "a\\nb,c;d", "✓ 密"];

pub(super) async fn groups(server: &EjabberdClient) {
    let (host, team) = (host(), Localpart::new("team").unwrap());
    assert!(server.groups(&host).await.unwrap().is_empty());
    assert_eq!(server.group(&host, &team).await.unwrap(), None);
    for text in TEXTS {
        server.write_group(&host, &team, Some(text), Some(text)).await.unwrap();
        let found = server.group(&host, &team).await.unwrap().unwrap();
        assert_eq!((found.display_name.as_str(), found.description.as_str()), (text, text));
        assert_eq!(found.displayed, BTreeSet::from(["team".to_owned()]), "they see each other");
    }
    for name in HOSTILE_NAMES {
        server.add_member(&host, &team, &jid(name)).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let members: BTreeSet<_> = HOSTILE_NAMES.into_iter().map(jid).collect();
    assert_eq!(server.group(&host, &team).await.unwrap().unwrap().members, members);
    server.add_member(&host, &team, &jid("a,b")).await.unwrap();
    server.write_group(&host, &team, None, Some("other")).await.unwrap();
    let found = server.group(&host, &team).await.unwrap().unwrap();
    assert_eq!(found.members, members, "a change of the text keeps the members");
    assert_eq!((found.display_name.as_str(), found.description.as_str()), ("✓ 密", "other"));
    for name in HOSTILE_NAMES {
        server.remove_member(&host, &team, &jid(name)).await.unwrap();
    }
    server.remove_member(&host, &team, &jid("missing")).await.unwrap();
    assert!(server.group(&host, &team).await.unwrap().unwrap().members.is_empty());
    assert_eq!(server.groups(&host).await.unwrap(), [team.clone()].into());
    server.delete_group(&host, &team).await.unwrap();
    server.delete_group(&host, &team).await.unwrap();
    assert!(server.groups(&host).await.unwrap().is_empty());
}

/// Whether a control channel can read and set the subject of a room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Subjects {
    Known,
    Unknown,
}

pub(super) async fn affiliations(server: &EjabberdClient, knows: Subjects) {
    let hall = room("council");
    let kinds = AffiliationKind::ALL;
    let names = HOSTILE_NAMES.into_iter().chain(["elsewhere@far.example"]);
    let who = |name: &str| if name.contains('@') { name.parse().unwrap() } else { jid(name) };
    let wanted: BTreeMap<_, _> =
        names.enumerate().map(|(n, name)| (who(name), kinds[n % kinds.len()])).collect();
    let settings = options(&[("persistent", OptionValue::Bool(true))]);
    let new = NewRoom { options: &settings, affiliations: &wanted, subject: Some("at first") };
    assert_eq!(server.create_room(&hall, &host(), &new).await.unwrap(), Created::Now);
    let stored = || async { server.stored_room(&host(), &hall).await.unwrap().unwrap() };
    assert_eq!(server.affiliations(&hall).await.unwrap(), wanted);
    assert_eq!(stored().await.affiliations.unwrap(), wanted);
    let first = (knows == Subjects::Known).then_some("at first");
    assert_eq!(stored().await.subject.as_deref(), first);
    let id = |name: &str| AffiliationId { room: hall.clone(), account: who(name) };
    server.affiliate(&id("bób"), None).await.unwrap();
    server.affiliate(&id("missing"), None).await.unwrap();
    server.affiliate(&id("newcomer"), Some(AffiliationKind::Admin)).await.unwrap();
    let mut changed = wanted.clone();
    changed.remove(&jid("bób"));
    changed.insert(jid("newcomer"), AffiliationKind::Admin);
    assert_eq!(server.affiliations(&hall).await.unwrap(), changed);
    assert_eq!(stored().await.affiliations.unwrap(), changed, "it is stored at once");
    if knows == Subjects::Known {
        subjects(server, &hall).await;
    } else {
        let nonce = secret("4dV9xT0qLw8ZrB2n");
        let error = server.set_subject(&host(), &hall, "new", &nonce).await.unwrap_err();
        assert!(matches!(error, ControlError::Unsupported { .. }), "{error}");
    }
    assert_eq!(
        server.affiliations(&hall).await.unwrap(),
        changed,
        "no temporary affiliation is left over"
    );
    assert!(server.destroy_room(&hall).await.unwrap());
    gone(server, &hall).await;
    assert_eq!(server.stored_room(&host(), &hall).await.unwrap(), None);
    let error = server.affiliate(&id("ann"), Some(AffiliationKind::Owner)).await.unwrap_err();
    assert!(matches!(error, ControlError::Refused { .. }), "{error:?}");
}

async fn subjects(server: &EjabberdClient, hall: &ejabberd_operator::domain::model::RoomJid) {
    for (name, value) in [
        ("members_only", OptionValue::Bool(true)),
        ("moderated", OptionValue::Bool(true)),
        ("allow_change_subj", OptionValue::Bool(false)),
        ("password", OptionValue::Text("<pass & word>".into())),
        ("password_protected", OptionValue::Bool(true)),
    ] {
        server.change_room_option(hall, name, &value).await.unwrap();
    }
    for text in TEXTS {
        server
            .set_subject(&host(), hall, text, &secret("4dV9xT0qLw8ZrB2n"))
            .await
            .unwrap_or_else(|e| panic!("{text:?}: {e}"));
        let stored = server.stored_room(&host(), hall).await.unwrap().unwrap();
        assert_eq!(stored.subject.as_deref(), Some(text));
    }
}

/// The stored options of a room equal its printed options, except for two options that are not
/// stored. A room that is not persistent has no stored options.
pub(super) async fn stored_rooms(server: &EjabberdClient) {
    let cellar = room("cellar");
    assert_eq!(server.stored_room(&host(), &cellar).await.unwrap(), None);
    let settings = options(&[
        ("persistent", OptionValue::Bool(true)),
        ("title", OptionValue::Text("Cellar".into())),
        ("presence_broadcast", OptionValue::List(vec!["moderator".into(), "visitor".into()])),
    ]);
    server.create_room(&cellar, &host(), &plain(&settings)).await.unwrap();
    let max = OptionValue::Int(30);
    server.change_room_option(&cellar, "max_users", &max).await.unwrap();
    let printed = server.room_options(&cellar).await.unwrap().unwrap();
    let stored = server.stored_room(&host(), &cellar).await.unwrap().unwrap();
    for (name, value) in &stored.options {
        assert_eq!(printed.get(name), Some(value), "{name}");
    }
    let missing: Vec<_> =
        printed.keys().filter(|name| !stored.options.contains_key(*name)).collect();
    assert_eq!(missing, ["captcha_whitelist", "vcard_xupdate"]);
    let no = OptionValue::Bool(false);
    server.change_room_option(&cellar, "persistent", &no).await.unwrap();
    assert_eq!(server.stored_room(&host(), &cellar).await.unwrap(), None);
    assert!(server.destroy_room(&cellar).await.unwrap());
    gone(server, &cellar).await;
}

pub(super) async fn bans(server: &EjabberdClient) {
    let mallory = jid("mallory");
    let nobody = server.ban(&mallory, "abuse").await.unwrap_err();
    assert!(matches!(nobody, ControlError::Refused { .. }), "{nobody:?}");
    assert!(!server.account_exists(&mallory).await.unwrap(), "a ban makes no account");
    server.register(&mallory, &secret("one")).await.unwrap();
    if !server.remembers_bans().await.unwrap() {
        server.ban(&mallory, "abuse").await.unwrap();
        assert!(!server.password_is(&mallory, &secret("one")).await.unwrap());
        assert!(server.unregister(&mallory).await.unwrap());
        return;
    }
    assert_eq!(server.ban_of(&mallory).await.unwrap(), None);
    for reason in ["abuse", "", "again: 'x' \"y\" <z>"] {
        server.ban(&mallory, reason).await.unwrap();
        assert_eq!(server.ban_of(&mallory).await.unwrap().as_deref(), Some(reason));
        assert!(server.account_exists(&mallory).await.unwrap());
    }
    server.unban(&mallory).await.unwrap();
    server.unban(&mallory).await.unwrap();
    assert_eq!(server.ban_of(&mallory).await.unwrap(), None);
    assert!(server.password_is(&mallory, &secret("one")).await.unwrap(), "its password is back");
    server.ban(&mallory, "abuse").await.unwrap();
    assert!(server.unregister(&mallory).await.unwrap());
    server.register(&mallory, &secret("two")).await.unwrap();
    assert_eq!(server.ban_of(&mallory).await.unwrap(), None, "deleting an account removes its ban");
    assert!(server.unregister(&mallory).await.unwrap());
}

pub(super) async fn vcards(server: &EjabberdClient) {
    let ann = jid("ann");
    server.register(&ann, &secret("one")).await.unwrap();
    let field = |element, part| VcardField { element, part };
    let fields = [
        field("NICKNAME", None),
        field("FN", None),
        field("BDAY", None),
        field("DESC", None),
        field("NOTE", None),
        field("URL", None),
        field("N", Some("FAMILY")),
        field("N", Some("GIVEN")),
        field("ADR", Some("LOCALITY")),
        field("ADR", Some("CTRY")),
        field("EMAIL", Some("USERID")),
        field("ORG", Some("ORGNAME")),
        field("ORG", Some("ORGUNIT")),
        field("TEL", Some("HOME")),
        field("TEL", Some("WORK")),
    ];
    let card = |texts: &[&str]| -> BTreeMap<VcardField, String> {
        let texts = (0..fields.len()).map(|n| texts[n % texts.len()].to_owned());
        fields.iter().cloned().zip(texts).collect()
    };
    assert_eq!(server.vcard(&ann, &fields).await.unwrap(), card(&[""]));
    for texts in [&["first"][..], &TEXTS, &HOSTILE] {
        let wanted = card(texts);
        for (field, text) in &wanted {
            server
                .set_vcard(&ann, field, text)
                .await
                .unwrap_or_else(|e| panic!("{field} {text:?}: {e}"));
        }
        let found = server.vcard(&ann, &fields).await.unwrap();
        for (field, text) in &wanted {
            assert_eq!(found.get(field), Some(text), "{field}: each stays beside the others");
        }
    }
    assert!(server.unregister(&ann).await.unwrap());
    assert_eq!(server.vcard(&ann, &fields).await.unwrap(), card(&[""]), "it is deleted too");
}

pub(super) async fn storage(server: &EjabberdClient) {
    assert_eq!(server.accounts_elsewhere(&host()).await.unwrap(), None);
    assert!(server.accounts_can_be_read(&host()).await.unwrap());
    assert_eq!(server.accounts_table().await.unwrap(), "disc_only_copies");
    let ann = jid("ann");
    server.register(&ann, &secret("one")).await.unwrap();
    for storage in [TableStorage::DiscCopies, TableStorage::DiscCopies] {
        server.store_accounts(storage).await.unwrap();
        assert_eq!(server.accounts_table().await.unwrap(), storage.as_str());
        assert!(server.password_is(&ann, &secret("one")).await.unwrap());
    }
    server.store_accounts(TableStorage::DiscOnlyCopies).await.unwrap();
    assert_eq!(server.accounts_table().await.unwrap(), "disc_only_copies");
    assert!(server.unregister(&ann).await.unwrap());
    assert_eq!(server.offline_messages(&jid("missing")).await.unwrap(), 0);
}
