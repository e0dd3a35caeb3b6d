//! Where the material lies that is shared between the clones of this repository and not part of it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The root of the clone.
pub fn repo_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// `../shared` beside the clone, when it is there. Tests that need it print "skipped: no corpus" and pass without it.
pub fn shared_dir() -> Option<PathBuf> {
    let dir = repo_root().parent()?.join("shared");
    dir.is_dir().then_some(dir)
}

/// The recorded worlds of istiod 1.31.
pub fn xds_corpus() -> Option<PathBuf> {
    let dir = shared_dir()?.join("corpus/xds");
    dir.join("base/base.yaml").is_file().then_some(dir)
}

/// A suite of the corpus, `xds-recorded` for example.
pub fn suite(name: &str) -> Option<PathBuf> {
    let dir = shared_dir()?.join("corpus").join(name);
    dir.is_dir().then_some(dir)
}

/// Istio's benchmark worlds.
pub fn bench_configs() -> Option<PathBuf> {
    let dir = shared_dir()?.join("corpus/bench-configs");
    dir.is_dir().then_some(dir)
}

/// Says why a test does nothing. It goes straight to stderr, past libtest, so that `cargo xtask test` can count it.
pub fn skipped(why: &str) {
    // Without a stderr nobody listens.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
