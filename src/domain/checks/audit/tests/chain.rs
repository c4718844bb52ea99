//! Tests of the items about the chain from nginx through the MCP server to the operator.

use super::*;
use crate::domain::messaging::JidPattern;
use crate::domain::model::Vhost;
use crate::domain::nginx::{SourceFile, parse, routes};

const SITE: &str = include_str!("../../../../../manifests/nginx/ejabberd-operator.conf");
const MCP: &str =
    include_str!("../../../../../manifests/nginx/snippets/ejabberd-operator-mcp.conf");
const PAGE: &str =
    include_str!("../../../../../manifests/nginx/snippets/ejabberd-operator-page.conf");
const SERVER: &str =
    include_str!("../../../../../manifests/nginx/snippets/ejabberd-operator-server.conf");

fn nginx(e: &mut Evidence, text: &str) {
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
    let read = &mut |pattern: &str| {
        let found = [("mcp", MCP), ("page", PAGE), ("server", SERVER)];
        let found = found.iter().find(|(name, _)| pattern.ends_with(&format!("-{name}.conf")));
        found.map(|(_, text)| vec![file(pattern, text)]).ok_or_else(|| pattern.to_owned())
    };
    let directives = parse(&file("nginx.conf", text), read).unwrap();
    e.nginx = Reading::Known(Some(routes(&directives)));
}

/// A site with TLS for other hosts, and one location.
fn location(e: &mut Evidence, location: &str) {
    nginx(
        e,
        &format!("http {{ server {{ listen 443 ssl; server_name chat; location {location} }} }}"),
    );
}

fn client(e: &mut Evidence, act_as: &str, token: TokenEvidence) {
    let act_as = vec![JidPattern::new(act_as, &Vhost::new("a").unwrap()).unwrap()];
    e.clients = vec![ClientEvidence { name: "nexus".into(), act_as, token: Reading::Known(token) }];
}

fn token(length: usize, different: usize) -> TokenEvidence {
    TokenEvidence { length, different, ..TokenEvidence::default() }
}

/// With a client, the item about the MCP server judges the sockets.
fn mcp(e: &mut Evidence, host: &[(&str, u32)]) {
    client(e, "bot@a", token(64, 16));
    e.host = Reading::Known(sockets(host));
}

#[test]
fn the_routes_of_nginx_are_judged() {
    const NAME: &str = "nginx_routes";
    table(&[
        (|e| nginx(e, &format!("http {{ {SITE} {PAGE} }}")), NAME, Passes, "2 routes"),
        (|e| nginx(e, "http { }"), NAME, Passes, "no route"),
        (|e| e.nginx = Reading::Known(None), NAME, Passes, "no nginx"),
        (|e| e.nginx = no(), NAME, Unknown, "it hid"),
        (
            |e| {
                location(e, "/ { proxy_pass http://localhost; }");
                e.configuration = no();
            },
            NAME,
            Unknown,
            "it hid",
        ),
        (
            |e| {
                location(e, "/api { proxy_pass http://127.0.0.1:5280; }");
                bridge(e, &["127.0.0.1:5222"], &[]);
            },
            NAME,
            Passes,
            "no route",
        ),
        (
            |e| {
                location(e, "/api { proxy_pass http://127.0.0.1:5290; }");
                bridge(e, &["127.0.0.1:5290"], &[]);
            },
            NAME,
            Fails,
            "leads to ejabberd at port 5290",
        ),
        (
            |e| location(e, "/api { proxy_pass http://127.0.0.1:5280; }"),
            NAME,
            Fails,
            "location /api of chat leads to ejabberd at port 5280 (nginx.conf:1)",
        ),
        (|e| location(e, "/ { proxy_pass http://localhost:3444; }"), NAME, Fails, "the MCP server"),
        (
            |e| location(e, "/mcp { proxy_pass http://localhost:3444; }"),
            NAME,
            Fails,
            "the MCP server",
        ),
        (|e| location(e, "= /mcp { proxy_pass http://localhost:3444; }"), NAME, Passes, "1 route"),
        (
            |e| location(e, "= /mcp { proxy_pass http://localhost:3444/mcp; }"),
            NAME,
            Passes,
            "1 route",
        ),
        (
            |e| location(e, "= /mcp { proxy_pass http://localhost:3444/x; }"),
            NAME,
            Fails,
            "location = /mcp",
        ),
    ]);
}

