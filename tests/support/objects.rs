//! The double's objects other than accounts and rooms: groups, bans, vCards, subjects and
//! affiliations.

use std::collections::{BTreeMap, BTreeSet};

use ejabberd_operator::ejabberd::{Arg, Value};

use super::double::{World, atom, no, string, text};

/// The content of one group.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Roster {
    pub label: String,
    pub description: String,
    pub displayed: BTreeSet<String>,
    pub members: BTreeSet<String>,
}

/// The objects of the double; see the module's documentation.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Objects {
    /// The groups of one host by name.
    pub groups: BTreeMap<String, Roster>,
    /// Reasons by `local@host`.
    pub bans: BTreeMap<String, String>,
    /// Texts by element and part, by `local@host`.
    pub vcards: BTreeMap<String, BTreeMap<(String, String), String>>,
    /// Affiliations by account, by `room@service`.
    pub affiliations: BTreeMap<String, BTreeMap<String, String>>,
    /// Subjects by `room@service`.
    pub subjects: BTreeMap<String, String>,
    /// The storage type of the account table, if it was changed.
    pub table: Option<String>,
}

fn tuple(parts: Vec<Value>) -> Value {
    Value::Tuple(parts)
}

fn pair(name: &str, value: Value) -> Value {
    tuple(vec![atom(name), value])
}

fn element(name: &str, children: Vec<Value>) -> Value {
    tuple(vec![atom("xmlel"), string(name), Value::List(vec![]), Value::List(children)])
}

fn jid(jid: &str) -> (&str, &str) {
    jid.split_once('@').unwrap_or((jid, ""))
}

/// A vCard's fields as XML: the fields of one element are inside it, except telephone numbers,
/// which have one element each.
fn elements(fields: &BTreeMap<(String, String), String>) -> Vec<Value> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut numbers = Vec::new();
    for ((name, part), text) in fields {
        let text = vec![tuple(vec![atom("xmlcdata"), string(text)])];
        if name == "TEL" {
            let number = element("NUMBER", text);
            numbers.push(element(name, vec![element(part, vec![]), number]));
        } else {
            let inside = if part.is_empty() { text } else { vec![element(part, text)] };
            found.entry(name.clone()).or_default().extend(inside);
        }
    }
    numbers.extend(found.into_iter().map(|(name, children)| element(&name, children)));
    numbers
}

impl World {
    /// Commands on these objects; `None` for any other.
    pub(super) fn object_command(&mut self, name: &str, words: &[String]) -> Option<Value> {
        let at = |n: usize| words.get(n).cloned().unwrap_or_default();
        let pair = format!("{}@{}", at(0), at(1));
        let objects = &mut self.objects;
        Some(match name {
            "get_ban_details" => Value::List(
                objects
                    .bans
                    .get(&pair)
                    .map(|reason| tuple(vec![string("reason"), string(reason)]))
                    .into_iter()
                    .collect(),
            ),
            "ban_account" if objects.bans.contains_key(&pair) => atom("account_was_already_banned"),
            "ban_account" => {
                objects.bans.insert(pair, at(2));
                atom("ok")
            }
            "unban_account" => match objects.bans.remove(&pair) {
                Some(_) => atom("ok"),
                None => atom("account_was_not_banned"),
            },
            "set_vcard" | "set_vcard2" => {
                let (part, content) =
                    if name == "set_vcard" { (String::new(), at(3)) } else { (at(3), at(4)) };
                objects.vcards.entry(pair).or_default().insert((at(2), part), content);
                atom("ok")
            }
            "clear_cache" => atom("ok"),
            "srg_list" => Value::List(objects.groups.keys().map(|name| string(name)).collect()),
            "srg_create" => {
                let group = objects.groups.entry(at(0)).or_default();
                (group.label, group.description) = (at(2), at(3));
                group.displayed = at(4).split("\\n").map(str::to_owned).collect();
                atom("ok")
            }
            "srg_delete" => {
                objects.groups.remove(&at(0));
                atom("ok")
            }
            "srg_user_add" | "srg_user_del" => {
                let group = objects.groups.entry(at(2)).or_default();
                if name == "srg_user_add" {
                    group.members.insert(pair);
                } else {
                    group.members.remove(&pair);
                }
                atom("ok")
            }
            "get_room_affiliations" => {
                let room = objects.affiliations.get(&pair).into_iter().flatten();
                let row = |(jid, word): (&String, &String)| {
                    tuple(vec![string(jid), atom(word), string("")])
                };
                Value::List(room.map(row).collect())
            }
            "set_room_affiliation" if !self.rooms.contains_key(&pair) => {
                no(&["Room doesn't exists"])
            }
            "set_room_affiliation" => {
                let room = objects.affiliations.entry(pair).or_default();
                let account = format!("{}@{}", at(2), at(3));
                if at(4) == "none" {
                    room.remove(&account);
                } else {
                    room.insert(account, at(4));
                }
                atom("ok")
            }
            "rooms_unused_list" => {
                Value::List(self.rooms.keys().map(|room| string(room)).collect())
            }
            "get_offline_count" | "get_mam_count" => Value::Int(0),
            _ => return None,
        })
    }

