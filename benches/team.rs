//! Measures the time and the calls of reconciliations with 10,000 accounts, 200 groups of 50 and
//! 1,000 rooms that list the groups: first on an empty server, then without a change, then with
//! one changed group, then without a change. Without a change, the number of calls must not grow
//! with the accounts.
//!
//!     cargo bench --bench team -- [VERSION] [ACCOUNTS]

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark that cannot run fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ejabberd_operator::adapters::host::nginx::NginxFiles;
use ejabberd_operator::adapters::metrics::Metrics;
use ejabberd_operator::adapters::secrets::FileSecrets;
use ejabberd_operator::adapters::session::Session;
use ejabberd_operator::adapters::sqlite::SqliteStore;
use ejabberd_operator::domain::model::ServerVersion;
use ejabberd_operator::domain::spec;
use ejabberd_operator::domain::spec::{DesiredState, SourceFile};
use ejabberd_operator::ejabberd::{Call, Control, ControlError, EjabberdClient, Value};
use ejabberd_operator::engine::{
    Engine, EventSink, Ports, RecheckBudget, Runtime, Store, Supervisor,
};
use support::real::{CONFIG, Container, HOST};
use support::world::free;

const GROUPS: usize = 200;
const ROOMS: usize = 1000;
const IN_A_GROUP: usize = 50;

/// A control channel that counts calls.
struct Counted {
    session: Session,
    calls: Mutex<BTreeMap<&'static str, usize>>,
}

#[async_trait]
impl Control for Counted {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        *self.calls.lock().unwrap().entry(call.name()).or_default() += 1;
        self.session.call(call, deadline).await
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        self.session.version().await
    }

    async fn close(&self) {
        self.session.close().await;
    }
}

fn declare(container: &str, accounts: usize, more: Option<usize>) -> DesiredState {
    let mut text = format!(
        "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: {{ name: bench }}\nspec:\n  host: {HOST}\n  \
         server: {{ docker: {{ container: {container} }}, accountsTable: disc_copies }}\n  users:\n"
    );
    for n in 0..accounts {
        writeln!(text, "    - {{ name: u{n}, password: secret-{n} }}").unwrap();
    }
    text += "  groups:\n";
    for group in 0..GROUPS {
        let members = (0..IN_A_GROUP).map(|n| (group * IN_A_GROUP + n) % accounts);
        let more = more.filter(|_| group == 0);
        let members: Vec<String> = members.chain(more).map(|n| format!("u{n}")).collect();
        let members = members.join(", ");
        writeln!(text, "    - {{ name: g{group}, displayName: G{group}, members: [{members}] }}")
            .unwrap();
    }
    text += "  rooms:\n";
    for room in 0..ROOMS {
        let group = room % GROUPS;
        let owner = room % accounts;
        writeln!(
            text,
            "    - {{ name: r{room}, title: R{room}, affiliations: {{ owner: [u{owner}], member: [\"@g{group}\"] }} }}"
        )
        .unwrap();
    }
    let file = SourceFile { path: "desired-state.yaml".into(), text };
    spec::validate(&[file]).unwrap_or_else(|problems| panic!("{:?}", problems.first())).desired
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let version = args.first().map_or("newest", String::as_str);
    let accounts = args.get(1).map_or(10_000, |n| n.parse().expect("a number of accounts"));
    let (container, server) = Container::started(version, CONFIG).await;
    server.close().await;
    let control = Arc::new(Counted { session: container.session(), calls: Mutex::default() });
    let state = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(state.path()).unwrap());
    let events: Arc<dyn EventSink> = Arc::new(Metrics::new().unwrap());
    let runtime: Arc<dyn Runtime> = Arc::clone(&container.runtime) as _;
    let first = declare(&container.name, accounts, None);
    let ports = Ports {
        server: EjabberdClient::new(Arc::clone(&control) as Arc<dyn Control>),
        runtime,
        store,
        secrets: Arc::new(FileSecrets::new()),
        proxy: Arc::new(NginxFiles::default()),
        events,
    };
    let supervisor = Arc::new(Supervisor::new(&first, &ports));
    let engine = Engine::new(ports, supervisor, RecheckBudget::new(10, 60, 0));
    println!("ejabberd {version}: {accounts} accounts, {GROUPS} groups, {ROOMS} rooms");
    let changed = declare(&container.name, accounts, Some(accounts - 1));
    for (what, desired) in [
        ("from nothing", &first),
        ("nothing to do", &first),
        ("nothing to do", &first),
        ("one member more in one group", &changed),
        ("nothing to do", &changed),
    ] {
        control.calls.lock().unwrap().clear();
        let began = Instant::now();
        let report = engine.reconciler.round(desired, &free()).await.unwrap();
        let took = began.elapsed();
        assert!(report.converged(), "{what}: {:?}", report.failures().next());
        let calls = control.calls.lock().unwrap().clone();
        let all: usize = calls.values().sum();
        let mut most: Vec<_> = calls.into_iter().collect();
        most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let most: Vec<String> =
            most.iter().take(5).map(|(name, count)| format!("{name} {count}")).collect();
        let steps = report.outcomes.len();
        println!("{what:<30}{steps:>7} steps {all:>7} calls {took:>9.2?}   {}", most.join(", "));
    }
    engine.server.close().await;
}
