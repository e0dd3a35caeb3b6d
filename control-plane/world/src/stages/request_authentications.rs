//! RequestAuthentications in the order in which proxies get them, with their keys. Istio 1.31:
//! `GetJwtPoliciesForWorkload`, `convertToEnvoyJwtConfig`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meltemi_model::mesh::Mesh;
use meltemi_model::security::{
    FetchedKeys, JwksFetch, JwtProvider, JwtRule, KeySource, Keys, NO_KEYS, RequestAuthentication,
};
use meltemi_model::service::outbound_name;
use meltemi_model::{Diagnostic, Diagnostics, Hostname, Labels, Shared, Str};

use crate::stages::services::Services;
use crate::store::Table;

/// The policies of each namespace, oldest first.
#[derive(Debug, Default)]
pub struct RequestAuthentications {
    namespaces: BTreeMap<Str, Vec<ResolvedPolicy>>,
    /// What the control plane is to fetch, and how long one request may take.
    pub wanted: BTreeMap<KeySource, Duration>,
    /// The hosts that proxies fetch keys from.
    pub hosts: BTreeSet<Hostname>,
    /// What is wrong.
    pub diagnostics: Diagnostics,
}

/// A policy with its keys.
#[derive(Debug, Clone)]
pub struct ResolvedPolicy {
    /// The policy.
    pub policy: Shared<RequestAuthentication>,
    /// Its rules.
    pub providers: Vec<Shared<JwtProvider>>,
}

/// Sorts the policies, and finds the keys of each rule.
pub fn request_authentications(
    policies: &Table<RequestAuthentication>,
    fetched: &Table<FetchedKeys>,
    services: &Services,
    mesh: &Mesh,
) -> RequestAuthentications {
    let mut out = RequestAuthentications::default();
    let mut sorted: Vec<_> = policies.iter().map(|(_, policy)| policy).collect();
    sorted.sort_by(|a, b| a.meta.age_order().cmp(&b.meta.age_order()));
    for policy in sorted {
        let mut providers = Vec::with_capacity(policy.rules.len());
        for (i, rule) in policy.rules.iter().enumerate() {
            let at = format!("spec.jwtRules[{i}]");
            let resolver = Resolver {
                policy,
                at: &at,
                fetched,
                services,
                mesh,
            };
            let keys = resolver.keys(rule, &mut out);
            providers.push(Shared::new(JwtProvider {
                rule: rule.clone(),
                keys,
            }));
        }
        let namespace = &policy.meta.key.namespace;
        let row = out.namespaces.entry(namespace.clone()).or_default();
        row.push(ResolvedPolicy {
            policy: policy.clone(),
            providers,
        });
    }
    out
}

impl RequestAuthentications {
    /// Those for a workload: its namespace's, then the root namespace's.
    pub fn workload<'a>(
        &'a self,
        namespace: &'a str,
        labels: &'a Labels,
        mesh: &'a Mesh,
    ) -> impl Iterator<Item = &'a ResolvedPolicy> {
        let root = (*mesh.root_namespace != *namespace).then_some(&*mesh.root_namespace);
        let places = std::iter::once((namespace, true)).chain(root.map(|root| (root, false)));
        places.flat_map(move |(name, is_own)| {
            let row = self.namespaces.get(name).into_iter().flatten();
            row.filter(move |row| row.policy.target.selects(labels, is_own))
        })
    }
}

/// Finds the keys of one rule.
struct Resolver<'a> {
    policy: &'a RequestAuthentication,
    /// The path of the rule.
    at: &'a str,
    fetched: &'a Table<FetchedKeys>,
    services: &'a Services,
    mesh: &'a Mesh,
}

impl Resolver<'_> {
    fn keys(&self, rule: &JwtRule, out: &mut RequestAuthentications) -> Keys {
        // Istio 1.31: where proxies fetch, an address comes before keys in the rule itself.
        if self.mesh.jwks_fetch != JwksFetch::ControlPlane
            && let Some((host, port)) = host_of(&rule.jwks_uri)
            && let Some(keys) = self.remote(rule, host, port, out)
        {
            return keys;
        }
        if !rule.jwks.is_empty() {
            return Keys::Inline(rule.jwks.clone());
        }
        match rule.source() {
            Some(source) => Keys::Inline(self.fetched(rule, source, out)),
            None => Keys::Inline(NO_KEYS.into()),
        }
    }

    /// Keys that proxies fetch; `None`: the control plane does.
    fn remote(
        &self,
        rule: &JwtRule,
        host: Hostname,
        port: u16,
        out: &mut RequestAuthentications,
    ) -> Option<Keys> {
        let is_known = self.services.owners(&host).count() == 1;
        if !is_known {
            if self.mesh.jwks_fetch == JwksFetch::Hybrid {
                return None;
            }
            let message = format!(
                "no service of the mesh, or more than one, has the host {host}, so proxies cannot fetch the keys and refuse \
                 tokens; add a ServiceEntry for it, or set PILOT_JWT_ENABLE_REMOTE_JWKS to hybrid"
            );
            self.warn("jwksUri", message, out);
        }
        let cluster = outbound_name(port, "", &host).into();
        out.hosts.insert(host);
        Some(Keys::Remote {
            uri: rule.jwks_uri.clone(),
            cluster,
        })
    }

    fn fetched(&self, rule: &JwtRule, source: KeySource, out: &mut RequestAuthentications) -> Str {
        let found = self.fetched.get(&source.key());
        let keys = found.and_then(|found| found.keys.clone());
        if let Some(problem) = found.map(|f| &f.problem).filter(|p| !p.is_empty()) {
            let field = match source {
                KeySource::Uri(_) => "jwksUri",
                KeySource::Issuer(_) => "issuer",
            };
            let meanwhile = match keys {
                Some(_) => "the keys of before are used",
                None => "tokens of this issuer are refused until it succeeds",
            };
            let message = format!("the keys are not fetched: {problem}; {meanwhile}");
            self.warn(field, message, out);
        }
        let timeout = out.wanted.entry(source).or_default();
        *timeout = rule.timeout().max(*timeout);
        keys.unwrap_or_else(|| NO_KEYS.into())
    }

    fn warn(&self, field: &str, message: String, out: &mut RequestAuthentications) {
        let path = format!("{}.{field}", self.at);
        let key = &self.policy.meta.key;
        out.diagnostics
            .push(Diagnostic::warning(key, path, message));
    }
}

/// Host and port of an address. Istio 1.31: `ParseJwksURI`.
fn host_of(uri: &str) -> Option<(Hostname, u16)> {
    let (scheme, rest) = uri.split_once("://")?;
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        // The last colon of an IPv6 address stands within its brackets.
        Some((host, number)) if !number.ends_with(']') => (host, number.parse().ok()?),
        _ => (authority, port),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (Hostname::new(host), port))
}

#[cfg(test)]
mod tests;