    /// Functions on these objects; `None` for any other.
    pub(super) fn object_function(&mut self, name: &str, args: &[Arg]) -> Option<Value> {
        let words: Vec<String> = args.iter().map(text).collect();
        let at = |n: usize| words.get(n).cloned().unwrap_or_default();
        let objects = &mut self.objects;
        Some(match name {
            "sql_type" | "sql_server" | "sql_port" | "sql_database" => string("here"),
            "auth_method" => Value::List(vec![atom("mnesia")]),
            "get_vcard" => {
                let card = objects.vcards.get(&format!("{}@{}", at(0), at(1)));
                let card = card.map(|fields| element("vCard", elements(fields)));
                Value::List(card.into_iter().collect())
            }
            "get_group_opts" => match objects.groups.get(&at(1)) {
                None => atom("error"),
                Some(Roster { label, description, displayed, .. }) => Value::List(vec![
                    pair("label", string(label)),
                    pair("description", string(description)),
                    pair(
                        "displayed_groups",
                        Value::List(displayed.iter().map(|name| string(name)).collect()),
                    ),
                ]),
            },
            "get_group_explicit_users" => {
                let members = objects.groups.get(&at(1)).map(|group| group.members.clone());
                let member = |who: &String| {
                    let (local, host) = jid(who);
                    tuple(vec![string(local), string(host)])
                };
                Value::List(members.unwrap_or_default().iter().map(member).collect())
            }
            "restore_room" => self.stored_room(&format!("{}@{}", at(2), at(1))),
            "node" => atom("ejabberd@localhost"),
            "table_info" if args.first() == Some(&Arg::Atom("schema")) => {
                let numbers = [self.database, -576_460_752_303_422_591, 1].map(Value::Int);
                Value::Tuple(vec![Value::Tuple(numbers.into()), atom("ejabberd@localhost")])
            }
            "table_info" => atom(objects.table.as_deref().unwrap_or("disc_only_copies")),
            "change_table_copy_type" => {
                objects.table = Some(at(2));
                tuple(vec![atom("atomic"), atom("ok")])
            }
            "write_file" => {
                self.files.insert(at(0), at(1).into_bytes());
                atom("ok")
            }
            _ => return None,
        })
    }

    /// A room as it is stored; `None` for a room that is not persistent.
    fn stored_room(&self, room: &str) -> Value {
        let Some(options) = self.rooms.get(room) else { return atom("error") };
        if options.get("persistent").map(String::as_str) != Some("true") {
            return atom("error");
        }
        let mut stored: Vec<Value> =
            options.iter().map(|(name, value)| pair(name, string(value))).collect();
        let affiliation = |(who, word): (&String, &String)| {
            let (local, host) = jid(who);
            let who = tuple(vec![string(local), string(host), string("")]);
            tuple(vec![who, tuple(vec![atom(word), string("")])])
        };
        let affiliations = self.objects.affiliations.get(room).into_iter().flatten();
        stored.push(pair("affiliations", Value::List(affiliations.map(affiliation).collect())));
        if let Some(subject) = self.objects.subjects.get(room) {
            let subject = tuple(vec![atom("text"), string(""), string(subject)]);
            stored.push(pair("subject", Value::List(vec![subject])));
        }
        Value::List(stored)
    }

    /// A message that sets the subject of a room.
    pub(super) fn set_subject(&mut self, args: &[Arg]) -> Value {
        let words: Vec<String> = args.iter().map(text).collect();
        let [_, service, room, ..] = words.as_slice() else { panic!("{words:?}") };
        let Some(Arg::Pairs(stanzas)) = args.get(4) else { panic!("no stanzas") };
        let subject = stanzas.iter().find_map(|(_, stanza)| {
            stanza.expose().split_once("<subject>")?.1.split_once("</subject>").map(
                |(subject, _)| {
                    subject.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
                },
            )
        });
        self.objects.subjects.insert(format!("{room}@{service}"), subject.expect("a subject"));
        atom("ok")
    }
}
