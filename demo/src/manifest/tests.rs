use super::*;

const BOOK: &str = "\
apiVersion: v1
kind: Service
metadata: {name: details}
spec:
  ports: [{port: 9080, name: http}]
  selector: {app: details}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: details-v1}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: details, version: v1}}
    spec:
      serviceAccountName: bookinfo-details
      containers:
      - {name: details, image: examples-bookinfo-details-v1, ports: [{containerPort: 9080}]}
---
";

fn parsed(files: &[(&str, &str)]) -> BTreeMap<PathBuf, Vec<Document>> {
    files
        .iter()
        .map(|(path, text)| (PathBuf::from(path), documents(text)))
        .collect()
}

#[test]
fn documents_keep_their_places() {
    let cases: [(&str, &[(bool, &str)]); 7] = [
        ("a: 1\n", &[(false, "a: 1\n")]),
        (
            "a: 1\n---\nb: 2\nc: 3\n",
            &[(false, "a: 1\n"), (true, "\nb: 2\nc: 3\n")],
        ),
        (
            "---\na: 1\n--- # next\nb: 2\n",
            &[(true, "\na: 1\n"), (true, " # next\nb: 2\n")],
        ),
        ("--- {a: 1}\n", &[(true, " {a: 1}\n")]),
        ("a: |\n  ---\n  text\n", &[(false, "a: |\n  ---\n  text\n")]),
        ("", &[]),
        ("a: 1\n---", &[(false, "a: 1\n"), (true, "")]),
    ];
    for (text, expected) in cases {
        let documents = documents(text);
        let found: Vec<(bool, &str)> = documents
            .iter()
            .map(|found| (found.separated, found.text.as_str()))
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }
}

#[test]
fn workloads_and_services_are_read() {
    let read = read(&parsed(&[("book.yaml", BOOK)]), &mut BTreeMap::new());
    let workload = &read.workloads[&("default".to_owned(), "details-v1".to_owned())];
    assert_eq!(workload.replicas, 2);
    assert_eq!(workload.service_account, "bookinfo-details");
    assert_eq!(workload.containers[0].ports[0].container_port, 9080);
    assert_eq!(workload.labels["version"], "v1");
    let service = &read.services[&("default".to_owned(), "details".to_owned())];
    assert_eq!(
        (
            service.cluster_ip.as_deref(),
            service.selector["app"].as_str()
        ),
        (None, "details")
    );
    assert_eq!(read.problems, Vec::<String>::new());
}

#[test]
fn a_broken_file_keeps_its_last_good_objects_and_a_deleted_one_does_not() {
    let mut earlier = BTreeMap::new();
    let good = read(&parsed(&[("book.yaml", BOOK)]), &mut earlier);
    let broken = read(&parsed(&[("book.yaml", "kind: [\n")]), &mut earlier);
    assert_eq!(broken.workloads, good.workloads);
    assert!(
        broken.problems[0].starts_with("book.yaml: "),
        "{:?}",
        broken.problems
    );
    let gone = read(&parsed(&[]), &mut earlier);
    assert!(gone.workloads.is_empty());
}

#[test]
fn the_labs_applications_are_read_without_a_problem() {
    let labs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/labs");
    if !labs.is_dir() {
        eprintln!("skipped: no corpus");
        return;
    }
    let parsed = documents_in(&labs.join("apps")).unwrap();
    let read = read(&parsed, &mut BTreeMap::new());
    assert_eq!(read.problems, Vec::<String>::new());
    let names: Vec<&str> = read
        .workloads
        .keys()
        .map(|(_, name)| name.as_str())
        .collect();
    for name in [
        "productpage-v1",
        "reviews-v3",
        "httpbin",
        "sleep",
        "helloworld-v2",
        "tcp-echo",
        "tomcat-deploy",
    ] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
}
