//! The configuration directory of the server, and the offline check.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::files::{Owner, Scratch};
use super::{ProcessRuntime, ServerSetup, blocking, failed, files};
use crate::ejabberd::erlang::find::Files;
use crate::ejabberd::erlang::{CheckPlan, Installation, NodeAddress, Verdict, find};
use crate::ejabberd::{StartContext, erlang};
use crate::engine::{ConfigFiles, MAIN_CONFIG, RuntimeError};

/// The time limit of an offline check. A check takes half a second on an idle core, and longer
/// while the host starts other programs.
const CHECK_DEADLINE: Duration = Duration::from_mins(1);

/// The function that writes the files: [`files::replace`] or [`files::try_to_replace`].
type Write = fn(&[(PathBuf, &[u8])], Owner) -> io::Result<()>;

impl ServerSetup {
    fn path_of(&self, name: &str) -> PathBuf {
        if name == MAIN_CONFIG {
            self.layout.config.clone()
        } else {
            self.layout.config.with_file_name(name)
        }
    }

    /// Returns the Erlang installation of the running server at `node`; without a node, the
    /// installation that the next start uses.
    pub(super) async fn installation(
        &self,
        node: Option<&NodeAddress>,
    ) -> Result<Installation, RuntimeError> {
        let program = self.program.to_string_lossy();
        let scripts = find::control_scripts(&HostFiles, &[&program]).await?;
        let found = find::installation(&HostFiles, node, &scripts).await?;
        found.ok_or_else(|| RuntimeError::NoErlang("this host".to_owned()))
    }
}

/// The files of this host, for the search for an Erlang installation.
pub(super) struct HostFiles;

#[async_trait]
impl Files for HostFiles {
    type Error = RuntimeError;

    async fn exists(&self, path: &str) -> Result<bool, RuntimeError> {
        Ok(tokio::fs::try_exists(path).await.unwrap_or(false))
    }

    async fn read(&self, path: &str) -> Result<Option<String>, RuntimeError> {
        let path = Path::new(path);
        let content = files::read(path).map_err(|e| failed("read", path, &e))?;
        Ok(content.map(|content| String::from_utf8_lossy(&content).into_owned()))
    }
}

impl ProcessRuntime {
    pub(super) fn read_config_files(&self, names: &[String]) -> Result<ConfigFiles, RuntimeError> {
        let setup = self.setup()?;
        let mut found = ConfigFiles::new();
        for name in names {
            let path = setup.path_of(name);
            if let Some(content) = files::read(&path).map_err(|e| failed("read", &path, &e))? {
                found.insert(name.clone(), content);
            }
        }
        Ok(found)
    }

    /// Replaces all of the files, or none if a file cannot be written. After a power failure, only
    /// some of the files may be replaced.
    pub(super) async fn write_config_files(&self, files: &ConfigFiles) -> Result<(), RuntimeError> {
        self.write_each(files, files::replace).await
    }

    /// Fails if [`write_config_files`](Self::write_config_files) would fail because of a missing
    /// permission or a full disk. The function writes drafts beside the old files and removes the
    /// drafts.
    pub(super) async fn try_to_write_config_files(
        &self,
        files: &ConfigFiles,
    ) -> Result<(), RuntimeError> {
        self.write_each(files, files::try_to_replace).await
    }

    async fn write_each(&self, files: &ConfigFiles, write: Write) -> Result<(), RuntimeError> {
        let (setup, new) = (self.setup()?, files.clone());
        blocking(move || {
            let mut files: Vec<(PathBuf, &[u8])> = new
                .iter()
                .map(|(name, content)| (setup.path_of(name), content.as_slice()))
                .collect();
            // Replace the main file last, because the main file includes the other files.
            files.sort_by_key(|(path, _)| *path == setup.layout.config);
            let directory = setup.layout.config.parent().unwrap_or(Path::new("/"));
            write(&files, setup.operator(0o640))
                .map_err(|e| failed("write the configuration in", directory, &e))
        })
        .await
    }

    /// Checks `files` as the server's user, in a directory that only that user can read.
    pub(super) async fn check_config_files(
        &self,
        files: &ConfigFiles,
        context: &StartContext,
    ) -> Result<Verdict, RuntimeError> {
        let setup = self.setup()?;
        let installation = setup.installation(None).await?;
        let (uid, gid) = (setup.account.uid, setup.account.gid);
        let scratch = Scratch::new(files, uid, gid);
        let scratch = scratch
            .map_err(|e| failed("write the files to check in", &std::env::temp_dir(), &e))?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let plan = CheckPlan {
            main: text(&setup.layout.config),
            staged: text(scratch.path()),
            // By default the check has the same working directory as the server: the control script
            // changes to the directory of the database.
            directory: Some(context.directory.clone().unwrap_or(text(&setup.layout.spool))),
            names: files.keys().cloned().collect(),
            macros: context.macros.clone(),
        };
        let command = erlang::check_command(&installation, &plan);
        let output = self.run(&setup, command, CHECK_DEADLINE).await?;
        Ok(erlang::read_verdict(&output.stdout, &output.stderr))
    }
}
