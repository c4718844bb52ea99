//! Reads the configuration that ejabberd prints.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::keywords::replaced;
use super::{Configuration, MAX_BYTES, Value};

/// The error of a printed configuration that cannot be read. Completes "failed to …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The configuration is larger than [`MAX_BYTES`].
    #[error("read the configuration: it has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// The text is not a printed configuration.
    #[error("read the configuration: the output of the server is not a list of options")]
    NotOptions,
}

impl Configuration {
    /// Reads the JSON that the operator's Erlang program prints. A key can occur twice.
    pub fn from_json(text: &[u8]) -> Result<Self, Unreadable> {
        if text.len() > MAX_BYTES {
            return Err(Unreadable::TooLarge);
        }
        let root = serde_json::from_slice(text).map_err(|_| Unreadable::NotOptions)?;
        Self::of_root(root)
    }

    /// Reads the output of `dump_config`.
    pub fn from_dump(text: &[u8]) -> Result<Self, Unreadable> {
        if text.len() > MAX_BYTES {
            return Err(Unreadable::TooLarge);
        }
        // The parser limits the nesting, the aliases and the number of values.
        let root = serde_yaml::from_slice(text).map_err(|_| Unreadable::NotOptions)?;
        Self::of_root(root)
    }

    /// Reads the text of a file that needs no expansion: YAML with each key once, without macros
    /// and included files. `None` for other texts. The macros in the environment of a server are
    /// unknown here, so the result is for a preview, never for a decision about a server.
    #[must_use]
    pub fn of_plain_text(text: &[u8]) -> Option<Self> {
        const EXPANDED: [&str; 2] = ["define_macro", "include_config_file"];
        let root = Value::of_text(text)?;
        if EXPANDED.iter().any(|option| root.get(option).is_some()) {
            return None;
        }
        Self::of_root(root).ok()
    }

    fn of_root(root: Value) -> Result<Self, Unreadable> {
        let options = match root {
            Value::Null => Value::Map(Vec::new()),
            Value::List(elements) if elements.is_empty() => Value::Map(Vec::new()),
            map @ Value::Map(_) => map,
            _ => return Err(Unreadable::NotOptions),
        };
        Ok(Self { options: replaced(options) })
    }
}

impl Value {
    /// Reads the text of a file to show the text. `None` if the text is not YAML, has a key twice
    /// (ejabberd merges some repeated keys), or is larger than [`MAX_BYTES`].
    #[must_use]
    pub fn of_text(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        // The parser refuses repeated keys.
        match serde_yaml::from_slice(text).ok()? {
            Self::Null => Some(Self::Map(Vec::new())),
            map @ Self::Map(_) => Some(map),
            _ => None,
        }
    }

    fn into_key(self) -> Option<String> {
        match self {
            Self::Float(value) => Some(value.to_string()),
            other => other.word(),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(i128::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Value::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = access.next_entry::<Value, Value>()? {
            let key = key.into_key().ok_or_else(|| A::Error::custom("a key must be a text"))?;
            entries.push((key, value));
        }
        Ok(Value::Map(entries))
    }
}
