//! Identities of a mesh whose trust domain has aliases. Istio 1.31: `trustdomain.Bundle`.

use meltemi_model::Str;

/// What policies written for no mesh in particular call its trust domain.
const LOCAL: &str = "cluster.local";

/// The identities that a policy means: where it names a trust domain of the mesh, those of all of them.
pub(super) fn principals(written: &[Str], domains: &[Str]) -> Vec<Str> {
    let mut out = Vec::with_capacity(written.len());
    for principal in written {
        let named = principal.split_once('/').filter(|(domain, _)| {
            // TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT; anything else names no trust domain.
            principal.matches('/').count() == 4 && *domain != "*"
        });
        let Some((domain, rest)) = named.filter(|(domain, _)| is_ours(domain, domains)) else {
            out.push(principal.clone());
            continue;
        };
        let mut same: Vec<Str> = Vec::with_capacity(domains.len());
        for other in domains {
            let identity = if ends_as(other, domain) {
                principal.clone()
            } else {
                format!("{other}/{rest}").into()
            };
            if !same.contains(&identity) {
                same.push(identity);
            }
        }
        out.append(&mut same);
    }
    out
}

/// The trust domains that a policy means.
pub(super) fn domains(written: &[Str], domains: &[Str]) -> Vec<Str> {
    let mut out: Vec<Str> = Vec::with_capacity(written.len());
    let mut add = |domain: &Str| {
        if !out.contains(domain) {
            out.push(domain.clone());
        }
    };
    for domain in written {
        if domains.contains(domain) {
            domains.iter().for_each(&mut add);
        } else {
            add(domain);
        }
    }
    out
}

fn is_ours(domain: &str, domains: &[Str]) -> bool {
    let same = |other: &Str| {
        *domain == **other
            || **other == *"*"
            || begins_as(domain, other)
            || begins_as(other, domain)
            || ends_as(domain, other)
            || ends_as(other, domain)
    };
    domain == LOCAL || domains.iter().any(same)
}

fn begins_as(text: &str, pattern: &str) -> bool {
    let start = pattern.strip_suffix('*');
    start.is_some_and(|start| text.starts_with(start))
}

fn ends_as(text: &str, pattern: &str) -> bool {
    let end = pattern.strip_prefix('*');
    end.is_some_and(|end| text.ends_with(end))
}
