//! Probes the health of a server, from the host where the server runs.

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

/// The deadline of a probe of a starting server. On a busy host, the operator needs seconds to open
/// a session.
const START_PROBE: Duration = Duration::from_secs(15);

/// The deadline of a probe of a running server, as a fraction of the interval. With 0.4, the
/// supervisor detects three missed probes in a row within 2.5 intervals.
const PATIENCE: f64 = 0.4;

/// The beginning of the response of an XMPP server to the header of a stream.
const STREAM: &str = "<stream:stream";

/// The minimum time between two queries of the listeners of a running server.
const LISTENERS_EVERY: Duration = Duration::from_secs(30);

/// The deadline of a query that the control channel answers without the server's node. The operator
/// may have to start the Erlang VM of the channel first.
const BESIDE_DEADLINE: Duration = Duration::from_secs(5);

/// The deadline of the connections to all client ports together, if the node does not respond.
const PORTS_DEADLINE: Duration = Duration::from_secs(2);

/// The maximum number of sockets that a probe tries if the client listeners are unknown.
const MAX_SOCKETS: usize = 16;

/// The result of a probe.
#[derive(Debug)]
pub(in crate::engine) enum Answer {
    /// ejabberd runs, and the client ports speak XMPP.
    Well,
    /// The node runs, but ejabberd in the node is stopped.
    Halted,
    /// The node is starting.
    InProgress,
    /// Another program is stopping the node. The supervisor gets a separate event when the node
    /// exits.
    Stopping,
    /// ejabberd runs, but a client port does not speak XMPP. Contains the port and the cause.
    PortSilent(String),
    /// Neither the node nor a client port responds. Contains the cause.
    Silent(String),
    /// The health of the server is unknown. Contains the cause and what to do.
    Unseen(String),
}

/// The mode of a probe: sets the deadline, and whether the probe reads the listeners again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::engine) enum ProbeMode {
    /// The server may still be starting: the deadline is [`START_PROBE`], and the probe reads the
    /// listeners again.
    Starting,
    /// The server is up. The deadline is a fraction of `interval`, the time between two probes.
    Running { interval: Duration },
}

/// The prober of one server.
pub(in crate::engine) struct Prober {
    server: EjabberdClient,
    known: Mutex<Known>,
}

struct Known {
    host: Vhost,
    /// The client listeners, and the time when the server reported them.
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

    /// Returns the time of the last call of [`now_measured`](Self::now_measured); `None` if there
    /// was no such call.
    pub(in crate::engine) fn measured(&self) -> Option<Instant> {
        self.known.lock().measured
    }

    pub(in crate::engine) fn now_measured(&self) {
        self.known.lock().measured = Some(Instant::now());
    }

    /// Probes the server once.
    pub(in crate::engine) async fn ask(&self, mode: ProbeMode) -> Answer {
        let deadline = match mode {
            ProbeMode::Starting => START_PROBE,
            ProbeMode::Running { interval } => interval.mul_f64(PATIENCE),
        };
        let server = self.server.clone().with_deadline(deadline);
        let asked = timeout(deadline, self.probe(&server, deadline, mode)).await;
        match asked.unwrap_or(Err(ControlError::Timeout("get_status"))) {
            Ok(answer) => answer,
            Err(error) => self.without_node(&error).await,
        }
    }

    async fn probe(
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
            // Read the listeners again, because the known listeners may belong to an earlier
            // configuration.
            silent = self.silent_port(server, deadline, true).await?;
        }
        Ok(silent.map_or(Answer::Well, Answer::PortSilent))
    }

    /// Returns a message about the first client port that does not speak XMPP; `None` if all client
    /// ports speak XMPP.
    async fn silent_port(
        &self,
        server: &EjabberdClient,
        deadline: Duration,
        ask_again: bool,
    ) -> Result<Option<String>, ControlError> {
        let host = self.known.lock().host.clone();
        for to in self.listeners(server, ask_again).await? {
            match server.open_stream(to, &host, deadline).await {
                Ok(response) if response.contains(STREAM) => {}
                Ok(_) => return Ok(Some(format!("{} does not speak XMPP", to.at))),
                // The `ejabberdctl` channel cannot open a connection, so skip the port.
                Err(ControlError::Unsupported { .. }) => {}
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => return Ok(Some(format!("{}: failed to {error}", to.at))),
            }
        }
        Ok(None)
    }

    /// Returns the result for a server whose node does not respond. With a wrong cookie, node name
    /// or port, the operator cannot connect, but clients can. The server is down only if no client
    /// port responds either.
    async fn without_node(&self, error: &ControlError) -> Answer {
        if !matches!(
            error,
            ControlError::Unreachable(_) | ControlError::Timeout(_) | ControlError::Broken(_)
        ) {
            return Answer::Unseen(format!(
                "failed to {error}; the operator does not restart a server whose health is unknown; \
                 try `ejabberd-operator doctor`"
            ));
        }
        let server = self.server.clone().with_deadline(BESIDE_DEADLINE);
        match self.port_that_answers(&server).await {
            Ok(Some(at)) => Answer::Unseen(format!(
                "clients are served at {at}, but the server's Erlang node rejects the operator: \
                 failed to {error}; check that the cookie and the node name are the same as when \
                 the server started; the operator does not restart the server"
            )),
            Ok(None) => Answer::Silent(format!("failed to {error}, and no client port responds")),
            // The VM does not run, so the server has no ports.
            Err(ControlError::Unreachable(why)) => Answer::Silent(why),
            Err(other) => Answer::Unseen(format!(
                "failed to {error}; the state of the client ports is unknown, because the operator \
                 failed to {other}; the operator does not restart the server"
            )),
        }
    }

    /// Returns the first client port that responds with XMPP or HTTP; `None` if no client port
    /// responds.
    async fn port_that_answers(
        &self,
        server: &EjabberdClient,
    ) -> Result<Option<SocketAddr>, ControlError> {
        let host = self.known.lock().host.clone();
        let known = self.known.lock().listeners.as_ref().map(|(_, known)| known.clone());
        // First check that the channel works. Otherwise a broken channel looks like a silent port.
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
        while let Ok(Some((at, response))) = timeout_at(end, opened.next()).await {
            match response {
                Ok(text) if text.contains(STREAM) || text.starts_with("HTTP/") => {
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

/// Returns the endpoints to try if the client listeners are unknown: each listening socket of the
/// server's user, plain, with the PROXY protocol, and with TLS. `status` is the content of
/// `/proc/self/status`, and `tables` holds the kernel's tables of TCP sockets.
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
