//! The only reader of `ejabberd.yml`.
//!
//! This module does no input or output. The reader takes an **expanded** configuration: the options
//! after ejabberd has replaced macros (also `EJABBERD_MACRO_*`), read the files of
//! `include_config_file` and merged repeated options (`ejabberd_config:get_option(yaml_config)`,
//! which `dump_config` writes; the same in 23.01, 24.12 and 26.07). For files that are not active,
//! the offline check returns the expanded configuration. Only ejabberd knows the meaning of a file
//! with macros, so the text of a file is read only to show the text ([`Value::of_text`]) and for a
//! preview ([`Configuration::of_plain_text`]).
//!
//! A configuration contains passwords. `Debug` shows the names of options, never a value.

mod accounts;
mod hosts;
mod keywords;
mod listen;
mod read;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;

pub use accounts::{AccountStore, Backend, SqlDatabase};
pub use listen::{ListenAddress, Listener, Transport};
pub use read::Unreadable;
pub use value::Value;

/// The maximum size of a configuration, in bytes. A configuration with thousands of hosts is
/// smaller.
pub const MAX_BYTES: usize = 3 << 20;

/// An expanded configuration.
#[derive(Clone, PartialEq)]
pub struct Configuration {
    options: Value,
}

impl Configuration {
    /// An option of the whole server; `None` if the configuration does not contain the option.
    #[must_use]
    pub fn get(&self, option: &str) -> Option<&Value> {
        self.options.get(option)
    }

    /// All options, as one mapping.
    #[must_use]
    pub const fn options(&self) -> &Value {
        &self.options
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.options.entries().unwrap_or_default().iter().map(|(name, _)| name);
        write!(f, "Configuration")?;
        f.debug_list().entries(names).finish()
    }
}
