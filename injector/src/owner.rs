//! The workload that a pod belongs to, as far as the pod tells it (Istio 1.31: GetDeployMetaFromPod).

use serde_json::Value;

use crate::pod;

/// The name and type of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Workload {
    /// Its name.
    pub(crate) name: String,
    /// Its namespace; may be empty.
    pub(crate) namespace: String,
    /// Its kind.
    pub(crate) kind: String,
    /// Its API version.
    pub(crate) api_version: String,
}

/// The workload of a pod: by its controller if its name is generated, else itself.
pub(crate) fn workload(pod: &Value) -> Workload {
    let metadata = &pod["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut workload = Workload {
        name: text(&metadata["name"]),
        namespace: text(&metadata["namespace"]),
        kind: "Pod".to_owned(),
        api_version: "v1".to_owned(),
    };
    let generated = !metadata["generateName"]
        .as_str()
        .unwrap_or_default()
        .is_empty();
    let controller = metadata["ownerReferences"]
        .as_array()
        .and_then(|owners| owners.iter().find(|o| o["controller"] == Value::Bool(true)));
    let Some(controller) = controller.filter(|_| generated) else {
        return workload;
    };
    workload.kind = text(&controller["kind"]);
    workload.api_version = text(&controller["apiVersion"]);
    let owner = text(&controller["name"]);
    let label = |name: &str| pod::label(pod, name).filter(|value| !value.is_empty());
    let without_hash = |hash: &str| {
        owner
            .strip_suffix(hash)
            .map(|rest| rest.strip_suffix('-').unwrap_or(&owner).to_owned())
    };
    let name = match workload.kind.as_str() {
        "ReplicaSet" => {
            if let Some(name) = label("pod-template-hash").and_then(without_hash) {
                workload.kind = "Deployment".to_owned();
                name
            } else if let Some(name) = label("rollouts-pod-template-hash").and_then(without_hash) {
                workload.kind = "Rollout".to_owned();
                workload.api_version = "v1alpha1".to_owned();
                name
            } else {
                owner
            }
        }
        "ReplicationController" => match label("deploymentconfig") {
            Some(config) => {
                workload.kind = "DeploymentConfig".to_owned();
                config.to_owned()
            }
            None => owner,
        },
        "Job" => match cron_job(&owner) {
            Some(name) => {
                workload.kind = "CronJob".to_owned();
                workload.api_version = "batch/v1".to_owned();
                name.to_owned()
            }
            None => owner,
        },
        _ => owner,
    };
    if !name.is_empty() {
        workload.name = name;
    }
    workload
}

/// The cron job of a job that is named after its time: 8 to 10 digits.
fn cron_job(job: &str) -> Option<&str> {
    let (name, digits) = job.rsplit_once('-')?;
    let time = (8..=10).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    (time && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(owner: (&str, &str), labels: &Value, expected: (&str, &str, &str)) {
        let pod = json!({"metadata": {"generateName": "x-", "namespace": "ns", "labels": labels, "ownerReferences": [
            {"controller": true, "kind": owner.0, "name": owner.1, "apiVersion": "g/v1"}]}});
        let found = workload(&pod);
        assert_eq!(
            (
                found.kind.as_str(),
                found.name.as_str(),
                found.api_version.as_str()
            ),
            expected
        );
        assert_eq!(found.namespace, "ns");
    }

    #[test]
    fn controllers_tell_workloads() {
        check(
            ("ReplicaSet", "a-abc"),
            &json!({"pod-template-hash": "abc"}),
            ("Deployment", "a", "g/v1"),
        );
        check(
            ("ReplicaSet", "a-abc"),
            &json!({"pod-template-hash": "xyz"}),
            ("ReplicaSet", "a-abc", "g/v1"),
        );
        check(
            ("ReplicaSet", "a-abc"),
            &json!({"rollouts-pod-template-hash": "abc"}),
            ("Rollout", "a", "v1alpha1"),
        );
        check(
            ("ReplicationController", "a-1"),
            &json!({"deploymentconfig": "a"}),
            ("DeploymentConfig", "a", "g/v1"),
        );
        check(
            ("Job", "a-12345678"),
            &json!({}),
            ("CronJob", "a", "batch/v1"),
        );
        check(
            ("Job", "a-1234567"),
            &json!({}),
            ("Job", "a-1234567", "g/v1"),
        );
        check(
            ("StatefulSet", "s"),
            &json!({}),
            ("StatefulSet", "s", "g/v1"),
        );
        let bare = json!({"metadata": {"name": "p", "ownerReferences": [{"controller": true, "kind": "Job", "name": "j"}]}});
        assert_eq!(workload(&bare).name, "p");
    }
}
