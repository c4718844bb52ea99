//! Replaces calls of server functions with `ejabberdctl` commands and shell programs that have the
//! same result.

use super::config::Config;
use super::{CONFIG_AGE, Turn, term};
use crate::ejabberd::{Arg, ControlError, Shape, Value};
use crate::engine::Output;
use tokio::time::Instant;

use super::response;

/// A server function that this channel can replace.
#[derive(Debug)]
pub(super) enum Function {
    Hosts,
    Listen,
    Language,
    AuthMethod { host: String },
    IsLoaded { host: String, module: String },
    DefaultRoomOptions { host: String },
    ArchiveDefault { host: String },
    DatabaseInfo { key: String },
    TableInfo { table: String, key: String },
    GroupOptions { host: String, group: String },
    GroupMembers { host: String, group: String },
    ConfigPath,
    ReadFile { path: String },
    Configuration,
    Node,
    Stop,
    StopDatabase,
    TcpTables,
    ProcessStatus,
}

/// The shell program that prints the configuration in force. The configuration holds passwords, so
/// the program writes the configuration to a directory that no other account can enter.
const DUMP: &str = r#"umask 077; d=$(mktemp -d) || exit 1
"$@" dump_config "$d/config.yml"; r=$?
[ $r -eq 0 ] && cat "$d/config.yml"; rm -rf "$d"; exit $r"#;

/// The shell program that prints the variable by which the server's VM finds its configuration.
const PATH: &str = r#"for p in /proc/[0-9]*; do
  case "$(readlink "$p/exe")" in */beam.smp) tr '\0' '\n' <"$p/environ" | grep '^EJABBERD_CONFIG_PATH=' && exit;; esac
done 2>/dev/null; exit 1"#;

/// The keys in the output of `srg_get_info`, one for each line.
const GROUP_KEYS: [&str; 7] =
    ["label", "name", "description", "displayed_groups", "all_users", "online_users", "disabled"];

impl Function {
    pub(super) fn of(
        module: &'static str,
        function: &'static str,
        args: Vec<Arg>,
    ) -> Result<Self, ControlError> {
        let refused = |why| Err(ControlError::Unsupported { command: function, why });
        let words = super::words(function, args)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let owned = |word: &str| word.to_owned();
        Ok(match (module, function, words.as_slice()) {
            ("ejabberd_option", "hosts", []) => Self::Hosts,
            ("ejabberd_option", "listen", []) => Self::Listen,
            ("ejabberd_option", "language", []) => Self::Language,
            ("ejabberd_option", "auth_method", [host]) => Self::AuthMethod { host: owned(host) },
            ("gen_mod", "is_loaded", [host, module]) => {
                Self::IsLoaded { host: owned(host), module: owned(module) }
            }
            ("mod_muc_opt", "default_room_options", [host]) => {
                Self::DefaultRoomOptions { host: owned(host) }
            }
            ("mod_mam_opt", "default", [host]) => Self::ArchiveDefault { host: owned(host) },
            ("mnesia", "system_info", [key]) => Self::DatabaseInfo { key: owned(key) },
            ("mnesia", "table_info", [table, key]) => {
                Self::TableInfo { table: owned(table), key: owned(key) }
            }
            ("mod_shared_roster", "get_group_opts", [host, group]) => {
                Self::GroupOptions { host: owned(host), group: owned(group) }
            }
            ("mod_shared_roster", "get_group_explicit_users", [host, group]) => {
                Self::GroupMembers { host: owned(host), group: owned(group) }
            }
            ("ejabberd_config", "path", []) => Self::ConfigPath,
            ("file", "read_file", [path]) => Self::ReadFile { path: owned(path) },
            ("erlang", "node", []) => Self::Node,
            ("application", "stop", ["ejabberd"]) => Self::Stop,
            ("mnesia", "stop", []) => Self::StopDatabase,
            ("mod_muc", "restore_room", _) => {
                return refused("no command reads a stored room; a room that runs can be read");
            }
            ("mod_vcard", "get_vcard", _) => {
                return refused("no command reads a whole vCard; its fields can be read");
            }
            ("mnesia", "sync_log", _) => {
                return refused("no command writes the database's log to disk");
            }
            ("mnesia", "change_table_copy_type", _) | ("file", "write_file", _) => {
                return refused(
                    "no command changes permanently how accounts are stored; use an image that has \
                     an `erl`",
                );
            }
            _ => return refused("no command returns the same; use an image that has an `erl`"),
        })
    }

