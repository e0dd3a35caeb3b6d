//! `Shared<T>`: an `Arc` that compares and hashes by content, at the price of 16 bytes.
//!
//! The memo's keys hold whole rows (a service, its rule, its endpoints). Comparing those deeply for every proxy class
//! would cost as much as building; comparing a fingerprint that was computed once, when it was first asked for, costs nothing.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

/// 128 bits of BLAKE3 over the `Hash` of a value. Tenants cannot forge collisions, unlike with a fast hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u128);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The fingerprint of any hashable value.
pub fn fingerprint<T: Hash + ?Sized>(value: &T) -> Fingerprint {
    let mut collected = Collect(Vec::with_capacity(256));
    value.hash(&mut collected);
    let hash = blake3::hash(&collected.0);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    Fingerprint(u128::from_le_bytes(bytes))
}

/// Gathers what `Hash` writes, so that the digest runs once over one buffer.
struct Collect(Vec<u8>);

impl Hasher for Collect {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

/// A shared immutable row, equal to another when their contents are.
pub struct Shared<T>(Arc<Row<T>>);

struct Row<T> {
    value: T,
    /// The content's fingerprint, once somebody asked: rows that are only passed on never pay for it.
    fingerprint: OnceLock<Fingerprint>,
    hash: fn(&T) -> Fingerprint,
    /// The bytes that the value is written as, once somebody wrote it.
    encoded: OnceLock<Bytes>,
    /// What was made of the value last.
    made: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

impl<T: Hash> Shared<T> {
    /// Shares a value from now on.
    pub fn new(value: T) -> Self {
        let row = Row {
            value,
            fingerprint: OnceLock::new(),
            hash: fingerprint::<T>,
            encoded: OnceLock::new(),
            made: Mutex::new(None),
        };
        Self(Arc::new(row))
    }
}

impl<T> Shared<T> {
    /// The content's fingerprint, computed once.
    pub fn fingerprint(&self) -> Fingerprint {
        let row = &*self.0;
        *row.fingerprint.get_or_init(|| (row.hash)(&row.value))
    }

    /// What is made of the value and of little else, kept beside it: the newest lives as long as the row. `fits` says
    /// whether what is kept was made of the same else; if not, `make` is asked. A row that is handed from world to world
    /// so costs its conversion once. What is made must not hold this row, or neither would ever be freed.
    pub fn made<D: Any + Send + Sync>(
        &self,
        fits: impl FnOnce(&D) -> bool,
        make: impl FnOnce(&Self) -> D,
    ) -> Arc<D> {
        let kept = self.0.made.lock().clone();
        if let Some(kept) = kept.and_then(|kept| kept.downcast::<D>().ok())
            && fits(&kept)
        {
            return kept;
        }
        let made = Arc::new(make(self));
        *self.0.made.lock() = Some(made.clone());
        made
    }

    /// The bytes that the value is written as. They are a function of the content alone, so they are kept beside it:
    /// an aggregate (the endpoints of a cluster, the virtual hosts of a port) then writes only the parts that are new.
    /// One type of row has one way of writing it; `encode` must be that function wherever this is called.
    pub fn encoded(&self, encode: impl FnOnce(&T) -> Bytes) -> &Bytes {
        self.0.encoded.get_or_init(|| encode(&self.0.value))
    }

    /// Whether nobody else holds this row.
    pub fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Whether both are the very same allocation, the cheapest proof of equality.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.same(other) || self.fingerprint() == other.fingerprint()
    }
}

impl<T> Eq for Shared<T> {}

impl<T> PartialOrd for Shared<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Shared<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        if self.same(other) {
            return std::cmp::Ordering::Equal;
        }
        self.fingerprint().cmp(&other.fingerprint())
    }
}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint().hash(state);
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

impl<T: Hash + Default> Default for Shared<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_contents_are_equal_and_different_ones_are_not() {
        let a = Shared::new(vec!["x".to_owned(), "y".to_owned()]);
        let b = Shared::new(vec!["x".to_owned(), "y".to_owned()]);
        let c = Shared::new(vec!["xy".to_owned()]);
        assert_eq!(a, b);
        assert!(!a.same(&b));
        assert_ne!(a, c);
    }

    #[test]
    fn an_encoding_is_made_once_and_kept_by_every_holder() {
        let row = Shared::new("x".to_owned());
        let holder = row.clone();
        let write = |text: &String| Bytes::from(text.clone());
        assert_eq!(row.encoded(write).as_ref(), b"x");
        assert_eq!(
            holder.encoded(|_| unreachable!("it is kept")).as_ref(),
            b"x"
        );
        assert!(!row.is_alone());
        drop(holder);
        assert!(row.is_alone());
    }

    #[test]
    fn what_is_made_of_a_row_is_kept_while_it_fits() {
        let row = Shared::new("x".to_owned());
        let joined = |end: &'static str, calls: &mut u32| {
            let make = |row: &Shared<String>| {
                *calls += 1;
                format!("{}{end}", **row)
            };
            row.made(|made: &String| made.ends_with(end), make)
        };
        let mut calls = 0;
        for (end, want, times) in [
            ("a", "xa", 1),
            ("a", "xa", 1),
            ("b", "xb", 2),
            ("a", "xa", 3),
        ] {
            assert_eq!(*joined(end, &mut calls), want);
            assert_eq!(calls, times, "{end}");
        }
        // Something of another type takes its place.
        assert_eq!(*row.made(|_: &usize| true, |row| row.len()), 1);
        assert_eq!(*joined("a", &mut calls), "xa");
        assert_eq!(calls, 4);
    }
}
