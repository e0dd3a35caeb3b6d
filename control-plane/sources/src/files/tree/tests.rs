use std::fs;

use tempfile::TempDir;

use super::*;
use crate::files::load;

fn service(name: &str, port: u16) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - port: {port}\n    name: http\n"
    )
}

fn settings() -> LowerSettings {
    LowerSettings::default()
}

/// Reads what changed and says it as `+name` and `-name`.
fn step(tree: &mut Tree) -> (Vec<String>, Vec<Diagnostic>) {
    tree.refresh(&Hints::default());
    let batch = tree.batch();
    let changes = batch.changes.iter().map(|(key, object)| {
        let sign = if object.is_some() { '+' } else { '-' };
        format!("{sign}{}", key.name)
    });
    let mut changes: Vec<String> = changes.collect();
    changes.sort();
    (changes, batch.diagnostics)
}

fn words(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(Diagnostic::to_string).collect();
    lines.join("\n")
}

#[test]
fn a_directory_is_read_recursively_and_followed() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("a.yaml"), service("a", 80)).unwrap();
    fs::write(dir.path().join("sub/b.yml"), service("b", 80)).unwrap();
    fs::write(dir.path().join(".hidden.yaml"), service("hidden", 80)).unwrap();
    fs::write(dir.path().join("c.yaml~"), service("backup", 80)).unwrap();
    fs::write(dir.path().join("#d.yaml#"), service("autosave", 80)).unwrap();
    let json = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"j"},"spec":{"ports":[{"port":1}]}}"#;
    fs::write(dir.path().join("j.json"), json).unwrap();

    let mut tree = Tree::new(dir.path(), &settings());
    assert_eq!(
        step(&mut tree),
        (vec!["+a".into(), "+b".into(), "+j".into()], vec![])
    );
    assert_eq!(step(&mut tree).0, Vec::<String>::new(), "nothing changed");

    fs::write(
        dir.path().join("a.yaml"),
        service("a", 8080) + &service("a2", 80),
    )
    .unwrap();
    fs::remove_file(dir.path().join("sub/b.yml")).unwrap();
    assert_eq!(step(&mut tree).0, ["+a", "+a2", "-b"]);
}

#[test]
fn what_cannot_be_read_or_used_removes_nothing() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("f.yaml");
    let good = service("one", 80) + &service("two", 80);
    for (broken, says) in [
        (good[..good.len() - 40].to_owned() + "\n  x: [", "f.yaml:"),
        (service("one", 80) + "---\n: : :\n- ][", "f.yaml:11"),
        (
            service("one", 80) + &service("two", 0),
            "f.yaml:17: Service default/two: spec.ports[0].port",
        ),
        ("kind: Service\n\tname: x\n".to_owned(), "f.yaml:2"),
        (String::new(), "became empty"),
    ] {
        fs::write(&file, &good).unwrap();
        let mut tree = Tree::new(dir.path(), &settings());
        assert_eq!(step(&mut tree).0, ["+one", "+two"]);
        fs::write(&file, &broken).unwrap();
        let (changes, diagnostics) = step(&mut tree);
        assert_eq!(changes, Vec::<String>::new(), "{broken}");
        assert!(
            words(&diagnostics).contains(says),
            "{broken}\n{}",
            words(&diagnostics)
        );

        // Once it is good again, what it left out is gone.
        fs::write(&file, service("two", 81)).unwrap();
        let (changes, diagnostics) = step(&mut tree);
        assert_eq!(changes, ["+two", "-one"]);
        assert_eq!(words(&diagnostics), "");
    }
}

#[test]
fn good_changes_beside_an_error_take_effect() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("f.yaml");
    fs::write(&file, service("one", 80) + &service("two", 80)).unwrap();
    let mut tree = Tree::new(dir.path(), &settings());
    step(&mut tree);
    fs::write(
        &file,
        service("one", 81) + "---\n{\n" + &service("three", 80),
    )
    .unwrap();
    let (changes, diagnostics) = step(&mut tree);
    assert_eq!(changes, ["+one", "+three"]);
    assert!(
        words(&diagnostics).contains("1 of its last good objects stay"),
        "{}",
        words(&diagnostics)
    );
}

