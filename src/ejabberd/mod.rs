//! The code that is specific to ejabberd: typed commands with version differences and known
//! defects, the control channel, and the Erlang programs that run next to the server.

mod call;
pub(crate) mod client;
mod control;
pub mod erlang;
mod error;
mod fallback;
mod start_context;

pub use call::{Arg, Call, Shape, Value};
pub use client::{
    ArchivedMessage, Created, EjabberdClient, Endpoint, Listener, MessagePage, NewRoom, NodePhase,
    Outgoing, PageRequest, PageStart, Refusal, SendOutcome, WholeGroup, WholeRoom,
};
pub use control::Control;
pub(crate) use error::shown;
pub use error::{Class, ControlError};
pub use fallback::FallbackControl;
pub use start_context::StartContext;
