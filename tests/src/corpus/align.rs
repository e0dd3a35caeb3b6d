//! Which element of one ordered list belongs to which of the other.

/// A pair of positions; one side is absent for an element that the other list lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) ours: Option<usize>,
    pub(super) theirs: Option<usize>,
}

/// Aligns by a longest common subsequence of the identities. What lies between two matches and exists on both sides is
/// paired in order, so that one changed element shows as a change and not as a removal and an addition.
pub(super) fn align<T: PartialEq>(ours: &[T], theirs: &[T], pair_gaps: bool) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let (mut our_next, mut their_next) = (0, 0);
    let mut close_gap = |pairs: &mut Vec<Pair>, our_end: usize, their_end: usize| {
        let (our_gap, their_gap) = (our_end - our_next, their_end - their_next);
        let both = if pair_gaps { our_gap.min(their_gap) } else { 0 };
        for step in 0..both {
            pairs.push(Pair {
                ours: Some(our_next + step),
                theirs: Some(their_next + step),
            });
        }
        for index in their_next + both..their_end {
            pairs.push(Pair {
                ours: None,
                theirs: Some(index),
            });
        }
        for index in our_next + both..our_end {
            pairs.push(Pair {
                ours: Some(index),
                theirs: None,
            });
        }
        (our_next, their_next) = (our_end + 1, their_end + 1);
    };
    for (our, their) in common(ours, theirs) {
        close_gap(&mut pairs, our, their);
        pairs.push(Pair {
            ours: Some(our),
            theirs: Some(their),
        });
    }
    close_gap(&mut pairs, ours.len(), theirs.len());
    pairs
}

/// A longest common subsequence as positions.
fn common<T: PartialEq>(ours: &[T], theirs: &[T]) -> Vec<(usize, usize)> {
    let prefix = ours
        .iter()
        .zip(theirs)
        .take_while(|(our, their)| our == their)
        .count();
    let (our_rest, their_rest) = (&ours[prefix..], &theirs[prefix..]);
    let suffix = our_rest
        .iter()
        .rev()
        .zip(their_rest.iter().rev())
        .take_while(|(our, their)| our == their)
        .count();
    let (our_mid, their_mid) = (
        &our_rest[..our_rest.len() - suffix],
        &their_rest[..their_rest.len() - suffix],
    );

    let width = their_mid.len() + 1;
    let mut lengths = vec![0_u32; (our_mid.len() + 1) * width];
    for our in (0..our_mid.len()).rev() {
        for their in (0..their_mid.len()).rev() {
            lengths[our * width + their] = if our_mid[our] == their_mid[their] {
                lengths[(our + 1) * width + their + 1] + 1
            } else {
                lengths[(our + 1) * width + their].max(lengths[our * width + their + 1])
            };
        }
    }
    let mut found: Vec<_> = (0..prefix).map(|index| (index, index)).collect();
    let (mut our, mut their) = (0, 0);
    while our < our_mid.len() && their < their_mid.len() {
        if our_mid[our] == their_mid[their] {
            found.push((prefix + our, prefix + their));
            our += 1;
            their += 1;
        } else if lengths[(our + 1) * width + their] >= lengths[our * width + their + 1] {
            our += 1;
        } else {
            their += 1;
        }
    }
    let (our_tail, their_tail) = (ours.len() - suffix, theirs.len() - suffix);
    found.extend((0..suffix).map(|index| (our_tail + index, their_tail + index)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(ours: &str, theirs: &str, pair_gaps: bool) -> String {
        let ours: Vec<char> = ours.chars().collect();
        let theirs: Vec<char> = theirs.chars().collect();
        let side = |list: &[char], index: Option<usize>| index.map_or('-', |i| list[i]);
        let pairs = align(&ours, &theirs, pair_gaps);
        pairs
            .iter()
            .map(|p| format!("{}{}", side(&ours, p.ours), side(&theirs, p.theirs)))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn pairs_what_belongs_together() {
        for (ours, theirs, gaps, expected) in [
            ("abc", "abc", true, "aa bb cc"),
            ("abc", "ac", true, "aa b- cc"),
            ("ac", "abc", true, "aa -b cc"),
            ("axc", "ayc", true, "aa xy cc"),
            ("axc", "ayc", false, "aa -y x- cc"),
            ("", "ab", true, "-a -b"),
            ("ab", "", true, "a- b-"),
            ("axxd", "ayd", true, "aa xy x- dd"),
        ] {
            assert_eq!(aligned(ours, theirs, gaps), expected, "{ours} / {theirs}");
        }
    }
}
