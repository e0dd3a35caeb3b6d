//! The cluster's certificates and the kubeconfigs of its parts. They live as long as the run.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::node::{ADDRESS, API_SERVER, NODE};

/// The address of the Service `kubernetes`.
const SERVICE: &str = "10.96.0.1";

/// A certificate authority of the cluster.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate to be made.
struct Wanted<'a> {
    name: &'a str,
    /// Kubernetes: the user.
    common: &'a str,
    /// Kubernetes: the user's group.
    organization: Option<&'a str>,
    /// DNS names and addresses; none for a client.
    hosts: &'a [&'a str],
    client: bool,
}

const SERVER_HOSTS: [&str; 8] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    SERVICE,
    ADDRESS,
    "127.0.0.1",
];

/// Clients with a kubeconfig: file, user, group.
const CLIENTS: [(&str, &str, Option<&str>); 4] = [
    ("admin", "admin", Some("system:masters")),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("kube-proxy", "system:kube-proxy", None),
];

/// Writes everything into a folder.
pub(crate) fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let ca = authority(folder, "ca", "lab-ca")?;
    let front = authority(folder, "front-proxy-ca", "front-proxy-ca")?;
    let client = |name, common, organization| Wanted {
        name,
        common,
        organization,
        hosts: &[],
        client: true,
    };
    let server = Wanted {
        hosts: &SERVER_HOSTS,
        client: false,
        ..client("apiserver", "kube-apiserver", None)
    };
    issue(folder, &ca, &server)?;
    let masters = Some("system:masters");
    issue(
        folder,
        &ca,
        &client(
            "apiserver-kubelet-client",
            "kube-apiserver-kubelet-client",
            masters,
        ),
    )?;
    issue(
        folder,
        &front,
        &client("front-proxy-client", "front-proxy-client", None),
    )?;
    for (name, common, organization) in CLIENTS {
        issue(folder, &ca, &client(name, common, organization))?;
        kubeconfig(folder, name)?;
    }
    let user = format!("system:node:{NODE}");
    let kubelet = Wanted {
        hosts: &[NODE, ADDRESS, "127.0.0.1"],
        ..client("kubelet", &user, Some("system:nodes"))
    };
    issue(folder, &ca, &kubelet)?;
    kubeconfig(folder, "kubelet")?;
    let key = KeyPair::generate().context("the service accounts' key")?;
    save(folder, "sa.key", &key.serialize_pem())?;
    save(folder, "sa.pub", &key.public_key_pem())
}

fn authority(folder: &Path, name: &str, common: &str) -> Result<Authority> {
    let key = KeyPair::generate().context("a key")?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params
        .self_signed(&key)
        .context("a root certificate")?
        .pem();
    save(folder, &format!("{name}.crt"), &certificate)?;
    save(folder, &format!("{name}.key"), &key.serialize_pem())?;
    Ok(Authority {
        issuer: Issuer::new(params, key),
        certificate,
    })
}

fn issue(folder: &Path, authority: &Authority, wanted: &Wanted<'_>) -> Result<()> {
    let key = KeyPair::generate().context("a key")?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, wanted.common);
    if let Some(organization) = wanted.organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if wanted.client {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    if !wanted.hosts.is_empty() {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    for host in wanted.hosts {
        params.subject_alt_names.push(match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*host).try_into().context("a DNS name")?),
        });
    }
    let certificate = params
        .signed_by(&key, &authority.issuer)
        .context("a certificate")?;
    // The chain: some clients want to see the issuer too.
    let chain = format!("{}{}", certificate.pem(), authority.certificate);
    save(folder, &format!("{}.crt", wanted.name), &chain)?;
    save(
        folder,
        &format!("{}.key", wanted.name),
        &key.serialize_pem(),
    )
}

fn kubeconfig(folder: &Path, name: &str) -> Result<()> {
    let encoded = |file: String| -> Result<String> {
        let path = folder.join(file);
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(STANDARD.encode(bytes))
    };
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {
            "server": format!("https://{API_SERVER}"),
            "certificate-authority-data": encoded("ca.crt".to_owned())?,
        }}],
        "users": [{"name": name, "user": {
            "client-certificate-data": encoded(format!("{name}.crt"))?,
            "client-key-data": encoded(format!("{name}.key"))?,
        }}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
        "current-context": "lab",
    });
    save(folder, &format!("{name}.kubeconfig"), &config.to_string())
}

fn save(folder: &Path, name: &str, text: &str) -> Result<()> {
    fs::write(folder.join(name), text).with_context(|| format!("writing {name}"))
}
