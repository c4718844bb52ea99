//! Items that the text of the configuration answers.

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
        (|e| text(e, "a: [b"), "web_handlers", Unknown, "failed to read the configuration"),
        (|e| text(e, "- a\n"), "web_handlers", Unknown, "failed to read the configuration"),
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
        (
            |e| config(e, "loglevel:", "host_config: { a: { modules: {} } }\nloglevel:"),
            "rooms_members_only",
            Unknown,
            "`host_config`",
        ),
    ]);
}
