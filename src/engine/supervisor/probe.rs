//! Asking a server how it is, from where it runs.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use crate::domain::checks::audit;
use crate::domain::checks::audit::Table;
use crate::domain::model::Vhost;
use crate::ejabberd::{ControlError, EjabberdClient, Endpoint, Listener, NodePhase};

/// How long a probe of a server that starts may take: opening a session costs
/// a busy host seconds.
const START_PROBE: Duration = Duration::from_secs(15);

/// The part of an interval that a server which is up has to answer: three
/// misses in a row are seen within two and a half intervals.
const PATIENCE: f64 = 0.4;

/// What a server that speaks XMPP answers to a stream's header.
const STREAM: &str = "<stream:stream";

/// How often the server is asked where it listens.
const LISTENERS_EVERY: Duration = Duration::from_secs(30);

/// How long the control channel may take to look around without the node: its
/// VM may have to be started first.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);

/// How long all client ports together may take to answer, when the node does not.
const PORTS_DEADLINE: Duration = Duration::from_secs(2);

/// No more sockets than these are tried where nobody knows which are for clients.
const MAX_SOCKETS: usize = 16;

/// How it is.
#[derive(Debug)]
pub(in crate::engine) enum Answer {
    /// ejabberd runs, and its client ports speak XMPP.
    Well,
    /// ejabberd was stopped in a node that lives.
    Halted,
    /// Its node is on the way up.
    InProgress,
    /// Its node is on the way down: somebody stops it, and its end is an event of
    /// its own.
    Stopping,
    /// ejabberd runs, and a client port does not speak XMPP.
    PortSilent(String),
    /// Neither the node nor a client port answers, and what was seen.
    Silent(String),
    /// Nothing can be said about it: why, and what to do.
    Unseen(String),
}

/// What a probe expects of the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::engine) enum ProbeMode {
    /// The server may still be starting: the probe waits long and reads the listeners again.
    Starting,
    /// The server is up and has a part of `interval`, the time between two probes, to respond.
    Running { interval: Duration },
}

/// Asks one server.
pub(in crate::engine) struct Prober {
    server: EjabberdClient,
    known: Mutex<Known>,
}

struct Known {
    host: Vhost,
    /// Its client listeners, and when it was asked for them.
    listeners: Option<(Instant, Vec<Endpoint>)>,
    measured: Option<Instant>,
}

impl Prober {
    pub(in crate::engine) fn new(server: EjabberdClient, host: Vhost) -> Self {
        Self { server, known: Mutex::new(Known { host, listeners: None, measured: None }) }
    }

    pub(in crate::engine) fn set_host(&self, host: &Vhost) {
        self.known.lock().host = host.clone();
    }

    /// When [`now_measured`](Self::now_measured) was last said.
    pub(in crate::engine) fn measured(&self) -> Option<Instant> {
        self.known.lock().measured
    }

    pub(in crate::engine) fn now_measured(&self) {
        self.known.lock().measured = Some(Instant::now());
    }

    /// Asks once.
    pub(in crate::engine) async fn ask(&self, mode: ProbeMode) -> Answer {
        let deadline = match mode {
            ProbeMode::Starting => START_PROBE,
            ProbeMode::Running { interval } => interval.mul_f64(PATIENCE),
        };
        let server = self.server.clone().with_deadline(deadline);
        let asked = timeout(deadline, self.look(&server, deadline, mode)).await;
        match asked.unwrap_or(Err(ControlError::Timeout("get_status"))) {
            Ok(answer) => answer,
            Err(error) => self.without_node(&error).await,
        }
    }

    async fn look(
        &self,
        server: &EjabberdClient,
        deadline: Duration,
        mode: ProbeMode,
    ) -> Result<Answer, ControlError> {
        match server.phase().await? {
            NodePhase::Running => {}
            NodePhase::Starting => return Ok(Answer::InProgress),
            NodePhase::Stopping => return Ok(Answer::Stopping),
            NodePhase::Stopped => return Ok(Answer::Halted),
        }
        let ask_again = mode == ProbeMode::Starting;
        let mut silent = self.silent_port(server, deadline, ask_again).await?;
        if silent.is_some() {
            // The listeners that are remembered may be those of another configuration.
            silent = self.silent_port(server, deadline, true).await?;
        }
        Ok(silent.map_or(Answer::Well, Answer::PortSilent))
    }