    /// Returns the replacement of a `Call::Inside`. A `Call::Inside` runs as one function in the
    /// server's VM.
    pub(super) fn inside(function: &'static str) -> Result<Self, ControlError> {
        let why = match function {
            "configuration" => return Ok(Self::Configuration),
            "subject" => "no command sets the subject of a room; use an image that has an `erl`",
            _ => "no command returns the same; use an image that has an `erl`",
        };
        Err(ControlError::Unsupported { command: function, why })
    }

    /// Returns the replacement of a `Call::Beside`. A `Call::Beside` runs in the network of the
    /// server, outside of its VM.
    pub(super) fn beside(function: &'static str) -> Result<Self, ControlError> {
        match function {
            "tables" => Ok(Self::TcpTables),
            "status" => Ok(Self::ProcessStatus),
            _ => Err(ControlError::Unsupported {
                command: function,
                why: "it runs commands, and connects to no port; use an image that has an `erl`",
            }),
        }
    }
}

impl Turn<'_> {
    pub(super) async fn function(
        &self,
        name: &'static str,
        function: Function,
    ) -> Result<Value, ControlError> {
        let malformed = || ControlError::Malformed(name);
        Ok(match function {
            Function::Hosts => self.command("registered_vhosts", Shape::Lines, Vec::new()).await?,
            Function::Listen => self.config().await?.listen(),
            Function::Language => self.config().await?.language(),
            Function::AuthMethod { host } => self.config().await?.auth_method(&host),
            Function::IsLoaded { host, module } => self.config().await?.is_loaded(&host, &module),
            Function::DefaultRoomOptions { host } => {
                self.config().await?.default_room_options(&host)
            }
            Function::ArchiveDefault { host } => self.config().await?.archive_default(&host),
            Function::DatabaseInfo { key } => {
                let printed = self.text("mnesia_info", Vec::new()).await?;
                term::value_of(&printed, &key).ok_or_else(malformed)?
            }
            Function::TableInfo { table, key } => {
                let printed = self.text("mnesia_table_info", vec![table]).await?;
                term::value_of(&printed, &key).ok_or_else(malformed)?
            }
            Function::GroupOptions { host, group } => {
                let printed = self.text("srg_get_info", vec![group, host]).await?;
                group_options(&printed)
            }
            Function::GroupMembers { host, group } => {
                let args = vec![group, host];
                let members = self.command("srg_get_members", Shape::Lines, args).await?;
                let members = members.as_list().ok_or_else(malformed)?;
                let member = |name: &Value| {
                    let (user, host) = name.as_text()?.rsplit_once('@')?;
                    let text = |text: &str| Value::Text(text.to_owned());
                    Some(Value::Tuple(vec![text(user), text(host)]))
                };
                Value::List(members.iter().filter_map(member).collect())
            }
            Function::ConfigPath => {
                let output = self.shell(name, PATH).await?;
                let path = output.stdout.lines().next().and_then(|line| line.split_once('='));
                let (_, path) = path.ok_or_else(|| ControlError::Refused {
                    command: name,
                    message: "the environment of the server's VM does not name the file".to_owned(),
                })?;
                Value::Text(path.to_owned())
            }
            Function::ReadFile { path } => {
                let argv = ["cat", "--", &path].map(str::to_owned).into();
                file(&self.program(name, argv).await?, name)?
            }
            Function::Configuration => Value::Text(self.dumped().await?),
            Function::Node => {
                let status = self.text_of_status().await?;
                let node = status.split_whitespace().find(|word| word.contains('@'));
                Value::Atom(node.ok_or_else(malformed)?.to_owned())
            }
            Function::Stop => self.stop().await?,
            // The command `stop` also stops the database.
            Function::StopDatabase => Value::Atom("stopped".to_owned()),
            Function::TcpTables => {
                let read = "cat /proc/net/tcp; cat /proc/net/tcp6 2>/dev/null; exit 0";
                Value::Text(self.shell(name, read).await?.stdout)
            }
            Function::ProcessStatus => {
                Value::Text(self.shell(name, "exec cat /proc/self/status").await?.stdout)
            }
        })
    }

    /// Stops ejabberd and its VM. In a container, the end of the VM also kills `ejabberdctl`, so a
    /// missing exit code or the exit code 137 means success.
    async fn stop(&self) -> Result<Value, ControlError> {
        const NAME: &str = "stop";
        let line = self.command_line(NAME, Vec::new()).await?;
        let output = self.program(NAME, line).await?;
        match output.code {
            None | Some(137) => Ok(Value::Atom("ok".to_owned())),
            Some(_) => response::read(NAME, Shape::Rescode, &output),
        }
    }

    async fn text(&self, command: &'static str, args: Vec<String>) -> Result<String, ControlError> {
        match self.command(command, Shape::Text, args).await? {
            Value::Text(text) => Ok(text),
            _ => Err(ControlError::Malformed(command)),
        }
    }

    async fn text_of_status(&self) -> Result<String, ControlError> {
        let status = self.command(super::STATUS, Shape::Restuple, Vec::new()).await?;
        let text = status.as_tuple().and_then(|parts| parts.get(1)?.as_text());
        text.map(str::to_owned).ok_or(ControlError::Malformed(super::STATUS))
    }

    async fn shell(&self, name: &'static str, script: &str) -> Result<Output, ControlError> {
        self.program(name, ["sh", "-c", script].map(str::to_owned).into()).await
    }

    /// The output of `dump_config`.
    async fn dumped(&self) -> Result<String, ControlError> {
        const NAME: &str = "dump_config";
        let mut argv: Vec<String> = ["sh", "-c", DUMP, "sh"].map(str::to_owned).into();
        argv.extend(self.control.script.iter().cloned());
        let output = self.program(NAME, argv).await?;
        let Value::Text(text) = response::read(NAME, Shape::Text, &output)? else {
            return Err(ControlError::Malformed(NAME));
        };
        Ok(text)
    }

    /// The configuration in force; requests the configuration if it is not cached.
    async fn config(&self) -> Result<Config, ControlError> {
        const NAME: &str = "dump_config";
        if let Some((since, config)) = &self.control.state.lock().await.config
            && since.elapsed() < CONFIG_AGE
        {
            return Ok(config.clone());
        }
        let text = self.dumped().await?;
        let config = Config::read(&text).ok_or(ControlError::Malformed(NAME))?;
        self.control.state.lock().await.config = Some((Instant::now(), config.clone()));
        Ok(config)
    }
}

