//! Checks of the delivery of messages.

use super::api::unknown_bans;
use super::parts::judge_delivery;
use super::{
    Archive, Delivery, Evidence, HostModules, Judgement, RoomState, does_not_apply, known, listed,
    messages_wait, passes, problem, unknown,
};
use crate::domain::checks::text::{bytes, count};
use crate::domain::model::{Jid, RoomJid};
use crate::domain::observed::Reading;
use crate::domain::spec::OptionValue;

/// The size, in bytes, of an archive in ejabberd's own database from which ejabberd stores no more
/// messages in the archive. ejabberd reports a full archive only in its log.
const ARCHIVE_LIMIT: i64 = 2_000_000_000;

pub(super) fn hosts(e: &Evidence) -> Judgement {
    judge_delivery(e, |delivery, desired| {
        let served = known!(&delivery.hosts);
        let declared = || desired.all_hosts();
        let missing: Vec<_> =
            declared().filter(|host| !served.iter().any(|s| s == host.as_str())).collect();
        if missing.is_empty() {
            return passes(format!("the server serves {}", listed(declared())));
        }
        problem(
            format!("the server does not serve {}", listed(missing)),
            "add the host to `hosts` in the configuration (the file of spec.config.variants), or correct spec.host",
        )
        .with([format!("the server serves {}", listed(served))])
    })
}

pub(super) fn offline_storage(e: &Evidence) -> Judgement {
    judge_delivery(e, |delivery, _| {
        let mut without = Vec::new();
        for (host, HostModules { offline, .. }) in &delivery.modules {
            if !*known!(offline) {
                without.push(host);
            }
        }
        if without.is_empty() {
            return passes("messages to offline accounts are stored (mod_offline)");
        }
        problem(
            format!(
                "messages to offline accounts are lost: mod_offline is not loaded for {}",
                listed(without)
            ),
            "add `mod_offline: {}` to `modules` in the configuration (the file of spec.config.variants)",
        )
    })
}

pub(super) fn archive(e: &Evidence) -> Judgement {
    judge_delivery(e, |delivery, _| {
        let (mut off, mut never, mut set) = (Vec::new(), Vec::new(), Vec::new());
        for (host, HostModules { archive, .. }) in &delivery.modules {
            match known!(archive) {
                None => off.push(host),
                Some(default) if default == "never" => never.push(host),
                Some(default) => set.push(format!("{host}: default: {default}")),
            }
        }
        if !off.is_empty() {
            return problem(
                format!("there is no archive: mod_mam is not loaded for {}", listed(off)),
                "add `mod_mam: {default: always}` to `modules` in the configuration (the file of spec.config.variants): without an archive, devices that were offline and the histories of rooms miss messages",
            );
        }
        if !never.is_empty() {
            return problem(
                format!(
                    "the archive keeps nothing unless a client asks for it: mod_mam has `default: never` for {}",
                    listed(never)
                ),
                "set `default: always` under mod_mam in the configuration (the file of spec.config.variants)",
            );
        }
        match &delivery.archive {
            Reading::Unknown(why) => {
                unknown(format!("mod_mam is loaded, and the archive could not be read: {why}"))
                    .with(set)
            }
            Reading::Known(Archive::Mnesia { messages, bytes: Some(size) })
                if *size >= ARCHIVE_LIMIT =>
            {
                problem(
                    format!(
                        "the archive is full and stores no more messages: {} in {}",
                        count(*messages, "message"),
                        bytes(u64::try_from(*size).unwrap_or(0))
                    ),
                    format!(
                        "`{} delete_old_mam_messages all 90` deletes messages older than 90 days; an archive of more than 2 GB needs SQL (mod_mam: db_type: sql)",
                        e.ejabberdctl()
                    ),
                )
            }
            Reading::Known(Archive::Mnesia { messages, .. }) => {
                passes(format!("the archive works: {} in it", count(*messages, "message")))
                    .with(set)
            }
            Reading::Known(Archive::Elsewhere(messages)) => passes(format!(
                "the archive responds: {} of the declared accounts",
                count(*messages, "message")
            ))
            .with(set),
        }
    })
}

