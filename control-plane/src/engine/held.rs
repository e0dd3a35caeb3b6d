//! Objects that are held back from a class of proxies, since proxies of it refuse what they come to.

use std::collections::BTreeSet;

use meltemi_model::proxy::ProxyClass;
use meltemi_model::{Diagnostic, Kind, Object, ObjectKey, ResourceType, Str};
use meltemi_world::{Change, Store};

/// An object that is held back. It is tried again when it changes, or what it collides with.
#[derive(Debug, Clone)]
pub struct Held {
    /// From these proxies.
    pub class: ProxyClass,
    /// The object as it is refused.
    pub object: Object,
    /// What they are served in its place: how it was before.
    pub instead: Option<Object>,
    /// What was refused.
    pub refusal: Refusal,
    /// What has the address that it wants, as it is now; none when that is not why it is refused, or nothing of ours.
    pub beside: Vec<Object>,
}

/// What a proxy refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The id of the proxy, `name.namespace`.
    pub proxy: Str,
    /// The type of the resource.
    pub ty: ResourceType,
    /// Its name.
    pub name: Str,
    /// What the proxy said.
    pub message: String,
}

impl Held {
    /// The object's key.
    pub fn key(&self) -> &ObjectKey {
        self.object.key()
    }

    /// Whether everything is still as it was when the object was refused.
    pub(super) fn is_current(&self, store: &Store) -> bool {
        let mut all = self.beside.iter().chain([&self.object]);
        all.all(|object| store.object(object.key()).as_ref() == Some(object))
    }

    /// What takes the object out of a world, or back to how it was.
    pub(super) fn change(&self) -> Change {
        change(self.key(), self.instead.as_ref())
    }

    /// What is said about the object.
    pub(super) fn diagnostic(&self) -> Diagnostic {
        let Refusal {
            proxy,
            ty,
            name,
            message,
        } = &self.refusal;
        let served = match self.instead {
            Some(_) => "as it was before",
            None => "without it",
        };
        let message = format!(
            "{proxy} refuses what it comes to ({} {name}: {message}); this and equal proxies are served {served} until \
             it changes",
            ty.short()
        );
        Diagnostic::error(self.key(), "", message)
    }
}

/// What makes an object another one, or removes it.
pub(super) fn change(key: &ObjectKey, instead: Option<&Object>) -> Change {
    match instead {
        Some(object) => Change::Apply(object.clone()),
        None => Change::Delete(key.clone()),
    }
}

/// Whether objects of a kind can be held back: those that users write to configure proxies. What exists (services, pods,
/// secrets) cannot, nor can what guards: without it, more would be allowed.
pub(super) fn can_be_held(kind: Kind) -> bool {
    match kind {
        Kind::ServiceEntry
        | Kind::WorkloadEntry
        | Kind::VirtualService
        | Kind::DestinationRule
        | Kind::Gateway
        | Kind::Sidecar
        | Kind::PeerAuthentication
        | Kind::Ingress
        | Kind::EnvoyFilter => true,
        Kind::Namespace
        | Kind::Node
        | Kind::Pod
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::ServiceAccount
        | Kind::MeshConfig
        | Kind::IngressClass
        | Kind::RequestAuthentication
        | Kind::AuthorizationPolicy
        | Kind::ProxyConfig
        | Kind::WorkloadGroup
        | Kind::Secret
        | Kind::CaConfigMap
        | Kind::Network
        | Kind::Jwks => false,
    }
}

/// Those of some keys that can be held back.
pub fn suspects<'a>(from: impl IntoIterator<Item = &'a ObjectKey>) -> BTreeSet<ObjectKey> {
    let from = from.into_iter();
    from.filter(|key| can_be_held(key.kind)).cloned().collect()
}
