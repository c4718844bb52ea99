//! The main file as a tree of values, as far as comparing needs it.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// No configuration is as large; what is would only cost time.
const MAX_BYTES: usize = 4 << 20;

/// One value of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// In the order of the file. Rules are tried in their order, so that order
    /// means something to ejabberd in the mappings inside of an option.
    Map(Vec<(String, Value)>),
}

/// Reads a file. `None` if it is no YAML, holds a key twice (which ejabberd
/// allows in places, and merges), or goes beyond the parser's limits.
#[must_use]
pub fn read(file: &[u8]) -> Option<Value> {
    if file.len() > MAX_BYTES {
        return None;
    }
    // The parser's own limits hold for nesting, aliases and the number of
    // values; keys that stand twice it refuses.
    match serde_yaml::from_slice(file).ok()? {
        Value::Null => Some(Value::Map(Vec::new())),
        map @ Value::Map(_) => Some(map),
        _ => None,
    }
}

impl Value {
    /// The entries of a mapping; none of something that is empty. `None` for
    /// whatever is not written as a mapping.
    pub(super) fn entries(&self) -> Option<&[(String, Value)]> {
        match self {
            Self::Map(entries) => Some(entries),
            Self::Null => Some(&[]),
            _ => None,
        }
    }

    /// What stands under `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.entries()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list; something else is its only element.
    pub(super) fn elements(&self) -> &[Value] {
        match self {
            Self::List(elements) => elements,
            other => std::slice::from_ref(other),
        }
    }

    /// Whether one of `names` stands in a text of it. The parts of longer words
    /// count too: that errs on the safe side.
    pub(super) fn mentions(&self, names: &BTreeSet<&str>) -> bool {
        match self {
            Self::Text(text) => names.iter().any(|name| text.contains(name)),
            Self::List(elements) => elements.iter().any(|value| value.mentions(names)),
            Self::Map(entries) => entries.iter().any(|(_, value)| value.mentions(names)),
            _ => false,
        }
    }

    fn into_key(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bool(value) => Some(value.to_string()),
            Self::Int(value) => Some(value.to_string()),
            Self::Float(value) => Some(value.to_string()),
            Self::Null | Self::List(_) | Self::Map(_) => None,
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
        let mut seen = BTreeSet::new();
        while let Some((key, value)) = access.next_entry::<Value, Value>()? {
            let key = key.into_key().ok_or_else(|| A::Error::custom("a key must be a text"))?;
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom("a key stands twice"));
            }
            entries.push((key, value));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::rollout::{Changed, Method, difference, method};

    fn between(before: impl AsRef<[u8]>, after: impl AsRef<[u8]>) -> Vec<Changed> {
        let file = |content: &[u8]| [("ejabberd.yml".to_owned(), content.to_vec())].into();
        difference(&file(before.as_ref()), &file(after.as_ref()))
    }

    /// One line for each number.
    fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
        (0..count).map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn hostile_files_end_soon_and_in_a_restart() {
        let laughs = lines(9, |i| {
            format!("a{}: &a{} [{}]", i + 1, i + 1, vec![format!("*a{i}"); 9].join(","))
        });
        let chain = |end: &str| {
            let links = lines(5_000, |i| format!("  M{i}: [M{}]", i + 1));
            format!("define_macro:\n{links}\n  M5000: {end}\nlanguage: M1\n")
        };
        let other = b"loglevel: 1".to_vec();
        for (what, file) in [
            ("deep lists", "[".repeat(1 << 20).into_bytes()),
            ("deep mappings", "{a: ".repeat(1 << 18).into()),
            ("deep blocks", lines(1_000, |i| format!("{}a:", " ".repeat(i))).into()),
            ("not UTF-8", [b"loglevel: ".to_vec(), vec![0xff; 1 << 20]].concat()),
            ("zeros", vec![0; 1 << 20]),
            ("a key many times", "loglevel: 1\n".repeat(80_000).into()),
            ("aliases", format!("a0: &a0 [1]\n{laughs}").into()),
            ("large", vec![b'#'; 5 << 20]),
            ("unknown options", lines(20_000, |i| format!("option_{i:040}: {i}")).into()),
            ("macros", chain("a").into()),
        ] {
            for (before, after) in [(&other, &file), (&file, &other)] {
                let start = Instant::now();
                let changes = between(before, after);
                let took = start.elapsed();
                assert_eq!(method(&changes), Method::Restart, "{what}");
                assert!(took.as_secs() < 30, "{what} took {took:?}");
            }
        }
        // The last of a chain of macros changes, and with it all of the others.
        assert_eq!(method(&between(chain("a"), chain("b"))), Method::Restart);
        // Every element of one long list is looked for in another.
        let rules =
            |n: usize| format!("shaper_rules:\n{}", lines(20_000, |i| format!("  r{}: 1", i + n)));
        assert_eq!(method(&between(rules(0), rules(1))), Method::Restart);
    }
}
