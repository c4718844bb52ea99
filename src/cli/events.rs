//! The command `events`: prints the events that the operator stored.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::args::Format;
use super::session::Paths;
use super::table::{Cell, Page, Table};
use super::terminal::{GREEN, YELLOW};
use super::times::{age, clock};
use super::{Exit, Outcome, output};
use crate::domain::status::{Event, EventType};
use crate::engine::{KEPT_EVENTS, Store};

/// The interval at which `--follow` reads the stored events.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// The events that the command prints.
pub(super) struct Filter {
    /// The maximum number of events. If more events pass the filter, the command prints the latest
    /// events.
    pub(super) limit: usize,
    /// Whether the command prints only warnings.
    pub(super) warnings: bool,
    /// A text that the object, the reason or the message of an event must contain.
    pub(super) about: Option<String>,
    /// The maximum age of an event; `None` for no limit.
    pub(super) since: Option<Duration>,
}

impl Filter {
    fn passes(&self, event: &Event, now: Timestamp) -> bool {
        let named = |word: &String| {
            let word = word.to_lowercase();
            let object = event.object.as_deref().unwrap_or_default();
            [object, &event.reason, &event.message]
                .iter()
                .any(|text| text.to_lowercase().contains(&word))
        };
        (!self.warnings || event.kind == EventType::Warning)
            && self.about.as_ref().is_none_or(named)
            && self.since.is_none_or(|since| now.duration_since(event.time).unsigned_abs() <= since)
    }

    /// Returns the latest events that pass this filter, the oldest event first.
    fn latest<'e>(&self, events: &'e [Event]) -> Vec<&'e Event> {
        let now = Timestamp::now();
        let passing: Vec<&Event> = events.iter().filter(|event| self.passes(event, now)).collect();
        let first = passing.len().saturating_sub(self.limit);
        passing.get(first..).unwrap_or_default().to_vec()
    }
}

/// Prints the stored events.
pub(super) fn show(paths: &Paths, filter: &Filter, format: Format) -> Outcome {
    let stored = kept(paths)?;
    let shown = filter.latest(&stored);
    match format {
        Format::Json => output::pretty_json(&shown),
        Format::Text if shown.is_empty() => output::print("There are no such events.\n"),
        Format::Text => print(&shown, format),
    }
}

/// Prints the stored events, and then each new event until a signal ends the command.
pub(super) async fn follow(paths: &Paths, filter: &Filter, format: Format) -> Outcome {
    let mut known = kept(paths)?;
    print(&filter.latest(&known), format)?;
    loop {
        sleep(POLL_EVERY).await;
        let latest = kept(paths)?;
        let now = Timestamp::now();
        let fresh = latest.iter().filter(|event| !known.contains(event));
        let fresh: Vec<&Event> = fresh.filter(|event| filter.passes(event, now)).collect();
        print(&fresh, format)?;
        known = latest;
    }
}

/// Reads all stored events, the oldest event first.
pub(super) fn kept(paths: &Paths) -> Result<Vec<Event>, Exit> {
    let store = paths.remembered()?.ok_or_else(|| {
        Exit::Failure(format!(
            "there are no events in {}: no operator has run with this state directory; name \
             another with --state-dir",
            paths.state_dir.display()
        ))
    })?;
    Ok(store.events(KEPT_EVENTS)?)
}

fn print(events: &[&Event], format: Format) -> Outcome {
    if format == Format::Json {
        return events.iter().try_for_each(output::json);
    }
    let now = Timestamp::now();
    let mut table = Table::new(0, 3);
    for event in events {
        let [reason, text] = row(event);
        table.row([clock(event.time).into(), age(event.time, now).into(), reason, text]);
    }
    output::print(&table.render(Page::out()))
}

/// Returns the cells of an event without its time: the reason, then the object and the message.
pub(super) fn row(event: &Event) -> [Cell; 2] {
    let style = match event.kind {
        EventType::Normal => GREEN,
        EventType::Warning => YELLOW,
    };
    let often = if event.count > 1 { format!(" (×{})", event.count) } else { String::new() };
    let object = event.object.as_ref().map_or_else(String::new, |object| format!("{object}: "));
    let text = format!("{object}{}{often}", event.message);
    [Cell::painted(&event.reason, style), text.into()]
}
