//! Stores the address of the running operator for `status`.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;

use super::Exit;
use crate::adapters::host::files;
use crate::adapters::web::{Access, Token};

/// The name of the file in the state directory. The file holds the operator's address, the instance
/// name and the token for `status`; only the operator's account can read the file.
const FILE: &str = "endpoint";

/// The maximum size of the file, in bytes. The file contains an address, the name of an instance
/// and a token.
const MAX_BYTES: usize = 4096;

/// The options of the HTTP server.
pub(super) struct Web {
    pub(super) listen: SocketAddr,
    pub(super) token_file: Option<PathBuf>,
}

impl Web {
    /// Returns the access rule of the HTTP server and a generated token. `status` uses the
    /// generated token, because `status` cannot read the token file of the administrator.
    pub(super) fn access(&self) -> Result<(Access, String), Exit> {
        let local = random()?;
        let Some(path) = &self.token_file else {
            if self.listen.ip().to_canonical().is_loopback() {
                return Ok((Access::Loopback, local));
            }
            return Err(Exit::Usage(format!(
                "`--listen {}` lets other hosts read all account and room names without a token; give a \
                 token file with `--token-file PATH` (create the token with `openssl rand -hex 32`), or \
                 listen on 127.0.0.1",
                self.listen
            )));
        };
        let token = Token::read(path)?;
        Ok((Access::Tokens(vec![token, Token::new(&local)]), local))
    }

    pub(super) async fn bind(&self) -> Result<TcpListener, Exit> {
        let listen = self.listen;
        TcpListener::bind(listen).await.map_err(|e| {
            Exit::Failure(format!(
                "failed to listen on {listen}: {e}; give another address or port with --listen"
            ))
        })
    }
}

fn random() -> Result<String, Exit> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|e| Exit::Failure(format!("failed to generate a token for `status`: {e}")))?;
    Ok(hex::encode(bytes))
}

/// The address of the running operator as seen from this host.
pub(super) struct Endpoint {
    pub(super) address: String,
    pub(super) instance: String,
    pub(super) token: String,
}

/// Writes the address of the running operator to a file that only this account can read.
pub(super) fn write(
    state_dir: &Path,
    address: SocketAddr,
    instance: &str,
    token: &str,
) -> std::io::Result<()> {
    let near = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(near, address.port());
    let (path, new) = (state_dir.join(FILE), state_dir.join("endpoint.new"));
    // Remove the draft of an earlier operator, because other accounts may be able to read that
    // draft.
    let _ = std::fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "{address} {instance} {token}")?;
    std::fs::rename(new, path)
}

/// Reads the address of the running operator. `None` if no operator runs.
pub(super) fn read(state_dir: &Path) -> Option<Endpoint> {
    let content = files::read(&state_dir.join(FILE), MAX_BYTES).ok()?;
    let text = std::str::from_utf8(&content).ok()?;
    let mut words = text.split_whitespace().map(str::to_owned);
    let (address, instance) = (words.next()?, words.next()?);
    Some(Endpoint { address, instance, token: words.next().unwrap_or_default() })
}

/// Removes the file when the operator ends, so that `status` reports that no operator runs.
pub(super) fn remove(state_dir: &Path) {
    let _ = std::fs::remove_file(state_dir.join(FILE));
}
