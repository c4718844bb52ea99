//! Runs the long tests of `scripts/prove NAME`. Prints a table, and exits with 1 if a case fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program that reports failures on its output"
)]

#[path = "prove/chaos.rs"]
mod chaos;
#[path = "prove/messages.rs"]
mod messages;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use support::situation::{Proved, Situation, Way};

/// The tested images: Debian's packages, and both release layouts.
const IMAGES: [&str; 5] = ["newest", "24.12", "23.01", "24.12-ecs", "newest-ghcr"];

/// The maximum number of cases that run at the same time. A case waits most of the time.
const AT_ONCE: usize = 3;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (name, filter) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    if name == "adopted" {
        return adopted(&filter);
    }
    if name == "chaos" {
        return on_two_images(&filter, chaos::on);
    }
    if name == "messages" {
        return on_two_images(&filter, messages::on);
    }
    eprintln!(
        "usage: scripts/prove adopted [IMAGE|WAY], scripts/prove chaos [IMAGE], or scripts/prove \
         messages [IMAGE]"
    );
    ExitCode::from(64)
}

/// Runs a matrix on two images, or on the image `filter`.
fn on_two_images(filter: &str, matrix: fn(&'static str, &mut chaos::Dice) -> String) -> ExitCode {
    let mut failed = false;
    let mut dice = chaos::Dice::new();
    for version in ["newest", "24.12-ecs"].into_iter().filter(|v| filter.is_empty() || *v == filter)
    {
        match catch_unwind(AssertUnwindSafe(|| matrix(version, &mut dice))) {
            Ok(summary) => println!("{version}: holds: {summary}"),
            Err(cause) => {
                failed = true;
                println!("{version}: FAILS: {}", cause.downcast_ref::<String>().map_or("?", |s| s));
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Adopts containers that were started by hand.
fn adopted(filter: &str) -> ExitCode {
    let all = IMAGES.iter().flat_map(|version| Way::ALL.map(|way| Situation { version, way }));
    let wanted: Vec<Situation> = all
        .filter(|s| filter.is_empty() || s.to_string().split_whitespace().any(|w| w == filter))
        .collect();
    let (next, failed) = (Mutex::new(wanted.into_iter()), Mutex::new(0_usize));
    println!("{:<23} result   seconds for each step", "image        way");
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let situation = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(situation) = situation else { break };
                    match catch_unwind(AssertUnwindSafe(|| situation.prove())) {
                        Ok(proved) => println!("{situation} holds    {}", shown(&proved)),
                        Err(cause) => {
                            *failed.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                            let text = cause.downcast_ref::<String>().map_or("?", String::as_str);
                            println!("{situation} FAILS    {}", text.lines().next().unwrap_or("?"));
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{failed} of them fail");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn shown(proved: &Proved) -> String {
    let steps = proved.steps.iter();
    let shown = steps.map(|(name, took)| format!("{name} {:.1}", took.as_secs_f64()));
    shown.collect::<Vec<_>>().join("  ")
}
