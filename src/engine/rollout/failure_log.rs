//! Reads the failures of a configuration from the log of the server.

use jiff::Timestamp;

use super::execute::RolloutExecutor;
use crate::domain::rollout::Failure;
use crate::domain::supervision::{Cause, Level, LogEntry, entries, is_own_port};
use crate::engine::reconcile::start::{START_LINES, last_start};

/// The parts of messages that ejabberd logs, as an error or warning, if a listener or module fails
/// during a reload. The operator must read the log, because the reload command responds "ok" even
/// then (seen on 23.01, 24.12 and 26.07).
const FAILS: [&str; 7] = [
    "failed to open socket",
    // The next two messages report a missing certificate and a file that is not a certificate.
    "please make sure ejabberd has sufficient rights to read it",
    "failed to read pem file",
    "failed to start module",
    "failed to start listener",
    "failed to reload module",
    "hook config_reloaded crashed",
];

/// The message for the case that ejabberd stopped but its Erlang node still runs.
pub(super) const STOPPED: &str = "ejabberd stopped in its node";

impl RolloutExecutor {
    /// Finds the cause in the log since `since` if ejabberd stopped but its Erlang node still runs:
    /// a process of ejabberd failed more often than its Erlang supervisor allows. `None` if the log
    /// contains no known cause.
    pub(super) async fn cause_of_stop(&self, since: Timestamp) -> Option<Failure> {
        let start = last_start(&*self.runtime).await.unwrap_or(since);
        let log = self.runtime.log(since.max(start), START_LINES).await.unwrap_or_default();
        let cause = entries(&log).iter().find_map(Cause::of_entry)?;
        let message = format!("{STOPPED}: {cause}");
        Some(Failure { message, blame: cause.config })
    }
}

/// Whether an entry of the log reports a failure: a critical entry, or an error or warning with one
/// of the known messages.
pub(in crate::engine) fn reports_failure(entry: &LogEntry) -> bool {
    let text = entry.text.to_lowercase();
    entry.level >= Some(Level::Critical)
        || (entry.level >= Some(Level::Warning) && FAILS.iter().any(|words| text.contains(words)))
}

/// The first failure that the log reports; see [`is_own_port`] for the entries that do not count.
pub(super) fn first_failure(log: &[LogEntry]) -> Option<Failure> {
    let entry = log.iter().find(|entry| reports_failure(entry) && !is_own_port(log, entry));
    entry.map(judged)
}

/// Returns the failure that an entry reports. `blame` is `true` if the configuration is the cause.
fn judged(entry: &LogEntry) -> Failure {
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
    fn a_taken_port_counts_unless_a_listener_failed_before() {
        let taken = entry(
            "2026-11-22 19:31:35 [error] Failed to open socket at [::]:5222 for ejabberd_c2s: address already in use",
        );
        let crash = entry(
            "2026-11-22 19:31:34 [error] CRASH REPORT:\n crasher:\n in function ejabberd_listener:get_definitive_udsocket_path/1",
        );
        let log = [crash.clone(), taken.clone()];
        assert!(first_failure(&log).is_none());
        assert!(first_failure(&log[1..]).unwrap().message.contains("ss -tlnp"));
        assert!(first_failure(&[taken, crash]).is_some());
    }

    #[test]
    fn entries_of_a_failing_reload_are_recognised() {
        let reports_failure = |log: &str| reports_failure(&entry(log));
        let judged = |log: &str| judged(&entry(log));
        let busy = "2026-11-22 19:31:35 \u{1b}[1;49;91m[error] \u{1b}[0mFailed to open socket at [::]:5333 for ejabberd_c2s: address already in use";
        assert!(reports_failure(busy));
        assert!(!judged(busy).blame && judged(busy).message.contains("ss -tlnp"));
        let module = "2026-11-22 19:20:25 [critical] Failed to start module mod_x: {error,no}";
        assert!(reports_failure(module) && judged(module).blame);
        // In this entry, the reason is on a line below the message.
        let term =
            "2026-11-22 19:20:25 [error] Failed to start listener:\n {:shutdown,\n  :eaddrinuse}";
        assert!(reports_failure(term));
        assert!(judged(term).message.contains("ss -tlnp"), "{}", judged(term).message);
        let unknown =
            "2026-11-22 19:20:25 [critical] Failed to start module mod_x: {:error,\n  :no}";
        assert_eq!(judged(unknown).message, "it logs: Failed to start module mod_x: {:error, :no}");
        for harmless in [
            "2026-11-22 19:31:35 [warning] No certificate found matching localhost",
            "2026-11-22 19:31:35 [error] (tls|<0.1>) Failed c2s authentication for bob",
        ] {
            assert!(!reports_failure(harmless), "{harmless}");
        }
    }
}
