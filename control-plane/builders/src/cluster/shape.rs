//! What clusters to services have in common. A mesh has thousands of them and few shapes: most differ in names only, so
//! they are written by a stencil that is cut from one.
//!
//! The stencil of a shape is cut from the cluster of a stand-in: an input that has nothing but the shape and stand-ins for
//! names. The builder that makes it is the one that makes all clusters, so what it looks at and the shape lacks would be
//! missing in every cluster of the shape; debug builds compare each of them with the builder's.

use meltemi_model::mesh::Mesh;
use meltemi_model::port::Protocol;
use meltemi_model::service::{
    ExportTo, Resolution, Service, ServiceKey, ServicePort, TrafficDistribution, outbound_name,
    sni_name,
};
use meltemi_model::traffic::{MergedRule, Subset, TrafficPolicy};
use meltemi_model::{Hostname, Kind, Labels, ObjectKey, Shared, Str};
use meltemi_proto::canonical::Stencil;

use super::{ClusterFacet, Effective, OutboundCluster, effective, origin, outbound};
use crate::Built;

/// Everything that a cluster is made from but names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutboundShape {
    kubernetes: bool,
    mesh_external: bool,
    resolution: Resolution,
    distribution: TrafficDistribution,
    subject_alt_names: Vec<Str>,
    passthrough_target: Option<u16>,
    protocol: Protocol,
    identities: Vec<Str>,
    has_subset: bool,
    /// The kind of the object that the cluster's metadata names, where there are rules.
    rule: Option<Option<Kind>>,
    policy: Effective,
    rule_selects_workload: bool,
    all_mtls: bool,
    mtls_disabled: bool,
    sni_dnat: bool,
    mesh: Shared<Mesh>,
    facet: ClusterFacet,
}

/// Stand-ins for names. No name of Kubernetes or DNS has such characters.
const HOST: &str = "\u{1}host\u{1}";
const NAME: &str = "\u{1}name\u{1}";
const NAMESPACE: &str = "\u{1}namespace\u{1}";
const SUBSET: &str = "\u{1}subset\u{1}";
const RULE_NAME: &str = "\u{1}rule\u{1}";
const RULE_NAMESPACE: &str = "\u{1}of-rule\u{1}";

impl OutboundShape {
    /// The shape of a cluster; `None` where it has endpoints inside, or names that are put together otherwise.
    pub(super) fn of(input: &OutboundCluster) -> Option<Self> {
        let OutboundCluster {
            service,
            port,
            subset,
            rule,
            mesh,
            ..
        } = input;
        let named = |text: &str| !text.is_empty() && !text.contains('\u{1}');
        let simple = input.endpoints.is_none()
            && input.horizon.is_none()
            && mesh.outbound_stat_name.is_empty()
            && named(service.key.host.as_str())
            && named(&service.name)
            && named(&service.key.namespace);
        if !simple {
            return None;
        }
        let from = rule.as_ref().map(|rule| rule.from.first());
        if from
            .flatten()
            .is_some_and(|key| !named(&key.name) || !named(&key.namespace))
        {
            return None;
        }
        let identities = input.identities.iter().find(|(of, _)| *of == port.name);
        let target = service.passthrough_targets.iter();
        Some(Self {
            kubernetes: service.kubernetes,
            mesh_external: service.mesh_external,
            resolution: service.resolution,
            distribution: service.traffic_distribution,
            subject_alt_names: service.subject_alt_names.clone(),
            passthrough_target: target
                .copied()
                .find_map(|(of, to)| (of == port.number).then_some(to)),
            protocol: port.protocol,
            identities: identities
                .map(|(_, names)| names.clone())
                .unwrap_or_default(),
            has_subset: !subset.is_empty(),
            rule: from.map(|key| key.map(|key| key.kind)),
            policy: effective(rule.as_deref(), subset, port.number, mesh),
            rule_selects_workload: input.rule_selects_workload,
            all_mtls: input.all_mtls,
            mtls_disabled: input.mtls_disabled,
            sni_dnat: input.sni_dnat,
            mesh: mesh.clone(),
            facet: input.facet.clone(),
        })
    }

