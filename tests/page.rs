//! The page in a real browser, on the built operator and a real ejabberd.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use browser::Browser;
use support::host::{Host, eventually, replace};
use support::real::{CONFIG, HOST, docker};

const SOON: Duration = Duration::from_mins(1);
const HOSTILE: &str = "<img src=x onerror=document.title='taken'> \u{202e}gpj.x";
const SECRET: &str = "hunter2-in-the-configuration";

/// Returns the directory for screenshots. `None` if `EJABBERD_OPERATOR_PICTURES` is not set.
fn pictures() -> Option<PathBuf> {
    let directory = PathBuf::from(std::env::var_os("EJABBERD_OPERATOR_PICTURES")?);
    fs::create_dir_all(&directory).unwrap();
    Some(directory)
}

/// Takes screenshots with a light theme, with a dark theme, and at the width of a telephone. Fails
/// the test if the content is wider than the screen.
fn pictured(browser: &mut Browser, name: &str) {
    for (theme, width, dark) in
        [("light", 1400, false), ("dark", 1400, true), ("phone", 360, false)]
    {
        browser.set_window(width, dark);
        let wide = browser.eval("document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(wide <= width.into(), "{name}: {wide} pixels on a screen of {width}");
        if let Some(directory) = pictures() {
            browser.picture(&directory.join(format!("{name}-{theme}.png")));
        }
    }
    browser.set_window(1400, false);
}

/// Sends `GET path` with further headers. Returns the code and the whole response.
fn get(address: &str, path: &str, head: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{head}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

fn listening(host: &Host) -> String {
    eventually("an endpoint", SOON, || host.state().join("endpoint").exists());
    host.endpoint()
}

fn objects(users: usize, title: &str) -> String {
    let mut text = String::from("  users:\n");
    for n in 0..users {
        writeln!(text, "    - {{ name: u{n:02}, password: secret-{n} }}").unwrap();
    }
    text += "  groups: [{ name: team, members: [u00, u01] }]\n";
    text + &format!(
        "  rooms:\n    - {{ name: hall, title: Hall }}\n    - name: lab\n      title: \"{title}\"\n"
    )
}

fn says(browser: &mut Browser, words: &str) {
    let headline = "document.querySelector('#headline h1')?.innerText";
    browser.wait(&format!("{headline}?.includes({words:?})"));
}

#[test]
fn the_page_shows_the_server_and_all_changes_without_a_reload() {
    let host = Host::new("newest");
    host.declare(&objects(12, HOSTILE));
    let mut operator = host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "2s"], "run.log");
    let address = listening(&host);
    let mut browser = Browser::start();
    browser.go(&format!("http://{address}/"));
    says(&mut browser, "All as declared");
    // The page must show all following changes without a reload.
    browser.eval(
        "window.same = true; window.told = []; new MutationObserver(() => \
        told.push(document.querySelector('#headline h1').innerText)) \
        .observe(document.querySelector('#headline'), { subtree: true, childList: true })",
    );

    // The page lists the objects of the server.
    browser.wait("document.querySelectorAll('.name-cell').length === 15");
    let mut shown = browser.texts("#objects .name-cell");
    shown.sort();
    let mut there: Vec<String> = host.users().iter().map(|u| format!("{u}@{HOST}")).collect();
    there.extend(host.rooms().iter().map(|r| format!("{r}@conference.{HOST}")));
    there.push(format!("team@{HOST}"));
    there.sort();
    assert_eq!(shown, there);
    assert!(browser.texts("#objects td.state").iter().all(|state| state.contains("as declared")));
    assert_eq!(browser.texts("#figures dd")[3..5], ["12", "2"]);

    // Text from outside must not become markup.
    assert_eq!(browser.eval("document.querySelectorAll('img, script:not([src])').length"), 0);
    let table = browser.text("#objects table");
    assert!(table.contains("<img src=x onerror=document.title='taken'> \\u{202e}gpj.x"), "{table}");

    browser.fill("#objects-q", "HAL");
    browser.wait("document.querySelectorAll('.name-cell').length === 1");
    assert_eq!(browser.texts("#objects .name-cell"), [format!("hall@conference.{HOST}")]);
    browser.fill("#objects-q", "no such thing");
    browser
        .wait("document.querySelector('#objects .body').innerText.includes('No object matches')");
    browser.fill("#objects-q", "");
    browser.wait("document.querySelectorAll('.name-cell').length === 15");
    pictured(&mut browser, "converged");

    // Another program deletes an account.
    host.ctl(&["unregister", "u03", HOST]);
    let seen = format!(
        "[...document.querySelectorAll('#events li')].some(e => e.innerText.includes('u03@{HOST}') \
         && e.innerText.includes('Created'))"
    );
    browser.wait(&seen);

    // The process of the server ends.
    browser.eval("told.length = 0");
    docker(&["stop", &host.container]);
    browser.wait("told.some(words => words.includes('Server'))");
    pictured(&mut browser, "down");
    says(&mut browser, "All as declared");

    // An invalid file: the headline names the line of the error.
    let good = fs::read_to_string(host.file()).unwrap();
    replace(&host.file(), &good.replace("  users:", "  usrs:"));
    says(&mut browser, "The desired state cannot be used");
    let line = good.lines().position(|line| line == "  users:").unwrap() + 1;
    let place = format!("desired-state.yaml:{line}:");
    assert!(browser.text("#headline").contains(&place), "{}", browser.text("#headline"));
    replace(&host.file(), &good);
    says(&mut browser, "All as declared");

    // Another configuration, with a secret in it.
    for (file, level) in [("a.yml", "warning"), ("b.yml", "error")] {
        let config = CONFIG.replace("loglevel: info", &format!("loglevel: {level}"));
        fs::write(host.path(file), format!("{config}sql_password: {SECRET}-{level}\n")).unwrap();
        replace(&host.file(), &good.replace("ejabberd.yml", file));
        browser.wait(&format!(
            "document.querySelector('.diff')?.innerText.includes('+ loglevel: {level}')"
        ));
    }
    let diff = browser.text(".diff");
    assert!(diff.contains("+ sql_password: *** (changed)"), "{diff}");
    assert_eq!(
        browser.eval(&format!("document.documentElement.outerHTML.includes('{SECRET}')")),
        false
    );
    let differs = browser.eval("performance.getEntriesByType('resource').map(e => e.name).filter(n => n.includes('diff')).pop()");
    let path = differs.as_str().unwrap().split_once(&address).unwrap().1.to_owned();
    let raw = get(&address, &path, "").1;
    assert!(raw.contains("sql_password") && !raw.contains(SECRET), "{raw}");

    // The file removes more entries than the guard allows.
    host.declare(&objects(4, HOSTILE));
    says(&mut browser, "8 deletions are refused");
    let status = host.run(&["status", "--output", "json"]).json();
    let digest = status["blocked"]["digest"].as_str().unwrap();
    browser.wait(&format!(
        "document.querySelector('#refused-deletions')?.innerText.includes('approve: {digest}')"
    ));
    pictured(&mut browser, "refused");

    assert_eq!(browser.eval("window.same"), true, "the page was not reloaded");
    assert_ne!(browser.eval("document.title"), "taken");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let origin = format!("http://{address}/");
    let elsewhere: Vec<String> =
        browser.requests().into_iter().filter(|url| !url.starts_with(&origin)).collect();
    assert_eq!(elsewhere, Vec::<String>::new());

    // The operator ends, and another operator starts at the same address.
    operator.signal("TERM");
    assert_eq!(operator.wait(SOON), Some(0), "{}", operator.log());
    browser.wait("!document.querySelector('#cut').hidden");
    assert!(browser.text("#cut").contains("The operator does not respond since"));
    pictured(&mut browser, "cut-off");
    let again = host.start(&["run", "--listen", &address, "--resync", "2s"], "again.log");
    browser.wait("document.querySelector('#cut').hidden");
    says(&mut browser, "8 deletions are refused");
    drop(again);
}

