//! The command `mcp`: serves the tools of the operator to language models.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::args::Mcp;
use super::{Exit, Outcome, interrupted};
use crate::adapters::messaging::OperatorClient;
use crate::adapters::messaging::mcp::{http, stdio};

/// Serves MCP until a signal or the end of standard input.
pub(super) async fn mcp(arguments: Mcp) -> Outcome {
    let Mcp { stdio: _, token_file, listen, socket, allowed_origin, allowed_host } = arguments;
    let client = Arc::new(OperatorClient::new(socket));
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        interrupted().await;
        stop.send_replace(true);
    });
    match (listen, token_file) {
        (Some(listen), _) => {
            let rules = http::Rules::new(listen, &allowed_host, &allowed_origin)
                .map_err(|error| Exit::Usage(format!("failed to {error}")))?;
            serve_http(listen, client, rules, stopped).await
        }
        (None, Some(path)) => serve_stdio(path, client, stopped).await,
        (None, None) => Err(Exit::Usage("give --listen, or --stdio with --token-file".to_owned())),
    }
}

async fn serve_http(
    listen: SocketAddr,
    client: Arc<OperatorClient>,
    rules: http::Rules,
    stopped: watch::Receiver<bool>,
) -> Outcome {
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Exit::Failure(format!(
            "failed to listen on {listen}: {error}; give another address or port with --listen"
        ))
    })?;
    let address = listener.local_addr()?;
    if !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            %address,
            "other hosts can connect, and their tokens cross the network without encryption; \
             listen on 127.0.0.1 behind a reverse proxy with TLS"
        );
    }
    tracing::info!(%address, socket = %client.path().display(), "started");
    http::serve(listener, client, rules, stopped).await;
    Ok(())
}

async fn serve_stdio(
    token_file: PathBuf,
    client: Arc<OperatorClient>,
    stopped: watch::Receiver<bool>,
) -> Outcome {
    let token = stdio::read_token(&token_file)?;
    let streams = (tokio::io::stdin(), tokio::io::stdout());
    stdio::serve(client, token, streams, stopped)
        .await
        .map_err(|error| Exit::Failure(format!("failed to serve MCP: {error}")))
}
