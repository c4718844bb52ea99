//! The typed commands of the server. Only this module knows the names, the order of arguments, the
//! responses and the known defects of the commands.

mod accounts;
mod affiliations;
mod bans;
mod distribution;
mod groups;
mod health;
mod listeners;
mod logins;
mod messages;
mod new_rooms;
mod phase;
mod read_rooms;
mod responses;
mod rooms;
mod services;
mod storage;
mod subjects;
mod vcards;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::call::{Arg, Call, Shape, Value};
use super::{Control, ControlError, StartContext};
use crate::domain::configuration::Configuration;
use crate::domain::model::{ApiVersion, Jid, Secret, ServerVersion, Vhost};
pub use groups::WholeGroup;
pub use groups::group_name;
pub use listeners::{AnyListener, Encryption, Endpoint, ListenAddress, Listener, Opening};
pub use messages::{
    ArchivedMessage, MessagePage, Outgoing, PageRequest, PageStart, Refusal, SendOutcome,
};
pub use phase::NodePhase;
pub use read_rooms::WholeRoom;
use responses::{number, refused};
pub use rooms::NewRoom;

/// The deadline of a call. A command takes milliseconds, but the server may be busy, and a list
/// of 100,000 accounts takes seconds.
const DEADLINE: Duration = Duration::from_secs(15);

/// The deadline for the server to stop.
const STOP_DEADLINE: Duration = Duration::from_mins(1);

/// Erlang's name of the error for an address that the host does not have.
const NO_SUCH_ADDRESS: &str = "eaddrnotavail";

/// The reason for which the operator's Erlang program refuses a login that would write the password
/// into the server's log.
pub(crate) const PLAIN_LOGGED: &str = "plain_would_be_logged";

/// The maximum number of environment variables that the operator reads.
const MOST_MACROS: usize = 1000;

/// The deadline of a backup, for a database of gigabytes.
const BACKUP_DEADLINE: Duration = Duration::from_mins(10);

type Result<T> = std::result::Result<T, ControlError>;

/// The result of a command that creates an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The command created the object.
    Now,
    /// The object existed already.
    Before,
}

/// A client that calls one server over a control channel.
#[derive(Clone)]
pub struct EjabberdClient {
    control: Arc<dyn Control>,
    deadline: Duration,
    /// Serializes `register` on servers that need it; `None` until the version is known.
    registering: Arc<Mutex<Option<bool>>>,
}

/// The message about a host that the server does not serve.
fn not_served(host: &Vhost) -> String {
    format!(
        "the server does not serve {host}: correct the name in the file, or add it to `hosts` in \
         the server's configuration"
    )
}

impl EjabberdClient {
    /// A client of the server that `control` reaches.
    #[must_use]
    pub fn new(control: Arc<dyn Control>) -> Self {
        Self { control, deadline: DEADLINE, registering: Arc::default() }
    }

    /// This client, with another deadline for each call.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The version of the server.
    pub async fn version(&self) -> Result<ServerVersion> {
        self.control.version().await
    }

    /// Closes the control channel. The next call opens the channel again.
    pub async fn close(&self) {
        // If the lock is taken, a registration is in progress, and sets the value itself.
        if let Ok(mut known) = self.registering.try_lock() {
            *known = None;
        }
        self.control.close().await;
    }

    async fn command(&self, name: &'static str, shape: Shape, args: Vec<Arg>) -> Result<Value> {
        self.control.call(Call::command(name, shape, args), self.deadline).await
    }

    /// Reloads the configuration. ejabberd checks the files as a whole first. If ejabberd fails to
    /// apply a part of the configuration, only the server's log reports the failure.
    pub async fn reload_config(&self) -> Result<()> {
        let response = self.command("reload_config", Shape::Rescode, Vec::new()).await?;
        if response.is_ok() { Ok(()) } else { Err(refused("reload_config", &response)) }
    }

    /// The uptime of the server in seconds.
    pub async fn uptime_seconds(&self) -> Result<i64> {
        number("stats", &self.command("stats", Shape::Text, vec!["uptimeseconds".into()]).await?)
    }

