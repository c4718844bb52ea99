//! The configuration in force, parsed from the output of `dump_config`. The command resolves macros
//! and included files, and omits defaults.

use std::net::{IpAddr, Ipv4Addr};

use crate::domain::configuration::{Configuration, Value as Yaml};
use crate::ejabberd::Value;

/// The configuration in force.
#[derive(Debug, Clone)]
pub(super) struct Config(Configuration);

impl Config {
    pub(super) fn read(text: &str) -> Option<Self> {
        Configuration::from_dump(text.as_bytes()).ok().map(Self)
    }

    /// The options of `module` for `host`; `None` if the host does not have the module.
    fn module(&self, host: &str, module: &str) -> Option<&Yaml> {
        self.0.module(host, module)
    }

    /// The result of `gen_mod:is_loaded/2`.
    pub(super) fn is_loaded(&self, host: &str, module: &str) -> Value {
        atom(if self.module(host, module).is_some() { "true" } else { "false" })
    }

    /// The result of `mod_mam_opt:default/1`.
    pub(super) fn archive_default(&self, host: &str) -> Value {
        let options = self.module(host, "mod_mam");
        let set = options.and_then(|options| get(options, "default")).and_then(text);
        atom(set.as_deref().unwrap_or("never"))
    }

    /// The result of `mod_muc_opt:default_room_options/1`. Without the option, ejabberd's function
    /// returns all defaults of a room; this function returns only the language, because only the
    /// language differs from a room's other defaults.
    pub(super) fn default_room_options(&self, host: &str) -> Value {
        let options = self.module(host, "mod_muc");
        let Some(options) = options.and_then(|options| get(options, "default_room_options")) else {
            let language = vec![atom("lang"), Value::Text(String::new())];
            return Value::List(vec![Value::Tuple(language)]);
        };
        let pairs = entries(options).iter();
        Value::List(
            pairs.map(|(name, value)| Value::Tuple(vec![atom(name), term(value)])).collect(),
        )
    }

    /// The result of `ejabberd_option:language/0`.
    pub(super) fn language(&self) -> Value {
        let set = self.0.get("language").and_then(text);
        Value::Text(set.unwrap_or_else(|| "en".to_owned()))
    }

    /// The result of `ejabberd_option:auth_method/1`. The default is the method for the option
    /// `default_db`.
    pub(super) fn auth_method(&self, host: &str) -> Value {
        Value::List(self.0.auth_methods(host).iter().map(|method| atom(method)).collect())
    }

    /// The result of `ejabberd_option:listen/0`, without listeners that have no port.
    pub(super) fn listen(&self) -> Value {
        let listeners = self.0.get("listen").map(elements).unwrap_or_default();
        Value::List(listeners.iter().filter_map(listener).collect())
    }
}

/// Converts a listener to `{{Port, Address, Transport}, Module, Options}`; `None` if the listener
/// has no port.
fn listener(declared: &Yaml) -> Option<Value> {
    let Some(Yaml::Int(port)) = get(declared, "port") else { return None };
    let ip = match get(declared, "ip").and_then(text) {
        Some(ip) => ip.parse().ok()?,
        None => IpAddr::from(Ipv4Addr::UNSPECIFIED),
    };
    let numbers = match ip {
        IpAddr::V4(ip) => ip.octets().iter().map(|byte| Value::Int((*byte).into())).collect(),
        IpAddr::V6(ip) => ip.segments().iter().map(|word| Value::Int((*word).into())).collect(),
    };
    let transport = get(declared, "transport").and_then(text);
    let endpoint = vec![
        Value::Int(i64::try_from(*port).ok()?),
        Value::Tuple(numbers),
        atom(transport.as_deref().unwrap_or("tcp")),
    ];
    let options = entries(declared).iter();
    let options = options.map(|(name, value)| Value::Tuple(vec![atom(name), term(value)]));
    Some(Value::Tuple(vec![
        Value::Tuple(endpoint),
        atom(&get(declared, "module").and_then(text)?),
        Value::List(options.collect()),
    ]))
}

fn term(value: &Yaml) -> Value {
    match value {
        Yaml::Bool(flag) => atom(if *flag { "true" } else { "false" }),
        Yaml::Int(number) => Value::Int(i64::try_from(*number).unwrap_or(i64::MAX)),
        Yaml::Float(number) => Value::Float(*number),
        Yaml::Text(text) => Value::Text(text.clone()),
        Yaml::List(values) => Value::List(values.iter().map(term).collect()),
        Yaml::Null => Value::Text(String::new()),
        Yaml::Map(_) => Value::Other,
    }
}

