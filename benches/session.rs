//! Measures the control channel on every image: the time to open it, and its calls per second.
//!
//!     cargo bench --bench session
//!
//! The images are those of `scripts/ejabberd-image`. Calls are reads
//! (`check_account`), sixteen at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot run fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use ejabberd_operator::domain::model::Jid;
use ejabberd_operator::ejabberd::EjabberdClient;
use futures_util::{StreamExt, stream};
use support::real::{CONFIG, Container, HOST};

const IMAGES: [&str; 5] = ["newest", "newest-ecs", "newest-ghcr", "24.12", "24.12-ecs"];
const OPENINGS: usize = 5;
const AT_ONCE: usize = 16;
const CALLS: usize = 6000;

#[tokio::main]
async fn main() {
    println!("{:<12} {:>22} {:>12} {:>8}", "image", "open: least, middle", "calls/s", "ratio");
    let mut first = None;
    for image in IMAGES {
        let (container, server) = Container::started(image, CONFIG).await;
        // A newly started server is still busy.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let mut opened = Vec::new();
        for _ in 0..OPENINGS {
            let fresh = container.server();
            let began = Instant::now();
            fresh.phase().await.unwrap();
            opened.push(began.elapsed());
            fresh.close().await;
        }
        opened.sort();
        let rate = calls_a_second(&server).await;
        let ratio = rate / *first.get_or_insert(rate);
        let (least, middle) = (opened[0], opened[OPENINGS / 2]);
        println!("{image:<12} {least:>10.0?} {middle:>10.0?} {rate:>12.0} {ratio:>8.2}");
    }
}

async fn calls_a_second(server: &EjabberdClient) -> f64 {
    let jid: Jid = format!("missing@{HOST}").parse().unwrap();
    let ask = || server.account_exists(&jid);
    // The first calls load modules, so they are not measured.
    stream::iter(0..500).map(|_| ask()).buffer_unordered(AT_ONCE).count().await;
    let began = Instant::now();
    stream::iter(0..CALLS).map(|_| ask()).buffer_unordered(AT_ONCE).count().await;
    f64::from(u32::try_from(CALLS).unwrap()) / began.elapsed().as_secs_f64()
}
