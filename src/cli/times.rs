//! Formats times for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Formats the age of an event as a number and a unit, as kubectl does.
pub(super) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Formats a time as the local time of this host.
pub(super) fn clock(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::system()).strftime("%F %T").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let then = Timestamp::UNIX_EPOCH;
        let after = |seconds| age(then, Timestamp::from_second(seconds).unwrap());
        let ages = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(after);
        assert_eq!(ages, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
        assert_eq!(age(Timestamp::from_second(5).unwrap(), then), "0s");
    }
}
