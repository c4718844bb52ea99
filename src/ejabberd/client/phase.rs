//! The state of ejabberd in its node. A node that responds does not prove that ejabberd runs.

use super::responses::refused;
use super::{Call, ControlError, EjabberdClient, Result, Shape, Value};

/// The state of ejabberd in a node that responds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodePhase {
    /// ejabberd and its database run.
    Running,
    /// The node is starting.
    Starting,
    /// The node is stopping.
    Stopping,
    /// The node has started, but ejabberd or its database in the node is stopped. Only a command
    /// starts ejabberd again.
    Stopped,
}

/// The applications that a server needs to serve clients.
const NEEDED: [&str; 2] = ["mnesia", "ejabberd"];

impl EjabberdClient {
    /// The state of ejabberd in its node.
    ///
    /// `application:info/0` lists the applications that run and the applications that are starting.
    /// `init:get_status/0` reports whether the start of the node, which includes `-s ejabberd`, has
    /// finished (OTP 25, 27 and 29, seen on 23.01, 24.12 and 26.07).
    pub async fn phase(&self) -> Result<NodePhase> {
        let ask = |module, function| {
            self.control.call(Call::function(module, function, Vec::new()), self.deadline)
        };
        let (status, applications) =
            tokio::join!(ask("init", "get_status"), ask("application", "info"));
        match (status, applications) {
            (Err(ControlError::Unsupported { .. }), _) => self.phase_by_command().await,
            // The application controller ends before its node, so this crash means that the node is
            // stopping.
            (Ok(_), Err(ControlError::Crashed { .. })) => Ok(NodePhase::Stopping),
            (status, applications) => phase(&status?, &applications?),
        }
    }

    /// Whether ejabberd itself has started, not only its node.
    pub async fn is_started(&self) -> Result<bool> {
        Ok(self.phase().await? == NodePhase::Running)
    }

    /// The state from the command `status`, which every control channel can carry.
    async fn phase_by_command(&self) -> Result<NodePhase> {
        const NAME: &str = "status";
        let response = match self.command(NAME, Shape::Restuple, Vec::new()).await {
            Ok(response) => response,
            // ejabberd has not registered its commands yet, or has removed them already.
            Err(ControlError::UnknownCommand { .. } | ControlError::Crashed { .. }) => {
                return Ok(NodePhase::Starting);
            }
            Err(error) => return Err(error),
        };
        let text =
            response.as_tuple().and_then(|parts| parts.get(1)?.as_text()).unwrap_or_default();
        Ok(if response.is_ok() { NodePhase::Running } else { phase_of_status(text) })
    }
}

/// Parses the output of `status` for a node without ejabberd: "The node N is starting with status:
/// started". The word after "is" reports the start of the node; the word after "status:" is
/// "started" from the beginning (seen on 24.12 and 26.07).
fn phase_of_status(text: &str) -> NodePhase {
    if text.contains(" is started with status") {
        NodePhase::Stopped
    } else if text.contains(" is stopping with status") {
        NodePhase::Stopping
    } else {
        NodePhase::Starting
    }
}

fn phase(status: &Value, applications: &Value) -> Result<NodePhase> {
    let boot = status.as_tuple().and_then(|parts| parts.first()?.as_text());
    let lists = applications.as_list().ok_or_else(|| refused("info", applications))?;
    let listed = |key: &str, name: &str| {
        let list = lists.iter().filter_map(Value::as_tuple).find_map(|pair| match pair {
            [found, list] if found.as_text() == Some(key) => list.as_list(),
            _ => None,
        });
        list.into_iter().flatten().any(|entry| {
            let first = entry.as_tuple().and_then(<[Value]>::first);
            first.unwrap_or(entry).as_text() == Some(name)
        })
    };
    Ok(match boot {
        Some("stopping") => NodePhase::Stopping,
        _ if NEEDED.iter().all(|name| listed("running", name)) => NodePhase::Running,
        Some("started") if !NEEDED.iter().any(|name| listed("starting", name)) => {
            NodePhase::Stopped
        }
        Some("starting" | "started") => NodePhase::Starting,
        _ => return Err(ControlError::Malformed("get_status")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(word: &str) -> Value {
        Value::Atom(word.to_owned())
    }

    fn pair(one: Value, other: Value) -> Value {
        Value::Tuple(vec![one, other])
    }

    fn info(running: &[&str], starting: &[&str]) -> Value {
        let list = |names: &[&str]| {
            Value::List(names.iter().map(|name| pair(atom(name), Value::Other)).collect())
        };
        Value::List(vec![
            pair(atom("loaded"), Value::List(Vec::new())),
            pair(atom("running"), list(running)),
            pair(atom("starting"), list(starting)),
        ])
    }

    #[test]
    fn a_node_that_starts_is_not_reported_as_stopped() {
        for (word, phase) in [
            ("starting", NodePhase::Starting),
            ("started", NodePhase::Stopped),
            ("stopping", NodePhase::Stopping),
        ] {
            let text = format!(
                "The node ejabberd@localhost is {word} with status: started\nejabberd is not \
                 running in that node\n"
            );
            assert_eq!(phase_of_status(&text), phase, "{word}");
        }
    }

    #[test]
    fn the_phase_depends_on_the_applications_of_the_node() {
        let of = |boot, running: &[&str], starting: &[&str]| {
            phase(&pair(atom(boot), atom(boot)), &info(running, starting)).unwrap()
        };
        let all = ["kernel", "mnesia", "ejabberd"];
        assert_eq!(of("started", &all, &[]), NodePhase::Running);
        assert_eq!(of("starting", &all, &[]), NodePhase::Running);
        assert_eq!(of("starting", &["kernel"], &[]), NodePhase::Starting);
        assert_eq!(of("starting", &["kernel", "mnesia"], &["ejabberd"]), NodePhase::Starting);
        assert_eq!(of("started", &["kernel", "mnesia"], &[]), NodePhase::Stopped);
        assert_eq!(of("started", &["kernel", "ejabberd"], &[]), NodePhase::Stopped);
        assert_eq!(of("started", &["kernel", "mnesia"], &["ejabberd"]), NodePhase::Starting);
        assert_eq!(of("stopping", &all, &[]), NodePhase::Stopping);
        phase(&atom("ok"), &info(&[], &[])).unwrap_err();
        phase(&pair(atom("started"), atom("started")), &atom("no")).unwrap_err();
    }
}
