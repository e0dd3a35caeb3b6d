//! What a gateway's servers name and its pods cannot be given. Istio 1.31 says it in istiod's log only.

use meltemi_model::gateway::{Server, ServerTlsMode};
use meltemi_model::proxy::ProxyClass;
use meltemi_model::{Diagnostic, Diagnostics, Kind, ObjectKey};
use meltemi_world::World;

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
        .filter_map(|name| Some((field, problem(world, class, name, false)?)))
        .collect();
    let asks = matches!(
        tls.mode,
        ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual
    );
    if asks {
        match (&*tls.ca_cert_credential_name, names.clone().next()) {
            ("", Some(first)) => {
                let ca = format!("{first}{CA_SUFFIX}");
                problems.extend(problem(world, class, &ca, true).map(|found| (field, found)));
            }
            ("", None) => {}
            (own, _) => {
                let found = problem(world, class, own, true);
                problems.extend(found.map(|found| ("caCertCredentialName", found)));
            }
        }
    }
    problems
}

/// What is wrong with a credential's name. Those that are not Kubernetes' are not known here.
fn problem(world: &World, class: &ProxyClass, name: &str, ca: bool) -> Option<String> {
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
            Some(format!(
                "{name:?} is in another namespace than the gateway's pods, which get Secrets of {own} only"
            ))
        }
        Named::Secret(namespace, object) | Named::GatewaySecret(namespace, object) if ca => {
            let base = object.strip_suffix(CA_SUFFIX).unwrap_or(&object);
            let found =
                secret(namespace.clone(), &*object).or_else(|| secret(namespace.clone(), base));
            let has = found.is_some_and(|found| found.root.is_some());
            (!has).then(|| {
                format!(
                    "no client gets in: neither the Secret {base}{CA_SUFFIX} nor {base} in the namespace {namespace} holds \
                     the clients' CA (ca.crt or cacert)"
                )
            })
        }
        Named::Secret(namespace, object) | Named::GatewaySecret(namespace, object) => {
            let found = secret(namespace.clone(), &*object);
            let has = found.is_some_and(|found| found.pair.is_some());
            (!has).then(|| {
                format!(
                    "TLS handshakes fail: the Secret {object} in the namespace {namespace}, that of the gateway's pods, does \
                     not exist or holds no certificate with its key (tls.crt and tls.key, or cert and key)"
                )
            })
        }
        Named::ConfigMap(namespace, object) => {
            let base = object.strip_suffix(CA_SUFFIX).unwrap_or(&object);
            let key = ObjectKey::new(Kind::CaConfigMap, namespace.clone(), base);
            let missing = store.ca_config_maps.get(&key).is_none();
            missing.then(|| {
                format!(
                    "no client gets in: the ConfigMap {base} in the namespace {namespace} does not exist or holds no CA \
                     (ca.crt or cacert)"
                )
            })
        }
        Named::Placeholder => None,
    }
}
