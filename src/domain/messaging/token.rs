//! The rule for tokens. The operator applies the rule to the declared tokens, and the MCP server to
//! the tokens of requests. The operator compares tokens by their digests.

use sha2::{Digest as _, Sha256};

use crate::domain::model::Secret;

/// The minimum length of a token in bytes. A shorter token could be guessed.
const MIN_BYTES: usize = 16;

/// The maximum length of a token in bytes.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// The rule, for messages.
pub const TOKEN_RULE: &str = "a token has 16 to 1024 visible ASCII characters";

/// Whether `text` can be a token. Other characters cannot be in a header of HTTP.
#[must_use]
pub fn is_token(text: &str) -> bool {
    (MIN_BYTES..=MAX_TOKEN_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The SHA-256 of a token. A short token can be guessed from its digest, so a digest is never shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of a token without the blanks around the token, such as the newline of a file.
    #[must_use]
    pub fn of(token: &Secret) -> Self {
        Self(Sha256::digest(token.expose().trim().as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_visible() {
        let longest = "x".repeat(MAX_TOKEN_BYTES);
        for token in ["0123456789abcdef", "a-token_with.~+/==", longest.as_str()] {
            assert!(is_token(token), "{token}");
        }
        let too_long = format!("{longest}x");
        for text in ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdé", &too_long] {
            assert!(!is_token(text), "{text}");
        }
    }
}
