//! Checks the authentication backends of each vhost.

use super::{Call, ControlError, EjabberdClient, Result, Value};
use crate::domain::checks::doctor::{Backend, BackendServer, BackendState};
use crate::domain::model::Vhost;

/// The maximum number of servers of one backend in the evidence.
const MOST_SERVERS: usize = 16;

impl EjabberdClient {
    /// The authentication backends of `host`, with the state of each backend. Takes up to seven
    /// seconds if a backend does not respond. ejabberd searches each LDAP, SQL and external backend
    /// for an account that does not exist, over the connections that ejabberd uses for logins.
    pub async fn backends(&self, host: &Vhost) -> Result<Vec<Backend>> {
        const NAME: &str = "backends";
        let call = Call::Inside { function: NAME, args: vec![host.as_str().into()] };
        let response = self.control.call(call, self.deadline).await?;
        let items = response.as_list().ok_or(ControlError::Malformed(NAME))?;
        let found = items.iter().map(|item| backend(host, item));
        found.collect::<Option<_>>().ok_or(ControlError::Malformed(NAME))
    }
}

/// Parses `{Method, Outcome, [{Server, ok | Reason}]}`.
fn backend(host: &Vhost, item: &Value) -> Option<Backend> {
    let [method, outcome, servers] = item.as_tuple()? else { return None };
    let outcome = outcome.as_text()?;
    let state = match outcome {
        "answers" => BackendState::Responds,
        "untold" => BackendState::Unverified,
        "silent" => BackendState::Fails("it does not respond in time".to_owned()),
        "not_bound" => BackendState::Fails("no connection of ejabberd to it is up".to_owned()),
        "failed" => BackendState::Fails("its response is an error".to_owned()),
        "no_key" => BackendState::Fails("the option `jwt_key` is missing".to_owned()),
        "crashed" => BackendState::Fails("asking it crashes".to_owned()),
        reason => BackendState::Fails(format!("it responds with `{reason}`")),
    };
    let servers = servers.as_list()?.iter().take(MOST_SERVERS).map(|server| {
        let [name, state] = server.as_tuple()? else { return None };
        let state = state.as_text()?;
        let fault = (state != "ok" && state != "answers").then(|| in_words(state));
        Some(BackendServer { name: name.as_text()?.to_owned(), fault })
    });
    Some(Backend {
        host: host.clone(),
        method: method.as_text()?.to_owned(),
        state,
        servers: servers.collect::<Option<_>>()?,
    })
}

/// The message for the fault of a backend server: an error of the operating system or of the
/// resolver, or a word of the program `session.erl`.
fn in_words(reason: &str) -> String {
    match reason {
        "econnrefused" => "connection refused".to_owned(),
        "nxdomain" => "there is no such host".to_owned(),
        "timeout" | "etimedout" | "silent" => "no response in time".to_owned(),
        "ehostunreach" | "enetunreach" => "no route to it".to_owned(),
        "failed" => "it does not respond as it should".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_parsed_from_the_response_of_the_session() {
        let atom = |word: &str| Value::Atom(word.to_owned());
        let text = |word: &str| Value::Text(word.to_owned());
        let host = Vhost::new("a.test").unwrap();
        let server = |name: &str, state: &str| Value::Tuple(vec![text(name), atom(state)]);
        let item = |outcome: &str, servers| {
            Value::Tuple(vec![atom("ldap"), atom(outcome), Value::List(servers)])
        };
        let down = item("not_bound", vec![server("l:389", "econnrefused"), server("m:389", "ok")]);
        let found = backend(&host, &down).unwrap();
        assert!(matches!(&found.state, BackendState::Fails(why) if why.contains("is up")));
        let servers = found.servers.iter();
        let shown: Vec<_> =
            servers.map(|server| (server.name.as_str(), server.fault.as_deref())).collect();
        assert_eq!(shown, [("l:389", Some("connection refused")), ("m:389", None)]);
        let state = |word: &str| backend(&host, &item(word, Vec::new())).unwrap().state;
        assert_eq!(state("answers"), BackendState::Responds);
        assert_eq!(state("untold"), BackendState::Unverified);
        assert_eq!(
            state("noSuchObject"),
            BackendState::Fails("it responds with `noSuchObject`".into())
        );
        assert!(backend(&host, &Value::Tuple(vec![atom("ldap")])).is_none());
        assert!(backend(&host, &item("answers", vec![atom("x")])).is_none());
    }
}
