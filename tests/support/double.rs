//! A double of the server, which makes tests fast and injects faults. From a model in memory, the
//! double returns the same results as a real server for the commands that the operator uses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use ejabberd_operator::domain::model::ServerVersion;
use ejabberd_operator::ejabberd::{Arg, Call, Control, ControlError, Value};

use super::objects::Objects;

/// The state of the double.
#[derive(Debug, Default, Clone)]
pub struct World {
    pub hosts: BTreeSet<String>,
    /// Passwords by `local@host`.
    pub users: BTreeMap<String, String>,
    /// Options by `room@service`.
    pub rooms: BTreeMap<String, BTreeMap<String, String>>,
    /// Commands that the server does not have.
    pub missing: BTreeSet<&'static str>,
    /// `true` if calls fail as if the server were unreachable.
    pub down: bool,
    /// `true` if ejabberd was stopped and its node still runs.
    pub halted: bool,
    /// `true` if calls get no response before their deadline.
    pub frozen: bool,
    /// The name of every call, in order.
    pub calls: Vec<&'static str>,
    /// The objects other than accounts and rooms.
    pub objects: Objects,
    /// The identity of the database: part of the cookie of its schema.
    pub database: i64,
    /// Files beside the server's configuration, by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// The double of the server.
pub struct Double {
    pub world: Mutex<World>,
    pub version: ServerVersion,
}

impl Double {
    pub fn new(host: &str) -> Self {
        let world = World { hosts: BTreeSet::from([host.to_owned()]), ..World::default() };
        Self { world: Mutex::new(world), version: ServerVersion { year: 26, month: 7 } }
    }
}

/// The options of a new room, as 26.07 prints them.
pub fn default_options() -> BTreeMap<String, String> {
    [
        ("title", ""),
        ("description", ""),
        ("allow_change_subj", "true"),
        ("allow_query_users", "true"),
        ("allowpm", "anyone"),
        ("allow_private_messages_from_visitors", "anyone"),
        ("allow_visitor_status", "true"),
        ("allow_visitor_nickchange", "true"),
        ("public", "true"),
        ("public_list", "true"),
        ("persistent", "false"),
        ("moderated", "true"),
        ("captcha_protected", "false"),
        ("members_by_default", "true"),
        ("members_only", "false"),
        ("allow_user_invites", "false"),
        ("allow_subscription", "false"),
        ("password_protected", "false"),
        ("password", ""),
        ("anonymous", "true"),
        ("presence_broadcast", "[moderator,participant,visitor]"),
        ("allow_voice_requests", "true"),
        ("voice_request_min_interval", "1800"),
        ("max_users", "200"),
        ("logging", "false"),
        ("vcard", ""),
        ("vcard_xupdate", "undefined"),
        ("captcha_whitelist", "{0,nil}"),
        ("mam", "false"),
        ("pubsub", ""),
        ("enable_hats", "false"),
        ("lang", "en"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

pub(super) fn text(arg: &Arg) -> String {
    match arg {
        Arg::Text(text) | Arg::Characters(text) => text.clone(),
        Arg::Secret(secret) => secret.expose().to_owned(),
        Arg::Int(n) => n.to_string(),
        Arg::Atom(name) => (*name).to_owned(),
        Arg::Node(name) => name.clone(),
        Arg::Pairs(_) => String::new(),
    }
}

pub(super) fn atom(word: &str) -> Value {
    Value::Atom(word.to_owned())
}

pub(super) fn string(word: &str) -> Value {
    Value::Text(word.to_owned())
}

pub(super) fn no(words: &[&str]) -> Value {
    Value::Tuple(std::iter::once(atom("error")).chain(words.iter().map(|w| string(w))).collect())
}

/// Returns one listener for clients, in the format of `ejabberd_option:listen()`.
fn listeners() -> Value {
    let address = [127, 0, 0, 1].map(Value::Int).to_vec();
    let place = Value::Tuple(vec![Value::Int(5222), Value::Tuple(address), atom("tcp")]);
    let required = Value::Tuple(vec![atom("starttls_required"), atom("true")]);
    Value::List(vec![Value::Tuple(vec![place, atom("ejabberd_c2s"), Value::List(vec![required])])])
}

/// The part of the result of `application:info()` that the operator reads.
fn applications(halted: bool) -> Value {
    let names: &[&str] =
        if halted { &["kernel", "stdlib"] } else { &["kernel", "stdlib", "mnesia", "ejabberd"] };
    let running = names.iter().map(|name| Value::Tuple(vec![atom(name), Value::Other]));
    let of = |key, list| Value::Tuple(vec![atom(key), Value::List(list)]);
    Value::List(vec![of("running", running.collect()), of("starting", Vec::new())])
}

impl World {
    fn command(&mut self, name: &'static str, args: &[Arg]) -> Value {
        let words: Vec<String> = args.iter().map(text).collect();
        let at = |n: usize| words.get(n).cloned().unwrap_or_default();
        let pair = format!("{}@{}", at(0), at(1));
        match name {
            "status" => Value::Tuple(vec![atom("ok"), string("is running")]),
            "registered_users" if !self.hosts.contains(&at(0)) => no(&["Unknown virtual host"]),
            "registered_users" => Value::List(
                self.users
                    .keys()
                    .filter_map(|jid| jid.split_once('@'))
                    .filter(|(_, h)| *h == at(0))
                    .map(|(u, _)| string(u))
                    .collect(),
            ),
            // No client is connected.
            "connected_users_vhost" => Value::List(Vec::new()),
            "stats_host" if at(0) == "onlineusers" => Value::Int(0),
            "stats_host" => Value::Int(
                self.users.keys().filter(|jid| jid.ends_with(&format!("@{}", at(1)))).count()
                    as i64,
            ),
            "stats" => Value::Int(1),
            "get_loglevel" => atom("info"),
            "check_account" => atom(if self.users.contains_key(&pair) { "true" } else { "false" }),
            "check_password" if self.objects.bans.contains_key(&pair) => atom("false"),
            "check_password" => {
                atom(if self.users.get(&pair) == Some(&at(2)) { "true" } else { "false" })
            }
            "register" => self.register(&pair, &at(1), at(2)),
            "unregister" => {
                self.users.remove(&pair);
                self.objects.bans.remove(&pair);
                self.objects.vcards.remove(&pair);
                // ejabberd also removes the affiliations of the account in running rooms.
                let rooms = self.objects.affiliations.values_mut();
                rooms.for_each(|room| drop(room.remove(&pair)));
                Value::Tuple(vec![atom("ok"), string("")])
            }
            "change_password" if at(2).is_empty() => {
                no(&["Account does not exist or password is empty"])
            }
            "change_password" => {
                self.users.insert(pair, at(2));
                atom("ok")
            }
            "muc_online_rooms" => Value::List(self.rooms.keys().map(|room| string(room)).collect()),
            "get_room_options" => Value::List(
                self.rooms
                    .get(&pair)
                    .into_iter()
                    .flatten()
                    .map(|(n, v)| Value::Tuple(vec![string(n), string(v)]))
                    .collect(),
            ),
            "create_room_with_opts" => self.create_room(pair, args),
            "change_room_option" => match self.rooms.get_mut(&pair) {
                Some(room) => {
                    let value =
                        if at(2) == "presence_broadcast" { format!("[{}]", at(3)) } else { at(3) };
                    room.insert(at(2), value);
                    atom("ok")
                }
                None => no(&["The room does not exist."]),
            },
            "destroy_room" => match self.rooms.remove(&pair) {
                Some(_) => {
                    self.objects.affiliations.remove(&pair);
                    self.objects.subjects.remove(&pair);
                    atom("ok")
                }
                None => no(&["Room doesn't exists"]),
            },
            other => self
                .object_command(other, &words)
                .unwrap_or_else(|| panic!("the double does not know `{other}`")),
        }
    }

    fn read_file(&self, args: &[Arg]) -> Value {
        let path = args.first().map(text).unwrap_or_default();
        match self.files.get(path.trim_start_matches("/conf/")) {
            Some(content) => Value::Tuple(vec![atom("ok"), Value::Bytes(content.clone())]),
            None => Value::Tuple(vec![atom("error"), atom("enoent")]),
        }
    }

    /// Returns whether the server knows the room option. An unknown option crashes the command.
    fn knows_option(&self, args: &[Arg]) -> bool {
        args.get(2).is_some_and(|name| default_options().contains_key(&text(name)))
    }

    fn register(&mut self, jid: &str, host: &str, password: String) -> Value {
        if !self.hosts.contains(host) {
            return no(&["cannot_register", "Unknown virtual host"]);
        }
        if self.users.contains_key(jid) {
            return Value::Tuple(vec![
                atom("error"),
                atom("conflict"),
                Value::Int(10090),
                string("already registered"),
            ]);
        }
        if password.is_empty() || stringprep::resourceprep(&password).is_err() {
            return Value::Tuple(vec![
                atom("error"),
                atom("cannot_register"),
                Value::Int(10001),
                string("invalid password"),
            ]);
        }
        self.users.insert(jid.to_owned(), password);
        Value::Tuple(vec![atom("ok"), string("registered")])
    }

    fn create_room(&mut self, room: String, args: &[Arg]) -> Value {
        if self.rooms.contains_key(&room) {
            return no(&["Room already exists"]);
        }
        if !self.hosts.iter().any(|host| room.ends_with(&format!("@conference.{host}"))) {
            return no(&["Unknown host passed in 'service'"]);
        }
        let mut options = default_options();
        if let Some(Arg::Pairs(pairs)) = args.get(3) {
            for (name, value) in pairs {
                if name == "subject" {
                    self.objects.subjects.insert(room.clone(), value.expose().to_owned());
                }
                if name == "affiliations" {
                    let given = value.expose().split(',').filter_map(|one| one.split_once(':'));
                    let given = given.map(|(word, jid)| (jid.to_owned(), word.to_owned()));
                    self.objects.affiliations.insert(room.clone(), given.collect());
                }
                let value = if name == "presence_broadcast" {
                    format!("[{}]", value.expose())
                } else {
                    value.expose().to_owned()
                };
                // The limit of `mod_muc` applies when a room is created.
                let capped = name == "max_users" && value.parse::<u64>().is_ok_and(|n| n > 200);
                let value = if capped { "200".to_owned() } else { value };
                // The server drops unknown options silently.
                options.entry(name.clone()).and_modify(|old| *old = value);
            }
        }
        self.rooms.insert(room, options);
        atom("ok")
    }
}

#[async_trait]
impl Control for Double {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        // Yields once, because a real server does not respond at once either.
        tokio::task::yield_now().await;
        let name = call.name();
        if self.world.lock().unwrap().frozen {
            tokio::time::sleep(deadline).await;
            return Err(ControlError::Timeout(name));
        }
        let mut world = self.world.lock().unwrap();
        world.calls.push(name);
        if world.down {
            return Err(ControlError::Unreachable(
                "its node does not respond (noconnection)".to_owned(),
            ));
        }
        if world.missing.contains(name) {
            return Err(ControlError::UnknownCommand { command: name, hint: "load its module" });
        }
        match &call {
            Call::Command { name, .. } if world.halted => {
                Err(ControlError::UnknownCommand { command: name, hint: "start it" })
            }
            Call::Command { name: "change_room_option", args, .. } if !world.knows_option(args) => {
                Err(ControlError::Crashed {
                    command: name,
                    tag: "case_clause".to_owned(),
                    place: String::new(),
                })
            }
            // Up to 24.02 a ban only replaces the password.
            Call::Command { name: "ban_account", args, .. } if self.version.api().0 < 2 => {
                let words: Vec<String> = args.iter().map(text).collect();
                if let [user, host, reason] = words.as_slice() {
                    world.users.insert(format!("{user}@{host}"), format!("BANNED {reason}"));
                }
                Ok(atom("ok"))
            }
            Call::Command { name: name @ ("get_ban_details" | "unban_account"), .. }
                if self.version.api().0 < 2 =>
            {
                Err(ControlError::UnknownCommand { command: name, hint: "" })
            }
            Call::Command { name, args, .. } => Ok(world.command(name, args)),
            Call::Function { function: "sync_log", .. } => Ok(atom("ok")),
            Call::Function { function: "path", .. } => Ok(string("/conf/ejabberd.yml")),
            Call::Function { function: "is_loaded", .. } => Ok(atom("true")),
            Call::Function { function: "hosts", .. } => {
                Ok(Value::List(world.hosts.iter().map(|host| string(host)).collect()))
            }
            Call::Function { function: "listen", .. } => Ok(listeners()),
            Call::Function { function: "get_module_opt_hosts", args, .. } => {
                let host = args.first().map(text).unwrap_or_default();
                Ok(Value::List(vec![string(&format!("conference.{host}"))]))
            }
            Call::Function { module: "mod_muc_opt", function: "max_users", .. } => {
                Ok(Value::Int(200))
            }
            Call::Function { function: "captcha_cmd", .. } => Ok(atom("undefined")),
            Call::Function { function: "read_file", args, .. } => Ok(world.read_file(args)),
            Call::Function { function: "stop", .. } => {
                world.halted = true;
                Ok(atom("ok"))
            }
            Call::Function { function: "system_info", .. } => Ok(atom("yes")),
            Call::Function { module: "init", .. } => {
                Ok(Value::Tuple(vec![atom("started"), atom("started")]))
            }
            Call::Function { module: "application", .. } => Ok(applications(world.halted)),
            Call::Beside { function: "open", .. } => Ok(string(
                "<stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/>\
                 </starttls></stream:features>",
            )),
            Call::Beside { function: "login", .. } => Ok(atom("in")),
            Call::Inside { args, .. } => Ok(world.set_subject(args)),
            Call::Function { function, args, .. } => Ok(world
                .object_function(function, args)
                .unwrap_or_else(|| panic!("the double does not know `{function}`"))),
            Call::Beside { function, .. } => panic!("the double does not know `{function}`"),
        }
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        if self.world.lock().unwrap().down {
            return Err(ControlError::Unreachable(
                "its node does not respond (noconnection)".to_owned(),
            ));
        }
        Ok(self.version)
    }

    async fn close(&self) {}
}