#[test]
fn the_last_file_wins_and_both_places_are_named() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a.yaml"), service("x", 1)).unwrap();
    fs::write(
        dir.path().join("b.yaml"),
        service("y", 1) + &service("x", 2),
    )
    .unwrap();
    let mut tree = Tree::new(dir.path(), &settings());
    let (changes, diagnostics) = step(&mut tree);
    assert_eq!(changes, ["+x", "+y"]);
    let text = words(&diagnostics);
    assert!(text.contains("a.yaml:3: Service default/x"), "{text}");
    assert!(text.contains("b.yaml:12, which wins"), "{text}");
    let loaded = load(dir.path(), &settings());
    let key = ObjectKey::new(meltemi_model::Kind::Service, "default", "x");
    let Some(Object::Service(service)) = loaded.objects.get(&key) else {
        panic!("no service x");
    };
    assert_eq!(service.ports[0].number, 2);

    // Without the winner the other one is back.
    fs::remove_file(dir.path().join("b.yaml")).unwrap();
    assert_eq!(step(&mut tree), (vec!["+x".into(), "-y".into()], vec![]));
}

#[test]
fn a_directory_that_goes_away_keeps_its_objects() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("config");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("a.yaml"), service("a", 80)).unwrap();
    let mut tree = Tree::new(&dir, &settings());
    step(&mut tree);
    fs::rename(&dir, parent.path().join("elsewhere")).unwrap();
    let (changes, diagnostics) = step(&mut tree);
    assert_eq!(changes, Vec::<String>::new());
    assert!(
        words(&diagnostics).contains("its last objects stay"),
        "{}",
        words(&diagnostics)
    );
    fs::rename(parent.path().join("elsewhere"), &dir).unwrap();
    assert_eq!(step(&mut tree), (vec![], vec![]));
}

#[cfg(unix)]
#[test]
fn links_are_followed_as_in_the_mount_of_a_config_map() {
    use std::os::unix::fs::symlink;
    let dir = TempDir::new().unwrap();
    for (version, port) in [("..1", 1), ("..2", 2)] {
        fs::create_dir(dir.path().join(version)).unwrap();
        fs::write(dir.path().join(version).join("f.yaml"), service("f", port)).unwrap();
    }
    symlink("..1", dir.path().join("..data")).unwrap();
    symlink("..data/f.yaml", dir.path().join("f.yaml")).unwrap();
    symlink(".", dir.path().join("loop")).unwrap();
    let mut tree = Tree::new(dir.path(), &settings());
    assert_eq!(step(&mut tree), (vec!["+f".into()], vec![]));
    symlink("..2", dir.path().join("..data_tmp")).unwrap();
    fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    assert_eq!(step(&mut tree).0, ["+f"]);
}

#[test]
fn files_that_are_being_written_are_left_alone_and_dirty_ones_are_read() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.yaml");
    fs::write(&file, service("a", 80)).unwrap();
    let mut tree = Tree::new(dir.path(), &settings());
    step(&mut tree);
    fs::write(&file, "# not yet\n").unwrap();
    let writing = Hints {
        writing: [file.clone()].into(),
        ..Hints::default()
    };
    tree.refresh(&writing);
    assert_eq!(tree.batch().changes.len(), 0);
    let dirty = Hints {
        dirty: [file].into(),
        ..Hints::default()
    };
    tree.refresh(&dirty);
    assert_eq!(tree.batch().changes.len(), 1);
}

#[test]
fn hosts_without_addresses_get_some_that_follow_from_their_names() {
    let entry = |name: &str, more: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: ns}}\nspec:\n  \
             hosts: [{name}.com]\n  resolution: DNS\n  ports: [{{number: 80, name: tcp, protocol: TCP}}]\n{more}"
        )
    };
    let dir = TempDir::new().unwrap();
    let read = |text: String, settings: &LowerSettings| -> BTreeMap<String, Vec<String>> {
        fs::write(dir.path().join("a.yaml"), text).unwrap();
        let loaded = load(dir.path(), settings);
        let entries = loaded
            .objects
            .into_values()
            .filter_map(|object| match object {
                Object::ServiceEntry(entry) => Some(entry),
                _ => None,
            });
        let addresses = |entry: &ServiceEntry| {
            let held = entry.allocated.iter();
            held.map(|(_, a)| a.to_string()).collect()
        };
        entries
            .map(|entry| (entry.meta.key.name.to_string(), addresses(&entry)))
            .collect()
    };
    let status = "status: {addresses: [{value: 240.240.7.7, host: b.com}]}\n";
    let two = read(entry("a", "") + &entry("b", status), &settings());
    assert_eq!(two["b"], ["240.240.7.7"], "what a file says counts");
    assert!(
        two["a"][0].starts_with("240.240.") && two["a"][1].starts_with("2001:2:"),
        "{two:?}"
    );
    let alone = read(entry("a", ""), &settings());
    assert_eq!(alone["a"], two["a"]);
    let mut off = settings();
    off.features.ip_autoallocate = false;
    let none = read(entry("a", "") + &entry("b", status), &off);
    assert!(none.values().all(Vec::is_empty), "{none:?}");
}
