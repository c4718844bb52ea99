//! Where the accounts of a host are stored, according to the configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Configuration, Value};

/// Where the accounts of a host are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountStore {
    /// The host.
    pub host: String,
    /// The methods of `auth_method`, in the order in which ejabberd tries the methods.
    pub backends: Vec<Backend>,
}

/// A store of accounts. Contains no password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backend {
    /// ejabberd's own database.
    Mnesia,
    /// An SQL database.
    Sql(SqlDatabase),
    /// An LDAP directory.
    Ldap {
        /// `ldap_servers`.
        servers: Vec<String>,
        /// `ldap_base`.
        base: String,
    },
    /// Another method, by its name: `external`, `jwt`, `pam`, `anonymous`.
    Other(String),
}

/// An SQL database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlDatabase {
    /// `sql_type`: `mysql`, `pgsql`, `sqlite`, `mssql`, `odbc`.
    pub kind: String,
    /// `sql_server`. An ODBC connection string is reduced to the parts that name the database,
    /// because the rest can contain a password.
    pub server: String,
    /// `sql_port`, or the default port of the type; `None` if the type has no port.
    pub port: Option<u16>,
    /// `sql_database`; `None` if ejabberd chooses the database.
    pub database: Option<String>,
}

/// The values of `default_db` that ejabberd also uses as the authentication method if `auth_method`
/// is absent. With any other value of `default_db`, ejabberd uses the method `mnesia`
/// (`ejabberd_config:default_db/5`).
const METHODS: [&str; 7] = ["mnesia", "sql", "ldap", "external", "jwt", "pam", "anonymous"];

impl Configuration {
    /// Where the accounts of `host` are stored.
    #[must_use]
    pub fn account_store(&self, host: &str) -> AccountStore {
        let backends = self.auth_methods(host).into_iter().map(|method| match method.as_str() {
            "mnesia" => Backend::Mnesia,
            "sql" => Backend::Sql(self.sql_database(host)),
            "ldap" => self.directory(host),
            _ => Backend::Other(method),
        });
        AccountStore { host: host.to_owned(), backends: backends.collect() }
    }

    /// The methods of `auth_method` for `host`, in their order.
    #[must_use]
    pub fn auth_methods(&self, host: &str) -> Vec<String> {
        let named: Vec<String> =
            self.list(host, "auth_method").into_iter().filter_map(Value::word).collect();
        if !named.is_empty() {
            return named;
        }
        let default = self.option(host, "default_db").and_then(Value::text);
        vec![default.filter(|db| METHODS.contains(db)).unwrap_or("mnesia").to_owned()]
    }

    /// The SQL database of `host`, even if no module uses the database. The defaults are the
    /// defaults of `ejabberd_options` (23.01 to 26.07).
    #[must_use]
    pub fn sql_database(&self, host: &str) -> SqlDatabase {
        let word = |name| self.option(host, name).and_then(Value::word);
        let kind = word("sql_type").unwrap_or_else(|| "odbc".to_owned());
        let server = word("sql_server").unwrap_or_else(|| "localhost".to_owned());
        let port = word("sql_port").and_then(|port| port.parse().ok());
        let port = port.or(match kind.as_str() {
            "mysql" => Some(3306),
            "pgsql" => Some(5432),
            "mssql" => Some(1433),
            _ => None,
        });
        SqlDatabase { server: without_secrets(&server), port, database: word("sql_database"), kind }
    }

    fn directory(&self, host: &str) -> Backend {
        let servers = self.list(host, "ldap_servers").into_iter().filter_map(Value::word);
        let base = self.option(host, "ldap_base").and_then(Value::word).unwrap_or_default();
        Backend::Ldap { servers: servers.collect(), base }
    }
}

/// Returns the parts of an ODBC connection string (`DSN=x;UID=y;PWD=z`) that name the database.
fn without_secrets(server: &str) -> String {
    const NAMING: [&str; 7] =
        ["dsn", "driver", "server", "servername", "database", "port", "filedsn"];
    if !server.contains('=') {
        return server.to_owned();
    }
    let naming = server.split(';').filter(|part| {
        let key = part.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        NAMING.contains(&key.as_str())
    });
    naming.collect::<Vec<_>>().join(";")
}

impl fmt::Display for AccountStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backends: Vec<String> = self.backends.iter().map(ToString::to_string).collect();
        f.write_str(&backends.join(" and "))
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mnesia => f.write_str("ejabberd's own database"),
            Self::Sql(database) => database.fmt(f),
            Self::Ldap { servers, base } => {
                write!(f, "the LDAP directory {base} at {}", servers.join(", "))
            }
            Self::Other(method) => write!(f, "`{method}`"),
        }
    }
}

impl fmt::Display for SqlDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, server, port, database } = self;
        write!(f, "the SQL database")?;
        if let Some(database) = database {
            write!(f, " `{database}`")?;
        }
        write!(f, " ({kind}) at {server}")?;
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
