//! Parses a file into a tree of values with their positions.

use std::collections::HashMap;

use serde_yaml::granit_parser::{Event, Options, Parser, ScalarStyle, Span as RawSpan, Tag};

use super::report::Report;
use super::{mask, scalar};

/// The maximum number of nested levels. The format needs fewer levels.
const MAX_DEPTH: usize = 32;
/// The maximum number of values, including the values that aliases repeat. Without this limit the
/// aliases of a small file could use all memory.
const MAX_NODES: usize = 3_000_000;

/// A position: a range of bytes of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) file: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// One value of a file, with its position.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The identity of the node. Copies that an alias creates have the same identity.
    pub(crate) id: usize,
    pub(crate) span: Span,
    /// Whether messages must mask the value.
    pub(crate) secret: bool,
    pub(crate) value: Value,
}

/// The content of a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

impl PartialEq for Node {
    /// Compares the contents and ignores the positions.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// The value of `key`; `None` if the key is missing or has no value.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value).filter(|node| node.value != Value::Null)
    }

    /// The entry of `key`; `None` if the key is missing.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value at the end of a path of keys; `None` if a key of the path is missing or has no
    /// value.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The entries of a mapping; empty for other values.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; empty for other values.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The string; `None` for other values.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn size(&self) -> usize {
        1 + self.items().iter().map(Node::size).sum::<usize>()
            + self.entries().iter().map(|entry| entry.value.size()).sum::<usize>()
    }
}

/// A collection that the parser has not finished.
struct Open {
    anchor: usize,
    span: Span,
    node: Collection,
}

enum Collection {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Span)> },
}

/// Builds the tree of one file.
struct Builder<'r, 'a> {
    file: usize,
    report: &'r mut Report<'a>,
    nodes: &'r mut usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
}

/// Stops the parsing of a file. The report contains the reason.
struct Stop;

/// Parses the text of the file with number `file`. `nodes` counts the nodes of all files. `None` if
/// the text is not valid YAML or exceeds a limit; the report then has an error.
pub(crate) fn parse(
    file: usize,
    text: &str,
    nodes: &mut usize,
    report: &mut Report<'_>,
) -> Option<Node> {
    let mut options = Options::default();
    options.emit_comments = false;
    options.flow_nesting_limit = 2 * MAX_DEPTH;
    options.block_nesting_limit = 2 * MAX_DEPTH;
    let mut builder =
        Builder { file, report, nodes, open: Vec::new(), anchors: HashMap::new(), root: None };
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((Event::DocumentStart(..), span)) => {
                documents += 1;
                if documents > 1 { builder.second_document(span) } else { Ok(()) }
            }
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len());
                builder.report.syntax_error(Span { file, start: at, end: at }, &error.info());
                Err(Stop)
            }
        };
        if step.is_err() {
            builder.report.mark_broken(file);
            return None;
        }
    }
    let empty = Span { file, start: 0, end: 0 };
    Some(builder.root.unwrap_or(Node { id: 0, span: empty, secret: false, value: Value::Null }))
}

impl Builder<'_, '_> {
    fn second_document(&mut self, span: RawSpan) -> Result<(), Stop> {
        let span = self.span(span);
        self.report.error(span, "a second YAML document begins here; a file can contain one document").help =
            Some(
                "move the document to a separate file and name the directory: all its `*.yaml` files are merged"
                    .into(),
            );
        Err(Stop)
    }

    fn span(&self, raw: RawSpan) -> Span {
        let range = raw.byte_range().unwrap_or(0..0);
        Span { file: self.file, start: range.start, end: range.end }
    }

