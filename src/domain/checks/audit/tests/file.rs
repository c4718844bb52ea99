//! Tests the items about the content of the configuration.

use super::*;

#[test]
fn only_harmless_handlers_pass() {
    table(&[
        (|_| (), "web_handlers", Passes, "/api: mod_http_api"),
        (|e| text(e, "hosts: [a]\n"), "web_handlers", Passes, "nothing is served"),
        (
            |e| {
                config(
                    e,
                    "/api: mod_http_api",
                    "/api: mod_http_api\n      /admin: ejabberd_web_admin",
                )
            },
            "web_handlers",
            Fails,
            "/admin: ejabberd_web_admin in the ejabberd_http on port 5280",
        ),
        // A handler from `HANDLERS` fails at any path, and a path from `PATHS` fails with any
        // handler.
        (
            |e| handlers(e, "request_handlers: { /a/b: ejabberd_http_ws }"),
            "web_handlers",
            Fails,
            "/a/b",
        ),
        (|e| handlers(e, "request_handlers: { /ws: mod_http_api }"), "web_handlers", Fails, "/ws"),
        (
            |e| handlers(e, "request_handlers: { /new: mod_register_web, /c: ejabberd_captcha }"),
            "web_handlers",
            Fails,
            "ejabberd_captcha",
        ),
        (|e| handlers(e, "web_admin: true"), "web_handlers", Fails, "`web_admin` in"),
        (|e| handlers(e, "web_admin: false"), "web_handlers", Passes, ""),
        (
            |e| handlers(e, "request_handlers: { /x: mod_mine }"),
            "web_handlers",
            Unknown,
            "mod_mine in the ejabberd_http on port 5280 is not known",
        ),
        (|e| handlers(e, "request_handlers: 5"), "web_handlers", Unknown, "not understood"),
        (
            |e| text(e, "listen: [{ port: 4560, module: ejabberd_xmlrpc }]"),
            "web_handlers",
            Fails,
            "ejabberd_xmlrpc",
        ),
        (|e| text(e, "listen: [{ port: HTTP }]"), "web_handlers", Unknown, "entry 1 of `listen`"),
        // ejabberd replaces a macro by its value, and the value is unknown here.
        (|e| handlers(e, "request_handlers: HANDLERS"), "web_handlers", Unknown, "not understood"),
        (
            |e| handlers(e, "request_handlers: { /x: A_MODULE }"),
            "web_handlers",
            Unknown,
            "A_MODULE",
        ),
        (
            |e| text(e, "listen: [{ port: 5222, module: CLIENTS }]"),
            "starttls_file",
            Unknown,
            "entry 1 of `listen`",
        ),
        // The handler for the control script passes only on a Unix socket.
        (
            |e| {
                text(
                    e,
                    "listen: [{ port: 'unix:/s', module: ejabberd_http, request_handlers: { /ctl: ejabberd_ctl } }]",
                )
            },
            "web_handlers",
            Passes,
            "/ctl: ejabberd_ctl in the ejabberd_http on a unix socket",
        ),
        (
            |e| handlers(e, "request_handlers: { /ctl: ejabberd_ctl }"),
            "web_handlers",
            Fails,
            "/ctl: ejabberd_ctl in the ejabberd_http on port 5280",
        ),
    ]);
}

#[test]
fn every_listener_for_clients_must_demand_tls() {
    table(&[
        (|_| (), "starttls_file", Passes, "starttls_required: true"),
        (|e| clients(e, ", tls: true"), "starttls_file", Passes, "tls: true"),
        (|e| clients(e, ", starttls_required: yes"), "starttls_file", Passes, ""),
        (|e| clients(e, ", starttls: true"), "starttls_file", Fails, "on port 5222 has neither"),
        (|e| clients(e, ", starttls_required: false"), "starttls_file", Fails, "5222"),
        (
            |e| clients(e, ", starttls_required: MAYBE"),
            "starttls_file",
            Unknown,
            "neither true nor",
        ),
        (|_| (), "starttls_wire", Passes, "127.0.0.1:5222: <starttls/> is <required/>"),
        (
            |e| e.wire = wire("127.0.0.1:5222", false, OFFERED),
            "starttls_wire",
            Fails,
            "does not demand it",
        ),
        (
            |e| e.wire = wire("127.0.0.1:5222", false, "<stream:features/>"),
            "starttls_wire",
            Fails,
            "does not offer TLS",
        ),
        (
            |e| e.wire = wire("127.0.0.1:1", false, "HTTP/1.1"),
            "starttls_wire",
            Unknown,
            "does not respond",
        ),
        (
            |e| {
                e.wire = wire(
                    "127.0.0.1:1",
                    false,
                    "<stream:stream><stream:error><host-unknown xmlns='x'/></stream:error>",
                );
            },
            "starttls_wire",
            Unknown,
            "rejects a client with host-unknown",
        ),
        (|e| e.wire = wire("127.0.0.1:5223", true, ""), "starttls_wire", Passes, "first byte"),
        (
            |e| e.wire = wire("127.0.0.1:5223", true, REQUIRED),
            "starttls_wire",
            Fails,
            "without TLS",
        ),
        (|e| e.wire = Reading::Known(Vec::new()), "starttls_wire", Passes, "no listener"),
    ]);
}

