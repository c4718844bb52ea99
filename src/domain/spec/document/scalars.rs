//! Values with a text format: periods, windows, ports, permissions, and room options.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::domain::model::Secret;

/// The longest period that a field accepts.
const MAX_PERIOD: Duration = Duration::from_hours(24);

/// A length of time, e.g. `5s`, `10m` or `2m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(pub(crate) Duration);

/// A window of the day, e.g. `02:00-04:00`: the first minute and the minute after the last, counted
/// from midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window(pub(crate) u16, pub(crate) u16);

/// A published port, e.g. `5222`, `5222:5222` or `0.0.0.0:5222:5222`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) address: IpAddr,
    pub(crate) host: u16,
    pub(crate) container: u16,
}

/// The permissions of a file, e.g. `0600`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileMode(pub(crate) u32);

/// A password that the file contains.
#[derive(Debug)]
pub(crate) struct Password(pub(crate) Secret);

/// The value of a room option. The name of the option decides which type is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RoomOption {
    Bool(bool),
    Int(u64),
    Text(String),
    List(Vec<String>),
}

impl Period {
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected a length of time such as `5s`, `10m` or `2m30s`";
        let mut total = Duration::ZERO;
        let mut rest = text;
        let mut previous = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest.get(..digits).unwrap_or_default().parse().map_err(|_| FORM)?;
            let unit = match rest.as_bytes().get(digits) {
                Some(b'h') => 3600,
                Some(b'm') => 60,
                Some(b's') => 1,
                _ => return Err(FORM.to_owned()),
            };
            if unit >= previous {
                return Err(FORM.to_owned());
            }
            previous = unit;
            total = total.saturating_add(Duration::from_secs(number.saturating_mul(unit)));
            rest = rest.get(digits + 1..).unwrap_or_default();
        }
        match total {
            _ if text.is_empty() => Err(FORM.to_owned()),
            Duration::ZERO => Err("a length of time must be more than zero".to_owned()),
            total if total > MAX_PERIOD => {
                Err("a length of time must be at most 24 hours".to_owned())
            }
            total => Ok(Self(total)),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        for (size, unit) in [(3600, 'h'), (60, 'm'), (1, 's')] {
            let count = match size {
                3600 => seconds / 3600,
                60 => seconds / 60 % 60,
                _ => seconds % 60,
            };
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Window {
    fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected a window of the day such as `02:00-04:00`";
        let minute = |text: &str| -> Option<u16> {
            let (hours, minutes) = text.trim().split_once(':')?;
            let two_digits =
                |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            if !two_digits(hours) || !two_digits(minutes) {
                return None;
            }
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let (from, to) = text.split_once('-').ok_or(FORM)?;
        let window = Self(minute(from).ok_or(FORM)?, minute(to).ok_or(FORM)?);
        if window.0 == window.1 {
            return Err("a window that ends when it begins is empty".to_owned());
        }
        Ok(window)
    }
}

impl Port {
    fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected a port such as `5222`, `5222:5222` or `0.0.0.0:5222:5222`";
        let number = |text: &str| match text.parse::<u16>() {
            _ if text.starts_with('+') => Err(FORM.to_owned()),
            Ok(0) => Err("0 is not a port".to_owned()),
            Ok(number) => Ok(number),
            Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                Err("ports go up to 65535".to_owned())
            }
            Err(_) => Err(FORM.to_owned()),
        };
        let (front, container) = text.rsplit_once(':').unwrap_or(("", text));
        let container = number(container)?;
        let (address, host) = match front.rsplit_once(':') {
            None if front.is_empty() => ("", container),
            None => ("", number(front)?),
            Some((address, host)) => (address, number(host)?),
        };
        let address = match address {
            "" => Ipv4Addr::LOCALHOST.into(),
            text => text.trim_matches(['[', ']']).parse().map_err(|_| {
                "the address before the ports must be numeric, e.g. `127.0.0.1` or `[::1]`"
                    .to_owned()
            })?,
        };
        Ok(Self { address, host, container })
    }
}

