//! Rules in isolation: each is found by the name that Istio's function bears.

use std::path::Path;

use meltemi_api::mesh_config::{AuthenticationPolicy, MeshConfig, MeshProxyConfig};
use meltemi_api::selector::PolicyTargetReference;
use meltemi_api::virtual_service::{HttpMatchRequest, RouteDestination};
use meltemi_api::{Duration, parse};
use meltemi_validation::kinds::virtual_service;
use meltemi_validation::kinds::{destination_rule, gateway, telemetry};
use meltemi_validation::mesh::extension_provider as provider;
use meltemi_validation::rules::export_to::Of;
use meltemi_validation::rules::{
    access, cidr, connection_pool, duration, export_to, header, host, load_balancer, locality,
    number, outlier, port, protocol, selector, target_ref, tls, url,
};
use meltemi_validation::{Check, Findings, mesh};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cases::{Decision, Tally, corpus, load};

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    valid: bool,
    warning: Option<String>,
    rule: String,
    args: Vec<Value>,
}

/// What a rule says; an argument that cannot be read is refused as well.
type Said = Result<Findings, String>;

impl Case {
    fn text(&self, i: usize) -> &str {
        self.args[i].as_str().unwrap_or("")
    }

    fn number(&self, i: usize) -> i64 {
        self.args[i].as_i64().unwrap_or_default()
    }

    fn yes(&self, i: usize) -> bool {
        self.args[i].as_bool().unwrap_or_default()
    }

    fn texts(&self, i: usize) -> Vec<String> {
        let list = self.args[i].as_array().into_iter().flatten();
        list.filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    }

    /// A message; `None` for none.
    fn message<T: DeserializeOwned>(&self, i: usize) -> Result<Option<T>, String> {
        let value = match self.args[i].get("value") {
            None => &self.args[i],
            Some(value) => value,
        };
        if value.is_null() {
            return Ok(None);
        }
        let parsed = parse(value).map_err(|error| error.to_string())?;
        Ok(Some(parsed.value))
    }

    fn messages<T: DeserializeOwned>(&self, i: usize) -> Result<Vec<T>, String> {
        Ok(self.message::<Vec<T>>(i)?.unwrap_or_default())
    }
}

fn checked(check: Check) -> Said {
    let mut found = Findings::default();
    found.check("", check);
    Ok(found)
}

fn gathered(rule: impl FnOnce(&mut Findings)) -> Said {
    let mut found = Findings::default();
    rule(&mut found);
    Ok(found)
}

/// A rule about one message that may be absent.
fn about<T: DeserializeOwned>(case: &Case, rule: impl FnOnce(&mut Findings, &T)) -> Said {
    let message = case.message::<T>(0)?;
    gathered(|found| {
        if let Some(message) = &message {
            rule(found, message);
        }
    })
}

fn scalar(case: &Case) -> Option<Said> {
    Some(match &*case.rule {
        "ExtensionProviderService" => gathered(|f| provider::service(f, "", case.text(0))),
        "ExtensionProviderEnvoyExtAuthzStatusOnError" => {
            checked(provider::status_on_error(case.text(0)))
        }
        "FQDN" => checked(host::fqdn(case.text(0))),
        "Port" => checked(port::port(case.number(0))),
        "PortName" => checked(port::name(case.text(0))),
        "Protocol" => checked(protocol::known(case.text(0))),
        "Percent" => checked(number::percent(case.number(0) as i32)),
        "ControlPlaneAuthPolicy" => parse::<AuthenticationPolicy>(&case.args[0])
            .map_err(|error| error.to_string())
            .and_then(|policy| checked(mesh::auth_policy(policy.value))),
        "ProxyAddress" => checked(port::proxy_address(case.text(0))),
        "WildcardDomain" => checked(host::wildcard(case.text(0))),
        "WildcardDomainForVirtualServiceBoundToGateway" => {
            checked(host::bound_to_gateway(case.yes(0), case.text(1)))
        }
        "PartialWildCard" => checked(host::no_partial_wildcard(case.text(0))),
        "TrustDomain" => checked(host::trust_domain(case.text(0))),
        "Localities" => {
            let list = case.texts(0);
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            checked(locality::localities(&list))
        }
        "IPAddress" => checked(cidr::ip(case.text(0))),
        "IPSubnet" => checked(cidr::subnet(case.text(0))),
        "UnixAddress" => checked(cidr::unix_path(case.text(0))),
        "MaxServerConnectionAge" => {
            Duration::parse(case.text(0)).and_then(|age| checked(duration::max_connection_age(age)))
        }
        "StrictHTTPHeaderName" => checked(header::strict_name(case.text(0))),
        "ProbeHeaderName" => checked(header::probe_name(case.text(0))),
        "CORSHTTPHeaderName" => checked(header::cors_name(case.text(0))),
        "HTTPHeaderNameOrJwtClaimRoute" => checked(header::match_name(case.text(0))),
        "HTTPHeaderWithAuthorityOperationName" => checked(header::request_name(case.text(0))),
        "HTTPHeaderOperationName" => checked(header::operation_name(case.text(0))),
        "HTTPHeaderValue" | "HeaderValue" => checked(header::value(case.text(0))),
        "HTTPStatus" => checked(number::http_status(case.number(0))),
        "WasmPluginURL" => checked(url::wasm_module(case.text(0))),
        "ValidPathTemplate" => checked(access::path_templates(case.text(0), &case.texts(1))),
        "ExportTo" => {
            let of = match (case.yes(2), case.yes(3)) {
                (true, _) => Of::ServiceEntry,
                (_, true) => Of::SelectedDestinationRule,
                _ => Of::Configuration,
            };
            gathered(|f| export_to::export_to(f, case.text(0), &case.texts(1), of))
        }
        _ => return None,
    })
}

