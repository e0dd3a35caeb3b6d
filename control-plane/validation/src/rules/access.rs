//! Values of AuthorizationPolicies.

use super::cidr::{is_ip, is_prefix};
use crate::Check;

/// No value may be empty. Istio 1.31: `CheckEmptyValues`.
pub fn not_empty(name: &str, values: &[String]) -> Check {
    if values.iter().any(String::is_empty) {
        return Err(format!("empty value not allowed, found in {name}"));
    }
    Ok(())
}

/// A wildcard stands at the beginning or the end only. Istio 1.31: `CheckWildcardValues`.
fn wildcards(name: &str, values: &[String]) -> Check {
    not_empty(name, values)?;
    for value in values {
        match value.matches('*').count() {
            0 => {}
            1 if value.starts_with('*') || value.ends_with('*') => {}
            1 => {
                return Err(format!(
                    "wildcard is only allowed at the start or end, found in {name}: {value:?}"
                ));
            }
            _ => {
                return Err(format!(
                    "at most one wildcard is allowed, found in {name}: {value:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Trust domains. Istio 1.31: `CheckTrustDomainValues`.
pub fn trust_domains(name: &str, values: &[String]) -> Check {
    wildcards(name, values)?;
    match values.iter().find(|value| value.contains('/')) {
        Some(value) => Err(format!(
            "trust domain must not contain '/', found in {name}: {value:?}"
        )),
        None => Ok(()),
    }
}

/// `account` or `namespace/account`, at most 16. Istio 1.31: `CheckServiceAccount`.
pub fn service_accounts(name: &str, values: &[String]) -> Check {
    if values.len() > 16 {
        return Err("may not have more than 16 values".to_owned());
    }
    const FORM: &str = "expected format 'serviceAccount' or 'namespace/serviceAccount', found";
    for value in values {
        if value.is_empty() {
            return Err(format!("empty value not allowed, found in {name}"));
        }
        if value.contains('*') {
            return Err(format!("wildcard not allowed, found in {name}"));
        }
        if value.matches('/').count() > 1 {
            return Err(format!("{FORM} {value:?} in {name}"));
        }
        if value.len() > 320 {
            return Err(format!(
                "value cannot exceed 320 characters, found {value:?} in {name}"
            ));
        }
        match value.split_once('/') {
            Some(("", _)) => return Err(format!("{FORM} empty namespace {value:?} in {name}")),
            Some((_, "")) => {
                return Err(format!("{FORM} empty serviceAccount {value:?} in {name}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// IP addresses and CIDR blocks, each error for itself. Istio 1.31: `security.ValidateIPs`.
pub fn ip_blocks(values: &[String]) -> Vec<String> {
    let wrong = |value: &&String| {
        if value.contains('/') {
            !is_prefix(value)
        } else {
            !is_ip(value)
        }
    };
    let said = |value: &String| {
        if value.contains('/') {
            format!("bad CIDR range ({value}): write for instance 10.0.0.0/8")
        } else {
            format!("bad IP address ({value})")
        }
    };
    values.iter().filter(wrong).map(said).collect()
}

/// Ports as text, each error for itself. Istio 1.31: `security.ValidatePorts`, where 0 is a port.
pub fn ports(values: &[String]) -> Vec<String> {
    let wrong = |value: &&String| {
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        !digits || value.trim_start_matches('0').len() > 5 || {
            value.parse::<u64>().is_ok_and(|port| port > 65_535)
        }
    };
    let said = |value: &String| format!("bad port ({value}): write a number from 0 to 65535");
    values.iter().filter(wrong).map(said).collect()
}

/// Paths with `{*}` and `{**}`. Istio 1.31: `CheckValidPathTemplate`.
pub fn path_templates(name: &str, paths: &[String]) -> Check {
    for path in paths {
        let template = path.contains("{*}") || path.contains("{**}");
        let path = path.trim_matches('/');
        let wrong = |why: &str| {
            Err(format!(
                "invalid or unsupported path {path}, found in {name}. {why}"
            ))
        };
        let mut ended = false;
        for segment in path.split('/') {
            if matches!(segment, "{*}" | "{**}") {
                if ended {
                    return wrong("{**} is not the last operator");
                }
                ended = segment == "{**}";
                continue;
            }
            if segment.contains(['{', '}']) {
                return wrong("Contains '{' or '}' beyond a supported path template");
            }
            let literal = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=".contains(&b);
            if template && (segment.is_empty() || !segment.bytes().all(literal)) {
                return wrong(&format!(
                    "Contains segment {segment} with invalid string literal"
                ));
            }
        }
    }
    Ok(())
}

/// The values of a condition, each error for itself. Istio 1.31: `security.ValidateAttribute`.
pub fn attribute(key: &str, values: &[String]) -> Result<(), String> {
    not_empty(key, values)?;
    let all = |errors: Vec<String>| match errors.is_empty() {
        true => Ok(()),
        false => Err(errors.join("; ")),
    };
    match key {
        "source.ip" | "remote.ip" | "destination.ip" => all(ip_blocks(values)),
        "destination.port" => all(ports(values)),
        "source.serviceAccount" => service_accounts(key, values),
        "source.trustDomain" => wildcards(key, values),
        "source.namespace"
        | "source.principal"
        | "request.auth.principal"
        | "request.auth.audiences"
        | "request.auth.presenter"
        | "connection.sni" => Ok(()),
        "destination.namespace" => Err(format!(
            "attribute {key} is replaced by the metadata.namespace"
        )),
        "destination.name" | "destination.user" => Err(format!(
            "deprecated attribute {key}: only supported in v1alpha1"
        )),
        _ if key.starts_with("request.headers")
            || key.starts_with("request.auth.claims")
            || key.starts_with("experimental.envoy.filters.") =>
        {
            map_key(key)
        }
        _ if key.starts_with("destination.labels") => Err(format!(
            "attribute {key} is replaced by the workload selector"
        )),
        _ => Err(format!("unknown attribute: {key}")),
    }
}

/// `a[b]`.
fn map_key(key: &str) -> Check {
    let good = key
        .find('[')
        .is_some_and(|open| open > 0 && open + 2 < key.len() && key.ends_with(']'));
    if good {
        return Ok(());
    }
    Err(format!("bad key ({key}): should have format a[b]"))
}
