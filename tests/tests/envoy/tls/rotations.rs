//! Secrets are exchanged again and again among changes of subsets and routes, and no request fails.

use tokio_rustls::rustls::pki_types::CertificateDer as Der;

use super::*;

/// Each replaces both Secrets, the subsets and the routes.
const ROUNDS: u32 = 60;

/// The certificate that a client is shown.
fn certificate(connection: &Connection) -> Der<'static> {
    let (_, session) = connection.get_ref().get_ref();
    let shown = session.peer_certificates().unwrap_or_default();
    shown.first().expect("a certificate").clone().into_owned()
}

/// Two applications behind one host, told apart by their version; this round's subsets, weights and answers' header.
fn routes(ports: [u16; 2], round: u32) -> Vec<Value> {
    let meta = json!({"name": "app", "namespace": "default"});
    let object = |kind: &str, spec: Value| json!({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": meta, "spec": spec});
    let names = [format!("one-{round}"), format!("two-{round}")];
    let subset = |at: usize| json!({"name": names[at], "labels": {"version": format!("v{at}")}});
    let share = 10 * (round % 11);
    let to = |at: usize, weight: u32| json!({"destination": {"host": "app.example.org", "subset": names[at]}, "weight": weight});
    let endpoint = |at: usize| json!({"address": "127.0.0.1", "ports": {"http": ports[at]}, "labels": {"version": format!("v{at}")}});
    vec![
        object(
            "ServiceEntry",
            json!({"hosts": ["app.example.org"], "resolution": "STATIC",
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "endpoints": [endpoint(0), endpoint(1)]}),
        ),
        object(
            "DestinationRule",
            json!({"host": "app.example.org", "subsets": [subset(0), subset(1)]}),
        ),
        object(
            "VirtualService",
            json!({"hosts": [SIMPLE, MUTUAL], "gateways": ["edge"], "http": [{
                "headers": {"response": {"set": {"x-round": round.to_string()}}},
                "route": [to(0, share), to(1, 100 - share)],
            }]}),
        ),
    ]
}

/// A client that asks over and over on one connection: how often, and the certificate that it was shown.
async fn stay(
    mut kept: Connection,
    load: Arc<Load>,
    stop: CancellationToken,
) -> (u32, Der<'static>) {
    let mut sent = 0;
    while !stop.is_cancelled() {
        if let Err(error) = request(&mut kept, SIMPLE).await {
            load.failures.add(format!("kept, request {sent}: {error}"));
            break;
        }
        sent += 1;
    }
    (sent, certificate(&kept))
}

/// A client that connects anew for each request.
async fn come(
    (port, host): (u16, &'static str),
    config: Arc<ClientConfig>,
    load: Arc<Load>,
    stop: CancellationToken,
) -> u32 {
    let mut sent = 0;
    while !stop.is_cancelled() {
        if let Err(error) = call(port, host, &config).await {
            load.failures
                .add(format!("{host}, request {sent}: {error}"));
        }
        sent += 1;
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_subsets_and_routes_change_without_losing_a_request() {
    let Some(program) = process::find() else {
        skipped("no envoy");
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("objects")).expect("a folder");
    let port = unused();
    let mut serving = Vec::new();
    let mut ports = [0; 2];
    for port in &mut ports {
        let behind = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        *port = behind.local_addr().expect("an address").port();
        serving.push(tokio::spawn(application(behind)));
    }
    let authorities = [authority("even"), authority("odd")];
    let clients = [authority("clients of even"), authority("clients of odd")];
    // Clients are of one CA; that of the other is in every second Secret beside it.
    let own = leaf(&clients[0], "client.example.com");
    let both = Authority {
        issuer: authority("unused").issuer,
        pem: clients[0].pem.clone() + &clients[1].pem,
    };
    let put = |round: u32| -> String {
        let authority = &authorities[(round % 2) as usize];
        let simple = leaf(authority, SIMPLE);
        let ca = if round.is_multiple_of(2) {
            &clients[0]
        } else {
            &both
        };
        let mutual = secret("mutual", &leaf(authority, MUTUAL), Some(ca));
        write(
            dir.path(),
            "secrets.json",
            &[secret("simple", &simple, None), mutual],
        );
        write(dir.path(), "routes.json", &routes(ports, round));
        simple.0
    };
    let edge = gateway(port, "127.0.0.1:1".parse().expect("an address"));
    write(dir.path(), "world.json", &edge[..1]);
    put(0);
    let plane = ControlPlane::start(dir.path()).await;
    let envoy = Envoy::start(&program, &case(dir.path()), plane.address, dir.path()).await;

    let trusting = client(&[&authorities[0], &authorities[1]], None);
    let showing = client(&[&authorities[0], &authorities[1]], Some(&own));
    until("the gateway serves", async || {
        let simple = call(port, SIMPLE, &trusting).await;
        simple.is_ok() && call(port, MUTUAL, &showing).await.is_ok()
    })
    .await;

    let load = Arc::new(Load::default());
    let stop = CancellationToken::new();
    let kept = connect(port, SIMPLE, &trusting)
        .await
        .expect("a connection");
    let first = certificate(&kept);
    let keeping = tokio::spawn(stay(kept, Arc::clone(&load), stop.clone()));
    let fresh = [(SIMPLE, &trusting), (MUTUAL, &showing)].map(|(host, config)| {
        let (config, load) = (Arc::clone(config), Arc::clone(&load));
        tokio::spawn(come((port, host), config, load, stop.clone()))
    });

    for round in 1..=ROUNDS {
        let pem = put(round);
        plane.read_again(dir.path());
        let wanted = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
        let header = format!("x-round: {round}\r\n");
        until("the round is served", async || {
            let Ok(mut connection) = connect(port, SIMPLE, &trusting).await else {
                return false;
            };
            let new = *certificate(&connection) == *wanted;
            let answer = answer(&mut connection, SIMPLE).await.unwrap_or_default();
            new && String::from_utf8_lossy(&answer).contains(&header)
        })
        .await;
    }
    stop.cancel();
    let (kept, shown) = keeping.await.expect("a client");
    let mut sent = vec![kept];
    for client in fresh {
        sent.push(client.await.expect("a client"));
    }
    assert_eq!(
        load.failures.all(),
        Vec::<String>::new(),
        "of {sent:?} requests"
    );
    assert_eq!(shown, first, "an open connection stays");
    for sent in &sent {
        assert!(*sent > ROUNDS, "there was no load to speak of: {sent:?}");
    }
    let stats = envoy.stats().await;
    let rejected = stats
        .iter()
        .filter(|(name, count)| name.ends_with("update_rejected") && **count > 0);
    assert_eq!(rejected.count(), 0);
    for serving in serving {
        serving.abort();
    }
    envoy.stop().await;
    plane.stop().await;
}