fn part(case: &Case) -> Option<Said> {
    Some(match &*case.rule {
        "Duration" => about(case, |f, d| f.check("", duration::duration(*d))),
        "DrainDuration" => about(case, |f, d| f.check("", duration::drain(Some(*d)))),
        "ConnectTimeout" => about(case, |f, d| {
            f.check("", duration::connect_timeout(Some(*d)));
        }),
        "ProtocolDetectionTimeout" => about(case, |f, d| {
            f.check("", duration::protocol_detection(Some(*d)));
        }),
        "TLS" => case
            .message(1)
            .and_then(|tls| gathered(|f| tls::client(f, "", case.text(0), tls.as_ref()))),
        "LocalityLbSetting" => beside(case, |f, setting, outlier| {
            locality::locality(f, "", setting, outlier);
        }),
        "ZoneAwareLbSetting" => beside(case, |f, setting, outlier| {
            locality::zone_aware(f, "", setting, outlier);
        }),
        "LoadBalancer" => beside(case, |f, settings, outlier| {
            load_balancer::load_balancer(f, "", settings, outlier);
        }),
        "Server" => about(case, |f, server| {
            gateway::server(f, "", server, case.yes(1))
        }),
        "ServerPort" => case.message(0).and_then(|port| {
            gathered(|f| gateway::server_port(f, "", port.as_ref(), case.text(1)))
        }),
        "TLSOptions" => about(case, |f, tls| tls::server(f, "", Some(tls))),
        "CORSPolicy" => about(case, |f, cors| virtual_service::cors_policy(f, "", cors)),
        "HTTPFaultInjectionAbort" => about(case, |f, abort| virtual_service::abort(f, "", abort)),
        "HTTPFaultInjectionDelay" => about(case, |f, delay| virtual_service::delay(f, "", delay)),
        "HTTPRetry" => about(case, |f, retry| {
            virtual_service::route::retries(f, "", retry)
        }),
        "HTTPRewrite" => about(case, |f, rewrite| {
            f.check("", virtual_service::route::rewrite(rewrite));
        }),
        "URIRegexRewrite" => about(case, |f, rewrite| {
            f.check("", virtual_service::route::uri_regex_rewrite(rewrite));
        }),
        "HTTPRedirect" => case.messages::<HttpMatchRequest>(1).and_then(|matches| {
            about(case, |f, redirect| {
                f.check("", virtual_service::route::redirect(redirect, &matches));
            })
        }),
        "HTTPDirectResponse" => about(case, |f, response| {
            virtual_service::route::direct_response(f, "", response);
        }),
        "Destination" => about(case, |f, to| virtual_service::route::destination(f, "", to)),
        "HTTPRoute" => about(case, |f, route| {
            virtual_service::http::route(f, "", route, case.yes(1), case.yes(2));
        }),
        "RouteDestinations" => case.messages::<RouteDestination>(0).and_then(|list| {
            gathered(|f| virtual_service::route_destinations(f, "", &list, case.yes(1)))
        }),
        "TrafficPolicy" => case.message(1).and_then(|policy| {
            gathered(|f| {
                if let Some(policy) = &policy {
                    destination_rule::traffic_policy(f, "", case.text(0), policy);
                }
            })
        }),
        "ConnectionPool" => about(case, |f, pool| {
            connection_pool::connection_pool(f, "", Some(pool));
        }),
        "OutlierDetection" => about(case, |f, detection| {
            outlier::outlier_detection(f, "", Some(detection));
        }),
        "TelemetryFilter" => about(case, |f, filter| f.check("", telemetry::filter(filter))),
        "WorkloadSelector" => about(case, |f, part| selector::policy(f, "", Some(part))),
        "PolicyTargetReference" => about(case, |f, target: &PolicyTargetReference| {
            target_ref::target_ref(f, "", target);
        }),
        _ => return None,
    })
}

