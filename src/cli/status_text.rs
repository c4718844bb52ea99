//! Formats the status as text for people, on one screen.

use console::Style;
use jiff::{SignedDuration, Timestamp};

use super::events;
use super::output::paint;
use super::table::{Cell, Page, Table};
use super::terminal::{BOLD, GREEN, RED, YELLOW};
use super::times::{age, clock};
use crate::domain::status::{Condition, ConditionStatus, ConditionType, Status, Tone};

/// The maximum number of names in each list of objects. The text gives only a count of the others.
const NAMED: usize = 5;

/// The number of lines of a small terminal, without the line of the prompt.
const SCREEN: usize = 23;

/// The maximum and the minimum number of events in the text.
const EVENTS: (usize, usize) = (6, 2);

/// Returns the whole text: problems, conditions, numbers, events.
pub(super) fn text(status: &Status, now: Timestamp, page: Page) -> String {
    let parts = [
        headline(status, now, page),
        conditions(status, now).render(page),
        numbers(status, now).render(page),
        refused(status),
        troubles(status).render(page),
    ];
    let shown: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let text = shown.join("\n");
    let room = SCREEN.saturating_sub(text.lines().count() + 1).clamp(EVENTS.1, EVENTS.0);
    match recent(status, room, now, page) {
        events if events.is_empty() => text,
        events => format!("{text}\n{events}"),
    }
}

fn headline(status: &Status, now: Timestamp, page: Page) -> String {
    let headline = status.headline();
    let style = match headline.tone {
        Tone::Good => GREEN,
        Tone::Busy | Tone::Warning | Tone::Unknown => YELLOW,
        Tone::Bad => RED,
    };
    let name = if status.name.is_empty() { "(no name yet)" } else { &status.name };
    let since = headline
        .since
        .map_or_else(String::new, |since| format!(" since {} ({})", clock(since), age(since, now)));
    let title = paint(&format!("● {}", headline.what), style);
    let mut more = Table::new(2, 0);
    let at = headline.at.map_or_else(String::new, |at| {
        format!(" in {} s", at.duration_since(now).as_secs().max(0))
    });
    let doing = Some(format!("{}{at}", headline.doing)).filter(|doing| !doing.is_empty());
    let why = Some(headline.why).filter(|why| !why.is_empty());
    for line in why.into_iter().chain(doing.map(|doing| format!("→ {doing}"))) {
        more.row([line.into()]);
    }
    for also in &headline.also {
        more.row([format!("also: {also}").into()]);
    }
    format!("{}  {title}{since}\n{}", paint(name, BOLD), more.render(page))
}

fn conditions(status: &Status, now: Timestamp) -> Table {
    let mut table = Table::new(2, 2);
    for condition in &status.conditions {
        let Condition { kind, status, reason, message, last_transition_time } = condition;
        table.row([
            kind.to_string().into(),
            Cell::painted(status.as_str(), style_of(condition)),
            age(*last_transition_time, now).into(),
            reason.as_str().into(),
            message.into(),
        ]);
    }
    table
}

/// Returns the colour of a condition: green if the status is good, yellow if the status is
/// `Unknown`, red otherwise. `Reconciling` is always green.
fn style_of(condition: &Condition) -> Style {
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

fn numbers(status: &Status, now: Timestamp) -> Table {
    let mut table = Table::new(2, 1);
    let mut line = |label: &str, text: String| table.row([label.into(), text.into()]);
    line("server", server(status, now));
    for (kind, counts) in &status.objects {
        if counts.desired + counts.managed + counts.unmanaged > 0 {
            let others = match counts.unmanaged {
                0 => String::new(),
                n => format!(", {n} unmanaged"),
            };
            let text = format!("{} declared, {} managed{others}", counts.desired, counts.managed);
            line(&format!("{kind}s"), text);
        }
    }
    if !status.drift.is_empty() {
        let drift = status.drift.iter().map(|(what, n)| format!("{n} × {what}"));
        line("drift", drift.collect::<Vec<_>>().join(", "));
    }
    if let Some(variant) = &status.variant {
        let digest = status.config_digest.as_ref().map_or("unknown", |digest| digest.short());
        line("config", format!("{variant} declared, {digest} on the server"));
    }
    if let Some(audit) = &status.audit {
        let open = audit.failing.len() + audit.unknown.len();
        let mut text =
            format!("{} of {} items hold", audit.items.saturating_sub(open), audit.items);
        for (word, checks) in [("failing", &audit.failing), ("unknown", &audit.unknown)] {
            if !checks.is_empty() {
                text += &format!("; {word}: {}", checks.join(", "));
            }
        }
        line("audit", text);
    }
    let revision = status.revision.as_ref().map_or("none", |revision| revision.short());
    let last = status
        .last_attempt
        .map_or_else(|| "no round yet".to_owned(), |at| format!("last round {} ago", age(at, now)));
    line("revision", format!("{revision}, {last}"));
    table
}

fn server(status: &Status, now: Timestamp) -> String {
    let server = &status.server;
    let process = if server.process.is_empty() { "not observed yet" } else { &server.process };
    let mut parts = vec![process.to_owned()];
    parts.extend(server.version.as_ref().map(|version| format!("ejabberd {version}")));
    parts.extend(server.uptime_seconds.and_then(|up| {
        let began = now.checked_sub(SignedDuration::from_secs(up.try_into().ok()?)).ok()?;
        Some(format!("up {}", age(began, now)))
    }));
    if server.up {
        let sessions: u64 = server.connected_users.values().sum();
        let rooms: usize = server.online_rooms.values().sum();
        parts.push(format!("{sessions} sessions, {rooms} rooms running"));
    }
    parts.join(", ")
}

fn refused(status: &Status) -> String {
    let Some(blocked) = &status.blocked else { return String::new() };
    format!(
        "  {} {}: run `ejabberd-operator plan` to list them; to approve them, set this in the \
         desired state file:\n      policy.guard.approve: {digest}\n",
        paint("✗", RED),
        blocked.counted(),
        digest = blocked.digest
    )
}

fn troubles(status: &Status) -> Table {
    let mut table = Table::new(2, 2);
    let fails = (&status.failing, status.failing_count, "");
    let contended = (&status.contended, status.contended.len(), "reverted by another program: ");
    for (objects, count, word) in [fails, contended] {
        for (object, why) in objects.iter().take(NAMED) {
            let why = format!("{word}{why}");
            table.row([Cell::painted("✗", RED), object.into(), why.into()]);
        }
        let more = count.max(objects.len()).saturating_sub(NAMED);
        if more > 0 {
            table.line(format!("    and {more} more"));
        }
    }
    for (object, why) in status.not_in_force.iter().take(NAMED) {
        let why = format!("not in force: {why}");
        table.row([Cell::painted("!", YELLOW), object.into(), why.into()]);
    }
    let more = status.not_in_force.len().saturating_sub(NAMED);
    if more > 0 {
        table.line(format!("    and {more} more that are not in force"));
    }
    table
}

/// Returns the lines of the latest events, for at most `most` events.
fn recent(status: &Status, most: usize, now: Timestamp, page: Page) -> String {
    if status.events.is_empty() {
        return String::new();
    }
    let mut table = Table::new(2, 2);
    let skip = status.events.iter().len().saturating_sub(most);
    for event in status.events.iter().skip(skip) {
        let [reason, text] = events::row(event);
        table.row([age(event.time, now).into(), reason, text]);
    }
    table.render(page)
}
