//! Converts the arguments of a tool to an operation, and the response to the result of the tool.

use rmcp::model::{CallToolResult, JsonObject};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::messaging::{
    Failure, FailureCode, GetMessages, GetPresence, Operation, RegisterUser, Response, SendMessage,
    Tool, View,
};

/// The maximum length of an error of the decoder, in characters. The error may quote an argument.
const MAX_ERROR: usize = 300;

/// Returns the operation of a tool. Fails if the arguments have a wrong type, or if a field is
/// unknown or missing.
pub(super) fn operation(tool: Tool, arguments: Option<JsonObject>) -> Result<Operation, Failure> {
    let arguments = arguments.unwrap_or_default();
    match tool {
        Tool::SendMessage => decode::<SendMessage>(tool, arguments).map(Operation::SendMessage),
        Tool::GetMessages => decode::<GetMessages>(tool, arguments).map(Operation::GetMessages),
        Tool::GetPresence => decode::<GetPresence>(tool, arguments).map(Operation::GetPresence),
        Tool::RegisterUser => decode::<RegisterUser>(tool, arguments).map(Operation::RegisterUser),
        Tool::ServerStatus => view(View::Status, &arguments),
        Tool::Plan => view(View::Plan, &arguments),
        Tool::Audit => view(View::Audit, &arguments),
        Tool::Events => view(View::Events, &arguments),
    }
}

fn view(view: View, arguments: &JsonObject) -> Result<Operation, Failure> {
    match arguments.keys().next() {
        None => Ok(Operation::Read(view)),
        Some(name) => {
            Err(invalid(view.tool(), &format!("unknown field `{name}`, there are no fields")))
        }
    }
}

fn decode<T: DeserializeOwned>(tool: Tool, arguments: JsonObject) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| invalid(tool, &error.to_string()))
}

fn invalid(tool: Tool, error: &str) -> Failure {
    let error: String = error.chars().take(MAX_ERROR).collect();
    Failure::new(
        FailureCode::InvalidArgument,
        format!("the arguments of `{tool}` are invalid: {error}"),
        format!("call `{tool}` with arguments that match its input schema"),
    )
}

/// Returns the result of a tool: structured content, and the same JSON as text.
pub(super) fn result(response: Response) -> CallToolResult {
    match response {
        Response::Done(value) => CallToolResult::structured(value),
        Response::Failed(failure) => failed(&failure),
    }
}

/// Returns a failure as the result of a tool.
pub(super) fn failed(failure: &Failure) -> CallToolResult {
    CallToolResult::structured_error(json(failure))
}

/// Returns a failure as JSON.
pub(super) fn json(failure: &Failure) -> Value {
    // Three strings are always valid JSON.
    serde_json::to_value(failure).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Option<JsonObject> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn invalid_arguments_name_the_field() {
        for (tool, text, named) in [
            (Tool::SendMessage, r#"{"from":"a","to":"b"}"#, "missing field `body`"),
            (Tool::GetMessages, r#"{"limit":"many"}"#, "u16"),
            (Tool::GetPresence, r#"{"hosts":[]}"#, "unknown field `hosts`"),
            (Tool::Plan, r#"{"x":1}"#, "unknown field `x`"),
        ] {
            let failure = operation(tool, arguments(text)).unwrap_err();
            assert_eq!(failure.code, FailureCode::InvalidArgument);
            assert!(failure.message.contains(named), "{failure}");
        }
        let long = format!(r#"{{"limit":"{}"}}"#, "x".repeat(10_000));
        let failure = operation(Tool::GetMessages, arguments(&long)).unwrap_err();
        assert!(failure.message.len() < 500);
    }

    #[test]
    fn absent_arguments_are_an_empty_object() {
        assert!(matches!(operation(Tool::Audit, None), Ok(Operation::Read(View::Audit))));
        assert!(matches!(operation(Tool::GetPresence, None), Ok(Operation::GetPresence(_))));
        assert!(operation(Tool::SendMessage, None).is_err());
    }
}
