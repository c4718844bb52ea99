//! Calls and responses as Erlang terms.

use super::etf::{TooLong, Writer};
use crate::domain::model::ApiVersion;
use crate::ejabberd::{Arg, Call, Value};

/// The maximum length of an error reason, in characters. A longer reason is truncated. The
/// operator's program in the Erlang VM (`session.erl`) sends fewer than 1,000 characters.
const MAX_REASON_CHARS: usize = 1000;

/// The message of the operator's program in the Erlang VM about one call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// The function returned this value.
    Ok(Value),
    /// The function threw an exception, as ejabberd does to refuse a call.
    Thrown { tag: String, text: String },
    /// The function crashed in `place`.
    Crashed { tag: String, place: String },
    /// The node was unreachable, or did not respond in time.
    Unreachable(String),
}

fn argument(to: &mut Writer, arg: &Arg) -> Result<(), TooLong> {
    match arg {
        Arg::Text(text) => to.binary(text),
        Arg::Secret(secret) => to.binary(secret.expose()),
        Arg::Characters(text) => to.list(text.chars().count(), |to| {
            text.chars().for_each(|c| to.integer(u32::from(c).into()));
            Ok(())
        }),
        Arg::Int(number) => {
            to.integer(*number);
            Ok(())
        }
        Arg::Atom(name) => to.atom(name),
        Arg::Node(name) => to.atom(name),
        Arg::Pairs(pairs) => to.list(pairs.len(), |to| {
            pairs.iter().try_for_each(|(name, value)| {
                to.tuple(2);
                to.binary(name)?;
                to.binary(value.expose())
            })
        }),
    }
}

fn arguments(to: &mut Writer, call: &Call) -> Result<(), TooLong> {
    let args = call.args();
    to.list(args.len(), |to| args.iter().try_for_each(|arg| argument(to, arg)))
}

/// The function behind each command that carries a secret. Each function has the same arguments and
/// results in every version from 23.01 on.
///
/// `ejabberd_commands:execute_command2` logs the arguments of every command at `loglevel: debug`.
/// From 26.03 on, the function also logs the arguments at every log level if the command exits with
/// an error. The functions of this list log nothing.
const UNLOGGED: [(&str, &str, &str); 5] = [
    ("register", "ejabberd_admin", "register"),
    ("check_password", "mod_admin_extra", "check_password"),
    ("change_password", "mod_admin_extra", "set_password"),
    ("create_room_with_opts", "mod_muc_admin", "create_room_with_opts"),
    ("change_room_option", "mod_muc_admin", "change_room_option"),
];

/// Whether an argument is a secret, or may contain a secret.
fn is_secret(arg: &Arg) -> bool {
    matches!(arg, Arg::Secret(_) | Arg::Pairs(_))
}

fn unlogged(name: &str) -> Option<(&'static str, &'static str)> {
    UNLOGGED.iter().find(|(command, ..)| *command == name).map(|&(_, module, of)| (module, of))
}

/// Whether the server would log a secret of `call`. The session refuses such a call.
pub(super) fn would_be_logged(call: &Call) -> bool {
    let Call::Command { name, args, .. } = call else { return false };
    args.iter().any(is_secret) && unlogged(name).is_none()
}

/// One call and its number.
pub(super) struct Request<'c> {
    pub(super) id: u64,
    pub(super) timeout_ms: u64,
    pub(super) call: &'c Call,
    pub(super) api: ApiVersion,
}

