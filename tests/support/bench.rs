//! The arguments of a benchmark: the version of ejabberd, options `NAME=NUMBER`, and words.

/// The version of ejabberd: the first argument that is no option. `newest` by default.
pub fn version() -> String {
    let version = std::env::args().skip(1).find(|arg| !arg.contains('=') && !arg.starts_with('-'));
    version.unwrap_or_else(|| "newest".to_owned())
}

/// The option `name=NUMBER`, or `default`.
pub fn number(name: &str, default: usize) -> usize {
    let value = |arg: String| arg.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    std::env::args().find_map(value).unwrap_or(default)
}
