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
fn what_only_the_memo_holds_goes_with_the_second_sweep() {
    let (memo, counters) = (Memo::default(), Counters::default());
    let held = memo.get(counters.input("held", "x"));
    let dropped = memo.get(counters.input("dropped", "y"));
    for generation in 1..5 {
        memo.sweep(generation);
        assert_eq!(memo.len(), 2, "both are held at {generation}");
    }
    drop(dropped);
    memo.sweep(5);
    assert_eq!(memo.len(), 2, "handed from one snapshot to the next");
    memo.sweep(6);
    assert_eq!(memo.len(), 1);
    memo.get(counters.input("held", "x"));
    assert_eq!(counters.read().0, 2, "what is held stays");
    memo.get(counters.input("dropped", "y"));
    assert_eq!(counters.read().0, 3, "what is gone is built again");
    drop(held);
}

#[test]
fn a_resource_that_comes_back_before_the_second_sweep_is_the_same() {
    let (memo, counters) = (Memo::default(), Counters::default());
    let first = memo.get(counters.input("a", "x"));
    memo.sweep(1);
    drop(first);
    memo.sweep(2);
    let again = memo.get(counters.input("a", "x"));
    memo.sweep(3);
    memo.sweep(4);
    assert_eq!((memo.len(), counters.read().0), (1, 1));
    drop(again);
}

#[test]
fn a_part_goes_with_the_last_resource_that_has_it() {
    let (memo, counters) = (Memo::default(), Counters::default());
    let first = memo.get(counters.input("first", "shared own"));
    let second = memo.get(counters.input("second", "shared"));
    assert_eq!(memo.parts.len(), 2);
    memo.sweep(1);
    drop(first);
    memo.sweep(2);
    assert_eq!(
        memo.parts.len(),
        2,
        "the resource is kept for one more sweep"
    );
    memo.sweep(3);
    assert_eq!(
        memo.parts.len(),
        1,
        "the other resource has the shared part"
    );
    drop(second);
    memo.sweep(4);
    memo.sweep(5);
    assert!(memo.is_empty());
    assert!(memo.parts.is_empty());
}
