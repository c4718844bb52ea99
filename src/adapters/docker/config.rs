//! The configuration directory of the server.

use std::path::PathBuf;
use std::time::Duration;

use super::DockerRuntime;
use super::archive::{Owner, parent};
use crate::domain::observed::ProcessState;
use crate::ejabberd::erlang::CommandLine;
use crate::engine::{ConfigFiles, Lifecycle, MAIN_CONFIG, RuntimeError};

/// How long removing a few files may take on a busy host.
const REMOVE_DEADLINE: Duration = Duration::from_secs(20);

/// Where the known images read their configuration, in the order of looking.
const KNOWN_PATHS: [&str; 3] = [
    "/home/ejabberd/conf/ejabberd.yml",
    "/opt/ejabberd/conf/ejabberd.yml",
    "/etc/ejabberd/ejabberd.yml",
];

impl DockerRuntime {
    /// Where the server in the container reads its configuration.
    pub(super) async fn config_path(&self) -> Result<String, RuntimeError> {
        if let Some(path) = &self.spec.config_path {
            return Ok(path.clone());
        }
        let env = self.container().await?.and_then(|c| c.config).and_then(|c| c.env);
        self.config_path_in(self.name(), env.as_deref()).await
    }

    /// The same for `container`, which was made with `env`.
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

    fn place(path: &str, name: &str) -> String {
        if name == MAIN_CONFIG { path.to_owned() } else { format!("{}/{name}", parent(path)) }
    }

    pub(super) async fn read_config_files(
        &self,
        names: &[String],
    ) -> Result<ConfigFiles, RuntimeError> {
        let path = self.config_path().await?;
        let mut files = ConfigFiles::new();
        for name in names {
            if let Some(file) = self.download(self.name(), &Self::place(&path, name)).await? {
                files.insert(name.clone(), file.content);
            }
        }
        Ok(files)
    }

    pub(super) async fn write_config_files(&self, files: &ConfigFiles) -> Result<(), RuntimeError> {
        let Sorted { path, alone, rest } = self.sort(files).await?;
        for (place, source) in &alone {
            let content = files.get(place.name.as_str()).map(Vec::as_slice).unwrap_or_default();
            self.write_in_place(&place.path, source, content).await?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let owner = self.owner_of(&path).await?;
        let renamed = rename_main(&rest, path.rsplit('/').next().unwrap_or(MAIN_CONFIG));
        self.upload(self.name(), parent(&path), &renamed, owner).await
    }

    /// Fails where [`write_config_files`](Self::write_config_files) would, and leaves everything
    /// as it was: the files are written beside the old ones and removed again.
    pub(super) async fn try_to_write_config_files(
        &self,
        files: &ConfigFiles,
    ) -> Result<(), RuntimeError> {
        let Sorted { path, alone, rest } = self.sort(files).await?;
        for (place, source) in &alone {
            self.can_write_in_place(&place.path, source).await?;
        }
        // The engine cannot remove a file from a container that does not run.
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
        // Also after a failure: a part of the files may be on a full disk.
        if let Err(e) = self.output_in(self.name(), remove, REMOVE_DEADLINE).await {
            tracing::warn!(draft, cause = %e, "files that were written to try it were left behind");
        }
        written
    }

    /// The owner of the main file: who may read it can read what replaces it.
    async fn owner_of(&self, path: &str) -> Result<Owner, RuntimeError> {
        let there = self.download(self.name(), path).await?;
        Ok(there.map_or(Owner { uid: 0, gid: 0, mode: 0o644 }, |file| file.owner))
    }

    /// Sorts files by how they are written. Fails for a read-only mount: such a file belongs to
    /// the host. A file that already has its content is left out.
    async fn sort(&self, files: &ConfigFiles) -> Result<Sorted, RuntimeError> {
        let path = self.config_path().await?;
        let mounts = self.mounts().await?;
        let mut sorted = Sorted { alone: Vec::new(), rest: ConfigFiles::new(), path };
        for (name, content) in files {
            let place = Self::place(&sorted.path, name);
            match mounts.covering(&place) {
                Some(mount) if !mount.writable => {
                    let there = self.download(self.name(), &place).await?;
                    if there.is_none_or(|file| file.content != *content) {
                        return Err(self.read_only(&place, mount));
                    }
                }
                Some(mount) if mount.is_file_at(&place) => sorted
                    .alone
                    .push((FilePath { name: name.clone(), path: place }, mount.source.clone())),
                _ => drop(sorted.rest.insert(name.clone(), content.clone())),
            }
        }
        Ok(sorted)
    }
}

/// Files by how they are written.
struct Sorted {
    /// Where the server reads the main file.
    path: String,
    /// Those that the host mounts one by one, and what they are on the host.
    alone: Vec<(FilePath, PathBuf)>,
    /// The others.
    rest: ConfigFiles,
}

/// A file among those of a configuration.
struct FilePath {
    name: String,
    path: String,
}

/// `files` with the main one under the name that it has in the container.
fn rename_main(files: &ConfigFiles, main: &str) -> ConfigFiles {
    files
        .iter()
        .map(|(name, content)| {
            let name = if name == MAIN_CONFIG { main } else { name };
            (name.to_owned(), content.clone())
        })
        .collect()
}
