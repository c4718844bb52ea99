//! The files of the page: HTML, CSS and JavaScript, without data.

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! parts {
    ($($path:literal $kind:ident $file:literal)*) => {
        /// All files of the page: path, content type and content.
        pub(super) const PARTS: &[(&str, &str, &str)] =
            &[$(($path, $kind, include_str!(concat!("page/", $file)))),*];
    };
}

parts! {
    "/" HTML "page.html"
    "/page.css" CSS "page.css"
    "/panels.css" CSS "panels.css"
    "/icon.svg" SVG "icon.svg"
    "/page.js" SCRIPT "page.js"
    "/page/dom.js" SCRIPT "dom.js"
    "/page/time.js" SCRIPT "time.js"
    "/page/live.js" SCRIPT "live.js"
    "/page/headline.js" SCRIPT "headline.js"
    "/page/state.js" SCRIPT "state.js"
    "/page/plan.js" SCRIPT "plan.js"
    "/page/events.js" SCRIPT "events.js"
    "/page/objects.js" SCRIPT "objects.js"
    "/page/audit.js" SCRIPT "audit.js"
    "/page/configs.js" SCRIPT "configs.js"
}

/// Returns whether `path` is the path of a file of the page.
pub(super) fn is_part(path: &str) -> bool {
    PARTS.iter().any(|(part, _, _)| *part == path)
}

pub(super) fn routes() -> Router {
    PARTS.iter().fold(Router::new(), |router, &(path, kind, content)| {
        let tag = tag(content);
        router.route(path, get(async move |headers: HeaderMap| part(&headers, kind, content, &tag)))
    })
}

/// Returns the entity tag of `content`. With the tag, a browser does not fetch unchanged content
/// again.
fn tag(content: &str) -> String {
    let hash = Sha256::digest(content.as_bytes());
    format!("\"{}\"", hex::encode(hash.get(..12).unwrap_or_default()))
}

fn part(headers: &HeaderMap, kind: &'static str, content: &'static str, tag: &str) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let cache = [(header::CACHE_CONTROL, "no-cache"), (header::ETAG, tag)];
    if known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, cache).into_response();
    }
    (cache, [(header::CONTENT_TYPE, kind)], content).into_response()
}
