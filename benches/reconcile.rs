//! Measures how long the operator takes for 1,000 accounts and 200 rooms, on an empty server and
//! without a change, compared with a loop of `docker exec … ejabberdctl` for 50 of them on the
//! same server. Figures are ratios within one run, because machines differ.
//!
//!     cargo bench --bench reconcile -- [VERSION] [disc_copies] [plain]

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot run fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::bench;
use support::host::{Host, eventually, get};
use support::real::HOST;

const ACCOUNTS: usize = 1000;
const ROOMS: usize = 200;
/// The number of objects of each kind that the loop creates.
const SAMPLE: usize = 50;

fn main() {
    let version = bench::version();
    let host = Host::new(&version);
    let option = |word: &str| std::env::args().any(|arg| arg == word);
    if option("plain") {
        // ejabberd's own default; the tests and the shipped variants hash.
        let config = support::real::CONFIG
            .replace("auth_password_format: scram", "auth_password_format: plain");
        fs::write(host.path("ejabberd.yml"), config).unwrap();
    }
    host.declare("");
    host.run(&["apply"]).expect(0);
    if option("disc_copies") {
        host.ctl(&["mnesia_table_change_storage", "passwd", "disc_copies"]);
    }

    let by_hand = time(|| {
        for n in 0..SAMPLE {
            host.ctl(&["register", &format!("hand{n}"), HOST, "x"]);
        }
    });
    let rooms_by_hand = time(|| {
        for n in 0..SAMPLE {
            host.ctl(&["create_room", &format!("hand{n}"), &format!("conference.{HOST}"), HOST]);
        }
    });
    let checks_by_hand = time(|| {
        for n in 0..SAMPLE {
            host.ctl(&["check_account", &format!("hand{n}"), HOST]);
        }
    });

    host.declare_many(ACCOUNTS, ROOMS);
    let from_nothing = time(|| {
        host.run(&["apply"]).expect(0);
    });
    let whole_no_change = time(|| {
        host.run(&["apply"]).expect(0);
    });

    // The mean of the daemon's histogram: rounds with an open session.
    let mut operator =
        host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "200ms"], "run.log");
    eventually("an endpoint", Duration::from_secs(10), || host.state().join("endpoint").exists());
    let address = host.endpoint();
    eventually("ready", Duration::from_secs(30), || {
        get(&address, "/readyz").is_some_and(|(code, _)| code == 200)
    });
    let sample = |name: &str| -> f64 {
        let metrics = get(&address, "/metrics").unwrap().1;
        let line =
            metrics.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(f64::NAN)
    };
    let (sum, count) = (
        "ejabberd_operator_reconcile_duration_seconds_sum",
        "ejabberd_operator_reconcile_duration_seconds_count",
    );
    let before = (sample(sum), sample(count));
    std::thread::sleep(Duration::from_secs(5));
    let after = (sample(sum), sample(count));
    let round = (after.0 - before.0) / (after.1 - before.1);
    let (scrape, size) = scrape(&address);
    let memory = resident_mib(operator.child.id());
    operator.signal("TERM");
    operator.wait(Duration::from_secs(10));

    let per = |time: Duration, count: usize| time.as_secs_f64() / count as f64;
    let object_by_hand = (per(by_hand, SAMPLE) * ACCOUNTS as f64
        + per(rooms_by_hand, SAMPLE) * ROOMS as f64)
        / (ACCOUNTS + ROOMS) as f64;
    let object = per(from_nothing, ACCOUNTS + ROOMS);
    println!("ejabberd {version}, {ACCOUNTS} accounts and {ROOMS} rooms");
    println!("by hand, per account created      {:>9.1} ms", per(by_hand, SAMPLE) * 1e3);
    println!("by hand, per room created         {:>9.1} ms", per(rooms_by_hand, SAMPLE) * 1e3);
    println!("by hand, per account checked      {:>9.1} ms", per(checks_by_hand, SAMPLE) * 1e3);
    println!(
        "apply, all from nothing           {:>9.0} ms   ({:.2} ms each; {:.0} times faster)",
        from_nothing.as_secs_f64() * 1e3,
        object * 1e3,
        object_by_hand / object
    );
    println!(
        "apply, nothing to do, whole       {:>9.0} ms   (starts a new session)",
        whole_no_change.as_secs_f64() * 1e3
    );
    println!(
        "a round with nothing to do        {:>9.1} ms   ({:.0} times faster than a check of each by hand)",
        round * 1e3,
        per(checks_by_hand, SAMPLE) * (ACCOUNTS + ROOMS) as f64 / round
    );
    println!("a scrape of /metrics              {scrape:>9.2} ms   ({size} KiB)");
    println!("resident memory                   {memory:>9.1} MiB");
}

/// The median time of a hundred scrapes in milliseconds, and the size of one in KiB. Both grow with
/// the virtual hosts, not with the accounts.
fn scrape(address: &str) -> (f64, usize) {
    let mut times = Vec::new();
    let mut size = 0;
    for _ in 0..100 {
        times.push(time(|| size = get(address, "/metrics").map_or(0, |(_, text)| text.len())));
    }
    times.sort();
    (times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3), size / 1024)
}

fn time(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line =
        status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(f64::NAN)
        / 1024.0
}