#[test]
fn routes_need_tls_or_loopback_and_the_page_needs_a_list_of_addresses() {
    const NAME: &str = "nginx_routes";
    table(&[
        // Another port of the MCP server.
        (|e| location(e, "= /mcp { proxy_pass http://localhost:9/mcp; }"), NAME, Passes, "1 route"),
        (
            |e| {
                nginx(
                    e,
                    "http { server { location = /mcp { proxy_pass http://localhost:3444; } } }",
                )
            },
            NAME,
            Fails,
            "a server without a name leads to the MCP server",
        ),
        (
            |e| {
                nginx(
                    e,
                    "http { server { listen 127.0.0.1:80; location = /mcp { proxy_pass http://localhost:3444; } } }",
                )
            },
            NAME,
            Passes,
            "1 route",
        ),
        (
            |e| location(e, "/ { proxy_pass http://[::1]:9565; }"),
            NAME,
            Fails,
            "the page of the operator",
        ),
        (
            |e| location(e, "/ { allow 192.0.2.1; deny all; proxy_pass http://[::1]:9565; }"),
            NAME,
            Passes,
            "1 route",
        ),
        (
            |e| {
                nginx(
                    e,
                    "http { server { listen 80; deny all; location / { proxy_pass http://[::1]:9565; } } }",
                )
            },
            NAME,
            Fails,
            "the page",
        ),
        (
            |e| {
                nginx(
                    e,
                    "stream { upstream x { server 10.0.0.1:5; server 127.0.0.1:5222; } server { listen 5223; proxy_pass x; } }",
                )
            },
            NAME,
            Fails,
            "leads to ejabberd at port 5222",
        ),
        (
            |e| location(e, "/ { proxy_pass http://unix:/run/ejabberd-operator/messaging.sock; }"),
            NAME,
            Fails,
            "/run/ejabberd-operator/messaging.sock",
        ),
        (|e| location(e, "/ { proxy_pass http://$arg_host; }"), NAME, Unknown, "http://$arg_host"),
        (
            |e| location(e, "/ { proxy_pass http://backend:5280; }"),
            NAME,
            Unknown,
            "backend:5280, which may be this host",
        ),
        (|e| location(e, "/ { proxy_pass http://backend:8000; }"), NAME, Passes, "no route"),
        (
            |e| location(e, "= /mcp { rewrite ^ /x break; proxy_pass http://localhost:3444; }"),
            NAME,
            Fails,
            "location = /mcp",
        ),
        (
            |e| location(e, "/ { satisfy any; deny all; proxy_pass http://[::1]:9565; }"),
            NAME,
            Fails,
            "the page",
        ),
        // Programs that have nothing to do with the server.
        (
            |e| {
                location(
                    e,
                    "/ { proxy_pass http://127.0.0.1:8080; } location /b { fastcgi_pass unix:/run/php.sock; }",
                )
            },
            NAME,
            Passes,
            "no route",
        ),
    ]);
}

#[test]
fn the_address_of_the_mcp_server_is_judged() {
    const NAME: &str = "mcp_loopback";
    table(&[
        (|e| e.host = no(), NAME, Passes, "no messaging client"),
        (|e| mcp(e, &[("127.0.0.1:3444", 7)]), NAME, Passes, "127.0.0.1:3444"),
        (|e| mcp(e, &[("[::1]:3444", 7)]), NAME, Passes, "[::1]:3444"),
        (|e| mcp(e, &[("127.0.0.1:3444", 7), ("0.0.0.0:3444", 8)]), NAME, Fails, "0.0.0.0:3444"),
        (|e| mcp(e, &[("192.0.2.1:3444", 7)]), NAME, Fails, "192.0.2.1:3444"),
        (|e| mcp(e, &[("0.0.0.0:22", 7)]), NAME, Passes, "port 3444"),
        (
            |e| {
                mcp(e, &[("0.0.0.0:4000", 7)]);
                location(e, "= /mcp { proxy_pass http://localhost:4000/mcp; }");
            },
            NAME,
            Fails,
            "0.0.0.0:4000",
        ),
        (
            |e| {
                mcp(e, &[]);
                e.host = no();
            },
            NAME,
            Unknown,
            "it hid",
        ),
        (
            |e| {
                mcp(e, &[]);
                e.nginx = no();
            },
            NAME,
            Unknown,
            "it hid",
        ),
    ]);
}

#[test]
fn tokens_and_accounts_of_clients_are_judged() {
    const TOKENS: &str = "messaging_tokens";
    const ACT_AS: &str = "messaging_act_as";
    table(&[
        (|e| client(e, "bot@a", token(64, 16)), TOKENS, Passes, "1 client"),
        (|e| client(e, "bot@a", token(31, 16)), TOKENS, Fails, "`nexus`: the token has 31"),
        (|e| client(e, "bot@a", token(64, 7)), TOKENS, Fails, "7 different"),
        (
            |e| {
                let shared_with = Some("other".into());
                client(e, "bot@a", TokenEvidence { shared_with, ..token(64, 16) });
            },
            TOKENS,
            Fails,
            "`other` has the same token",
        ),
        (
            |e| {
                let exposure = Some("every account can read it".into());
                client(e, "bot@a", TokenEvidence { exposure, ..token(64, 16) });
            },
            TOKENS,
            Fails,
            "every account can read it",
        ),
        (
            |e| {
                client(e, "bot@a", token(64, 16));
                e.clients[0].token = no();
            },
            TOKENS,
            Unknown,
            "`nexus`: it hid",
        ),
        (|e| e.clients.clear(), ACT_AS, Passes, "no messaging client"),
        (|e| client(e, "bot@a", token(64, 16)), ACT_AS, Passes, "no client"),
        (|e| client(e, "agent-*@a", token(64, 16)), ACT_AS, Passes, "no client"),
        (|e| client(e, "*@a", token(64, 16)), ACT_AS, Fails, "`nexus`: *@a"),
        (|e| client(e, "**@*", token(64, 16)), ACT_AS, Fails, "**@*"),
    ]);
}
