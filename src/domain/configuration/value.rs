//! The values of a configuration.

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value (`null`).
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Another number.
    Float(f64),
    /// A string.
    Text(String),
    /// A list. ejabberd treats an empty mapping as an empty list.
    List(Vec<Value>),
    /// A mapping in the order of the file. The order matters, because ejabberd tries rules in their
    /// order. A key can occur twice.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The entries of a mapping; empty for an empty list or [`Null`](Self::Null). `None` for other
    /// values.
    #[must_use]
    pub fn entries(&self) -> Option<&[(String, Value)]> {
        match self {
            Self::Map(entries) => Some(entries),
            Self::Null => Some(&[]),
            Self::List(elements) if elements.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// The first value of `key`; `None` if the value is not a mapping or does not contain `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The string; `None` for other values.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A string, a whole number or a truth value, as a string; `None` for other values.
    #[must_use]
    pub fn word(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Int(value) => Some(value.to_string()),
            Self::Float(_) | Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The elements of a list. Another value counts as a list with one element.
    #[must_use]
    pub fn elements(&self) -> &[Self] {
        match self {
            Self::List(elements) => elements,
            Self::Null => &[],
            other => std::slice::from_ref(other),
        }
    }

    /// The names of the files that this configuration includes directly (`include_config_file`).
    /// The value of the option is a name, a list of names, or a mapping from names to options.
    #[must_use]
    pub fn included_files(&self) -> Vec<&str> {
        let named = self.get("include_config_file").map(Self::elements).unwrap_or_default();
        let mut files = Vec::new();
        for one in named {
            match one {
                Self::Map(entries) => files.extend(entries.iter().map(|(file, _)| file.as_str())),
                other => files.extend(other.text()),
            }
        }
        files
    }

    /// The truth value, read from each spelling that ejabberd accepts (`yconf:bool/0`); `None` for
    /// other values.
    #[must_use]
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Text(word) => match word.as_str() {
                "true" | "on" | "yes" | "y" => Some(true),
                "false" | "off" | "no" | "n" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether ejabberd treats both values as equal: `yes` is `true`, and an empty mapping is an empty
    /// list.
    #[must_use]
    pub fn means_the_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(_), _) | (_, Self::Bool(_)) => self.truth() == other.truth(),
            (Self::List(one), Self::List(two)) => {
                one.len() == two.len()
                    && one.iter().zip(two).all(|(one, two)| one.means_the_same_as(two))
            }
            _ => match (self.entries(), other.entries()) {
                (Some(one), Some(two)) => {
                    one.len() == two.len()
                        && one.iter().zip(two).all(|((key, value), (other_key, other))| {
                            key == other_key && value.means_the_same_as(other)
                        })
                }
                _ => self == other,
            },
        }
    }
}
