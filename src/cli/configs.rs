//! The commands for good and failed configurations: `history`, `rollback`, `retry`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::Format;
use super::runtimes::Connectors;
use super::session::{Paths, engine};
use super::table::{Cell, Page, Table};
use super::{Exit, Outcome, output};
use crate::adapters::metrics::Metrics;
use crate::adapters::sqlite::{OrderFile, SqliteStore};
use crate::domain::model::Digest;
use crate::engine::{
    EventSink, GoodConfig, Order, Store, StoreError, create_without_waiting, latch, lift_latch,
    order_fill,
};

/// The time limit of the wait until a running operator reads an order. The operator reads orders
/// between two rounds.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// Lists the good configurations.
pub(super) fn history(paths: &Paths, format: Format) -> Outcome {
    let store = paths.remembered()?;
    let good = match &store {
        Some(store) => store.good_configs()?,
        None => Vec::new(),
    };
    if format == Format::Json {
        return output::pretty_json(&good);
    }
    if good.is_empty() {
        return output::print("No configuration has passed the health gate yet.\n");
    }
    let mut table = Table::new(0, 2).headed(&["DIGEST", "VARIANT", "REVISION", "SINCE"]);
    for GoodConfig { digest, variant, revision, since } in &good {
        let since = since.round(jiff::Unit::Second).unwrap_or(*since).to_string();
        table.row([digest.short(), variant, revision.short(), &since].map(Cell::from));
    }
    let mut text = table.render(Page::out());
    if let Some(latch) = store.and_then(|store| latch(&store).transpose()).transpose()? {
        text += &format!(
            "\nThe operator does not retry configuration `{}`; change the configuration, or run \
             `ejabberd-operator retry`:\n  {}\n",
            latch.digest.short(),
            latch.message
        );
    }
    output::print(&text)
}

/// Orders the operator to retry all failed changes.
pub(super) async fn retry(paths: &Paths) -> Outcome {
    match paths.memory() {
        Ok(store) => {
            create_without_waiting(&store)?;
            let text = match lift_latch(&store)? {
                Some(latch) => {
                    format!(
                        "The next `apply` or `run` retries configuration `{}`.\n",
                        latch.digest.short()
                    )
                }
                None => "No configuration waits for a retry.\n".to_owned(),
            };
            output::print(&text)
        }
        Err(StoreError::Locked(_)) => order(paths, &Order::Retry).await,
        Err(error) => Err(paths.unusable(&error)),
    }
}

/// Accepts the server's current database, although the operator does not know this database.
pub(super) async fn fill(paths: &Paths) -> Outcome {
    match paths.memory() {
        Ok(store) => {
            order_fill(&store)?;
            output::print(
                "The next `apply` or `run` accepts the server's database at that time and fills the \
                 database. If the server has no database, the operator creates one.\n",
            )
        }
        Err(StoreError::Locked(_)) => order(paths, &Order::Fill).await,
        Err(error) => Err(paths.unusable(&error)),
    }
}

/// Restores an earlier good configuration.
pub(super) async fn rollback(paths: &Paths, digest: Option<String>) -> Outcome {
    let good = match paths.remembered()? {
        Some(store) => store.good_configs()?,
        None => Vec::new(),
    };
    let chosen = match &digest {
        Some(digits) if digits.len() < 6 => {
            return Err(Exit::Failure(format!(
                "the digest `{digits}` is too short; give at least six digits from the output of `history`"
            )));
        }
        Some(digits) => good.iter().find(|good| good.digest.as_str().starts_with(digits.as_str())),
        None => good.get(1),
    };
    let Some(chosen) = chosen else {
        return Err(Exit::Failure(match digest {
            Some(digits) => {
                format!(
                    "there is no good configuration `{digits}`; run `history` to list the good configurations"
                )
            }
            None => {
                "cannot roll back: the store has no earlier good configuration; run `history` to \
                     list the good configurations"
                    .to_owned()
            }
        }));
    };
    match paths.memory() {
        Ok(store) => set_aside(paths, store, &chosen.digest).await,
        Err(StoreError::Locked(_)) => order(paths, &Order::Rollback(chosen.digest.clone())).await,
        Err(error) => Err(paths.unusable(&error)),
    }
}

async fn set_aside(paths: &Paths, store: SqliteStore, digest: &Digest) -> Outcome {
    let desired = paths.desired().await?;
    let metrics = Arc::new(Metrics::new()?);
    let events = Arc::clone(&metrics) as Arc<dyn EventSink>;
    let engine =
        engine(&desired, Arc::new(store), events, &Connectors { metrics, holder: paths.holder() });
    let message = engine.configs.roll_back_to(&desired, digest).await?;
    output::print(&format!("{message}, with the next `apply` or `run`.\n"))
}

/// Writes an order for the running operator, and waits until the operator has read the order.
pub(super) async fn order(paths: &Paths, order: &Order) -> Outcome {
    let file = OrderFile::new(&paths.state_dir);
    file.leave(order)?;
    let since = Instant::now();
    while file.waits() {
        if since.elapsed() > TAKEN_WITHIN {
            return Err(Exit::Failure(
                "the running operator did not read the order in 30 s, because a round is in progress; run \
                 `ejabberd-operator status` later"
                    .to_owned(),
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    output::print("The running operator has accepted the order; `status` shows the result.\n")
}
