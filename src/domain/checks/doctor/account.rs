//! One account, looked at closely.

use super::api::{bans_untold, of_alive};
use super::delivery::known;
use super::words::{count, some, time};
use super::{Account, Answer, Evidence, Session, fine, no_matter, problem, unknown};
use crate::domain::model::Jid;
use crate::domain::observed::Reading;
use crate::domain::spec::{DesiredState, User, UserState};

fn look(e: &Evidence, judge: impl FnOnce(&Jid, &Account) -> Answer) -> Answer {
    let Some((jid, account)) = &e.account else { return no_matter("no account was asked about") };
    of_alive(e, |_, _| judge(jid, known!(account)))
}

fn declared<'e>(e: &'e Evidence, jid: &Jid) -> Option<&'e User> {
    e.desired.as_ref()?.users.as_ref()?.get(jid)
}

pub(super) fn exists(e: &Evidence) -> Answer {
    look(e, |jid, account| {
        let declared = declared(e, jid);
        let state = declared.map(|user| &user.state);
        let word = match state {
            None => "the file does not declare it",
            Some(UserState::Present) => "the file declares it",
            Some(UserState::Absent) => "the file declares it absent",
            Some(UserState::Banned { .. }) => "the file declares it banned",
        };
        if !*known!(&account.exists) {
            return match state {
                Some(UserState::Absent) => fine(format!("{jid} is not there, as declared")),
                Some(_) => problem(
                    format!("{jid} is not there, and {word}"),
                    "`ejabberd-operator apply` makes it, or an operator that runs; `ejabberd-operator status` says why it has not",
                ),
                None => problem(
                    format!("{jid} is not there, and {word}"),
                    "is the name right? Else add it under spec.users",
                ),
            };
        }
        let lines = e.desired.as_ref().map(|desired| belongs(desired, jid)).unwrap_or_default();
        if let Some(why) = bans_untold(e) {
            return fine(format!("{jid} is there, and {word}; {why}")).with(lines);
        }
        match known!(&account.banned) {
            Some(reason) => {
                let cure = match state {
                    Some(UserState::Banned { .. }) => {
                        "that is declared: write `state: present` to have the ban lifted".to_owned()
                    }
                    Some(_) => "write `state: present` for it to have the ban lifted".to_owned(),
                    None => format!(
                        "`{} unban_account {} {}`, or declare it with `state: present`",
                        e.ejabberdctl(),
                        jid.local.as_str(),
                        jid.host.as_str()
                    ),
                };
                problem(format!("{jid} is banned and cannot log in: {reason}"), cure).with(lines)
            }
            None => fine(format!("{jid} is there, not banned, and {word}")).with(lines),
        }
    })
}

/// The groups and rooms that it is in, as declared.
fn belongs(desired: &DesiredState, jid: &Jid) -> Vec<String> {
    let mut lines = Vec::new();
    let groups = desired.groups.iter().flatten();
    let groups = groups.filter(|(_, group)| {
        desired.members_of(group).is_some_and(|members| members.contains(jid))
    });
    let groups: Vec<_> = groups.map(|(name, _)| name).collect();
    if !groups.is_empty() {
        lines.push(format!("in the groups {}", some(groups)));
    }
    let rooms = desired.rooms.iter().flatten();
    let rooms = rooms.filter_map(|(name, room)| {
        let kind = desired.affiliations_of(room)?.get(jid).copied()?;
        Some(format!("{name} ({})", kind.as_str()))
    });
    let rooms: Vec<String> = rooms.collect();
    if !rooms.is_empty() {
        lines.push(format!("in the rooms {}", some(rooms)));
    }
    lines
}

fn last(account: &Account) -> Option<String> {
    account.last.known().map(|when| format!("last activity: {when}"))
}

pub(super) fn sessions(e: &Evidence) -> Answer {
    look(e, |jid, account| {
        if matches!(account.exists, Reading::Known(false)) {
            return no_matter("there is no such account");
        }
        let sessions = known!(&account.sessions);
        let line = |session: &Session| {
            let Session { resource, connection, priority, uptime, status } = session;
            let up = time(u64::try_from(*uptime).unwrap_or(0));
            format!("{resource}: {connection}, {status}, priority {priority}, connected for {up}")
        };
        let lines: Vec<String> = sessions.iter().map(line).collect();
        if sessions.is_empty() {
            return fine(format!("{jid} is not connected")).with(last(account));
        }
        if sessions.iter().all(|session| session.priority < 0) {
            return problem(
                format!("{jid} is connected, and every client has a negative priority: messages are kept back"),
                "give one of its clients a priority of zero or more",
            )
            .with(lines);
        }
        fine(format!("{jid} has {}", count(sessions.len(), "session"))).with(lines)
    })
}

pub(super) fn messages(e: &Evidence) -> Answer {
    look(e, |jid, account| {
        if matches!(account.exists, Reading::Known(false)) {
            return no_matter("there is no such account");
        }
        let archived = match &account.archived {
            Reading::Known(n) => format!("{} in its archive", count(*n, "message")),
            Reading::Unknown(why) => format!("its archive was not read: {why}"),
        };
        let waiting = *known!(&account.waiting);
        if waiting == 0 {
            return fine(format!("no message waits for {jid}")).with([archived]);
        }
        let waits = if waiting == 1 {
            "1 message waits".to_owned()
        } else {
            format!("{waiting} messages wait")
        };
        let banned = matches!(&account.banned, Reading::Known(Some(_)));
        match account.sessions.known().map(Vec::is_empty) {
            _ if banned => problem(format!("{waits} for {jid}, which is banned"), "lift the ban (see `account`), and have it log in"),
            Some(false) => problem(
                format!("{waits} for {jid}, though it is connected"),
                "its client has not said that it is available, or only with a negative priority: restart the client",
            ),
            _ => problem(
                format!("{waits} for {jid}, which is not connected"),
                "they are delivered when it logs in: start its client, and see that its password is the declared one (`ejabberd-operator plan`)",
            ),
        }
        .with(last(account))
        .with([archived])
    })
}
