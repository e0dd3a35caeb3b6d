//! Which objects decided a step.

use meltemi_model::routing::VirtualService;
use meltemi_model::{Hostname, Kind, ObjectKey, ProxySnapshot, ResourceType};
use meltemi_simulator::{Outcome, Resources, Stage, Step, config_of};
use meltemi_world::World;

/// Objects of one step that are shown; a listener of all inbound ports has one for each service.
const SHOWN: usize = 4;

/// `Kind namespace/name`, with the field where it is known, for each object that decided the step.
pub(super) fn of_step(
    step: &Step,
    outcome: &Outcome,
    resources: &Resources,
    snapshot: &ProxySnapshot,
    world: &World,
) -> Vec<String> {
    let mut objects = Vec::new();
    if let Some(config) = &step.config {
        let object = object(config, world);
        objects.push(match field(step, config, outcome, resources, world) {
            Some(field) => format!("{object} {field}"),
            None => object,
        });
    }
    let (ty, name) = match step.stage {
        Stage::Listener => (ResourceType::Listener, Some(step.chosen.as_str())),
        Stage::Cluster => (ResourceType::Cluster, Some(step.chosen.as_str())),
        Stage::Endpoints => (ResourceType::Endpoint, outcome.cluster.as_deref()),
        Stage::Authorization => {
            objects.extend(policy(&step.chosen));
            return objects;
        }
        Stage::VirtualHost => {
            objects.extend(service(&step.chosen, world));
            return objects;
        }
        _ => return objects,
    };
    let resource = name.and_then(|name| snapshot.set(ty).by_name.get(name));
    let from = resource.map(|r| r.from.as_ref()).unwrap_or_default();
    let others = world.written(from).into_iter();
    let others: Vec<String> = others.map(ToString::to_string).collect();
    let new = |other: &&String| {
        !objects
            .iter()
            .any(|object| object.starts_with(other.as_str()))
    };
    let others: Vec<String> = others.iter().filter(new).cloned().collect();
    objects.extend(others.iter().take(SHOWN).cloned());
    if others.len() > SHOWN {
        objects.push(format!("{} more", others.len() - SHOWN));
    }
    objects
}

/// The AuthorizationPolicy that a rule of RBAC is made of, by the rule's name: `ns[NAMESPACE]-policy[NAME]-rule[N]`, with
/// something before and after it where a provider is asked.
fn policy(rule: &str) -> Option<String> {
    let (_, rest) = rule.split_once("ns[")?;
    let (namespace, rest) = rest.split_once("]-policy[")?;
    let (name, rest) = rest.split_once("]-rule[")?;
    let (place, _) = rest.split_once(']')?;
    Some(format!(
        "AuthorizationPolicy {namespace}/{name} spec.rules[{place}]"
    ))
}

/// The service of a virtual host, which has the service's host and port for a name.
fn service(virtual_host: &str, world: &World) -> Option<String> {
    let (host, _) = virtual_host.rsplit_once(':')?;
    let host = Hostname::new(host);
    let service = world.services.owners(&host).next();
    service.map(|service| service.object.to_string())
}

/// `/apis/networking.istio.io/v1/namespaces/shop/virtual-service/web` as `VirtualService shop/web`, or the Ingresses that it
/// is made of.
fn object(config: &str, world: &World) -> String {
    let parts: Vec<&str> = config.trim_matches('/').split('/').collect();
    let [.., "namespaces", namespace, kind, name] = parts.as_slice() else {
        return config.to_owned();
    };
    let key = ObjectKey::new(Kind::VirtualService, *namespace, *name);
    if let Some(authors) = world.ingresses.authors.get(&key)
        && *kind == "virtual-service"
    {
        let authors: Vec<String> = authors.iter().map(ToString::to_string).collect();
        return authors.join(", ");
    }
    let kind: String = kind
        .split('-')
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect();
    format!("{kind} {namespace}/{name}")
}

/// The field of the object: for a route the rule of its VirtualService.
fn field(
    step: &Step,
    config: &str,
    outcome: &Outcome,
    resources: &Resources,
    world: &World,
) -> Option<String> {
    match step.stage {
        Stage::Route => {
            let (_, vs) = world.store.virtual_services.iter().find(|(key, _)| {
                config.ends_with(&format!(
                    "namespaces/{}/virtual-service/{}",
                    key.namespace, key.name
                ))
            })?;
            rule(step, config, vs, outcome, resources)
        }
        Stage::Cluster => {
            let subset = step.chosen.split('|').nth(2)?;
            (!subset.is_empty()).then(|| format!("spec.subsets {subset}"))
        }
        _ => None,
    }
}

/// `spec.http[2]`: by its name, else by its place among the routes that the VirtualService made. Where some of its rules are
/// not for this proxy the place is not known.
fn rule(
    step: &Step,
    config: &str,
    vs: &VirtualService,
    outcome: &Outcome,
    resources: &Resources,
) -> Option<String> {
    if let [_] = vs.http.as_slice() {
        return Some("spec.http[0]".to_owned());
    }
    if !step.chosen.is_empty() {
        let named = |name: &str| {
            let rest = step.chosen.strip_prefix(name);
            !name.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let at = vs.http.iter().position(|rule| named(&rule.name))?;
        return Some(format!("spec.http[{at}] ({})", vs.http[at].name));
    }
    let routes = resources.routes.get(outcome.route_config.as_deref()?)?;
    let name = outcome.virtual_host.as_deref()?;
    let host = routes.virtual_hosts.iter().find(|host| host.name == name)?;
    let own: Vec<_> = host
        .routes
        .iter()
        .filter(|route| config_of(route.metadata.as_ref()).as_deref() == Some(config))
        .collect();
    let rules = vs.http.iter().enumerate();
    let places: Vec<usize> = rules
        .flat_map(|(at, rule)| std::iter::repeat_n(at, rule.matches.len().max(1)))
        .collect();
    let chosen = outcome.route_message.as_deref()?;
    let at = own.iter().position(|route| *route == chosen)?;
    (own.len() == places.len())
        .then(|| places.get(at))
        .flatten()
        .map(|at| format!("spec.http[{at}]"))
}
