//! Creates temporary containers beside the server, and temporary files in the server's container.
//! Also removes the temporary containers and files of a killed operator.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerSummary};
use bollard::query_parameters as query;
use jiff::Timestamp;

use super::create::labels;
use super::{DockerRuntime, MANAGED_LABEL, root, status};
use crate::domain::observed::ProcessState;
use crate::ejabberd::erlang::CommandLine;
use crate::engine::{Lifecycle, RuntimeError};

/// The label of a temporary container; its value is the name of the server's container.
const TEMPORARY_LABEL: &str = "io.ejabberd-operator.stand-in";

/// The label with the state directory whose lock the creator of the container holds.
const HOLDER_LABEL: &str = "io.ejabberd-operator.holder";

/// The value of [`HOLDER_LABEL`] if the creator holds no lock.
const NOBODY: &str = "none";

/// The first part of the names of directories in the server's container that the offline check and
/// the write test create.
const CHECKED: &str = "ejabberd-operator-check";
const TRIED: &str = ".ejabberd-operator-draft";

/// A temporary container or file that is older than this number of minutes is not in use. A check
/// takes at most one minute, and its container ends after at most two minutes.
const OLD_MINUTES: i64 = 3;

/// The time limit of the removal of files.
const REMOVE_DEADLINE: Duration = Duration::from_secs(30);

/// A random name. A process id is not enough, because the kernel reuses process ids.
fn unique() -> Result<String, RuntimeError> {
    let random = getrandom::u64().map_err(|error| RuntimeError::Refused {
        operation: "create a random name".to_owned(),
        cause: error.to_string(),
    })?;
    Ok(format!("{random:016x}"))
}

impl DockerRuntime {
    fn holder(&self) -> &str {
        self.holder.as_deref().unwrap_or(NOBODY)
    }

    /// The path below /tmp of the server's container for files to check.
    pub(super) fn checked_directory(&self) -> Result<String, RuntimeError> {
        Ok(format!("/tmp/{CHECKED}-{}-{}", self.holder(), unique()?))
    }

    /// A path in `above` for files of a write test.
    pub(super) fn tried_directory(&self, above: &str) -> Result<String, RuntimeError> {
        Ok(format!("{above}/{TRIED}-{}-{}", self.holder(), unique()?))
    }

    /// Creates a temporary container for one check. The server's container stays as it is. Returns
    /// the name of the temporary container.
    pub(super) async fn create_temporary_container(
        &self,
        body: ContainerCreateBody,
    ) -> Result<String, RuntimeError> {
        let name = format!("{}-check-{}", self.name(), unique()?);
        let mut labels = labels();
        labels.insert(TEMPORARY_LABEL.to_owned(), self.name().to_owned());
        labels.insert(HOLDER_LABEL.to_owned(), self.holder().to_owned());
        let body = ContainerCreateBody { labels: Some(labels), ..body };
        let options = query::CreateContainerOptionsBuilder::default().name(&name).build();
        let created = self.client().await?.create_container(Some(options), body).await;
        created.map(|_| name).map_err(|e| self.error("create a temporary container for", &e))
    }

    /// Removes a temporary container.
    pub(super) async fn remove_temporary_container(&self, name: &str) {
        let removed = match self.client().await {
            Ok(client) => client.remove_container(name, Some(with_everything())).await,
            Err(_) => return,
        };
        // Not an error: a container that ended removes itself (`auto_remove`).
        if let Err(e) = removed
            && !matches!(status(&e), Some(404 | 409))
        {
            tracing::warn!(
                container = name,
                cause = root(&e),
                "failed to remove a temporary container"
            );
        }
    }

    /// Whether a container exists only for one check of this server.
    pub(super) fn is_stand_in(&self, container: &ContainerSummary) -> bool {
        let labels = container.labels.as_ref();
        labels.and_then(|labels| labels.get(TEMPORARY_LABEL)).is_some_and(|of| of == self.name())
            || self.is_from_version_0_1(container)
    }

    /// Whether version 0.1 created the temporary container. Version 0.1 used the name
    /// `NAME-check-PID-N`, and set only [`MANAGED_LABEL`].
    fn is_from_version_0_1(&self, container: &ContainerSummary) -> bool {
        let managed = container.labels.as_ref().is_some_and(|l| l.contains_key(MANAGED_LABEL));
        let mut names = container.names.iter().flatten().map(|name| name.trim_start_matches('/'));
        let numbers = |rest: &str| {
            rest.split_once('-').is_some_and(|(pid, count)| {
                let digits =
                    |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                digits(pid) && digits(count)
            })
        };
        managed
            && names.any(|name| {
                let rest = name.strip_prefix(self.name());
                rest.and_then(|rest| rest.strip_prefix("-check-")).is_some_and(numbers)
            })
    }

