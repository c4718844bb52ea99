//! Erlang's external term format: a decoder of responses and an encoder of calls.
//!
//! The source of the tags is "External Term Format" in the documentation of erts, and
//! `erts/emulator/beam/external.h`. `term_to_binary/1` of OTP 25 and later writes the newer tags;
//! the decoder also accepts each older tag.

mod decode;
mod encode;

pub use decode::{MAX_DEPTH, MEMORY_PER_BYTE, TermError, decode};
pub(super) use encode::{TooLong, Writer};

/// The version of the format, the first byte of each term.
const VERSION: u8 = 131;

const NIL: u8 = b'j';
const LIST: u8 = b'l';
const SMALL_TUPLE: u8 = b'h';
const SMALL_INTEGER: u8 = b'a';
const INTEGER: u8 = b'b';
const SMALL_BIG: u8 = b'n';
const BINARY: u8 = b'm';
const SMALL_ATOM_UTF8: u8 = b'w';
const ATOM_UTF8: u8 = b'v';
const MAP: u8 = b't';
