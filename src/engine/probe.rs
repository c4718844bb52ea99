//! Asking a server how it is, from where it runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::error::ControlError;
use super::server::{Listener, Server};
use crate::model::Vhost;

/// How long a probe of a server that starts may take: opening a session costs
/// a busy host seconds.
const START_PROBE: Duration = Duration::from_secs(15);

/// The part of an interval that a server which is up has to answer: three
/// misses in a row are seen within two and a half intervals.
const PATIENCE: f64 = 0.4;

/// How often the server is asked where it listens.
const LISTENERS_EVERY: Duration = Duration::from_secs(30);

/// How it is.
pub(super) enum Answer {
    /// It answers, and its client port speaks XMPP.
    Well,
    /// ejabberd was stopped in a node that lives.
    Halted,
    /// It does not answer, and what was seen.
    Silent(String),
}

/// Asks one server.
pub(super) struct Prober {
    server: Server,
    known: Mutex<Known>,
}

struct Known {
    host: Vhost,
    /// Its client listeners, and when it was asked for them.
    listeners: Option<(Instant, Vec<SocketAddr>)>,
    measured: Option<Instant>,
}

impl Prober {
    pub(super) fn new(server: Server, host: Vhost) -> Self {
        Self { server, known: Mutex::new(Known { host, listeners: None, measured: None }) }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_host(&self, host: &Vhost) {
        self.known().host = host.clone();
    }

    /// When [`now_measured`](Self::now_measured) was last said.
    pub(super) fn measured(&self) -> Option<Instant> {
        self.known().measured
    }

    pub(super) fn now_measured(&self) {
        self.known().measured = Some(Instant::now());
    }

    /// Asks once.
    pub(super) async fn ask(&self, interval: Duration, starting: bool) -> Answer {
        let deadline = if starting { START_PROBE } else { interval.mul_f64(PATIENCE) };
        let server = self.server.clone().with_deadline(deadline);
        match timeout(deadline, self.look(&server, deadline, starting)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Silent(format!("failed to {error}")),
            Err(_) => Answer::Silent(format!("no answer within {deadline:?}")),
        }
    }

    async fn look(
        &self,
        server: &Server,
        deadline: Duration,
        starting: bool,
    ) -> Result<Answer, ControlError> {
        if !server.is_started().await? {
            if !starting && server.is_halted().await? {
                return Ok(Answer::Halted);
            }
            return Ok(Answer::Silent("it has not started".to_owned()));
        }
        let host = self.known().host.clone();
        for at in self.listeners(server, starting).await? {
            match server.open_stream(at, &host, deadline).await {
                Ok(said) if said.contains("<stream:stream") => {}
                Ok(_) => return Ok(Answer::Silent(format!("{at} does not speak XMPP"))),
                // Only the session can look from there.
                Err(ControlError::Unsupported { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Answer::Well)
    }

    async fn listeners(
        &self,
        server: &Server,
        starting: bool,
    ) -> Result<Vec<SocketAddr>, ControlError> {
        if !starting
            && let Some((when, known)) = &self.known().listeners
            && when.elapsed() < LISTENERS_EVERY
        {
            return Ok(known.clone());
        }
        let found = match server.listeners().await {
            Ok(listeners) => {
                listeners.iter().filter(|listener| listener.is_plain_c2s()).map(reach).collect()
            }
            Err(ControlError::Unsupported { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        self.known().listeners = Some((Instant::now(), Vec::clone(&found)));
        Ok(found)
    }
}

/// Where a listener is reached from where the server runs.
pub(super) fn reach(listener: &Listener) -> SocketAddr {
    let ip = match listener.at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.at.port())
}
