//! Formats numbers and lists for sentences.

/// Formats a size in bytes, such as `1.5 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    #[allow(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
    let mut value = bytes as f64;
    let mut unit = "";
    for name in UNITS {
        value /= 1024.0;
        unit = name;
        if value < 1024.0 {
            break;
        }
    }
    format!("{value:.1} {unit}")
}

/// Formats a list of the first `max` items, and the number of the other items.
pub(super) fn list<T: ToString>(max: usize, items: impl IntoIterator<Item = T>) -> String {
    let mut items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let more = items.len().saturating_sub(max);
    items.truncate(max);
    if more > 0 {
        items.push(format!("and {more} more"));
    }
    items.join(", ")
}

/// Formats a count, such as `1 message` or `2 messages`. `one` is the noun in the singular.
pub(super) fn count(number: impl TryInto<i64>, one: &str) -> String {
    let number = number.try_into().unwrap_or(i64::MAX);
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {one}{s}")
}

/// Formats a duration in seconds, such as `1h 2m 3s`.
pub(super) fn time(seconds: u64) -> String {
    format!("{:#}", jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_and_plurals() {
        assert_eq!(bytes(3), "3 bytes");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(54 << 30), "54.0 GiB");
        assert_eq!(list(5, 1..=7), "1, 2, 3, 4, 5, and 2 more");
        assert_eq!(list(8, 1..=7), "1, 2, 3, 4, 5, 6, 7");
        assert_eq!((count(1, "line"), count(2_usize, "line")), ("1 line".into(), "2 lines".into()));
        assert_eq!(time(3723), "1h 2m 3s");
    }
}
