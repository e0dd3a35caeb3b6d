//! A sorted map whose versions share what they have in common: rows lie in chunks, and a change copies one chunk and the
//! list of chunks. So a change of one row of 10,000 copies some 200 pointers, and what differs between two versions is
//! found by comparing the addresses of chunks.

use std::cmp::Ordering;
use std::sync::Arc;

/// The most rows of a chunk; one that grows beyond it becomes two.
const MOST: usize = 128;

type Chunk<K, V> = Vec<(K, V)>;

/// A sorted map. Cloning shares everything.
#[derive(Debug)]
pub struct Ordered<K, V> {
    /// `None`: there are no rows. No chunk is empty.
    rows: Option<Arc<Rows<K, V>>>,
}

#[derive(Debug)]
struct Rows<K, V> {
    chunks: Vec<Arc<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Clone for Rows<K, V> {
    fn clone(&self) -> Self {
        Self {
            chunks: self.chunks.clone(),
            len: self.len,
        }
    }
}

impl<K, V> Clone for Ordered<K, V> {
    fn clone(&self) -> Self {
        Self {
            rows: self.rows.clone(),
        }
    }
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self { rows: None }
    }
}

impl<K, V> Ordered<K, V> {
    fn chunks(&self) -> &[Arc<Chunk<K, V>>] {
        self.rows.as_ref().map_or(&[], |rows| &rows.chunks)
    }

    /// Whether both are the very same version.
    pub fn same(&self, other: &Self) -> bool {
        match (&self.rows, &other.rows) {
            (None, None) => true,
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.as_ref().map_or(0, |rows| rows.len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_none()
    }

    /// All rows, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let rows = self.chunks().iter().flat_map(|chunk| chunk.iter());
        rows.map(|(key, value)| (key, value))
    }

    /// The rows from the first one on for which `order` is not `Less`.
    pub fn starting(&self, order: impl Fn(&K) -> Ordering) -> impl Iterator<Item = (&K, &V)> {
        let chunks = self.chunks();
        // Several rows may be `Equal`, also the first of a chunk and the last of the one before.
        let at = self.chunks_below(|first| order(first) == Ordering::Less);
        let at = at.saturating_sub(1);
        let skipped = chunks.get(at).map_or(0, |chunk| {
            chunk.partition_point(|(key, _)| order(key) == Ordering::Less)
        });
        let rows = chunks.iter().skip(at).flat_map(|chunk| chunk.iter());
        rows.skip(skipped).map(|(key, value)| (key, value))
    }

    /// The number of chunks at the front whose first key is `below`.
    fn chunks_below(&self, below: impl Fn(&K) -> bool) -> usize {
        self.chunks()
            .partition_point(|chunk| chunk.first().is_some_and(|(key, _)| below(key)))
    }
}

impl<K: Ord, V> Ordered<K, V> {
    /// The row of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let (chunk, place) = self.place(key);
        let (_, value) = self.chunks().get(chunk)?.get(place.ok()?)?;
        Some(value)
    }

    /// The chunk of a key, and where in it the key is or would be.
    fn place(&self, key: &K) -> (usize, Result<usize, usize>) {
        let at = self.chunks_below(|first| first <= key).saturating_sub(1);
        let found = self.chunks().get(at).map_or(Err(0), |chunk| {
            chunk.binary_search_by(|(other, _)| other.cmp(key))
        });
        (at, found)
    }
}

impl<K: Ord + Clone, V: Clone> Ordered<K, V> {
    /// Sets a row.
    pub fn insert(&mut self, key: K, value: V) {
        let (at, place) = self.place(&key);
        let rows = Arc::make_mut(self.rows.get_or_insert_with(|| {
            Arc::new(Rows {
                chunks: vec![Arc::default()],
                len: 0,
            })
        }));
        let Some(chunk) = rows.chunks.get_mut(at).map(Arc::make_mut) else {
            return;
        };
        match place {
            Ok(place) => chunk[place].1 = value,
            Err(place) => {
                chunk.insert(place, (key, value));
                rows.len += 1;
                if chunk.len() > MOST {
                    let upper = chunk.split_off(MOST / 2);
                    rows.chunks.insert(at + 1, Arc::new(upper));
                }
            }
        }
    }

    /// Removes a row, and says whether it was there.
    pub fn remove(&mut self, key: &K) -> bool {
        let (at, Ok(place)) = self.place(key) else {
            return false;
        };
        let Some(rows) = self.rows.as_mut().map(Arc::make_mut) else {
            return false;
        };
        if rows.len == 1 {
            self.rows = None;
            return true;
        }
        rows.len -= 1;
        let chunk = Arc::make_mut(&mut rows.chunks[at]);
        chunk.remove(place);
        if chunk.is_empty() {
            rows.chunks.remove(at);
        }
        true
    }

    /// From rows in the order of their keys, each key once.
    pub fn from_sorted(sorted: Vec<(K, V)>) -> Self {
        if sorted.is_empty() {
            return Self::default();
        }
        let len = sorted.len();
        let mut rest = sorted.into_iter();
        let chunks = (0..len.div_ceil(MOST)).map(|_| Arc::new(rest.by_ref().take(MOST).collect()));
        let rows = Rows {
            chunks: chunks.collect(),
            len,
        };
        Self {
            rows: Some(Arc::new(rows)),
        }
    }
}

/// A row that two versions do not have in common: what it was and what it is.
pub type Difference<'a, K, V> = (&'a K, Option<&'a V>, Option<&'a V>);

impl<K: Ord, V> Ordered<K, V> {
    /// The rows in which this version differs from an older one. `same` says whether two values count as one; it is asked
    /// for rows of chunks only that the versions do not share.
    pub fn differences<'a>(
        &'a self,
        old: &'a Self,
        same: impl Fn(&V, &V) -> bool,
    ) -> Vec<Difference<'a, K, V>> {
        let mut found = Vec::new();
        let [mut olds, mut news] = [old, self].map(|version| Cursor {
            chunks: version.chunks(),
            at: 0,
        });
        loop {
            while let (Some(a), Some(b)) = (olds.whole(), news.whole())
                && Arc::ptr_eq(a, b)
            {
                olds.skip();
                news.skip();
            }
            let order = match (olds.row(), news.row()) {
                (None, None) => return found,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let before = olds.row().filter(|_| order != Ordering::Greater);
            let after = news.row().filter(|_| order != Ordering::Less);
            match (before, after) {
                (Some((key, a)), Some((_, b))) if !same(a, b) => {
                    found.push((key, Some(a), Some(b)));
                }
                (Some((key, a)), None) => found.push((key, Some(a), None)),
                (None, Some((key, b))) => found.push((key, None, Some(b))),
                _ => {}
            }
            if before.is_some() {
                olds.step();
            }
            if after.is_some() {
                news.step();
            }
        }
    }
}

/// A place in a version.
struct Cursor<'a, K, V> {
    chunks: &'a [Arc<Chunk<K, V>>],
    at: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    /// The chunk, at its first row.
    fn whole(&self) -> Option<&'a Arc<Chunk<K, V>>> {
        self.chunks.first().filter(|_| self.at == 0)
    }

    fn row(&self) -> Option<&'a (K, V)> {
        self.chunks.first().and_then(|chunk| chunk.get(self.at))
    }

    fn skip(&mut self) {
        self.chunks = self.chunks.get(1..).unwrap_or_default();
        self.at = 0;
    }

    fn step(&mut self) {
        self.at += 1;
        if self.row().is_none() {
            self.skip();
        }
    }
}

#[cfg(test)]
mod tests;
