//! Decodes the tree into the types of the document.
//!
//! serde stops at the first mistake. This module reports the mistake, removes the value with the
//! mistake, and decodes the rest again until no mistake is left. This module does not report a
//! mistake that only follows from a removed value.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::report::Report;
use super::tree::{Entry, Node, Span, Value};
use super::{mask, suggest};

/// The maximum number of mistakes in one value. After this number, `decode` stops and returns
/// `None`.
const MAX_ROUNDS: usize = 100;

/// Decodes `node` without the values `apart`, which the caller decodes separately. `None` if the
/// node itself has a mistake, or after `MAX_ROUNDS` mistakes.
pub(crate) fn decode<T: DeserializeOwned>(
    node: &Node,
    apart: &[&Node],
    report: &mut Report<'_>,
) -> Option<T> {
    let mut pruned: HashSet<usize> = apart.iter().map(|node| node.id).collect();
    let unknown = RefCell::new(HashSet::new());
    for _ in 0..MAX_ROUNDS {
        let scope =
            Scope { pruned: &pruned, unknown: &unknown, report: &RefCell::new(&mut *report) };
        let mistake = match T::deserialize(Reader { node, scope }) {
            Ok(value) => return Some(value),
            Err(mistake) => mistake,
        };
        let (span, id) = mistake.at.unwrap_or((node.span, node.id));
        if !mistake.follows {
            report.error(span, mistake.message).help = mistake.help.map(String::from);
        }
        if id == node.id || !pruned.insert(id) {
            return None;
        }
    }
    None
}

/// The values that all readers share.
#[derive(Clone, Copy)]
struct Scope<'s, 'r, 'a> {
    pruned: &'s HashSet<usize>,
    /// Keys that were reported as unknown in an earlier round.
    unknown: &'s RefCell<HashSet<Span>>,
    report: &'s RefCell<&'r mut Report<'a>>,
}

/// The reason why a value could not be decoded.
#[derive(Debug)]
struct Mistake {
    message: String,
    help: Option<Box<str>>,
    /// The position and the node of the mistake; `None` until the position is known.
    at: Option<(Span, usize)>,
    /// The expected type; `None` if `message` is complete.
    expected: Option<Box<str>>,
    missing: Option<&'static str>,
    /// Whether the mistake only follows from another mistake. The report then does not need the
    /// mistake.
    follows: bool,
}

impl Mistake {
    fn new(message: String) -> Self {
        Self { message, help: None, at: None, expected: None, missing: None, follows: false }
    }

    fn expected(what: &dyn Expected) -> Self {
        let what = what.to_string();
        let what = match what.as_str() {
            "a string" => "a text",
            "a boolean" => "true or false",
            "a sequence" => "a list",
            "a map" => "a mapping",
            "u8" => "a whole number from 0 to 255",
            "u32" => "a whole number from 0 to 4294967295",
            text if text.starts_with("struct ") => "a mapping",
            text => text,
        };
        Self { expected: Some(what.into()), ..Self::new(String::new()) }
    }

    /// Sets the position of the mistake, unless an inner value has set the position.
    fn at(mut self, node: &Node, scope: Scope<'_, '_, '_>) -> Self {
        if self.at.is_some() {
            return self;
        }
        self.at = Some((node.span, node.id));
        if let Some(expected) = self.expected.take() {
            self.message =
                format!("expected {expected}, found {}", describe(node, &scope.report.borrow()));
            self.help = advice(&expected, node, &scope.report.borrow()).map(String::into_boxed_str);
        }
        if let Some(field) = self.missing {
            self.follows =
                node.entry(field).is_some_and(|entry| scope.pruned.contains(&entry.value.id));
        }
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl serde::de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("`{field}` is missing here")) }
    }
}

/// Describes a value for a message.
fn describe(node: &Node, report: &Report<'_>) -> String {
    let written = || mask::quoted(report.slice(node.span).trim());
    match &node.value {
        Value::Null => "nothing".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
        Value::Text(_) if node.secret => "a text".to_owned(),
        Value::Bool(_) if node.secret => {
            "a truth value (hidden, because the value may be secret)".to_owned()
        }
        _ if node.secret => "a number (hidden, because the value may be secret)".to_owned(),
        Value::Bool(_) => format!("the truth value {}", written()),
        Value::Int(_) | Value::Float(_) => format!("the number {}", written()),
        Value::Text(text) => format!("the text {}", mask::quoted(text)),
    }
}

fn advice(expected: &str, node: &Node, report: &Report<'_>) -> Option<String> {
    match (expected, &node.value) {
        ("a mapping", Value::Text(_)) if node.secret => {
            Some("name the source of the secret: `{ file: … }`".to_owned())
        }
        ("a text", Value::Bool(_) | Value::Int(_) | Value::Float(_)) if node.secret => {
            Some("put it in quotes".to_owned())
        }
        ("a text", Value::Bool(_) | Value::Int(_) | Value::Float(_)) => {
            Some(format!("put it in quotes: \"{}\"", report.slice(node.span).trim()))
        }
        ("true or false", Value::Text(text)) => meant_by(text).map(str::to_owned),
        ("a list", Value::Text(_) | Value::Map(_)) => Some(
            "begin each element with `- `, or put all of them in brackets: `[a, b]`".to_owned(),
        ),
        _ => None,
    }
}

