//! A real ejabberd in a separate container.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ejabberd_operator::adapters::docker::DockerRuntime;
use ejabberd_operator::adapters::session::Session;
use ejabberd_operator::domain::spec;
use ejabberd_operator::ejabberd::EjabberdClient;
use ejabberd_operator::engine::{Lifecycle, ServerConfig, Spawner};

/// The name of an image that `scripts/ejabberd-image` builds.
pub fn image(version: &str) -> String {
    format!("ejabberd-operator/ejabberd:{version}")
}

/// The version of ejabberd in an image: `newest` has the version of Debian sid.
pub fn ejabberd_version(tag: &str) -> String {
    let label = "{{index .Config.Labels \"io.ejabberd-operator.ejabberd-version\"}}";
    docker(&["image", "inspect", "-f", label, &image(tag)])
}

/// Runs `docker`, and fails the test if the command fails.
pub fn docker(args: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        Command::new("docker").args(args).output().expect("docker is needed");
    let printed = String::from_utf8_lossy(&stdout);
    assert!(
        status.success(),
        "docker {args:?}: {status} {} {printed:.300}",
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8_lossy(&stdout).trim().to_owned()
}

/// A name that no other test uses.
pub fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("eo-{prefix}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A host for all tests.
pub const HOST: &str = "test.example";

/// Options of a server that can store data in `SQLite`. ejabberd creates the tables (`update_sql_schema`
/// exists since 23.10 and is the default since 24.06).
pub const SQLITE: &str = "sql_type: sqlite\n";

/// The module that archives all messages in SQL.
pub const ARCHIVE_IN_SQL: &str = "mod_mam: { default: always, db_type: sql }";

/// A configuration with the modules that the operator needs, on the container's own ports.
pub const CONFIG: &str = "\
hosts: [test.example]
loglevel: info
auth_password_format: scram
hide_sensitive_log_data: true
listen:
  - { port: 5222, ip: 127.0.0.1, module: ejabberd_c2s }
acl: { local: { user_regexp: '' } }
modules:
  mod_admin_extra: {}
  mod_disco: {}
  mod_last: {}
  mod_muc: { max_users: 200 }
  mod_muc_admin: {}
  mod_private: {}
  mod_offline: {}
  mod_roster: {}
  mod_shared_roster: {}
  mod_vcard: {}
";

/// A container with a server. Dropping the value removes the container and its volumes.
pub struct Container {
    pub name: String,
    pub runtime: Arc<DockerRuntime>,
}

impl Container {
    /// A declaration of a container with this name.
    pub fn spec(name: &str, version: &str) -> spec::Docker {
        spec::Docker {
            container: name.to_owned(),
            image: Some(image(version)),
            engine: "unix:///var/run/docker.sock".to_owned(),
            network: spec::Network::Bridge,
            ports: Vec::new(),
            volumes: BTreeMap::new(),
            environment: BTreeMap::new(),
            config_path: None,
            recreate: spec::Recreate::Never,
        }
    }

    /// Creates a container, and does not start the container.
    pub async fn create(version: &str, config: &str) -> Self {
        let name = unique("server");
        let runtime = Arc::new(DockerRuntime::new(Self::spec(&name, version)));
        let container = Self { name, runtime };
        container.runtime.create().await.expect("create");
        let files = BTreeMap::from([("ejabberd.yml".to_owned(), config.as_bytes().to_vec())]);
        container.runtime.write_config(&files).await.expect("write the configuration");
        container
    }

    /// Creates and starts a container; returns when ejabberd responds.
    pub async fn started(version: &str, config: &str) -> (Self, EjabberdClient) {
        let container = Self::create(version, config).await;
        container.runtime.start().await.expect("start");
        let server = container.server();
        container.wait_until_up(&server).await;
        (container, server)
    }

    /// A control channel to the server in the container.
    pub fn server(&self) -> EjabberdClient {
        EjabberdClient::new(Arc::new(self.session()))
    }

    /// A session with the server in the container.
    pub fn session(&self) -> Session {
        Session::new(Arc::clone(&self.runtime) as Arc<dyn Spawner>)
    }

    pub async fn wait_until_up(&self, server: &EjabberdClient) {
        let began = Instant::now();
        loop {
            match server.is_started().await {
                Ok(true) => return,
                other if began.elapsed() > Duration::from_secs(90) => {
                    panic!(
                        "not up after 90 s: {other:?}\n{}",
                        docker(&["logs", "--tail", "40", &self.name])
                    )
                }
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", "-v", &self.name]).output();
        for what in ["database", "conf"] {
            let _ = Command::new("docker")
                .args(["volume", "rm", &format!("{}-{what}", self.name)])
                .output();
        }
    }
}

/// The Python of `scripts/test`, which has an XMPP library.
pub fn python() -> String {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/xmpp/bin/python3");
    assert!(
        std::path::Path::new(python).exists(),
        "{python} is missing: scripts/test makes it from tests/xmpp/requirements.txt"
    );
    python.to_owned()
}
