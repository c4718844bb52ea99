//! Access control, and the security headers for browsers.

use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::{refused, static_files};
use crate::adapters::host::files;

/// The minimum length of a token, in characters.
const MIN_TOKEN: usize = 16;

/// The maximum length of a token, in characters.
const MAX_TOKEN: usize = 1024;

/// The maximum length of a path with its query, in bytes.
const MAX_TARGET: usize = 2048;

/// The content security policy. The policy allows only files of this program. The policy forbids
/// frames, forms and plug-ins, and the conversion of text to HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// The reason why a token cannot be used. The message completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("read the token from {path}: {cause}")]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
    /// All accounts of this host can read or change the file.
    #[error(
        "take the token from {0}: all accounts of this host may read or change the file; \
         `chmod 600` closes it"
    )]
    Open(PathBuf),
    /// The content of the file is not a token.
    #[error(
        "take the token from {0}: a token has 16 to 1024 characters, letters, digits and signs \
         without blanks; `openssl rand -hex 32` makes one"
    )]
    NoToken(PathBuf),
}

/// The hash of a token. The time of a comparison of two hashes does not reveal how many characters
/// of a guessed token are correct.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// Creates the token `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Reads a token from a file. Fails if accounts other than the owner and the group can read or
    /// change the file.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |cause| TokenError::Unreadable { path: path.to_owned(), cause };
        let file = files::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o006 != 0 {
            return Err(TokenError::Open(path.to_owned()));
        }
        let mut text = String::new();
        let limit = u64::try_from(MAX_TOKEN + 2).unwrap_or(u64::MAX);
        file.take(limit).read_to_string(&mut text).map_err(failed)?;
        let token = text.strip_suffix('\n').unwrap_or(&text);
        let token = token.strip_suffix('\r').unwrap_or(token);
        if !(MIN_TOKEN..=MAX_TOKEN).contains(&token.len())
            || !token.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(TokenError::NoToken(path.to_owned()));
        }
        Ok(Self::new(token))
    }

    fn is(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

/// The clients that may read the data of the operator.
#[derive(Clone)]
pub enum Access {
    /// A client that uses a loopback name of this host, such as `localhost` or `127.0.0.1`.
    Loopback,
    /// A client that sends one of these tokens.
    Tokens(Vec<Token>),
}

/// Whether the client may read all data, and not only the paths without data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trusted(pub(super) bool);

/// Refuses a request or passes the request to its handler, and adds the security headers to each
/// response.
pub(super) async fn gate(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response = match access.judge(&request) {
        Ok(trusted) => {
            request.extensions_mut().insert(trusted);
            next.run(request).await
        }
        Err(response) => *response,
    };
    harden(response.headers_mut());
    response
}

impl Access {
    fn judge(&self, request: &Request) -> Result<Trusted, Box<Response>> {
        let no = |status, why| Err(Box::new(refused(status, why)));
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let allow = [(header::ALLOW, "GET, HEAD")];
            let why = "this server is read-only; use GET\n";
            return Err(Box::new((StatusCode::METHOD_NOT_ALLOWED, allow, why).into_response()));
        }
        let uri = request.uri();
        if uri.path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET) {
            return no(StatusCode::URI_TOO_LONG, "the path is too long\n");
        }
        let path = uri.path();
        let open = matches!(path, "/livez" | "/readyz") || static_files::is_part(path);
        let headers = request.headers();
        let trusted = match self {
            Self::Loopback => {
                let named = headers.get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
                let named = named
                    .into_iter()
                    .chain(uri.authority().map(axum::http::uri::Authority::as_str));
                if !named.into_iter().all(is_loopback) {
                    // Without this check, another website could read the page, because the DNS name
                    // of that website may point to this host (DNS rebinding).
                    let why = "without a token, use a name of this host, such as localhost or 127.0.0.1; \
                         for others start the operator with --token-file\n";
                    return no(StatusCode::MISDIRECTED_REQUEST, why);
                }
                true
            }
            Self::Tokens(tokens) => given(headers).is_some_and(|given| {
                tokens.iter().fold(false, |known, token| token.is(&given) | known)
            }),
        };
        if path.starts_with("/api/") && is_from_elsewhere(headers) {
            return no(StatusCode::FORBIDDEN, "a page of another site may not read this server\n");
        }
        if trusted || open {
            return Ok(Trusted(trusted));
        }
        let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
        let why = "the token is missing or wrong; send the token of --token-file\n";
        Err(Box::new((StatusCode::UNAUTHORIZED, ask, why).into_response()))
    }
}

/// Returns the token in the `Authorization` header of a request. `None` without a bearer token.
fn given(headers: &HeaderMap) -> Option<Token> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Token::new(token.trim()))
}

/// Returns whether the browser reports that a page of another website sent the request.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let origin = text("sec-fetch-site").unwrap_or("none");
    !matches!(origin, "none" | "same-origin") && text("sec-fetch-mode") != Some("navigate")
}

/// Returns whether `host` is a loopback name or address. `host` may contain a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn harden(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
