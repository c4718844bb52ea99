//! Tests that a server at `loglevel: debug` does not log the passwords that the operator sends.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ejabberd_operator::adapters::secrets::FileSecrets;
use ejabberd_operator::domain::spec::OptionValue;
use ejabberd_operator::ejabberd::{EjabberdClient, Listener, NewRoom};
use ejabberd_operator::engine::Secrets as _;

use super::support::real::{CONFIG, Container, docker};
use super::{host, jid, room, secret};

/// Passwords that no other line of a log holds, with the characters that Erlang, XML, SASL and
/// Base64 write differently.
const KNOWN: [&str; 7] = [
    "Kp0-plain-Zt7",
    "Kp1\"quo'te\\Zt7",
    "Kp2<x&y>Zt7",
    "Kp3=eq,comma=Zt7",
    "Kp4 ünïcödé 密码 Zt7",
    "Kp5%s~p~nZt7",
    "Kp6:;{[(|)]}Zt7",
];

/// Returns everything that the server wrote: the console, and each file in the log directory.
fn log(container: &Container) -> String {
    let console = std::process::Command::new("docker").args(["logs", &container.name]).output();
    let console = console.unwrap();
    let files = docker(&[
        "exec",
        &container.name,
        "sh",
        "-c",
        "for d in /home/ejabberd/logs /opt/ejabberd/logs /var/log/ejabberd; do \
         [ -d $d ] && cat $d/*.log*; done 2>/dev/null; true",
    ]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}{files}", text(&console.stdout), text(&console.stderr))
}