impl FileMode {
    fn parse(text: &str) -> Result<Self, String> {
        let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let octal = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        match octal {
            Some(mode) if mode & 0o600 == 0o600 && mode & !0o666 == 0 => Ok(Self(mode)),
            Some(_) => Err(
                "permissions must let the owner read and write, and must not let anyone execute"
                    .to_owned(),
            ),
            None => Err("expected permissions in octal, such as `0600`".to_owned()),
        }
    }
}

impl Default for FileMode {
    fn default() -> Self {
        Self(0o600)
    }
}

/// Reads a text with a function whose error is the message to the user.
struct Parsed<F>(&'static str, F);

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Parsed<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        // Ports and permissions may be plain numbers.
        (self.1)(&number.to_string()).map_err(E::custom)
    }
}

macro_rules! text_format {
    ($name:ident, $expected:literal, $schema:tt) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Parsed($expected, $name::parse))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

text_format!(Period, "a length of time such as `5s`", {
    "type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "examples": ["5s", "2m30s"]
});
text_format!(Window, "a window of the day such as `02:00-04:00`", {
    "type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$", "examples": ["02:00-04:00"]
});
text_format!(Port, "a port", {
    "type": ["string", "integer"], "pattern": "^(.+:)?([0-9]+:)?[0-9]+$", "minimum": 1, "maximum": 65535,
    "examples": [5222, "5222:5222", "0.0.0.0:5222:5222"]
});
text_format!(FileMode, "permissions in octal, such as `0600`", {
    "type": "string", "pattern": "^0?[0-7]{3}$"
});

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(from, to) = self;
        serializer.collect_str(&format_args!(
            "{:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            to / 60,
            to % 60
        ))
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0))
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

impl JsonSchema for Password {
    fn schema_name() -> Cow<'static, str> {
        "Password".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

impl<'de> Deserialize<'de> for RoomOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyOption;

        impl<'de> Visitor<'de> for AnyOption {
            type Value = RoomOption;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false, a whole number, a text or a list of texts")
            }

            fn visit_bool<E>(self, value: bool) -> Result<RoomOption, E> {
                Ok(RoomOption::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<RoomOption, E> {
                Ok(RoomOption::Int(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<RoomOption, E> {
                Ok(RoomOption::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RoomOption, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element()? {
                    list.push(item);
                }
                Ok(RoomOption::List(list))
            }
        }

        deserializer.deserialize_any(AnyOption)
    }
}

impl JsonSchema for RoomOption {
    fn schema_name() -> Cow<'static, str> {
        "RoomOption".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["boolean", "integer", "string", "array"], "minimum": 0, "items": { "type": "string" }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_printed_as_they_are_parsed() {
        for (text, seconds) in [("5s", 5), ("10m", 600), ("2m30s", 150), ("24h", 86400)] {
            let period = Period::parse(text).unwrap();
            assert_eq!((period, period.to_string().as_str()), (Period::seconds(seconds), text));
        }
        for bad in
            ["", "5", "s", "5 s", "0s", "30s2m", "25h", "1h1h", "5ms", "99999999999999999999s"]
        {
            assert!(Period::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_are_bound_to_loopback_unless_an_address_is_given() {
        let port = |text: &str| {
            Port::parse(text).map(|p| format!("{} {} {}", p.address, p.host, p.container))
        };
        assert_eq!(port("5222").unwrap(), "127.0.0.1 5222 5222");
        assert_eq!(port("15222:5222").unwrap(), "127.0.0.1 15222 5222");
        assert_eq!(port("0.0.0.0:5222:5222").unwrap(), "0.0.0.0 5222 5222");
        assert_eq!(port("[::1]:5222:5222").unwrap(), "::1 5222 5222");
        for bad in ["", "x", "0", "65536", "localhost:1:2", ":", "1:2:3", "1:", "+1"] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn windows_and_permissions_are_parsed() {
        assert_eq!(Window::parse("22:30-04:00"), Ok(Window(1350, 240)));
        for bad in ["", "2:00-4:00", "24:00-01:00", "02:00", "02:00-02:00", "+2:00-03:00"] {
            assert!(Window::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(FileMode::parse("0640"), Ok(FileMode(0o640)));
        for bad in ["", "64", "0400", "0700", "rw-", "+600"] {
            assert!(FileMode::parse(bad).is_err(), "{bad}");
        }
    }
}
