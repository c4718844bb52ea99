//! Writes the desired state file.

use super::found::{Export, Found};
use super::objects::{group, part, remarks, room, users};
use super::yaml::{comment, list, quoted, scalar};
use crate::domain::spec::{Docker, Network};

/// The default socket of the Docker engine.
const ENGINE: &str = "unix:///var/run/docker.sock";

/// The name of the variant of the exported configuration.
const VARIANT: &str = "exported";

impl Export {
    /// The text of a desired state that declares the observed server.
    #[must_use]
    pub fn text(&self) -> String {
        let Found { home, hosts, accounts, groups, rooms } = &self.found;
        let mut text = self.head();
        text += "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata:\n";
        text += &format!("  name: {}\n\nspec:\n", scalar(&self.container.docker.container));
        text += &format!("  host: {}\n", scalar(home.as_str()));
        let others: Vec<String> =
            hosts.declared.iter().flatten().map(|host| scalar(host.as_str())).collect();
        if !others.is_empty() {
            text += &list("hosts", 2, &others);
        }
        text += &remarks(2, &hosts.remarks);
        text += &self.server();
        text += &self.config();
        text += &users(&self.found, accounts);
        text += &part("groups", groups, |name, found| group(home, name, found));
        text += &part("rooms", rooms, |jid, found| room(home, jid, found));
        text
    }

    /// The comment at the start: what the file is, and the next steps.
    fn head(&self) -> String {
        let mut head = comment(
            0,
            &format!(
                "The ejabberd {} in the container {}, as `ejabberd-operator export` found it: {}.",
                self.version,
                scalar(&self.container.docker.container),
                self.found.counts(),
            ),
        );
        head += "#\n";
        head += &comment(
            0,
            "The file contains no passwords: an account without a password in the file keeps its \
             password. The operator does not change what the file does not declare. An absent key \
             means \"not managed\", an empty list means \"none\". Comments describe what cannot be \
             declared.",
        );
        head += "#\n# Next steps:\n#\n";
        head += "#   ejabberd-operator plan    shows what this file would change: nothing yet\n";
        head += "#   ejabberd-operator run     keeps the server as declared\n#\n";
        head += &comment(
            0,
            "Then edit the file and commit it. After the operator has run with this file, the \
             operator deletes an account, group or room when you remove its entry.",
        );
        head
    }

    fn server(&self) -> String {
        let Docker {
            container,
            image,
            engine,
            network,
            ports,
            volumes,
            environment,
            config_path,
            recreate: _,
        } = &self.container.docker;
        let mut text = String::from("\n  server:\n    docker:\n");
        let mut line =
            |key: &str, value: &str| text += &format!("      {key}: {}\n", scalar(value));
        line("container", container);
        if let Some(image) = image {
            line("image", image);
        }
        if engine != ENGINE {
            line("engine", engine);
        }
        line("network", if *network == Network::Host { "host" } else { "bridge" });
        if let Some(path) = config_path {
            line("configPath", path);
        }
        let ports: Vec<String> = ports
            .iter()
            .map(|port| {
                let at = std::net::SocketAddr::new(port.address, port.host_port);
                scalar(&format!("{at}:{}", port.container_port))
            })
            .collect();
        if !ports.is_empty() {
            text += &list("ports", 6, &ports);
        }
        for (key, map) in [("volumes", volumes), ("environment", environment)] {
            if !map.is_empty() {
                text += &format!("      {key}:\n");
            }
            for (name, value) in map {
                text += &format!("        {}: {}\n", scalar(name), scalar(value));
            }
        }
        text + &remarks(6, &self.container.remarks)
    }

    fn config(&self) -> String {
        let mut text = String::from("\n");
        text += &comment(
            2,
            "The current configuration. It can contain passwords, for example of a database: read \
             the file before you commit it. Certificates and other files beside it are not managed.",
        );
        if !self.included.is_empty() {
            let names: Vec<String> = self.included.iter().map(|name| quoted(name)).collect();
            text += &comment(
                2,
                &format!(
                    "The configuration includes files that are not managed: {}. You can declare files \
                     in the directory of the configuration under `files`.",
                    names.join(", ")
                ),
            );
        }
        let file = scalar(&self.config);
        text + &format!(
            "  config:\n    variant: {VARIANT}\n    variants:\n      {VARIANT}: {file}\n"
        )
    }
}