/// The help for a string that is a truth value in YAML 1.1, such as `yes`; `None` for other
/// strings.
pub(crate) fn meant_by(text: &str) -> Option<&'static str> {
    match text.to_lowercase().as_str() {
        "yes" | "on" | "y" | "true" => Some("write `true`"),
        "no" | "off" | "n" | "false" => Some("write `false`"),
        _ => None,
    }
}

/// The deserializer of one node.
#[derive(Clone, Copy)]
struct Reader<'t, 's, 'r, 'a> {
    node: &'t Node,
    scope: Scope<'s, 'r, 'a>,
}

impl<'t, 's, 'r, 'a> Reader<'t, 's, 'r, 'a> {
    fn kept<'n>(
        self,
        entries: &'n [Entry],
    ) -> impl Iterator<Item = &'n Entry> + use<'n, 't, 's, 'r, 'a> {
        let pruned = self.scope.pruned;
        entries.iter().filter(move |entry| !pruned.contains(&entry.value.id))
    }

    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_u64(value),
                (_, Ok(value)) => visitor.visit_i64(value),
                _ => visitor.visit_i128(*value),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => {
                let pruned = self.scope.pruned;
                let items = items.iter().filter(|item| !pruned.contains(&item.id));
                visitor.visit_seq(Items { items, scope: self.scope })
            }
            Value::Map(entries) => visitor.visit_map(Fields {
                entries: self.kept(entries),
                value: None,
                scope: self.scope,
            }),
        }
    }

    fn note_unknown(self, entry: &Entry, fields: &[&str]) {
        if self.scope.unknown.borrow_mut().insert(entry.key_span) {
            let message = format!("unknown field {}", mask::quoted(&entry.key));
            self.scope.report.borrow_mut().error(entry.key_span, message).help =
                suggest::help(&entry.key, fields);
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_, '_, '_, '_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.visit(visitor).map_err(|mistake| mistake.at(self.node, self.scope))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let Value::Map(entries) = &self.node.value else {
            // Refuse a list: the visitor would take the elements of a list as the values of the
            // fields, in order.
            return Err(Mistake::expected(&"a mapping").at(self.node, self.scope));
        };
        let mut known = Vec::with_capacity(entries.len());
        for entry in self.kept(entries) {
            if !fields.contains(&entry.key.as_str()) {
                self.note_unknown(entry, fields);
            } else if entry.value.value != Value::Null {
                // A key without a value counts as an absent key.
                known.push(entry);
            }
        }
        visitor
            .visit_map(Fields { entries: known.into_iter(), value: None, scope: self.scope })
            .map_err(|mistake| {
                // If the report already has the unknown field `nmae`, do not report the missing
                // `name` too: the author only misspelt `name`.
                let misspelt = mistake.at.is_none()
                    && mistake.missing.is_some_and(|missing| {
                        let unknown =
                            entries.iter().filter(|entry| !fields.contains(&entry.key.as_str()));
                        unknown
                            .map(|entry| entry.key.as_str())
                            .any(|key| suggest::closest(key, [missing]).is_some())
                    });
                let mistake = mistake.at(self.node, self.scope);
                Mistake { follows: mistake.follows || misspelt, ..mistake }
            })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let known = || {
            format!("one of {}", suggest::listed(variants.iter().copied()).replace(" and ", " or "))
        };
        let mistake = match self.node.text() {
            Some(text) if variants.contains(&text) => {
                let text: StrDeserializer<'_, Mistake> = text.into_deserializer();
                return visitor.visit_enum(text);
            }
            Some(text) => Mistake {
                help: suggest::closest(text, variants.iter().copied())
                    .map(|variant| format!("did you mean `{variant}`?").into_boxed_str()),
                ..Mistake::new(format!("expected {}, found {}", known(), mask::quoted(text)))
            },
            None => Mistake::expected(&known().as_str()),
        };
        Err(mistake.at(self.node, self.scope))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string
        bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
        ignored_any
    }
}

struct Items<'s, 'r, 'a, I> {
    items: I,
    scope: Scope<'s, 'r, 'a>,
}

impl<'de, 't, I: Iterator<Item = &'t Node>> SeqAccess<'de> for Items<'_, '_, '_, I> {
    type Error = Mistake;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Mistake> {
        let scope = self.scope;
        self.items.next().map(|node| seed.deserialize(Reader { node, scope })).transpose()
    }
}

struct Fields<'t, 's, 'r, 'a, I> {
    entries: I,
    value: Option<&'t Node>,
    scope: Scope<'s, 'r, 'a>,
}

impl<'de, 't, I: Iterator<Item = &'t Entry>> MapAccess<'de> for Fields<'t, '_, '_, '_, I> {
    type Error = Mistake;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Mistake> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(&entry.value);
        let key: StrDeserializer<'_, Mistake> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mistake> {
        let scope = self.scope;
        match self.value.take() {
            Some(node) => seed.deserialize(Reader { node, scope }),
            None => Err(Mistake::custom("the value was read before its key")),
        }
    }
}