    fn take(&mut self, event: Event<'_>, raw: RawSpan) -> Result<(), Stop> {
        let span = self.span(raw);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = match (style, tag.as_deref()) {
                    (ScalarStyle::Plain, None) => scalar::resolve(&text),
                    (_, None) => Value::Text(text.into_owned()),
                    (_, Some(tag)) => self.tagged(&text, tag, span),
                };
                self.finish(anchor, span, value)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.begin(anchor, span, Collection::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, _) => {
                self.begin(anchor, span, Collection::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    self.report
                        .error(span, "an alias cannot be inside the value that the alias repeats");
                    return Err(Stop);
                };
                self.count(node.size(), span)?;
                self.attach(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn tagged(&mut self, text: &str, tag: &Tag, span: Span) -> Value {
        match tag.core_suffix() {
            Some("str") => return Value::Text(text.to_owned()),
            Some("int" | "float" | "bool" | "null") => return scalar::resolve(text),
            _ if tag.original() == "!" => return Value::Text(text.to_owned()),
            _ => {}
        }
        self.report
            .error(span, format!("the tag {} has no meaning here", mask::quoted(&tag.original())));
        Value::Text(text.to_owned())
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), Stop> {
        *self.nodes += more;
        if *self.nodes <= MAX_NODES {
            return Ok(());
        }
        self.report.error(
            span,
            format!("more than {MAX_NODES} values; aliases count as often as they are used"),
        );
        Err(Stop)
    }

    fn begin(&mut self, anchor: usize, span: Span, node: Collection) -> Result<(), Stop> {
        if self.open.len() >= MAX_DEPTH {
            self.report.error(span, format!("nested more than {MAX_DEPTH} levels deep"));
            return Err(Stop);
        }
        self.open.push(Open { anchor, span, node });
        Ok(())
    }

    fn end(&mut self, end: Span) -> Result<(), Stop> {
        let Some(Open { anchor, mut span, node }) = self.open.pop() else { return Ok(()) };
        let value = match node {
            Collection::List(items) => {
                span.end = end.end.max(span.start);
                Value::List(items)
            }
            Collection::Map { entries, .. } => {
                // A block has no bracket, so the position of a block is its first key.
                span = match entries.first() {
                    Some(first) if first.key_span.start <= span.start => first.key_span,
                    _ => Span { end: end.end.max(span.start), ..span },
                };
                Value::Map(self.unique(entries))
            }
        };
        self.finish(anchor, span, value)
    }

    fn finish(&mut self, anchor: usize, span: Span, value: Value) -> Result<(), Stop> {
        self.count(1, span)?;
        let node = Node { id: *self.nodes, span, secret: false, value };
        if anchor != 0 {
            // A value with an anchor is stored twice: in the tree and in `anchors`.
            self.count(node.size(), span)?;
        }
        self.attach(node, anchor)
    }

    fn attach(&mut self, mut node: Node, anchor: usize) -> Result<(), Stop> {
        let within = self.open.last_mut().map(|open| &mut open.node);
        if let Some(Collection::Map { key: Some((key, _)), .. }) = &within
            && (mask::is_secret_key(key)
                || mask::is_source_key(key)
                    && !matches!(node.value, Value::Map(_) | Value::List(_)))
        {
            hide(&mut node, self.report);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match within {
            None => self.root = Some(node),
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map { entries, key }) => {
                if let Some((key, key_span)) = key.take() {
                    entries.push(Entry { key, key_span, value: node });
                } else if let Some(text) = key_text(&node, self.report) {
                    *key = Some((text, node.span));
                } else {
                    self.report.error(node.span, "a key must be a text");
                    return Err(Stop);
                }
            }
        }
        Ok(())
    }

    /// Reports and removes repeated keys, and adds the entries of the mappings in `<<`.
    fn unique(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut seen: HashMap<String, Span> = HashMap::with_capacity(entries.len());
        let mut kept = Vec::with_capacity(entries.len());
        let mut merged = Vec::new();
        for entry in entries {
            if let Some(first) = seen.get(&entry.key) {
                let first = self.report.line_of(*first);
                self.report.error(
                    entry.key_span,
                    format!(
                        "{} is given twice; the first is in line {first}",
                        mask::quoted(&entry.key)
                    ),
                );
                continue;
            }
            seen.insert(entry.key.clone(), entry.key_span);
            match entry.value.value {
                Value::Map(entries) if entry.key == "<<" => merged.extend(entries),
                Value::List(maps) if entry.key == "<<" => {
                    merged.extend(maps.iter().flat_map(Node::entries).cloned());
                }
                _ => kept.push(entry),
            }
        }
        for entry in merged {
            if !seen.contains_key(&entry.key) {
                seen.insert(entry.key.clone(), entry.key_span);
                kept.push(entry);
            }
        }
        kept
    }
}

/// Returns the text of a key; `None` if the node cannot be a key. For a number, `true` and `false`,
/// the key is the text in the file.
fn key_text(node: &Node, report: &Report<'_>) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            Some(report.slice(node.span).to_owned())
        }
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

/// Marks a value as secret, with all inner values.
fn hide(node: &mut Node, report: &mut Report<'_>) {
    node.secret = true;
    report.add_secret(node.span);
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| hide(item, report)),
        Value::Map(entries) => {
            for entry in entries {
                report.add_secret(entry.key_span);
                hide(&mut entry.value, report);
            }
        }
        _ => {}
    }
}
