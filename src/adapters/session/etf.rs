//! Erlang's external term format: a decoder for a far end that may lie, and the
//! encoder of the calls.
//!
//! The node at the other end may belong to an attacker, so the decoder bounds
//! everything before it allocates: a container may claim only as many elements
//! as bytes are left, terms nest only [`MAX_DEPTH`] deep (dropping a value
//! recurses as well), and compressed terms are refused. What has no meaning to
//! a caller (processes, functions, references) is read over.
//!
//! The tags are those of "External Term Format" in the documentation of erts,
//! and of `erts/emulator/beam/external.h`. `term_to_binary/1` of OTP 25 and
//! later writes the newer ones; the older ones cost a line each.

use crate::ejabberd::Value;

/// Terms that nest deeper are refused. Answers of commands nest to about 10.
pub const MAX_DEPTH: usize = 64;

/// The most memory that one decoded term may take, in bytes.
const MAX_MEMORY: usize = 256 << 20;

/// The most memory that a decoded term takes for each byte of its frame: the
/// worst is a map of empty lists, a pair and two values in two bytes.
pub const MEMORY_PER_BYTE: usize = 2 * size_of::<Value>();

/// The version that leads each term.
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

/// Why bytes are not a term that a session can take. Completes "failed to …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    /// It ends early, or claims more elements than it has bytes.
    #[error("read a term: it claims more than it holds")]
    Truncated,
    /// Bytes follow its end.
    #[error("read a term: bytes follow it")]
    Trailing,
    /// It does not begin with the version of the format.
    #[error("read a term: version {0} of the format is unknown")]
    Version(u8),
    /// A tag that answers do not have: compressed, of a distribution channel, or unknown.
    #[error("read a term: the tag {0} is not among those of answers")]
    Tag(u8),
    /// It nests deeper than [`MAX_DEPTH`].
    #[error("read a term: it nests deeper than {MAX_DEPTH}")]
    Depth,
    /// It would take too much memory.
    #[error("read a term: it needs more than {} MiB", MAX_MEMORY >> 20)]
    Memory,
    /// An atom that is no text, or a number that is none.
    #[error("read a term: an atom or a number is malformed")]
    Malformed,
}

/// Decodes the one term that `frame` holds, with its version.
///
/// Takes at most [`MEMORY_PER_BYTE`] bytes for each byte of `frame`.
pub fn decode(frame: &[u8]) -> Result<Value, TermError> {
    let mut reader = Reader { rest: frame, owed: 0, memory: MAX_MEMORY };
    match reader.byte()? {
        VERSION => {}
        other => return Err(TermError::Version(other)),
    }
    reader.claim(1)?;
    let value = reader.term(MAX_DEPTH)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(TermError::Trailing) }
}

struct Reader<'f> {
    rest: &'f [u8],
    /// Terms that containers have claimed and that were not read yet. Each
    /// needs a byte, so no claim can be larger than what is left.
    owed: usize,
    /// Bytes of memory that may still be taken.
    memory: usize,
}

