//! Reads and changes how ejabberd stores the accounts and the database.

use super::{Arg, BACKUP_DEADLINE, Call, ControlError, EjabberdClient, Result, Shape, Value};
use crate::domain::database::{Cookie, Database};
use crate::domain::model::{Jid, Vhost};
use crate::domain::spec::TableStorage;

/// The backends in which accounts can be created, changed and deleted.
const WRITABLE: [&str; 2] = ["mnesia", "sql"];

/// The file that defines how Mnesia stores its tables. ejabberd reads the file when it starts;
/// without the file, ejabberd changes the storage type of a table back.
const SCHEMA_FILE: &str = "ejabberd.schema";

impl EjabberdClient {
    /// The identity of the database, without the location of its files, which only the runtime
    /// knows. `hosts` are the hosts with managed accounts.
    pub async fn database(&self, hosts: &[&Vhost]) -> Result<Database> {
        let (cookie, node, directory, configuration) = tokio::try_join!(
            self.schema_cookie(),
            self.node_name(),
            self.database_directory(),
            self.configuration(),
        )?;
        let store = |host: &&Vhost| (host.to_string(), configuration.account_store(host.as_str()));
        let accounts = hosts.iter().map(store).collect();
        Ok(Database { cookie, node, directory, location: None, accounts })
    }

    /// The result of `mnesia:table_info(schema, cookie)`. Mnesia creates this cookie with the
    /// database, and keeps the cookie at restarts (tested on 23.01, 24.12 and 26.07).
    async fn schema_cookie(&self) -> Result<Cookie> {
        const NAME: &str = "table_info";
        let args = vec![Arg::Atom("schema"), Arg::Atom("cookie")];
        let response =
            self.control.call(Call::function("mnesia", NAME, args), self.deadline).await?;
        let parts = response.as_tuple().unwrap_or_default();
        let [Value::Tuple(numbers), node] = parts else {
            return Err(ControlError::Malformed(NAME));
        };
        let number = |value: &Value| if let Value::Int(n) = value { Some(*n) } else { None };
        let numbers: Option<Vec<i64>> = numbers.iter().map(number).collect();
        match (numbers, node.as_text()) {
            (Some(numbers), Some(node)) => Ok(Cookie { numbers, made_by: node.to_owned() }),
            _ => Err(ControlError::Malformed(NAME)),
        }
    }

    async fn node_name(&self) -> Result<String> {
        const NAME: &str = "node";
        let response =
            self.control.call(Call::function("erlang", NAME, vec![]), self.deadline).await?;
        response.as_text().map(str::to_owned).ok_or(ControlError::Malformed(NAME))
    }

    /// The backend of the accounts of `host`, such as `ldap` or `jwt`; `None` if ejabberd stores
    /// the accounts. The accounts of another backend can be read but not changed.
    pub async fn accounts_elsewhere(&self, host: &Vhost) -> Result<Option<String>> {
        let methods = self.auth_methods(host).await?;
        let ours = methods.iter().any(|method| WRITABLE.contains(&method.as_str()));
        Ok((!ours && !methods.is_empty()).then(|| methods.join(" and ")))
    }

    async fn auth_methods(&self, host: &Vhost) -> Result<Vec<String>> {
        const NAME: &str = "auth_method";
        let call = Call::function("ejabberd_option", NAME, vec![host.as_str().into()]);
        let response = self.control.call(call, self.deadline).await?;
        let methods = response.as_list().ok_or(ControlError::Malformed(NAME))?;
        Ok(methods.iter().filter_map(Value::as_text).map(str::to_owned).collect())
    }

    /// Whether the database with the accounts of `host` responds. With SQL, a failed query looks
    /// like an empty list of accounts, and every other command reports the same (tested with a
    /// missing table).
    pub async fn accounts_can_be_read(&self, host: &Vhost) -> Result<bool> {
        if !self.auth_methods(host).await?.iter().any(|method| method == "sql") {
            return Ok(true);
        }
        let args = vec![host.as_str().into(), "select count(*) from users".into()];
        let call = Call::function("ejabberd_sql", "sql_query", args);
        let response = self.control.call(call, self.deadline).await?;
        let tag = response.as_tuple().and_then(<[Value]>::first).and_then(Value::as_text);
        Ok(tag == Some("selected"))
    }

