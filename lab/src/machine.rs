//! A run on this machine: what it must offer, one cluster at a time, and an end in order, whatever happens.

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::Cluster;
use crate::report::Totals;
use crate::say::say;
use crate::{Choice, cgroups, debian, golang, labs, node, settings};

/// What ends a run from outside.
const SIGNALS: [fn() -> SignalKind; 3] = [
    SignalKind::interrupt,
    SignalKind::terminate,
    SignalKind::hangup,
];

/// Runs the labs. A machine that cannot run them says why and passes: they are skipped.
pub(crate) fn run(choice: &Choice) -> Result<ExitCode> {
    if let Err(why) = check() {
        say(&format!("skipped: the labs: {why:#}"));
        Totals {
            skipped: 1,
            ..Totals::default()
        }
        .print();
        return Ok(ExitCode::SUCCESS);
    }
    if !choice.meltemi.is_file() {
        bail!(
            "there is no {}: cargo build --release --package meltemi",
            choice.meltemi.display()
        );
    }
    let cache = settings::cache()?;
    fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    let lock = File::create(cache.join("lock")).context("the lab's lock")?;
    if lock.try_lock().is_err() {
        bail!("another lab is running on this machine");
    }
    let folder = cache.join("run");
    node::remove_traces()?;
    remove(&folder)?;
    end_on_signals()?;
    let outcome = thread::scope(|scope| {
        let work = scope.spawn(|| labs_in_a_cluster(choice, &folder));
        work.join()
            .unwrap_or_else(|_| Err(anyhow!("the lab has panicked")))
    });
    let totals = match outcome {
        Ok(totals) => totals,
        Err(error) => {
            say(&format!(
                "the node's logs: {}",
                folder.join("log").display()
            ));
            return Err(error);
        }
    };
    if totals.failed == 0 {
        remove(&folder)?;
    } else {
        say(&format!(
            "logs and evidence: {}",
            folder.join("log").display()
        ));
    }
    totals.print();
    Ok(if totals.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Why this machine cannot run a cluster, if it cannot.
fn check() -> Result<()> {
    if !settings::is_root() {
        bail!("namespaces, control groups and overlay mounts need root");
    }
    cgroups::check()?;
    let kinds = fs::read_to_string("/proc/filesystems").context("/proc/filesystems")?;
    if !kinds
        .lines()
        .any(|line| line.trim_end().ends_with("overlay"))
    {
        bail!("the kernel has no overlay file system");
    }
    let missing = debian::missing();
    if !missing.is_empty() {
        bail!(
            "these Debian packages are missing: apt-get install {}",
            missing.join(" ")
        );
    }
    golang::check()
}

fn labs_in_a_cluster(choice: &Choice, folder: &Path) -> Result<Totals> {
    let begun = Instant::now();
    let timed = |line: &str| say(&format!("[{:>5.1}] {line}", begun.elapsed().as_secs_f32()));
    let mut cluster = Cluster::start(&choice.meltemi, folder, &timed)?;
    let totals = labs::run(&cluster, &choice.labs);
    if let Some(memory) = cgroups::memory() {
        timed(&format!(
            "memory of the whole cluster: {} MiB",
            memory / 1_048_576
        ));
    }
    if choice.keep {
        say(&format!(
            "the cluster runs until Ctrl-C: export KUBECONFIG={}",
            folder.join(crate::cluster::KUBECONFIG).display()
        ));
        loop {
            thread::park();
        }
    }
    cluster.end()?;
    timed("ended");
    Ok(totals)
}

/// On a signal the cluster ends, and then this program, whatever it is doing.
fn end_on_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let mut streams = Vec::new();
    {
        let _inside = runtime.enter();
        for kind in SIGNALS {
            streams.push(signal(kind()).context("signals")?);
        }
    }
    thread::spawn(move || {
        let [a, b, c] = streams.as_mut_slice() else {
            return;
        };
        runtime.block_on(async {
            tokio::select! {
                _ = a.recv() => {}
                _ = b.recv() => {}
                _ = c.recv() => {}
            }
        });
        say("interrupted: the cluster ends");
        if let Err(error) = node::end_running() {
            say(&format!("error: {error:#}"));
        }
        std::process::exit(130);
    });
    Ok(())
}

/// The folder of a run; overlay mounts of its containers are gone with the node.
fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}