fn atom(name: &str) -> Value {
    Value::Atom(name.to_owned())
}

fn text(value: &Yaml) -> Option<String> {
    match value {
        Yaml::Text(text) => Some(text.clone()),
        Yaml::Bool(flag) => Some(flag.to_string()),
        Yaml::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

fn entries(value: &Yaml) -> &[(String, Yaml)] {
    match value {
        Yaml::Map(entries) => entries,
        _ => &[],
    }
}

fn get<'y>(value: &'y Yaml, key: &str) -> Option<&'y Yaml> {
    entries(value).iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

fn elements(value: &Yaml) -> &[Yaml] {
    match value {
        Yaml::List(values) => values,
        one => std::slice::from_ref(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of `dump_config` on 24.12.
    const DUMPED: &str = "\
hosts: \n  - \"a.example\"\n  - \"b.example\"\nlisten: \n  - \n    port: 5222\n    \
ip: 127.0.0.1\n    module: ejabberd_c2s\n    starttls: true\n  - \n    port: 5223\n    \
ip: \"::\"\n    module: ejabberd_c2s\n    tls: true\n  - \n    port: \"unix:/tmp/x.sock\"\n    \
module: ejabberd_http\n  - \n    port: 3478\n    transport: udp\n    module: ejabberd_stun\n\
host_config: \n  \"b.example\": \n    auth_method: \n      - ldap\n      - mnesia\n    \
modules: \n      mod_last: []\nappend_host_config: \n  \"a.example\": \n    modules: \n      \
mod_mam: \n        default: always\nmodules: \n  mod_last: []\n  mod_muc: \n    \
max_users: 200\n    default_room_options: \n      members_only: true\n      \
presence_broadcast: \n        - moderator\n        - visitor\n      title: \"a b\"\n";

    #[test]
    fn a_dumped_configuration_gives_the_results_of_the_functions() {
        let config = Config::read(DUMPED).unwrap();
        let list = |names: &[&str]| Value::List(names.iter().map(|name| atom(name)).collect());
        let pair = |name: &str, value| Value::Tuple(vec![atom(name), value]);
        for (host, module, loaded) in [
            ("a.example", "mod_muc", "true"),
            ("a.example", "mod_mam", "true"),
            ("a.example", "mod_roster", "false"),
            ("b.example", "mod_last", "true"),
            // The modules of a host replace the modules of the server.
            ("b.example", "mod_muc", "false"),
            ("b.example", "mod_mam", "false"),
        ] {
            assert_eq!(config.is_loaded(host, module), atom(loaded), "{host} {module}");
        }
        assert_eq!(config.auth_method("a.example"), list(&["mnesia"]));
        assert_eq!(config.auth_method("b.example"), list(&["ldap", "mnesia"]));
        assert_eq!(config.archive_default("a.example"), atom("always"));
        assert_eq!(config.archive_default("b.example"), atom("never"));
        assert_eq!(config.language(), Value::Text("en".into()));
        let texts = ["moderator", "visitor"].map(|word| Value::Text(word.into()));
        assert_eq!(
            config.default_room_options("a.example"),
            Value::List(vec![
                pair("members_only", atom("true")),
                pair("presence_broadcast", Value::List(texts.into())),
                pair("title", Value::Text("a b".into())),
            ])
        );
        let sql = Config::read("default_db: sql\n").unwrap();
        assert_eq!(sql.auth_method("a.example"), list(&["sql"]));
    }

    #[test]
    fn listeners_are_terms_as_the_server_has_them() {
        let Value::List(found) = Config::read(DUMPED).unwrap().listen() else { panic!() };
        let shown: Vec<String> = found.iter().map(|item| format!("{item:?}")).collect();
        assert_eq!(found.len(), 3, "{shown:#?}");
        assert!(shown[0].contains("Int(5222)") && shown[0].contains("Int(127)"), "{}", shown[0]);
        assert!(shown[0].contains(r#"Tuple([Atom("starttls"), Atom("true")])"#), "{}", shown[0]);
        assert_eq!(shown[1].matches("Int(0)").count(), 8, "{}", shown[1]);
        assert!(shown[2].contains(r#"Atom("udp")"#), "{}", shown[2]);
    }
}
