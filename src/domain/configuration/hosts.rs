//! What a configuration says of one host.
//!
//! As `ejabberd_config:set_host_config/1` does it (23.01 to 26.07): `host_config` replaces a value
//! of the whole server, and `append_host_config` adds to what that gives.

use super::{Configuration, Value};

impl Configuration {
    /// The hosts that it serves, in its order, in small letters.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        let hosts = self.get("hosts").map(Value::elements).unwrap_or_default();
        hosts.iter().filter_map(Value::word).map(|host| host.to_lowercase()).collect()
    }

    /// What `section` (`host_config`, `append_host_config`) has for `host`.
    fn section(&self, section: &str, host: &str) -> Option<&Value> {
        let hosts = self.get(section)?.entries()?;
        hosts.iter().find(|(name, _)| name.eq_ignore_ascii_case(host)).map(|(_, options)| options)
    }

    /// An option of `host`, without what `append_host_config` adds.
    #[must_use]
    pub fn option(&self, host: &str, name: &str) -> Option<&Value> {
        let own = self.section("host_config", host).and_then(|own| own.get(name));
        own.or_else(|| self.get(name))
    }

    /// The elements of an option of `host` that is a list, those of `append_host_config` last.
    #[must_use]
    pub fn list(&self, host: &str, name: &str) -> Vec<&Value> {
        let more = self.section("append_host_config", host).and_then(|own| own.get(name));
        let all = self.option(host, name).into_iter().chain(more);
        all.flat_map(Value::elements).collect()
    }

    /// The modules of `host` with their options, those of `append_host_config` last. `None` if
    /// they are not a mapping.
    #[must_use]
    pub fn modules(&self, host: &str) -> Option<Vec<(&str, &Value)>> {
        let more = self.section("append_host_config", host).and_then(|own| own.get("modules"));
        let mut modules = Vec::new();
        for part in self.option(host, "modules").into_iter().chain(more) {
            modules.extend(part.entries()?.iter().map(|(name, of)| (name.as_str(), of)));
        }
        Some(modules)
    }

    /// The options of a module of `host`; `None` if the host does not have it.
    #[must_use]
    pub fn module(&self, host: &str, module: &str) -> Option<&Value> {
        let modules = self.modules(host)?;
        modules.into_iter().find(|(name, _)| *name == module).map(|(_, options)| options)
    }
}