impl Request<'_> {
    /// The encoded term `{Id, Timeout, Module, Function, Args}`. The operator's program in the
    /// Erlang VM calls the function.
    pub(super) fn encoded(&self) -> Result<Vec<u8>, TooLong> {
        let Self { id, timeout_ms, call, api } = self;
        let mut to = Writer::default();
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        to.tuple(5);
        to.integer(number(*id));
        to.integer(number(*timeout_ms));
        let unlogged = match call {
            Call::Command { name, args, .. } if args.iter().any(is_secret) => unlogged(name),
            _ => None,
        };
        let (module, function) = match call {
            Call::Function { module, function, .. } => (*module, *function),
            Call::Inside { function, .. } => ("inside_the_server", *function),
            Call::Beside { function, .. } => ("beside_the_server", *function),
            Call::Command { .. } => unlogged.unwrap_or(("ejabberd_commands", "execute_command2")),
        };
        to.atom(module)?;
        to.atom(function)?;
        match call {
            Call::Command { name, .. } if unlogged.is_none() => to.list(4, |to| {
                to.atom(name)?;
                arguments(to, call)?;
                to.map_of_one();
                to.atom("caller_module")?;
                to.atom("ejabberd_ctl")?;
                to.integer(api.0.into());
                Ok(())
            })?,
            _ => arguments(&mut to, call)?,
        }
        Ok(to.into_bytes())
    }
}

