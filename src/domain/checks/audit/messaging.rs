//! Judges the items about the clients of messaging and the MCP server.

use std::collections::BTreeSet;

use super::network::list;
use super::{Evidence, Judgement, Socket, fails, known, passes, unknown};
use crate::domain::checks::text::count;
use crate::domain::messaging::{JidPattern, MCP_PATH};
use crate::domain::nginx::{Location, Route, Target};
use crate::domain::observed::Reading;

/// The port of the MCP server in the documentation, the unit and the site of nginx.
pub(super) const MCP_PORT: u16 = 3444;

/// The minimum length of a token in characters: 32 random hexadecimal digits have 128 bits.
const LONG_ENOUGH: usize = 32;

/// The minimum number of different characters in a token. 32 random hexadecimal digits have fewer
/// than 8 with a probability of about one in a million.
const DIFFERENT: usize = 8;

/// The evidence about a declared client of messaging.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientEvidence {
    /// The name.
    pub name: String,
    /// The patterns of the accounts that the client may act as.
    pub act_as: Vec<JidPattern>,
    /// The properties of the token.
    pub token: Reading<TokenEvidence>,
}

/// The properties of a token. The evidence does not contain the token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenEvidence {
    /// The number of characters.
    pub length: usize,
    /// The number of different characters.
    pub different: usize,
    /// Another client with the same token.
    pub shared_with: Option<String>,
    /// Who else can read or replace the file of the token, in words.
    pub exposure: Option<String>,
}

const NO_CLIENT: &str = "no messaging client is declared";

pub(super) fn tokens(evidence: &Evidence) -> Judgement {
    if evidence.clients.is_empty() {
        return passes(NO_CLIENT);
    }
    let (mut weak, mut unread) = (Vec::new(), Vec::new());
    for client in &evidence.clients {
        match &client.token {
            Reading::Known(token) => {
                weak.extend(token.faults().map(|fault| format!("`{}`: {fault}", client.name)));
            }
            Reading::Unknown(why) => unread.push(format!("`{}`: {why}", client.name)),
        }
    }
    match (weak.as_slice(), unread.as_slice()) {
        ([], []) => passes(format!(
            "{}, each with a separate private token of at least {LONG_ENOUGH} characters",
            count(evidence.clients.len(), "client")
        )),
        ([], unread) => unknown(list(unread)),
        (weak, _) => fails(list(weak)),
    }
}

impl TokenEvidence {
    fn faults(&self) -> impl Iterator<Item = String> {
        let Self { length, different, shared_with, exposure } = self;
        let short = (*length < LONG_ENOUGH).then(|| format!("the token has {length} characters"));
        let simple = (*length >= LONG_ENOUGH && *different < DIFFERENT)
            .then(|| format!("the token has only {different} different characters"));
        let shared = shared_with.as_ref().map(|other| format!("`{other}` has the same token"));
        let exposure = exposure.clone();
        [short, simple, shared, exposure].into_iter().flatten()
    }
}

pub(super) fn act_as(evidence: &Evidence) -> Judgement {
    if evidence.clients.is_empty() {
        return passes(NO_CLIENT);
    }
    let all = |pattern: &&JidPattern| pattern.local().chars().all(|c| c == '*');
    let wide = evidence.clients.iter().flat_map(|client| {
        client.act_as.iter().filter(all).map(|pattern| format!("`{}`: {pattern}", client.name))
    });
    let wide: Vec<String> = wide.collect();
    if wide.is_empty() {
        passes("no client acts as every account of a host")
    } else {
        fails(list(wide))
    }
}

/// The ports of the MCP server on this host: the documented port, and each port that nginx uses for
/// the path of the MCP server.
pub(super) fn mcp_ports(routes: &[Route]) -> BTreeSet<u16> {
    let is_mcp = |location: &Location| location.path == MCP_PATH;
    let routes = routes.iter().filter(|route| route.location.as_ref().is_some_and(is_mcp));
    let ports = routes.flat_map(|route| &route.targets).filter_map(|target| match target {
        Target::Port(port) => Some(*port),
        _ => None,
    });
    ports.chain([MCP_PORT]).collect()
}

pub(super) fn mcp_loopback(evidence: &Evidence) -> Judgement {
    if evidence.clients.is_empty() {
        return passes(NO_CLIENT);
    }
    let host = known!(&evidence.host);
    let ports = match &evidence.nginx {
        Reading::Known(Some(routes)) => mcp_ports(routes),
        Reading::Known(None) => mcp_ports(&[]),
        Reading::Unknown(why) => {
            return unknown(format!("the routes of nginx are unknown: {why}"));
        }
    };
    let is_mcp = |socket: &&Socket| ports.contains(&socket.at.port());
    let found: Vec<&Socket> = host.iter().filter(is_mcp).collect();
    let open: Vec<&Socket> = found.iter().copied().filter(|socket| !socket.is_local()).collect();
    match (found.as_slice(), open.as_slice()) {
        ([], _) => passes(format!("no program listens at port {} of this host", list(&ports))),
        (found, []) => passes(list(found)),
        (_, open) => fails(list(open)),
    }
}
