//! Tables of Envoy's rules, and a property: nothing that is written in resources or calls ends in a panic.

mod fixtures;
mod guards;
mod properties;

use meltemi_proto::envoy::config::core::v3::CidrRange;
use meltemi_proto::envoy::config::listener::v3::FilterChainMatch;
use meltemi_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use meltemi_proto::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, SchemeRewriteSpecifier,
};
use meltemi_proto::envoy::config::route::v3::route_match::PathSpecifier;
use meltemi_proto::envoy::config::route::v3::{HeaderMatcher, RedirectAction, RouteMatch};
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::StripPortMode;
use meltemi_proto::envoy::r#type::matcher::v3::{RegexMatchAndSubstitute, RegexMatcher};

use crate::path::{Normalized, normalize, replace_regex};
use crate::{Call, End, MissKind, Mode, Protocol, Tls, host, matching, simulate};
use fixtures::{World, flag, http_to, number, regex, route};

#[test]
fn the_most_specific_listener_hears_and_the_virtual_one_takes_the_rest() {
    let world = World::default()
        .outbound("0.0.0.0", 80)
        .outbound("10.0.0.1", 80)
        .outbound("::", 80)
        .virtual_outbound();
    for (address, port, wanted) in [
        ("10.0.0.1", 80, "10.0.0.1_80"),
        ("10.0.0.2", 80, "0.0.0.0_80"),
        ("2001:db8::1", 80, "::_80"),
        ("10.0.0.1", 81, "virtualOutbound"),
    ] {
        let outcome = simulate(&world.resources, &Call::to(address, port));
        assert_eq!(
            outcome.listener.as_deref(),
            Some(wanted),
            "{address}:{port}"
        );
    }
    // Listeners that do not bind hear nothing by themselves.
    let direct = Call {
        mode: Mode::Direct,
        ..Call::to("10.0.0.1", 80)
    };
    let outcome = simulate(&world.resources, &direct);
    assert_eq!(
        outcome.miss().map(|miss| miss.kind),
        Some(MissKind::NoListener)
    );
}

#[test]
fn filter_chains_are_chosen_level_by_level_and_never_taken_back() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let any = FilterChainMatch::default;
    let range = |prefix: &str, length: u32| CidrRange {
        address_prefix: prefix.to_owned(),
        prefix_len: Some(number(length)),
    };
    let chains = [
        (
            "exact",
            FilterChainMatch {
                server_names: names(&["a.b.com"]),
                ..any()
            },
        ),
        (
            "wild",
            FilterChainMatch {
                server_names: names(&["*.b.com"]),
                ..any()
            },
        ),
        (
            "wilder",
            FilterChainMatch {
                server_names: names(&["*.com"]),
                ..any()
            },
        ),
        (
            "h2",
            FilterChainMatch {
                application_protocols: names(&["h2"]),
                ..any()
            },
        ),
        (
            "port",
            FilterChainMatch {
                destination_port: Some(number(9000)),
                server_names: names(&["a.b.com"]),
                ..any()
            },
        ),
        (
            "net",
            FilterChainMatch {
                prefix_ranges: vec![range("10.1.0.0", 16)],
                ..any()
            },
        ),
        (
            "host",
            FilterChainMatch {
                prefix_ranges: vec![range("10.1.2.0", 24)],
                ..any()
            },
        ),
    ];
    let world = World::default().direct(443, &chains, true);
    for (address, port, sni, alpn, wanted) in [
        ("10.0.0.1", 443, "a.b.com", "", Some("exact")),
        ("10.0.0.1", 443, "A.B.com", "h2", Some("exact")),
        ("10.0.0.1", 443, "x.a.b.com", "", Some("wild")),
        ("10.0.0.1", 443, "b.com", "", Some("wilder")),
        ("10.0.0.1", 443, "other.org", "h2", Some("h2")),
        ("10.0.0.1", 443, "other.org", "", None),
        ("10.1.9.9", 443, "a.b.com", "", Some("net")),
        ("10.1.2.3", 443, "", "", Some("host")),
    ] {
        let call = Call {
            mode: Mode::Direct,
            tls: Tls::Tls,
            sni: sni.to_owned(),
            alpn: names(&[alpn]),
            ..Call::to(address, port)
        };
        let outcome = simulate(&world.resources, &call);
        assert_eq!(
            outcome.filter_chain.as_deref(),
            wanted,
            "{address} {sni} {alpn}"
        );
    }
}

