//! The options of one host.
//!
//! As in `ejabberd_config:set_host_config/1` (23.01 to 26.07), `host_config` replaces a value of the
//! whole server, and `append_host_config` adds to the result.

use super::{Configuration, Value};

impl Configuration {
    /// The hosts of the server in lower case, in the order of the configuration.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        let hosts = self.get("hosts").map(Value::elements).unwrap_or_default();
        hosts.iter().filter_map(Value::word).map(|host| host.to_lowercase()).collect()
    }

    /// The options of `host` in `section` (`host_config` or `append_host_config`); `None` if
    /// `section` does not contain the host.
    fn section(&self, section: &str, host: &str) -> Option<&Value> {
        let hosts = self.get(section)?.entries()?;
        hosts.iter().find(|(name, _)| name.eq_ignore_ascii_case(host)).map(|(_, options)| options)
    }

    /// An option of `host`, without the additions of `append_host_config`; `None` if neither the
    /// host nor the server has the option.
    #[must_use]
    pub fn option(&self, host: &str, name: &str) -> Option<&Value> {
        let own = self.section("host_config", host).and_then(|own| own.get(name));
        own.or_else(|| self.get(name))
    }

    /// The elements of an option of `host` that is a list. The elements of `append_host_config`
    /// come last.
    #[must_use]
    pub fn list(&self, host: &str, name: &str) -> Vec<&Value> {
        let more = self.section("append_host_config", host).and_then(|own| own.get(name));
        let all = self.option(host, name).into_iter().chain(more);
        all.flat_map(Value::elements).collect()
    }

    /// The modules of `host` with their options. The modules of `append_host_config` come last.
    /// `None` if `modules` is not a mapping.
    #[must_use]
    pub fn modules(&self, host: &str) -> Option<Vec<(&str, &Value)>> {
        let more = self.section("append_host_config", host).and_then(|own| own.get("modules"));
        let mut modules = Vec::new();
        for part in self.option(host, "modules").into_iter().chain(more) {
            modules.extend(part.entries()?.iter().map(|(name, of)| (name.as_str(), of)));
        }
        Some(modules)
    }

    /// The options of a module of `host`; `None` if the host does not have the module.
    #[must_use]
    pub fn module(&self, host: &str, module: &str) -> Option<&Value> {
        let modules = self.modules(host)?;
        modules.into_iter().find(|(name, _)| *name == module).map(|(_, options)| options)
    }
}
