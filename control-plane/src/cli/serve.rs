//! `meltemi serve`: the control plane.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use meltemi_xds::server::Limits;

use super::{features, log};
use crate::app;
use crate::settings::{
    Cluster, DebugAccess, Listen, Objects, ServingFlags, Settings, Variables, environment,
    parse_address, parse_duration,
};

/// Arguments. istiod's own spellings are accepted too.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Serve the objects of this folder, which is watched, instead of a cluster's.
    #[arg(long, alias = "configDir", value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// The kubeconfig of the cluster; without one, the pod's own credentials [env: KUBECONFIG].
    #[arg(long, value_name = "FILE", conflicts_with = "config_dir")]
    kubeconfig: Option<PathBuf>,
    /// The namespace of the control plane [env: POD_NAMESPACE; default: istio-system].
    #[arg(long, short)]
    namespace: Option<String>,
    /// A file with the mesh configuration; the ConfigMap `istio` comes before it.
    #[arg(long, alias = "meshConfig", value_name = "FILE")]
    mesh_config: Option<PathBuf>,
    /// A file with the networks of the mesh; `meshNetworks` of the ConfigMap `istio` comes before it [default:
    /// ./etc/istio/config/meshNetworks, if it is there].
    #[arg(long, alias = "networksConfig", value_name = "FILE")]
    networks_config: Option<PathBuf>,
    /// Where ADS is served in plain text [default: port 15010].
    #[arg(long, alias = "grpcAddr", value_name = "ADDRESS")]
    grpc_addr: Option<String>,
    /// Where ADS and the CA are served over TLS, in a cluster [default: port 15012].
    #[arg(long, alias = "secureGRPCAddr", value_name = "ADDRESS")]
    secure_grpc_addr: Option<String>,
    /// Where /ready and /debug are served [default: port 8080].
    #[arg(long, alias = "httpAddr", value_name = "ADDRESS")]
    http_addr: Option<String>,
    /// Where the webhooks are served over TLS, in a cluster [default: port 15017].
    #[arg(long, alias = "httpsAddr", value_name = "ADDRESS")]
    https_addr: Option<String>,
    /// Where /metrics and /debug are served [default: port 15014].
    #[arg(long, alias = "monitoringAddr", value_name = "ADDRESS")]
    monitoring_addr: Option<String>,
    /// The certificate of ports 15012 and 15017, instead of one that the CA issues.
    #[arg(
        long,
        alias = "tlsCertFile",
        value_name = "FILE",
        requires = "tls_key_file"
    )]
    tls_cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(
        long,
        alias = "tlsKeyFile",
        value_name = "FILE",
        requires = "tls_cert_file"
    )]
    tls_key_file: Option<PathBuf>,
    /// The roots of clients' certificates, with --tls-cert-file.
    #[arg(
        long,
        alias = "caCertFile",
        value_name = "FILE",
        requires = "tls_cert_file"
    )]
    ca_cert_file: Option<PathBuf>,
    /// The DNS suffix of the cluster.
    #[arg(long, default_value = "cluster.local")]
    domain: String,
    /// The cluster's name [env: CLUSTER_ID; default: Kubernetes].
    #[arg(long, alias = "clusterID")]
    cluster_id: Option<String>,
    /// How long changes are gathered after the first of a burst, in milliseconds.
    #[arg(long, default_value_t = 25)]
    debounce_ms: u64,
    /// How long open streams may take to end after SIGTERM.
    #[arg(long, alias = "shutdownDuration", default_value = "5s", value_parser = duration)]
    drain: Duration,
    /// How long a client stays connected before it has to connect again; each a little shorter.
    #[arg(long, alias = "keepaliveMaxServerConnectionAge", value_name = "DURATION", value_parser = duration)]
    max_connection_age: Option<Duration>,
    #[command(flatten)]
    features: features::FeatureArgs,
    #[command(flatten)]
    log: log::LogArgs,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| "not a span of time; write for example 30s, 10m or 24h".to_owned())
}

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    log::start(&args.log)?;
    let settings = settings(args, environment())?;
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let signalled = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            signalled.cancel();
        });
        app::serve(settings, stop).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A directory is served to this machine only, a cluster to everybody: its pods are elsewhere.
