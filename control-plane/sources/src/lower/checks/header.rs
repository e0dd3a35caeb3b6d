//! Values of HTTP headers, as Envoy takes them: stricter than validation, since Envoy refuses the whole resource.

/// A header value in Envoy's format: `%NAME%` and `%NAME(arguments)%` are replaced, `%%` is a percent sign.
/// Envoy: `HttpHeaderFormatter`.
pub(in crate::lower) fn header_value(value: &str) -> Result<(), String> {
    if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
        return Err(format!("{value:?} holds a control character"));
    }
    let mut rest = value;
    while let Some(start) = rest.find('%') {
        rest = &rest[start + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            rest = after;
            continue;
        }
        let end = command_end(rest);
        rest = end.map(|end| &rest[end..]).ok_or_else(|| {
            format!("{value:?} begins a command with \"%\" that does not end; write \"%%\" for a percent sign")
        })?;
    }
    Ok(())
}

/// The length of `NAME%`, `NAME(arguments)%` or `NAME(arguments):12%`.
fn command_end(text: &str) -> Option<usize> {
    let name = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    if name == 0 {
        return None;
    }
    let mut end = name;
    if text[end..].starts_with('(') {
        end += text[end..].find(')')? + 1;
    }
    if text[end..].starts_with(':') {
        let length = &text[end + 1..];
        end += 1 + length.find(|c: char| !c.is_ascii_digit())?;
    }
    text[end..].starts_with('%').then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_as_envoy_reads_them() {
        for (value, good) in [
            ("plain", true),
            ("", true),
            ("%HOSTNAME%", true),
            ("a %REQ(x-y?:path):12% b", true),
            ("%START_TIME(%s.%3f)%", true),
            ("100%%", true),
            ("abc%123", false),
            ("%START_TIME%%", false),
            ("100%", false),
            ("% %", false),
            ("%REQ(x%", false),
            ("a\nb", false),
        ] {
            assert_eq!(header_value(value).is_ok(), good, "{value}");
        }
    }
}
