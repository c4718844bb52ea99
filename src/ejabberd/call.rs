//! What is said to the server, and what it answers, whatever carries it.

use crate::domain::model::Secret;

/// One argument of a call. Its type is that which ejabberd declares for it.
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
    /// An Erlang atom; never made from outside text.
    Atom(&'static str),
    /// The name of a node, as the server says it itself.
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

/// The type that a command declares for its answer. A channel that gets terms
/// needs no telling; `ejabberdctl` prints text, and reads it back by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `ok`, `true`, or anything else for no; by `ejabberdctl`'s exit code.
    Rescode,
    /// `{ok, Text}` or an error.
    Restuple,
    /// One text or number.
    Text,
    /// A list of texts, a line each.
    Lines,
    /// A list of name and value, a line each, a tab between.
    Pairs,
}

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// A command of ejabberd's command API, in the session's API version.
    Command {
        /// Its name.
        name: &'static str,
        /// Its arguments in the declared order.
        args: Vec<Arg>,
        /// What it answers.
        shape: Shape,
    },
    /// A function of the server's VM, for what no command does.
    Function {
        /// Its module.
        module: &'static str,
        /// Its name.
        function: &'static str,
        /// Its arguments.
        args: Vec<Arg>,
    },
    /// Several things in the server's VM that must not be torn apart, as one
    /// program of the far end.
    Inside {
        /// Which: `configuration`, `start`, `subject`.
        function: &'static str,
        /// Its arguments.
        args: Vec<Arg>,
    },
    /// Something that a client would do, from where the server runs, in its
    /// network: a listener on its loopback is seen whatever the network mode.
    /// Needs no answer of the server's node.
    Beside {
        /// What: `open` a stream, `login`, `get` a page, or read the kernel's
        /// `tables` of sockets and `status` of the process.
        function: &'static str,
        /// Its arguments: address, port, `proxied` or `direct`, `direct_tls` or
        /// `plain`, host; then for `get` a path, for `login` name and password.
        args: Vec<Arg>,
    },
}

impl Call {
    /// A command that answers in `shape`.
    #[must_use]
    pub fn command(name: &'static str, shape: Shape, args: Vec<Arg>) -> Self {
        Self::Command { name, args, shape }
    }

    /// A function of the server's VM.
    #[must_use]
    pub fn function(module: &'static str, function: &'static str, args: Vec<Arg>) -> Self {
        Self::Function { module, function, args }
    }

    /// The command's or function's name: the one part of a call that a metric
    /// or a log may show.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Command { name, .. } => name,
            Self::Function { function, .. }
            | Self::Inside { function, .. }
            | Self::Beside { function, .. } => function,
        }
    }

    /// Its arguments.
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

/// An answer: an Erlang term, as far as commands use them.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An atom.
    Atom(String),
    /// A binary or a string.
    Text(String),
    /// A binary that is not UTF-8.
    Bytes(Vec<u8>),
    /// A whole number; one beyond 64 bits is cut to the nearest that fits.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A term of a type that no command answers with (a process, a function).
    Other,
}

impl Value {
    /// Whether it means yes, as `rescode` answers say it.
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

    /// The parts of a list. An empty Erlang string is an empty list as well.
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
