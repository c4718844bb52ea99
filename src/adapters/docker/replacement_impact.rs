//! The data that is lost if the container is replaced.

use bollard::models::{ContainerInspectResponse, FilesystemChange};

use super::create::{Layout, is_within};
use super::database::mounts_of;
use super::inherited::Old;
use super::{DockerRuntime, inherited, root};
use crate::domain::database::Location;
use crate::domain::spec::Recreate;
use crate::engine::RuntimeError;

/// Directories that each start fills again, or that hold no data.
const PASSING: [&str; 9] =
    ["/tmp", "/var/tmp", "/run", "/var/run", "/var/log", "/var/cache", "/dev", "/proc", "/sys"];

/// Names of files whose loss does no harm: they are created again, or the replacement copies them.
const NAMES: [&str; 5] =
    [".erlang.cookie", "erl_crash.dump", ".bash_history", ".ash_history", ".sh_history"];

/// The maximum number of files that a message names.
const SHOWN: usize = 5;

impl DockerRuntime {
    /// The data that a replacement of this container would lose, one message for each loss. Empty
    /// if a replacement loses nothing or is not declared. `database` is the directory of the
    /// database that the server reports; `None` if the server reports no directory.
    pub(super) async fn replacement_impact(
        &self,
        container: &ContainerInspectResponse,
        database: Option<&str>,
    ) -> Result<Vec<String>, RuntimeError> {
        if self.spec.recreate == Recreate::Never || self.spec.image.is_none() {
            return Ok(Vec::new());
        }
        let mut impact = Vec::new();
        let host = container.host_config.as_ref();
        if host.and_then(|host| host.auto_remove) == Some(true) {
            impact.push(
                "it was started with `--rm`: it is removed, with its unnamed volumes, as soon as \
                 it stops"
                    .to_owned(),
            );
        }
        impact.extend(self.database_lost(container, database).await?);
        let changes = self.client().await?.container_changes(self.name()).await;
        match changes {
            Ok(changes) => {
                let logs = variable(container, "LOGS_DIR");
                impact.extend(files_lost(container, logs, &changes.unwrap_or_default()));
            }
            Err(e) => impact.push(format!("its own files cannot be listed ({})", root(&e))),
        }
        Ok(impact)
    }

    async fn database_lost(
        &self,
        container: &ContainerInspectResponse,
        database: Option<&str>,
    ) -> Result<Option<String>, RuntimeError> {
        let config = container.config.clone().unwrap_or_default();
        let usual = Layout::new(
            config.env.as_deref().unwrap_or_default(),
            config.working_dir.as_deref(),
            config.volumes.as_deref(),
        );
        let directory = database.unwrap_or(&usual.database);
        let here = self.location_in(self.name(), &mounts_of(container), directory).await?;
        if matches!(here, Location::Container | Location::Memory) {
            return Ok(Some(format!("its database at {directory} is in {here}")));
        }
        let (old_image, new_image) = self.both_images(container).await?;
        let old = Old { container, image: &old_image };
        let body = inherited::body(&self.spec, &old, &new_image);
        let locations = inherited::locations(&inherited::by_path(&body));
        // If the directory is not the usual one, a start script of the administrator may have
        // chosen the directory, so the new container would use the same directory.
        let then = if directory == usual.database {
            inherited::new_layout(&self.spec, &old, &new_image).database
        } else {
            directory.to_owned()
        };
        let there = self.location_in(self.name(), &locations, &then).await?;
        Ok((there != here).then(|| {
            format!(
                "its database is on {here}, and a new container would keep it on {there} ({then})"
            )
        }))
    }
}

/// The value of the environment variable `name` of a container; `None` if the variable is not set.
fn variable<'c>(container: &'c ContainerInspectResponse, name: &str) -> Option<&'c str> {
    let env = container.config.as_ref().and_then(|config| config.env.as_deref());
    let line = |line: &'c String| line.strip_prefix(name)?.strip_prefix('=');
    env.into_iter().flatten().find_map(line)
}

/// A message about the changed files in the container's own layer, which a replacement would lose;
/// `None` if there are none. `logs` is the directory of logs.
fn files_lost(
    container: &ContainerInspectResponse,
    logs: Option<&str>,
    changes: &[FilesystemChange],
) -> Option<String> {
    let mounts = mounts_of(container);
    let passes = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        NAMES.contains(&name)
            || PASSING.iter().copied().chain(logs).any(|directory| is_within(path, directory))
            || path.contains("/logs/")
            // The engine creates the mount points and the directories above them.
            || mounts.keys().any(|mount| is_within(mount, path) || is_within(path, mount))
    };
    // The engine also lists the directories above a changed file. Leave them out.
    let holds_more = |path: &str| {
        changes.iter().any(|other| other.path.len() > path.len() && is_within(&other.path, path))
    };
    let mut lost: Vec<&str> = changes
        .iter()
        .map(|change| change.path.as_str())
        .filter(|path| !passes(path) && !path.ends_with("/logs") && !holds_more(path))
        .collect();
    lost.sort_unstable();
    if lost.is_empty() {
        return None;
    }
    let more = match lost.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown: Vec<&str> = lost.iter().take(SHOWN).copied().collect();
    Some(format!("changed files that are on no volume: {}{more}", shown.join(", ").escape_debug()))
}

#[cfg(test)]
mod tests {
    use bollard::models::{ChangeType, MountPoint};

    use super::*;

    #[test]
    fn a_replacement_names_the_lost_files_except_files_that_a_start_creates_again() {
        let container = ContainerInspectResponse {
            mounts: Some(vec![MountPoint {
                typ: Some("volume".to_owned()),
                name: Some("db".to_owned()),
                destination: Some("/home/ejabberd/database".to_owned()),
                ..Default::default()
            }]),
            ..Default::default()
        };
        let lost = |paths: &[&str]| {
            let kind = ChangeType::_0;
            let changes: Vec<FilesystemChange> =
                paths.iter().map(|&p| FilesystemChange { path: p.to_owned(), kind }).collect();
            files_lost(&container, Some("/var/ejabberd-logs"), &changes)
        };
        let usual = [
            "/home",
            "/home/ejabberd",
            "/home/ejabberd/database",
            "/home/ejabberd/logs",
            "/home/ejabberd/logs/ejabberd.log",
            "/home/ejabberd/.erlang.cookie",
            "/var/ejabberd-logs/x",
            "/tmp/x",
        ];
        assert_eq!(lost(&usual), None);
        let found = lost(&["/home/ejabberd/conf", "/home/ejabberd/conf/ejabberd.yml"]).unwrap();
        assert!(found.ends_with(": /home/ejabberd/conf/ejabberd.yml"), "{found}");
        assert!(lost(&["/home/ejabberd/upload"]).is_some());
        let many: Vec<String> = (0..9).map(|n| format!("/srv/{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(lost(&many).unwrap().ends_with("/srv/4 and 4 more"));
    }
}
