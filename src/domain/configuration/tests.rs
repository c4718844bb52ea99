//! Tests of the reader with configurations in the form that ejabberd prints. `tests/configuration.rs`
//! tests on real servers that ejabberd prints this form, with macros and included files expanded.

use super::*;

fn read(text: &str) -> Configuration {
    let json = Configuration::from_json(text.as_bytes());
    json.unwrap_or_else(|_| Configuration::from_dump(text.as_bytes()).unwrap())
}

fn listeners(text: &str) -> String {
    match read(text).listeners() {
        Ok(found) => {
            found.iter().map(|l| format!("{l} {:?}", l.address)).collect::<Vec<_>>().join("; ")
        }
        Err(why) => why,
    }
}

#[test]
fn the_offline_check_and_dump_config_are_read_alike() {
    let dump = "hosts: \n  - \"a.example\"\nlisten: \n  - \n    port: 5222\n    ip: \"::\"\n    \
                module: ejabberd_c2s\n    starttls: true\nmodules: \n  mod_last: []\n";
    let json = r#"{"hosts":["a.example"],"listen":[{"port":5222,"ip":"::","module":"ejabberd_c2s","starttls":true}],"modules":{"mod_last":[]}}"#;
    assert_eq!(
        Configuration::from_dump(dump.as_bytes()).unwrap(),
        Configuration::from_json(json.as_bytes()).unwrap()
    );
}

#[test]
fn listeners_of_each_kind_are_read() {
    for (entry, expected) in [
        ("{port: 5222, module: ejabberd_c2s}", "the ejabberd_c2s on port 5222 Port(0.0.0.0:5222)"),
        (
            "{port: 5222, ip: '::', module: ejabberd_c2s}",
            "the ejabberd_c2s on port 5222 Port([::]:5222)",
        ),
        ("{port: 1, ip: '[::1]', module: c}", "the c on port 1 Port([::1]:1)"),
        (
            "{port: 'unix:/run/a b', module: ejabberd_http}",
            "the ejabberd_http on a unix socket Unix(\"/run/a b\")",
        ),
        (
            "{port: 3478, transport: udp, module: ejabberd_stun}",
            "the ejabberd_stun on port 3478 Port(0.0.0.0:3478)",
        ),
        ("{port: 70000, module: c}", "entry 1 of `listen` has a `port` above 65535"),
        ("{port: -1, module: c}", "entry 1 of `listen` has a `port` above 65535"),
        (
            "{port: 5000-5010, module: c}",
            "entry 1 of `listen` has a `port` that is neither a number nor `unix:PATH`",
        ),
        (
            "{port: [1], module: c}",
            "entry 1 of `listen` has a `port` that is neither a number nor `unix:PATH`",
        ),
        ("{port: 1, ip: X, module: c}", "entry 1 of `listen` has an `ip` that is not an address"),
        (
            "{port: 1, transport: sctp, module: c}",
            "entry 1 of `listen` has a `transport` that is neither `tcp` nor `udp`",
        ),
        ("{port: 1}", "entry 1 of `listen` names no module"),
        ("{module: c}", "entry 1 of `listen` has no `port`"),
        ("5", "entry 1 of `listen` names no module"),
    ] {
        assert_eq!(listeners(&format!("listen: [{entry}]")), expected);
    }
    assert_eq!(listeners("listen: 5"), "`listen` is not a list");
    assert_eq!(listeners("listen: "), "");
    assert_eq!(listeners("hosts: [a]"), "");
    let second = "listen: [{port: 1, module: c}, {port: X, module: c}]";
    assert!(listeners(second).starts_with("entry 2 of `listen`"), "{}", listeners(second));
}

#[test]
fn listener_options_accept_each_spelling_of_a_truth_value() {
    for (word, expected) in [
        ("true", Some(true)),
        ("on", Some(true)),
        ("yes", Some(true)),
        ("y", Some(true)),
        ("false", Some(false)),
        ("off", Some(false)),
        ("no", Some(false)),
        ("n", Some(false)),
        ("maybe", None),
        ("1", None),
        ("[]", None),
    ] {
        let config = read(&format!("tls: {word}"));
        assert_eq!(config.get("tls").and_then(Value::truth), expected, "{word}");
    }
    let config = read(
        "listen: [{port: 1, module: c, tls: yes, use_proxy_protocol: off, request_handlers: {/a: b}}]",
    );
    let listeners = config.listeners().unwrap();
    assert!(listeners[0].speaks_tls() && !listeners[0].is_proxied());
    assert_eq!(listeners[0].handlers(), Some(vec![("/a", "b")]));
}

#[test]
fn options_of_a_host_override_options_of_the_server() {
    let config = read(
        "hosts: [A.example, b.example, c.example]\nauth_method: mnesia\nsql_type: pgsql\n\
         modules: {mod_muc: {max_users: 1}, mod_last: []}\n\
         host_config: {b.example: {auth_method: [ldap, sql], sql_server: db.example, modules: {mod_ping: []}}}\n\
         append_host_config: {C.example: {modules: {mod_mam: {default: always}}, auth_method: [anonymous]}}\n",
    );
    assert_eq!(config.hosts(), ["a.example", "b.example", "c.example"]);
    let names = |host: &str| {
        let modules = config.modules(host).unwrap();
        modules.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("a.example"), "mod_muc mod_last");
    assert_eq!(names("b.example"), "mod_ping");
    assert_eq!(names("c.example"), "mod_muc mod_last mod_mam");
    assert_eq!(config.auth_methods("a.example"), ["mnesia"]);
    assert_eq!(config.auth_methods("b.example"), ["ldap", "sql"]);
    assert_eq!(config.auth_methods("c.example"), ["mnesia", "anonymous"]);
    assert!(config.module("c.example", "mod_muc").unwrap().get("max_users").is_some());
    assert!(read("modules: 5").modules("a").is_none());
}

