//! Calls and answers as Erlang terms.

use eetf::{Atom, Binary, FixInteger, List, Term, Tuple};

use crate::engine::{Arg, Call, Value};
use crate::model::ApiVersion;

/// What the far end says of one call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// It returned.
    Ok(Value),
    /// It threw; ejabberd's way to say no.
    Thrown { tag: String, text: String },
    /// It crashed, and where.
    Crashed { tag: String, place: String },
    /// The node could not be asked, or did not answer in time.
    Unreachable(String),
}

fn atom(name: &str) -> Term {
    Atom::from(name).into()
}

fn binary(text: &str) -> Term {
    Binary::from(text.as_bytes()).into()
}

fn integer(number: i64) -> Term {
    i32::try_from(number)
        .map_or_else(|_| eetf::BigInteger::from(number).into(), |n| FixInteger::from(n).into())
}

fn argument(arg: &Arg) -> Term {
    match arg {
        Arg::Text(text) => binary(text),
        Arg::Secret(secret) => binary(secret.expose()),
        Arg::Characters(text) => {
            List::from(text.chars().map(|c| integer(u32::from(c).into())).collect::<Vec<Term>>())
                .into()
        }
        Arg::Int(number) => integer(*number),
        Arg::Atom(name) => atom(name),
        Arg::Node(name) => atom(name),
        Arg::Pairs(pairs) => List::from(
            pairs
                .iter()
                .map(|(name, value)| Tuple::from(vec![binary(name), binary(value.expose())]).into())
                .collect::<Vec<Term>>(),
        )
        .into(),
    }
}

/// `{Id, Timeout, Module, Function, Args}`; the far end calls it.
pub(super) fn request(id: u64, timeout_ms: u64, call: &Call, api: ApiVersion) -> Term {
    let args: Vec<Term> = call.args().iter().map(argument).collect();
    let (module, function, args) = match call {
        Call::Function { module, function, .. } => (*module, *function, args),
        Call::Inside { function, .. } => ("inside_the_server", *function, args),
        Call::Beside { function, .. } => ("beside_the_server", *function, args),
        Call::Command { name, .. } => {
            let caller = eetf::Map { map: [(atom("caller_module"), atom("ejabberd_ctl"))].into() };
            let args =
                vec![atom(name), List::from(args).into(), caller.into(), integer(i64::from(api.0))];
            ("ejabberd_commands", "execute_command2", args)
        }
    };
    let number = |n: u64| integer(i64::try_from(n).unwrap_or(i64::MAX));
    Tuple::from(vec![
        number(id),
        number(timeout_ms),
        atom(module),
        atom(function),
        List::from(args).into(),
    ])
    .into()
}

fn integer_of(term: &Term) -> Option<i64> {
    match term {
        Term::FixInteger(n) => Some(n.value.into()),
        Term::BigInteger(n) => {
            Some(i64::try_from(n.value.clone()).unwrap_or(if n.value < 0.into() {
                i64::MIN
            } else {
                i64::MAX
            }))
        }
        _ => None,
    }
}

/// Any term, as far as commands answer with it. Owned, because a large answer
/// should not be held twice.
fn value(term: Term) -> Value {
    match term {
        Term::Atom(a) => Value::Atom(a.name),
        Term::Binary(b) => {
            String::from_utf8(b.bytes).map_or_else(|e| Value::Bytes(e.into_bytes()), Value::Text)
        }
        // An Erlang string of characters below 256: each byte is one character.
        Term::ByteList(b) => Value::Text(b.bytes.iter().map(|&c| char::from(c)).collect()),
        Term::Float(f) => Value::Float(f.value),
        Term::List(l) => list(l.elements),
        Term::Tuple(t) => Value::Tuple(t.elements.into_iter().map(value).collect()),
        // A map as the list of its pairs.
        Term::Map(m) => Value::List(
            m.map.into_iter().map(|(key, of)| Value::Tuple(vec![value(key), value(of)])).collect(),
        ),
        other => integer_of(&other).map_or(Value::Other, Value::Int),
    }
}

/// A list; one of characters beyond 255 alone is a string.
fn list(elements: Vec<Term>) -> Value {
    let characters: Option<String> = elements
        .iter()
        .map(|e| integer_of(e).and_then(|n| u32::try_from(n).ok()).and_then(char::from_u32))
        .collect();
    match characters {
        Some(text) if !text.is_empty() => Value::Text(text),
        _ => Value::List(elements.into_iter().map(value).collect()),
    }
}

/// Reads a frame's term: the outcomes with the numbers of their calls. `None`
/// if it is anything else, which means that the session is not what it was.
pub(super) fn outcomes(term: Term) -> Option<Vec<(u64, Outcome)>> {
    let Term::List(list) = term else { return None };
    list.elements.into_iter().map(outcome).collect()
}

fn outcome(term: Term) -> Option<(u64, Outcome)> {
    let Term::Tuple(tuple) = term else { return None };
    let [id, Term::Tuple(outcome)] = <[Term; 2]>::try_from(tuple.elements).ok()? else {
        return None;
    };
    let id = u64::try_from(integer_of(&id)?).ok()?;
    let mut parts = outcome.elements.into_iter();
    let Some(Term::Atom(kind)) = parts.next() else { return None };
    let first = value(parts.next()?);
    let mut rest =
        || parts.next().map(value).and_then(|v| v.as_text().map(str::to_owned)).unwrap_or_default();
    let tag = || first.as_text().unwrap_or("other").to_owned();
    let outcome = match kind.name.as_str() {
        "thrown" => Outcome::Thrown { tag: tag(), text: rest() },
        "crashed" => Outcome::Crashed { tag: tag(), place: rest() },
        "unreachable" => Outcome::Unreachable(tag()),
        "ok" => Outcome::Ok(first),
        _ => return None,
    };
    Some((id, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Shape;

    #[test]
    fn a_command_is_wrapped_with_its_api_version() {
        let call = Call::command("check_account", Shape::Rescode, vec!["a'b".into(), "h".into()]);
        let shown = request(7, 900, &call, ApiVersion(3)).to_string();
        assert!(
            shown.starts_with("{7,900,'ejabberd_commands','execute_command2',['check_account',"),
            "{shown}"
        );
        assert!(shown.ends_with(",3]}"), "{shown}");
    }

    #[test]
    fn strings_come_back_whatever_erlang_made_of_them() {
        let latin = Term::ByteList(eetf::ByteList { bytes: vec![b'a', 0xe9] });
        assert_eq!(value(latin), Value::Text("aé".into()));
        let wide = List::from(vec![integer(0x3b1), integer(0x3b2)]).into();
        assert_eq!(value(wide), Value::Text("αβ".into()));
        assert_eq!(value(List::from(vec![]).into()), Value::List(vec![]));
        assert_eq!(value(integer(i64::MAX)), Value::Int(i64::MAX));
    }

    #[test]
    fn a_frame_of_anything_else_is_noticed() {
        assert_eq!(outcomes(atom("hello")), None);
        assert_eq!(outcomes(List::from(vec![Tuple::from(vec![integer(1)]).into()]).into()), None);
    }
}
