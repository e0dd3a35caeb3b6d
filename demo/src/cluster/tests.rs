use super::*;
use crate::address::cluster_ips;
use crate::manifest::{documents, read};
use crate::plan::pods;

const FILE: &str = "# a comment
kind: Service
metadata: {name: details}
spec: {selector: {app: details}, ports: [{port: 9080}]}
---
kind: Deployment
metadata: {name: details-v1}
spec:
  template:
    metadata: {labels: {app: details}}
    spec: {containers: [{name: details, image: details}]}
---
kind: VirtualService
metadata: {name: details}
spec: {hosts: [details]}
---
kind: Service
metadata: {name: headless, namespace: data}
spec: {clusterIP: None, selector: {app: details}}
---
kind: [
";

struct World {
    documents: BTreeMap<PathBuf, Vec<Document>>,
    manifests: Manifests,
    ips: BTreeMap<Key, Ipv4Addr>,
    pods: Vec<PodState>,
}

fn world(text: &str) -> World {
    let documents = BTreeMap::from([(PathBuf::from("a.yaml"), documents(text))]);
    let manifests = read(&documents, &mut BTreeMap::new());
    let ips = cluster_ips(&manifests.services, &BTreeMap::new());
    let pod = |plan| PodState {
        plan,
        address: Ipv4Addr::new(10, 244, 1, 1),
        ready: true,
        terminating: false,
    };
    let pods = pods(&manifests).into_values().map(pod).collect();
    World {
        documents,
        manifests,
        ips,
        pods,
    }
}

#[test]
fn a_users_file_keeps_its_lines() {
    let world = world(FILE);
    let files = files(&world.documents, &world.manifests, &world.ips, &world.pods);
    let text = &files[Path::new("a.yaml")];
    assert_eq!(text.lines().count(), FILE.lines().count(), "{text}");
    for (number, (line, original)) in text.lines().zip(FILE.lines()).enumerate() {
        let rewritten = number < 4 || (5..11).contains(&number);
        assert!(
            rewritten || line == original,
            "line {}: {line} instead of {original}",
            number + 1
        );
    }
    assert!(text.contains("\"clusterIP\":\"10.96."), "{text}");
    assert!(!text.contains("Deployment"), "{text}");
    assert!(
        text.contains("kind: ["),
        "a broken document is the control plane's to report"
    );
    // A separator at the very top counts as a line as well.
    let again = files_of("---\nkind: Deployment\nmetadata: {name: x}\n---\nkind: Sidecar\n");
    assert_eq!(again, "---\n\n\n---\nkind: Sidecar\n");
}

fn files_of(text: &str) -> String {
    let world = world(text);
    files(&world.documents, &world.manifests, &world.ips, &[])[Path::new("a.yaml")].clone()
}

#[test]
fn pods_carry_address_owner_and_conditions() {
    let world = world(FILE);
    let object = pod_object(&world.pods[0]);
    assert_eq!(object["status"]["podIP"], "10.244.1.1");
    assert_eq!(
        object["metadata"]["ownerReferences"][0]["kind"],
        "ReplicaSet"
    );
    assert_eq!(
        object["status"]["conditions"][3],
        json!({"type": "Ready", "status": "True"})
    );
    let leaving = PodState {
        ready: false,
        terminating: true,
        ..world.pods[0].clone()
    };
    let object = pod_object(&leaving);
    assert_eq!(object["status"]["conditions"][3]["status"], "False");
    assert!(object["metadata"]["deletionTimestamp"].is_string());
}

#[test]
fn the_folder_is_brought_to_the_wanted_state() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut written = BTreeMap::new();
    let one = BTreeMap::from([
        (PathBuf::from("x/a.json"), "1".to_owned()),
        (PathBuf::from("b.json"), "2".to_owned()),
    ]);
    write(folder.path(), scratch.path(), &one, &mut written).unwrap();
    let two = BTreeMap::from([(PathBuf::from("b.json"), "3".to_owned())]);
    write(folder.path(), scratch.path(), &two, &mut written).unwrap();
    assert_eq!(
        std::fs::read_to_string(folder.path().join("b.json")).unwrap(),
        "3"
    );
    assert!(!folder.path().join("x/a.json").exists());
}

#[test]
fn names_resolve_to_cluster_ips_and_headless_ones_to_pods() {
    let text = FILE.replace("namespace: data", "namespace: default");
    let mut world = world(&text);
    let zone_of = |world: &World| zone(&world.manifests, &world.ips, &world.pods, None);
    let before = zone_of(&world);
    let details = before.lookup("details.default.svc.cluster.local").unwrap();
    assert_eq!(details[0].octets()[..2], [10, 96]);
    assert_eq!(
        before.lookup("headless.default.svc.cluster.local").unwrap(),
        [Ipv4Addr::new(10, 244, 1, 1)]
    );
    world.pods[0].ready = false;
    assert!(
        zone_of(&world)
            .lookup("headless.default.svc.cluster.local")
            .unwrap()
            .is_empty()
    );
}
