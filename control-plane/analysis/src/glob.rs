//! Patterns in which `*` stands for any text.

/// Whether all of `text` is described by `pattern`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text, want) in [
            ("Pod a", "Pod a", true),
            ("Pod a", "Pod ab", false),
            ("Pod *.b", "Pod a.b", true),
            ("Pod *.b", "Pod a.c", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("a*b*c", "a1b2c", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }
}
