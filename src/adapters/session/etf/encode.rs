//! The encoder of calls, which writes Erlang terms.

use super::{
    ATOM_UTF8, BINARY, INTEGER, LIST, MAP, NIL, SMALL_BIG, SMALL_INTEGER, SMALL_TUPLE, VERSION,
};

/// Writes one term.
#[derive(Debug, Default)]
pub(in crate::adapters::session) struct Writer {
    bytes: Vec<u8>,
}

/// The error for an atom of more than 255 characters, or for a binary or list whose length needs
/// more than 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::adapters::session) struct TooLong;

impl Writer {
    /// A writer that has written `before` and the version of the format.
    pub(in crate::adapters::session) fn after(before: &[u8]) -> Self {
        let mut bytes = before.to_vec();
        bytes.push(VERSION);
        Self { bytes }
    }

    pub(in crate::adapters::session) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn length(&mut self, tag: u8, length: usize) -> Result<(), TooLong> {
        self.bytes.push(tag);
        self.bytes.extend(u32::try_from(length).map_err(|_| TooLong)?.to_be_bytes());
        Ok(())
    }

    /// Appends an encoded term.
    pub(in crate::adapters::session) fn raw(&mut self, term: &[u8]) {
        self.bytes.extend_from_slice(term);
    }

    pub(in crate::adapters::session) fn atom(&mut self, name: &str) -> Result<(), TooLong> {
        // The limit of the Erlang VM: a node that reads a longer atom crashes.
        if name.chars().count() > 255 {
            return Err(TooLong);
        }
        self.bytes.push(ATOM_UTF8);
        self.bytes.extend(u16::try_from(name.len()).map_err(|_| TooLong)?.to_be_bytes());
        self.raw(name.as_bytes());
        Ok(())
    }

    pub(in crate::adapters::session) fn binary(&mut self, text: &str) -> Result<(), TooLong> {
        self.length(BINARY, text.len())?;
        self.raw(text.as_bytes());
        Ok(())
    }

    pub(in crate::adapters::session) fn integer(&mut self, number: i64) {
        if let Ok(small) = u8::try_from(number) {
            self.bytes.extend([SMALL_INTEGER, small]);
        } else if let Ok(middle) = i32::try_from(number) {
            self.bytes.push(INTEGER);
            self.bytes.extend(middle.to_be_bytes());
        } else {
            // Without leading zeros, as the Erlang VM writes integers.
            let digits = number.unsigned_abs().to_le_bytes();
            let length = digits.iter().rposition(|digit| *digit != 0).map_or(0, |at| at + 1);
            let length_byte = u8::try_from(length).unwrap_or(8);
            self.bytes.extend([SMALL_BIG, length_byte, u8::from(number < 0)]);
            self.bytes.extend(digits.iter().take(length));
        }
    }

    /// Starts a tuple. The caller writes its `count` elements.
    pub(in crate::adapters::session) fn tuple(&mut self, count: u8) {
        self.bytes.extend([SMALL_TUPLE, count]);
    }

    /// Starts a map of one pair. The caller writes the key and the value.
    pub(in crate::adapters::session) fn map_of_one(&mut self) {
        self.bytes.extend([MAP, 0, 0, 0, 1]);
    }

    /// Writes a list of `count` elements. `elements` writes the elements.
    pub(in crate::adapters::session) fn list(
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
