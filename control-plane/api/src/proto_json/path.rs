//! Where in the user's document the reader is: a list of steps on the stack, spelt out only when it is reported.

/// A place in a document.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'a> {
    /// The whole value, under the name that the caller gave it.
    Root(&'a str),
    /// A field or map entry of the parent.
    Key(&'a Path<'a>, &'a str),
    /// A list element of the parent.
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// The path as users write it: `spec.http[0].match`; keys that would be ambiguous stand in quotes.
    pub(super) fn spelt(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Path::Root(name) => out.push_str(name),
            Path::Index(parent, index) => {
                parent.write(out);
                out.push_str(&format!("[{index}]"));
            }
            Path::Key(parent, key) => {
                parent.write(out);
                if !is_plain(key) {
                    out.push_str(&format!("[{key:?}]"));
                } else {
                    if !out.is_empty() {
                        out.push('.');
                    }
                    out.push_str(key);
                }
            }
        }
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
