//! The port of the Erlang distribution.

use super::{Arg, Call, ControlError, EjabberdClient, Result, Value};
use crate::domain::checks::audit::Distribution;

/// The default port of epmd, without `ERL_EPMD_PORT`.
const EPMD: u16 = 4369;

impl EjabberdClient {
    /// The port at which other nodes reach the server, and the port of epmd.
    ///
    /// The server's VM asks epmd for the port of the server's node, as every other node does. With
    /// `ERL_DIST_PORT` there is no epmd, and the module `erl_epmd` responds from the flags of the
    /// VM.
    pub async fn distribution(&self) -> Result<Distribution> {
        let name = vec![Arg::Characters("ERL_EPMD_PORT".to_owned())];
        let mapper = Call::function("os", "getenv", name);
        let mapper = self.control.call(mapper, self.deadline).await?;
        let mapper = mapper.as_text().and_then(|text| text.parse().ok()).unwrap_or(EPMD);
        Ok(Distribution { port: self.distribution_port().await?, mapper })
    }

    async fn distribution_port(&self) -> Result<Option<u16>> {
        const NAME: &str = "port_please";
        let node = self.control.call(Call::function("erlang", "node", Vec::new()), self.deadline);
        let node = node.await?;
        let node = node.as_text().ok_or(ControlError::Malformed("node"))?;
        let Some((name, host)) = node.split_once('@') else { return Ok(None) };
        let args = vec![Arg::Characters(name.to_owned()), Arg::Characters(host.to_owned())];
        let call = Call::function("erl_epmd", NAME, args);
        match self.control.call(call, self.deadline).await? {
            Value::Tuple(parts) => match parts.as_slice() {
                [Value::Atom(word), Value::Int(port), ..] if word == "port" => {
                    u16::try_from(*port).map(Some).map_err(|_| ControlError::Malformed(NAME))
                }
                _ => Err(super::responses::refused(NAME, &Value::Tuple(parts))),
            },
            // epmd responds, but does not know the node.
            Value::Atom(word) if word == "noport" => Ok(None),
            response => Err(super::responses::refused(NAME, &response)),
        }
    }
}
