//! `export`: writes the desired state of a live server.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::runtimes::in_container;
use super::{Exit, Outcome, output};
use crate::adapters::docker::DockerRuntime;
use crate::domain::configuration::Value;
use crate::domain::export::Export;
use crate::domain::spec;
use crate::domain::spec::{Docker, Network, Recreate, Severity, SourceFile};
use crate::ejabberd::EjabberdClient;
use crate::engine::{MAIN_CONFIG, RuntimeError};

/// The name of the file with the desired state.
const FILE: &str = "desired-state.yaml";

/// The mode of the configuration file. Only the owner may read the file, because the configuration
/// can contain passwords.
const CLOSED: u32 = 0o600;
/// The mode of the desired state before the umask. The desired state contains no secrets, so the
/// umask decides which accounts can read the file.
const OPEN: u32 = 0o666;

/// Writes the description of a live server into `directory`. Changes nothing on the server.
pub(super) async fn export(container: String, engine: String, directory: &Path) -> Outcome {
    let (file, config_file) = (directory.join(FILE), directory.join(MAIN_CONFIG));
    for path in [&file, &config_file] {
        // Do not follow links, because a broken link exists too.
        if fs::symlink_metadata(path).is_ok() {
            return Err(there_already(path));
        }
    }
    let (runtime, control) = in_container(docker(container, engine), None);
    runtime.needs_running().await.map_err(|error| {
        let help = match &error {
            RuntimeError::Missing(_) => "; `docker ps` lists the running containers",
            _ => "",
        };
        Exit::Failure(format!("failed to {error}{help}"))
    })?;
    let server = EjabberdClient::new(Arc::new(control));
    let looked = observe(&runtime, &server).await;
    server.close().await;
    let (found, config) = looked?;
    let text = found.text();
    check(&file, &text)?;
    fs::create_dir_all(directory).map_err(|e| failed("make", directory, &e))?;
    write(&config_file, &config, CLOSED)?;
    if let Err(exit) = write(&file, text.as_bytes(), OPEN) {
        // Remove the files of a failed export; otherwise these files block the next export.
        let _ = fs::remove_file(&config_file);
        return Err(exit);
    }
    output::print(&summary(&found, &file, &config_file))
}

/// Returns the minimal specification to observe an existing container.
fn docker(container: String, engine: String) -> Docker {
    Docker {
        container,
        image: None,
        engine,
        network: Network::Bridge,
        ports: Vec::new(),
        volumes: BTreeMap::new(),
        environment: BTreeMap::new(),
        config_path: None,
        recreate: Recreate::Never,
    }
}

/// Collects the content of the export: the server, and its configuration file.
async fn observe(
    runtime: &DockerRuntime,
    server: &EjabberdClient,
) -> Result<(Export, Vec<u8>), Exit> {
    let version = server.version().await?;
    if !server.is_started().await? {
        return Err(Exit::Failure("the server is starting; try again in a moment".to_owned()));
    }
    let path = server.config_path().await?;
    let config = server.read_file(&path).await?;
    let config = config.ok_or_else(|| {
        Exit::Failure(format!("the configuration of the server, {path}, is missing"))
    })?;
    let container = runtime.describe(&path).await?;
    let found = server.collect().await?;
    let written = Value::of_text(&config).unwrap_or(Value::Null);
    let included = written.included_files().into_iter().map(str::to_owned).collect();
    let config_name = MAIN_CONFIG.to_owned();
    Ok((Export { version, container, config: config_name, included, found }, config))
}

/// Checks that the exported desired state is valid. An invalid desired state is a defect of this
/// program.
fn check(file: &Path, text: &str) -> Outcome {
    let source = SourceFile { path: file.to_owned(), text: text.to_owned() };
    let Err(problems) = spec::validate(&[source]) else { return Ok(()) };
    problems.iter().filter(|p| p.severity == Severity::Error).for_each(output::problem);
    Err(Exit::Failure(
        "failed to write a valid desired state of the server, which is a defect of this \
         program; nothing was written"
            .to_owned(),
    ))
}

fn there_already(path: &Path) -> Exit {
    Exit::Failure(format!(
        "{} is there already, and is not overwritten; name another directory",
        path.display()
    ))
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Exit {
    Exit::Failure(format!("failed to {what} {}: {error}", path.display()))
}

/// Writes a new file. Fails if the file exists.
fn write(path: &Path, content: &[u8], mode: u32) -> Outcome {
    let mut options = OpenOptions::new();
    let mut file = match options.write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(there_already(path)),
        Err(e) => return Err(failed("write", path, &e)),
    };
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(|e| {
        let _ = fs::remove_file(path);
        failed("write", path, &e)
    })
}

/// Returns the message after an export: the written files, and the next command.
fn summary(export: &Export, file: &Path, config: &Path) -> String {
    let mut text = format!("Wrote {}: {}\n", file.display(), export.found.counts());
    match export.left_out() {
        0 => {}
        1 => text += "  a comment in the file names a setting that cannot be declared\n",
        count => {
            text +=
                &format!("  {count} comments in the file name settings that cannot be declared\n")
        }
    }
    text += &format!("Wrote {}: the configuration, readable only by you\n", config.display());
    text += "\nNothing was changed on the server. To see what the file would change, run\n\n";
    text + &format!("  ejabberd-operator --desired-state {} plan\n", shell_word(file))
}

/// Returns a path with quotes for a shell, if the path needs quotes.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%=:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
