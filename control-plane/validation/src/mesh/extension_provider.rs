//! `extensionProviders`. Istio 1.31: `validateExtensionProvider`.

use std::collections::BTreeSet;

use meltemi_api::mesh_config::{
    EnvoyExternalAuthorizationGrpcProvider, EnvoyExternalAuthorizationHttpProvider,
    ExtensionProvider, LightstepTracingProvider, OpenTelemetryTracingProvider,
};

use crate::object::elements;
use crate::rules::host::{self, Reader};
use crate::rules::{cidr, port, url};
use crate::{Check, Findings};

/// All providers of a mesh. Istio logs what is wrong with them, and goes on.
pub fn extension_providers(providers: &[ExtensionProvider]) -> Findings {
    let mut found = Findings::default();
    let mut names = BTreeSet::new();
    for (at, provider) in elements("extensionProviders", providers) {
        let mut part = Findings::default();
        if provider.name.is_empty() {
            part.error(format!("{at}.name"), "empty extension provider name");
        } else if !names.insert(&provider.name) {
            let message = format!("duplicate extension provider name {}", provider.name);
            part.error(format!("{at}.name"), message);
        }
        of_kind(&mut part, &at, provider);
        for error in part.errors {
            let message = format!(
                "invalid extension provider {}: {}",
                provider.name, error.message
            );
            found.error(error.path, message);
        }
    }
    found
}

fn of_kind(found: &mut Findings, at: &str, provider: &ExtensionProvider) {
    let addressed = [
        provider
            .zipkin
            .as_ref()
            .map(|p| (&p.service, p.port, "zipkin")),
        provider
            .datadog
            .as_ref()
            .map(|p| (&p.service, p.port, "datadog")),
        provider
            .opencensus
            .as_ref()
            .map(|p| (&p.service, p.port, "opencensus")),
        provider
            .skywalking
            .as_ref()
            .map(|p| (&p.service, p.port, "skywalking")),
        provider
            .envoy_otel_als
            .as_ref()
            .map(|p| (&p.service, p.port, "envoyOtelAls")),
        provider
            .envoy_http_als
            .as_ref()
            .map(|p| (&p.service, p.port, "envoyHttpAls")),
        provider
            .envoy_tcp_als
            .as_ref()
            .map(|p| (&p.service, p.port, "envoyTcpAls")),
    ];
    if let Some((name, number, field)) = addressed.into_iter().flatten().next() {
        service_and_port(found, &format!("{at}.{field}"), name, number);
    } else if let Some(provider) = &provider.lightstep {
        lightstep(found, &format!("{at}.lightstep"), provider);
    } else if let Some(provider) = &provider.opentelemetry {
        opentelemetry(found, &format!("{at}.opentelemetry"), provider);
    } else if let Some(provider) = &provider.envoy_ext_authz_http {
        ext_authz_http(found, &format!("{at}.envoyExtAuthzHttp"), provider);
    } else if let Some(provider) = &provider.envoy_ext_authz_grpc {
        ext_authz_grpc(found, &format!("{at}.envoyExtAuthzGrpc"), provider);
    } else if provider.prometheus.is_none()
        && provider.stackdriver.is_none()
        && provider.envoy_file_access_log.is_none()
    {
        found.error(at, "unsupported provider");
    }
}

/// What most providers have. The tracers of Zipkin, Datadog, OpenCensus and SkyWalking, and the access logs, have no more.
pub fn service_and_port(found: &mut Findings, at: &str, name: &str, number: u32) {
    service(found, &format!("{at}.service"), name);
    let check = port::port(number).map_err(|why| format!("invalid service port: {why}"));
    found.check(format!("{at}.port"), check);
}

/// `host`, or `namespace/host`. Istio 1.31: `validateExtensionProviderService`.
pub fn service(found: &mut Findings, at: &str, service: &str) {
    if service.is_empty() {
        found.error(at, "service must not be empty");
    } else if service.contains('/') {
        host::namespaced(found, at, service, Reader::Sidecar);
    } else if host::fqdn(service).is_err()
        && let Err(why) = cidr::ip(service)
    {
        found.error(at, format!("invalid service fmt {service}: {why}"));
    }
}

/// A tracer of Lightstep. Istio 1.31: `validateExtensionProviderTracingLightStep`.
pub fn lightstep(found: &mut Findings, at: &str, provider: &LightstepTracingProvider) {
    service_and_port(found, at, &provider.service, provider.port);
    if provider.access_token.is_empty() {
        found.error(format!("{at}.accessToken"), "access token is required");
    }
}

/// A tracer of OpenTelemetry. Istio 1.31: `ValidateExtensionProviderTracingOpentelemetry`.
pub fn opentelemetry(found: &mut Findings, at: &str, provider: &OpenTelemetryTracingProvider) {
    service_and_port(found, at, &provider.service, provider.port);
    if provider.grpc.is_some() && provider.http.is_some() {
        found.error(
            at,
            "OpenTelemetryTracingProvider cannot specify both grpc and http",
        );
    }
}

/// An authorizer over HTTP. Istio 1.31: `ValidateExtensionProviderEnvoyExtAuthzHTTP`.
pub fn ext_authz_http(
    found: &mut Findings,
    at: &str,
    provider: &EnvoyExternalAuthorizationHttpProvider,
) {
    service_and_port(found, at, &provider.service, provider.port);
    found.check(
        format!("{at}.statusOnError"),
        status_on_error(&provider.status_on_error),
    );
    let prefix = &provider.path_prefix;
    if prefix.is_empty() {
        return;
    }
    let at = format!("{at}.pathPrefix");
    if let Err(why) = url::parse(prefix) {
        found.error(&at, format!("invalid pathPrefix {prefix}: {why}"));
    }
    if !prefix.starts_with('/') {
        let message = format!("pathPrefix should begin with `/` but found {prefix:?}");
        found.error(at, message);
    }
}

/// An authorizer over gRPC. Istio 1.31: `ValidateExtensionProviderEnvoyExtAuthzGRPC`.
pub fn ext_authz_grpc(
    found: &mut Findings,
    at: &str,
    provider: &EnvoyExternalAuthorizationGrpcProvider,
) {
    service_and_port(found, at, &provider.service, provider.port);
    found.check(
        format!("{at}.statusOnError"),
        status_on_error(&provider.status_on_error),
    );
}

/// A status that Envoy can answer with (`envoy.type.v3.StatusCode`).
/// Istio 1.31: `validateExtensionProviderEnvoyExtAuthzStatusOnError`.
pub fn status_on_error(text: &str) -> Check {
    if text.is_empty() {
        return Ok(());
    }
    let status: i32 = text
        .parse()
        .map_err(|_| format!("invalid statusOnError value {text}: write a number such as 403"))?;
    let known = matches!(
        status,
        0 | 100
            | 200..=208
            | 226
            | 300..=305
            | 307
            | 308
            | 400..=417
            | 421..=424
            | 426
            | 428
            | 429
            | 431
            | 500..=508
            | 510
            | 511
    );
    if known {
        return Ok(());
    }
    Err(format!(
        "unsupported statusOnError value {text}, write a status of HTTP that is registered"
    ))
}
