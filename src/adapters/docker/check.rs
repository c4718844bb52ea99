//! The offline check of new configuration files.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{
    ContainerConfig, ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions,
};
use bollard::query_parameters as query;

use super::DockerRuntime;
use super::archive::Owner;
use super::create::{Layout, volumes};
use crate::domain::observed::ProcessState;
use crate::ejabberd::erlang::{CTL_SCRIPTS, CheckPlan, CommandLine, ControlScript, Verdict, find};
use crate::ejabberd::{StartContext, erlang};
use crate::engine::{ConfigFiles, Lifecycle, MAIN_CONFIG, RuntimeError};

/// The time limit of a check. A check takes half a second on an idle core, and longer while the
/// host starts up.
const CHECK_DEADLINE: Duration = Duration::from_mins(1);

/// The macro for the administrator's account. The start script of the image on ghcr.io adds a host
/// if the environment sets the macro without a host, and generates a random account name if the
/// environment does not set the macro (docker-ejabberd and ejabberd's own `Dockerfile` of 24.12 to
/// 26.07).
const ADMIN_MACRO: &str = "EJABBERD_MACRO_ADMIN";

/// The variable with the host that the script adds to [`ADMIN_MACRO`]; `localhost` if the variable
/// is not set.
const HOST_MACRO: &str = "EJABBERD_MACRO_HOST";

/// The account name that the check uses if the script would generate a random account name.
const ADMIN_IN_CHECK: &str = "check";

impl DockerRuntime {
    /// Checks `files` in the server's container if that container runs, otherwise in a temporary
    /// container with the same image, environment and volumes. A check writes to no file of the
    /// server.
    pub(super) async fn check_config_files(
        &self,
        files: &ConfigFiles,
        context: &StartContext,
    ) -> Result<Verdict, RuntimeError> {
        if matches!(self.inspect().await?, ProcessState::Running { .. }) {
            return self.check_in(self.name(), files, context).await;
        }
        let name = self.start_stand_in().await?;
        let verdict = self.check_in(&name, files, context).await;
        self.remove_temporary_container(&name).await;
        verdict
    }

    /// Starts a temporary container with the image, environment and volumes of the server, and
    /// returns its name. The container only sleeps, and ends after two minutes.
    async fn start_stand_in(&self) -> Result<String, RuntimeError> {
        let existing = self.container().await?;
        let mut mounts = Vec::new();
        let (image, env) = match existing.as_ref().and_then(|c| c.config.as_ref()) {
            Some(config) => (existing.as_ref().and_then(|c| c.image.clone()), config.env.clone()),
            None => {
                let image = self.image().await?;
                mounts = self.kept_volumes(image.config.as_ref()).await?;
                let environment: &BTreeMap<_, _> = &self.spec.environment;
                let env =
                    environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
                (image.id, Some(env))
            }
        };
        let body = ContainerCreateBody {
            image,
            env,
            entrypoint: Some(vec!["sleep".to_owned()]),
            cmd: Some(vec!["120".to_owned()]),
            network_disabled: Some(true),
            host_config: Some(HostConfig {
                // The container ends by itself if a killed operator does not remove it.
                auto_remove: Some(true),
                volumes_from: existing.map(|_| vec![format!("{}:ro", self.name())]),
                mounts: Some(mounts),
                ..Default::default()
            }),
            ..Default::default()
        };
        let name = self.create_temporary_container(body).await?;
        let options = None::<query::StartContainerOptions>;
        match self.client().await?.start_container(&name, options).await {
            Ok(()) => Ok(name),
            Err(e) => {
                self.remove_temporary_container(&name).await;
                Err(self.error("start a temporary container for", &e))
            }
        }
    }