impl<'f> Reader<'f> {
    fn take(&mut self, length: usize) -> Result<&'f [u8], TermError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TermError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TermError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(TermError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, TermError> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<usize, TermError> {
        self.array().map(|bytes| u16::from_be_bytes(bytes).into())
    }

    fn u32(&mut self) -> Result<usize, TermError> {
        let length = u32::from_be_bytes(self.array()?);
        usize::try_from(length).map_err(|_| TermError::Truncated)
    }

    /// Promises `count` terms, before room is made for them.
    fn claim(&mut self, count: usize) -> Result<(), TermError> {
        self.owed = self.owed.saturating_add(count);
        if self.owed > self.rest.len() {
            return Err(TermError::Truncated);
        }
        self.charge(count.saturating_mul(size_of::<Value>()))
    }

    fn charge(&mut self, bytes: usize) -> Result<(), TermError> {
        self.memory = self.memory.checked_sub(bytes).ok_or(TermError::Memory)?;
        Ok(())
    }

    fn term(&mut self, depth: usize) -> Result<Value, TermError> {
        let inside = depth.checked_sub(1).ok_or(TermError::Depth)?;
        self.owed = self.owed.saturating_sub(1);
        let tag = self.byte()?;
        Ok(match tag {
            SMALL_INTEGER => Value::Int(self.byte()?.into()),
            INTEGER => Value::Int(i32::from_be_bytes(self.array()?).into()),
            SMALL_BIG => {
                let length = self.byte()?;
                self.big(length.into())?
            }
            // LARGE_BIG_EXT
            b'o' => {
                let length = self.u32()?;
                self.big(length)?
            }
            // NEW_FLOAT_EXT
            b'F' => float(f64::from_be_bytes(self.array()?))?,
            // FLOAT_EXT: "%.20e" in 31 bytes, filled with zeros.
            b'c' => {
                let text = std::str::from_utf8(self.take(31)?).map_err(|_| TermError::Malformed)?;
                let text = text.trim_end_matches('\0').trim();
                float(text.parse().map_err(|_| TermError::Malformed)?)?
            }
            b'd' | b's' | SMALL_ATOM_UTF8 | ATOM_UTF8 => Value::Atom(self.atom_of(tag)?),
            BINARY => {
                let length = self.u32()?;
                let bytes = self.take(length)?;
                self.charge(length)?;
                let owned = bytes.to_vec();
                String::from_utf8(owned).map_or_else(|e| Value::Bytes(e.into_bytes()), Value::Text)
            }
            NIL => Value::List(Vec::new()),
            // STRING_EXT: characters below 256, each a byte.
            b'k' => {
                let length = self.u16()?;
                Value::Text(self.latin1(length)?)
            }
            LIST => self.list(inside)?,
            SMALL_TUPLE => {
                let count = self.byte()?;
                Value::Tuple(self.terms(count.into(), inside)?)
            }
            // LARGE_TUPLE_EXT
            b'i' => {
                let count = self.u32()?;
                Value::Tuple(self.terms(count, inside)?)
            }
            MAP => self.map(inside)?,
            _ => {
                self.skip(tag, inside)?;
                Value::Other
            }
        })
    }

    fn terms(&mut self, count: usize, depth: usize) -> Result<Vec<Value>, TermError> {
        self.claim(count)?;
        let mut terms = Vec::with_capacity(count);
        for _ in 0..count {
            terms.push(self.term(depth)?);
        }
        Ok(terms)
    }

    /// A list. One of characters alone is a text; an improper one has no meaning.
    fn list(&mut self, depth: usize) -> Result<Value, TermError> {
        let count = self.u32()?;
        // The tail is a term as well.
        self.claim(1)?;
        let elements = self.terms(count, depth)?;
        match self.rest.split_first() {
            Some((&NIL, rest)) => {
                self.rest = rest;
                self.owed = self.owed.saturating_sub(1);
            }
            _ => {
                self.term(depth)?;
                return Ok(Value::Other);
            }
        }
        let characters: Option<String> = elements
            .iter()
            .map(|element| match element {
                Value::Int(code) => u32::try_from(*code).ok().and_then(char::from_u32),
                _ => None,
            })
            .collect();
        Ok(match characters {
            Some(text) if !text.is_empty() => Value::Text(text),
            _ => Value::List(elements),
        })
    }

    /// A map as the list of its pairs.
    fn map(&mut self, depth: usize) -> Result<Value, TermError> {
        let count = self.u32()?;
        self.claim(count.saturating_mul(2))?;
        self.charge(count.saturating_mul(size_of::<Value>()))?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let key = self.term(depth)?;
            pairs.push(Value::Tuple(vec![key, self.term(depth)?]));
        }
        Ok(Value::List(pairs))
    }

    /// A whole number of any size; beyond 64 bits it is cut to the nearest that
    /// fits, so that no arithmetic is done on a megabyte of digits.
    fn big(&mut self, length: usize) -> Result<Value, TermError> {
        let negative = self.byte()? != 0;
        let digits = self.take(length)?;
        let (low, high) = digits.split_at(digits.len().min(8));
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(low).for_each(|(to, from)| *to = *from);
        let magnitude = u64::from_le_bytes(bytes);
        let fits = high.iter().all(|digit| *digit == 0);
        let number = match (fits, negative) {
            (true, false) => i64::try_from(magnitude).unwrap_or(i64::MAX),
            (true, true) => 0_i64.checked_sub_unsigned(magnitude).unwrap_or(i64::MIN),
            (false, false) => i64::MAX,
            (false, true) => i64::MIN,
        };
        Ok(Value::Int(number))
    }

    fn latin1(&mut self, length: usize) -> Result<String, TermError> {
        let bytes = self.take(length)?;
        self.charge(length.saturating_mul(2))?;
        Ok(bytes.iter().map(|&byte| char::from(byte)).collect())
    }

    fn atom_of(&mut self, tag: u8) -> Result<String, TermError> {
        match tag {
            // ATOM_EXT, SMALL_ATOM_EXT
            b'd' => {
                let length = self.u16()?;
                self.latin1(length)
            }
            b's' => {
                let length = self.byte()?;
                self.latin1(length.into())
            }
            ATOM_UTF8 | SMALL_ATOM_UTF8 => {
                let length = if tag == ATOM_UTF8 { self.u16()? } else { self.byte()?.into() };
                let bytes = self.take(length)?;
                self.charge(length)?;
                std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| TermError::Malformed)
            }
            other => Err(TermError::Tag(other)),
        }
    }

    /// An atom that is a part of another term, such as the node of a process.
    fn atom(&mut self) -> Result<(), TermError> {
        let tag = self.byte()?;
        self.atom_of(tag).map(drop)
    }

    /// Reads over the rest of a term that has no meaning to a caller.
    fn skip(&mut self, tag: u8, depth: usize) -> Result<(), TermError> {
        let after_node = match tag {
            // BIT_BINARY_EXT: its length, the bits of its last byte, its bytes.
            b'M' => {
                let length = self.u32()?;
                let bits = self.byte()?;
                if bits > 8 {
                    return Err(TermError::Malformed);
                }
                return self.take(length).map(drop);
            }
            // NEW_FUN_EXT: its size counts the four bytes that hold the size.
            b'p' => {
                let size = self.u32()?.checked_sub(4).ok_or(TermError::Malformed)?;
                return self.take(size).map(drop);
            }
            // EXPORT_EXT: module, function, arity.
            b'q' => {
                self.atom()?;
                self.atom()?;
                self.claim(1)?;
                return self.term(depth).map(drop);
            }
            // PID_EXT, NEW_PID_EXT, PORT_EXT, NEW_PORT_EXT, V4_PORT_EXT, REFERENCE_EXT
            b'g' => 9,
            b'X' | b'x' => 12,
            b'f' | b'e' => 5,
            b'Y' => 8,
            // NEW_REFERENCE_EXT, NEWER_REFERENCE_EXT: words after the node and the creation.
            b'r' => 1 + 4 * self.u16()?,
            b'Z' => 4 + 4 * self.u16()?,
            other => return Err(TermError::Tag(other)),
        };
        self.atom()?;
        self.take(after_node).map(drop)
    }
}

