//! From the text of `desired-state.yaml` to a [`DesiredState`].
//!
//! The text is read into a tree (`tree`) that knows where each value stood. The
//! tree is decoded (`decode`) into the document (`document`), whose types also
//! give the [`schema`]. [`validate`] turns the document into the desired state.
//! A mistake never ends the work at once: whatever was wrong is left out, and
//! the rest is looked at too, so that all mistakes of a file are reported
//! together.

mod decode;
mod desired;
mod document;
mod fields;
mod mask;
mod merge;
mod problem;
mod render;
mod report;
mod scalar;
mod source;
mod suggest;
mod tree;
mod validate;

pub use desired::*;
pub use document::schema;
pub use fields::{Field, fields};
pub use problem::{Position, Problem, Severity};
pub use render::{is_treacherous, printable};
pub use source::SourceFile;
pub(crate) use suggest::closest;
pub use validate::{
    MAX_FILE_BYTES, Validated, can_be_shown, printed_room_option, room_option, room_options,
    validate, vcard_fields,
};
