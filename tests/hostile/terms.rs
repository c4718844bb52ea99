//! The decoder of Erlang's external term format, without a session.

use ejabberd_operator::adapters::session::etf;
use ejabberd_operator::adapters::session::etf::MEMORY_PER_BYTE;
use ejabberd_operator::ejabberd::Value;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::corpus::frames;
use crate::peak_mebibytes;

/// Returns the memory of a value, in bytes.
fn memory(value: &Value) -> usize {
    let inside = match value {
        Value::Atom(text) | Value::Text(text) => text.capacity(),
        Value::Bytes(bytes) => bytes.capacity(),
        Value::List(parts) | Value::Tuple(parts) => {
            let unused = (parts.capacity() - parts.len()) * size_of::<Value>();
            parts.iter().map(memory).sum::<usize>() + unused
        }
        Value::Int(_) | Value::Float(_) | Value::Other => 0,
    };
    inside + size_of::<Value>()
}

fn is_bounded(frame: &[u8]) -> bool {
    let Ok(value) = etf::decode(frame) else { return true };
    memory(&value) <= MEMORY_PER_BYTE * frame.len()
}

#[test]
fn every_refused_frame_is_refused() {
    for frame in frames("refused") {
        let decoded = etf::decode(&frame.bytes);
        let error = decoded.err().unwrap_or_else(|| panic!("{} was taken", frame.name));
        assert!(error.to_string().len() < 200, "{}", frame.name);
    }
    assert!(peak_mebibytes() < 150, "{} MiB", peak_mebibytes());
}

#[test]
fn every_taken_frame_is_taken_in_bounded_memory() {
    for frame in frames("taken") {
        if let Err(error) = etf::decode(&frame.bytes) {
            panic!("{}: failed to {error}", frame.name);
        }
        assert!(is_bounded(&frame.bytes), "{}", frame.name);
    }
}

#[test]
fn every_tag_with_any_few_bytes_is_read_or_refused() {
    for tag in 0..=u8::MAX {
        for filler in [0, 1, 4, 97, 106, 127, 128, 255] {
            for length in 0..40 {
                let mut frame = vec![131, tag];
                frame.resize(2 + length, filler);
                assert!(is_bounded(&frame), "{frame:?}");
                // The same bytes as the element of a list.
                frame.splice(1..1, [b'l', 0, 0, 0, 1]);
                frame.push(b'j');
                assert!(is_bounded(&frame), "{frame:?}");
            }
        }
    }
}

/// A term that a node may write.
fn term() -> impl Strategy<Value = Vec<u8>> {
    let with = |head: &'static [u8]| move |rest: Vec<u8>| [head, rest.as_slice()].concat();
    let short = |tag: u8| {
        vec(any::<u8>(), 0..20)
            .prop_map(move |bytes| [vec![tag, u8::try_from(bytes.len()).unwrap()], bytes].concat())
    };
    let leaf = prop_oneof![
        any::<u8>().prop_map(|n| vec![b'a', n]),
        any::<[u8; 4]>().prop_map(|n| [&b"b"[..], &n].concat()),
        any::<[u8; 8]>().prop_map(|n| [&b"F"[..], &n].concat()),
        vec(any::<u8>(), 5).prop_map(with(b"n\x04")),
        short(b'w'),
        short(b's'),
        vec(any::<u8>(), 12).prop_map(with(b"Xw\x01n")),
        vec(any::<u8>(), 16).prop_map(with(b"Z\0\x03w\x01n")),
        vec(any::<u8>(), 0..20).prop_map(|bytes| {
            [&b"m\0\0\0"[..], &[u8::try_from(bytes.len()).unwrap()], &bytes].concat()
        }),
        Just(vec![b'j']),
    ];
    leaf.prop_recursive(6, 200, 12, |inner| {
        let count = |parts: &Vec<Vec<u8>>| u8::try_from(parts.len()).unwrap();
        prop_oneof![
            vec(inner.clone(), 0..12)
                .prop_map(move |p| [vec![b'h', count(&p)], p.concat()].concat()),
            vec(inner.clone(), 1..12).prop_map(move |p| {
                [vec![b'l', 0, 0, 0, count(&p)], p.concat(), vec![b'j']].concat()
            }),
            vec(inner, 2..3).prop_map(move |p| [vec![b't', 0, 0, 0, 1], p.concat()].concat()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(is_bounded(&bytes));
        prop_assert!(is_bounded(&[&[131], bytes.as_slice()].concat()));
    }

    #[test]
    fn a_changed_term_is_read_or_refused(
        term in term(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = [&[131], term.as_slice()].concat();
        prop_assert!(is_bounded(&frame));
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
            prop_assert!(is_bounded(&frame));
        }
        frame.truncate(cut.index(frame.len()));
        prop_assert!(is_bounded(&frame));
    }
}