/// Encodes `bytes` as in RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let number = (0..3).fold(0, |n, at| n << 8 | u32::from(*part.get(at).unwrap_or(&0)));
        for at in 0..=part.len() {
            text.push(char::from(SIGNS[(number >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text + &"=".repeat((3 - bytes.len() % 3) % 3)
}

/// Returns the forms in which a log may show a password of `user`.
fn written(user: &str, password: &str) -> Vec<String> {
    let escaped = password.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let erlang = password.replace('\\', "\\\\").replace('"', "\\\"");
    let numbers = password.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte},");
        text
    });
    // Erlang prints a list that is not printable text as the numbers of its bytes.
    let numbers = numbers.trim_end_matches(',').to_owned();
    let plain = format!("\0{user}\0{password}");
    let quoted = escaped.replace('"', "&quot;").replace('\'', "&apos;");
    vec![
        password.to_owned(),
        escaped,
        quoted,
        erlang,
        numbers,
        base64(password.as_bytes()),
        base64(plain.as_bytes()),
    ]
}

async fn clients(server: &EjabberdClient) -> Vec<Listener> {
    let listeners = server.listeners().await.unwrap();
    listeners.into_iter().filter(Listener::is_c2s).collect()
}

/// Sends every kind of secret that the operator has, and searches the log for each.
async fn no_secret_is_logged(version: &str) {
    let config = CONFIG.replace("loglevel: info", "loglevel: debug");
    // Removes the option that hides a part of the log, because only some configurations have this
    // option.
    let config = config.replace("hide_sensitive_log_data: true\n", "");
    let (container, server) = Container::started(version, &config).await;
    let mut sent: Vec<(String, String)> = Vec::new();
    let generated: Vec<String> =
        (0..3).map(|_| FileSecrets::new().generate().unwrap().expose().to_owned()).collect();
    let passwords = KNOWN.iter().map(|password| (*password).to_owned()).chain(generated);
    for (at, password) in passwords.enumerate() {
        let user = jid(&format!("user{at}"));
        server.register(&user, &secret(&password)).await.unwrap();
        server.register(&user, &secret(&password)).await.unwrap();
        assert!(server.password_is(&user, &secret(&password)).await.unwrap());
        assert!(!server.password_is(&user, &secret("Kp-wrong-Zt7")).await.unwrap());
        let other = format!("{password}-2");
        server.change_password(&user, &secret(&other)).await.unwrap();
        for listener in clients(&server).await {
            server.log_in(listener.endpoint(), &user, &secret(&other)).await.unwrap();
        }
        let name = format!("room{at}");
        let options = BTreeMap::from([
            ("password".to_owned(), OptionValue::Text(format!("{password}-3"))),
            ("password_protected".to_owned(), OptionValue::Bool(true)),
            ("persistent".to_owned(), OptionValue::Bool(true)),
        ]);
        let new = NewRoom { options: &options, affiliations: &BTreeMap::new(), subject: None };
        server.create_room(&room(&name), &host(), &new).await.unwrap();
        server
            .set_subject(&host(), &room(&name), "news", &secret("4dV9xT0qLw8ZrB2n"))
            .await
            .unwrap();
        let changed = OptionValue::Text(format!("{password}-4"));
        server.change_room_option(&room(&name), "password", &changed).await.unwrap();
        server
            .set_subject(&host(), &room(&name), "more", &secret("4dV9xT0qLw8ZrB2n"))
            .await
            .unwrap();
        let options = server.room_options(&room(&name)).await.unwrap().unwrap();
        assert_eq!(options["password"], format!("{password}-4"));
        server.stored_room(&host(), &room(&name)).await.unwrap().unwrap();
        server.ban(&user, "abuse").await.unwrap();
        server.destroy_room(&room(&name)).await.unwrap();
        server.unregister(&user).await.unwrap();
        let local = user.local.as_str();
        sent.extend(
            ["", "-2", "-3", "-4"].map(|end| (local.to_owned(), format!("{password}{end}"))),
        );
        sent.push((local.to_owned(), "Kp-wrong-Zt7".to_owned()));
    }
    let _ = server.change_password(&jid("missing"), &secret("Kp-missing-Zt7")).await;
    sent.push(("missing".to_owned(), "Kp-missing-Zt7".to_owned()));
    server.close().await;
    let log = log(&container);
    assert!(log.contains("[debug]") && log.contains("user0"), "it does not log at debug: {log}");
    let lines = sent.iter().flat_map(|(user, password)| {
        let ways = written(user, password);
        log.lines().filter(move |line| ways.iter().any(|way| line.contains(way)))
    });
    let lines: Vec<&str> = lines.collect();
    assert!(
        lines.is_empty(),
        "{}: {} lines, as {:#?}",
        version,
        lines.len(),
        &lines[..lines.len().min(12)]
    );
}

/// The operator does not log in with PLAIN at `loglevel: debug`, because the server would log the
/// password.
async fn no_plain_login_at_debug(version: &str) {
    let plain = CONFIG.replace(
        "loglevel: info",
        "loglevel: debug\ndisable_sasl_mechanisms: [digest-md5, x-oauth2, scram-sha-1, \
         scram-sha-1-plus, scram-sha-256, scram-sha-256-plus, scram-sha-512, scram-sha-512-plus]",
    );
    let (container, server) = Container::started(version, &plain).await;
    let (ann, password) = (jid("ann"), secret("Kp7-plain-Zt7"));
    server.register(&ann, &password).await.unwrap();
    let to = clients(&server).await[0].endpoint();
    let error = server.log_in(to, &ann, &password).await.unwrap_err().to_string();
    assert!(error.contains("plain_would_be_logged"), "{error}");
    let ways = written("ann", "Kp7-plain-Zt7");
    let found = log(&container).lines().any(|line| ways.iter().any(|way| line.contains(way)));
    assert!(!found);
    // At another log level the server does not log the password, so the operator logs in.
    docker(&[
        "exec",
        &container.name,
        "sh",
        "-c",
        "PATH=$PATH:/home/ejabberd/bin ejabberdctl set_loglevel info",
    ]);
    server.log_in(to, &ann, &password).await.unwrap();
    server.close().await;
}

#[tokio::test]
async fn a_server_at_debug_that_offers_plain_alone_gets_no_password_26_07() {
    no_plain_login_at_debug("newest").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn a_server_at_debug_that_offers_plain_alone_gets_no_password_23_01() {
    no_plain_login_at_debug("23.01").await;
}

#[tokio::test]
async fn a_server_at_debug_logs_no_secret_26_07() {
    no_secret_is_logged("newest").await;
}

#[tokio::test]
async fn a_server_at_debug_logs_no_secret_ecs() {
    no_secret_is_logged("24.12-ecs").await;
}

#[tokio::test]
#[ignore = "scripts/test --all runs it"]
async fn a_server_at_debug_logs_no_secret_23_01() {
    no_secret_is_logged("23.01").await;
}
