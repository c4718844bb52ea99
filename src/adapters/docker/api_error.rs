//! The status, the advice and the message for an error of the Docker engine. Messages are
//! truncated, because the engine may be hostile.

use bollard::errors::Error as ApiError;

/// The maximum length of the engine's message in an error of the operator, in characters.
const MAX_QUOTED: usize = 500;

/// The HTTP status of an error response; `None` if the error is not an error response.
pub(super) fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The advice to the user for an engine that does not respond.
pub(super) fn advice(error: &ApiError) -> &'static str {
    let top: &(dyn std::error::Error + 'static) = error;
    let chain = std::iter::successors(Some(top), |error| error.source());
    let within = chain.filter_map(|error| error.downcast_ref::<std::io::Error>()).last();
    let kind = match error {
        // `source` of this error skips the error of the operating system, so read the kind
        // directly.
        ApiError::IOError { err } => Some(err.kind()),
        _ => within.map(std::io::Error::kind),
    };
    match kind {
        Some(std::io::ErrorKind::PermissionDenied) => {
            "let this user access it (the group `docker`), or run this as root"
        }
        Some(std::io::ErrorKind::NotFound) => {
            "is dockerd running, and spec.server.docker.engine (for `export`: --engine) correct?"
        }
        _ => "is dockerd running, and may this user access it?",
    }
}

/// The innermost cause: the message of the system or of the engine without the outer messages.
pub(super) fn root(error: &ApiError) -> String {
    if let ApiError::DockerResponseServerError { message, status_code } = error {
        let message = bounded(message);
        // The response to a HEAD request has no body, so it contains no message.
        return if message.is_empty() { format!("HTTP status {status_code}") } else { message };
    }
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    bounded(&error.to_string())
}

/// `text` on one line, truncated to [`MAX_QUOTED`] characters. Replaces white space and control
/// characters with single spaces.
fn bounded(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let mut line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(MAX_QUOTED) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_of_bounded_length() {
        let refused = |message: &str| {
            root(&ApiError::DockerResponseServerError {
                status_code: 500,
                message: message.to_owned(),
            })
        };
        assert_eq!(refused("no space\nleft\u{1b}[2J on  device\n"), "no space left [2J on device");
        assert_eq!(refused(" \n"), "HTTP status 500");
        for long in
            ["x".repeat(2_800_000), "ä ".repeat(2_800_000), "\n".repeat(9) + &"y".repeat(501)]
        {
            assert_eq!(refused(&long).chars().count(), MAX_QUOTED + 1);
            assert!(refused(&long).ends_with('…'));
        }
        assert_eq!(refused(&"x".repeat(500)), "x".repeat(500));
    }
}