/// A rule about a message beside which outlier detection may stand.
fn beside<T: DeserializeOwned>(
    case: &Case,
    rule: impl FnOnce(&mut Findings, Option<&T>, bool),
) -> Said {
    let message = case.message::<T>(0)?;
    let outlier = case.message::<Value>(1)?.is_some();
    gathered(|found| rule(found, message.as_ref(), outlier))
}

fn of_mesh(case: &Case) -> Option<Said> {
    let addressed = || {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        struct Addressed {
            service: String,
            port: u32,
        }
        about(case, |f, p: &Addressed| {
            provider::service_and_port(f, "", &p.service, p.port);
        })
    };
    Some(match &*case.rule {
        "ExtensionProviderTracingZipkin"
        | "ExtensionProviderTracingDatadog"
        | "ExtensionProviderTracingOpenCensusAgent"
        | "ExtensionProviderTracingSkyWalking"
        | "ExtensionProviderEnvoyOtelAls"
        | "ExtensionProviderEnvoyHTTPAls"
        | "ExtensionProviderEnvoyTCPAls" => addressed(),
        "ExtensionProviderTracingLightStep" => about(case, |f, p| provider::lightstep(f, "", p)),
        "ExtensionProviderTracingOpentelemetry" => {
            about(case, |f, p| provider::opentelemetry(f, "", p))
        }
        "ExtensionProviderEnvoyExtAuthzHTTP" => {
            about(case, |f, p| provider::ext_authz_http(f, "", p))
        }
        "ExtensionProviderEnvoyExtAuthzGRPC" => {
            about(case, |f, p| provider::ext_authz_grpc(f, "", p))
        }
        "ExtensionProvider" => about(case, |f, mesh: &MeshConfig| {
            f.extend(provider::extension_providers(&mesh.extension_providers));
        }),
        "MeshConfigProxyConfig" => about(case, |f, config: &MeshProxyConfig| {
            mesh::proxy_config(f, "", config);
        }),
        "MeshConfigDefaultTrafficPolicy" => about(case, |f, policy| {
            mesh::default_traffic_policy(f, "", policy);
        }),
        "MeshConfig" => about(case, |f, config| f.extend(mesh::mesh_config(config))),
        "ServiceSettings" => about(case, mesh::service_settings),
        "MeshNetworks" => about(case, |f, networks| f.extend(mesh::mesh_networks(networks))),
        "ConnectionSettings" => about(case, |f, settings| {
            mesh::connection_settings(f, "", settings);
        }),
        _ => return None,
    })
}

fn compare(file: &Path) {
    let mut tally = Tally::default();
    for case in load::<Case>(file) {
        let said = scalar(&case)
            .or_else(|| part(&case))
            .or_else(|| of_mesh(&case));
        let said = said.unwrap_or_else(|| panic!("{}: no rule {}", case.name, case.rule));
        let found = said.unwrap_or_else(|message| {
            let mut found = Findings::default();
            found.error("", message);
            found
        });
        let want = Decision {
            accepted: case.valid,
            warned: case.warning.is_some(),
        };
        tally.add(&case.name, want, &found);
    }
    tally.settle();
}

#[test]
fn rules_about_scalars() {
    let Some(dir) = corpus() else { return };
    compare(&dir.join("parts/scalars.yaml"));
}

#[test]
fn rules_about_parts() {
    let Some(dir) = corpus() else { return };
    compare(&dir.join("parts/parts.yaml"));
}

#[test]
fn rules_about_the_mesh() {
    let Some(dir) = corpus() else { return };
    compare(&dir.join("parts/mesh-config.yaml"));
}