#[test]
fn new_rooms_must_be_members_only_on_every_host() {
    table(&[
        (|_| (), "rooms_members_only", Passes, "members_only: true"),
        (
            |e| config(e, "members_only: true", "members_only: false"),
            "rooms_members_only",
            Fails,
            "members_only: false",
        ),
        (
            |e| config(e, "members_only: true", "logging: true"),
            "rooms_members_only",
            Fails,
            "default is false",
        ),
        (|e| text(e, "modules: { mod_muc: {} }"), "rooms_members_only", Fails, "default is false"),
        (|e| text(e, "modules: { mod_ping: {} }"), "rooms_members_only", Passes, "not loaded"),
        (|e| text(e, "modules: { mod_muc: [a] }"), "rooms_members_only", Unknown, "not understood"),
        // `host_config` can replace the modules of a host, or add modules to the host.
        (
            |e| {
                text(
                    e,
                    "hosts: [a, b]\nmodules: {}\nhost_config: { b: { modules: { mod_muc: {} } } }",
                )
            },
            "rooms_members_only",
            Fails,
            "b: default_room_options does not set",
        ),
        (
            |e| {
                text(
                    e,
                    "hosts: [a, b]\nmodules: { mod_muc: {} }\nhost_config: { a: { modules: {} }, b: { modules: {} } }",
                )
            },
            "rooms_members_only",
            Passes,
            "not loaded",
        ),
        (
            |e| text(e, "hosts: [a]\nappend_host_config: { a: { modules: { mod_muc: {} } } }"),
            "rooms_members_only",
            Fails,
            "default is false",
        ),
    ]);
}

#[test]
fn a_log_with_stanzas_fails() {
    table(&[
        (|_| (), "log_level", Passes, "loglevel: info"),
        (|e| text(e, "hosts: [a]\n"), "log_level", Passes, "default is info"),
        (|e| config(e, "loglevel: info", "loglevel: debug"), "log_level", Fails, "loglevel: debug"),
        (|e| config(e, "loglevel: info", "loglevel: 5"), "log_level", Fails, "loglevel: 5"),
        (|e| config(e, "loglevel: info", "loglevel: '5'"), "log_level", Fails, "loglevel: 5"),
        (|e| config(e, "loglevel: info", "loglevel: 4"), "log_level", Passes, "loglevel: 4"),
        (|e| config(e, "loglevel: info", "loglevel: none"), "log_level", Passes, "none"),
        (|e| config(e, "loglevel: info", "loglevel: LEVEL"), "log_level", Unknown, "LEVEL"),
        (|e| config(e, "loglevel: info", "loglevel: [debug]"), "log_level", Unknown, "understood"),
        (
            |e| config(e, "loglevel: info", "loglevel: info\nlog_modules_fully: [ejabberd_auth]"),
            "log_level",
            Fails,
            "log_modules_fully: ejabberd_auth",
        ),
        (
            |e| config(e, "loglevel: info", "loglevel: info\nlog_modules_fully: []"),
            "log_level",
            Passes,
            "loglevel: info",
        ),
        (|e| e.configuration = no(), "log_level", Unknown, "it hid"),
    ]);
    // The item fails, but `broken_promise` accepts the log level `debug`, so that an administrator
    // can debug a server with the variant `hardened`.
    let debug = HARDENED.replace("loglevel: info", "loglevel: debug");
    assert_eq!(broken_promise(&Configuration::from_dump(debug.as_bytes()).unwrap()), None);
}
