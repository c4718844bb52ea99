//! Decides when the operator may interrupt clients.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::diff::ServerAction;
use crate::domain::rollout::Method;
use crate::domain::spec::{Maintenance, Window};

/// The number of minutes in a day.
const DAY: u16 = 24 * 60;

/// Whether a step must wait for a maintenance window, because the step interrupts connected
/// clients. A declared stop does not wait. A creation or a start interrupts no client, because
/// without a running server no client is connected.
pub(in crate::engine) fn interrupts(action: &ServerAction) -> bool {
    match action {
        ServerAction::Replace { .. } => true,
        ServerAction::ApplyConfig(change) => change.method == Method::Restart,
        ServerAction::Create { .. }
        | ServerAction::Start { .. }
        | ServerAction::Stop { .. }
        | ServerAction::DisableRestartPolicy { .. } => false,
    }
}

/// Returns why an interruption must wait at `now`; `None` if a maintenance window is open or no
/// window is declared. If this host does not know the time zone, the operator uses UTC, and the
/// message contains this fact.
pub(in crate::engine) fn waits(maintenance: &Maintenance, now: Timestamp) -> Option<String> {
    let Maintenance { windows, timezone } = maintenance;
    if windows.is_empty() {
        return None;
    }
    let (zone, note) = match TimeZone::get(timezone) {
        Ok(zone) => (zone, String::new()),
        Err(_) => (
            TimeZone::UTC,
            format!("; this host does not know the time zone `{timezone}`, so UTC is used"),
        ),
    };
    let local = now.to_zoned(zone);
    let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).ok()?;
    if windows.iter().any(|window| is_within(*window, minute)) {
        return None;
    }
    let next = windows.iter().min_by_key(|window| (window.start + DAY - minute) % DAY)?;
    Some(format!(
        "it interrupts clients, and waits for the maintenance window {} {timezone}{note}",
        shown(*next)
    ))
}

/// Whether `minute`, the minute of the day, is in a window. A window may span midnight.
fn is_within(window: Window, minute: u16) -> bool {
    let Window { start, end } = window;
    if start <= end { (start..end).contains(&minute) } else { minute >= start || minute < end }
}

fn shown(window: Window) -> String {
    let time = |minute: u16| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    format!("{}-{}", time(window.start), time(window.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_uses_its_time_zone_and_may_span_midnight() {
        let at = |time: &str| format!("2026-11-22T{time}:00Z").parse::<Timestamp>().unwrap();
        let zone = |windows: &[(u16, u16)], timezone: &str| Maintenance {
            windows: windows.iter().map(|&(start, end)| Window { start, end }).collect(),
            timezone: timezone.to_owned(),
        };
        let night = zone(&[(120, 240)], "UTC");
        assert_eq!(waits(&night, at("02:00")), None);
        assert_eq!(waits(&night, at("03:59")), None);
        assert!(waits(&night, at("04:00")).unwrap().contains("02:00-04:00 UTC"));
        // 01:30 in London in winter is 02:30 in Berlin.
        assert_eq!(waits(&zone(&[(120, 240)], "Europe/Berlin"), at("01:30")), None);
        let over = zone(&[(1380, 60)], "UTC");
        assert_eq!((waits(&over, at("23:30")), waits(&over, at("00:30"))), (None, None));
        assert!(waits(&over, at("12:00")).is_some());
        let two = zone(&[(120, 240), (780, 840)], "UTC");
        assert!(waits(&two, at("12:00")).unwrap().contains("13:00-14:00"));
        assert_eq!(waits(&zone(&[], "UTC"), at("12:00")), None);
        assert!(waits(&zone(&[(0, 1)], "Mars/Base"), at("12:00")).unwrap().contains("so UTC"));
    }
}
