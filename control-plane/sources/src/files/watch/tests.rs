use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use super::*;

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n---\n"
    )
}

fn start(path: &Path) -> Receiver<Batch> {
    let (tx, rx) = channel(16);
    tokio::spawn(watch(path.to_owned(), LowerSettings::default(), tx));
    rx
}

async fn next(rx: &mut Receiver<Batch>) -> Batch {
    let batch = timeout(Duration::from_secs(20), rx.recv()).await;
    batch.expect("a batch in time").expect("the watcher lives")
}

/// Waits until the objects that were sent so far are these, named `name:port`.
async fn until(rx: &mut Receiver<Batch>, have: &mut BTreeMap<String, u16>, want: &[(&str, u16)]) {
    let want: BTreeMap<String, u16> = want
        .iter()
        .map(|(name, port)| ((*name).to_owned(), *port))
        .collect();
    while *have != want {
        for (key, object) in next(rx).await.changes {
            match object {
                Some(meltemi_model::Object::Service(service)) => {
                    have.insert(key.name.to_string(), service.ports[0].number);
                }
                _ => {
                    have.remove(&*key.name);
                }
            }
        }
    }
}

#[tokio::test]
async fn changes_arrive() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a.yaml"), service("a", 1)).unwrap();
    let mut rx = start(dir.path());
    let mut have = BTreeMap::new();
    until(&mut rx, &mut have, &[("a", 1)]).await;

    fs::write(dir.path().join("a.yaml"), service("a", 2)).unwrap();
    until(&mut rx, &mut have, &[("a", 2)]).await;

    // An atomic rename, as editors and controllers do it.
    fs::write(dir.path().join(".a.tmp"), service("a", 3)).unwrap();
    fs::rename(dir.path().join(".a.tmp"), dir.path().join("a.yaml")).unwrap();
    until(&mut rx, &mut have, &[("a", 3)]).await;

    // A new directory, filled at once.
    fs::create_dir_all(dir.path().join("x/y")).unwrap();
    fs::write(dir.path().join("x/y/b.yaml"), service("b", 1)).unwrap();
    until(&mut rx, &mut have, &[("a", 3), ("b", 1)]).await;
    fs::write(dir.path().join("x/y/b.yaml"), service("b", 2)).unwrap();
    until(&mut rx, &mut have, &[("a", 3), ("b", 2)]).await;

    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    until(&mut rx, &mut have, &[("b", 2)]).await;
    fs::remove_dir_all(dir.path().join("x")).unwrap();
    until(&mut rx, &mut have, &[]).await;
}

#[tokio::test]
async fn a_broken_file_is_reported_and_mended() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.yaml");
    fs::write(&file, service("a", 1) + &service("b", 1)).unwrap();
    let mut rx = start(dir.path());
    let mut have = BTreeMap::new();
    until(&mut rx, &mut have, &[("a", 1), ("b", 1)]).await;

    fs::write(&file, service("a", 1) + "kind: [").unwrap();
    let batch = next(&mut rx).await;
    assert_eq!(batch.changes, vec![]);
    assert!(
        batch.diagnostics[0].to_string().contains("a.yaml:"),
        "{:?}",
        batch.diagnostics
    );

    fs::write(&file, service("a", 1) + &service("b", 2)).unwrap();
    until(&mut rx, &mut have, &[("a", 1), ("b", 2)]).await;
}

#[tokio::test]
async fn one_file_is_watched_too() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("only.yaml");
    fs::write(&file, service("a", 1)).unwrap();
    fs::write(dir.path().join("other.yaml"), service("other", 1)).unwrap();
    let mut rx = start(&file);
    let mut have = BTreeMap::new();
    until(&mut rx, &mut have, &[("a", 1)]).await;
    fs::write(&file, service("a", 2)).unwrap();
    until(&mut rx, &mut have, &[("a", 2)]).await;
}

#[tokio::test]
async fn an_empty_directory_is_synced() {
    let dir = TempDir::new().unwrap();
    let mut rx = start(dir.path());
    let batch = next(&mut rx).await;
    assert!(batch.synced && batch.changes.is_empty() && batch.diagnostics.is_empty());
}

#[tokio::test]
async fn the_watcher_ends_with_its_listener() {
    let dir = TempDir::new().unwrap();
    let (tx, mut rx) = channel(1);
    let task = tokio::spawn(watch(dir.path().to_owned(), LowerSettings::default(), tx));
    next(&mut rx).await;
    drop(rx);
    timeout(Duration::from_secs(20), task)
        .await
        .expect("in time")
        .unwrap();
}

#[test]
fn a_writer_that_never_closes_is_not_waited_for() {
    let mut pending = Pending::default();
    let (start, file) = (Instant::now(), PathBuf::from("a.yaml"));
    pending.note(Event::Writing(file.clone()), start);
    assert!(pending.take(start).writing.contains(&file));
    let hints = pending.take(start + LONGEST_WRITE);
    assert!(hints.writing.is_empty() && hints.dirty.contains(&file));
    assert!(pending.take(start + LONGEST_WRITE).dirty.is_empty());
}
