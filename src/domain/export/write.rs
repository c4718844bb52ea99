//! The file.

use super::found::{Export, Found};
use super::objects::{group, part, remarks, room, users};
use super::yaml::{comment, list, quoted, scalar};
use crate::domain::spec::{Docker, Network};

/// Where the engine is if nothing is said.
const ENGINE: &str = "unix:///var/run/docker.sock";

/// The name of the configuration among those that may follow.
const VARIANT: &str = "exported";

impl Export {
    /// The desired state that declares what was found.
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

    /// What this is, and what comes next.
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
            "Passwords are not in it: an account without one keeps the password that it has. What \
             is not mentioned is not touched; an absent key means \"not managed\", an empty list \
             means \"none\". What could not be declared stands in a comment where it belongs.",
        );
        head += "#\n# What comes next:\n#\n";
        head +=
            "#   ejabberd-operator plan    shows what this file would change: nothing, so far\n";
        head += "#   ejabberd-operator run     keeps the server as the file says\n#\n";
        head += &comment(
            0,
            "Then edit it and commit it. Once the operator has run, whoever takes out an entry \
             takes away the account, group or room itself.",
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
            "The configuration as it is. It may hold passwords, of a database for example: look \
             before you commit it. Certificates and other files beside it are not managed.",
        );
        if !self.included.is_empty() {
            let names: Vec<String> = self.included.iter().map(|name| quoted(name)).collect();
            text += &comment(
                2,
                &format!(
                    "It includes files that are not managed either: {}. Those in the directory of \
                     the configuration can be declared under `files`.",
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
