//! What a gateway's servers and DestinationRules name, and a proxy cannot be given. Istio 1.31 says it in istiod's log only.

use std::collections::BTreeSet;

use meltemi_model::gateway::{Server, ServerTlsMode};
use meltemi_model::proxy::{ProxyClass, ProxyKind};
use meltemi_model::traffic::{ClientTls, DestinationRule, TlsMode};
use meltemi_model::{Diagnostic, Diagnostics, Kind, ObjectKey};
use meltemi_world::{Scope, World};

use super::gateway::{MergedGateways, is_passthrough};
use crate::secrets::{CA_SUFFIX, Named, parse};

/// One finding for each credential that there is not.
pub(super) fn missing(world: &World, class: &ProxyClass, gateways: &MergedGateways) -> Diagnostics {
    let mut found = Diagnostics::new();
    for merged in gateways.ports.iter().flat_map(|port| &port.servers) {
        let Some(server) = merged.server() else {
            continue;
        };
        for (field, problem) in problems(world, class, server) {
            let path = format!("spec.servers[{}].tls.{field}", merged.index);
            let key = &merged.gateway.meta.key;
            found.push(Diagnostic::warning(key, path, problem));
        }
    }
    found
}

fn problems(world: &World, class: &ProxyClass, server: &Server) -> Vec<(&'static str, String)> {
    let Some(tls) = &server.tls else {
        return Vec::new();
    };
    if is_passthrough(server) || server.protocol.is_http() || tls.mode == ServerTlsMode::IstioMutual
    {
        return Vec::new();
    }
    let field = if tls.credential_names.len() > 1 {
        "credentialNames"
    } else {
        "credentialName"
    };
    let names = tls.credential_names.iter();
    let mut problems: Vec<_> = names
        .clone()
        .filter_map(|name| Some((field, problem(world, class, name, false)?.of_server())))
        .collect();
    let asks = matches!(
        tls.mode,
        ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual
    );
    if asks {
        match (&*tls.ca_cert_credential_name, names.clone().next()) {
            ("", Some(first)) => {
                let ca = format!("{first}{CA_SUFFIX}");
                let found = problem(world, class, &ca, true);
                problems.extend(found.map(|found| (field, found.of_server())));
            }
            ("", None) => {}
            (own, _) => {
                let found = problem(world, class, own, true);
                problems.extend(found.map(|found| ("caCertCredentialName", found.of_server())));
            }
        }
    }
    problems
}

/// The same for the DestinationRules of the services that a class sees. Sidecars ask for the credentials of those that
/// select workloads only.
pub(super) fn missing_for_clients(world: &World, scope: &Scope, class: &ProxyClass) -> Diagnostics {
    let mut found = Diagnostics::new();
    let mut seen = BTreeSet::new();
    for row in &scope.services {
        let keys = row.rule.iter().flat_map(|rule| rule.from.iter());
        let asks = class.kind == ProxyKind::Router || row.rule_selects_workload;
        for key in keys {
            let Some(rule) = world.store.destination_rules.get(key) else {
                continue;
            };
            // Few rules name a credential, and every class comes by here at every revision.
            if !names_credential(rule) || !seen.insert(key) {
                continue;
            }
            for (path, tls) in client_settings(rule) {
                if !asks && !tls.credential_name.starts_with("configmap://") {
                    continue;
                }
                let found_here = client_problem(world, class, tls);
                found.extend(found_here.map(|problem| {
                    Diagnostic::warning(key, format!("{path}.tls.credentialName"), problem)
                }));
            }
        }
    }
    found
}

fn names_credential(rule: &DestinationRule) -> bool {
    let subsets = rule.subsets.iter().filter_map(|s| s.policy.as_ref());
    let policies = rule.policy.iter().chain(subsets);
    let mut all = policies.flat_map(|policy| {
        let ports = policy.ports.iter().map(|(_, port)| port);
        std::iter::once(&policy.all).chain(ports)
    });
    all.any(|policy| {
        let tls = policy.tls.as_ref();
        tls.is_some_and(|tls| !tls.credential_name.is_empty())
    })
}

