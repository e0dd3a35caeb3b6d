//! A lock as an object of the API server.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::record::Record;
use super::{Election, LockKind, REQUEST, name_of};
use crate::error::{ApiError, within};

/// Where the record stands in a ConfigMap (Istio 1.31, formerly Kubernetes).
const RECORD: &str = "control-plane.alpha.kubernetes.io/leader";
/// Where the holder's key stands in a Lease (Istio 1.31).
const HOLDER_KEY: &str = "leader.istio.io/holder-key";

#[derive(Debug)]
enum Object {
    ConfigMap(Box<ConfigMap>),
    Lease(Box<Lease>),
}

/// A lock as it was read or written; it is overwritten in this version only.
#[derive(Debug)]
pub(super) struct Held {
    object: Object,
    pub(super) record: Record,
    /// What changes whenever the holder renews.
    pub(super) raw: String,
}

/// A lock and where it is.
#[derive(Debug)]
pub(super) struct Lock {
    name: String,
    kind: LockKind,
    config_maps: Api<ConfigMap>,
    leases: Api<Lease>,
}

impl Lock {
    pub(super) fn new(client: &Client, election: &Election) -> Self {
        Self {
            name: name_of(election),
            kind: election.lock.1,
            config_maps: Api::namespaced(client.clone(), &election.namespace),
            leases: Api::namespaced(client.clone(), &election.namespace),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn read(&self) -> Result<Option<Held>, ApiError> {
        match self.kind {
            LockKind::ConfigMap => {
                let object = within(REQUEST, self.config_maps.get_opt(&self.name)).await?;
                Ok(object.map(from_config_map))
            }
            LockKind::Lease => {
                let object = within(REQUEST, self.leases.get_opt(&self.name)).await?;
                Ok(object.map(from_lease))
            }
        }
    }

    pub(super) async fn create(&self, record: &Record) -> Result<Held, ApiError> {
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            ..ObjectMeta::default()
        };
        let params = PostParams::default();
        match self.kind {
            LockKind::ConfigMap => {
                let mut object = ConfigMap {
                    metadata,
                    ..ConfigMap::default()
                };
                into_config_map(&mut object, record);
                let object = within(REQUEST, self.config_maps.create(&params, &object)).await?;
                Ok(from_config_map(object))
            }
            LockKind::Lease => {
                let mut object = Lease {
                    metadata,
                    ..Lease::default()
                };
                into_lease(&mut object, record);
                let object = within(REQUEST, self.leases.create(&params, &object)).await?;
                Ok(from_lease(object))
            }
        }
    }

    /// Writes a record; [`ApiError::Conflict`] if the lock is no longer as it was held.
    pub(super) async fn write(&self, held: Held, record: &Record) -> Result<Held, ApiError> {
        let params = PostParams::default();
        match held.object {
            Object::ConfigMap(mut object) => {
                into_config_map(&mut object, record);
                let replaced = self.config_maps.replace(&self.name, &params, &object);
                Ok(from_config_map(within(REQUEST, replaced).await?))
            }
            Object::Lease(mut object) => {
                into_lease(&mut object, record);
                let replaced = self.leases.replace(&self.name, &params, &object);
                Ok(from_lease(within(REQUEST, replaced).await?))
            }
        }
    }
}

fn from_config_map(object: ConfigMap) -> Held {
    let annotations = object.metadata.annotations.as_ref();
    let raw = annotations.and_then(|a| a.get(RECORD)).cloned();
    let raw = raw.unwrap_or_default();
    Held {
        record: parse(&raw),
        object: Object::ConfigMap(Box::new(object)),
        raw,
    }
}

/// A record that cannot be read is somebody's: it may be that of a newer version. It is ours when it does not change
/// for a whole lease. (istiod would wait for ever.)
fn parse(raw: &str) -> Record {
    if raw.is_empty() {
        return Record::default();
    }
    serde_json::from_str(raw).unwrap_or_else(|_| Record {
        holder_identity: "unreadable".into(),
        ..Record::default()
    })
}

fn into_config_map(object: &mut ConfigMap, record: &Record) {
    let text = serde_json::to_string(record).expect("a record has only texts and numbers");
    let annotations = object.metadata.annotations.get_or_insert_default();
    annotations.insert(RECORD.to_owned(), text);
}

fn from_lease(object: Lease) -> Held {
    let annotations = object.metadata.annotations.as_ref();
    let key = annotations.and_then(|a| a.get(HOLDER_KEY)).cloned();
    let spec = object.spec.clone().unwrap_or_default();
    let record = Record {
        holder_identity: spec.holder_identity.unwrap_or_default(),
        holder_key: key.unwrap_or_default(),
        lease_duration_seconds: spec.lease_duration_seconds.unwrap_or_default(),
        acquire_time: spec.acquire_time.map(|time| Time(time.0)),
        renew_time: spec.renew_time.map(|time| Time(time.0)),
        leader_transitions: spec.lease_transitions.unwrap_or_default(),
    };
    Held {
        raw: format!("{record:?}"),
        object: Object::Lease(Box::new(object)),
        record,
    }
}

fn into_lease(object: &mut Lease, record: &Record) {
    let time = |time: &Option<Time>| time.as_ref().map(|time| MicroTime(time.0));
    object.spec = Some(LeaseSpec {
        holder_identity: Some(record.holder_identity.clone()),
        lease_duration_seconds: Some(record.lease_duration_seconds),
        acquire_time: time(&record.acquire_time),
        renew_time: time(&record.renew_time),
        lease_transitions: Some(record.leader_transitions),
        ..object.spec.take().unwrap_or_default()
    });
    let annotations = object.metadata.annotations.get_or_insert_default();
    if record.holder_key.is_empty() {
        annotations.remove(HOLDER_KEY);
    } else {
        annotations.insert(HOLDER_KEY.to_owned(), record.holder_key.clone());
    }
}
