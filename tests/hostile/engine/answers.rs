//! The committed responses. Each line is sent with CR and LF; `\` at its end omits them, and `\xHH`
//! is a byte. `* N TEXT` repeats a text. The last line may define the end: `silence` (open without
//! more data), `forever TEXT`, or `drip TEXT`, a piece each second. Lines that begin with `#` are
//! comments.

use std::fs;
use std::path::Path;

/// A response and its file name.
#[derive(Clone)]
pub struct Answer {
    pub name: String,
    pub bytes: Vec<u8>,
    pub end: End,
}

/// The behaviour after the bytes.
#[derive(Clone)]
pub enum End {
    Close,
    Silence,
    Forever(Vec<u8>),
    Drip(Vec<u8>),
}

/// The responses, sorted by name.
pub fn answers() -> Vec<Answer> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/engine/answers");
    let mut answers: Vec<Answer> = fs::read_dir(root)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            read(name, &fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert!(answers.len() > 20, "only {} responds", answers.len());
    answers.sort_by(|a, b| a.name.cmp(&b.name));
    answers
}

fn read(name: String, text: &str) -> Answer {
    let (mut bytes, mut end) = (Vec::new(), End::Close);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((count, piece)) = line.strip_prefix("* ").and_then(|l| l.split_once(' ')) {
            bytes.extend(unescape(piece).repeat(count.parse().unwrap()));
        } else if line == "silence" {
            end = End::Silence;
        } else if let Some(piece) = line.strip_prefix("forever ") {
            end = End::Forever(unescape(piece));
        } else if let Some(piece) = line.strip_prefix("drip ") {
            end = End::Drip(unescape(piece));
        } else if let Some(line) = line.strip_suffix('\\') {
            bytes.extend(unescape(line));
        } else {
            bytes.extend(unescape(line));
            bytes.extend(b"\r\n");
        }
    }
    Answer { name, bytes, end }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes: Vec<u8> = parts.next().unwrap_or_default().into();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend(rest.as_bytes());
    }
    bytes
}