#[test]
fn a_token_opens_the_page_and_only_a_token() {
    let host = Host::new("newest");
    host.declare("  suspend: true\n  users: [{ name: ann }]\n");
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = host.run(&["run", "--listen", listen]).expect(64);
        assert!(refused.stderr.contains("--token-file"), "{}", refused.stderr);
    }
    assert!(!host.state().exists(), "no state directory was created");
    let token = "a-token-of-more-than-16";
    let file = host.path("token");
    fs::write(&file, format!("{token}\n")).unwrap();
    let args = ["run", "--listen", "0.0.0.0:0", "--token-file", file.to_str().unwrap()];
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(host.run(&args).expect(1).stderr.contains("chmod 600"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    let operator = host.start(&args, "run.log");
    let address = listening(&host);
    assert!(address.starts_with("127.0.0.1:"), "{address}: an address of this host");
    let mode = fs::metadata(host.state().join("endpoint")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for path in ["/status", "/metrics", "/api/live", "/api/objects"] {
        assert_eq!(get(&address, path, "").0, 401, "{path}");
    }
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert!(get(&address, "/metrics", &bearer).1.contains("ejabberd_up"));
    let status = host.run(&["status"]);
    assert!(!status.stderr.contains("no operator responds"), "{}", status.stderr);

    let mut browser = Browser::start();
    browser.go(&format!("http://{address}/"));
    browser.wait("document.querySelector('#door')?.hidden === false");
    assert!(!browser.text("body").contains("Conditions"), "no data is shown without the token");
    pictured(&mut browser, "locked");
    let open = |browser: &mut Browser, token: &str| {
        browser.fill("#token", token);
        browser.eval("document.querySelector('#door button').click()");
    };
    open(&mut browser, "a-wrong-token-of-some-length");
    browser.wait("document.querySelector('#refused').innerText === 'That is not the token.'");
    open(&mut browser, token);
    browser.wait("document.querySelector('#door').hidden && document.querySelector('.name-cell')");
    assert_eq!(browser.texts("#objects .name-cell"), [format!("ann@{HOST}")]);
    assert_eq!(browser.eval("localStorage.length"), 0, "the token is stored only in the tab");
    let unexpected: Vec<String> =
        browser.complaints().into_iter().filter(|line| !line.contains("status of 401")).collect();
    assert_eq!(unexpected, Vec::<String>::new());
    drop(operator);
}

/// The page searches ten thousand accounts of a server that does not run.
#[test]
fn ten_thousand_objects_are_searched() {
    let host = Host::new("newest");
    let names: Vec<String> = (0..10_000).map(|n| format!("{{ name: user-{n:05} }}")).collect();
    host.declare(&format!("  suspend: true\n  users: [{}]\n", names.join(", ")));
    let _operator = host.start(&["run", "--listen", "127.0.0.1:0"], "run.log");
    let address = listening(&host);
    let mut browser = Browser::start();
    browser.go(&format!("http://{address}/"));
    browser.wait("document.querySelector('.pager')?.innerText.includes('of 10,000 objects')");
    assert_eq!(browser.eval("document.querySelectorAll('.name-cell').length"), 50);
    browser.eval("document.querySelector('[data-key=next]').click()");
    browser.wait("document.querySelector('.pager').innerText.includes('51 to 100')");
    assert_eq!(browser.text(".name-cell"), format!("user-00050@{HOST}"));
    browser.fill("#objects-q", "09999");
    browser.wait("document.querySelectorAll('.name-cell').length === 1");
    assert_eq!(browser.text(".name-cell"), format!("user-09999@{HOST}"));
    browser.fill("#objects-q", "");
    browser.wait("document.querySelectorAll('.name-cell').length === 50");
    pictured(&mut browser, "many");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Takes the picture of the README, which shows a server that the operator repaired twice.
#[test]
fn the_picture_of_the_readme_is_of_this_page() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/page.png"));
    let host = Host::new("newest");
    host.declare(
        "  users:\n    - { name: bastion, password: one, nickname: Bastion }\n    - { name: messenger, password: two }\n    \
         - { name: agent-1, password: three }\n    - { name: old-bot, state: absent }\n  groups:\n    - { name: agents, displayName: Agents, members: [bastion, messenger, agent-1] }\n  \
         rooms:\n    - { name: general, title: General, affiliations: { owner: [messenger], member: [\"@agents\"] } }\n    \
         - { name: alerts, title: Alerts, affiliations: { owner: [bastion] } }\n",
    );
    let operator = host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "2s"], "run.log");
    let address = listening(&host);
    let mut browser = Browser::start();
    browser.go(&format!("http://{address}/"));
    says(&mut browser, "All as declared");
    // Two repairs, so that the page has something to show.
    host.ctl(&["unregister", "agent-1", HOST]);
    eventually("the account is created again", SOON, || {
        host.users().iter().any(|user| user == "agent-1")
    });
    docker(&["kill", &host.container]);
    browser.wait("document.querySelector('#events').innerText.includes('Killed')");
    says(&mut browser, "All as declared");
    // Sets a window size that fits in a README.
    let size = serde_json::json!({ "width": 1180, "height": 720, "deviceScaleFactor": 1, "mobile": false });
    browser.call("Emulation.setDeviceMetricsOverride", &size);
    let directory = tempfile::tempdir().unwrap();
    let new = directory.path().join("page.png");
    browser.picture_of_window(&new);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::copy(&new, &path).unwrap();
    }
    let width = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() < 200_000, "{}", bytes.len());
        u32::from_be_bytes(bytes[16..20].try_into().unwrap())
    };
    assert_eq!(width(&new), width(&path), "renew it with UPDATE_GOLDEN=1");
    drop(operator);
}