/// Encodes `requests` as a list, with the length (4 bytes, big-endian) in front.
pub(super) fn frame(requests: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, TooLong> {
    let mut to = Writer::after(&[0; 4]);
    to.list(requests.len(), |to| {
        requests.iter().for_each(|request| to.raw(request.as_ref()));
        Ok(())
    })?;
    let mut frame = to.into_bytes();
    let length = frame.len().saturating_sub(4);
    let length = u32::try_from(length).map_err(|_| TooLong)?;
    if let Some(head) = frame.first_chunk_mut() {
        *head = length.to_be_bytes();
    }
    Ok(frame)
}

/// Decodes a list of at least one pair of a call number and an outcome. Returns `None` for any
/// other term: the program in the Erlang VM is then not the operator's program.
pub(super) fn outcomes(term: Value) -> Option<Vec<(u64, Outcome)>> {
    match term {
        Value::List(list) if !list.is_empty() => list.into_iter().map(outcome).collect(),
        _ => None,
    }
}

fn outcome(term: Value) -> Option<(u64, Outcome)> {
    let Value::Tuple(parts) = term else { return None };
    let [Value::Int(id), Value::Tuple(outcome)] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    let id = u64::try_from(id).ok()?;
    let mut parts = outcome.into_iter();
    let Some(Value::Atom(kind)) = parts.next() else { return None };
    let first = parts.next()?;
    let reason = |value: Option<&Value>| -> String {
        let text = value.and_then(Value::as_text).unwrap_or_default();
        text.chars().take(MAX_REASON_CHARS).collect()
    };
    let tag = || first.as_text().map_or_else(|| "other".to_owned(), |_| reason(Some(&first)));
    let outcome = match kind.as_str() {
        "thrown" => Outcome::Thrown { tag: tag(), text: reason(parts.next().as_ref()) },
        "crashed" => Outcome::Crashed { tag: tag(), place: reason(parts.next().as_ref()) },
        "unreachable" => Outcome::Unreachable(tag()),
        "ok" => Outcome::Ok(first),
        _ => return None,
    };
    Some((id, outcome))
}

#[cfg(test)]
mod tests {
    use super::super::etf::decode;
    use super::*;
    use crate::ejabberd::Shape;

    fn atom(name: &str) -> Value {
        Value::Atom(name.to_owned())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn sent(call: &Call, api: u8) -> Value {
        let request = Request { id: 7, timeout_ms: 900, call, api: ApiVersion(api) };
        let frame = frame(&[request.encoded().unwrap()]).unwrap();
        let (length, term) = frame.split_first_chunk().unwrap();
        assert_eq!(u32::from_be_bytes(*length) as usize, term.len());
        let Value::List(mut calls) = decode(term).unwrap() else { panic!("no list") };
        calls.pop().unwrap()
    }

    #[test]
    fn a_command_is_wrapped_with_its_api_version() {
        let call = Call::command("check_account", Shape::Rescode, vec!["a'b".into(), "h".into()]);
        let caller = Value::Tuple(vec![atom("caller_module"), atom("ejabberd_ctl")]);
        let args = vec![
            atom("check_account"),
            Value::List(vec![text("a'b"), text("h")]),
            Value::List(vec![caller]),
            Value::Int(3),
        ];
        let expected = vec![
            Value::Int(7),
            Value::Int(900),
            atom("ejabberd_commands"),
            atom("execute_command2"),
            Value::List(args),
        ];
        assert_eq!(sent(&call, 3), Value::Tuple(expected));
    }

    #[test]
    fn a_command_with_a_secret_bypasses_execute_command2() {
        let secret = || Arg::Secret(crate::domain::model::Secret::new("hunter2".into()));
        let target = |call: &Call| match sent(call, 3) {
            Value::Tuple(parts) => (parts.get(2).cloned(), parts.get(3).cloned()),
            other => panic!("{other:?}"),
        };
        for (name, module, function) in UNLOGGED {
            let call = Call::command(name, Shape::Rescode, vec!["a".into(), secret()]);
            assert_eq!(target(&call), (Some(atom(module)), Some(atom(function))));
            assert!(!would_be_logged(&call));
        }
        // A command without a secret passes through ejabberd, which checks that the server has the
        // command.
        let plain =
            Call::command("change_room_option", Shape::Rescode, vec!["a".into(), "b".into()]);
        assert_eq!(target(&plain).1, Some(atom("execute_command2")));
        assert!(!would_be_logged(&plain));
        for args in [vec![secret()], vec![Arg::Pairs(Vec::new())]] {
            assert!(would_be_logged(&Call::command("some_other", Shape::Rescode, args)));
        }
    }

    #[test]
    fn every_kind_of_argument_is_encoded_without_change() {
        let args = vec![
            Arg::Text("é".into()),
            Arg::Characters("αé".into()),
            Arg::Characters(String::new()),
            Arg::Int(255),
            Arg::Int(-1),
            Arg::Int(i64::MIN),
            Arg::Int(i64::MAX),
            Arg::Node("n@h".into()),
            Arg::Pairs(vec![("a".into(), crate::domain::model::Secret::new("b".to_owned()))]),
        ];
        let Value::Tuple(parts) = sent(&Call::function("m", "f", args), 0) else { panic!() };
        let expected = Value::List(vec![
            text("é"),
            text("αé"),
            Value::List(vec![]),
            Value::Int(255),
            Value::Int(-1),
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
            atom("n@h"),
            Value::List(vec![Value::Tuple(vec![text("a"), text("b")])]),
        ]);
        assert_eq!(parts.last(), Some(&expected));
        let long = Call::function("m", "f", vec![Arg::Node("n".repeat(256))]);
        let request = Request { id: 1, timeout_ms: 1, call: &long, api: ApiVersion(0) };
        assert_eq!(request.encoded(), Err(TooLong));
    }

    #[test]
    fn a_frame_without_valid_outcomes_is_rejected() {
        let response = |kind: &str| {
            let outcome = Value::Tuple(vec![atom(kind), atom("x"), text("y")]);
            Value::List(vec![Value::Tuple(vec![Value::Int(1), outcome])])
        };
        assert!(outcomes(response("thrown")).is_some());
        assert_eq!(outcomes(response("hello")), None);
        assert_eq!(outcomes(atom("hello")), None);
        assert_eq!(outcomes(Value::List(vec![])), None);
        assert_eq!(outcomes(Value::List(vec![Value::Tuple(vec![Value::Int(1)])])), None);
    }

    #[test]
    fn a_long_reason_is_cut_to_the_maximum_length() {
        let outcome = Value::Tuple(vec![atom("thrown"), atom("x"), text(&"é".repeat(1 << 20))]);
        let term = Value::List(vec![Value::Tuple(vec![Value::Int(1), outcome])]);
        let Some([(1, Outcome::Thrown { text, .. })]) =
            outcomes(term).as_deref().map(<[_]>::to_vec).and_then(|o| <[_; 1]>::try_from(o).ok())
        else {
            panic!()
        };
        assert_eq!(text.chars().count(), MAX_REASON_CHARS);
    }
}
