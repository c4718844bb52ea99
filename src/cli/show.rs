//! The commands that only read: `validate`, `plan`, `status`.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;

use super::args::{Format, StatusFormat};
use super::empty_store::EmptyStore;
use super::endpoint::Endpoint;
use super::runtimes::Connectors;
use super::session::{Paths, engine};
use super::table::Page;
use super::{Exit, Outcome, endpoint, output, status_text};
use crate::adapters::metrics::Metrics;
use crate::adapters::secrets::FileSecrets;
use crate::domain::status::{ConditionStatus, ConditionType, Reason, Status};
use crate::engine::{Secrets, Store};

/// The exit code of `plan --detailed-exitcode` if the plan has changes.
const CHANGES: u8 = 2;

/// The time limit for a response of the running operator.
const ASK_DEADLINE: Duration = Duration::from_secs(3);

/// The maximum size of a status, in bytes.
const MAX_STATUS_BYTES: usize = 4 << 20;

/// Checks the file, and checks that the files in the desired state can be read.
pub(super) async fn validate(paths: &Paths) -> Outcome {
    let desired = paths.desired().await?;
    let secrets = FileSecrets::new();
    let mut missing = Vec::new();
    for path in desired
        .config
        .iter()
        .flat_map(|config| config.variants.values().chain(config.files.values()))
    {
        if let Err(e) = secrets.read_file(path).await {
            missing.push(format!("failed to {e}"));
        }
    }
    if !missing.is_empty() {
        return Err(Exit::Failure(missing.join("\nerror: ")));
    }
    let count =
        |n: Option<usize>, what: &str| n.map_or_else(String::new, |n| format!(", {n} {what}"));
    output::print(&format!(
        "{} is valid: revision {}{}{}{}\n",
        paths.desired_state.display(),
        desired.revision.short(),
        count(desired.users.as_ref().map(std::collections::BTreeMap::len), "users"),
        count(desired.groups.as_ref().map(std::collections::BTreeMap::len), "groups"),
        count(desired.rooms.as_ref().map(std::collections::BTreeMap::len), "rooms"),
    ))
}

/// The rule for the exit code of `plan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlanExit {
    /// A complete plan exits with 0, with or without changes.
    Plain,
    /// A plan with changes exits with [`CHANGES`].
    Detailed,
}

/// Shows the plan.
pub(super) async fn plan(paths: &Paths, format: Format, exit: PlanExit) -> Outcome {
    let desired = paths.desired().await?;
    let store: Arc<dyn Store> = match paths.remembered()? {
        Some(store) => Arc::new(store),
        None => Arc::new(EmptyStore),
    };
    let metrics = Arc::new(Metrics::new()?);
    let engine =
        engine(&desired, store, Arc::clone(&metrics) as _, &Connectors { metrics, holder: None });
    let plan = engine.reconciler.plan(&desired, None).await;
    engine.server.close().await;
    let plan = plan?;
    match format {
        Format::Text => output::print(&output::plan(&plan, Page::out())),
        Format::Json => output::json(&plan),
    }?;
    if !plan.has_steps()
        && let Some(why) = plan.unknown.first()
    {
        return Err(Exit::Failure(match format {
            // The text of the plan already contains the reason.
            Format::Text => "the plan is incomplete; fix the causes of the parts that are not known, and plan again".into(),
            Format::Json => format!("the plan is incomplete: {why}"),
        }));
    }
    match exit {
        PlanExit::Detailed if !plan.is_empty() => Err(Exit::Code(CHANGES)),
        _ => Ok(()),
    }
}

/// Shows the status of the running operator. If no operator runs, shows the stored status, which is
/// never ready.
pub(super) async fn status(paths: &Paths, format: StatusFormat) -> Outcome {
    let status = match ask_operator(paths).await {
        Some(status) => status,
        None => remembered(paths)?,
    };
    match format {
        StatusFormat::Text => {
            output::print(&status_text::text(&status, Timestamp::now(), Page::out()))
        }
        StatusFormat::Json => output::pretty_json(&status),
        StatusFormat::Yaml => output::yaml(&status),
    }?;
    if status.is(ConditionType::Ready) { Ok(()) } else { Err(Exit::Code(super::FAILURE)) }
}

/// Requests the status of the running operator. `None` if no operator runs or responds.
pub(super) async fn ask_operator(paths: &Paths) -> Option<Status> {
    let endpoint = endpoint::read(&paths.state_dir)?;
    let response = tokio::time::timeout(ASK_DEADLINE, ask(&endpoint)).await.unwrap_or(None);
    // Compare the instance, because another operator may now listen on the address.
    response.filter(|status| status.instance == endpoint.instance)
}

async fn ask(endpoint: &Endpoint) -> Option<Status> {
    let Endpoint { address, token, .. } = endpoint;
    let stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = hyper::Request::get("/status")
        .header(hyper::header::HOST, address)
        .header(hyper::header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Empty::<bytes::Bytes>::new())
        .ok()?;
    let response = sender.send_request(request).await.ok()?;
    let body =
        Limited::new(response.into_body(), MAX_STATUS_BYTES).collect().await.ok()?.to_bytes();
    serde_json::from_slice(&body).ok()
}

fn remembered(paths: &Paths) -> Result<Status, Exit> {
    let none = || {
        Exit::Failure(format!(
            "no operator has run with the state directory {}: start an operator with \
             `ejabberd-operator run`, or name its directory with --state-dir",
            paths.state_dir.display()
        ))
    };
    let store = paths.remembered()?.ok_or_else(none)?;
    let json = store.status()?.ok_or_else(none)?;
    let mut status: Status = serde_json::from_str(&json)?;
    output::say("no operator responds: this is the last stored status\n");
    let now = Timestamp::now();
    for kind in ConditionType::ALL {
        let last = status.get(kind).map(|c| c.message.clone()).unwrap_or_default();
        status.set(
            kind,
            ConditionStatus::Unknown,
            Reason::OperatorNotRunning,
            format!("last known: {last}"),
            now,
        );
    }
    status.server.up = false;
    Ok(status)
}
