//! A status for people, on one screen.

use std::fmt::Write;

use jiff::Timestamp;

use super::events;
use super::output::paint;
use super::times::{age, clock};
use crate::status::{Condition, ConditionStatus, ConditionType, Level, Status};

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const BOLD: &str = "1";

/// So many failing and contested objects are named; of more, how many.
const NAMED: usize = 5;

/// So many of the latest events are shown.
const EVENTS: usize = 6;

/// What is wrong first, then the conditions, then numbers, then what happened.
pub(super) fn text(status: &Status, now: Timestamp) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = headline(&mut text, status, now)
        .and_then(|()| conditions(&mut text, status, now))
        .and_then(|()| numbers(&mut text, status, now))
        .and_then(|()| troubles(&mut text, status))
        .and_then(|()| recent(&mut text, status, now));
    text
}

fn headline(out: &mut String, status: &Status, now: Timestamp) -> std::fmt::Result {
    let headline = status.headline();
    let colour = match headline.level {
        Level::Good => GREEN,
        Level::Busy | Level::Attention => YELLOW,
        Level::Bad => RED,
    };
    let name = if status.name.is_empty() { "(no name yet)" } else { &status.name };
    let since = headline
        .since
        .map_or_else(String::new, |since| format!(" since {} ({})", clock(since), age(since, now)));
    let title = paint(&format!("● {}", headline.title), colour);
    writeln!(out, "{}  {title}{since}", paint(name, BOLD))?;
    if headline.level != Level::Good {
        writeln!(out, "  {}", headline.detail)?;
    }
    writeln!(out)
}

fn conditions(out: &mut String, status: &Status, now: Timestamp) -> std::fmt::Result {
    let wide = status.conditions.iter().map(|c| c.reason.chars().count()).max().unwrap_or(0);
    for condition in &status.conditions {
        let Condition { kind, status: holds, reason, message, last_transition_time } = condition;
        let word = paint(&format!("{:<7}", holds.as_str()), colour_of(condition));
        let age = age(*last_transition_time, now);
        writeln!(out, "  {kind:<13} {word} {age:>4}  {reason:<wide$}  {message}")?;
    }
    writeln!(out)
}

/// Green where it is as it should be; yellow where it passes by itself.
fn colour_of(condition: &Condition) -> &'static str {
    let good = match condition.kind {
        ConditionType::Reconciling => condition.status,
        ConditionType::Stalled | ConditionType::Degraded => ConditionStatus::False,
        _ => ConditionStatus::True,
    };
    match condition.status {
        status if status == good => GREEN,
        ConditionStatus::Unknown => YELLOW,
        _ => RED,
    }
}

fn numbers(out: &mut String, status: &Status, now: Timestamp) -> std::fmt::Result {
    let server = &status.server;
    let mut said = vec![server.process.clone()];
    said.extend(server.version.as_ref().map(|version| format!("ejabberd {version}")));
    said.extend(server.uptime_seconds.map(|up| {
        let began = now.checked_sub(jiff::SignedDuration::from_secs(up.try_into().unwrap_or(0)));
        format!("up {}", age(began.unwrap_or(now), now))
    }));
    if server.up {
        let sessions: u64 = server.connected_users.values().sum();
        let rooms: usize = server.online_rooms.values().sum();
        said.push(format!("{sessions} sessions, {rooms} rooms running"));
    }
    line(out, "server", &said.join(", "))?;
    if let Some(supervision) = &server.supervision
        && let Some(next) = supervision.next_start
    {
        line(out, "", &format!("started again at {} (start {})", clock(next), supervision.starts))?;
    }
    for (kind, counts) in &status.objects {
        if counts.desired + counts.managed + counts.unmanaged > 0 {
            let others = match counts.unmanaged {
                0 => String::new(),
                n => format!(", {n} of others"),
            };
            let text = format!("{} declared, {} owned{others}", counts.desired, counts.managed);
            line(out, &format!("{kind}s"), &text)?;
        }
    }
    if !status.drift.is_empty() {
        let drift = status.drift.iter().map(|(what, n)| format!("{n} × {what}"));
        line(out, "drift", &drift.collect::<Vec<_>>().join(", "))?;
    }
    if let Some(variant) = &status.variant {
        let digest = status.config_digest.as_ref().map_or("unknown", |digest| digest.short());
        line(out, "config", &format!("{variant} declared, {digest} on the server"))?;
    }
    if let Some(audit) = &status.audit {
        let open = audit.failing.len() + audit.unknown.len();
        let mut said = format!("{} of {} hold", audit.items - open.min(audit.items), audit.items);
        for (word, checks) in [("not", &audit.failing), ("not known", &audit.unknown)] {
            if !checks.is_empty() {
                said += &format!("; {word}: {}", checks.join(", "));
            }
        }
        line(out, "audit", &said)?;
    }
    let revision = status.revision.as_ref().map_or("none", |revision| revision.short());
    let last = status
        .last_attempt
        .map_or_else(|| "no round yet".to_owned(), |at| format!("last round {} ago", age(at, now)));
    line(out, "revision", &format!("{revision}, {last}"))
}

fn line(out: &mut String, label: &str, text: &str) -> std::fmt::Result {
    writeln!(out, "  {label:<13} {text}")
}

fn troubles(out: &mut String, status: &Status) -> std::fmt::Result {
    if let Some(blocked) = &status.blocked {
        writeln!(
            out,
            "\n  {} {} deletions are refused; to let them pass: policy.guard.approve: {digest}\n    \
             in the file, or `ejabberd-operator apply --approve {digest}` while none runs",
            paint("✗", RED),
            blocked.deletions,
            digest = blocked.digest
        )?;
    }
    for (word, objects) in [("fails", &status.failing), ("is contested", &status.contested)] {
        if !objects.is_empty() {
            writeln!(out)?;
        }
        for (object, why) in objects.iter().take(NAMED) {
            writeln!(out, "  {} {object} {word}: {why}", paint("✗", RED))?;
        }
        if objects.len() > NAMED {
            writeln!(out, "    and {} more", objects.len() - NAMED)?;
        }
    }
    Ok(())
}

fn recent(out: &mut String, status: &Status, now: Timestamp) -> std::fmt::Result {
    if status.events.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  {}", paint("latest events", BOLD))?;
    let skip = status.events.iter().count().saturating_sub(EVENTS);
    for event in status.events.iter().skip(skip) {
        writeln!(out, "  {:>5}  {}", age(event.time, now), events::line(event))?;
    }
    Ok(())
}
