//! Tests which values are masked, and which values are shown.

use super::*;

fn shown_of(yaml: &str) -> String {
    let value = Value::of_text(yaml.as_bytes()).unwrap_or_else(|| panic!("{yaml}"));
    let lines: Vec<String> = Masker::new().lines(&value).iter().map(|line| shown(line).0).collect();
    lines.join("\n")
}

#[test]
fn a_secret_is_masked_in_every_position() {
    for yaml in [
        "sql_password: hunter2",
        "SQL_PASSWORD: hunter2",
        "ldap_password: \"hunter2\"",
        "redis_password: 'hunter2'",
        "jwt_key: {kty: oct, k: hunter2}",
        "modules: {mod_stun_disco: {secret: hunter2}}",
        "modules: {mod_x: {shared_secret: [a, {b: hunter2}]}}",
        "sql_server: \"DRIVER=FreeTDS;SERVER=db;UID=u;PWD=hunter2;PORT=1\"",
        "sql_server: \"DSN=x; pwd = {hunter2;}\"",
        "url: \"postgres://ejabberd:hunter2@db/x\"",
        "url: \"https://u:p@hunter2@example.org/\"",
        "redis_server: \"u:hunter2@localhost\"",
        "url: \"https://example.org/?access_token=hunter2&x=1\"",
        "extauth_program: \"/usr/bin/auth --db hunter2\"",
        "captcha_cmd: \"/bin/captcha --password hunter2\"",
        "captcha_cmd: \"/bin/captcha --api-key=hunter2\"",
        "header: \"Authorization: Basic hunter2\"",
        "header: \"Bearer hunter2\"",
        "define_macro: {DB: hunter2}",
        "define_macro: [{DB: [hunter2]}, {E: {x: hunter2}}]",
        "define_keyword: {ANY: \"hunter2\"}",
        "host_config: {a.example: {auth_opts: [hunter2]}}",
        "host_config: {a.example: {sql_password: hunter2}}",
        "listen: [{port: 1, hosts: {irc.example: {password: hunter2}}}]",
        "listen:\n  - module: ejabberd_service\n    password: hunter2",
        "? \"pg://u:hunter2@db\"\n: 1",
        "anything: \"-----BEGIN PRIVATE KEY-----hunter2\"",
        "anything: eyJhbGciOihunter2.x.y",
        "a: &p {password: hunter2}\nb: *p",
        "note: \"the password\\tis hunter2\"",
        "credentials: hunter2",
        "erlang_cookie: hunter2",
        "turn_credentials: {user: hunter2}",
        "passwords: [hunter2, hunter2]",
        "x: # hunter2\n  1",
    ] {
        let shown = shown_of(yaml);
        assert!(!shown.contains("hunter2"), "{yaml}\n{shown}");
    }
    let random = shown_of(
        "mod_push: {id: Zm9vYmFyYmF6cXV4MTIzNDU2}\nother: 00112233445566778899aabbccddeeff",
    );
    assert!(!random.contains("Zm9v") && !random.contains("0011"), "{random}");
    assert!(!shown_of("sql_password: 12345").contains("12345"));
    assert!(!shown_of("define_macro: {PIN: 12345}").contains("12345"));
}

#[test]
fn other_values_are_shown_as_in_the_file() {
    let yaml = "hosts: [a.example]\nauth_method: [mnesia, sql]\nauth_password_format: scram\nloglevel: info\nlisten:\n  - port: 5222\n    ip: \"127.0.0.1\"\n    tls: true\n    ciphers: \"HIGH:!aNULL:ECDHE-ECDSA-AES256-GCM-SHA384\"\n    request_handlers: {/api: mod_http_api}\nmodules:\n  mod_muc: {default_room_options: {password_protected: false}}\n  mod_ping: {}\nlanguage: \"yes\"\ncertfiles: [/etc/ejabberd/certificates/smoothcurves.nexus/fullchain.pem]\n";
    let shown = shown_of(yaml);
    assert_eq!(
        shown,
        "hosts:\n  - a.example\nauth_method:\n  - mnesia\n  - sql\nauth_password_format: scram\nloglevel: info\nlisten:\n  - port: 5222\n    ip: 127.0.0.1\n    tls: true\n    ciphers: \"HIGH:!aNULL:ECDHE-ECDSA-AES256-GCM-SHA384\"\n    request_handlers:\n      /api: mod_http_api\nmodules:\n  mod_muc:\n    default_room_options:\n      password_protected: false\n  mod_ping: {}\nlanguage: \"yes\"\ncertfiles:\n  - /etc/ejabberd/certificates/smoothcurves.nexus/fullchain.pem"
    );
}

#[test]
fn a_text_cannot_forge_the_sign() {
    let shown = shown_of("a: \"x\\u0001hidden\\u0001y\"\nb: [\"\\u0001\"]");
    assert!(shown.contains("hidden"), "{shown}");
}