    /// The existing volumes among the volumes of a new container: they can hold files that the new
    /// configuration includes. Without `no_copy`, Docker would copy files of the image into an
    /// empty volume.
    async fn kept_volumes(
        &self,
        image: Option<&bollard::models::ImageConfig>,
    ) -> Result<Vec<Mount>, RuntimeError> {
        let layout = Layout::of_new(&self.spec, &image.cloned().unwrap_or_default());
        let client = self.client().await?;
        let mut mounts = Vec::new();
        for (path, name) in volumes(&self.spec, &layout) {
            if client.inspect_volume(&name).await.is_err() {
                continue;
            }
            mounts.push(Mount {
                target: Some(path),
                source: Some(name),
                typ: Some(MountType::VOLUME),
                read_only: Some(true),
                volume_options: Some(MountVolumeOptions {
                    no_copy: Some(true),
                    ..Default::default()
                }),
                ..Default::default()
            });
        }
        Ok(mounts)
    }

    async fn check_in(
        &self,
        container: &str,
        files: &ConfigFiles,
        context: &StartContext,
    ) -> Result<Verdict, RuntimeError> {
        let files_of = self.files(container);
        let scripts = find::control_scripts(&files_of, &CTL_SCRIPTS).await?;
        // A temporary container has no node, so the search finds the Erlang installation of the
        // image.
        let node = if container == self.name() { self.node().await? } else { None };
        let found = find::installation(&files_of, node.as_ref(), &scripts).await?;
        let found = found.ok_or_else(|| RuntimeError::NoErlang(container.to_owned()))?;
        let config = self.config_of(container).await?;
        let directory = context.directory.clone();
        let directory = directory.or_else(|| node.and_then(|node| node.database));
        let main = match &self.spec.config_path {
            Some(path) => path.clone(),
            None => match self.config_path_in(container, config.env.as_deref()).await {
                // Some images contain no configuration file. Use the path that the image expects.
                Err(RuntimeError::Missing(_)) => {
                    let home = config.working_dir.as_deref();
                    format!(
                        "{}/{MAIN_CONFIG}",
                        Layout::new(config.env.as_deref().unwrap_or_default(), home, None).config
                    )
                }
                found => found?,
            },
        };
        let staged = self.checked_directory()?;
        let owner = self.user_of(container).await?;
        self.upload_as_new_directory(container, &staged, files, owner).await?;
        let plan = CheckPlan {
            main,
            staged: staged.clone(),
            directory: Some(directory.unwrap_or_else(|| database(&config, &scripts))),
            names: files.keys().cloned().collect(),
            macros: match context.macros.as_slice() {
                [] => macros(config.env.as_deref().unwrap_or_default(), &scripts),
                known => known.to_vec(),
            },
        };
        let command = erlang::check_command(&found, &plan);
        let output = self.output_in(container, command, CHECK_DEADLINE).await;
        // Remove the files after the check, because the files may contain keys of certificates.
        let remove = CommandLine {
            argv: ["rm", "-rf", &staged].map(str::to_owned).into(),
            env: Vec::new(),
            user: None,
        };
        if let Err(e) = self.output_in(container, remove, CHECK_DEADLINE).await {
            tracing::debug!(cause = %e, "failed to remove the checked files");
        }
        let output = output?;
        Ok(erlang::read_verdict(&output.stdout, &output.stderr))
    }

    /// The settings that `container` was created with.
    async fn config_of(&self, container: &str) -> Result<ContainerConfig, RuntimeError> {
        let options = None::<query::InspectContainerOptions>;
        let found = self.client().await?.inspect_container(container, options).await;
        let found = found.map_err(|e| self.error("inspect", &e))?;
        Ok(found.config.unwrap_or_default())
    }

    /// The numeric user and group id of programs in `container`.
    async fn user_of(&self, container: &str) -> Result<Owner, RuntimeError> {
        let mut ids = [0, 0];
        for (id, flag) in ids.iter_mut().zip(["-u", "-g"]) {
            let ask = CommandLine {
                argv: ["id", flag].map(str::to_owned).into(),
                env: Vec::new(),
                user: None,
            };
            let output = self.output_in(container, ask, CHECK_DEADLINE).await?;
            *id = output.stdout.trim().parse().unwrap_or(0);
        }
        let [uid, gid] = ids;
        Ok(Owner { uid, gid, mode: 0o600 })
    }
}

