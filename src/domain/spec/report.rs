//! Collects the problems of the files. The position of a problem contains the source line, with the
//! secrets masked. The report computes the positions at the end, when all secrets are known.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};

use super::problem::{Problem, Severity};
use super::source::{SourceFile, Sources};
use super::tree::Span;

/// The maximum number of problems of one severity in a report.
const MAX_SHOWN: usize = 100;

/// A problem before the computation of its position.
pub(crate) struct Draft {
    severity: Severity,
    span: Option<Span>,
    message: String,
    /// How to fix the problem; `None` if no fix is known.
    pub(crate) help: Option<String>,
}

/// A warning that applies to several positions and is reported once.
struct Counted {
    first: Span,
    count: usize,
    help: Option<String>,
}

/// The collected problems.
pub(crate) struct Report<'a> {
    sources: Sources<'a>,
    drafts: Vec<Draft>,
    /// The draft that `add` returns if the report is full. No report shows this draft: a caller can
    /// set the help of every returned draft and need not check the limit.
    surplus: Draft,
    errors: usize,
    warnings: usize,
    counted: BTreeMap<String, Counted>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(files: &'a [SourceFile]) -> Self {
        Self {
            sources: Sources::new(files),
            drafts: Vec::new(),
            surplus: Draft {
                severity: Severity::Error,
                span: None,
                message: String::new(),
                help: None,
            },
            errors: 0,
            warnings: 0,
            counted: BTreeMap::new(),
        }
    }

    /// Adds an error. The caller can set the help of the returned draft.
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Draft {
        self.add(Severity::Error, Some(span), message.into())
    }

    /// Adds an error of the whole desired state.
    pub(crate) fn error_of_all(&mut self, message: impl Into<String>) -> &mut Draft {
        self.add(Severity::Error, None, message.into())
    }

    /// Adds a warning.
    pub(crate) fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Draft {
        self.add(Severity::Warning, Some(span), message.into())
    }

    fn add(&mut self, severity: Severity, span: Option<Span>, message: String) -> &mut Draft {
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count > MAX_SHOWN {
            return &mut self.surplus;
        }
        self.drafts.push(Draft { severity, span, message, help: None });
        self.drafts.last_mut().unwrap_or(&mut self.surplus)
    }

    /// Adds a warning that is reported once, with the number of its positions.
    pub(crate) fn counted_warning(&mut self, span: Span, message: &str, help: Option<&str>) {
        if let Some(counted) = self.counted.get_mut(message) {
            counted.count += 1;
            return;
        }
        let help = help.map(str::to_owned);
        self.counted.insert(message.to_owned(), Counted { first: span, count: 1, help });
    }

    /// Adds an error of the YAML parser.
    pub(crate) fn syntax_error(&mut self, span: Span, message: &str) {
        let (line, _) = self.sources.line(span);
        let indentation = line.split(|c: char| !c.is_whitespace()).next().unwrap_or_default();
        let help = if indentation.contains('\t') {
            Some("YAML is indented with spaces; there is a tab in this line")
        } else if message.starts_with("mapping values") {
            Some("put a value that contains `: ` in quotes")
        } else {
            None
        };
        self.error(span, format!("this is not valid YAML: {message}")).help =
            help.map(str::to_owned);
    }

    /// The number of errors.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether the report has room for another error and another warning. If not, a caller need not
    /// compute the help of a problem, because the report may not show the problem.
    pub(crate) fn has_room(&self) -> bool {
        self.errors < MAX_SHOWN && self.warnings < MAX_SHOWN
    }

    /// Returns all problems, in the order of their positions. Problems of the whole desired state
    /// come first, and the numbers of problems above the limit come last.
    pub(crate) fn finish(self) -> Vec<Problem> {
        let surplus = [
            (Severity::Error, self.errors, "errors"),
            (Severity::Warning, self.warnings, "warnings"),
        ];
        let mut drafts = self.drafts;
        for (mut message, Counted { first, count, help }) in self.counted {
            if count > 1 {
                let _ = write!(message, " (in {count} places; this is the first)");
            }
            drafts.push(Draft { severity: Severity::Warning, span: Some(first), message, help });
        }
        drafts.sort_by_key(|draft| (draft.span.is_some(), draft.span, draft.severity));
        // The content of an alias is checked at each use, so each of its problems occurs several
        // times.
        drafts.dedup_by(|a, b| a.span.is_some() && a.span == b.span && a.message == b.message);
        let sources = self.sources;
        let placed = drafts.into_iter().map(|Draft { severity, span, message, help }| {
            let position = span.map(|span| sources.position(span));
            Problem { severity, message, help, position }
        });
        let mut problems: Vec<Problem> = placed.collect();
        for (severity, count, what) in surplus {
            if count > MAX_SHOWN {
                let message = format!("{} more {what} are not shown", count - MAX_SHOWN);
                problems.push(Problem { severity, message, help: None, position: None });
            }
        }
        problems
    }
}

impl<'a> Deref for Report<'a> {
    type Target = Sources<'a>;

    fn deref(&self) -> &Self::Target {
        &self.sources
    }
}

impl DerefMut for Report<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.sources
    }
}
