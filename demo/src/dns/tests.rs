use super::*;

fn zone() -> Zone {
    let names = BTreeMap::from([
        (
            "details.default.svc.cluster.local".to_owned(),
            vec![Ipv4Addr::new(10, 96, 0, 7)],
        ),
        (
            "db.default.svc.cluster.local".to_owned(),
            vec![Ipv4Addr::new(10, 244, 1, 1), Ipv4Addr::new(10, 244, 1, 2)],
        ),
    ]);
    Zone {
        names,
        outside: Some(Ipv4Addr::new(203, 0, 113, 10)),
    }
}

#[test]
fn names_inside_and_outside_the_cluster() {
    let zone = zone();
    let cases = [
        ("details.default.svc.cluster.local", Some("10.96.0.7")),
        ("Details.Default.svc.cluster.local.", Some("10.96.0.7")),
        ("missing.default.svc.cluster.local", None),
        ("details", None),
        ("httpbin.org", Some("203.0.113.10")),
    ];
    for (name, expected) in cases {
        let found = zone.lookup(name).map(|addresses| addresses[0].to_string());
        assert_eq!(found.as_deref(), expected, "{name}");
    }
}

#[test]
fn a_reply_carries_every_address_and_says_when_there_is_no_such_name() {
    let query = question("db.default.svc.cluster.local").unwrap();
    let reply_bytes = reply(&query, &zone()).unwrap();
    assert_eq!(&reply_bytes[6..8], &[0, 2], "two answers");
    assert_eq!(
        first_address(&reply_bytes, query.len()),
        Some(Ipv4Addr::new(10, 244, 1, 1))
    );

    let unknown = question("nobody.default.svc.cluster.local").unwrap();
    let reply_bytes = reply(&unknown, &zone()).unwrap();
    assert_eq!(reply_bytes[3] & 0xf, 3, "name error");
    assert_eq!(first_address(&reply_bytes, unknown.len()), None);
}

#[test]
fn an_ipv6_question_for_a_known_name_is_answered_empty() {
    let mut query = question("details.default.svc.cluster.local").unwrap();
    let kind = query.len() - 4;
    query[kind + 1] = 28;
    let reply_bytes = reply(&query, &zone()).unwrap();
    assert_eq!(reply_bytes[3] & 0xf, 0);
    assert_eq!(&reply_bytes[6..8], &[0, 0]);
}

#[test]
fn what_is_not_a_query_gets_no_reply() {
    let query = question("details.default.svc.cluster.local").unwrap();
    for cut in 0..query.len() {
        assert_eq!(reply(&query[..cut], &zone()), None, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_resolver_walks_the_search_list() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    let (_sender, receiver) = watch::channel(Arc::new(zone()));
    let serving = tokio::spawn(serve(socket, receiver));
    let resolver = Resolver::of_namespace(server, "default");
    let cases = [
        ("details", "10.96.0.7"),
        ("details.default", "10.96.0.7"),
        ("httpbin.org", "203.0.113.10"),
    ];
    for (host, expected) in cases {
        assert_eq!(
            resolver.resolve(host).await.unwrap().to_string(),
            expected,
            "{host}"
        );
    }
    assert!(resolver.resolve("nobody").await.is_err());
    serving.abort();
}