#[test]
fn virtual_hosts_are_chosen_by_the_longest_domain() {
    let domains = [
        "a.com",
        "*.com",
        "*.b.com",
        "a.*",
        "a.b.*",
        "*",
        "c.com:80",
        "*-x.b.com",
    ];
    let world = http_to(&domains);
    for (asked, wanted) in [
        ("a.com", "a.com"),
        ("A.COM", "a.com"),
        ("x.com", "*.com"),
        ("x.b.com", "*.b.com"),
        ("y-x.b.com", "*-x.b.com"),
        (".com", "*"),
        ("a.org", "a.*"),
        ("a.b.org", "a.b.*"),
        ("c.com:80", "c.com:80"),
        ("c.com:81", "*"),
        ("nowhere", "*"),
    ] {
        let outcome = simulate(&world.resources, &fixtures::get(asked, "/"));
        assert_eq!(outcome.virtual_host.as_deref(), Some(wanted), "{asked}");
    }
}

#[test]
fn routes_match_paths_as_envoy_reads_them() {
    let insensitive = |path| RouteMatch {
        case_sensitive: Some(flag(false)),
        ..fixtures::matching(path)
    };
    let rules = [
        (
            "exact",
            fixtures::matching(PathSpecifier::Path("/a".to_owned())),
        ),
        (
            "folded",
            insensitive(PathSpecifier::Path("/fold".to_owned())),
        ),
        (
            "below",
            fixtures::matching(PathSpecifier::PathSeparatedPrefix("/sep".to_owned())),
        ),
        (
            "regex",
            fixtures::matching(PathSpecifier::SafeRegex(regex("/r/[0-9]+"))),
        ),
        (
            "broken",
            fixtures::matching(PathSpecifier::SafeRegex(regex("("))),
        ),
        (
            "prefix",
            fixtures::matching(PathSpecifier::Prefix("/p".to_owned())),
        ),
    ];
    let world = fixtures::routes(rules.map(|(name, rule)| route(name, rule, "to")));
    for (path, wanted) in [
        ("/a", Some("exact")),
        ("/a?q=/b", Some("exact")),
        ("/A", None),
        ("/FOLD", Some("folded")),
        ("/sep", Some("below")),
        ("/sep/x", Some("below")),
        ("/separate", None),
        ("/r/12?x", Some("regex")),
        ("/r/12/x", None),
        ("/px", Some("prefix")),
    ] {
        let outcome = simulate(&world.resources, &fixtures::get("h", path));
        assert_eq!(outcome.route.as_deref(), wanted, "{path}");
    }
    let outcome = simulate(&world.resources, &fixtures::get("h", "/none"));
    let miss = outcome.miss().expect("a miss");
    assert_eq!((miss.kind, miss.status), (MissKind::NoRoute, Some(404)));
    assert_eq!(miss.candidates[0], "exact: needs: path = /a");
}

#[test]
fn absent_headers_match_nothing_unless_they_count_as_empty() {
    let exact = |text: &str| Some(HeaderMatchSpecifier::StringMatch(fixtures::exact(text)));
    let present = |flag| Some(HeaderMatchSpecifier::PresentMatch(flag));
    for (specifier, invert, empty, value, wanted) in [
        (exact("a"), false, false, Some("a"), true),
        (exact("a"), false, false, Some("a,a"), false),
        (exact("a"), true, false, Some("b"), true),
        (exact("a"), true, false, None, false),
        (exact("a"), true, true, None, true),
        (exact(""), false, true, None, true),
        (present(true), false, false, None, false),
        (present(true), true, false, None, true),
        (present(false), false, false, None, true),
        (None, false, false, Some(""), true),
        (None, false, false, None, false),
    ] {
        let matcher = HeaderMatcher {
            name: "x".to_owned(),
            invert_match: invert,
            treat_missing_header_as_empty: empty,
            header_match_specifier: specifier,
        };
        assert_eq!(
            matching::header(&matcher, value),
            wanted,
            "{matcher:?} {value:?}"
        );
    }
}

#[test]
fn paths_are_normalized_as_told() {
    let with = |normalize: bool, merge_slashes: bool, escaped: i32| HttpConnectionManager {
        normalize_path: Some(flag(normalize)),
        merge_slashes,
        path_with_escaped_slashes_action: escaped,
        ..HttpConnectionManager::default()
    };
    let path = |text: &str| Normalized::Path(text.to_owned());
    for (manager, asked, wanted) in [
        (
            with(true, false, 0),
            "/a/./b/../c?x=/..",
            path("/a/c?x=/.."),
        ),
        (with(true, false, 0), "/%61%2f%7e", path("/a%2f~")),
        (with(true, false, 0), "/a\\b", path("/a/b")),
        (with(true, false, 0), "/../..", path("/")),
        (with(true, true, 0), "//a///b", path("/a/b")),
        (with(false, false, 0), "/a/../b#f", path("/a/../b")),
        (with(true, false, 2), "/a%2Fb", Normalized::Refused),
        (
            with(true, false, 3),
            "/a%2Fb",
            Normalized::Redirect("/a/b".to_owned()),
        ),
        (with(true, false, 4), "/a%5cb", path("/a/b")),
        (with(true, true, 0), "*", path("*")),
    ] {
        assert_eq!(normalize(asked, &manager), wanted, "{asked}");
    }
    let rewrite = RegexMatchAndSubstitute {
        pattern: Some(RegexMatcher {
            regex: "/users/([0-9]+)".to_owned(),
            ..RegexMatcher::default()
        }),
        substitution: "/u/\\1\\\\".to_owned(),
    };
    assert_eq!(
        replace_regex("/users/7/x?/users/8", &rewrite),
        "/u/7\\/x?/users/8"
    );
}