    /// An input of this shape with stand-ins for names.
    fn stand_in(&self) -> OutboundCluster {
        let subset = Str::from(if self.has_subset { SUBSET } else { "" });
        let rule = self.rule.map(|kind| MergedRule {
            from: kind
                .map(|kind| ObjectKey::new(kind, RULE_NAMESPACE, RULE_NAME))
                .into_iter()
                .collect(),
            policy: Some(TrafficPolicy {
                all: self.policy.port.clone(),
                ports: Vec::new(),
                tunnel: None,
                proxy_protocol: self.policy.proxy_protocol,
                retry_budget: self.policy.retry_budget.clone(),
            }),
            subsets: vec![Subset {
                name: subset.clone(),
                labels: Labels::default(),
                policy: None,
            }],
        });
        let port = ServicePort {
            name: "".into(),
            number: 0,
            protocol: self.protocol,
        };
        OutboundCluster {
            service: Shared::new(self.service(&port)),
            port,
            subset,
            rule: rule.map(Shared::new),
            rule_selects_workload: self.rule_selects_workload,
            identities: Shared::new(vec![("".into(), self.identities.clone())]),
            endpoints: None,
            horizon: None,
            all_mtls: self.all_mtls,
            mtls_disabled: self.mtls_disabled,
            sni_dnat: self.sni_dnat,
            mesh: self.mesh.clone(),
            facet: self.facet.clone(),
        }
    }

    fn service(&self, port: &ServicePort) -> Service {
        let target = self.passthrough_target;
        Service {
            key: ServiceKey {
                host: Hostname(HOST.into()),
                namespace: NAMESPACE.into(),
            },
            name: NAME.into(),
            object: ObjectKey::new(Kind::Service, NAMESPACE, NAME),
            kubernetes: self.kubernetes,
            created: 0,
            labels: Labels::default(),
            resolution: self.resolution,
            addresses: Vec::new(),
            allocated: Vec::new(),
            external_addresses: Vec::new(),
            ports: vec![port.clone()],
            mesh_external: self.mesh_external,
            export_to: ExportTo::Default,
            headless: false,
            subject_alt_names: self.subject_alt_names.clone(),
            publish_not_ready: false,
            node_local: false,
            traffic_distribution: self.distribution,
            selector: Labels::default(),
            external_name: None,
            aliases: Vec::new(),
            passthrough_targets: target.map(|to| (port.number, to)).into_iter().collect(),
        }
    }
}

/// Names as the stencil has holes for them, longer ones before those that they contain.
fn names<'a>(
    input: &'a OutboundCluster,
    cluster: &'a str,
    sni: &'a str,
    rule: (&'a str, &'a str),
) -> [&'a str; 8] {
    let key = &input.service.key;
    [
        cluster,
        sni,
        key.host.as_str(),
        &input.service.name,
        &key.namespace,
        &input.subset,
        rule.0,
        rule.1,
    ]
}

fn cluster_name(input: &OutboundCluster) -> String {
    outbound_name(input.port.number, &input.subset, &input.service.key.host)
}

fn server_name(input: &OutboundCluster) -> String {
    sni_name(input.port.number, &input.subset, &input.service.key.host)
}

/// The stencil of a shape; `None` where the stand-in's settings are not the shape's.
pub(super) fn stencil(shape: &OutboundShape) -> Option<Stencil> {
    let input = shape.stand_in();
    let policy = effective(
        input.rule.as_deref(),
        &input.subset,
        input.port.number,
        &input.mesh,
    );
    if policy != shape.policy {
        return None;
    }
    let (name, sni) = (cluster_name(&input), server_name(&input));
    let stand_ins = names(&input, &name, &sni, (RULE_NAMESPACE, RULE_NAME));
    Stencil::cut(&outbound::build(&input), &stand_ins)
}

/// The cluster by the stencil of its shape.
pub(super) fn fill(input: &OutboundCluster, stencil: &Stencil) -> Built {
    let (name, sni) = (cluster_name(input), server_name(input));
    let rule = input.rule.as_ref().and_then(|rule| rule.from.first());
    let rule = rule.map_or(("", ""), |key| (&*key.namespace, &*key.name));
    let body = stencil.fill(&names(input, &name, &sni, rule));
    Built {
        name: if input.sni_dnat {
            sni.into()
        } else {
            name.into()
        },
        body,
        from: origin(&input.service, input.rule.as_ref()),
    }
}
