//! Writes accounts, groups and rooms, with remarks on objects and values that the export leaves
//! out.

use std::collections::BTreeMap;

use super::found::{Account, Found, FoundGroup, FoundRoom, Part};
use super::yaml::{comment, list, quoted, scalar};
use crate::domain::model::{Jid, Localpart, RoomJid, Vhost};
use crate::domain::spec::{AffiliationKind, OptionValue, can_be_shown};

/// Writes remarks as comments.
pub(super) fn remarks(indent: usize, remarks: &[String]) -> String {
    remarks.iter().map(|remark| comment(indent, &sentence(remark))).collect()
}

/// Returns the text with a capital letter at the start and a full stop at the end.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first: String = rest.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", rest.as_str())
}

/// Writes the remarks on a kind, then `key` with the list of the objects of the kind. `write`
/// formats one object. Returns an empty text if the kind cannot be declared and has no remarks.
pub(super) fn part<K, V>(
    key: &str,
    part: &Part<BTreeMap<K, V>>,
    mut write: impl FnMut(&K, &V) -> String,
) -> String {
    let mut text = String::from("\n") + &remarks(2, &part.remarks);
    match &part.declared {
        Some(objects) if objects.is_empty() => text += &format!("  {key}: []\n"),
        Some(objects) => {
            text += &format!("  {key}:\n");
            let mut before = 1;
            for (name, object) in objects {
                let entry = write(name, object);
                let lines = entry.lines().count();
                // A blank line separates long entries.
                if before.max(lines) > 3 && !text.ends_with(":\n") {
                    text.push('\n');
                }
                text += &entry;
                before = lines;
            }
        }
        None if part.remarks.is_empty() => text.clear(),
        None => {}
    }
    text
}

/// The localpart of an account on the default vhost, else the full JID.
fn name(home: &Vhost, jid: &Jid) -> String {
    if jid.host == *home { scalar(jid.local.as_str()) } else { scalar(&jid.to_string()) }
}

pub(super) fn users(found: &Found, accounts: &Part<BTreeMap<Jid, Account>>) -> String {
    let belonging = found.belonging();
    part("users", accounts, |jid, Account { ban }| {
        let entry = format!("    - name: {}\n", name(&found.home, jid));
        match ban {
            None => entry,
            Some(reason) if belonging.contains(jid) => {
                let why = if reason.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", quoted(reason))
                };
                let remark = format!(
                    "Banned{why}, and still in a group or a room below. The account stays banned. With \
                    `state: banned` the account would lose these memberships."
                );
                comment(4, &remark) + &entry
            }
            Some(reason) if reason.is_empty() => entry + "      state: banned\n",
            Some(reason) => entry + "      state: banned\n" + &words("reason", 6, reason),
        }
    })
}

pub(super) fn group(home: &Vhost, group: &Localpart, found: &FoundGroup) -> String {
    let FoundGroup { display_name, description, members, remarks: left_out } = found;
    let mut text = format!("    - name: {}\n", scalar(group.as_str()));
    for (key, value) in [("displayName", display_name), ("description", description)] {
        if !value.is_empty() {
            text += &words(key, 6, value);
        }
    }
    if let Some(members) = members {
        let members: Vec<String> = members.iter().map(|member| name(home, member)).collect();
        text += &list("members", 6, &members);
    }
    text + &remarks(6, left_out)
}

pub(super) fn room(home: &Vhost, jid: &RoomJid, found: &FoundRoom) -> String {
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
        text += &words("subject", 6, subject);
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

/// Writes `key` with a text that people read, such as a title. If the desired state must not
/// contain the text (see [`can_be_shown`]), writes a comment instead.
fn words(key: &str, indent: usize, text: &str) -> String {
    if can_be_shown(text) {
        return format!("{}{key}: {}\n", " ".repeat(indent), scalar(text));
    }
    let remark = format!(
        "`{key}` contains characters that clients cannot receive. It is left out and does not change."
    );
    comment(indent, &remark)
}

fn option(key: &str, indent: usize, value: &OptionValue) -> String {
    let value = match value {
        OptionValue::Bool(flag) => flag.to_string(),
        OptionValue::Int(number) => number.to_string(),
        OptionValue::Text(text) => return words(key, indent, text),
        OptionValue::List(words) => {
            let words: Vec<String> = words.iter().map(|word| scalar(word)).collect();
            return list(key, indent, &words);
        }
    };
    format!("{}{key}: {value}\n", " ".repeat(indent))
}