    /// The first client port that does not speak XMPP, and what was seen there.
    async fn silent_port(
        &self,
        server: &EjabberdClient,
        deadline: Duration,
        ask_again: bool,
    ) -> Result<Option<String>, ControlError> {
        let host = self.known.lock().host.clone();
        for to in self.listeners(server, ask_again).await? {
            match server.open_stream(to, &host, deadline).await {
                Ok(said) if said.contains(STREAM) => {}
                Ok(_) => return Ok(Some(format!("{} does not speak XMPP", to.at))),
                // Only the session can look from there.
                Err(ControlError::Unsupported { .. }) => {}
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => return Ok(Some(format!("{}: failed to {error}", to.at))),
            }
        }
        Ok(None)
    }

    /// What can be said of a server whose node gives no answer. A wrong cookie,
    /// name or port keeps the operator out and nobody else: only where no client
    /// port answers either is the server down.
    async fn without_node(&self, error: &ControlError) -> Answer {
        if !matches!(
            error,
            ControlError::Unreachable(_) | ControlError::Timeout(_) | ControlError::Broken(_)
        ) {
            return Answer::Unseen(format!(
                "failed to {error}; the server is left alone until the operator can see it: \
                 `ejabberd-operator doctor` tells more"
            ));
        }
        let server = self.server.clone().with_deadline(LOOK_DEADLINE);
        match self.port_that_answers(&server).await {
            Ok(Some(at)) => Answer::Unseen(format!(
                "clients are served at {at}, and the server's Erlang node does not let the \
                 operator in: failed to {error}; are the node's cookie and name still those that it \
                 was started with? The server is left alone"
            )),
            Ok(None) => Answer::Silent(format!("failed to {error}, and no client port answers")),
            // There is no VM that could have a port.
            Err(ControlError::Unreachable(why)) => Answer::Silent(why),
            Err(other) => Answer::Unseen(format!(
                "failed to {error}, and its client ports cannot be looked at: failed to {other}; \
                 the server is left alone"
            )),
        }
    }

    /// The first client port that answers as XMPP or HTTP do, if one does.
    async fn port_that_answers(
        &self,
        server: &EjabberdClient,
    ) -> Result<Option<SocketAddr>, ControlError> {
        let host = self.known.lock().host.clone();
        let known = self.known.lock().listeners.as_ref().map(|(_, known)| known.clone());
        // An answer to this shows that the operator can look, so that a port
        // that gives none later is silent itself.
        let status = server.process_status().await?;
        let to = match known.filter(|known| !known.is_empty()) {
            Some(known) => known,
            None => sockets_of(&status, &server.tcp_tables().await?),
        };
        let opened = to.into_iter().map(|to| {
            let host = &host;
            async move { (to.at, server.open_stream(to, host, PORTS_DEADLINE).await) }
        });
        let mut opened: FuturesUnordered<_> = opened.collect();
        let end = Instant::now() + PORTS_DEADLINE;
        while let Ok(Some((at, said))) = timeout_at(end, opened.next()).await {
            match said {
                Ok(said) if said.contains(STREAM) || said.starts_with("HTTP/") => {
                    return Ok(Some(at));
                }
                Err(error @ (ControlError::CannotOpen(_) | ControlError::Unsupported { .. })) => {
                    return Err(error);
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    async fn listeners(
        &self,
        server: &EjabberdClient,
        ask_again: bool,
    ) -> Result<Vec<Endpoint>, ControlError> {
        if !ask_again
            && let Some((when, known)) = &self.known.lock().listeners
            && when.elapsed() < LISTENERS_EVERY
        {
            return Ok(known.clone());
        }
        let found = match server.listeners().await {
            Ok(listeners) => listeners
                .iter()
                .filter(|listener| listener.is_c2s())
                .map(Listener::endpoint)
                .collect(),
            Err(ControlError::Unsupported { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        self.known.lock().listeners = Some((Instant::now(), Vec::clone(&found)));
        Ok(found)
    }
}

/// Every way in which a client may reach the sockets of the user that `status`
/// (`/proc/self/status`) names, where nobody knows which of them are for clients.
fn sockets_of(status: &str, tables: &str) -> Vec<Endpoint> {
    let user = audit::user_of_status(status);
    let sockets = audit::listening(tables, Table::Tcp).into_iter();
    let own = sockets.filter(|socket| Some(socket.user) == user).take(MAX_SOCKETS);
    let ways = [(false, false), (true, false), (false, true)];
    own.flat_map(|socket| {
        ways.map(|(proxied, tls)| Endpoint { proxied, tls, ..Endpoint::plain(socket.at) })
    })
    .collect()
}
