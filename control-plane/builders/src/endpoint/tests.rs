use meltemi_model::testing::{endpoint, labels};
use meltemi_model::{Labels, Locality};

use super::*;

mod balance;
mod bytes;
mod choice;

/// The groups of a proxy that reaches every endpoint by its address.
fn groups<'a>(choice: &Choice, set: &'a EndpointSet, balance: &Balance) -> Vec<Group<'a>> {
    let near = chosen(choice, set).filter(|e| !e.address.is_empty());
    super::balance::groups(super::balance::by_locality(near), balance)
}

/// Every endpoint of port `http`, as its own label says.
fn choice() -> Choice {
    Choice {
        port: "http".into(),
        subset: Labels::default(),
        node: None,
        unhealthy: false,
        tls: None,
        names: false,
        only_mtls: false,
    }
}

fn set(endpoints: impl IntoIterator<Item = Endpoint>) -> EndpointSet {
    let endpoints = endpoints.into_iter().map(Shared::new).collect();
    EndpointSet {
        ports: vec![("http".into(), endpoints)],
    }
}

fn input(choice: Choice, endpoints: EndpointSet) -> EndpointInput {
    EndpointInput {
        cluster: "outbound|80||a.default.svc.cluster.local".into(),
        endpoints: Shared::new(endpoints),
        choice,
        balance: Balance::None,
        horizon: None,
        from: Arc::from([]),
    }
}

fn at(locality: &str, address: &str) -> Endpoint {
    Endpoint {
        locality: Locality::parse(locality),
        ..endpoint(address, 8080)
    }
}
