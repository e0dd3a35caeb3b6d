//! The line of a field. Nobody pays for it but who reports a Diagnostic: the document is parsed again, for positions.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The line of the field at `path` (`spec.http[0].match`, `metadata.labels["a.b/c"]`) in a document whose text begins at
/// line `first`. A field that is not there has the line of the deepest parent that is.
pub fn line_of(text: &str, first: u32, path: &str) -> u32 {
    let steps = steps(path);
    let mut finder = Finder {
        events: Parser::new_from_str(text),
        line: 1,
    };
    finder.start();
    finder.find(&steps);
    first + finder.line - 1
}

fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let end = quoted.find("\"]").unwrap_or(quoted.len());
            steps.push(Step::Key(quoted[..end].to_owned()));
            rest = quoted.get(end + 2..).unwrap_or("");
        } else if let Some(index) = rest.strip_prefix('[') {
            let end = index.find(']').unwrap_or(index.len());
            if let Ok(number) = index[..end].parse() {
                steps.push(Step::Index(number));
            }
            rest = index.get(end + 1..).unwrap_or("");
        } else {
            let key = rest.strip_prefix('.').unwrap_or(rest);
            let end = key.find(['.', '[']).unwrap_or(key.len());
            if end > 0 {
                steps.push(Step::Key(key[..end].to_owned()));
            }
            rest = &key[end..];
        }
    }
    steps
}

struct Finder<'t> {
    events: Parser<'t, StrInput<'t>>,
    /// The line of the deepest step that was found.
    line: u32,
}

impl<'t> Finder<'t> {
    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        self.events.next_event()?.ok()
    }

    /// Goes to the value of the document.
    fn start(&mut self) {
        while let Some(Ok((event, span))) = self.events.peek() {
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {
                    self.next();
                }
                _ => {
                    self.line = span.start.line() as u32;
                    return;
                }
            }
        }
    }

    /// Follows the steps from the value that comes next.
    fn find(&mut self, steps: &[Step]) -> Option<()> {
        let (event, span) = self.next()?;
        let Some((step, rest)) = steps.split_first() else {
            return Some(());
        };
        match (event, step) {
            (Event::MappingStart(..), Step::Key(wanted)) => loop {
                let (key, span) = self.next()?;
                match key {
                    Event::MappingEnd => return None,
                    Event::Scalar(key, ..) if key == wanted.as_str() => {
                        self.line = span.start.line() as u32;
                        return self.find(rest);
                    }
                    Event::Scalar(..) | Event::Alias(_) => {}
                    _ => self.skip_rest()?,
                }
                self.skip()?;
            },
            (Event::SequenceStart(..), Step::Index(wanted)) => {
                for _ in 0..*wanted {
                    if matches!(self.events.peek()?, Ok((Event::SequenceEnd, _))) {
                        return None;
                    }
                    self.skip()?;
                }
                if let Ok((event, span)) = self.events.peek()?
                    && *event != Event::SequenceEnd
                {
                    self.line = span.start.line() as u32;
                    return self.find(rest);
                }
                None
            }
            // YAML inside a block of text, such as `data.mesh` of the ConfigMap `istio`.
            (Event::Scalar(text, ScalarStyle::Literal, ..), _) => {
                let mut inner = Finder {
                    events: Parser::new_from_str(&text),
                    line: 1,
                };
                inner.start();
                inner.find(steps);
                self.line = span.start.line() as u32 + inner.line - 1;
                None
            }
            _ => None,
        }
    }

    /// Passes the value that comes next.
    fn skip(&mut self) -> Option<()> {
        match self.next()?.0 {
            Event::MappingStart(..) | Event::SequenceStart(..) => self.skip_rest(),
            _ => Some(()),
        }
    }

    /// Passes the rest of a collection whose start was read.
    fn skip_rest(&mut self) -> Option<()> {
        let mut depth = 1;
        while depth > 0 {
            match self.next()?.0 {
                Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
                Event::MappingEnd | Event::SequenceEnd => depth -= 1,
                _ => {}
            }
        }
        Some(())
    }
}
