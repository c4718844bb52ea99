//! The file.

use std::collections::BTreeMap;

use super::found::{Account, Export, Found, FoundGroup, FoundRoom, Part};
use super::yaml::{comment, list, scalar};
use crate::model::{Jid, Localpart, RoomJid, Vhost};
use crate::spec::{AffiliationKind, Docker, Network, OptionValue};

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
        let Found { accounts, groups, rooms, .. } = &self.found;
        let count = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        let mut head = comment(
            0,
            &format!(
                "The ejabberd {} in the container {}, as `ejabberd-operator export` found it: {}, \
                 {} and {}.",
                self.version,
                scalar(&self.container.docker.container),
                count(accounts.declared.as_ref().map_or(0, BTreeMap::len), "account"),
                count(groups.declared.as_ref().map_or(0, BTreeMap::len), "group"),
                count(rooms.declared.as_ref().map_or(0, BTreeMap::len), "room"),
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
            "Then edit it and commit it. From then on the entry is the object: with the entry of \
             an account, a group or a room the object itself is taken away.",
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
        let file = scalar(&self.config);
        text + &format!(
            "  config:\n    variant: {VARIANT}\n    variants:\n      {VARIANT}: {file}\n"
        )
    }
}

fn remarks(indent: usize, remarks: &[String]) -> String {
    remarks.iter().map(|remark| comment(indent, &sentence(remark))).collect()
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first: String = rest.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", rest.as_str())
}

/// A key with a list of objects, each as `write` has it, and what is left out.
fn part<K, V>(
    key: &str,
    part: &Part<BTreeMap<K, V>>,
    mut write: impl FnMut(&K, &V) -> String,
) -> String {
    let mut text = String::from("\n") + &remarks(2, &part.remarks);
    match &part.declared {
        Some(objects) if objects.is_empty() => text += &format!("  {key}: []\n"),
        Some(objects) => {
            text += &format!("  {key}:\n");
            text.extend(objects.iter().map(|(name, object)| write(name, object)));
        }
        None if part.remarks.is_empty() => text.clear(),
        None => {}
    }
    text
}

/// A name of ours in short, one of elsewhere in full.
fn name(home: &Vhost, jid: &Jid) -> String {
    if jid.host == *home { scalar(jid.local.as_str()) } else { scalar(&jid.to_string()) }
}

fn users(found: &Found, accounts: &Part<BTreeMap<Jid, Account>>) -> String {
    let belonging = found.belonging();
    part("users", accounts, |jid, Account { ban }| {
        let entry = format!("    - name: {}\n", name(&found.home, jid));
        match ban {
            None => entry,
            Some(reason) if belonging.contains(jid) => {
                let why = if reason.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", super::quoted(reason))
                };
                let remark = format!(
                    "Banned{why}, and still in a group or a room below. It stays so; declared \
                     `state: banned`, it would lose these places."
                );
                comment(4, &remark) + &entry
            }
            Some(reason) if reason.is_empty() => entry + "      state: banned\n",
            Some(reason) => {
                format!("{entry}      state: banned\n      reason: {}\n", scalar(reason))
            }
        }
    })
}

fn group(home: &Vhost, group: &Localpart, found: &FoundGroup) -> String {
    let FoundGroup { display_name, description, members, remarks: left_out } = found;
    let mut text = format!("    - name: {}\n", scalar(group.as_str()));
    for (key, value) in [("displayName", display_name), ("description", description)] {
        if !value.is_empty() {
            text += &format!("      {key}: {}\n", scalar(value));
        }
    }
    if let Some(members) = members {
        let members: Vec<String> = members.iter().map(|member| name(home, member)).collect();
        text += &list("members", 6, &members);
    }
    text + &remarks(6, left_out)
}

fn room(home: &Vhost, jid: &RoomJid, found: &FoundRoom) -> String {
    let FoundRoom { options, subject, affiliations, remarks: left_out } = found;
    let mut text = format!("    - name: {}\n", scalar(jid.room.as_str()));
    if jid.service.as_str() != format!("conference.{home}") {
        text += &format!("      service: {}\n", scalar(jid.service.as_str()));
    }
    let fields = ["title", "description"];
    for key in fields {
        if let Some(value) = options.get(key) {
            text += &option(key, 6, value);
        }
    }
    if !subject.is_empty() {
        text += &format!("      subject: {}\n", scalar(subject));
    }
    let mut further = options.iter().filter(|(key, _)| !fields.contains(&key.as_str())).peekable();
    if further.peek().is_some() {
        text += "      options:\n";
        text.extend(further.map(|(key, value)| option(key, 8, value)));
    }
    if !affiliations.is_empty() {
        text += "      affiliations:\n";
    }
    for kind in AffiliationKind::ALL {
        let of_kind = affiliations.iter().filter(|(_, given)| **given == kind);
        let names: Vec<String> = of_kind.map(|(account, _)| name(home, account)).collect();
        if !names.is_empty() {
            text += &list(kind.as_str(), 8, &names);
        }
    }
    text + &remarks(6, left_out)
}

fn option(key: &str, indent: usize, value: &OptionValue) -> String {
    let value = match value {
        OptionValue::Bool(flag) => flag.to_string(),
        OptionValue::Int(number) => number.to_string(),
        OptionValue::Text(text) => scalar(text),
        OptionValue::List(words) => {
            let words: Vec<String> = words.iter().map(|word| scalar(word)).collect();
            return list(key, indent, &words);
        }
    };
    format!("{}{key}: {value}\n", " ".repeat(indent))
}
