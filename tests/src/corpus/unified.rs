//! A unified diff of two texts.

use super::align::{Pair, align};

const CONTEXT: usize = 3;

/// Lines that only `theirs` has begin with `-`, lines that only `ours` has with `+`; equal texts give nothing.
pub fn unified(theirs: &str, ours: &str) -> String {
    let our_lines: Vec<&str> = ours.lines().collect();
    let their_lines: Vec<&str> = theirs.lines().collect();
    let pairs = align(&our_lines, &their_lines, false);
    let equal = |pair: &Pair| pair.ours.is_some() && pair.theirs.is_some();
    let mut near = vec![false; pairs.len()];
    for (index, pair) in pairs.iter().enumerate() {
        if !equal(pair) {
            let end = (index + CONTEXT + 1).min(pairs.len());
            near[index.saturating_sub(CONTEXT)..end].fill(true);
        }
    }
    let mut text = String::new();
    let mut shown_before = true;
    for (pair, near) in pairs.iter().zip(near) {
        if near {
            if !shown_before {
                text.push_str("@@\n");
            }
            let (sign, line) = match (pair.ours, pair.theirs) {
                (Some(our), Some(_)) => (' ', our_lines[our]),
                (Some(our), None) => ('+', our_lines[our]),
                (None, Some(their)) => ('-', their_lines[their]),
                (None, None) => continue,
            };
            text.push(sign);
            text.push_str(line);
            text.push('\n');
        }
        shown_before = near;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_changes_with_their_surroundings() {
        let theirs = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let ours = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n";
        assert_eq!(
            unified(theirs, ours),
            "@@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
        );
        assert_eq!(unified(theirs, theirs), "");
    }
}