#[test]
fn the_store_of_accounts_names_the_database_and_no_password() {
    let store = |text: &str| {
        let store = read(text).account_store("h");
        store.backends.iter().map(Backend::to_string).collect::<Vec<_>>().join(" and ")
    };
    for (text, expected) in [
        ("", "ejabberd's own database"),
        ("default_db: sql", "the SQL database (odbc) at localhost"),
        ("default_db: redis", "ejabberd's own database"),
        ("default_db: sql\nauth_method: mnesia", "ejabberd's own database"),
        (
            "auth_method: [sql]\nsql_type: pgsql\nsql_server: db\nsql_database: e\nsql_password: s3cret",
            "the SQL database `e` (pgsql) at db:5432",
        ),
        (
            "auth_method: sql\nsql_type: mysql\nsql_port: 3307\nhost_config: {h: {sql_database: mine}}",
            "the SQL database `mine` (mysql) at localhost:3307",
        ),
        (
            "auth_method: sql\nsql_server: 'DSN=chat;UID=me;PWD=s3cret'",
            "the SQL database (odbc) at DSN=chat",
        ),
        (
            "auth_method: [ldap, mnesia]\nldap_servers: [a, b]\nldap_base: dc=x\nldap_password: s3cret",
            "the LDAP directory dc=x at a, b and ejabberd's own database",
        ),
        ("auth_method: external", "`external`"),
    ] {
        assert_eq!(store(text), expected, "{text}");
        assert!(!format!("{:?}", read(text).account_store("h")).contains("s3cret"));
    }
    assert_eq!(format!("{:?}", read("sql_password: s3cret")), "Configuration[\"sql_password\"]");
}

#[test]
fn keywords_are_replaced_where_they_are_used() {
    let config = read(
        "define_keyword: {PORT: 5222, NAME: abc, LIST: [x, y]}\nhosts: ['@NAME@.example']\n\
         listen: [{port: PORT, module: c}]\nfqdn: LIST\nlanguage: '@OTHER@ @PORT@'\n",
    );
    assert_eq!(config.hosts(), ["abc.example"]);
    assert_eq!(config.listeners().unwrap()[0].at().unwrap().port(), 5222);
    assert_eq!(config.get("fqdn").unwrap().elements().len(), 2);
    assert_eq!(config.get("language").and_then(Value::text), Some("@OTHER@ @PORT@"));
    // Keywords that refer to each other do not let the string grow without limit.
    let many: Vec<String> = (0..40).map(|n| format!("K{n}: '@K{}@@K{}@'", n + 1, n + 1)).collect();
    let bomb = read(&format!("define_keyword: {{{}}}\nlanguage: '@K0@'", many.join(", ")));
    assert!(bomb.get("language").unwrap().text().unwrap().len() <= 64 << 10);
}

#[test]
fn an_invalid_configuration_is_refused_with_a_plain_message() {
    let errors = [
        Configuration::from_json(b"[1]"),
        Configuration::from_json(b"{"),
        Configuration::from_json(b"{\"a\":1} x"),
        Configuration::from_json(&[b'[', 0xff]),
        Configuration::from_json("[".repeat(100_000).as_bytes()),
        Configuration::from_dump(b"hosts: ["),
        Configuration::from_dump(b"5"),
        Configuration::from_dump("[".repeat(100_000).as_bytes()),
        Configuration::from_dump(&vec![b'#'; MAX_BYTES + 1]),
        Configuration::from_json(&vec![b' '; MAX_BYTES + 1]),
    ];
    for error in errors {
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("read the configuration: "), "{error}");
        assert!(!error.contains("expected") && !error.contains("invalid"), "{error}");
    }
    assert_eq!(read("{}").hosts(), Vec::<String>::new());
}

#[test]
fn a_repeated_key_in_the_output_of_the_check_is_read() {
    let config = read(r#"{"acl":{"a":{"user":"b","user":"c"}}}"#);
    assert_eq!(config.get("acl").unwrap().get("a").unwrap().entries().unwrap().len(), 2);
}

#[test]
fn a_preview_is_only_possible_without_macros_and_included_files() {
    let hosts = |text: &str| Configuration::of_plain_text(text.as_bytes()).map(|c| c.hosts());
    assert_eq!(hosts("hosts: [a]"), Some(vec!["a".to_owned()]));
    assert_eq!(hosts("# nothing"), Some(Vec::new()));
    for text in [
        "define_macro: {H: a}\nhosts: [H]",
        "hosts: [a]\ninclude_config_file: x.yml",
        "hosts: [a]\nhosts: [b]",
        "acl: {a: {user: b, user: c}}",
        "hosts: [a]\n---\nhosts: [b]",
        "[hosts]",
        "hosts: {",
    ] {
        assert_eq!(hosts(text), None, "{text}");
    }
}

#[test]
fn included_files_are_read_in_each_form() {
    for (text, expected) in [
        ("hosts: [a]", &[][..]),
        ("include_config_file: a.yml", &["a.yml"]),
        ("include_config_file: [a.yml, /b.yml]", &["a.yml", "/b.yml"]),
        ("include_config_file: {a.yml: {disallow: [x]}, b.yml: {}}", &["a.yml", "b.yml"]),
        ("include_config_file: [a.yml, {b.yml: {allow_only: [x]}}]", &["a.yml", "b.yml"]),
    ] {
        assert_eq!(Value::of_text(text.as_bytes()).unwrap().included_files(), expected, "{text}");
    }
}