    /// Removes temporary containers and files of killed operators. With the same state directory,
    /// removes all of them, because this operator now holds the lock of the directory. With another
    /// state directory, removes only those older than [`OLD_MINUTES`]. Returns `false` if the
    /// server does not run: the operator can then not remove the files in its container.
    pub(super) async fn remove_what_is_left(&self) -> Result<bool, RuntimeError> {
        let filters = HashMap::from([("label", vec![MANAGED_LABEL])]);
        let options =
            query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let all = self.client().await?.list_containers(Some(options)).await;
        let all = all.map_err(|e| self.error("list the containers beside", &e))?;
        let now = Timestamp::now().as_second();
        for container in all.iter().filter(|container| self.is_stand_in(container)) {
            let holder = container.labels.as_ref().and_then(|labels| labels.get(HOLDER_LABEL));
            let ours = self.holder.is_some() && holder == self.holder.as_ref();
            let old = container.created.is_some_and(|at| now - at > OLD_MINUTES * 60);
            if let (true, Some(id)) = (ours || old, &container.id) {
                tracing::info!(
                    container = id,
                    "removing a temporary container of a killed operator"
                );
                self.remove_temporary_container(id).await;
            }
        }
        if !matches!(self.inspect().await?, ProcessState::Running { .. }) {
            return Ok(false);
        }
        self.remove_files().await?;
        Ok(true)
    }

    /// Removes the temporary files of killed operators from the server's container. The files may
    /// hold keys.
    async fn remove_files(&self) -> Result<(), RuntimeError> {
        let config = self.config_path().await?;
        let directory = config.rsplit_once('/').map_or("/", |(above, _)| above);
        let command = CommandLine {
            argv: removal(&["/tmp", directory], self.holder.as_deref()),
            env: Vec::new(),
            user: Some("0".to_owned()),
        };
        self.output_in(self.name(), command, REMOVE_DEADLINE).await.map(drop)
    }
}

fn with_everything() -> query::RemoveContainerOptions {
    query::RemoveContainerOptionsBuilder::default().force(true).v(true).build()
}

/// The command that removes temporary files in `directories`. The command uses only options of
/// `find` that busybox has as well. `find` follows no links, and `rm -rf` removes a link, never its
/// target.
fn removal(directories: &[&str], holder: Option<&str>) -> Vec<String> {
    let mut argv: Vec<String> = vec!["find".to_owned()];
    argv.extend(directories.iter().map(|directory| (*directory).to_owned()));
    let named = |holder: &str| {
        [
            "(",
            "-name",
            &format!("{CHECKED}-{holder}*"),
            "-o",
            "-name",
            &format!("{TRIED}-{holder}*"),
            ")",
        ]
        .map(str::to_owned)
    };
    argv.extend(["-maxdepth", "1", "("].map(str::to_owned));
    if let Some(holder) = holder {
        argv.extend(named(&format!("{holder}-")));
        argv.push("-o".to_owned());
    }
    argv.extend(named(""));
    argv.extend(["-mmin".to_owned(), format!("+{OLD_MINUTES}"), ")".to_owned()]);
    argv.extend(["-exec", "rm", "-rf", "{}", "+"].map(str::to_owned));
    argv
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::adapters::docker::inherited::tests::spec;

    fn runtime() -> DockerRuntime {
        DockerRuntime::new(spec())
    }

    #[test]
    fn only_temporary_containers_of_this_server_are_matched() {
        let container = |name: &str, labels: &[(&str, &str)]| ContainerSummary {
            names: Some(vec![format!("/{name}")]),
            labels: Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ..ContainerSummary::default()
        };
        let managed = (MANAGED_LABEL, "true");
        for (name, labels, ours) in [
            ("anything", &[managed, (TEMPORARY_LABEL, "v2")][..], true),
            ("v2-check-12-0", &[managed], true),
            ("anything", &[managed, (TEMPORARY_LABEL, "v2-other")], false),
            ("v2-check-12-0", &[], false),
            ("v2-check-mine", &[managed], false),
            ("v2-check-12", &[managed], false),
            ("v2", &[managed], false),
            ("other-check-1-2", &[managed], false),
        ] {
            assert_eq!(runtime().is_stand_in(&container(name, labels)), ours, "{name} {labels:?}");
        }
    }

    #[test]
    fn files_of_the_same_holder_are_removed_at_once_and_other_files_after_three_minutes() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("kept"), "").unwrap();
        for name in ["ejabberd-operator-check-me-1", "ejabberd-operator-check-none-1", "mine"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        for name in [".ejabberd-operator-draft-me-2", "ejabberd-operator-check-12-0"] {
            std::fs::create_dir(path(name)).unwrap();
            std::os::unix::fs::symlink(elsewhere.path(), path(name).join("link")).unwrap();
        }
        let mut touch = Command::new("touch");
        touch.args(["-d", "1 hour ago"]).arg(path("ejabberd-operator-check-12-0"));
        assert!(touch.status().unwrap().success());
        let argv = removal(&[directory.path().to_str().unwrap()], Some("me"));
        assert!(Command::new(&argv[0]).args(&argv[1..]).status().unwrap().success());
        let left = std::fs::read_dir(directory.path()).unwrap();
        let mut left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["ejabberd-operator-check-none-1", "mine"]);
        assert!(elsewhere.path().join("kept").exists());
    }
}
