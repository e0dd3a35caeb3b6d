//! The AuthorizationPolicies that guard a class, and the providers that they ask.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_builders::listener::{Authorization, Authorizer};
use meltemi_model::proxy::ProxyClass;
use meltemi_model::security::{AuthorizationAction, AuthorizationPolicy};
use meltemi_model::service::outbound_name;
use meltemi_model::{Diagnostic, Diagnostics, ObjectKey, Shared, Str};
use meltemi_world::Scope;

use super::facets::Side;

/// The policies that guard the class: what it is asked for by others, not what it asks for.
pub(super) fn authorization(
    scope: &Scope,
    class: &ProxyClass,
    side: Side,
) -> Option<Shared<Authorization>> {
    if side == Side::Outbound {
        return None;
    }
    let mesh = &scope.mesh;
    let policies = guards(scope, class);
    let ours = std::iter::once(&mesh.trust_domain).chain(&mesh.trust_domain_aliases);
    (!policies.is_empty()).then(|| {
        Shared::new(Authorization {
            trust_domains: ours.cloned().collect(),
            providers: authorizers(scope, &policies),
            policies,
            multiple_providers: mesh.multiple_authz_providers,
        })
    })
}

/// The AuthorizationPolicies for the class.
fn guards(scope: &Scope, class: &ProxyClass) -> Vec<Shared<AuthorizationPolicy>> {
    let all = &scope.authorizations;
    all.workload(&class.namespace, &class.labels, &scope.mesh)
}

/// The providers that policies name, and whose service there is.
fn authorizers(
    scope: &Scope,
    policies: &[Shared<AuthorizationPolicy>],
) -> BTreeMap<Str, Authorizer> {
    let named = policies.iter().filter_map(|policy| match &policy.action {
        AuthorizationAction::Custom(name) => Some(name),
        _ => None,
    });
    let found = named.filter_map(|name| {
        let settings = scope.mesh.ext_authz.get(name)?;
        let service = scope.registry.of_provider(&settings.service)?;
        let host = service.key.host.clone();
        let authorizer = Authorizer {
            cluster: outbound_name(settings.service.port, "", &host).into(),
            host,
            settings: settings.clone(),
        };
        Some((name.clone(), authorizer))
    });
    found.collect()
}

/// Their keys.
pub(super) fn guard_keys(scope: &Scope, class: &ProxyClass) -> Vec<ObjectKey> {
    let policies = guards(scope, class);
    policies.iter().map(|p| p.meta.key.clone()).collect()
}

/// Says of CUSTOM policies whose provider cannot be asked that they refuse what they match.
pub(super) fn unasked(scope: &Scope, class: &ProxyClass) -> Diagnostics {
    let policies = guards(scope, class);
    let known = authorizers(scope, &policies);
    let named = policies.iter().filter_map(|policy| match &policy.action {
        AuthorizationAction::Custom(name) => Some((policy, name)),
        _ => None,
    });
    let names: BTreeSet<&Str> = named.clone().map(|(_, name)| name).collect();
    let several = names.len() > 1 && !scope.mesh.multiple_authz_providers;
    let problem = |name: &Str| {
        if several {
            let names: Vec<&str> = names.iter().map(|name| &***name).collect();
            return Some(format!(
                "policies of one workload name several providers ({}), which only PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS allows",
                names.join(", ")
            ));
        }
        if known.contains_key(name) {
            return None;
        }
        Some(match scope.mesh.ext_authz.get(name) {
            Some(provider) => format!(
                "the service {:?} of the extension provider {name:?} is not there, or several namespaces have it",
                provider.service.host.as_str()
            ),
            None => format!(
                "{name:?} is not among the extensionProviders of the mesh configuration that can authorize"
            ),
        })
    };
    let said = named.filter_map(|(policy, name)| {
        let message = format!("{}; what the policy matches is refused", problem(name)?);
        let path = "spec.provider.name";
        Some(Diagnostic::warning(&policy.meta.key, path, message))
    });
    said.collect()
}
