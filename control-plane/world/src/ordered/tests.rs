use std::collections::BTreeMap;

use super::*;

fn of(rows: &BTreeMap<u32, u32>) -> Ordered<u32, u32> {
    Ordered::from_sorted(rows.iter().map(|(k, v)| (*k, *v)).collect())
}

fn rows(map: &Ordered<u32, u32>) -> BTreeMap<u32, u32> {
    map.iter().map(|(k, v)| (*k, *v)).collect()
}

/// Numbers that look as if they were random.
fn numbers() -> impl Iterator<Item = u32> {
    std::iter::successors(Some(12_345_u32), |n| {
        Some(n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
    })
    .map(|n| n >> 16)
}

#[test]
fn it_is_a_map_and_older_versions_stay() {
    let (mut map, mut want) = (Ordered::default(), BTreeMap::new());
    let mut versions = Vec::new();
    for (step, number) in numbers().take(4_000).enumerate() {
        let key = number % 700;
        // First it grows, then it shrinks.
        if number % 3 == u32::from(step > 2_000) || step > 3_500 {
            assert_eq!(map.remove(&key), want.remove(&key).is_some());
        } else {
            map.insert(key, number);
            want.insert(key, number);
        }
        assert_eq!(map.len(), want.len());
        assert_eq!(map.is_empty(), want.is_empty());
        assert_eq!(map.get(&key), want.get(&key));
        if step % 250 == 0 {
            versions.push((map.clone(), want.clone()));
        }
    }
    versions.push((map, want));
    for (map, want) in &versions {
        assert_eq!(rows(map), *want);
        assert_eq!(rows(&of(want)), *want);
        assert!(map.iter().map(|(k, _)| k).eq(want.keys()));
        for from in [0, 1, 333, 699, 700] {
            let starting = map.starting(|key| key.cmp(&from)).map(|(k, _)| k);
            assert!(starting.eq(want.range(from..).map(|(k, _)| k)), "{from}");
        }
        // Groups of keys that are equal to the order begin and end anywhere in chunks, or span some.
        for (size, group) in [(2, 150), (7, 33), (200, 0), (200, 1), (200, 2), (700, 0)] {
            let starting = map.starting(|key| (key / size).cmp(&group));
            let found = starting.map(|(k, _)| k);
            let want = want.range(group * size..).map(|(k, _)| k);
            assert!(found.eq(want), "group {group} of {size}");
        }
    }
    for (a, old) in &versions {
        for (b, new) in &versions {
            let found = b.differences(a, |x, y| x == y);
            let keys = old.keys().chain(new.keys());
            let all: std::collections::BTreeSet<&u32> = keys.collect();
            let want: Vec<_> = all
                .into_iter()
                .map(|key| (key, old.get(key), new.get(key)))
                .filter(|(_, before, after)| before != after)
                .collect();
            assert_eq!(found, want);
            assert_eq!(a.same(b), std::ptr::eq(a, b), "no two are of one moment");
        }
    }
}

#[test]
fn a_change_shares_the_other_chunks() {
    let rows: BTreeMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
    let before = of(&rows);
    let mut now = before.clone();
    assert!(now.same(&before));
    now.insert(5_000, 1);
    now.insert(10_001, 1);
    assert!(now.remove(&7));
    assert!(!now.remove(&7));
    let shared = now
        .chunks()
        .iter()
        .filter(|chunk| {
            before
                .chunks()
                .iter()
                .any(|other| Arc::ptr_eq(chunk, other))
        })
        .count();
    assert_eq!(shared, before.chunks().len() - 3);
    let asked = std::cell::Cell::new(0);
    let found = now.differences(&before, |a, b| {
        asked.set(asked.get() + 1);
        a == b
    });
    let keys: Vec<u32> = found.iter().map(|(key, _, _)| **key).collect();
    assert_eq!(keys, [7, 5_000, 10_001]);
    assert!(asked.get() <= 3 * MOST, "{}", asked.get());
}

#[test]
fn an_empty_one_is_the_same_as_another() {
    let mut map = Ordered::from_sorted(vec![(1, 1)]);
    assert!(!map.same(&Ordered::default()));
    assert!(map.remove(&1));
    assert!(map.same(&Ordered::default()));
    assert!(map.is_empty() && map.iter().next().is_none() && map.get(&1).is_none());
}