#[test]
fn hosts_lose_their_ports_as_told() {
    let any = HttpConnectionManager {
        strip_port_mode: Some(StripPortMode::StripAnyHostPort(true)),
        ..HttpConnectionManager::default()
    };
    let own = HttpConnectionManager {
        strip_matching_host_port: true,
        strip_trailing_host_dot: true,
        ..HttpConnectionManager::default()
    };
    for (manager, asked, wanted) in [
        (&any, "a.com:81", "a.com"),
        (&any, "[::1]:81", "[::1]"),
        (&any, "::1", "::1"),
        (&own, "a.com:80", "a.com"),
        (&own, "a.com.:81", "a.com:81"),
        (&own, "a.com.", "a.com"),
        (&own, ":", ":"),
    ] {
        assert_eq!(host::settled(asked, manager, 80), wanted, "{asked}");
    }
}

#[test]
fn redirects_say_where_to() {
    let https = Some(SchemeRewriteSpecifier::HttpsRedirect(true));
    let to = |path: &str| Some(PathRewriteSpecifier::PathRedirect(path.to_owned()));
    let action = RedirectAction::default;
    for (action, wanted) in [
        (action(), "http://h:80/p/x?q=1"),
        (
            RedirectAction {
                scheme_rewrite_specifier: https.clone(),
                ..action()
            },
            "https://h/p/x?q=1",
        ),
        (
            RedirectAction {
                port_redirect: 8443,
                ..action()
            },
            "http://h:8443/p/x?q=1",
        ),
        (
            RedirectAction {
                host_redirect: "o".to_owned(),
                strip_query: true,
                ..action()
            },
            "http://o/p/x",
        ),
        (
            RedirectAction {
                path_rewrite_specifier: to("/n"),
                ..action()
            },
            "http://h:80/n?q=1",
        ),
        (
            RedirectAction {
                path_rewrite_specifier: to("/n?z"),
                strip_query: true,
                ..action()
            },
            "http://h:80/n?z",
        ),
        (
            RedirectAction {
                path_rewrite_specifier: Some(PathRewriteSpecifier::PrefixRewrite("/n".to_owned())),
                ..action()
            },
            "http://h:80/n/x?q=1",
        ),
    ] {
        let rule = fixtures::matching(PathSpecifier::Prefix("/p".to_owned()));
        let world = fixtures::routes([fixtures::redirecting(rule, action.clone())]);
        let outcome = simulate(&world.resources, &fixtures::get("h:80", "/p/x?q=1"));
        let End::Redirected {
            status,
            location,
            tls_required,
        } = outcome.end
        else {
            panic!("{action:?}: {:?}", outcome.end);
        };
        assert_eq!(
            (status, location.as_str(), tls_required),
            (301, wanted, false)
        );
    }
}

#[test]
fn weights_follow_the_number() {
    for (weights, random, wanted) in [
        (&[90, 10][..], 89, Some(0)),
        (&[90, 10], 90, Some(1)),
        (&[90, 10], 190, Some(1)),
        (&[0, 1], 0, Some(1)),
        (&[0, 0], 5, None),
        (&[], 5, None),
    ] {
        assert_eq!(matching::weighted(weights.iter().copied(), random), wanted);
    }
}

#[test]
fn what_is_spoken_must_be_what_the_chain_expects() {
    let world = http_to(&["*"]);
    for (protocol, tls, wanted) in [
        (Protocol::Tcp, Tls::Plaintext, MissKind::ProtocolError),
        (Protocol::Http1, Tls::Tls, MissKind::ProtocolError),
    ] {
        let call = Call {
            protocol,
            tls,
            ..fixtures::get("h", "/")
        };
        let outcome = simulate(&world.resources, &call);
        assert_eq!(
            outcome.miss().map(|miss| miss.kind),
            Some(wanted),
            "{protocol:?} {tls:?}"
        );
    }
}
