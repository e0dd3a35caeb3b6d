use std::path::Path;
use std::process::Command;
use std::{env, fs};

use super::*;

/// A folder that goes when the test does.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("meltemi-image-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn packed(folder: &Path, name: &str, files: &[(&str, &str)]) -> (pack::Packed, Vec<u8>) {
    let root = folder.join(name).join("root");
    for (file, text) in files {
        let file = root.join(file);
        fs::create_dir_all(file.parent().expect("a parent")).expect("folders");
        fs::write(file, text).expect("a file");
    }
    let output = folder.join(format!("{name}.tar"));
    let done = pack::pack(&root, &folder.join(name), "meltemi/pilot:1", &output).expect("packs");
    (done, fs::read(output).expect("an image"))
}

#[test]
fn the_same_files_make_the_same_image() {
    let folder = Folder::new("same");
    let files = [("usr/local/bin/meltemi", "program"), ("etc/passwd", "root")];
    let mut turned = files;
    turned.reverse();
    let (one, two) = (
        packed(&folder.0, "one", &files),
        packed(&folder.0, "two", &turned),
    );
    assert_eq!(one, two);
    let (other, _) = packed(&folder.0, "other", &[("etc/passwd", "else")]);
    assert_ne!(one.0.digest, other.digest);
}

#[test]
fn blobs_lie_where_their_content_says() {
    let folder = Folder::new("blobs");
    packed(&folder.0, "one", &[("etc/passwd", "root")]);
    let unpacked = folder.0.join("unpacked");
    fs::create_dir(&unpacked).expect("a folder");
    said(
        Command::new("tar")
            .arg("-xf")
            .arg(folder.0.join("one.tar"))
            .arg("-C")
            .arg(&unpacked),
    )
    .expect("unpacks");
    let blobs = unpacked.join("blobs/sha256");
    let mut count = 0;
    for entry in fs::read_dir(&blobs).expect("blobs") {
        let path = entry.expect("a blob").path();
        let sum = said(Command::new("sha256sum").arg(&path)).expect("a sum");
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        assert!(String::from_utf8_lossy(&sum).starts_with(&name), "{name}");
        count += 1;
    }
    assert_eq!(count, 3, "a layer, a configuration, a manifest");
    for file in ["index.json", "manifest.json"] {
        let text = fs::read_to_string(unpacked.join(file)).expect("an index");
        assert!(text.contains("meltemi/pilot:1"), "{text}");
    }
}

#[test]
fn options_are_read_and_misspelt_ones_refused() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let read = options(&words("--binary a --output=b --tag c:1 --root d")).expect("options");
    assert_eq!(read.binary, Some("a".into()));
    assert_eq!(read.output, Path::new("b"));
    assert_eq!(read.tag, "c:1");
    assert_eq!(read.root, Some("d".into()));
    for (wrong, complaint) in [
        ("--binaries a", "there is no option"),
        ("--tag", "needs a value"),
    ] {
        let error = options(&words(wrong)).expect_err("is refused").to_string();
        assert!(error.contains(complaint), "{error}");
    }
}
