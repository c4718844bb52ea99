//! Calls to the server and their responses, for every control channel.

use crate::domain::model::Secret;

/// One argument of a call, of the type that ejabberd declares.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    /// A string, which the session sends as a binary.
    Text(String),
    /// A string, which the session sends as a list of characters. Most commands declare binaries.
    Characters(String),
    /// A string that no log, error or process list may show.
    Secret(Secret),
    /// A whole number.
    Int(i64),
    /// An Erlang atom. Never created from input.
    Atom(&'static str),
    /// The name of a node, in the form that the server reports.
    Node(String),
    /// Pairs of a name and a value, for `create_room_with_opts`. Values are secrets, because one of
    /// the values may be the password of a room.
    Pairs(Vec<(String, Secret)>),
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&Secret> for Arg {
    fn from(secret: &Secret) -> Self {
        Self::Secret(secret.clone())
    }
}

/// The type that a command declares for its response. The operator parses the output of
/// `ejabberdctl` by this type; other channels receive Erlang terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Success (`ok` or `true`) or failure (any other value). `ejabberdctl` reports the result as
    /// its exit code.
    Rescode,
    /// `{ok, Text}` or an error.
    Restuple,
    /// One string or number.
    Text,
    /// A list of strings, one on each line.
    Lines,
    /// A list of names and values, one pair on each line with a tab between.
    Pairs,
}

/// One call to the server, or to the operator's Erlang program beside the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// A command of ejabberd's command API, in the session's API version.
    Command {
        /// The name.
        name: &'static str,
        /// The arguments in the declared order.
        args: Vec<Arg>,
        /// The type of the response.
        shape: Shape,
    },
    /// A function in the server's VM, for tasks without a command.
    Function {
        /// The module.
        module: &'static str,
        /// The name.
        function: &'static str,
        /// The arguments.
        args: Vec<Arg>,
    },
    /// A function of the program `session.erl` that runs in the server's VM. Each function does
    /// several operations in one call, because the operations must run together.
    Inside {
        /// The name of the function: `backends`, `configuration`, `messages`, `send`, `start` or
        /// `subject`.
        function: &'static str,
        /// The arguments.
        args: Vec<Arg>,
    },
    /// An operation that the operator's Erlang program runs in a separate VM in the network of the
    /// server. So the program can connect as a client to a listener on loopback, with every network
    /// mode. The operation works even if the server's node does not respond.
    Beside {
        /// The name of the operation: `open`, `stream`, `websocket` or `bosh` to begin a stream,
        /// `login`, `get` for a page, `tables` for the kernel's tables of sockets, or `status` for
        /// the status of the process.
        function: &'static str,
        /// The arguments: address, port, `proxied` or `direct`, `direct_tls` or `plain`, host; then
        /// a path for `websocket`, `bosh` and `get`, or name, password and log flag for `login`. No
        /// arguments for `tables` and `status`.
        args: Vec<Arg>,
    },
}

impl Call {
    /// A command with a response of type `shape`.
    #[must_use]
    pub fn command(name: &'static str, shape: Shape, args: Vec<Arg>) -> Self {
        Self::Command { name, args, shape }
    }

    /// A function in the server's VM.
    #[must_use]
    pub fn function(module: &'static str, function: &'static str, args: Vec<Arg>) -> Self {
        Self::Function { module, function, args }
    }

    /// The name of the command or function. Only this part of a call may be in a metric or a log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Command { name, .. } => name,
            Self::Function { function, .. }
            | Self::Inside { function, .. }
            | Self::Beside { function, .. } => function,
        }
    }

    /// The arguments.
    #[must_use]
    pub fn args(&self) -> &[Arg] {
        match self {
            Self::Command { args, .. }
            | Self::Function { args, .. }
            | Self::Inside { args, .. }
            | Self::Beside { args, .. } => args,
        }
    }
}

/// A response: an Erlang term of the types that commands use.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An atom.
    Atom(String),
    /// A binary or a string.
    Text(String),
    /// A binary that is not UTF-8.
    Bytes(Vec<u8>),
    /// An integer. An integer of more than 64 bits becomes the nearest 64-bit integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A term of a type that no command returns (a process, a function).
    Other,
}

impl Value {
    /// Whether the value reports success: `ok`, `true`, 0, or a tuple that begins with `ok`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        match self {
            Self::Atom(word) => word == "ok" || word == "true",
            Self::Int(code) => *code == 0,
            Self::Tuple(parts) => matches!(parts.first(), Some(Self::Atom(word)) if word == "ok"),
            _ => false,
        }
    }

    /// The string of a binary, string or atom; `None` for any other value.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Atom(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a binary or string; `None` for any other value.
    #[must_use]
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements of a list; `None` for any other value. An empty Erlang string is also an empty
    /// list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            Self::Text(text) if text.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// The elements of a tuple; `None` for any other value.
    #[must_use]
    pub fn as_tuple(&self) -> Option<&[Value]> {
        match self {
            Self::Tuple(parts) => Some(parts),
            _ => None,
        }
    }
}
