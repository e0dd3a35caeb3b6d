//! Who calls: an application, or a client outside of the cluster by the gateway; and what names stand for.

use std::collections::BTreeSet;

use super::Seen;
use super::mesh::{Mesh, World};

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From<'a> {
    /// An application, through its sidecar if it has one.
    App(&'a str),
    /// A client of the ingress gateway.
    Outside,
}

impl<'a> From<'a> {
    pub(super) fn of(name: &'a str) -> Self {
        if name.starts_with("ingress:") {
            From::Outside
        } else {
            From::App(name)
        }
    }
}

/// The gateway's pod.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) address: &'static str,
    pub(super) name: &'static str,
    pub(super) namespace: &'static str,
    pub(super) label: &'static str,
}

pub(super) const GATEWAY: Gateway = Gateway {
    address: "10.1.0.100",
    name: "istio-ingressgateway",
    namespace: "istio-system",
    label: "ingressgateway",
};

/// A query for a name, written `NAME?&protocol=PROTOCOL&server=SERVER`. A server of the client's own choice on its own
/// address is not the agent, which takes what leaves for port 53 elsewhere; nobody is there.
pub(super) fn lookup(world: &World, mesh: &mut Mesh, from: From<'_>, asked: &str) -> Seen {
    let (name, options) = asked.split_once('?').unwrap_or((asked, ""));
    let mut seen = Seen::default();
    let local = options
        .split('&')
        .any(|option| option == "server=127.0.0.1");
    let (From::App(app), false) = (from, local) else {
        seen.why = "no DNS server is there".to_owned();
        return seen;
    };
    let found = mesh.name_table(world, app, name);
    let found = found.or_else(|| mesh.resolve(world, app, name).map(|one| vec![one]));
    if let Some(addresses) = found {
        seen.status = Some(200);
        seen.resolved = addresses.into_iter().collect::<BTreeSet<_>>();
    }
    seen
}