/// Erlang has no floating-point numbers beyond the finite ones.
fn float(number: f64) -> Result<Value, TermError> {
    if number.is_finite() { Ok(Value::Float(number)) } else { Err(TermError::Malformed) }
}

/// A term that is being written, without the version that leads a frame's term.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

/// An atom, binary or list is too long for the format: 255 characters, 4 GB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

impl Writer {
    /// A term, begun with its version and `before` it.
    pub(super) fn after(before: &[u8]) -> Self {
        let mut bytes = before.to_vec();
        bytes.push(VERSION);
        Self { bytes }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn length(&mut self, tag: u8, length: usize) -> Result<(), TooLong> {
        self.bytes.push(tag);
        self.bytes.extend(u32::try_from(length).map_err(|_| TooLong)?.to_be_bytes());
        Ok(())
    }

    /// Appends a term that was written before.
    pub(super) fn raw(&mut self, term: &[u8]) {
        self.bytes.extend_from_slice(term);
    }

    pub(super) fn atom(&mut self, name: &str) -> Result<(), TooLong> {
        // The limit of the Erlang VM, which ends a far end that reads a longer one.
        if name.chars().count() > 255 {
            return Err(TooLong);
        }
        self.bytes.push(ATOM_UTF8);
        self.bytes.extend(u16::try_from(name.len()).map_err(|_| TooLong)?.to_be_bytes());
        self.raw(name.as_bytes());
        Ok(())
    }

    pub(super) fn binary(&mut self, text: &str) -> Result<(), TooLong> {
        self.length(BINARY, text.len())?;
        self.raw(text.as_bytes());
        Ok(())
    }

    pub(super) fn integer(&mut self, number: i64) {
        if let Ok(small) = u8::try_from(number) {
            self.bytes.extend([SMALL_INTEGER, small]);
        } else if let Ok(middle) = i32::try_from(number) {
            self.bytes.push(INTEGER);
            self.bytes.extend(middle.to_be_bytes());
        } else {
            // Without leading zeros, as the Erlang VM writes them itself.
            let digits = number.unsigned_abs().to_le_bytes();
            let length = digits.iter().rposition(|digit| *digit != 0).map_or(0, |at| at + 1);
            let length_byte = u8::try_from(length).unwrap_or(8);
            self.bytes.extend([SMALL_BIG, length_byte, u8::from(number < 0)]);
            self.bytes.extend(digits.iter().take(length));
        }
    }

    /// Begins a tuple of up to 255 elements, which follow.
    pub(super) fn tuple(&mut self, count: u8) {
        self.bytes.extend([SMALL_TUPLE, count]);
    }

    /// Begins a map of one pair, which follows.
    pub(super) fn map_of_one(&mut self) {
        self.bytes.extend([MAP, 0, 0, 0, 1]);
    }

    /// A list of `count` elements, which `elements` writes.
    pub(super) fn list(
        &mut self,
        count: usize,
        elements: impl FnOnce(&mut Self) -> Result<(), TooLong>,
    ) -> Result<(), TooLong> {
        if count > 0 {
            self.length(LIST, count)?;
            elements(self)?;
        }
        self.bytes.push(NIL);
        Ok(())
    }
}
