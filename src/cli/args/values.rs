//! Parses the values of arguments.

use std::net::SocketAddr;
use std::time::Duration;

/// Parses an address, such as `127.0.0.1:9565` or `[::1]:9565`.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give a numeric address and a port, e.g. 127.0.0.1:9565".to_owned())
}

/// Parses the address of the MCP server, such as `127.0.0.1:3444`.
pub(super) fn mcp_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give a numeric address and a port, e.g. 127.0.0.1:3444".to_owned())
}

/// Parses a number of lines, from 1 to 10,000.
pub(super) fn lines(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=10_000).contains(n));
    number.ok_or_else(|| "a number from 1 to 10000".to_owned())
}

/// Parses a time span, such as `90m`, `2h` or `7d`, of at most 366 days.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let time: jiff::SignedDuration = match text.strip_suffix('d').map(str::parse::<i64>) {
        Some(Ok(days)) => jiff::SignedDuration::from_hours(days.saturating_mul(24).min(8784)),
        _ => text.parse().map_err(|_| format!("`{text}` is not a time like 90m, 2h or 7d"))?,
    };
    let time = Duration::try_from(time).map_err(|_| "a time cannot be negative".to_owned())?;
    if time <= Duration::from_hours(366 * 24) { Ok(time) } else { Err("at most 366d".to_owned()) }
}

/// Parses a time, such as `30s`, `5m` or `1h30m`, from 100 ms to 24 hours.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is not a time like 30s or 5m"))?;
    let time = Duration::try_from(parsed).map_err(|_| "a time cannot be negative".to_owned())?;
    if (Duration::from_millis(100)..=Duration::from_hours(24)).contains(&time) {
        Ok(time)
    } else {
        Err("it must be between 100ms and 24h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_bounded() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("0s").is_err() && duration("25h").is_err() && duration("soon").is_err());
    }
}
