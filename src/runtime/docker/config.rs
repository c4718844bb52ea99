//! The configuration directory of the server, and the offline check.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters as query;

use super::archive::{Owner, parent};
use super::create::labels;
use super::{DockerRuntime, root};
use crate::engine::{ConfigFiles, MAIN_CONFIG, Runtime, RuntimeError};
use crate::erlang::{self, CTL_SCRIPTS, CommandLine, ControlScript, Verdict};
use crate::observed::ProcessState;
use crate::runtime::installation;

/// A check takes half a second on an idle core; a host that starts up is not idle.
const CHECK_DEADLINE: Duration = Duration::from_secs(60);

/// What a macro that only the start script sets has during a check. The one
/// that is known is `EJABBERD_MACRO_ADMIN` of the image on ghcr.io, an address.
const MACRO_IN_CHECK: &str = "check@localhost";

/// Several may be checked at once.
static CHECKS: AtomicU32 = AtomicU32::new(0);

/// Where the known images read their configuration, in the order of looking.
const KNOWN_PLACES: [&str; 3] = [
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
        let env =
            self.container().await?.and_then(|c| c.config).and_then(|c| c.env).unwrap_or_default();
        let variable = |name: &str| {
            env.iter()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        if let Some(path) = variable("EJABBERD_CONFIG_PATH") {
            return Ok(path);
        }
        if let Some(directory) = variable("CONFIG_DIR") {
            return Ok(format!("{directory}/ejabberd.yml"));
        }
        self.first_existing(self.name(), KNOWN_PLACES.map(str::to_owned).into()).await?.ok_or_else(
            || {
                RuntimeError::Missing(format!(
                    "the configuration in {}; set spec.server.docker.configPath",
                    self.name()
                ))
            },
        )
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
        let path = self.config_path().await?;
        // Whoever owns the file that is there can read what takes its place.
        let owner = match self.download(self.name(), &path).await? {
            Some(file) => file.owner,
            None => Owner { uid: 0, gid: 0, mode: 0o644 },
        };
        let mounted = self.mounted_files().await?;
        let mut rest = ConfigFiles::new();
        for (name, content) in files {
            let place = Self::place(&path, name);
            match mounted.get(&place) {
                Some(source) => self.write_in_place(&place, source, content).await?,
                None => drop(rest.insert(name.clone(), content.clone())),
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        let renamed = rename_main(&rest, path.rsplit('/').next().unwrap_or(MAIN_CONFIG));
        self.upload(self.name(), parent(&path), false, &renamed, owner).await
    }

    /// Checks in the running container, where there is one, else in a
    /// throw-away one of the same image, environment and volumes.
    pub(super) async fn check_config_files(
        &self,
        files: &ConfigFiles,
    ) -> Result<Verdict, RuntimeError> {
        if matches!(self.inspect().await?, ProcessState::Running { .. }) {
            return self.check_in(self.name(), files).await;
        }
        let name = self.start_stand_in().await?;
        let verdict = self.check_in(&name, files).await;
        let options = query::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        if let Err(e) = self.client().await?.remove_container(&name, Some(options)).await {
            tracing::warn!(
                container = name,
                cause = root(&e),
                "a throw-away container was left behind"
            );
        }
        verdict
    }

    /// Starts a container like the server's that only sleeps, for a while.
    async fn start_stand_in(&self) -> Result<String, RuntimeError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "{}-check-{}-{}",
            self.name(),
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let existing = self.container().await?;
        let (image, env) = match existing.as_ref().and_then(|c| c.config.as_ref()) {
            Some(config) => (existing.as_ref().and_then(|c| c.image.clone()), config.env.clone()),
            None => {
                let environment: &BTreeMap<_, _> = &self.spec.environment;
                let env =
                    environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
                (self.image().await?.id, Some(env))
            }
        };
        let body = ContainerCreateBody {
            image,
            env,
            labels: Some(labels()),
            entrypoint: Some(vec!["sleep".to_owned()]),
            cmd: Some(vec!["120".to_owned()]),
            network_disabled: Some(true),
            host_config: Some(HostConfig {
                // It ends by itself, should we not come to remove it.
                auto_remove: Some(true),
                volumes_from: existing.map(|_| vec![format!("{}:ro", self.name())]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let client = self.client().await?;
        let options = query::CreateContainerOptionsBuilder::default().name(&name).build();
        client
            .create_container(Some(options), body)
            .await
            .map_err(|e| self.error("create a stand-in for", &e))?;
        client
            .start_container(&name, None::<query::StartContainerOptions>)
            .await
            .map_err(|e| self.error("start a stand-in for", &e))?;
        Ok(name)
    }

    async fn check_in(
        &self,
        container: &str,
        files: &ConfigFiles,
    ) -> Result<Verdict, RuntimeError> {
        let files_of = self.files(container);
        let scripts = installation::control_scripts(&files_of, &CTL_SCRIPTS).await?;
        // A stand-in has no server; what is found there fits the server's image.
        let node = if container == self.name() { self.node().await? } else { None };
        let found = installation::find(&files_of, node.as_ref(), &scripts).await?;
        let found = found.ok_or_else(|| RuntimeError::NoErlang(container.to_owned()))?;
        let macros = self.macros_of_wrapper(&scripts).await?;
        let count = CHECKS.fetch_add(1, Ordering::Relaxed);
        let directory = format!("/tmp/ejabberd-operator-check-{}-{count}", std::process::id());
        let owner = self.user_of(container).await?;
        self.upload(container, &directory, true, files, owner).await?;
        let main = format!("{directory}/{MAIN_CONFIG}");
        let command = erlang::check_command(&found, &main, &macros);
        let output = self.output_in(container, command, CHECK_DEADLINE).await;
        // Certificates' keys may be among them.
        let remove = CommandLine {
            argv: ["rm", "-rf", &directory].map(str::to_owned).into(),
            env: Vec::new(),
            user: None,
        };
        if let Err(e) = self.output_in(container, remove, CHECK_DEADLINE).await {
            tracing::debug!(cause = %e, "the checked files were left behind");
        }
        let output = output?;
        // Whoever reads a message knows the file by its name, not by where it was checked.
        let here = format!("{directory}/");
        let plain = |text: &str| text.replace(&here, "");
        Ok(erlang::read_verdict(&plain(&output.stdout), &plain(&output.stderr)))
    }

    /// Macros that the image's start script sets where the container's own
    /// environment does not. Without them ejabberd refuses its configuration;
    /// their values do not matter for that.
    async fn macros_of_wrapper(
        &self,
        scripts: &[ControlScript],
    ) -> Result<Vec<(String, String)>, RuntimeError> {
        let config = self.container().await?.and_then(|container| container.config);
        let env = config.and_then(|config| config.env).unwrap_or_default();
        let is_set = |name: &str| env.iter().any(|line| line.split('=').next() == Some(name));
        let exported = scripts.iter().flat_map(ControlScript::exported_macros);
        let missing = exported.filter(|name| !is_set(name));
        Ok(missing.map(|name| (name.to_owned(), MACRO_IN_CHECK.to_owned())).collect())
    }

    /// The numbers of the user that programs in `container` run as.
    async fn user_of(&self, container: &str) -> Result<Owner, RuntimeError> {
        let mut ids = [0, 0];
        for (id, flag) in ids.iter_mut().zip(["-u", "-g"]) {
            let ask = CommandLine {
                argv: ["id", flag].map(str::to_owned).into(),
                env: Vec::new(),
                user: None,
            };
            let said = self.output_in(container, ask, CHECK_DEADLINE).await?;
            *id = said.stdout.trim().parse().unwrap_or(0);
        }
        let [uid, gid] = ids;
        Ok(Owner { uid, gid, mode: 0o600 })
    }
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
