//! Which secret a name stands for, and whether the caller may have it. Istio 1.31: `ParseResourceName`,
//! `filterAuthorizedResources`.
//!
//! Secrets are no part of what a class gets: two gateways of one class may run under accounts of which only one may
//! read Secrets. So each stream's names are looked up for its own reader.

use std::sync::Arc;

use meltemi_builders::secret::SecretInput;
use meltemi_model::gateway::ServerTlsMode;
use meltemi_model::secret::Credential;
use meltemi_model::{Kind, Labels, ObjectKey, Shared, Str};
use meltemi_world::World;
use meltemi_world::store::Table;

/// What is added to a credential's name for its CA.
pub const CA_SUFFIX: &str = "-cacert";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// The namespace of its identity. Secrets of others are not for it.
    pub namespace: Str,
    /// Whether its account may list the Secrets of its namespace.
    pub lists_secrets: bool,
}

/// Why there is no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is none that we serve.
    #[error("this is not the name of a secret that is served here")]
    Unknown,
    /// A name that stands for what a user got wrong; that was said elsewhere.
    #[error("this stands for a credential that could not be found out")]
    Placeholder,
    /// The caller is of another namespace.
    #[error("it is in another namespace than the proxy")]
    OtherNamespace,
    /// The caller's account may not read Secrets.
    #[error("the proxy's service account may not list the Secrets of its namespace")]
    NotAllowed,
    /// No Gateway of the namespace names it.
    #[error("no Gateway of its namespace that selects the proxy names it")]
    NotReferred,
    /// It does not exist, or holds nothing of the kind.
    #[error("{0} does not exist, or does not hold {1}")]
    Missing(ObjectKey, &'static str),
}

/// Where a name says that a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A Secret: `kubernetes://NAME`, in the reader's namespace, or `kubernetes://NAMESPACE/NAME`.
    Secret(Str, Str),
    /// A Secret that a Gateway must name: `kubernetes-gateway://NAMESPACE/NAME`.
    GatewaySecret(Str, Str),
    /// The CA of a ConfigMap: `configmap://NAMESPACE/NAME`.
    ConfigMap(Str, Str),
    /// `invalid://`.
    Placeholder,
}

/// Reads a name. `own`: the namespace of names without one.
pub fn parse(name: &str, own: &str) -> Option<Named> {
    if let Some(rest) = name.strip_prefix("kubernetes://") {
        let (namespace, name) = rest.split_once('/').unwrap_or((own, rest));
        return full(namespace, name, Named::Secret);
    }
    if let Some(rest) = name.strip_prefix("kubernetes-gateway://") {
        let (namespace, name) = rest.split_once('/')?;
        return full(namespace, name, Named::GatewaySecret);
    }
    if let Some(rest) = name.strip_prefix("configmap://") {
        let (namespace, name) = rest.split_once('/')?;
        return full(namespace, name, Named::ConfigMap);
    }
    name.starts_with("invalid://").then_some(Named::Placeholder)
}

fn full(namespace: &str, name: &str, named: fn(Str, Str) -> Named) -> Option<Named> {
    // What follows a second slash is nobody's.
    let name = name.split('/').next().unwrap_or_default();
    (!namespace.is_empty() && !name.is_empty()).then(|| named(namespace.into(), name.into()))
}

/// Whether the answer for a name depends on what the reader's account may do.
pub fn needs_permission(name: &str, own: &str) -> bool {
    match parse(name, own) {
        Some(Named::Secret(namespace, name)) => *namespace == *own && !name.ends_with(CA_SUFFIX),
        _ => false,
    }
}

/// The secret of a name for a reader. `labels` are those of the reader's workload; they are asked for only where a
/// Gateway must name the secret.
pub fn secret(
    world: &World,
    reader: &Reader,
    name: &Str,
    labels: impl FnOnce() -> Labels,
) -> Result<SecretInput, Refusal> {
    let store = &world.store;
    let named = parse(name, &reader.namespace).ok_or(Refusal::Unknown)?;
    match named {
        Named::Placeholder => Err(Refusal::Placeholder),
        // A CA is no secret, and clients must read that of servers in other namespaces.
        Named::ConfigMap(namespace, object) => {
            let object = object.strip_suffix(CA_SUFFIX).unwrap_or(&object);
            let key = ObjectKey::new(Kind::CaConfigMap, namespace, object);
            let found = store.ca_config_maps.get(&key);
            let found = found.filter(|found| found.root.is_some());
            let credential = found.ok_or(Refusal::Missing(key, "ca.crt or cacert"))?;
            Ok(input(name, credential, true))
        }
        Named::Secret(namespace, object) => {
            if namespace != reader.namespace {
                return Err(Refusal::OtherNamespace);
            }
            if !reader.lists_secrets && !object.ends_with(CA_SUFFIX) {
                return Err(Refusal::NotAllowed);
            }
            of_secret(&store.secrets, name, &namespace, &object)
        }
        Named::GatewaySecret(namespace, object) => {
            if namespace != reader.namespace {
                return Err(Refusal::OtherNamespace);
            }
            if !is_referred_to(world, name, &namespace, &labels()) {
                return Err(Refusal::NotReferred);
            }
            of_secret(&store.secrets, name, &namespace, &object)
        }
    }
}

fn of_secret(
    secrets: &Table<Credential>,
    name: &Str,
    namespace: &Str,
    object: &str,
) -> Result<SecretInput, Refusal> {
    let get =
        |object: &str| secrets.get(&ObjectKey::new(Kind::Secret, Arc::clone(namespace), object));
    if let Some(base) = object.strip_suffix(CA_SUFFIX) {
        // A Secret of that name comes first; without one the CA may stand beside the certificate.
        let found = get(object).or_else(|| get(base));
        return match found.filter(|found| found.root.is_some()) {
            Some(credential) => Ok(input(name, credential, true)),
            None => Err(missing(namespace, base, "ca.crt or cacert")),
        };
    }
    match get(object) {
        Some(credential) if credential.pair.is_some() => Ok(input(name, credential, false)),
        // caCertCredentialName may name a Secret that holds nothing but a CA.
        Some(credential) if credential.root.is_some() => Ok(input(name, credential, true)),
        _ => {
            let what = "tls.crt and tls.key, or cert and key, that belong together";
            Err(missing(namespace, object, what))
        }
    }
}

fn missing(namespace: &Str, object: &str, what: &'static str) -> Refusal {
    let key = ObjectKey::new(Kind::Secret, Arc::clone(namespace), object);
    Refusal::Missing(key, what)
}

fn input(name: &Str, credential: &Shared<Credential>, root: bool) -> SecretInput {
    SecretInput {
        name: name.clone(),
        credential: credential.clone(),
        root,
    }
}

/// Whether a Gateway of the namespace names the secret for the proxies with these labels. Istio 1.31:
/// `VerifiedCertificateReferences`.
fn is_referred_to(world: &World, name: &str, namespace: &str, labels: &Labels) -> bool {
    let gateways = world.gateways.iter().filter(|gateway| {
        *gateway.meta.key.namespace == *namespace && labels.satisfies(&gateway.selector)
    });
    gateways
        .flat_map(|gateway| gateway.servers.iter().filter_map(|s| s.tls.as_ref()))
        .any(|tls| {
            let asks = matches!(
                tls.mode,
                ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual
            );
            let ca = name.strip_suffix(CA_SUFFIX).filter(|_| asks);
            *tls.ca_cert_credential_name == *name
                || tls
                    .credential_names
                    .iter()
                    .any(|credential| **credential == *name || Some(&**credential) == ca)
        })
}

#[cfg(test)]
mod tests;
