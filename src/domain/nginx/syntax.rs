//! The directives of a configuration of nginx, with the included files.

use std::iter::Peekable;
use std::str::Chars;

/// The maximum depth of blocks and of included files.
const MAX_DEPTH: usize = 16;

/// The maximum number of directives.
const MAX_DIRECTIVES: usize = 20_000;

/// A file of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path.
    pub path: String,
    /// The content.
    pub text: String,
}

/// A directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The place, as `file:line`.
    pub place: String,
    /// The name and the parameters, without quotes. At least one word.
    pub words: Vec<String>,
    /// The directives of the block; empty for a directive without a block.
    pub block: Vec<Directive>,
}

impl Directive {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The parameters.
    #[must_use]
    pub fn parameters(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// Parses `main`, and replaces each `include` by the directives of the files that `read` returns for
/// its pattern. Fails if nginx refuses the syntax, if `read` fails, or if a limit is exceeded.
pub fn parse(
    main: &SourceFile,
    read: &mut dyn FnMut(&str) -> Result<Vec<SourceFile>, String>,
) -> Result<Vec<Directive>, String> {
    let mut parser = Parser { read, directives: 0 };
    parser.file(main, 0)
}

struct Parser<'r> {
    read: &'r mut dyn FnMut(&str) -> Result<Vec<SourceFile>, String>,
    directives: usize,
}

/// A part of the syntax.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// The rest of a file.
struct Input<'t> {
    path: &'t str,
    line: usize,
    chars: Peekable<Chars<'t>>,
}

impl Parser<'_> {
    fn file(&mut self, file: &SourceFile, depth: usize) -> Result<Vec<Directive>, String> {
        let mut input = Input { path: &file.path, line: 1, chars: file.text.chars().peekable() };
        let directives = self.block(&mut input, depth)?;
        match input.token()? {
            None => Ok(directives),
            Some(_) => Err(input.error("an unexpected `}`")),
        }
    }

    /// Parses directives up to the end of the file, or up to the `}` of the block, which stays.
    fn block(&mut self, input: &mut Input<'_>, depth: usize) -> Result<Vec<Directive>, String> {
        if depth > MAX_DEPTH {
            return Err(input.error(&format!("more than {MAX_DEPTH} nested blocks and files")));
        }
        let mut found = Vec::new();
        loop {
            input.skip_blanks();
            if matches!(input.chars.peek(), None | Some('}')) {
                return Ok(found);
            }
            self.directives += 1;
            if self.directives > MAX_DIRECTIVES {
                return Err(input.error(&format!("more than {MAX_DIRECTIVES} directives")));
            }
            let place = format!("{}:{}", input.path, input.line);
            let (words, end) = input.words()?;
            let block = match end {
                // Lua has another syntax (`ngx_http_lua_module`).
                Token::Open if words.iter().any(|word| word.ends_with("_by_lua_block")) => {
                    return Err(input.error("a block of Lua cannot be read"));
                }
                Token::Open => {
                    let block = self.block(input, depth + 1)?;
                    if input.token()? != Some(Token::Close) {
                        return Err(input.error("a `}` is missing"));
                    }
                    block
                }
                _ => Vec::new(),
            };
            let directive = Directive { place, words, block };
            match (directive.name(), directive.parameters()) {
                ("include", [pattern]) => {
                    for file in (self.read)(pattern)? {
                        found.append(&mut self.file(&file, depth + 1)?);
                    }
                }
                _ => found.push(directive),
            }
        }
    }
}

impl Input<'_> {
    fn error(&self, what: &str) -> String {
        format!("{}:{}: {what}", self.path, self.line)
    }

    fn next(&mut self) -> Option<char> {
        let next = self.chars.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    /// Skips blanks and comments.
    fn skip_blanks(&mut self) {
        while let Some(next) = self.chars.peek() {
            match next {
                ' ' | '\t' | '\r' | '\n' => drop(self.next()),
                '#' => while self.next().is_some_and(|c| c != '\n') {},
                _ => return,
            }
        }
    }

    /// The words of a directive, and the token after the words: `;` or `{`.
    fn words(&mut self) -> Result<(Vec<String>, Token), String> {
        let mut words = Vec::new();
        loop {
            match self.token()? {
                Some(Token::Word(word)) => words.push(word),
                Some(end @ (Token::End | Token::Open)) if !words.is_empty() => {
                    return Ok((words, end));
                }
                None => return Err(self.error("a `;` or `}` is missing")),
                Some(_) => return Err(self.error("an unexpected `;`, `{` or `}`")),
            }
        }
    }

    /// The next token; `None` at the end of the file.
    fn token(&mut self) -> Result<Option<Token>, String> {
        self.skip_blanks();
        let Some(first) = self.chars.peek().copied() else { return Ok(None) };
        let simple = match first {
            ';' => Some(Token::End),
            '{' => Some(Token::Open),
            '}' => Some(Token::Close),
            _ => None,
        };
        if simple.is_some() {
            self.next();
            return Ok(simple);
        }
        let word = match first {
            '"' | '\'' => self.quoted(first)?,
            _ => self.unquoted(),
        };
        Ok(Some(Token::Word(word)))
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let begin = self.line;
        self.next();
        let mut word = String::new();
        while let Some(next) = self.next() {
            match next {
                '\\' => self.escape(&mut word),
                _ if next == quote => return Ok(word),
                _ => word.push(next),
            }
        }
        Err(format!("{}:{begin}: the quoted text has no end", self.path))
    }

    /// A word without quotes. A `{` after a `$` belongs to the word, as in `${host}`.
    fn unquoted(&mut self) -> String {
        let mut word = String::new();
        while let Some(next) = self.chars.peek().copied() {
            match next {
                ' ' | '\t' | '\r' | '\n' | ';' => break,
                '{' if !word.ends_with('$') => break,
                '\\' => {
                    self.next();
                    self.escape(&mut word);
                }
                _ => {
                    self.next();
                    word.push(next);
                }
            }
        }
        word
    }

    /// The character after a backslash. nginx removes the backslash only before a quote or another
    /// backslash, and reads `\t`, `\r` and `\n`.
    fn escape(&mut self, word: &mut String) {
        match self.next() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(other) => word.extend(['\\', other]),
            None => word.push('\\'),
        }
    }
}