    /// The stream features that the server offers to a client of `host`, in XML. The client runs on
    /// the host of the server.
    pub async fn open_stream(
        &self,
        to: Endpoint,
        host: &Vhost,
        deadline: Duration,
    ) -> Result<String> {
        const NAME: &str = "open";
        let response = self.beside(NAME, to, host.as_str(), Vec::new(), deadline).await?;
        let bytes = response.into_bytes().ok_or(ControlError::Malformed(NAME))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Logs in as a client would: with STARTTLS if the server offers it, and with the strongest of
    /// SCRAM-SHA-512, -256, -1 and PLAIN.
    ///
    /// The refusal `no_common_mechanism` means that the server offers none of these mechanisms,
    /// `not_authorized` that the server refuses the password, `not_allowed` that the access rule of
    /// the listener refuses the account. `plain_would_be_logged` means that the server offers only
    /// PLAIN and logs at debug, so its log would contain the password.
    pub async fn log_in(&self, to: Endpoint, jid: &Jid, password: &Secret) -> Result<()> {
        // RFC 5802 and RFC 4616: both sides prepare the password in the same way.
        let prepared = stringprep::saslprep(password.expose());
        let password =
            prepared.map_or_else(|_| password.clone(), |text| Secret::new(text.into_owned()));
        let logs = Arg::Atom(if self.logs_stanzas().await? { "true" } else { "false" });
        let who = vec![jid.local.as_str().into(), (&password).into(), logs];
        self.beside("login", to, jid.host.as_str(), who, self.deadline).await?;
        Ok(())
    }

    /// Whether the log contains what clients send.
    async fn logs_stanzas(&self) -> Result<bool> {
        let level = self.command("get_loglevel", Shape::Text, Vec::new()).await?;
        Ok(level.as_text() == Some("debug"))
    }

    async fn beside(
        &self,
        function: &'static str,
        to: Endpoint,
        host: &str,
        more: Vec<Arg>,
        deadline: Duration,
    ) -> Result<Value> {
        let Endpoint { at, proxied, tls } = to;
        let call = |ip: IpAddr| {
            let address = ip.to_string();
            let mut args = vec![
                address.as_str().into(),
                Arg::Int(at.port().into()),
                Arg::Atom(if proxied { "proxied" } else { "direct" }),
                Arg::Atom(if tls { "direct_tls" } else { "plain" }),
                host.into(),
            ];
            args.extend(more.iter().cloned());
            self.control.call(Call::Beside { function, args }, deadline)
        };
        match call(at.ip()).await {
            // In a container without IPv6, a listener at `[::]` may still accept IPv4.
            Err(ControlError::Refused { message, .. })
                if at.ip() == Ipv6Addr::LOCALHOST && message.contains(NO_SUCH_ADDRESS) =>
            {
                call(Ipv4Addr::LOCALHOST.into()).await
            }
            response => response,
        }
    }

    /// The kernel's tables of TCP sockets in the server's network, as `/proc/net/tcp` and `tcp6`
    /// print them. Works even if the server does not respond.
    pub async fn tcp_tables(&self) -> Result<String> {
        self.kernel_file("tables").await
    }

    /// The text of `/proc/self/status` of a process of the server's user. Works even if the server
    /// does not respond.
    pub async fn process_status(&self) -> Result<String> {
        self.kernel_file("status").await
    }

    async fn kernel_file(&self, function: &'static str) -> Result<String> {
        let call = Call::Beside { function, args: Vec::new() };
        let response = self.control.call(call, self.deadline).await?;
        let bytes = response.into_bytes().ok_or(ControlError::Malformed(function))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes a backup of the whole database to a file beside the database, and returns the path of
    /// the file. Overwrites the previous backup. An administrator can restore the backup by hand.
    pub async fn back_up(&self) -> Result<String> {
        const NAME: &str = "backup";
        let directory = self.database_directory().await?;
        let path = format!("{directory}/before-replacement.backup");
        let call = Call::command(NAME, Shape::Restuple, vec![Arg::Characters(path.clone())]);
        let response = self.control.call(call, BACKUP_DEADLINE).await?;
        if response.is_ok() { Ok(path) } else { Err(refused(NAME, &response)) }
    }

    /// The directory of the database.
    async fn database_directory(&self) -> Result<String> {
        const NAME: &str = "system_info";
        let call = Call::function("mnesia", NAME, vec![Arg::Atom("directory")]);
        let response = self.control.call(call, self.deadline).await?;
        response.as_text().map(str::to_owned).ok_or(ControlError::Malformed(NAME))
    }

    /// Stops ejabberd and its database; the node keeps running. A later stop of the process then
    /// loses no data.
    pub async fn stop(&self) -> Result<()> {
        for (module, function, args) in
            [("application", "stop", vec![Arg::Atom("ejabberd")]), ("mnesia", "stop", Vec::new())]
        {
            self.control.call(Call::function(module, function, args), STOP_DEADLINE).await?;
        }
        Ok(())
    }

    /// The path of the configuration file of the server.
    pub async fn config_path(&self) -> Result<String> {
        const NAME: &str = "path";
        let response = self
            .control
            .call(Call::function("ejabberd_config", NAME, Vec::new()), self.deadline)
            .await?;
        response.as_text().map(str::to_owned).ok_or(ControlError::Malformed(NAME))
    }

    /// The configuration in force, as the server read it, with macros and included files
    /// expanded.
    pub async fn configuration(&self) -> Result<Configuration> {
        const NAME: &str = "configuration";
        let call = Call::Inside { function: NAME, args: Vec::new() };
        let response = self.control.call(call, self.deadline).await?;
        let printed = response.into_bytes().ok_or(ControlError::Malformed(NAME))?;
        // The session responds with JSON, `ejabberdctl` with the output of `dump_config`.
        let read = match printed.first() {
            Some(b'{') => Configuration::from_json(&printed),
            _ => Configuration::from_dump(&printed),
        };
        read.map_err(|error| ControlError::Refused { command: NAME, message: error.to_string() })
    }

    /// The facts about the server's start on which its configuration depends.
    pub async fn start_context(&self) -> Result<StartContext> {
        const NAME: &str = "start";
        let call = Call::Inside { function: NAME, args: Vec::new() };
        let response = self.control.call(call, self.deadline).await?;
        let malformed = || ControlError::Malformed(NAME);
        let [directory, lines] = response.as_tuple().ok_or_else(malformed)? else {
            return Err(malformed());
        };
        let directory = directory.as_text().filter(|path| path.starts_with('/'));
        let lines = responses::texts(NAME, lines)?.into_iter().take(MOST_MACROS);
        let macros = lines.filter_map(|line| line.split_once('='));
        let macros = macros.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(StartContext { directory: directory.map(str::to_owned), macros: macros.collect() })
    }

    /// The hosts in the configuration in force.
    pub async fn hosts(&self) -> Result<Vec<String>> {
        const NAME: &str = "hosts";
        let call = Call::function("ejabberd_option", NAME, Vec::new());
        let response = self.control.call(call, self.deadline).await?;
        Ok(responses::texts(NAME, &response)?.into_iter().map(str::to_owned).collect())
    }

    /// Whether a module is loaded for `host`.
    pub async fn has_module(&self, host: &Vhost, module: &'static str) -> Result<bool> {
        let args = vec![host.as_str().into(), Arg::Atom(module)];
        let call = Call::function("gen_mod", "is_loaded", args);
        Ok(self.control.call(call, self.deadline).await?.is_ok())
    }

    /// Fails unless `module`, which `command` needs, is loaded for `host`.
    async fn needs_module(
        &self,
        host: &Vhost,
        command: &'static str,
        module: &'static str,
    ) -> Result<()> {
        if self.has_module(host, module).await? {
            return Ok(());
        }
        let message = if self.hosts().await?.iter().any(|served| served == host.as_str()) {
            format!(
                "{module} is not loaded for {host}: add it to the modules of the server's \
                 configuration"
            )
        } else {
            not_served(host)
        };
        Err(ControlError::Refused { command, message })
    }

    /// The content of a file on the host of the server; `None` if the file does not exist. A read
    /// takes a hundredth of the time of an archive from the container engine.
    pub async fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>> {
        const NAME: &str = "read_file";
        let response = self
            .control
            .call(Call::function("file", NAME, vec![path.into()]), self.deadline)
            .await?;
        let Value::Tuple(parts) = response else { return Err(ControlError::Malformed(NAME)) };
        match <[Value; 2]>::try_from(parts) {
            Ok([Value::Atom(ok), content]) if ok == "ok" => {
                content.into_bytes().map(Some).ok_or(ControlError::Malformed(NAME))
            }
            Ok([_, Value::Atom(why)]) if why == "enoent" => Ok(None),
            Ok(parts) => Err(refused(NAME, &Value::Tuple(parts.into()))),
            Err(_) => Err(ControlError::Malformed(NAME)),
        }
    }

    /// Writes the buffer of the database log to disk. Without this write, a server that is killed
    /// within two seconds after a deletion starts with the deleted objects (seen on 26.07).
    pub async fn sync(&self) -> Result<()> {
        self.control.call(Call::function("mnesia", "sync_log", Vec::new()), self.deadline).await?;
        Ok(())
    }

    /// The API version of the calls.
    pub async fn api(&self) -> Result<ApiVersion> {
        Ok(self.version().await?.api())
    }
}
