//! The committed frames: hexadecimal digits, `#` for a comment, and `* N HEX` for repeated bytes.

use std::fs;
use std::path::Path;

/// A frame and its file name.
pub struct Frame {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// The frames in `directory`, `refused` or `taken`, sorted by name.
pub fn frames(directory: &str) -> Vec<Frame> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/frames").join(directory);
    let mut frames: Vec<Frame> = fs::read_dir(root)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            Frame { name, bytes: read(&fs::read_to_string(&path).unwrap()) }
        })
        .collect();
    assert!(frames.len() > 20, "only {} frames in {directory}", frames.len());
    frames.sort_by(|a, b| a.name.cmp(&b.name));
    frames
}

fn read(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("* ").and_then(|line| line.split_once(' ')) {
            Some((count, piece)) => bytes.extend(bytes_of(piece).repeat(count.parse().unwrap())),
            None => bytes.extend(bytes_of(line)),
        }
    }
    bytes
}

fn bytes_of(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    hex::decode(digits).unwrap_or_else(|e| panic!("{text}: {e}"))
}
