//! Calls to the server and their responses, for every control channel.

use crate::domain::model::Secret;

/// One argument of a call, of the type that ejabberd declares.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    /// A text.
    Text(String),
    /// A text that the command declares as a string of characters; most declare binaries.
    Characters(String),
    /// A text that no log, error or process list may show.
    Secret(Secret),
    /// A whole number.
    Int(i64),
    /// An Erlang atom. Never made from input.
    Atom(&'static str),
    /// The name of a node, as the server reports it.
    Node(String),
    /// Name and value pairs, as `create_room_with_opts` takes them. Values are
    /// secrets, because a room's password is among them.
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

/// The type that a command declares for its response. `ejabberdctl` prints text, which is parsed
/// by this type; other channels receive Erlang terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Success (`ok` or `true`) or failure (any other value); by the exit code of `ejabberdctl`.
    Rescode,
    /// `{ok, Text}` or an error.
    Restuple,
    /// One text or number.
    Text,
    /// A list of texts, a line each.
    Lines,
    /// A list of names and values, one pair on a line with a tab between.
    Pairs,
}

/// One call.
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
    /// Several operations in the server's VM that must run together, as one function of the
    /// program `session.erl`.
    Inside {
        /// The function: `configuration`, `start`, `subject`.
        function: &'static str,
        /// The arguments.
        args: Vec<Arg>,
    },
    /// An operation of a client, which runs in the network of the server. A listener on loopback is
    /// then reachable with every network mode. Needs no response of the server's node.
    Beside {
        /// The operation: `open` a stream, `login`, `get` a page, or read the kernel's `tables` of
        /// sockets and `status` of the process.
        function: &'static str,
        /// The arguments: address, port, `proxied` or `direct`, `direct_tls` or `plain`, host; then
        /// for `get` a path, for `login` name and password.
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
    /// An integer. An integer of more than 64 bits becomes the nearest that fits.
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
    /// Whether the value means success, as `rescode` responses do.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        match self {
            Self::Atom(word) => word == "ok" || word == "true",
            Self::Int(code) => *code == 0,
            Self::Tuple(parts) => matches!(parts.first(), Some(Self::Atom(word)) if word == "ok"),
            _ => false,
        }
    }

    /// The text of a binary, string or atom.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Atom(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a binary.
    #[must_use]
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The parts of a list. An empty Erlang string is also an empty list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            Self::Text(text) if text.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// The parts of a tuple.
    #[must_use]
    pub fn as_tuple(&self) -> Option<&[Value]> {
        match self {
            Self::Tuple(parts) => Some(parts),
            _ => None,
        }
    }
}
