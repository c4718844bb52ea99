//! The decoder of responses. An attacker may control the program that sends the responses, because
//! the program runs beside the server.
//!
//! So the decoder checks each limit before it allocates memory: a list, tuple or map may claim only
//! as many elements as bytes remain, and terms nest at most [`MAX_DEPTH`] deep (dropping a value
//! also recurses). The decoder refuses compressed terms, and skips terms that have no meaning for a
//! caller (processes, functions, references).

use super::{
    ATOM_UTF8, BINARY, INTEGER, LIST, MAP, NIL, SMALL_ATOM_UTF8, SMALL_BIG, SMALL_INTEGER,
    SMALL_TUPLE, VERSION,
};
use crate::ejabberd::Value;

/// The maximum depth of a term. Responses of commands have a depth of about 10.
pub const MAX_DEPTH: usize = 64;

/// The maximum memory of one decoded term, in bytes.
const MAX_MEMORY: usize = 256 << 20;

/// The maximum memory that a decoded term takes for each byte of its frame, in bytes. The worst
/// case is a map of empty lists: a pair and two values in two bytes.
pub const MEMORY_PER_BYTE: usize = 2 * size_of::<Value>();

/// The reason why bytes are not a term that a session accepts. Completes "failed to …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    /// The term ends early, or claims more elements than bytes remain.
    #[error("read a term: it claims more than it holds")]
    Truncated,
    /// Bytes follow the end of the term.
    #[error("read a term: bytes follow it")]
    Trailing,
    /// The term does not begin with the version of the format.
    #[error("read a term: version {0} of the format is unknown")]
    Version(u8),
    /// The tag does not occur in responses: the term is compressed, the term belongs to a
    /// distribution channel, or the tag is unknown.
    #[error("read a term: the tag {0} is not among those of responses")]
    Tag(u8),
    /// The term nests deeper than [`MAX_DEPTH`].
    #[error("read a term: it nests deeper than {MAX_DEPTH}")]
    Depth,
    /// The decoded term would take too much memory.
    #[error("read a term: it needs more than {} MiB", MAX_MEMORY >> 20)]
    Memory,
    /// An atom is not valid UTF-8, or a number is malformed.
    #[error("read a term: an atom or a number is malformed")]
    Malformed,
}

/// Decodes `frame`, which contains the version of the format and exactly one term.
///
/// The decoded term takes at most [`MEMORY_PER_BYTE`] bytes for each byte of `frame`.
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
    /// The number of terms that lists, tuples and maps have claimed and that are not read yet. Each
    /// term needs at least one byte, so a valid number is never larger than the length of `rest`.
    owed: usize,
    /// The memory that the term may still take, in bytes.
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

    /// Checks that `count` terms can follow, before the caller allocates memory for the terms.
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

    /// Reads a list. A list of characters becomes [`Value::Text`], and an improper list becomes
    /// [`Value::Other`].
    fn list(&mut self, depth: usize) -> Result<Value, TermError> {
        let count = self.u32()?;
        // The tail is also a term, so claim one more term.
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

    /// Reads a map, as the list of its pairs.
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

    /// Reads an integer of any size. A number of more than 64 bits becomes the nearest 64-bit
    /// number, so that the decoder never computes with a megabyte of digits.
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

    /// Skips an atom that is a part of another term, such as the node of a process.
    fn atom(&mut self) -> Result<(), TermError> {
        let tag = self.byte()?;
        self.atom_of(tag).map(drop)
    }

    /// Skips the rest of a term that has no meaning for a caller.
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

/// Fails for infinities and NaN: Erlang has only finite floating-point numbers.
fn float(number: f64) -> Result<Value, TermError> {
    if number.is_finite() { Ok(Value::Float(number)) } else { Err(TermError::Malformed) }
}
