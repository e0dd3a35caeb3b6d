//! Where documents begin and end, found without parsing them.

use std::ops::Range;

use serde::de::IgnoredAny;

use super::{Problem, json_problem};

/// The text of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Its bytes in the file.
    pub(super) range: Range<usize>,
    /// The line of its first byte.
    pub(super) line: u32,
    /// The first line that is neither empty nor a comment.
    pub(super) first_line: u32,
}

/// Splits at lines that begin with `---`. Chunks of nothing but comments and directives are left out.
pub(super) fn yaml(text: &str) -> Vec<Result<Chunk, Problem>> {
    let mut chunks = Vec::new();
    let mut open = Open::at(0, 1);
    let (mut offset, mut line) = (0, 1);
    for content in text.split_inclusive('\n') {
        let bare = content.trim_end();
        let marker = bare == "---" || content.starts_with("--- ") || content.starts_with("---\t");
        if marker {
            open.close(offset, &mut chunks);
            open = Open::at(offset, line);
            let rest = bare[3..].trim_start();
            if !rest.is_empty() && !rest.starts_with('#') {
                open.first_line.get_or_insert(line);
            }
        } else if bare == "..." {
            open.close(offset, &mut chunks);
            open = Open::at(offset + content.len(), line + 1);
        } else if !bare.is_empty() && !bare.trim_start().starts_with('#') && !is_directive(bare) {
            open.first_line.get_or_insert(line);
        }
        offset += content.len();
        line += 1;
    }
    open.close(text.len(), &mut chunks);
    chunks.into_iter().map(Ok).collect()
}

fn is_directive(line: &str) -> bool {
    line.starts_with("%YAML ") || line.starts_with("%TAG ")
}

struct Open {
    start: usize,
    line: u32,
    first_line: Option<u32>,
}

impl Open {
    fn at(start: usize, line: u32) -> Self {
        Self {
            start,
            line,
            first_line: None,
        }
    }

    fn close(&self, end: usize, chunks: &mut Vec<Chunk>) {
        if let Some(first_line) = self.first_line {
            chunks.push(Chunk {
                range: self.start..end,
                line: self.line,
                first_line,
            });
        }
    }
}

/// Splits a stream of JSON values. After one that does not parse no boundary is clear, so the rest is one problem.
pub(super) fn json(text: &str) -> Vec<Result<Chunk, Problem>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    loop {
        start += text[start..].len() - text[start..].trim_start().len();
        let rest = &text[start..];
        if rest.is_empty() {
            return chunks;
        }
        let line = 1 + text[..start].matches('\n').count() as u32;
        // Before anything recurses over it.
        if let Err(problem) = check_depth(rest, line, super::MAX_DEPTH) {
            chunks.push(Err(problem));
            return chunks;
        }
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                let end = start + values.byte_offset();
                chunks.push(Ok(Chunk {
                    range: start..end,
                    line,
                    first_line: line,
                }));
                start = end;
            }
            Some(Err(error)) => {
                chunks.push(Err(json_problem(&error, line)));
                return chunks;
            }
            None => return chunks,
        }
    }
}

/// Refuses nesting that would cost a parser much time or stack: brackets, and `- - - -` on one line. Brackets inside
/// strings count too; only a text with very many that are never closed is refused wrongly.
pub(super) fn check_depth(text: &str, first_line: u32, max: usize) -> Result<(), Problem> {
    let mut depth = 0_usize;
    for (index, line) in text.lines().enumerate() {
        let dashes = line
            .split(' ')
            .filter(|word| !word.is_empty())
            .take_while(|word| matches!(*word, "-" | "?"))
            .count();
        let mut deepest = depth + dashes;
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            deepest = deepest.max(depth);
        }
        if deepest > max {
            return Err(Problem {
                line: first_line + index as u32,
                message: format!("nested more than {max} levels deep; no object needs that"),
            });
        }
    }
    Ok(())
}
