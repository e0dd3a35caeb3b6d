//! Which of the suspects are to blame, found by trials. No clock, no proxies: what to try next, and what came of it.

use std::collections::BTreeSet;

use meltemi_model::{Kind, ObjectKey};

/// An inquiry. It first asks whether it is the suspects at all; then it lets them back in by halves, and who cannot come
/// back is guilty. With one culprit among n that takes about 2 log n trials, and it finds several as well. What others build
/// on comes back first: without a Gateway there are no routes, and nobody could tell which of them is bad.
#[derive(Debug, Clone)]
pub(super) struct Inquiry {
    /// Who is kept out for now.
    out: BTreeSet<ObjectKey>,
    /// Groups that were not let back in yet.
    groups: Vec<Vec<ObjectKey>>,
    /// Who is let back in by the trial that runs; `None` before the first.
    group: Option<Vec<ObjectKey>>,
    begun: bool,
}

/// What an inquiry comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Try it without these.
    Try(BTreeSet<ObjectKey>),
    /// It is these.
    Guilty(BTreeSet<ObjectKey>),
    /// It is none of the suspects.
    Nobody,
}

impl Inquiry {
    /// An inquiry into these.
    pub(super) fn new(suspects: BTreeSet<ObjectKey>) -> Self {
        Self {
            out: suspects,
            groups: Vec::new(),
            group: None,
            begun: false,
        }
    }

    /// The first step.
    pub(super) fn begin(&self) -> Next {
        match self.out.is_empty() {
            true => Next::Nobody,
            false => Next::Try(self.out.clone()),
        }
    }

    /// The step after a trial: whether it went well.
    pub(super) fn after(&mut self, well: bool) -> Next {
        if !self.begun {
            if !well {
                return Next::Nobody;
            }
            self.begun = true;
            // One suspect alone needs no second trial: with it it is refused, without it it is not.
            if self.out.len() > 1 {
                let mut all: Vec<ObjectKey> = self.out.iter().cloned().collect();
                all.sort_by_key(|key| height(key.kind));
                self.divide(all);
            }
        } else if let Some(group) = self.group.take() {
            if well {
                self.out.retain(|key| !group.contains(key));
            } else if group.len() > 1 {
                self.divide(group);
            }
        }
        let Some(group) = self.groups.pop() else {
            return Next::Guilty(self.out.clone());
        };
        let mut out = self.out.clone();
        out.retain(|key| !group.contains(key));
        self.group = Some(group);
        Next::Try(out)
    }

    fn divide(&mut self, mut group: Vec<ObjectKey>) {
        let rest = group.split_off(group.len() / 2);
        self.groups.push(rest);
        self.groups.push(group);
    }
}

/// How much of what there is an object builds on.
fn height(kind: Kind) -> u8 {
    match kind {
        // Patches change what all others come to.
        Kind::EnvoyFilter => 3,
        // Routes lead to subsets.
        Kind::VirtualService => 2,
        Kind::DestinationRule | Kind::PeerAuthentication => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<ObjectKey> {
        let key = |n| ObjectKey::new(Kind::VirtualService, "ns", format!("{n:03}"));
        numbers.into_iter().map(key).collect()
    }

    /// Runs an inquiry where whatever holds one of `bad` is refused; with the number of trials.
    fn found(suspects: usize, bad: &[usize], hopeless: bool) -> (Next, usize) {
        let (all, bad) = (keys(0..suspects), keys(bad.iter().copied()));
        let mut inquiry = Inquiry::new(all.clone());
        let mut next = inquiry.begin();
        let mut trials = 0;
        while let Next::Try(without) = &next {
            trials += 1;
            let left: BTreeSet<_> = all.difference(without).cloned().collect();
            next = inquiry.after(!hopeless && left.is_disjoint(&bad));
        }
        (next, trials)
    }

    #[test]
    fn the_guilty_are_found_however_many() {
        for (suspects, bad, at_most) in [
            (1, vec![0], 1),
            (2, vec![1], 4),
            (8, vec![3], 8),
            (1000, vec![700], 24),
            (1000, vec![0], 24),
            (1000, vec![999], 24),
            (64, vec![1, 2], 26),
            (64, vec![0, 63], 26),
            (5, vec![0, 1, 2, 3, 4], 10),
        ] {
            let (next, trials) = found(suspects, &bad, false);
            assert_eq!(next, Next::Guilty(keys(bad.iter().copied())), "{suspects}");
            assert!(trials <= at_most, "{trials} trials for {suspects}, {bad:?}");
        }
    }

    /// Routes that are there with their Gateway only: what is not there is not refused.
    #[test]
    fn who_holds_others_up_is_not_accused_for_them() {
        let key = |kind, name: &str| ObjectKey::new(kind, "ns", name);
        let gateway = key(Kind::Gateway, "gateway");
        let others = [
            key(Kind::VirtualService, "a"),
            key(Kind::VirtualService, "z"),
            key(Kind::EnvoyFilter, "patch"),
        ];
        for bad in &others {
            let all: BTreeSet<ObjectKey> = others.iter().chain([&gateway]).cloned().collect();
            let mut inquiry = Inquiry::new(all);
            let mut next = inquiry.begin();
            while let Next::Try(without) = &next {
                next = inquiry.after(without.contains(&gateway) || without.contains(bad));
            }
            assert_eq!(next, Next::Guilty([bad.clone()].into()));
        }
    }

    #[test]
    fn nobody_is_accused_of_what_happens_without_them() {
        assert_eq!(found(7, &[3], true), (Next::Nobody, 1));
        assert_eq!(Inquiry::new(BTreeSet::new()).begin(), Next::Nobody);
    }
}
