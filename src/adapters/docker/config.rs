//! The configuration directory of the server.

use std::path::PathBuf;
use std::time::Duration;

use super::DockerRuntime;
use super::archive::{Owner, parent};
use crate::domain::observed::ProcessState;
use crate::ejabberd::erlang::CommandLine;
use crate::engine::{ConfigFiles, Lifecycle, MAIN_CONFIG, RuntimeError};

/// The time limit to remove a few files on a busy host.
const REMOVE_DEADLINE: Duration = Duration::from_secs(20);

/// The configuration files of the known images, in the order of search.
const KNOWN_PATHS: [&str; 3] = [
    "/home/ejabberd/conf/ejabberd.yml",
    "/opt/ejabberd/conf/ejabberd.yml",
    "/etc/ejabberd/ejabberd.yml",
];

impl DockerRuntime {
    /// The path of the server's main configuration file in the container.
    pub(super) async fn config_path(&self) -> Result<String, RuntimeError> {
        if let Some(path) = &self.spec.config_path {
            return Ok(path.clone());
        }
        let env = self.container().await?.and_then(|c| c.config).and_then(|c| c.env);
        self.config_path_in(self.name(), env.as_deref()).await
    }

    /// The path of the main configuration file in `container`, which has the environment `env`.
    /// Fails if `env` names no path and no known path exists.
    pub(super) async fn config_path_in(
        &self,
        container: &str,
        env: Option<&[String]>,
    ) -> Result<String, RuntimeError> {
        let variable = |name: &str| {
            let mut lines = env.into_iter().flatten();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        if let Some(path) = variable("EJABBERD_CONFIG_PATH") {
            return Ok(path);
        }
        if let Some(directory) = variable("CONFIG_DIR") {
            return Ok(format!("{directory}/ejabberd.yml"));
        }
        let found = self.first_existing(container, KNOWN_PATHS.map(str::to_owned).into()).await?;
        found.ok_or_else(|| {
            RuntimeError::Missing(format!(
                "the configuration in {}; set spec.server.docker.configPath",
                self.name()
            ))
        })
    }

    fn path_of(path: &str, name: &str) -> String {
        if name == MAIN_CONFIG { path.to_owned() } else { format!("{}/{name}", parent(path)) }
    }

    pub(super) async fn read_config_files(
        &self,
        names: &[String],
    ) -> Result<ConfigFiles, RuntimeError> {
        let path = self.config_path().await?;
        let mut files = ConfigFiles::new();
        for name in names {
            if let Some(file) = self.download(self.name(), &Self::path_of(&path, name)).await? {
                files.insert(name.clone(), file.content);
            }
        }
        Ok(files)
    }

    pub(super) async fn write_config_files(&self, files: &ConfigFiles) -> Result<(), RuntimeError> {
        let Sorted { path, alone, rest } = self.sort(files).await?;
        for (target, source) in &alone {
            let content = files.get(target.name.as_str()).map(Vec::as_slice).unwrap_or_default();
            self.write_in_place(&target.path, source, content).await?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let owner = self.owner_of(&path).await?;
        let renamed = rename_main(&rest, path.rsplit('/').next().unwrap_or(MAIN_CONFIG));
        self.upload(self.name(), parent(&path), &renamed, owner).await
    }

    /// Fails if [`write_config_files`](Self::write_config_files) would fail, and does not change
    /// the configuration. Writes the files to a temporary directory beside the old files, and
    /// removes the directory.
    pub(super) async fn try_to_write_config_files(
        &self,
        files: &ConfigFiles,
    ) -> Result<(), RuntimeError> {
        let Sorted { path, alone, rest } = self.sort(files).await?;
        for (target, source) in &alone {
            self.can_write_in_place(&target.path, source).await?;
        }
        // Without a running container, check only the mounts: the engine cannot remove a file from
        // a stopped container.
        let runs = matches!(self.inspect().await?, ProcessState::Running { .. });
        if rest.is_empty() || !runs {
            return Ok(());
        }
        let draft = self.tried_directory(parent(&path))?;
        let owner = self.owner_of(&path).await?;
        let written = self.upload_as_new_directory(self.name(), &draft, &rest, owner).await;
        let remove = CommandLine {
            argv: ["rm", "-rf", &draft].map(str::to_owned).into(),
            env: Vec::new(),
            user: Some("0".to_owned()),
        };
        // Remove the directory even after a failed write: with a full disk, some files may exist.
        if let Err(e) = self.output_in(self.name(), remove, REMOVE_DEADLINE).await {
            tracing::warn!(draft, cause = %e, "files that were written to try it were left behind");
        }
        written
    }

    /// The owner and the permission bits for the new files: those of the main file, so that each
    /// account that can read the main file can read its replacement.
    async fn owner_of(&self, path: &str) -> Result<Owner, RuntimeError> {
        let there = self.download(self.name(), path).await?;
        Ok(there.map_or(Owner { uid: 0, gid: 0, mode: 0o644 }, |file| file.owner))
    }

    /// Sorts the files by the method with which the operator writes each file. A file on a
    /// read-only mount belongs to the host: omits the file if its content is unchanged, and fails
    /// if the content is changed.
    async fn sort(&self, files: &ConfigFiles) -> Result<Sorted, RuntimeError> {
        let path = self.config_path().await?;
        let mounts = self.mounts().await?;
        let mut sorted = Sorted { alone: Vec::new(), rest: ConfigFiles::new(), path };
        for (name, content) in files {
            let target = Self::path_of(&sorted.path, name);
            match mounts.covering(&target) {
                Some(mount) if !mount.writable => {
                    let there = self.download(self.name(), &target).await?;
                    if there.is_none_or(|file| file.content != *content) {
                        return Err(self.read_only(&target, mount));
                    }
                }
                Some(mount) if mount.is_file_at(&target) => sorted
                    .alone
                    .push((FilePath { name: name.clone(), path: target }, mount.source.clone())),
                _ => drop(sorted.rest.insert(name.clone(), content.clone())),
            }
        }
        Ok(sorted)
    }
}

/// Configuration files, sorted by the method with which the operator writes each file.
struct Sorted {
    /// The path of the main file in the container.
    path: String,
    /// The files that are mounted as single files, with their paths on the host.
    alone: Vec<(FilePath, PathBuf)>,
    /// The other files, which the operator writes through the engine's API.
    rest: ConfigFiles,
}

/// The name and the path of a configuration file.
struct FilePath {
    name: String,
    path: String,
}

/// `files` with the main file under its name in the container.
fn rename_main(files: &ConfigFiles, main: &str) -> ConfigFiles {
    files
        .iter()
        .map(|(name, content)| {
            let name = if name == MAIN_CONFIG { main } else { name };
            (name.to_owned(), content.clone())
        })
        .collect()
}
