use std::hash::{Hash, Hasher};
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use meltemi_builders::Built;
use meltemi_model::{ResourceType, Str};

use super::*;

/// A resource that is the words of its parts. It counts what is written: itself, and parts.
#[derive(Debug, Clone)]
struct Words {
    name: Str,
    parts: Vec<Shared<String>>,
    built: Arc<AtomicUsize>,
    written: Arc<AtomicUsize>,
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.parts) == (&other.name, &other.parts)
    }
}

impl Eq for Words {}

impl Hash for Words {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.parts).hash(state);
    }
}

impl Input for Words {
    const TYPE: ResourceType = ResourceType::Route;
    type Part = String;
    type Shape = ();

    fn parts(&mut self) -> &mut [Shared<String>] {
        &mut self.parts
    }

    fn build(&self) -> Built {
        self.built.fetch_add(1, Ordering::Relaxed);
        let write = |word: &String| {
            self.written.fetch_add(1, Ordering::Relaxed);
            Bytes::from(word.clone())
        };
        let body: Vec<u8> = self
            .parts
            .iter()
            .flat_map(|p| p.encoded(write).to_vec())
            .collect();
        Built {
            name: self.name.clone(),
            body: body.into(),
            from: Vec::new(),
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    built: Arc<AtomicUsize>,
    written: Arc<AtomicUsize>,
}

impl Counters {
    /// `words` are separated by blanks; each is a new row, as a rerun stage makes it.
    fn input(&self, name: &str, words: &str) -> Words {
        Words {
            name: name.into(),
            parts: words
                .split(' ')
                .map(|w| Shared::new(w.to_owned()))
                .collect(),
            built: Arc::clone(&self.built),
            written: Arc::clone(&self.written),
        }
    }

    /// (resources built, parts written).
    fn read(&self) -> (usize, usize) {
        let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (read(&self.built), read(&self.written))
    }
}

#[test]
fn an_equal_input_builds_nothing() {
    let (memo, counters) = (Memo::default(), Counters::default());
    let first = memo.get(counters.input("a", "x y"));
    let again = memo.get(counters.input("a", "x y"));
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(counters.read().0, 1);
    assert_eq!((&*first.name, &*first.body), ("a", b"xy".as_slice()));
    let counts = Counts {
        lookups: 2,
        misses: 1,
    };
    assert_eq!(memo.counts(), counts);
}

#[test]
fn a_changed_aggregate_writes_only_what_changed() {
    let (memo, counters) = (Memo::default(), Counters::default());
    let mut held = Vec::new();
    // (name, words, parts written for it).
    for (name, words, want) in [
        ("a", "x y", 2),
        ("a", "x y z", 1),
        ("a", "z x", 0),
        ("b", "y w w", 1),
    ] {
        let before = counters.read().1;
        held.push(memo.get(counters.input(name, words)));
        assert_eq!(counters.read().1 - before, want, "{name}: {words}");
        let body = words.replace(' ', "");
        assert_eq!(
            held.last().unwrap().body,
            body.as_bytes(),
            "{name}: {words}"
        );
    }
}

#[test]
fn what_nobody_asks_for_goes_with_the_second_sweep() {
    let (memo, counters) = (Memo::default(), Counters::default());
    let held = memo.get(counters.input("held", "x"));
    memo.get(counters.input("dropped", "y"));
    memo.sweep();
    assert_eq!(memo.len(), 2, "both were asked for since the last sweep");
    memo.get(counters.input("held", "x"));
    memo.sweep();
    assert_eq!(memo.len(), 1);
    memo.get(counters.input("held", "x"));
    assert_eq!(counters.read().0, 2, "what is asked for stays");
    memo.get(counters.input("dropped", "y"));
    assert_eq!(counters.read().0, 3, "what is gone is built again");
    drop(held);
}

#[test]
fn what_is_asked_for_stays_though_no_snapshot_holds_it() {
    let (memo, counters) = (Memo::default(), Counters::default());
    for generation in 0..5 {
        memo.get(counters.input("a", "x"));
        memo.sweep();
        assert_eq!((memo.len(), counters.read().0), (1, 1), "{generation}");
    }
}

#[test]
fn a_part_goes_with_the_last_resource_that_has_it() {
    let (memo, counters) = (Memo::default(), Counters::default());
    let second = || counters.input("second", "shared");
    memo.get(counters.input("first", "shared own"));
    memo.get(second());
    assert_eq!(memo.parts.len(), 2);
    memo.sweep();
    assert_eq!(memo.parts.len(), 2, "the first is kept for one more sweep");
    memo.get(second());
    memo.sweep();
    assert_eq!(memo.parts.len(), 1, "the second has the shared part");
    memo.sweep();
    assert!(memo.is_empty());
    assert!(memo.parts.is_empty());
}
