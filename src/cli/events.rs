//! `events`: what happened, when, why, to what.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::args::Format;
use super::session::Place;
use super::table::{Cell, Page, Table};
use super::terminal::{GREEN, YELLOW};
use super::times::{age, clock};
use super::{Exit, Outcome, output};
use crate::domain::status::{Event, EventType};
use crate::engine::{KEPT_EVENTS, Store};

/// How often `--follow` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Which events are shown.
pub(super) struct Filter {
    /// At most so many, the latest.
    pub(super) limit: usize,
    /// Only warnings.
    pub(super) warnings: bool,
    /// Only those that name this in their object, reason or message.
    pub(super) about: Option<String>,
    /// Only those of this last time.
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
}

/// Prints what is kept, and with `follow` goes on as it happens.
pub(super) async fn events(
    place: &Place,
    filter: &Filter,
    follow: bool,
    format: Format,
) -> Outcome {
    let mut known = kept(place)?;
    let now = Timestamp::now();
    let passing: Vec<&Event> = known.iter().filter(|event| filter.passes(event, now)).collect();
    let first = passing.len().saturating_sub(filter.limit);
    let shown = passing.get(first..).unwrap_or_default();
    match format {
        Format::Json if !follow => return output::pretty_json(&shown),
        Format::Text if shown.is_empty() && !follow => output::print("Nothing has happened.\n")?,
        _ => print(shown, format)?,
    }
    if !follow {
        return Ok(());
    }
    loop {
        sleep(LOOK_EVERY).await;
        let latest = kept(place)?;
        let now = Timestamp::now();
        let fresh = latest.iter().filter(|event| !known.contains(event));
        let fresh: Vec<&Event> = fresh.filter(|event| filter.passes(event, now)).collect();
        print(&fresh, format)?;
        known = latest;
    }
}

/// All events that are kept, oldest first.
pub(super) fn kept(place: &Place) -> Result<Vec<Event>, Exit> {
    let store = place.remembered()?.ok_or_else(|| {
        Exit::Failure(format!(
            "nothing is remembered in {}: no operator has run with this state directory; name \
             another with --state-dir",
            place.state_dir.display()
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

/// An event without its time: the reason, and what happened to what.
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
