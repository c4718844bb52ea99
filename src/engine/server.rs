//! The server's commands, typed. The only place that knows their names,
//! argument orders, answers and traps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use super::command::{Call, Shape, Value};
use super::error::ControlError;
use super::ports::Control;
use crate::model::{ApiVersion, Jid, Localpart, RoomJid, Secret, ServerVersion, Vhost};
use crate::observed::RoomOptions;
use crate::spec::OptionValue;

/// How long a call may take. A command is done in milliseconds, but the server
/// may be busy, and a list of 100,000 accounts takes seconds.
const DEADLINE: Duration = Duration::from_secs(15);

/// How long the server may take to stop in good order.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// The first version whose list options are written `a,b`, not `[a,b]`. 24.12
/// takes only the one, 26.07 only the other (tried); the change is between.
const COMMA_LISTS_SINCE: ServerVersion = ServerVersion { year: 25, month: 1 };

/// Since this version a registration reads the whole account table under a
/// lock (`ejabberd_auth_mnesia:try_register_multiple`). With the table on disk
/// only, which is the default, many at once wait for each other again and
/// again: 30 a second, where one after the other makes 350 (measured on 26.07).
const REGISTERS_ONE_BY_ONE_SINCE: ServerVersion = ServerVersion { year: 25, month: 3 };

/// A room that ends between two looks of the server at it crashes the command.
const VANISHING_TRIES: u32 = 3;
const VANISHING_PAUSE: Duration = Duration::from_millis(50);

type Result<T> = std::result::Result<T, ControlError>;

/// What became of an order to create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was created.
    Now,
    /// It was there already.
    Before,
}

/// A server, by its control channel.
#[derive(Clone)]
pub struct Server {
    control: Arc<dyn Control>,
    deadline: Duration,
    /// Held by the one registration under way, where there may be only one;
    /// whether that is so, once known.
    registering: Arc<Mutex<Option<bool>>>,
}

impl Server {
    /// The server at the other end of `control`.
    #[must_use]
    pub fn new(control: Arc<dyn Control>) -> Self {
        Self { control, deadline: DEADLINE, registering: Arc::default() }
    }

    /// The same, with another deadline for each call.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Its version.
    pub async fn version(&self) -> Result<ServerVersion> {
        self.control.version().await
    }

    /// Ends the control channel; the next call opens it again.
    pub async fn close(&self) {
        *self.registering.lock().await = None;
        self.control.close().await;
    }

    async fn command(
        &self,
        name: &'static str,
        shape: Shape,
        args: Vec<super::Arg>,
    ) -> Result<Value> {
        self.control.call(Call::command(name, shape, args), self.deadline).await
    }

    /// Whether ejabberd has started as a whole, not only its node.
    pub async fn is_started(&self) -> Result<bool> {
        let answer = self.command("status", Shape::Restuple, Vec::new()).await?;
        Ok(answer.is_ok())
    }

    /// The names of the accounts of `host`, normalised. One that this program
    /// could not have written is left out: nothing could be done about it.
    pub async fn registered_users(&self, host: &Vhost) -> Result<BTreeSet<Localpart>> {
        let answer =
            self.command("registered_users", Shape::Lines, vec![host.as_str().into()]).await?;
        let names = texts("registered_users", &answer)?;
        Ok(names.into_iter().filter_map(|name| Localpart::new(name).ok()).collect())
    }

    /// Whether the account exists.
    pub async fn account_exists(&self, jid: &Jid) -> Result<bool> {
        Ok(self.command("check_account", Shape::Rescode, account(jid)).await?.is_ok())
    }

    /// The number of accounts that the server's statistics know: a reading of
    /// another kind than [`registered_users`](Self::registered_users).
    pub async fn count_users(&self, host: &Vhost) -> Result<i64> {
        let args = vec!["registeredusers".into(), host.as_str().into()];
        number("stats_host", &self.command("stats_host", Shape::Text, args).await?)
    }

    /// Whether `password` is that of the account. Asking for an account that
    /// does not exist answers no.
    pub async fn password_is(&self, jid: &Jid, password: &Secret) -> Result<bool> {
        let mut args = account(jid);
        args.push(password.into());
        Ok(self.command("check_password", Shape::Rescode, args).await?.is_ok())
    }

