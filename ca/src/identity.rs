//! SPIFFE identities of workloads.

use std::fmt;
use std::str::FromStr;

/// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The trust domain.
    pub trust_domain: String,
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trust_domain,
            namespace,
            service_account,
        } = self;
        write!(
            f,
            "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"
        )
    }
}

/// The text is no identity of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
pub struct NoIdentity;

impl FromStr for Identity {
    type Err = NoIdentity;

    fn from_str(text: &str) -> Result<Self, NoIdentity> {
        let rest = text.strip_prefix("spiffe://").ok_or(NoIdentity)?;
        let mut parts = rest.split('/');
        let mut part = || parts.next().filter(|part| is_plain(part)).ok_or(NoIdentity);
        let trust_domain = part()?.to_owned();
        let ns = part()?;
        let namespace = part()?.to_owned();
        let sa = part()?;
        let service_account = part()?.to_owned();
        if ns != "ns" || sa != "sa" || parts.next().is_some() {
            return Err(NoIdentity);
        }
        Ok(Self {
            trust_domain,
            namespace,
            service_account,
        })
    }
}

/// What may stand between two slashes. An identity ends in a certificate and in authorization rules, so nothing in it may
/// look like another one: no control characters, no blanks, no `%`, `?` or `#`.
fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'))
}

/// The trust domain as it stands in identities. Istio 1.31: an `@`, as in the names of some cloud accounts, becomes a dot.
pub fn trust_domain(configured: &str) -> String {
    configured.replace('@', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        let text = "spiffe://cluster.local/ns/default/sa/a.b-c";
        assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "spiffe://",
            "spiffe://td",
            "spiffe://td/ns/a/sa/",
            "spiffe://td/ns//sa/b",
            "spiffe:///ns/a/sa/b",
            "spiffe://td/ns/a/sa/b/c",
            "spiffe://td/ns/a/sa/b/",
            "spiffe://td/sa/a/ns/b",
            "https://td/ns/a/sa/b",
            "spiffe://td/ns/a/sa/b?x",
            "spiffe://td/ns/a/sa/b\n",
            "spiffe://td/ns/a/sa/ü",
            "spiffe://td/ns/a%2Fsa%2Fb/sa/c",
        ] {
            assert_eq!(text.parse::<Identity>(), Err(NoIdentity), "{text}");
        }
    }

    #[test]
    fn an_at_sign_becomes_a_dot() {
        assert_eq!(trust_domain("a@b.example"), "a.b.example");
    }
}
