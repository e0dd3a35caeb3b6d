//! Rust source as tokens: as much of the language as the repo rules need, without a parser.

/// One token; comments and white space are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// An identifier, a keyword or a number.
    Word(String),
    /// A string literal's content, escapes left as they are; `'x'` too.
    Text(String),
    /// Any other character.
    Sign(char),
}

/// A token and the line, from 1, on which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The token.
    pub token: Token,
    /// Its line.
    pub line: usize,
}

impl Placed {
    /// Whether it is this word.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Word(own) if own == word)
    }

    /// Whether it is this sign.
    pub fn is_sign(&self, sign: char) -> bool {
        self.token == Token::Sign(sign)
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Placed>,
}

/// All tokens of a file.
pub fn tokens(source: &str) -> Vec<Placed> {
    let mut reader = Reader {
        rest: source,
        line: 1,
        tokens: Vec::new(),
    };
    while let Some(first) = reader.rest.chars().next() {
        reader.step(first);
    }
    reader.tokens
}

impl Reader<'_> {
    fn skip(&mut self, bytes: usize) {
        self.line += self.rest[..bytes].matches('\n').count();
        self.rest = &self.rest[bytes..];
    }

    fn push(&mut self, token: Token, bytes: usize) {
        self.tokens.push(Placed {
            token,
            line: self.line,
        });
        self.skip(bytes);
    }

    fn step(&mut self, first: char) {
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.skip(end);
        } else if self.rest.starts_with("/*") {
            self.skip(block_comment(self.rest));
        } else if let Some((content, length)) = raw_text(self.rest) {
            self.push(Token::Text(content), length);
        } else if first == '"' || self.rest.starts_with("b\"") || self.rest.starts_with("c\"") {
            let start = usize::from(first != '"') + 1;
            let end = start + closing_quote(&self.rest[start..]);
            let content = self.rest[start..end].to_owned();
            self.push(Token::Text(content), (end + 1).min(self.rest.len()));
        } else if let Some(length) = character(self.rest) {
            let content = self.rest[1..length - 1].to_owned();
            self.push(Token::Text(content), length);
        } else if first.is_alphanumeric() || first == '_' {
            let word = |c: char| !(c.is_alphanumeric() || c == '_');
            let end = self.rest.find(word).unwrap_or(self.rest.len());
            self.push(Token::Word(self.rest[..end].to_owned()), end);
        } else if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else {
            self.push(Token::Sign(first), first.len_utf8());
        }
    }
}

/// The length of a block comment; they nest.
fn block_comment(source: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// `r"…"`, `r#"…"#`, `br"…"`: content and length.
fn raw_text(source: &str) -> Option<(String, usize)> {
    let prefix = ["br", "cr", "r"]
        .into_iter()
        .find(|prefix| source.starts_with(prefix))?;
    let hashes = source[prefix.len()..]
        .bytes()
        .take_while(|byte| *byte == b'#')
        .count();
    let start = prefix.len() + hashes;
    let content = source[start..].strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let end = content.find(&closing)?;
    Some((content[..end].to_owned(), start + 1 + end + closing.len()))
}

/// Where the string whose content begins here ends.
fn closing_quote(content: &str) -> usize {
    let mut escaped = false;
    for (at, character) in content.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at,
            _ => {}
        }
    }
    content.len()
}

/// The length of a character literal; `None` for a lifetime.
fn character(source: &str) -> Option<usize> {
    let content = source.strip_prefix('\'')?;
    let mut characters = content.chars();
    let first = characters.next()?;
    if first == '\\' {
        let after = &content[2..];
        return Some(2 + after.find('\'')? + 2);
    }
    (characters.next() == Some('\'')).then(|| first.len_utf8() + 2)
}

/// The tokens without items that are only compiled for tests: those under `#[cfg(test)]` and `#[test]`.
pub fn without_tests(tokens: &[Placed]) -> Vec<Placed> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let Some(end) = attribute_end(tokens, at) else {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        };
        let attribute = &tokens[at..end];
        let first = attribute.iter().find_map(|placed| match &placed.token {
            Token::Word(word) => Some(word.as_str()),
            _ => None,
        });
        let only_for_tests = match first {
            Some("cfg") => {
                attribute.iter().any(|t| t.is_word("test"))
                    && !attribute.iter().any(|t| t.is_word("not"))
            }
            Some("test") => true,
            _ => false,
        };
        if only_for_tests {
            at = item_end(tokens, end);
        } else {
            kept.extend_from_slice(attribute);
            at = end;
        }
    }
    kept
}

/// The end of the attribute that begins here with `#[`.
fn attribute_end(tokens: &[Placed], at: usize) -> Option<usize> {
    if !(tokens[at].is_sign('#') && tokens.get(at + 1)?.is_sign('[')) {
        return None;
    }
    Some(bracket_end(tokens, at + 1))
}

/// The position after the bracket that closes the one here.
fn bracket_end(tokens: &[Placed], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, placed) in tokens.iter().enumerate().skip(open) {
        match placed.token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// The position after the item that begins here, with its further attributes: after its block or its semicolon.
fn item_end(tokens: &[Placed], start: usize) -> usize {
    let mut at = start;
    while at < tokens.len() {
        if let Some(end) = attribute_end(tokens, at) {
            at = end;
            continue;
        }
        match tokens[at].token {
            Token::Sign('{') => return bracket_end(tokens, at),
            Token::Sign('(' | '[') => at = bracket_end(tokens, at),
            Token::Sign(';') => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// A module that a file declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Folders of the inline modules around it, then its own name.
    pub path: Vec<String>,
    /// The file of a `#[path = "…"]`.
    pub file: Option<String>,
    /// Only compiled for tests.
    pub test: bool,
}

/// The modules that a file declares with `mod name;`, also inside inline modules.
pub fn declared_modules(tokens: &[Placed]) -> Vec<Declared> {
    let kept = without_tests(tokens);
    let outside_tests = declarations(&kept);
    let all = declarations(tokens);
    all.into_iter()
        .map(|(path, file)| {
            let test = !outside_tests.iter().any(|(other, _)| *other == path);
            Declared { path, file, test }
        })
        .collect()
}

fn declarations(tokens: &[Placed]) -> Vec<(Vec<String>, Option<String>)> {
    let mut found = Vec::new();
    // The names of the open blocks: only those of inline modules are folders.
    let mut blocks: Vec<Option<String>> = Vec::new();
    let mut file = None;
    let mut at = 0;
    while at < tokens.len() {
        if let Some(end) = attribute_end(tokens, at) {
            if let [_, _, name, equals, value, _] = &tokens[at..end]
                && name.is_word("path")
                && equals.is_sign('=')
                && let Token::Text(text) = &value.token
            {
                file = Some(text.clone());
            }
            at = end;
            continue;
        }
        if tokens[at].is_word("mod")
            && let [name, after, ..] = &tokens[at + 1..]
            && let Token::Word(name) = &name.token
        {
            if after.is_sign(';') {
                let mut path: Vec<String> = blocks.iter().flatten().cloned().collect();
                path.push(name.clone());
                found.push((path, file.take()));
            } else if after.is_sign('{') {
                blocks.push(Some(name.clone()));
                at += 3;
                continue;
            }
        }
        match tokens[at].token {
            Token::Sign('{') => blocks.push(None),
            Token::Sign('}') => {
                blocks.pop();
            }
            Token::Sign(';') => file = None,
            _ => {}
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests;
