//! Progress for the person who waits, on the standard output.

use std::io::Write as _;

/// Writes one line at once.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Somebody who closed the pipe does not want to read more; the cluster is ended in order all the same.
    let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
}
