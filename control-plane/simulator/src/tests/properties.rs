//! Whatever resources and calls hold, there is an answer.

use meltemi_proto::envoy::config::core::v3::CidrRange;
use meltemi_proto::envoy::config::listener::v3::FilterChainMatch;
use meltemi_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use meltemi_proto::envoy::config::route::v3::redirect_action::PathRewriteSpecifier;
use meltemi_proto::envoy::config::route::v3::route::Action;
use meltemi_proto::envoy::config::route::v3::route_match::PathSpecifier;
use meltemi_proto::envoy::config::route::v3::{HeaderMatcher, RedirectAction, Route, VirtualHost};
use meltemi_proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;
use proptest::prelude::*;

use super::fixtures::{World, exact, matching, number, redirecting, regex, route, serving};
use crate::{Call, Mode, Outcome, Protocol, Resources, Tls, next_call, simulate};

/// Texts that parsers trip over.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z*.:/?#%\\\\\\[\\](){}é ]{0,12}",
        Just("*".to_owned()),
        Just("[::1]:80".to_owned()),
        Just("/a/%2".to_owned()),
        Just("/é%zz/../..".to_owned()),
        Just("é:80".to_owned()),
        Just("(a+)+$".to_owned()),
    ]
}

fn chain() -> impl Strategy<Value = FilterChainMatch> {
    let ranges = proptest::collection::vec((text(), 0..300u32), 0..2);
    let names = proptest::collection::vec(text(), 0..3);
    (ranges, names, text(), 0..4i32).prop_map(|(ranges, names, protocol, source)| {
        FilterChainMatch {
            prefix_ranges: ranges
                .into_iter()
                .map(|(address_prefix, length)| CidrRange {
                    address_prefix,
                    prefix_len: Some(number(length)),
                })
                .collect(),
            server_names: names,
            transport_protocol: protocol,
            source_type: source,
            ..FilterChainMatch::default()
        }
    })
}

fn path() -> impl Strategy<Value = PathSpecifier> {
    prop_oneof![
        text().prop_map(PathSpecifier::Prefix),
        text().prop_map(PathSpecifier::Path),
        text().prop_map(PathSpecifier::PathSeparatedPrefix),
        text().prop_map(|text| PathSpecifier::SafeRegex(regex(&text))),
    ]
}

fn any_route() -> impl Strategy<Value = Route> {
    (path(), text(), text(), 0..4u8).prop_map(|(path, one, two, kind)| {
        let mut rule = matching(path);
        rule.headers.push(HeaderMatcher {
            name: one.clone(),
            invert_match: true,
            treat_missing_header_as_empty: true,
            header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(exact(&two))),
        });
        let rewrite = RegexMatchAndSubstitute {
            pattern: Some(regex(&one)),
            substitution: two.clone(),
        };
        let specifier = match kind {
            0 => PathRewriteSpecifier::RegexRewrite(rewrite.clone()),
            1 => PathRewriteSpecifier::PrefixRewrite(one.clone()),
            _ => PathRewriteSpecifier::PathRedirect(one.clone()),
        };
        if kind < 3 {
            return redirecting(
                rule,
                RedirectAction {
                    path_rewrite_specifier: Some(specifier),
                    ..RedirectAction::default()
                },
            );
        }
        let mut route = route(&one, rule, &two);
        if let Some(Action::Route(action)) = &mut route.action {
            action.prefix_rewrite.clone_from(&one);
            action.regex_rewrite = Some(rewrite);
        }
        route
    })
}

fn resources() -> impl Strategy<Value = Resources> {
    let host = (
        text(),
        proptest::collection::vec(text(), 0..3),
        proptest::collection::vec(any_route(), 0..3),
    );
    let hosts = proptest::collection::vec(host, 0..3);
    (proptest::collection::vec(chain(), 0..3), hosts).prop_map(|(chains, hosts)| {
        let hosts = hosts
            .into_iter()
            .map(|(name, domains, routes)| VirtualHost {
                name,
                domains,
                routes,
                ..VirtualHost::default()
            });
        let named: Vec<_> = chains.iter().map(|rule| ("chain", rule.clone())).collect();
        let World { mut resources } = World::default()
            .virtual_outbound()
            .direct(443, &named, true);
        resources
            .listeners
            .extend(serving(hosts.collect()).resources.listeners);
        resources
    })
}

fn call() -> impl Strategy<Value = Call> {
    let mode = prop_oneof![
        Just(Mode::Direct),
        Just(Mode::Outbound),
        Just(Mode::Inbound)
    ];
    let protocol = prop_oneof![
        Just(Protocol::Http1),
        Just(Protocol::Http2),
        Just(Protocol::Tcp)
    ];
    let tls = prop_oneof![Just(Tls::Plaintext), Just(Tls::Tls), Just(Tls::Mtls)];
    let port = prop_oneof![Just(80), Just(443), any::<u16>()];
    let texts = (text(), text(), text(), text());
    (mode, protocol, tls, port, texts, any::<u64>()).prop_map(
        |(mode, protocol, tls, port, (host, path, sni, header), random)| Call {
            mode,
            protocol,
            tls,
            host,
            path,
            sni,
            headers: vec![(header.clone(), header)],
            random,
            ..Call::to("10.0.0.1", port)
        },
    )
}

proptest! {
    #[test]
    fn every_call_has_an_answer(resources in resources(), call in call()) {
        let outcome: Outcome = simulate(&resources, &call);
        let reached = outcome.miss().is_none() || !outcome.steps.is_empty() || outcome.listener.is_none();
        prop_assert!(reached);
        // The same question has the same answer.
        prop_assert_eq!(&outcome, &simulate(&resources, &call));
        for endpoint in outcome.destination.iter().flat_map(|d| &d.endpoints) {
            let _ = next_call(&call, &outcome, endpoint);
        }
    }

    #[test]
    fn bytes_of_anybody_are_resources_or_are_told(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let (resources, problems) = Resources::decode([(crate::Kind::Listener, bytes.as_slice())]);
        prop_assert_eq!(resources.listeners.len() + problems.len(), 1);
    }
}
