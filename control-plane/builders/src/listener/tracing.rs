//! Tracing and request ids. Istio 1.31: `configureTracing` with the mesh's settings.

use meltemi_model::mesh::TracingTag;

use super::facet::{TracedWorkload, Tracing};
use super::pb;

use pb::hcm::http_connection_manager as manager;
use pb::r#type::metadata::v3::metadata_key::{PathSegment, path_segment::Segment};
use pb::r#type::metadata::v3::{MetadataKey, MetadataKind, metadata_kind};
use pb::r#type::tracing::v3::{CustomTag, custom_tag};
use pb::r#type::v3::Percent;

/// The HTTP filter whose dynamic metadata tells what a policy in dry run would have done.
const RBAC: &str = "envoy.filters.http.rbac";

/// (tag, key in the metadata of [`RBAC`]), sorted by tag. They are set only where a policy runs dry.
const DRY_RUN: [(&str, &str); 4] = [
    (
        "istio.authorization.dry_run.allow_policy.name",
        "istio_dry_run_allow_shadow_effective_policy_id",
    ),
    (
        "istio.authorization.dry_run.allow_policy.result",
        "istio_dry_run_allow_shadow_engine_result",
    ),
    (
        "istio.authorization.dry_run.deny_policy.name",
        "istio_dry_run_deny_shadow_effective_policy_id",
    ),
    (
        "istio.authorization.dry_run.deny_policy.result",
        "istio_dry_run_deny_shadow_engine_result",
    ),
];

/// The message; tags are sorted by name.
pub(super) fn tracing(settings: &Tracing) -> manager::Tracing {
    let percent = |value: f64| Some(Percent { value });
    let mut tags: Vec<CustomTag> = settings.own.iter().flat_map(own_tags).collect();
    tags.extend(
        settings
            .tags
            .iter()
            .map(|(tag, value)| users_tag(tag, value)),
    );
    tags.sort_by(|a, b| a.tag.cmp(&b.tag));
    manager::Tracing {
        client_sampling: percent(100.0),
        random_sampling: percent(f64::from(settings.sampling) / 10_000.0),
        overall_sampling: percent(100.0),
        max_path_tag_length: settings.max_path_tag_length.map(pb::u32),
        custom_tags: tags,
        ..Default::default()
    }
}

/// Istio 1.31: `buildServiceTags`, and what policies that run dry would have done.
fn own_tags(workload: &TracedWorkload) -> impl Iterator<Item = CustomTag> {
    let literals = [
        ("istio.canonical_revision", &workload.revision),
        ("istio.canonical_service", &workload.service),
        ("istio.cluster_id", &workload.cluster_id),
        ("istio.mesh_id", &workload.mesh_id),
        ("istio.namespace", &workload.namespace),
    ];
    let dry = DRY_RUN.into_iter().map(|(tag, key)| dry_run(tag, key));
    dry.chain(literals.map(|(tag, value)| literal(tag, value)))
}

/// A tag of the user's.
fn users_tag(tag: &str, value: &TracingTag) -> CustomTag {
    let of = |r#type| CustomTag {
        tag: tag.to_owned(),
        r#type: Some(r#type),
    };
    match value {
        TracingTag::Literal(text) => literal(tag, text),
        TracingTag::Environment(name, default) => {
            of(custom_tag::Type::Environment(custom_tag::Environment {
                name: name.to_string(),
                default_value: default.to_string(),
            }))
        }
        TracingTag::Header(name, default) => {
            of(custom_tag::Type::RequestHeader(custom_tag::Header {
                name: name.to_string(),
                default_value: default.to_string(),
            }))
        }
    }
}

fn literal(tag: &str, value: &str) -> CustomTag {
    CustomTag {
        tag: tag.to_owned(),
        r#type: Some(custom_tag::Type::Literal(custom_tag::Literal {
            value: value.to_owned(),
        })),
    }
}

fn dry_run(tag: &str, key: &str) -> CustomTag {
    let metadata = custom_tag::Metadata {
        kind: Some(MetadataKind {
            kind: Some(metadata_kind::Kind::Request(metadata_kind::Request {})),
        }),
        metadata_key: Some(MetadataKey {
            key: RBAC.to_owned(),
            path: vec![PathSegment {
                segment: Some(Segment::Key(key.to_owned())),
            }],
        }),
        ..Default::default()
    };
    CustomTag {
        tag: tag.to_owned(),
        r#type: Some(custom_tag::Type::Metadata(metadata)),
    }
}

/// Request ids are UUIDs, and carry the decision to trace. Istio 1.31: `BuildUUIDRequestIDExtension`.
pub(super) fn request_id() -> pb::hcm::RequestIdExtension {
    let config = pb::extensions::request_id::uuid::v3::UuidRequestIdConfig {
        use_request_id_for_trace_sampling: Some(pb::bool(true)),
        ..Default::default()
    };
    pb::hcm::RequestIdExtension {
        typed_config: Some(pb::any(&config)),
    }
}
