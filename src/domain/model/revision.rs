//! Hashes that identify contents.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! hash_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Creates the identifier from a lower-case hexadecimal hash.
            #[must_use]
            pub fn new(hex: impl Into<String>) -> Self {
                Self(hex.into())
            }

            /// The whole hash.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first twelve digits, for people.
            #[must_use]
            pub fn short(&self) -> &str {
                self.0.get(..12).unwrap_or(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

hash_name! {
    /// The hash of the files of a desired state.
    Revision
}

hash_name! {
    /// The hash of another content, such as the refused deletions of a plan or a configuration.
    Digest
}
