//! A layer of an image: a tar archive and its digest, written in one go. Same input, same digest.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{Context as Digest, SHA256};
use serde::{Deserialize, Serialize};
use tar::{EntryType, Header};

/// A finished layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// `sha256:` and the digest of the archive.
    pub(crate) digest: String,
    /// In bytes.
    pub(crate) size: u64,
    /// The archive.
    pub(crate) file: PathBuf,
}

/// Writes entries. Folders are written once, before what is in them.
pub(crate) struct Writer<'a> {
    tar: tar::Builder<&'a mut Hashed>,
    folders: BTreeSet<PathBuf>,
}

/// `sha256:` and the digest of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut digest = Digest::new(&SHA256);
    digest.update(bytes);
    named(digest)
}

fn named(digest: Digest) -> String {
    let hex: Vec<String> = digest
        .finish()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{}", hex.concat())
}

/// Writes a layer to a file.
pub(crate) fn write(
    file: PathBuf,
    fill: impl FnOnce(&mut Writer<'_>) -> Result<()>,
) -> Result<Layer> {
    let unfinished = file.with_extension("part");
    let mut out = Hashed {
        file: File::create(&unfinished)
            .with_context(|| format!("creating {}", unfinished.display()))?,
        digest: Digest::new(&SHA256),
        size: 0,
    };
    let mut writer = Writer {
        tar: tar::Builder::new(&mut out),
        folders: BTreeSet::new(),
    };
    fill(&mut writer)?;
    writer.tar.finish().context("the layer's end")?;
    drop(writer);
    fs::rename(&unfinished, &file).with_context(|| format!("moving {}", file.display()))?;
    Ok(Layer {
        digest: named(out.digest),
        size: out.size,
        file,
    })
}

impl Writer<'_> {
    /// An entry as another archive has it, under a path of ours.
    pub(crate) fn copied<R: Read>(
        &mut self,
        path: &Path,
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<()> {
        let mut header = entry.header().clone();
        let link = entry
            .link_name()
            .context("a link")?
            .map(|link| link.into_owned());
        reset(&mut header);
        match header.entry_type() {
            EntryType::Directory => self.folder(path, header.mode().unwrap_or(0o755)),
            EntryType::Symlink | EntryType::Link => {
                self.parents(path)?;
                let mut link = link.context("a link without a target")?;
                if header.entry_type() == EntryType::Link {
                    link = merged(&link);
                }
                header.set_size(0);
                self.tar
                    .append_link(&mut header, path, link)
                    .with_context(|| path.display().to_string())
            }
            _ => {
                self.parents(path)?;
                self.tar
                    .append_data(&mut header, path, entry)
                    .with_context(|| path.display().to_string())
            }
        }
    }

    /// A folder, and those above it.
    pub(crate) fn folder(&mut self, path: &Path, mode: u32) -> Result<()> {
        if path.as_os_str().is_empty() || self.folders.contains(path) {
            return Ok(());
        }
        self.parents(path)?;
        self.folders.insert(path.to_owned());
        let mut header = header(EntryType::Directory, mode, 0);
        self.tar
            .append_data(&mut header, path, io::empty())
            .with_context(|| path.display().to_string())
    }

    /// A folder that belongs to the proxy's user.
    pub(crate) fn proxy_folder(&mut self, path: &str) -> Result<()> {
        let path = Path::new(path);
        self.parents(path)?;
        self.folders.insert(path.to_owned());
        let mut header = header(EntryType::Directory, 0o755, 0);
        header.set_uid(1337);
        header.set_gid(1337);
        self.tar
            .append_data(&mut header, path, io::empty())
            .with_context(|| path.display().to_string())
    }

    /// A file with this content.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let path = Path::new(path);
        self.parents(path)?;
        let mut header = header(EntryType::Regular, mode, content.len() as u64);
        self.tar
            .append_data(&mut header, path, content)
            .with_context(|| path.display().to_string())
    }

    /// A program of this machine.
    pub(crate) fn program(&mut self, path: &Path, source: &Path) -> Result<()> {
        self.parents(path)?;
        let file = File::open(source).with_context(|| format!("opening {}", source.display()))?;
        let size = file.metadata().context("size")?.len();
        let mut header = header(EntryType::Regular, 0o755, size);
        self.tar
            .append_data(&mut header, path, file)
            .with_context(|| path.display().to_string())
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let path = Path::new(path);
        self.parents(path)?;
        let mut header = header(EntryType::Symlink, 0o777, 0);
        self.tar
            .append_link(&mut header, path, target)
            .with_context(|| path.display().to_string())
    }

    fn parents(&mut self, path: &Path) -> Result<()> {
        match path.parent() {
            Some(parent) => self.folder(parent, 0o755),
            None => Ok(()),
        }
    }
}

/// Where a path lies in a root whose /bin, /sbin, /lib and /lib64 are links to those under /usr.
pub(crate) fn merged(path: &Path) -> PathBuf {
    let path = path.strip_prefix("/").unwrap_or(path);
    let path = path.strip_prefix(".").unwrap_or(path);
    let first = path.iter().next().and_then(|first| first.to_str());
    match first {
        Some("bin" | "sbin" | "lib" | "lib64") => Path::new("usr").join(path),
        _ => path.to_owned(),
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    reset(&mut header);
    header
}

/// Everything belongs to root and has no age.
fn reset(header: &mut Header) {
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
}

/// A file whose digest is known at the end.
struct Hashed {
    file: File,
    digest: Digest,
    size: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_has_the_same_digest_and_unpacks() {
        let folder = tempfile::tempdir().unwrap();
        let fill = |writer: &mut Writer<'_>| {
            writer.file("etc/a/b", 0o644, b"text")?;
            writer.folder(Path::new("etc/a"), 0o755)?;
            writer.link("bin", "usr/bin")
        };
        let one = write(folder.path().join("one"), fill).unwrap();
        let two = write(folder.path().join("two"), fill).unwrap();
        assert_eq!(one.digest, two.digest);
        let bytes = fs::read(&one.file).unwrap();
        assert_eq!((digest(&bytes), bytes.len() as u64), (one.digest, one.size));
        let mut paths = Vec::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            paths.push(entry.unwrap().path().unwrap().display().to_string());
        }
        assert_eq!(paths, ["etc", "etc/a", "etc/a/b", "bin"]);
    }

    #[test]
    fn paths_go_to_the_merged_root() {
        for (path, expected) in [
            (
                "./lib/x86_64-linux-gnu/libc.so.6",
                "usr/lib/x86_64-linux-gnu/libc.so.6",
            ),
            ("./usr/bin/curl", "usr/bin/curl"),
            ("./etc/hosts", "etc/hosts"),
            ("/bin/sh", "usr/bin/sh"),
            ("./", ""),
        ] {
            assert_eq!(merged(Path::new(path)), Path::new(expected));
        }
    }
}
