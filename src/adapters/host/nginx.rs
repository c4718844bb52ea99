//! Reads the configuration of nginx on this host.

use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use wildmatch::WildMatch;

use super::files;
use crate::domain::nginx::{Directive, SourceFile, parse};
use crate::engine::ReverseProxy;

/// The maximum size of all files together, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The maximum number of files, and of entries of a directory.
const MAX_FILES: usize = 500;

/// The configuration of nginx at a path.
pub struct NginxFiles {
    main: PathBuf,
}

impl Default for NginxFiles {
    /// The path of the packages of Debian and of nginx.org.
    fn default() -> Self {
        Self::at("/etc/nginx/nginx.conf")
    }
}

impl NginxFiles {
    /// The configuration with this main file. An `include` starts at the directory of the main file
    /// (`ngx_conf_full_name`).
    #[must_use]
    pub fn at(main: impl Into<PathBuf>) -> Self {
        Self { main: main.into() }
    }
}

#[async_trait]
impl ReverseProxy for NginxFiles {
    async fn directives(&self) -> Result<Option<Vec<Directive>>, String> {
        let main = self.main.clone();
        let read = tokio::task::spawn_blocking(move || directives(&main));
        read.await.map_err(|_| "the read was interrupted".to_owned())?
    }
}

fn directives(main: &Path) -> Result<Option<Vec<Directive>>, String> {
    let mut reader = Reader { base: main.parent().unwrap_or(main), bytes: 0, files: 0 };
    let file = match files::open(main) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        _ => reader.file(main)?,
    };
    parse(&file, &mut |pattern| reader.matching(pattern)).map(Some)
}

/// Reads files within the limits.
struct Reader<'p> {
    base: &'p Path,
    bytes: usize,
    files: usize,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path) -> Result<SourceFile, String> {
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(format!("the configuration of nginx has more than {MAX_FILES} files"));
        }
        let content = files::read(path, MAX_BYTES - self.bytes).map_err(failed(path))?;
        self.bytes += content.len();
        let text = String::from_utf8_lossy(&content).into_owned();
        Ok(SourceFile { path: path.display().to_string(), text })
    }

    /// Reads the files that an `include` names, in the order of their names, as `glob(3)`. A name
    /// without a wildcard must exist.
    fn matching(&mut self, pattern: &str) -> Result<Vec<SourceFile>, String> {
        if pattern.contains(['[', '$']) {
            return Err(format!("the pattern `{pattern}` of an `include` is not supported"));
        }
        let full = self.base.join(pattern);
        let mut paths = vec![PathBuf::new()];
        for component in full.components() {
            let name = component.as_os_str().to_string_lossy();
            let is_pattern = matches!(component, Component::Normal(_)) && name.contains(['*', '?']);
            let mut next = Vec::new();
            for path in paths {
                if is_pattern {
                    next.extend(entries(&path, &name)?);
                } else {
                    next.push(path.join(component));
                }
            }
            if next.len() > MAX_FILES {
                return Err(format!("`{pattern}` names more than {MAX_FILES} files"));
            }
            paths = next;
        }
        let has_wildcard = pattern.contains(['*', '?']);
        let exists = |path: &PathBuf| !has_wildcard || path.exists();
        paths.iter().filter(|path| exists(path)).map(|path| self.file(path)).collect()
    }
}

/// The entries of a directory whose names match, sorted. A hidden entry matches no wildcard at its
/// beginning.
fn entries(directory: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let listed = match std::fs::read_dir(directory) {
        Ok(listed) => listed,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(directory)(error)),
    };
    let wanted = WildMatch::new(pattern);
    let mut names = Vec::new();
    for (number, entry) in listed.enumerate() {
        if number >= MAX_FILES {
            return Err(format!("{} has more than {MAX_FILES} entries", directory.display()));
        }
        let name = entry.map_err(failed(directory))?.file_name();
        let text = name.to_string_lossy();
        if wanted.matches(&text) && (pattern.starts_with('.') || !text.starts_with('.')) {
            names.push(directory.join(&name));
        }
    }
    names.sort();
    Ok(names)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> String {
    let path = path.display().to_string();
    move |error| format!("failed to read {path}: {error}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(directory: &Path) -> Result<Vec<String>, String> {
        let found = directives(&directory.join("nginx.conf"))?.unwrap_or_default();
        Ok(found.iter().map(|directive| directive.words.join(" ")).collect())
    }

    #[test]
    fn included_files_are_read_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert_eq!(directives(&path.join("nginx.conf")), Ok(None));
        let main = "include more/*.conf;\ninclude ./none-*;\ninclude one;\ninclude m?re/a*;\n";
        fs::write(path.join("nginx.conf"), main).unwrap();
        fs::create_dir(path.join("more")).unwrap();
        for name in ["more/b.conf", "more/a.conf", "more/.c.conf", "more/d.txt", "one"] {
            fs::write(path.join(name), format!("from {name};")).unwrap();
        }
        assert_eq!(
            names(path).unwrap(),
            ["from more/a.conf", "from more/b.conf", "from one", "from more/a.conf"]
        );
        // Debian enables a site by a link.
        std::os::unix::fs::symlink("../one", path.join("more/z.conf")).unwrap();
        assert!(names(path).unwrap().contains(&"from one".to_owned()));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let error = |main: &str| {
            fs::write(path.join("nginx.conf"), main).unwrap();
            names(path).unwrap_err()
        };
        assert!(error("include gone;").contains("failed to read"));
        assert!(error("include [ab];").contains("not supported"));
        assert!(error("a {").contains("nginx.conf:1"));
        fs::write(path.join("big"), " ".repeat(MAX_BYTES + 1)).unwrap();
        assert!(error("include big;").contains("big"));
        fs::create_dir(path.join("many")).unwrap();
        for number in 0..=MAX_FILES {
            fs::write(path.join(format!("many/{number}")), "").unwrap();
        }
        assert!(error("include many/*;").contains("more than 500"));
    }
}
