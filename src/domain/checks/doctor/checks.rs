//! The list of the checks of `doctor`.

use super::Symptom::{Account, Api, Delivery, Load, Start};
use super::{
    Check, Evidence, Judgement, Symptom, Topic, account, api, configuration, delivery, host, load,
    login, operator, start,
};

const fn check(
    symptom: Symptom,
    name: &'static str,
    rank: u8,
    judge: fn(&Evidence) -> Judgement,
) -> Check {
    Check { name, topic: Topic { symptom, rank }, cure: None, judge }
}

/// The names of the checks that together prove that clients can log in.
pub const LOGIN_CHECKS: [&str; 3] = ["authentication", "listeners", "client_ports"];

/// Every check, grouped by symptom, in the order of the output.
pub const CHECKS: [Check; 37] = [
    check(Start, "desired_state", 9, operator::desired_state),
    check(Start, "operator", 31, operator::runs),
    check(Start, "state_directory", 7, operator::state_directory),
    check(Start, "engine", 0, start::engine),
    check(Start, "image", 2, start::image),
    check(Start, "process", 12, start::process),
    check(Start, "last_words", 10, start::last_words),
    check(Start, "configuration", 6, configuration::declared),
    check(Start, "configuration_live", 5, configuration::live),
    check(Start, "ports", 4, host::ports),
    check(Start, "mounts", 3, host::mounts),
    check(Start, "disk", 1, host::disk),
    check(Start, "memory", 8, host::memory),
    check(Start, "supervision", 13, operator::supervision),
    check(Api, "control", 11, api::control),
    check(Api, "http_api", 15, api::http_api),
    check(Api, "http_reach", 16, api::reach),
    check(Delivery, "hosts", 14, delivery::hosts),
    check(Delivery, "authentication", 15, login::authentication),
    check(Delivery, "listeners", 16, login::listeners),
    check(Delivery, "client_ports", 17, login::client_ports),
    check(Delivery, "published_ports", 17, login::published),
    check(Delivery, "offline_storage", 20, delivery::offline_storage),
    check(Delivery, "archive", 21, delivery::archive),
    check(Delivery, "rooms", 22, delivery::rooms),
    check(Delivery, "accounts", 18, delivery::accounts),
    check(Delivery, "bans", 19, delivery::bans),
    check(Delivery, "waiting_messages", 30, delivery::waiting),
    check(Load, "cpu", 25, load::cpu),
    check(Load, "container_memory", 23, load::memory),
    check(Load, "erlang", 24, load::erlang),
    check(Load, "sessions", 26, load::sessions),
    check(Load, "registered", 32, load::registered),
    check(Load, "restarts", 27, load::restarts),
    check(Account, "account", 19, account::exists),
    check(Account, "account_sessions", 28, account::sessions),
    check(Account, "account_messages", 29, account::messages),
];
