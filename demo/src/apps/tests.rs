use super::*;
use crate::http::{Answer, Call, call};
use crate::manifest::Container;

/// A stand-in on a free loopback port.
async fn start(
    kind: AppKind,
    env: &[(&str, String)],
) -> (String, tokio::task::JoinHandle<Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let config = AppConfig {
        kind,
        name: "pod-1".to_owned(),
        ports: Vec::new(),
        env,
        resolver: Resolver::default(),
    };
    let app = Arc::new(App {
        config,
        ratings: Mutex::default(),
    });
    (address, tokio::spawn(serve_on(app, listener)))
}

fn backend_env(service: &str, address: &str) -> [(&'static str, String); 2] {
    let (host, port) = address.rsplit_once(':').unwrap();
    let names = match service {
        "details" => ("DETAILS_HOSTNAME", "DETAILS_SERVICE_PORT"),
        "reviews" => ("REVIEWS_HOSTNAME", "REVIEWS_SERVICE_PORT"),
        _ => ("RATINGS_HOSTNAME", "RATINGS_SERVICE_PORT"),
    };
    [(names.0, host.to_owned()), (names.1, port.to_owned())]
}

async fn fetch(ask: Call) -> Answer {
    call(&Resolver::default(), &ask).await.unwrap()
}

async fn get(address: &str, path: &str) -> Answer {
    fetch(Call::get(address, path)).await
}

fn post(address: &str, path: &str, body: &str) -> Call {
    Call {
        method: "POST".to_owned(),
        body: body.to_owned(),
        ..Call::get(address, path)
    }
}

#[tokio::test]
async fn details_and_ratings_answer_as_bookinfo_does() {
    let (details, _serving) = start(AppKind::Details, &[]).await;
    let (ratings, _serving) = start(AppKind::Ratings, &[]).await;
    let book = get(&details, "/details/0").await;
    assert_eq!((book.status, book.body.len()), (200, 178));
    assert_eq!(get(&details, "/details/x").await.status, 400);
    assert_eq!(
        get(&details, "/health").await.body,
        r#"{"status":"Details is healthy"}"#
    );

    let stars = get(&ratings, "/ratings/0").await;
    assert_eq!(
        stars.body,
        r#"{"id":0,"ratings":{"Reviewer1":5,"Reviewer2":4}}"#
    );
    assert_eq!(stars.body.len(), 48);
    let stored = fetch(post(&ratings, "/ratings/0", r#"{"Reviewer1":1}"#)).await;
    assert_eq!(stored.body, r#"{"id":0,"ratings":{"Reviewer1":1}}"#);
    assert_eq!(get(&ratings, "/ratings/0").await.body, stored.body);
}

#[tokio::test]
async fn reviews_have_stars_by_version_and_say_when_ratings_are_missing() {
    let (ratings, _serving) = start(AppKind::Ratings, &[]).await;
    let gone = "127.0.0.1:1".to_owned();
    let cases = [
        (1, &ratings, 0, ""),
        (2, &ratings, 2, r#""stars": 5, "color": "black""#),
        (3, &ratings, 2, r#""stars": 4, "color": "red""#),
        (3, &gone, 2, "Ratings service is currently unavailable"),
    ];
    for (version, ratings, ratings_shown, contains) in cases {
        let (reviews, _serving) =
            start(AppKind::Reviews(version), &backend_env("ratings", ratings)).await;
        let answer = get(&reviews, "/reviews/0").await;
        assert_eq!(answer.status, 200, "v{version}");
        assert!(
            answer.body.contains(contains),
            "v{version}: {}",
            answer.body
        );
        assert_eq!(
            answer.body.matches("\"rating\"").count(),
            ratings_shown,
            "v{version}"
        );
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(json["podname"], "pod-1");
    }
}

#[tokio::test]
async fn the_product_page_shows_details_and_reviews_or_says_sorry() {
    let (details, _serving) = start(AppKind::Details, &[]).await;
    let (reviews, _serving) = start(AppKind::Reviews(1), &[]).await;
    let gone = "127.0.0.1:1".to_owned();
    for (reviews, contains) in [
        (&reviews, "Reviews served by: pod-1"),
        (&gone, "Error fetching product reviews"),
    ] {
        let env = [
            backend_env("details", &details),
            backend_env("reviews", reviews),
        ]
        .concat();
        let (page, _serving) = start(AppKind::Productpage, &env).await;
        let answer = get(&page, "/productpage").await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("<title>Simple Bookstore App</title>"));
        assert!(answer.body.contains("PublisherA"));
        assert!(answer.body.contains(contains), "{}", answer.body);
    }
    let env = backend_env("reviews", &gone);
    let (page, _serving) = start(AppKind::Productpage, &env).await;
    let answer = get(&page, "/api/v1/products/0/reviews").await;
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.body,
        r#"{"error": "Sorry, product reviews are currently unavailable for this book."}"#
    );
}

#[tokio::test]
async fn only_the_session_makes_the_end_user() {
    // httpbin in the place of details shows what productpage forwards.
    let (mirror, _serving) = start(AppKind::Plain, &[]).await;
    let (page, _serving) = start(AppKind::Productpage, &backend_env("details", &mirror)).await;
    let login = fetch(post(&page, "/login", "username=jason&passwd=x")).await;
    assert_eq!(
        (login.status, login.header("location")),
        (302, Some("/productpage"))
    );
    let cookie = login
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();

    let request = |name: &str, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(
            hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
        headers
    };
    let signed_in = fetch(Call::get(&page, "/productpage").header("cookie", &cookie)).await;
    assert!(signed_in.body.contains("Signed in as jason"));
    let claimed = fetch(Call::get(&page, "/productpage").header("end-user", "jason")).await;
    assert!(!claimed.body.contains("Signed in"));
    // And list F, which leaves `end-user` out.
    let incoming = Request {
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        method: "GET".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: request("x-request-id", "7")
            .into_iter()
            .chain(request("end-user", "eve"))
            .filter_map(|(name, value)| Some((name?, value)))
            .collect(),
        body: Bytes::new(),
    };
    assert_eq!(
        incoming.forwarded(),
        [("x-request-id".to_owned(), "7".to_owned())]
    );
}

#[tokio::test]
async fn httpbin_shows_the_request() {
    let (httpbin, _serving) = start(AppKind::Httpbin, &[]).await;
    let teapot = get(&httpbin, "/status/418").await;
    assert_eq!((teapot.status, teapot.body.len()), (418, 135));
    assert!(teapot.body.contains("-=[ teapot ]=-"));
    assert_eq!(teapot.header("access-control-allow-origin"), Some("*"));
    let headers = fetch(Call::get(&httpbin, "/headers").header("x-token", "1")).await;
    let headers: serde_json::Value = serde_json::from_str(&headers.body).unwrap();
    assert_eq!(headers["headers"]["X-Token"], "1");
    let origins = [
        (AppKind::Httpbin, "1.2.3.4"),
        (AppKind::OutsideHttpbin, "1.2.3.4, 127.0.0.1"),
    ];
    for (kind, expected) in origins {
        let (httpbin, _serving) = start(kind, &[]).await;
        let ip = fetch(Call::get(&httpbin, "/ip").header("x-forwarded-for", "1.2.3.4")).await;
        let ip: serde_json::Value = serde_json::from_str(&ip.body).unwrap();
        assert_eq!(ip["origin"], expected, "{kind:?}");
    }
    assert_eq!(get(&httpbin, "/nothing").await.status, 404);
}

#[test]
fn the_image_selects_the_stand_in() {
    let cases = [
        (
            "registry.istio.io/release/examples-bookinfo-reviews-v2:1.20.3",
            None,
            AppKind::Reviews(2),
        ),
        (
            "docker.io/istio/examples-bookinfo-productpage-v1:1.17.0",
            None,
            AppKind::Productpage,
        ),
        ("example.com/reviews", Some("v3"), AppKind::Reviews(3)),
        ("localhost:5000/details@sha256:00", None, AppKind::Details),
        (
            "docker.io/mccutchen/go-httpbin:v2.15.0",
            None,
            AppKind::Httpbin,
        ),
        (
            "docker.io/kennethreitz/httpbin",
            Some("v2"),
            AppKind::Httpbin,
        ),
        ("docker.io/curlimages/curl:8.16.0", None, AppKind::Idle),
        (
            "docker.io/istio/examples-helloworld-v1",
            None,
            AppKind::Helloworld(1),
        ),
        (
            "registry.istio.io/release/tcp-echo-server:1.3",
            None,
            AppKind::TcpEcho,
        ),
        ("tomcat:8.5-jre8-alpine", None, AppKind::Plain),
    ];
    for (image, label, expected) in cases {
        let container = Container {
            image: image.to_owned(),
            ..Container::default()
        };
        assert_eq!(app_kind(&container, label), expected, "{image}");
    }
}
