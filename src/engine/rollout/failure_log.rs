//! What the log of a server says of a configuration that does not work.

use jiff::Timestamp;

use super::execute::RolloutExecutor;
use crate::domain::rollout::Failure;
use crate::domain::supervision::{Cause, Level, LogEntry, entries};
use crate::engine::reconcile::start::{START_LINES, last_start};

/// What ejabberd logs, as an error or warning, of a listener or module that fails while a
/// configuration is applied; the command answers "ok" all the same (seen on
/// 23.01, 24.12 and 26.07).
const FAILS: [&str; 7] = [
    "failed to open socket",
    // Of a certificate that is not there, and of one that is none.
    "please make sure ejabberd has sufficient rights to read it",
    "failed to read pem file",
    "failed to start module",
    "failed to start listener",
    "failed to reload module",
    "hook config_reloaded crashed",
];

/// The message where ejabberd has ended in a node that lives on.
pub(super) const STOPPED: &str = "ejabberd stopped in its node";

impl RolloutExecutor {
    /// Why ejabberd ended in a node that lives on, if the log since `since` says so: a part
    /// of ejabberd failed more often than its supervisor bears.
    pub(super) async fn cause_of_stop(&self, since: Timestamp) -> Option<Failure> {
        let start = last_start(&*self.runtime).await.unwrap_or(since);
        let log = self.runtime.log(since.max(start), START_LINES).await.unwrap_or_default();
        let cause = entries(&log).iter().find_map(Cause::of_entry)?;
        let message = format!("{STOPPED}: {cause}");
        Some(Failure { message, blame: cause.config })
    }
}

/// Whether an entry of the log says that the configuration does not work.
pub(in crate::engine) fn tells_of_failure(entry: &LogEntry) -> bool {
    let text = entry.text.to_lowercase();
    entry.level >= Some(Level::Critical)
        || (entry.level >= Some(Level::Warning) && FAILS.iter().any(|words| text.contains(words)))
}

/// Who is to blame for what an entry says.
pub(super) fn judged(entry: &LogEntry) -> Failure {
    let cause = Cause::of_entry(entry);
    match cause {
        Some(cause) => Failure { message: cause.to_string(), blame: cause.config },
        None => Failure { message: format!("it logs: {}", entry.words()), blame: true },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(log: &str) -> LogEntry {
        let [entry] = <[LogEntry; 1]>::try_from(entries(&log.lines().collect::<Vec<_>>())).unwrap();
        entry
    }

    #[test]
    fn entries_of_a_failing_reload_are_told_from_others() {
        let tells_of_failure = |log: &str| tells_of_failure(&entry(log));
        let judged = |log: &str| judged(&entry(log));
        let busy = "2026-11-22 19:31:35 \u{1b}[1;49;91m[error] \u{1b}[0mFailed to open socket at [::]:5333 for ejabberd_c2s: address already in use";
        assert!(tells_of_failure(busy));
        assert!(!judged(busy).blame && judged(busy).message.contains("ss -tlnp"));
        let module = "2026-11-22 19:20:25 [critical] Failed to start module mod_x: {error,no}";
        assert!(tells_of_failure(module) && judged(module).blame);
        // The reason stands some lines below the words that tell of a failure.
        let term =
            "2026-11-22 19:20:25 [error] Failed to start listener:\n {:shutdown,\n  :eaddrinuse}";
        assert!(tells_of_failure(term));
        assert!(judged(term).message.contains("ss -tlnp"), "{}", judged(term).message);
        let unknown =
            "2026-11-22 19:20:25 [critical] Failed to start module mod_x: {:error,\n  :no}";
        assert_eq!(judged(unknown).message, "it logs: Failed to start module mod_x: {:error, :no}");
        for harmless in [
            "2026-11-22 19:31:35 [warning] No certificate found matching localhost",
            "2026-11-22 19:31:35 [error] (tls|<0.1>) Failed c2s authentication for bob",
        ] {
            assert!(!tells_of_failure(harmless), "{harmless}");
        }
    }
}
