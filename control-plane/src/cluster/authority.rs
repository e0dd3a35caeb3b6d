//! The certificate authority's settings, by Istio's names, and what it asks of Kubernetes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use meltemi_ca::identity::trust_domain;
use meltemi_ca::settings::{
    Callers, Lifetimes, RootKey, Roots, Serving, ServingFiles, node_accounts, serving_names,
};
use meltemi_model::mesh::Mesh;

use crate::settings::{Cluster, ServingFlags, Variables};

/// Where the signing key comes from, and how long certificates live.
pub(super) fn roots(variables: &Variables, mesh: &Mesh) -> anyhow::Result<(Roots, Lifetimes)> {
    let lifetimes = Lifetimes::default();
    let lifetimes = Lifetimes {
        default: positive(variables, "DEFAULT_WORKLOAD_CERT_TTL", lifetimes.default)?,
        max: positive(variables, "MAX_WORKLOAD_CERT_TTL", lifetimes.max)?,
    };
    let roots = Roots::default();
    let percent = variables.number("CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE")?;
    let interval = variables.duration("CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL")?;
    let roots = Roots {
        dir: variables
            .text("ROOT_CA_DIR")
            .map_or(roots.dir, PathBuf::from),
        trust_domain: trust_domain(&mesh.trust_domain),
        root_lifetime: positive(
            variables,
            "CITADEL_SELF_SIGNED_CA_CERT_TTL",
            roots.root_lifetime,
        )?,
        key: key(variables)?,
        check_interval: interval.unwrap_or(roots.check_interval),
        grace_percent: percent.unwrap_or(roots.grace_percent),
        jitter: variables.switch("CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR", roots.jitter)?,
        in_cacerts: variables.switch("USE_CACERTS_FOR_SELF_SIGNED_CA", roots.in_cacerts)?,
        multi_root: variables.switch("ISTIO_MULTIROOT_MESH", roots.multi_root)?,
        ..roots
    };
    Ok((roots, lifetimes))
}

fn key(variables: &Variables) -> anyhow::Result<RootKey> {
    const NAME: &str = "CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE";
    Ok(match variables.number(NAME)? {
        None | Some(2048) => RootKey::Rsa2048,
        Some(3072) => RootKey::Rsa3072,
        Some(4096) => RootKey::Rsa4096,
        Some(other) => anyhow::bail!("{NAME} is {other}; write 2048, 3072 or 4096"),
    })
}

/// Who may call.
pub(super) fn callers(variables: &Variables, mesh: &Mesh) -> anyhow::Result<Callers> {
    let defaults = Callers::default();
    let mut audiences = variables.list("TOKEN_AUDIENCES");
    if audiences.is_empty() {
        audiences = defaults.audiences;
    }
    let gateways = variables.list("TRUSTED_GATEWAY_CIDR");
    let trusted_gateways = gateways.iter().map(|range| {
        range
            .parse()
            .with_context(|| format!("TRUSTED_GATEWAY_CIDR: {range:?} is no range of addresses"))
    });
    let accounts = variables
        .text("CA_TRUSTED_NODE_ACCOUNTS")
        .unwrap_or_default();
    Ok(Callers {
        trust_domain: trust_domain(&mesh.trust_domain),
        audiences,
        trusted_gateways: trusted_gateways.collect::<anyhow::Result<_>>()?,
        xds_auth: variables.switch("XDS_AUTH", defaults.xds_auth)?,
        plaintext: variables.switch("XDS_AUTH_PLAINTEXT", defaults.plaintext)?,
        node_accounts: node_accounts(accounts).map_err(anyhow::Error::msg)?,
        ..defaults
    })
}

/// The certificate of our own ports.
pub(super) fn serving(cluster: &Cluster, discovery_address: &str) -> anyhow::Result<Serving> {
    let variables = &cluster.variables;
    let defaults = Serving::default();
    let names = serving_names(
        discovery_address,
        variables.text("ISTIOD_CUSTOM_HOST").unwrap_or_default(),
        &cluster.namespace,
        &cluster.revision,
    );
    let lifetime = positive(
        variables,
        "CITADEL_SELF_SIGNED_CA_CERT_TTL",
        defaults.lifetime,
    )?;
    let files = match (variables.text("PILOT_CERT_PROVIDER"), &cluster.serving) {
        (None | Some("istiod"), None) => None,
        (None | Some("istiod" | "custom"), Some(flags)) => Some(files(flags.clone())),
        (Some("custom"), None) => Some(files(ServingFlags::mounted())),
        (Some(other), _) => anyhow::bail!(
            "PILOT_CERT_PROVIDER {other:?} is not supported; write istiod, or custom with mounted files"
        ),
    };
    Ok(Serving {
        names,
        lifetime,
        files,
        ..defaults
    })
}

fn files(flags: ServingFlags) -> ServingFiles {
    ServingFiles {
        certificate: flags.certificate,
        key: flags.key,
        roots: flags.roots,
    }
}

fn positive(variables: &Variables, name: &str, default: Duration) -> anyhow::Result<Duration> {
    match variables.duration(name)? {
        Some(Duration::ZERO) => anyhow::bail!("{name} is 0; write a span of time such as 24h"),
        Some(duration) => Ok(duration),
        None => Ok(default),
    }
}