pub(super) fn rooms(e: &Evidence) -> Judgement {
    judge_delivery(e, |delivery, desired| {
        let rooms = known!(&delivery.rooms);
        if rooms.is_empty() {
            return does_not_apply("no room is declared");
        }
        let wants = |room: &RoomJid| {
            let declared = desired.rooms.as_ref().and_then(|rooms| rooms.get(room));
            declared.and_then(|room| room.options.get("mam")) == Some(&OptionValue::Bool(true))
        };
        if let Reading::Known(services) = &delivery.services {
            let lost: Vec<&RoomJid> = rooms
                .iter()
                .map(|(room, _)| room)
                .filter(|room| !services.contains(&room.service))
                .collect();
            if !lost.is_empty() {
                let has = if services.is_empty() {
                    "the server has no service for rooms: mod_muc is not loaded".to_owned()
                } else {
                    format!("the server has the services {}", listed(services))
                };
                return problem(
                    format!("declared rooms are at a service that the server does not have: {}", listed(lost)),
                    "correct `service` in the file, or add the name to `hosts` of mod_muc in the configuration",
                )
                .with([has]);
            }
        }
        let in_state = |state: RoomState| {
            let found = rooms.iter().filter(move |(_, found)| *found == state);
            found.map(|(room, _)| room).collect()
        };
        let gone: Vec<&RoomJid> = in_state(RoomState::Missing);
        if !gone.is_empty() {
            return problem(
                format!("declared rooms do not exist: {}", listed(gone)),
                "`ejabberd-operator apply` or a running operator creates them; `ejabberd-operator status` shows why they are missing",
            );
        }
        let off: Vec<&RoomJid> = in_state(RoomState::NotArchived);
        let lost: Vec<&&RoomJid> = off.iter().filter(|room| wants(room)).collect();
        if !lost.is_empty() {
            return problem(
                format!(
                    "rooms are not archived, though the file declares `mam: true`: {}",
                    listed(lost)
                ),
                "`ejabberd-operator apply` or a running operator sets the option",
            );
        }
        let note = (!off.is_empty()).then(|| {
            format!(
                "not archived: {} (`options: {{ mam: true }}` turns the archive on)",
                listed(off)
            )
        });
        passes(format!("every declared room exists: {}", count(rooms.len(), "room"))).with(note)
    })
}

pub(super) fn accounts(e: &Evidence) -> Judgement {
    judge_delivery(e, |delivery, desired| {
        if desired.users.is_none() {
            return does_not_apply("no account is declared");
        }
        let missing = known!(&delivery.missing);
        if missing.is_empty() {
            return passes("every declared account exists");
        }
        problem(
            format!("declared accounts do not exist: {}", listed(missing)),
            "`ejabberd-operator apply` or a running operator creates them; `ejabberd-operator status` shows why they are missing",
        )
    })
}

pub(super) fn bans(e: &Evidence) -> Judgement {
    judge_delivery(e, |delivery, _| {
        if let Some(why) = unknown_bans(e) {
            return does_not_apply(why);
        }
        let banned = known!(&delivery.banned);
        if banned.is_empty() {
            return passes("no account is banned that is declared present");
        }
        problem(
            format!("banned on the server, and not in the file: {}", listed(banned.iter().map(|(jid, _)| jid))),
            "write `state: present` for the account to lift the ban, or `state: banned` to declare it",
        )
        .with(banned.iter().map(|(jid, reason)| format!("{jid}: {reason}")))
    })
}

/// Whether an account is connected; `None` if the connected accounts are unknown.
pub(super) fn is_online(delivery: &Delivery, jid: &Jid) -> Option<bool> {
    let connected = delivery.connected.known()?;
    let name = jid.to_string();
    Some(connected.iter().any(|full| full.split('/').next() == Some(name.as_str())))
}

pub(super) fn waiting(e: &Evidence) -> Judgement {
    judge_delivery(e, |delivery, desired| {
        if desired.users.as_ref().is_none_or(std::collections::BTreeMap::is_empty) {
            return does_not_apply("no account is declared, so no messages are counted");
        }
        let mut waiting: Vec<&(Jid, i64)> =
            known!(&delivery.waiting).iter().filter(|(_, n)| *n > 0).collect();
        waiting.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let unasked = (delivery.unasked > 0).then(|| {
            format!(
                "{} more were not checked: `ejabberd-operator doctor USER` checks one",
                count(delivery.unasked, "declared account")
            )
        });
        let Some((most, _)) = waiting.first() else {
            return passes("no message waits for a declared account").with(unasked);
        };
        let total = waiting.iter().map(|(_, n)| n).fold(0, |sum: i64, n| sum.saturating_add(*n));
        let lines = waiting.iter().map(|(jid, n)| {
            let online = match is_online(delivery, jid) {
                Some(true) => ", though it is connected",
                Some(false) => ", which is not connected",
                None => "",
            };
            format!("{}: for {jid}{online}", count(*n, "message"))
        });
        problem(
            format!("{} for {}, most for {most}", messages_wait(total), count(waiting.len(), "account")),
            format!("the server delivers them when the account logs in: start its client; `ejabberd-operator doctor {most}` shows more"),
        )
        .with(lines)
        .with(unasked)
    })
}
