//! `extensionProviders`, as far as proxies are told of them.

use std::collections::BTreeMap;

use meltemi_api::mesh_config as api;
use meltemi_model::Str;
use meltemi_model::provider::{CheckBody, ExtAuthz, ExtAuthzProtocol, ProviderService};
use meltemi_model::security::TextMatch;
use meltemi_validation::mesh::extension_provider::extension_providers;

use crate::lower::findings::Findings;

/// The providers that decide about requests. One with a mistake is left out: what it was to decide is refused then.
/// Istio 1.31: `processExtensionProvider`.
pub(super) fn ext_authz(
    root: &str,
    config: &api::MeshConfig,
    findings: &mut Findings,
) -> BTreeMap<Str, ExtAuthz> {
    let providers = &config.extension_providers;
    let mut out = BTreeMap::new();
    for (i, provider) in providers.iter().enumerate() {
        let at = format!("{root}.extensionProviders[{i}]");
        let lowered = match (
            &provider.envoy_ext_authz_http,
            &provider.envoy_ext_authz_grpc,
        ) {
            (Some(http), _) => over_http(http),
            (None, Some(grpc)) => over_grpc(grpc),
            (None, None) => continue,
        };
        let said = extension_providers(std::slice::from_ref(provider)).errors;
        let problem = problem(&provider.name).map(|message| ("name", message));
        let problem = problem.or_else(|| lowered.as_ref().err().cloned());
        for error in &said {
            findings.warning(&at, format!("{}; no policy can use it", error.message));
        }
        if let Some((field, message)) = &problem {
            let message = format!("{message}; no policy can use the provider");
            findings.warning(format!("{at}.{field}"), message);
        }
        // Of two with one name nobody knows which is meant.
        let name: Str = provider.name.as_str().into();
        let others = providers.iter().filter(|p| p.name == provider.name).count();
        if let (Ok(lowered), [], None, 1) = (lowered, said.as_slice(), problem, others) {
            out.insert(name, lowered);
        }
    }
    out
}

/// What a name must be so that it can be part of the names of rules. Istio 1.31: `validateProviderName`.
fn problem(name: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = name.chars().all(good) && !name.starts_with('-') && !name.ends_with('-');
    (!is_label || name.len() > 63).then(|| {
        format!("{name:?} is no name of a provider; write at most 63 lower case letters, digits and inner hyphens")
    })
}

type Lowered = Result<ExtAuthz, (&'static str, String)>;

fn over_http(api: &api::EnvoyExternalAuthorizationHttpProvider) -> Lowered {
    const FIELD: &str = "envoyExtAuthzHttp";
    let headers = |list: &[String]| {
        let list = list.iter().map(|name| match name.as_str() {
            "*" => Err((
                FIELD,
                "\"*\" alone is no list of headers; write a prefix or suffix".to_owned(),
            )),
            name => Ok(TextMatch::parse(name)),
        });
        list.collect::<Result<Vec<_>, _>>()
    };
    if !api.path_prefix.is_empty() && !api.path_prefix.starts_with('/') {
        let message = format!("the pathPrefix {:?} does not begin with /", api.path_prefix);
        return Err((FIELD, message));
    }
    // The old name of the field counts while the new one is empty.
    let mut request_headers = headers(&api.include_request_headers_in_check)?;
    let old = headers(&api.include_headers_in_check)?;
    if request_headers.is_empty() {
        request_headers = old;
    }
    let extra = api.include_additional_headers_in_check.iter();
    Ok(ExtAuthz {
        service: ProviderService::parse(&api.service, u16::try_from(api.port).unwrap_or(0)),
        timeout: api.timeout.and_then(|timeout| timeout.to_std()),
        fail_open: api.fail_open,
        clear_route_cache: api.clear_route_cache,
        status_on_error: status(&api.status_on_error).map_err(|message| (FIELD, message))?,
        body: body(api.include_request_body_in_check.as_ref()),
        protocol: ExtAuthzProtocol::Http {
            path_prefix: api.path_prefix.as_str().into(),
            request_headers,
            extra_headers: extra
                .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                .collect(),
            upstream_on_allow: headers(&api.headers_to_upstream_on_allow)?,
            downstream_on_deny: headers(&api.headers_to_downstream_on_deny)?,
            downstream_on_allow: headers(&api.headers_to_downstream_on_allow)?,
        },
    })
}

fn over_grpc(api: &api::EnvoyExternalAuthorizationGrpcProvider) -> Lowered {
    Ok(ExtAuthz {
        service: ProviderService::parse(&api.service, u16::try_from(api.port).unwrap_or(0)),
        timeout: api.timeout.and_then(|timeout| timeout.to_std()),
        fail_open: api.fail_open,
        clear_route_cache: api.clear_route_cache,
        status_on_error: status(&api.status_on_error)
            .map_err(|message| ("envoyExtAuthzGrpc", message))?,
        body: body(api.include_request_body_in_check.as_ref()),
        protocol: ExtAuthzProtocol::Grpc,
    })
}

fn body(api: Option<&api::EnvoyExternalAuthorizationRequestBody>) -> Option<CheckBody> {
    api.map(|body| CheckBody {
        max_bytes: body.max_request_bytes,
        allow_partial: body.allow_partial_message,
        as_bytes: body.pack_as_bytes,
    })
}

/// A status of Envoy's list (`envoy.type.v3.StatusCode`), which has not every number.
fn status(text: &str) -> Result<Option<u16>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let code = text.parse::<u16>().ok().filter(|code| {
        matches!(code, 100 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=417 | 421..=424 | 426 | 428 | 429 | 431 | 500..=508 | 510 | 511)
    });
    match code {
        Some(code) => Ok(Some(code)),
        None => Err(format!(
            "the statusOnError {text:?} is not an HTTP status; write for instance 503"
        )),
    }
}
