//! Reads the text of `desired-state.yaml` into a [`DesiredState`].
//!
//! The steps are: `tree` parses the text into a tree with the position of each value. `decode` turns
//! the tree into the document (`document`), whose types also define the [`schema`]. [`validate`]
//! turns the document into the desired state. A mistake does not end a step: the step removes the
//! value with the mistake and checks the rest, so that one run reports all mistakes of a file.

mod decode;
mod desired;
mod document;
mod explain;
mod merge;
mod problem;
mod problem_text;
mod report;
mod scalar;
mod source;
mod suggest;
mod tree;
mod validate;

use super::mask::desired_state as mask;

pub use desired::*;
pub use document::schema;
pub use explain::{Field, fields};
pub use problem::{Position, Problem, Severity};
pub use problem_text::{is_treacherous, printable};
pub use source::SourceFile;
pub(crate) use suggest::closest;
pub use validate::{
    MAX_FILE_BYTES, Validated, can_be_shown, printed_room_option, room_option, room_options,
    validate, vcard_fields,
};