    /// The storage type of the account table, as Mnesia names the type.
    pub async fn accounts_table(&self) -> Result<String> {
        const NAME: &str = "table_info";
        let args = vec![Arg::Atom("passwd"), Arg::Atom("storage_type")];
        let response =
            match self.control.call(Call::function("mnesia", NAME, args), self.deadline).await {
                Err(ControlError::Crashed { .. }) => {
                    let message = "the accounts are not in ejabberd's own database".to_owned();
                    return Err(ControlError::Refused { command: NAME, message });
                }
                response => response?,
            };
        response.as_text().map(str::to_owned).ok_or(ControlError::Malformed(NAME))
    }

    /// Changes the storage type of the account table, now and for each start. Clients stay
    /// connected and the data is kept.
    pub async fn store_accounts(&self, storage: TableStorage) -> Result<()> {
        const NAME: &str = "change_table_copy_type";
        // Write the file first, so that a restart of the server between the two steps uses the new
        // type.
        self.write_schema(storage).await?;
        let node = self.node_name().await?;
        let args = vec![Arg::Atom("passwd"), Arg::Node(node), Arg::Atom(storage.as_str())];
        let call = Call::function("mnesia", NAME, args);
        let response = self.control.call(call, BACKUP_DEADLINE).await?;
        // The next registration must check again whether registrations are serialized.
        *self.registering.lock().await = None;
        match response.as_tuple() {
            Some([done, _]) if done.as_text() == Some("atomic") => {}
            // The table has this type already.
            _ if super::responses::says(&response, "already_exists") => {}
            _ => return Err(super::responses::refused(NAME, &response)),
        }
        self.clear_cache().await
    }

    /// Clears the cache of the server. The server keeps passwords in the cache only while the table
    /// is on disk alone, and ignores the cache otherwise. Without this step, the passwords from
    /// before the change to memory would be valid again after the change back (seen on 23.01, 24.12
    /// and 26.07).
    async fn clear_cache(&self) -> Result<()> {
        const NAME: &str = "clear_cache";
        let response = self.command(NAME, Shape::Rescode, Vec::new()).await?;
        if response.is_ok() { Ok(()) } else { Err(super::responses::refused(NAME, &response)) }
    }

    async fn write_schema(&self, storage: TableStorage) -> Result<()> {
        const NAME: &str = "write_file";
        let path = format!("{}/{SCHEMA_FILE}", self.database_directory().await?);
        let text = |storage: &str| format!("passwd:\n  storage_type: {storage}\n");
        let wanted = text(storage.as_str());
        if let Some(there) = self.read_file(&path).await? {
            let there = String::from_utf8_lossy(&there);
            if there == wanted {
                return Ok(());
            }
            let kinds =
                [TableStorage::DiscCopies, TableStorage::DiscOnlyCopies, TableStorage::RamCopies];
            if !kinds.iter().any(|kind| text(kind.as_str()) == there) {
                let message = format!(
                    "the operator did not write `{path}`; set the storage type of `passwd` there"
                );
                return Err(ControlError::Refused { command: NAME, message });
            }
        }
        let args = vec![path.as_str().into(), wanted.as_str().into()];
        let response = self.control.call(Call::function("file", NAME, args), self.deadline).await?;
        if response.is_ok() { Ok(()) } else { Err(super::responses::refused(NAME, &response)) }
    }

    /// The number of messages that wait for an account that is offline.
    pub async fn offline_messages(&self, jid: &Jid) -> Result<i64> {
        self.count("get_offline_count", jid).await
    }

    /// The number of messages in the archive of an account. Needs 24.12 or later.
    pub async fn archived_messages(&self, jid: &Jid) -> Result<i64> {
        self.count("get_mam_count", jid).await
    }

    async fn count(&self, name: &'static str, jid: &Jid) -> Result<i64> {
        let args = super::accounts::account(jid);
        super::responses::number(name, &self.command(name, Shape::Text, args).await?)
    }
}