/// Every `tls` of a rule that names a credential, with the path of its policy.
fn client_settings(rule: &DestinationRule) -> Vec<(String, &ClientTls)> {
    let of_subsets = rule.subsets.iter().enumerate();
    let policies = rule
        .policy
        .iter()
        .map(|policy| ("spec.trafficPolicy".to_owned(), policy));
    let policies = policies.chain(of_subsets.filter_map(|(i, subset)| {
        let path = format!("spec.subsets[{i}].trafficPolicy");
        subset.policy.as_ref().map(|policy| (path, policy))
    }));
    policies
        .flat_map(|(path, policy)| {
            let ports = policy.ports.iter().enumerate();
            let ports =
                ports.map(|(i, (_, port))| (format!("{path}.portLevelSettings[{i}]"), port));
            let all = [(path.clone(), &policy.all)].into_iter().chain(ports);
            all.collect::<Vec<_>>()
        })
        .filter_map(|(path, policy)| Some((path, policy.tls.as_ref()?)))
        .filter(|(_, tls)| !tls.credential_name.is_empty())
        .collect()
}

fn client_problem(world: &World, class: &ProxyClass, tls: &ClientTls) -> Option<String> {
    if !matches!(tls.mode, TlsMode::Simple | TlsMode::Mutual) {
        return None;
    }
    let name = &tls.credential_name;
    let pair = (tls.mode == TlsMode::Mutual)
        .then(|| problem(world, class, name, false))
        .flatten();
    let checked = tls.insecure_skip_verify != Some(true);
    let ca = || {
        let ca = format!("{name}{CA_SUFFIX}");
        checked.then(|| problem(world, class, &ca, true)).flatten()
    };
    let what = pair.or_else(ca)?;
    Some(format!("connections fail: {}", what.reason))
}

/// What a credential's name comes to.
struct Problem {
    /// What it does to a server.
    at_servers: &'static str,
    reason: String,
}

impl Problem {
    fn of_server(self) -> String {
        format!("{}{}", self.at_servers, self.reason)
    }
}

/// What is wrong with a credential's name. Those that are not Kubernetes' are not known here.
fn problem(world: &World, class: &ProxyClass, name: &str, ca: bool) -> Option<Problem> {
    let (own, store) = (&class.namespace, &world.store);
    let full = if name.contains("://") {
        name.to_owned()
    } else {
        format!("kubernetes://{name}")
    };
    let secret = |namespace, name| {
        store
            .secrets
            .get(&ObjectKey::new(Kind::Secret, namespace, name))
    };
    match parse(&full, own)? {
        Named::Secret(namespace, _) | Named::GatewaySecret(namespace, _) if namespace != *own => {
            Some(Problem {
                at_servers: "",
                reason: format!(
                    "{name:?} is in another namespace than the proxy's pods, which get Secrets of {own} only"
                ),
            })
        }
        Named::Secret(namespace, object) | Named::GatewaySecret(namespace, object) if ca => {
            let base = object.strip_suffix(CA_SUFFIX).unwrap_or(&object);
            let found =
                secret(namespace.clone(), &*object).or_else(|| secret(namespace.clone(), base));
            let has = found.is_some_and(|found| found.root.is_some());
            (!has).then(|| Problem {
                at_servers: "no client gets in: ",
                reason: format!(
                    "neither the Secret {base}{CA_SUFFIX} nor {base} in the namespace {namespace} holds the CA of the other \
                     side (ca.crt or cacert)"
                ),
            })
        }
        Named::Secret(namespace, object) | Named::GatewaySecret(namespace, object) => {
            let found = secret(namespace.clone(), &*object);
            let has = found.is_some_and(|found| found.pair.is_some());
            (!has).then(|| Problem {
                at_servers: "TLS handshakes fail: ",
                reason: format!(
                    "the Secret {object} in the namespace {namespace}, that of the proxy's pods, does not exist or holds no \
                     certificate with its key (tls.crt and tls.key, or cert and key)"
                ),
            })
        }
        Named::ConfigMap(namespace, object) => {
            let base = object.strip_suffix(CA_SUFFIX).unwrap_or(&object);
            let key = ObjectKey::new(Kind::CaConfigMap, namespace.clone(), base);
            let missing = store.ca_config_maps.get(&key).is_none();
            missing.then(|| Problem {
                at_servers: "no client gets in: ",
                reason: format!(
                    "the ConfigMap {base} in the namespace {namespace} does not exist or holds no CA (ca.crt or cacert)"
                ),
            })
        }
        Named::Placeholder => None,
    }
}

#[cfg(test)]
mod tests;
