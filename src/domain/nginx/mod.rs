//! Reads the configuration of nginx: the directives, and the routes to other programs.
//!
//! The syntax is that of `ngx_conf_read_token` in nginx (`src/core/ngx_conf_file.c`), and was
//! compared with nginx 1.22.

mod routes;
mod syntax;
#[cfg(test)]
mod tests;

pub use self::routes::{Listen, Location, Route, ServerBlock, Target, routes};
pub use self::syntax::{Directive, SourceFile, parse};