/// The directory of the database, for a container without a running server that could report the
/// directory. The control script makes this directory the working directory of the server.
fn database(config: &ContainerConfig, scripts: &[ControlScript]) -> String {
    let env = config.env.as_deref().unwrap_or_default();
    let layout = Layout::new(env, config.working_dir.as_deref(), None);
    let env = config.env.iter().flatten();
    let set = env.filter_map(|line| line.strip_prefix("SPOOL_DIR=")).next_back();
    set.map(str::to_owned)
        .or_else(|| scripts.iter().find_map(ControlScript::spool_directory))
        .unwrap_or(layout.database)
}

/// The macros that the start scripts of the image set, except those that the environment of the
/// container already sets. [`ADMIN_MACRO`] is included even if the environment sets the macro,
/// because the script may add a host. Without these macros ejabberd rejects its configuration.
fn macros(env: &[String], scripts: &[ControlScript]) -> Vec<(String, String)> {
    let set = |name: &str| {
        let of = env.iter().filter_map(|line| line.split_once('='));
        of.filter(|(other, _)| *other == name).map(|(_, value)| value).next_back()
    };
    let host = set(HOST_MACRO).filter(|host| !host.is_empty()).unwrap_or("localhost");
    let account = |name: &str| match name.split_once('@') {
        Some(_) => name.to_owned(),
        None => format!("{}@{host}", if name.is_empty() { ADMIN_IN_CHECK } else { name }),
    };
    let exported = scripts.iter().flat_map(ControlScript::exported_macros);
    exported
        .filter_map(|name| match (name, set(name)) {
            (ADMIN_MACRO, value) => Some((name.to_owned(), account(value.unwrap_or_default()))),
            (_, Some(_)) => None,
            // The value is unknown without running the script, so the check uses an account name.
            (_, None) => Some((name.to_owned(), account(""))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Vec<ControlScript> {
        vec![ControlScript { path: "/usr/local/bin/ejabberdctl".to_owned(), text: text.to_owned() }]
    }

    #[test]
    fn the_macro_of_the_administrator_has_the_value_that_the_start_script_gives() {
        let of = |env: &[&str], text: &str| {
            let env: Vec<String> = env.iter().map(|line| (*line).to_owned()).collect();
            macros(&env, &script(text))
        };
        let exports = "#!/bin/sh\n  export EJABBERD_MACRO_ADMIN\n";
        for (env, expected) in [
            (&[][..], "check@localhost"),
            (&["EJABBERD_MACRO_HOST=a.example"], "check@a.example"),
            (&["EJABBERD_MACRO_ADMIN=ann", "EJABBERD_MACRO_HOST=a.example"], "ann@a.example"),
            (&["EJABBERD_MACRO_ADMIN=ann@b.example"], "ann@b.example"),
        ] {
            assert_eq!(of(env, exports), [(ADMIN_MACRO.to_owned(), expected.to_owned())]);
        }
        assert_eq!(of(&[], "export EJABBERD_MACRO_ADMIN=\"$A@$B\"\n").len(), 1);
        assert_eq!(of(&["EJABBERD_MACRO_X=1"], "export EJABBERD_MACRO_X=1\n"), []);
        assert_eq!(of(&[], "export CONFIG_DIR=/x\n"), []);
    }

    #[test]
    fn the_working_directory_is_the_directory_of_the_database() {
        let config = |env: &[&str], home: &str| ContainerConfig {
            env: Some(env.iter().map(|line| (*line).to_owned()).collect()),
            working_dir: Some(home.to_owned()),
            ..Default::default()
        };
        let wrapper = script("export SPOOL_DIR=/opt/ejabberd/database\n");
        let debian = script(": \"${SPOOL_DIR:=\"/var/lib/ejabberd\"}\"\n");
        let ecs = script(": \"${SPOOL_DIR:=\"$HOME_DIR/database\"}\"\n");
        assert_eq!(database(&config(&["SPOOL_DIR=/srv/db"], ""), &wrapper), "/srv/db");
        assert_eq!(database(&config(&[], ""), &wrapper), "/opt/ejabberd/database");
        assert_eq!(database(&config(&[], ""), &debian), "/var/lib/ejabberd");
        assert_eq!(database(&config(&[], "/home/e"), &ecs), "/home/e/database");
    }
}