    /// Makes an account.
    pub async fn register(&self, jid: &Jid, password: &Secret) -> Result<Created> {
        let mut args = account(jid);
        args.push(password.into());
        let _turn = self.turn_to_register().await?;
        let answer = self.command("register", Shape::Restuple, args).await?;
        if answer.is_ok() {
            return Ok(Created::Now);
        }
        if says(&answer, "conflict") || says(&answer, "exists") {
            return Ok(Created::Before);
        }
        Err(refused("register", &answer))
    }

    /// Waits for the turn to register, where only one may at a time.
    async fn turn_to_register(&self) -> Result<Option<MutexGuard<'_, Option<bool>>>> {
        let mut turn = self.registering.lock().await;
        let one_by_one = match *turn {
            Some(known) => known,
            None => {
                let storage = [super::Arg::Atom("passwd"), super::Arg::Atom("storage_type")];
                let ask = Call::function("mnesia", "table_info", storage.into());
                let on_disk_only = match self.control.call(ask, self.deadline).await {
                    Ok(answer) => answer.as_text() == Some("disc_only_copies"),
                    // Accounts are elsewhere, in SQL or LDAP.
                    Err(ControlError::Crashed { .. }) => false,
                    Err(error) => return Err(error),
                };
                self.version().await? >= REGISTERS_ONE_BY_ONE_SINCE && on_disk_only
            }
        };
        *turn = Some(one_by_one);
        Ok(one_by_one.then_some(turn))
    }

    /// Sets a password. The account must exist: since 26.01 a failure on one
    /// that does not writes the plain password to the server's log, so that is
    /// asked first.
    pub async fn change_password(&self, jid: &Jid, password: &Secret) -> Result<()> {
        if !self.account_exists(jid).await? {
            return Err(ControlError::Refused {
                command: "change_password",
                message: "there is no such account".to_owned(),
            });
        }
        let mut args = account(jid);
        args.push(password.into());
        let answer = self.command("change_password", Shape::Rescode, args).await?;
        if answer.is_ok() { Ok(()) } else { Err(refused("change_password", &answer)) }
    }

    /// Deletes an account. `false`: there was none. That is asked first,
    /// because deleting one that is absent spoils the server's statistics.
    pub async fn unregister(&self, jid: &Jid) -> Result<bool> {
        if !self.account_exists(jid).await? {
            return Ok(false);
        }
        let answer = self.command("unregister", Shape::Restuple, account(jid)).await?;
        if answer.is_ok() { Ok(true) } else { Err(refused("unregister", &answer)) }
    }

    /// The rooms that run, of all services. Hibernated ones are missing.
    pub async fn online_rooms(&self) -> Result<BTreeSet<RoomJid>> {
        let answer = self.command("muc_online_rooms", Shape::Lines, vec!["global".into()]).await?;
        Ok(texts("muc_online_rooms", &answer)?
            .into_iter()
            .filter_map(|name| name.parse().ok())
            .collect())
    }

    /// A room's options, or `None` if there is no such room. Wakes it.
    pub async fn room_options(&self, room: &RoomJid) -> Result<Option<RoomOptions>> {
        const NAME: &str = "get_room_options";
        let mut vanishing = VANISHING_TRIES;
        let answer = loop {
            match self.command(NAME, Shape::Pairs, room_args(room)).await {
                // The room ended while it was looked at.
                Err(ControlError::Crashed { .. }) if vanishing > 0 => {
                    vanishing -= 1;
                    tokio::time::sleep(VANISHING_PAUSE).await;
                }
                answer => break answer?,
            }
        };
        if says(&answer, "error") {
            return Ok(None);
        }
        let pairs = answer.as_list().ok_or(ControlError::Malformed(NAME))?;
        let options: RoomOptions = pairs
            .iter()
            .map(|pair| match pair.as_tuple() {
                Some([name, value]) => {
                    let name = name.as_text().ok_or(ControlError::Malformed(NAME))?;
                    let value = if value.as_list().is_some_and(<[_]>::is_empty) {
                        Some("")
                    } else {
                        value.as_text()
                    };
                    Ok((name.to_owned(), value.ok_or(ControlError::Malformed(NAME))?.to_owned()))
                }
                _ => Err(ControlError::Malformed(NAME)),
            })
            .collect::<Result<_>>()?;
        // A room that does not exist answers with nothing, and success.
        Ok((!options.is_empty()).then_some(options))
    }

    /// Makes a room with `options`, on behalf of the vhost `host`.
    pub async fn create_room(
        &self,
        room: &RoomJid,
        host: &Vhost,
        options: &BTreeMap<String, OptionValue>,
    ) -> Result<Created> {
        const NAME: &str = "create_room_with_opts";
        let version = self.version().await?;
        let pairs = options
            .iter()
            .map(|(name, value)| (name.clone(), Secret::new(written(value, version))))
            .collect();
        let mut args = room_args(room);
        args.extend([host.as_str().into(), super::Arg::Pairs(pairs)]);
        let answer = self.command(NAME, Shape::Rescode, args).await;
        match answer {
            Ok(answer) if answer.is_ok() => Ok(Created::Now),
            Ok(answer) if says(&answer, "already exists") => Ok(Created::Before),
            Ok(answer) => Err(refused(NAME, &answer)),
            Err(ControlError::Refused { message, .. }) if message.contains("already exists") => {
                Ok(Created::Before)
            }
            Err(error) => Err(error),
        }
    }

    /// Changes one option of a room. The room must know it: an unknown one
    /// crashes the command, with its arguments in the server's log.
    pub async fn change_room_option(
        &self,
        room: &RoomJid,
        name: &str,
        value: &OptionValue,
    ) -> Result<()> {
        let version = self.version().await?;
        let mut args = room_args(room);
        args.extend([name.into(), super::Arg::Secret(Secret::new(written(value, version)))]);
        let answer = self.command("change_room_option", Shape::Rescode, args).await?;
        if answer.is_ok() { Ok(()) } else { Err(refused("change_room_option", &answer)) }
    }

    /// Deletes a room. `false`: there was none. The server answers before the
    /// room is gone; read it back.
    pub async fn destroy_room(&self, room: &RoomJid) -> Result<bool> {
        match self.command("destroy_room", Shape::Rescode, room_args(room)).await {
            Ok(answer) if answer.is_ok() => Ok(true),
            Ok(answer) if says(&answer, "exist") => Ok(false),
            Ok(answer) => Err(refused("destroy_room", &answer)),
            Err(ControlError::Refused { message, .. }) if message.contains("exist") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// For how long it has been up, in seconds.
    pub async fn uptime_seconds(&self) -> Result<i64> {
        number("stats", &self.command("stats", Shape::Text, vec!["uptimeseconds".into()]).await?)
    }

    /// The number of sessions on `host`.
    pub async fn connected_users(&self, host: &Vhost) -> Result<i64> {
        let args = vec!["onlineusers".into(), host.as_str().into()];
        number("stats_host", &self.command("stats_host", Shape::Text, args).await?)
    }

    /// Stops ejabberd and its database in good order; the node stays. What
    /// stops the process afterwards finds nothing left to lose.
    pub async fn stop(&self) -> Result<()> {
        for (module, function, args) in [
            ("application", "stop", vec![super::Arg::Atom("ejabberd")]),
            ("mnesia", "stop", Vec::new()),
        ] {
            self.control.call(Call::function(module, function, args), STOP_DEADLINE).await?;
        }
        Ok(())
    }

    /// Where it reads its configuration.
    pub async fn config_path(&self) -> Result<String> {
        const NAME: &str = "path";
        let answer = self
            .control
            .call(Call::function("ejabberd_config", NAME, Vec::new()), self.deadline)
            .await?;
        answer.as_text().map(str::to_owned).ok_or(ControlError::Malformed(NAME))
    }

    /// A file on its machine, or `None` if there is none. A hundred times
    /// faster than an archive from the engine that runs the container.
    pub async fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>> {
        const NAME: &str = "read_file";
        let answer = self
            .control
            .call(Call::function("file", NAME, vec![path.into()]), self.deadline)
            .await?;
        let Value::Tuple(parts) = answer else { return Err(ControlError::Malformed(NAME)) };
        match <[Value; 2]>::try_from(parts) {
            Ok([Value::Atom(ok), content]) if ok == "ok" => {
                content.into_bytes().map(Some).ok_or(ControlError::Malformed(NAME))
            }
            Ok([_, Value::Atom(why)]) if why == "enoent" => Ok(None),
            Ok(parts) => Err(refused(NAME, &Value::Tuple(parts.into()))),
            Err(_) => Err(ControlError::Malformed(NAME)),
        }
    }

    /// Puts on disk what the database has only in its log's buffer. Without
    /// it, a server that is killed within two seconds of a deletion comes back
    /// with what was deleted (seen on 26.07).
    pub async fn sync(&self) -> Result<()> {
        self.control.call(Call::function("mnesia", "sync_log", Vec::new()), self.deadline).await?;
        Ok(())
    }

    /// The API version that calls are made in.
    pub async fn api(&self) -> Result<ApiVersion> {
        Ok(self.version().await?.api())
    }
}

fn account(jid: &Jid) -> Vec<super::Arg> {
    vec![jid.local.as_str().into(), jid.host.as_str().into()]
}

fn room_args(room: &RoomJid) -> Vec<super::Arg> {
    vec![room.room.as_str().into(), room.service.as_str().into()]
}

/// An option's value as `version` wants it written.
fn written(value: &OptionValue, version: ServerVersion) -> String {
    match value {
        OptionValue::Bool(flag) => flag.to_string(),
        OptionValue::Int(number) => number.to_string(),
        OptionValue::Text(text) => text.clone(),
        OptionValue::List(words) if version >= COMMA_LISTS_SINCE => words.join(","),
        OptionValue::List(words) => format!("[{}]", words.join(",")),
    }
}

fn texts<'a>(command: &'static str, answer: &'a Value) -> Result<Vec<&'a str>> {
    let items = answer.as_list().ok_or_else(|| refused(command, answer))?;
    items.iter().map(|item| item.as_text().ok_or(ControlError::Malformed(command))).collect()
}

fn number(command: &'static str, answer: &Value) -> Result<i64> {
    match answer {
        Value::Int(number) => Ok(*number),
        Value::Text(text) => text.trim().parse().map_err(|_| ControlError::Malformed(command)),
        _ => Err(ControlError::Malformed(command)),
    }
}

/// Whether `word` stands anywhere in a refusal.
fn says(answer: &Value, word: &str) -> bool {
    match answer {
        Value::Atom(text) | Value::Text(text) => text.contains(word),
        Value::List(parts) | Value::Tuple(parts) => parts.iter().any(|part| says(part, word)),
        Value::Int(_) | Value::Float(_) | Value::Bytes(_) | Value::Other => false,
    }
}

/// A refusal in ejabberd's words. Answers repeat names, never passwords.
fn refused(command: &'static str, answer: &Value) -> ControlError {
    fn collect(answer: &Value, words: &mut Vec<String>) {
        match answer {
            Value::Atom(text) | Value::Text(text) if text != "error" => words.push(text.clone()),
            Value::List(parts) | Value::Tuple(parts) => {
                parts.iter().for_each(|part| collect(part, words))
            }
            _ => {}
        }
    }
    let mut words = Vec::new();
    collect(answer, &mut words);
    let message = if words.is_empty() {
        "it answered no, without a reason".to_owned()
    } else {
        words.join(" ")
    };
    ControlError::Refused { command, message: message.chars().take(300).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_as_the_version_wants_them() {
        let list = OptionValue::List(vec!["moderator".into(), "visitor".into()]);
        let version = |year, month| ServerVersion { year, month };
        assert_eq!(written(&list, version(24, 12)), "[moderator,visitor]");
        assert_eq!(written(&list, version(26, 7)), "moderator,visitor");
    }

    #[test]
    fn a_refusal_is_told_in_ejabberds_words() {
        let answer = Value::Tuple(vec![
            Value::Atom("error".into()),
            Value::Atom("cannot_register".into()),
            Value::Int(10001),
            Value::List(vec![Value::Text("not allowed".into())]),
        ]);
        assert_eq!(
            refused("register", &answer).to_string(),
            "run `register`: cannot_register not allowed"
        );
        assert!(says(&answer, "allowed") && !says(&answer, "conflict"));
    }
}
