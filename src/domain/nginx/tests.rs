use std::collections::BTreeMap;

use super::*;

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: text.to_owned() }
}

fn parsed(text: &str) -> Result<Vec<Directive>, String> {
    parse(&file("main", text), &mut |pattern| Err(format!("{pattern} was read")))
}

fn words(text: &str) -> Vec<Vec<String>> {
    parsed(text).unwrap().into_iter().map(|directive| directive.words).collect()
}

/// The words were compared with nginx 1.22, which sends a word as the body of `return 200 WORD`.
#[test]
fn words_are_read_as_nginx_reads_them() {
    let cases: [(&str, &[&str]); 13] = [
        (r"a b\;c;", &["a", r"b\;c"]),
        (r"a b\ c;", &["a", r"b\ c"]),
        (r#"a b'c"d;"#, &["a", r#"b'c"d"#]),
        ("a b;", &["a", "b"]),
        ("a\n  b # c; d {\n;", &["a", "b"]),
        ("a b#c;", &["a", "b#c"]),
        (r#"a "b ; { } # c";"#, &["a", "b ; { } # c"]),
        (r#"a 'b"c' "d'e";"#, &["a", "b\"c", "d'e"]),
        (r#"a "b\"c\\d\n";"#, &["a", "b\"c\\d\n"]),
        (r"a ~^\d+\.b$;", &["a", r"~^\d+\.b$"]),
        ("a ${b}c;", &["a", "${b}c"]),
        ("a b}c;", &["a", "b}c"]),
        ("a \"\";", &["a", ""]),
    ];
    for (text, expected) in cases {
        assert_eq!(words(text), [expected], "{text}");
    }
}

#[test]
fn errors_name_the_line() {
    for (text, error) in [
        ("a;\nb", "main:2: a `;` or `}` is missing"),
        ("a {\nb;\n", "main:3: a `}` is missing"),
        ("a;\n}", "main:2: an unexpected `}`"),
        ("a;\n;", "main:2: an unexpected `;`, `{` or `}`"),
        ("a {\n{ } }", "main:2: an unexpected `;`, `{` or `}`"),
        ("\na \"b\nc;", "main:2: the quoted text has no end"),
    ] {
        assert_eq!(parsed(text).unwrap_err(), error, "{text}");
    }
    let lua = parsed("a;\nx_by_lua_block { local a = {} }").unwrap_err();
    assert_eq!(lua, "main:2: a block of Lua cannot be read");
    assert!(parsed(&"a {".repeat(100)).unwrap_err().contains("nested"));
    assert!(parsed(&"a;".repeat(30_000)).unwrap_err().contains("directives"));
}

#[test]
fn included_files_take_the_place_of_the_directive() {
    let files = BTreeMap::from([
        ("sites/*", vec![file("one", "server { include two; }"), file("three", "c;")]),
        ("two", vec![file("two", "\nb;")]),
    ]);
    let main = file("main", "a;\nhttp { include sites/*; }");
    let read = &mut |pattern: &str| Ok(files[pattern].clone());
    let found = parse(&main, read).unwrap();
    let http = &found[1].block;
    assert_eq!(http[0].block[0].place, "two:2");
    assert_eq!((http[1].place.as_str(), http[1].name()), ("three:1", "c"));
    // A file that includes itself.
    let round = parse(&file("x", "include x;"), &mut |_| Ok(vec![file("x", "include x;")]));
    assert!(round.unwrap_err().contains("nested"));
}

fn only(text: &str) -> Route {
    let [route] = <[Route; 1]>::try_from(routes(&parsed(text).unwrap())).unwrap();
    route
}

#[test]
fn targets_are_found_in_every_form() {
    for (pass, expected) in [
        ("proxy_pass http://127.0.0.1:3444/mcp;", Target::Port(3444)),
        ("proxy_pass http://localhost;", Target::Port(80)),
        ("proxy_pass HTTP://[::1]:5280/;", Target::Port(5280)),
        ("proxy_pass http://[::ffff:127.0.0.1]:5280;", Target::Port(5280)),
        ("grpc_pass 127.0.0.2:5280;", Target::Port(5280)),
        ("fastcgi_pass 0.0.0.0:9000;", Target::Port(9000)),
        ("uwsgi_pass 192.0.2.1:9000;", Target::Elsewhere),
        ("memcached_pass [::]:5280;", Target::Port(5280)),
        ("proxy_pass http://example.org:5280;", Target::Named("example.org".to_owned(), 5280)),
        ("proxy_pass http://unix:/run/a.sock:/b;", Target::Socket("/run/a.sock".to_owned())),
        ("proxy_pass http://up/x;", Target::Port(3444)),
        ("proxy_pass http://$host:80;", Target::Variable("http://$host:80".to_owned())),
    ] {
        let text = format!(
            "http {{ server {{ location / {{ {pass} }} }} upstream up {{ server 127.0.0.1:3444; }} }}"
        );
        assert_eq!(only(&text).targets, [expected], "{pass}");
    }
}

#[test]
fn a_route_has_the_rules_of_its_blocks() {
    let route = only(
        "http { deny all; server { listen 443 ssl; listen 127.0.0.1:80; listen unix:/a; listen [::]:8443 quic; \
         server_name a b; location =/a { if ($x) { proxy_pass http://localhost:1/b; } } } }",
    );
    assert_eq!(route.server.names, ["a", "b"]);
    let listens: Vec<_> = route.server.listens.iter().map(|l| (l.is_local, l.has_tls)).collect();
    assert_eq!(listens, [(false, true), (true, false), (true, false), (false, true)]);
    let location = route.location.unwrap();
    assert_eq!((location.modifier.as_str(), location.path.as_str()), ("=", "/a"));
    assert!(route.restricted && route.path == "/b");
    for (rules, restricted) in [
        ("allow 192.0.2.1; deny all;", true),
        ("deny all;", true),
        ("allow all; deny all;", false),
        ("allow 0.0.0.0/0; deny all;", false),
        ("deny 192.0.2.1;", false),
        ("", false),
    ] {
        let text = format!(
            "http {{ server {{ {rules} location / {{ proxy_pass http://localhost; }} }} }}"
        );
        assert_eq!(only(&text).restricted, restricted, "{rules}");
    }
    // Another check can admit the other clients.
    for (satisfy, restricted) in [("satisfy any;", false), ("satisfy all;", true)] {
        let text = format!(
            "http {{ {satisfy} server {{ location / {{ deny all; proxy_pass http://localhost; }} }} }}"
        );
        assert_eq!(only(&text).restricted, restricted, "{satisfy}");
    }
    let text =
        "http { server { location / { rewrite ^ /x break; proxy_pass http://localhost; } } }";
    assert!(only(text).rewrites);
    // One `ssl` counts for all servers of an address.
    let text = "http { server { listen 443 ssl; } server { listen 443; location / { proxy_pass http://localhost; } } }";
    assert!(only(text).server.listens.iter().all(|listen| listen.has_tls));
    // Rules of the location replace those of the server.
    let text =
        "http { server { deny all; location / { allow all; proxy_pass http://localhost; } } }";
    assert!(!only(text).restricted);
    let stream = only("stream { server { listen 5222; proxy_pass 127.0.0.1:5222; } }");
    assert_eq!((stream.location, stream.targets), (None, vec![Target::Port(5222)]));
}
