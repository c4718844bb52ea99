//! Items that the configuration answers.

use super::*;

#[test]
fn web() {
    table(&[
        (|_| (), "web_handlers", Holds, "/api: mod_http_api"),
        (|e| text(e, "hosts: [a]\n"), "web_handlers", Holds, "nothing is served"),
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
        // By another path, and by the path of another.
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
        (|e| handlers(e, "web_admin: false"), "web_handlers", Holds, ""),
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
        // A macro is whatever it stands for.
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
        // The way in of the control script: fine for who may open a file.
        (
            |e| {
                text(
                    e,
                    "listen: [{ port: 'unix:/s', module: ejabberd_http, request_handlers: { /ctl: ejabberd_ctl } }]",
                )
            },
            "web_handlers",
            Holds,
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
fn starttls() {
    table(&[
        (|_| (), "starttls_file", Holds, "starttls_required: true"),
        (|e| clients(e, ", tls: true"), "starttls_file", Holds, "tls: true"),
        (|e| clients(e, ", starttls_required: yes"), "starttls_file", Holds, ""),
        (|e| clients(e, ", starttls: true"), "starttls_file", Fails, "on port 5222 has neither"),
        (|e| clients(e, ", starttls_required: false"), "starttls_file", Fails, "5222"),
        (
            |e| clients(e, ", starttls_required: MAYBE"),
            "starttls_file",
            Unknown,
            "neither true nor",
        ),
        (|_| (), "starttls_wire", Holds, "127.0.0.1:5222: <starttls/> is <required/>"),
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
            "does not answer",
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
            "turns a client away with host-unknown",
        ),
        (|e| e.wire = wire("127.0.0.1:5223", true, ""), "starttls_wire", Holds, "first byte"),
        (
            |e| e.wire = wire("127.0.0.1:5223", true, REQUIRED),
            "starttls_wire",
            Fails,
            "without TLS",
        ),
        (|e| e.wire = Reading::Known(Vec::new()), "starttls_wire", Holds, "no listener"),
    ]);
}

#[test]
fn rooms() {
    table(&[
        (|_| (), "rooms_members_only", Holds, "members_only: true"),
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
        (|e| text(e, "modules: { mod_ping: {} }"), "rooms_members_only", Holds, "not loaded"),
        (|e| text(e, "modules: { mod_muc: [a] }"), "rooms_members_only", Unknown, "not understood"),
        // `host_config` can replace the modules of a host, and add to them.
        (
            |e| {
                text(
                    e,
                    "hosts: [a, b]\nmodules: {}\nhost_config: { b: { modules: { mod_muc: {} } } }",
                )
            },
            "rooms_members_only",
            Fails,
            "b: default_room_options does not say",
        ),
        (
            |e| {
                text(
                    e,
                    "hosts: [a, b]\nmodules: { mod_muc: {} }\nhost_config: { a: { modules: {} }, b: { modules: {} } }",
                )
            },
            "rooms_members_only",
            Holds,
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
fn log() {
    table(&[
        (|_| (), "log_level", Holds, "loglevel: info"),
        (|e| text(e, "hosts: [a]\n"), "log_level", Holds, "default is info"),
        (|e| config(e, "loglevel: info", "loglevel: debug"), "log_level", Fails, "loglevel: debug"),
        (|e| config(e, "loglevel: info", "loglevel: 5"), "log_level", Fails, "loglevel: 5"),
        (|e| config(e, "loglevel: info", "loglevel: '5'"), "log_level", Fails, "loglevel: 5"),
        (|e| config(e, "loglevel: info", "loglevel: 4"), "log_level", Holds, "loglevel: 4"),
        (|e| config(e, "loglevel: info", "loglevel: none"), "log_level", Holds, "none"),
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
            Holds,
            "loglevel: info",
        ),
        (|e| e.configuration = no(), "log_level", Unknown, "it hid"),
    ]);
    // The item fails, and yet an hour of debugging breaks no promise of `hardened`.
    let debug = HARDENED.replace("loglevel: info", "loglevel: debug");
    assert_eq!(broken_promise(&Configuration::from_dump(debug.as_bytes()).unwrap()), None);
}