/// Converts the output of `cat` to the result of `file:read_file/1`.
fn file(output: &Output, name: &'static str) -> Result<Value, ControlError> {
    let pair = |tag: &str, value| Value::Tuple(vec![Value::Atom(tag.to_owned()), value]);
    if output.code == Some(0) {
        response::is_whole(name, output)?;
        return Ok(pair("ok", Value::Text(output.stdout.clone())));
    }
    let why = output.stderr.to_ascii_lowercase();
    let reasons =
        [("no such file", "enoent"), ("permission denied", "eacces"), ("is a directory", "eisdir")];
    let known = reasons.iter().find(|(words, _)| why.contains(words));
    Ok(pair("error", Value::Atom(known.map_or("unreadable", |(_, reason)| *reason).to_owned())))
}

/// Decodes a string that `srg_get_info` printed with each byte as a separate character. Returns any
/// other string unchanged.
fn encoded_once(text: &str) -> String {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| text.to_owned())
}

/// Converts the output of `srg_get_info` to the result of `mod_shared_roster:get_group_opts/2`.
fn group_options(printed: &str) -> Value {
    let mut rows: Vec<(&str, String)> = Vec::new();
    for line in printed.lines() {
        let key = line.split_once('\t').filter(|(key, _)| GROUP_KEYS.contains(key));
        match (key, rows.last_mut()) {
            (Some((key, value)), _) => rows.push((key, value.to_owned())),
            (None, Some((_, value))) => {
                value.push('\n');
                value.push_str(line);
            }
            (None, None) => {}
        }
    }
    if rows.is_empty() {
        return Value::Atom("error".to_owned());
    }
    let pairs = rows.into_iter().map(|(key, value)| {
        let value = match (key, value.as_str()) {
            ("displayed_groups", list) => term::read(list).unwrap_or(Value::List(Vec::new())),
            ("all_users" | "online_users" | "disabled", word) => Value::Atom(word.to_owned()),
            // ejabberd prints an empty string as an empty list.
            (_, "[]") => Value::Text(String::new()),
            (_, text) => Value::Text(encoded_once(text)),
        };
        Value::Tuple(vec![Value::Atom(key.to_owned()), value])
    });
    Value::List(pairs.collect())
}