fn settings(args: Args, variables: Variables) -> anyhow::Result<Settings> {
    let host = if args.config_dir.is_some() {
        "127.0.0.1"
    } else {
        ""
    };
    let address =
        |flag: &str, given: &Option<String>, port: u16| -> anyhow::Result<Option<SocketAddr>> {
            let text = given.clone().unwrap_or_else(|| format!("{host}:{port}"));
            parse_address(&text).with_context(|| format!("--{flag}"))
        };
    let listen = Listen {
        grpc: address("grpc-addr", &args.grpc_addr, 15010)?,
        secure_grpc: address("secure-grpc-addr", &args.secure_grpc_addr, 15012)?,
        http: address("http-addr", &args.http_addr, 8080)?,
        https: address("https-addr", &args.https_addr, 15017)?,
        monitoring: address("monitoring-addr", &args.monitoring_addr, 15014)?,
    };
    let cluster_id = args
        .cluster_id
        .unwrap_or_else(|| variables.text_or("CLUSTER_ID", "Kubernetes"));
    let limits = limits(args.max_connection_age, &variables)?;
    let debug = DebugAccess {
        open: !variables.switch("ENABLE_DEBUG_ENDPOINT_AUTH", true)?,
        namespaces: variables.list("DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES"),
    };
    let check_identity = variables.switch("PILOT_ENABLE_XDS_IDENTITY_CHECK", true)?;
    let objects = match args.config_dir {
        Some(directory) => Objects::Directory(directory),
        None => Objects::Cluster(Box::new(Cluster {
            kubeconfig: args.kubeconfig.or_else(|| kubeconfig(&variables)),
            namespace: args
                .namespace
                .unwrap_or_else(|| variables.text_or("POD_NAMESPACE", "istio-system")),
            pod: variables.text_or("POD_NAME", "meltemi"),
            revision: variables.text_or("REVISION", "default"),
            serving: args
                .tls_cert_file
                .zip(args.tls_key_file)
                .map(|(certificate, key)| ServingFlags {
                    certificate,
                    key,
                    roots: args.ca_cert_file,
                }),
            variables,
        })),
    };
    Ok(Settings {
        objects,
        mesh_config: args.mesh_config,
        networks_config: args.networks_config.or_else(mounted_networks),
        listen,
        domain: args.domain,
        cluster_id,
        features: args.features.lowered(),
        quiet: Duration::from_millis(args.debounce_ms),
        drain: args.drain,
        limits,
        check_identity,
        debug,
    })
}

/// What one client may take, by istiod's variables (two of which spell gRPC as istiod does).
fn limits(max_connection_age: Option<Duration>, variables: &Variables) -> anyhow::Result<Limits> {
    let defaults = Limits::default();
    let new_streams = variables.number("PILOT_MAX_REQUESTS_PER_SECOND")?;
    let request = variables.number("ISTIO_GPRC_MAXRECVMSGSIZE")?;
    let streams = variables.number("ISTIO_GPRC_MAXSTREAMS")?;
    let interval = variables.duration("GRPC_KEEPALIVE_INTERVAL")?;
    let timeout = variables.duration("GRPC_KEEPALIVE_TIMEOUT")?;
    Ok(Limits {
        max_request_bytes: request.unwrap_or(defaults.max_request_bytes),
        max_streams: streams.unwrap_or(defaults.max_streams),
        keepalive_interval: interval.unwrap_or(defaults.keepalive_interval),
        keepalive_timeout: timeout.unwrap_or(defaults.keepalive_timeout),
        max_connection_age,
        max_new_streams: new_streams
            .and_then(|number: f64| NonZeroU32::new(number.max(0.0).ceil() as u32)),
        ..defaults
    })
}

/// Where Istio's charts mount the ConfigMap `istio`.
fn mounted_networks() -> Option<PathBuf> {
    let path = PathBuf::from("./etc/istio/config/meshNetworks");
    path.is_file().then_some(path)
}

/// Istio's charts name a file that is there only when the cluster is another one.
fn kubeconfig(variables: &Variables) -> Option<PathBuf> {
    let path = PathBuf::from(variables.text("KUBECONFIG")?);
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Serve {
        #[command(flatten)]
        args: Args,
    }

    fn read(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let arguments = std::iter::once("serve").chain(arguments.iter().copied());
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        settings(
            Serve::try_parse_from(arguments)?.args,
            Variables::new(variables),
        )
    }

    #[test]
    fn istiods_flags_and_variables_are_understood() {
        let settings = read(
            &[
                "--monitoringAddr=:15014",
                "--grpcAddr=",
                "--domain",
                "example.org",
                "--keepaliveMaxServerConnectionAge",
                "30m",
                "--log_output_level=default:info",
            ],
            &[
                ("REVISION", "canary"),
                ("CLUSTER_ID", "one"),
                ("KUBECONFIG", "/nowhere"),
                ("ISTIO_GPRC_MAXRECVMSGSIZE", "8388608"),
                ("GRPC_KEEPALIVE_INTERVAL", "1m"),
            ],
        )
        .unwrap();
        assert_eq!(settings.listen.grpc, None);
        assert_eq!(settings.listen.https.unwrap().port(), 15017);
        assert_eq!(
            (&*settings.domain, &*settings.cluster_id),
            ("example.org", "one")
        );
        assert_eq!(
            settings.limits.max_connection_age,
            Some(Duration::from_secs(1800))
        );
        let Objects::Cluster(cluster) = settings.objects else {
            panic!("a cluster");
        };
        assert_eq!(
            (&*cluster.revision, &*cluster.namespace, cluster.kubeconfig),
            ("canary", "istio-system", None)
        );
    }

    #[test]
    fn a_directory_is_served_to_this_machine_only() {
        let settings = read(&["--config-dir", "mesh"], &[]).unwrap();
        assert!(settings.listen.http.unwrap().ip().is_loopback());
        assert!(matches!(settings.objects, Objects::Directory(_)));
    }

    #[test]
    fn mistakes_are_said() {
        for (arguments, variables, part) in [
            (&["--grpc-addr", "here"][..], &[][..], "--grpc-addr"),
            (
                &[],
                &[("PILOT_MAX_REQUESTS_PER_SECOND", "many")],
                "PILOT_MAX_REQUESTS_PER_SECOND",
            ),
            (&["--drain", "5"], &[], "30s"),
        ] {
            let error = format!("{:#}", read(arguments, variables).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}
