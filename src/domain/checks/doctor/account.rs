//! Checks of one account.

use super::api::unknown_bans;
use super::parts::judge_alive;
use super::{
    Account, Evidence, Judgement, Session, does_not_apply, known, listed, messages_wait, passes,
    problem,
};
use crate::domain::checks::text::{count, time};
use crate::domain::model::Jid;
use crate::domain::observed::Reading;
use crate::domain::spec::{DesiredState, User, UserState};

/// Judges the account that the caller asked about. The check does not apply if the caller asked
/// about no account; the verdict is unknown if the server does not respond.
fn judge_account(e: &Evidence, judge: impl FnOnce(&Jid, &Account) -> Judgement) -> Judgement {
    let Some((jid, account)) = &e.account else {
        return does_not_apply("no account was given");
    };
    judge_alive(e, |_, _| judge(jid, known!(account)))
}

fn declared<'e>(e: &'e Evidence, jid: &Jid) -> Option<&'e User> {
    e.desired.as_ref()?.users.as_ref()?.get(jid)
}

pub(super) fn exists(e: &Evidence) -> Judgement {
    judge_account(e, |jid, account| {
        let declared = declared(e, jid);
        let state = declared.map(|user| &user.state);
        let declaration = match state {
            None => "the file does not declare the account",
            Some(UserState::Present) => "the file declares the account",
            Some(UserState::Absent) => "the file declares the account absent",
            Some(UserState::Banned { .. }) => "the file declares the account banned",
        };
        if !*known!(&account.exists) {
            return match state {
                Some(UserState::Absent) => passes(format!("{jid} does not exist, as declared")),
                Some(_) => problem(
                    format!("{jid} does not exist, but {declaration}"),
                    "run `ejabberd-operator apply`, or start the operator, to create the account; `ejabberd-operator status` shows why the account is missing",
                ),
                None => problem(
                    format!("{jid} does not exist, and {declaration}"),
                    "check the name, or add the account under spec.users",
                ),
            };
        }
        let lines = e.desired.as_ref().map(|desired| memberships(desired, jid)).unwrap_or_default();
        if let Some(why) = unknown_bans(e) {
            return passes(format!("{jid} exists, and {declaration}; {why}")).with(lines);
        }
        match known!(&account.banned) {
            Some(reason) => {
                let cure = match state {
                    Some(UserState::Banned { .. }) => {
                        "the file declares the ban: write `state: present` to lift the ban"
                            .to_owned()
                    }
                    Some(_) => "write `state: present` for the account to lift the ban".to_owned(),
                    None => format!(
                        "run `{} unban_account {} {}`, or declare the account with `state: present`",
                        e.ejabberdctl(),
                        jid.local.as_str(),
                        jid.host.as_str()
                    ),
                };
                problem(format!("{jid} is banned and cannot log in: {reason}"), cure).with(lines)
            }
            None => passes(format!("{jid} exists, is not banned, and {declaration}")).with(lines),
        }
    })
}

/// Returns lines of evidence with the declared groups and rooms of an account.
fn memberships(desired: &DesiredState, jid: &Jid) -> Vec<String> {
    let mut lines = Vec::new();
    let groups = desired.groups.iter().flatten();
    let groups = groups.filter(|(_, group)| {
        desired.members_of(group).is_some_and(|members| members.contains(jid))
    });
    let groups: Vec<_> = groups.map(|(name, _)| name).collect();
    if !groups.is_empty() {
        lines.push(format!("in the groups {}", listed(groups)));
    }
    let rooms = desired.rooms.iter().flatten();
    let rooms = rooms.filter_map(|(name, room)| {
        let kind = desired.affiliations_of(room)?.get(jid).copied()?;
        Some(format!("{name} ({})", kind.as_str()))
    });
    let rooms: Vec<String> = rooms.collect();
    if !rooms.is_empty() {
        lines.push(format!("in the rooms {}", listed(rooms)));
    }
    lines
}

/// Returns the line of evidence about the last activity; `None` if the last activity is unknown.
fn last(account: &Account) -> Option<String> {
    account.last.known().map(|when| format!("last activity: {when}"))
}

pub(super) fn sessions(e: &Evidence) -> Judgement {
    judge_account(e, |jid, account| {
        if matches!(account.exists, Reading::Known(false)) {
            return does_not_apply("there is no such account");
        }
        let sessions = known!(&account.sessions);
        let line = |session: &Session| {
            let Session { resource, connection, priority, uptime, status, status_text: _ } =
                session;
            let up = time(u64::try_from(*uptime).unwrap_or(0));
            format!("{resource}: {connection}, {status}, priority {priority}, connected for {up}")
        };
        let lines: Vec<String> = sessions.iter().map(line).collect();
        if sessions.is_empty() {
            return passes(format!("{jid} is not connected")).with(last(account));
        }
        if sessions.iter().all(|session| session.priority < 0) {
            return problem(
                format!("{jid} is connected, but every client has a negative priority, so the server does not deliver messages to these clients"),
                "give one of its clients a priority of zero or more",
            )
            .with(lines);
        }
        passes(format!("{jid} has {}", count(sessions.len(), "session"))).with(lines)
    })
}

pub(super) fn messages(e: &Evidence) -> Judgement {
    judge_account(e, |jid, account| {
        if matches!(account.exists, Reading::Known(false)) {
            return does_not_apply("there is no such account");
        }
        let archived = match &account.archived {
            Reading::Known(n) => format!("{} in its archive", count(*n, "message")),
            Reading::Unknown(why) => format!("its archive was not read: {why}"),
        };
        let waiting = *known!(&account.waiting);
        if waiting == 0 {
            return passes(format!("no message waits for {jid}")).with([archived]);
        }
        let waits = messages_wait(waiting);
        let banned = matches!(&account.banned, Reading::Known(Some(_)));
        match account.sessions.known().map(Vec::is_empty) {
            _ if banned => problem(format!("{waits} for {jid}, which is banned"), "lift the ban (see `account`); the messages arrive when the account logs in"),
            Some(false) => problem(
                format!("{waits} for {jid}, though it is connected"),
                "the client sent no presence, or a presence with a negative priority; restart the client",
            ),
            _ => problem(
                format!("{waits} for {jid}, which is not connected"),
                "start the client of the account; if the login fails, run `ejabberd-operator plan` to compare the password with the declared password",
            ),
        }
        .with(last(account))
        .with([archived])
    })
}
