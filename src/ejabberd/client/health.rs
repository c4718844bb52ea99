//! Queries for the diagnosis of a fault. These queries change nothing.

use std::time::Duration;

use super::accounts::account;
use super::responses::{number, refused, texts};
use super::{AnyListener, Arg, Call, ControlError, EjabberdClient, Result, Shape, Value};
use crate::domain::checks::doctor::{Archive, Session, Vm};
use crate::domain::model::{Jid, Vhost};

/// The table of archived messages in ejabberd's own database.
const ARCHIVE: &str = "archive_msg";

impl EjabberdClient {
    async fn function(
        &self,
        module: &'static str,
        function: &'static str,
        args: Vec<Arg>,
    ) -> Result<Value> {
        self.control.call(Call::function(module, function, args), self.deadline).await
    }

    /// The HTTP status of the response of `listener` to a request for `path`. The request comes
    /// from the server's host.
    pub async fn http_status(
        &self,
        listener: &AnyListener,
        path: &str,
        wait: Duration,
    ) -> Result<u16> {
        const NAME: &str = "get";
        let response =
            self.at_listener(NAME, listener, "localhost", vec![path.into()], wait).await?;
        let bytes = response.into_bytes().ok_or(ControlError::Malformed(NAME))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut words = text.split_whitespace();
        let status = words.next().filter(|word| word.starts_with("HTTP/")).and(words.next());
        status.and_then(|word| word.parse().ok()).ok_or_else(|| ControlError::Refused {
            command: NAME,
            message: "it does not speak HTTP".to_owned(),
        })
    }

    /// The option `default` of the archive of `host`; `None` if `host` has no archive.
    pub async fn archive_default(&self, host: &Vhost) -> Result<Option<String>> {
        const NAME: &str = "default";
        if !self.has_module(host, "mod_mam").await? {
            return Ok(None);
        }
        let response = self.function("mod_mam_opt", NAME, vec![host.as_str().into()]).await?;
        response.as_text().map(|word| Some(word.to_owned())).ok_or(ControlError::Malformed(NAME))
    }

    /// The size of the archive in ejabberd's own database; `None` if the archive is elsewhere.
    pub async fn archive_table(&self) -> Result<Option<Archive>> {
        const NAME: &str = "table_info";
        let about = |what: &'static str| {
            self.function("mnesia", NAME, vec![Arg::Atom(ARCHIVE), Arg::Atom(what)])
        };
        let storage = match about("storage_type").await {
            Err(ControlError::Crashed { .. }) => return Ok(None),
            response => response?,
        };
        let messages = number(NAME, &about("size").await?)?;
        // Only a table on disk is measured in bytes, and has a size limit.
        let bytes = match storage.as_text() {
            Some("disc_only_copies") => Some(number(NAME, &about("memory").await?)?),
            _ => None,
        };
        Ok(Some(Archive::Mnesia { messages, bytes }))
    }

    /// The full JIDs of all sessions.
    pub async fn connected(&self) -> Result<Vec<String>> {
        const NAME: &str = "connected_users";
        let response = self.command(NAME, Shape::Lines, Vec::new()).await?;
        Ok(texts(NAME, &response)?.into_iter().map(str::to_owned).collect())
    }

    /// The sessions of an account.
    pub async fn sessions_of(&self, jid: &Jid) -> Result<Vec<Session>> {
        const NAME: &str = "user_sessions_info";
        let response = self.command(NAME, Shape::Lines, account(jid)).await?;
        let items = response.as_list().ok_or_else(|| refused(NAME, &response))?;
        items.iter().map(|item| session(item).ok_or(ControlError::Malformed(NAME))).collect()
    }

    /// The last activity of an account, in the format of the server.
    pub async fn last_activity(&self, jid: &Jid) -> Result<String> {
        const NAME: &str = "get_last";
        let response = self.command(NAME, Shape::Text, account(jid)).await?;
        let parts: Vec<&str> = match &response {
            Value::Tuple(parts) => parts.iter().filter_map(Value::as_text).collect(),
            other => other.as_text().into_iter().flat_map(|text| text.split('\t')).collect(),
        };
        let words: Vec<&str> = parts.into_iter().filter(|word| !word.is_empty()).collect();
        if words.is_empty() { Err(refused(NAME, &response)) } else { Ok(words.join(", ")) }
    }

    /// Whether the control channel can call functions of the server's VM. A session can;
    /// `ejabberdctl` cannot.
    pub async fn calls_functions(&self) -> Result<bool> {
        match self.function("erlang", "system_info", vec![Arg::Atom("process_count")]).await {
            Err(ControlError::Unsupported { .. }) => Ok(false),
            response => response.map(|_| true),
        }
    }

    /// The counters of the server's VM.
    pub async fn vm(&self) -> Result<Vm> {
        let ask = |function: &'static str, what: &'static str| async move {
            number(function, &self.function("erlang", function, vec![Arg::Atom(what)]).await?)
        };
        Ok(Vm {
            processes: ask("system_info", "process_count").await?,
            process_limit: ask("system_info", "process_limit").await?,
            ports: ask("system_info", "port_count").await?,
            port_limit: ask("system_info", "port_limit").await?,
            memory: ask("memory", "total").await?,
            run_queue: ask("statistics", "run_queue").await?,
            schedulers: ask("system_info", "schedulers_online").await?,
        })
    }
}

/// Parses `{Connection, Ip, Port, Priority, Node, Uptime, Status, Resource, Text}`, or the same
/// fields with tabs between.
fn session(item: &Value) -> Option<Session> {
    let parts: Vec<Value> = match item {
        Value::Tuple(parts) => parts.clone(),
        other => other.as_text()?.split('\t').map(|word| Value::Text(word.to_owned())).collect(),
    };
    let text = |at: usize| match parts.get(at) {
        Some(part) if part.as_list().is_some_and(<[_]>::is_empty) => Some(String::new()),
        Some(part) => part.as_text().map(str::to_owned),
        None => None,
    };
    let int = |at: usize| number("user_sessions_info", parts.get(at)?).ok();
    Some(Session {
        connection: text(0)?,
        priority: int(3).unwrap_or(0),
        uptime: int(5).unwrap_or(0),
        status: text(6)?,
        status_text: text(8).unwrap_or_default(),
        resource: text(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_from_terms_and_from_text() {
        let text = |word: &str| Value::Text(word.to_owned());
        let terms = Value::Tuple(vec![
            text("c2s_tls"),
            text("::1"),
            Value::Int(5),
            Value::Int(-1),
            text("ejabberd@localhost"),
            Value::Int(231),
            text("available"),
            text("phone"),
            Value::List(Vec::new()),
        ]);
        let line = text("c2s_tls\t::1\t5\t-1\tejabberd@localhost\t231\tavailable\tphone\t");
        let found = session(&terms).unwrap();
        assert_eq!(Some(&found), session(&line).as_ref());
        assert_eq!((found.priority, found.uptime, found.resource.as_str()), (-1, 231, "phone"));
        assert_eq!(session(&text("c2s")), None);
    }
}
