//! Compiles worlds and compares them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::{Result, bail};
use serde_json::Value;

use super::answer::{Answer, Compiler, TYPES};
use super::classify::{unsupported_features, unsupported_kinds};
use super::compare::{compare, has_endpoints, normal_form};
use super::load::{Case, Corpus, NodeSpec};
use super::outcome::{NodeOutcome, ResourceDifference, Side, WorldOutcome};

/// Which worlds and proxies.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `area` or `area/case`; empty: all.
    pub worlds: Vec<String>,
    /// Only this proxy.
    pub node: Option<String>,
}

impl Selection {
    fn takes(&self, case: &Case) -> bool {
        let wanted = |node: &NodeSpec| self.node.as_ref().is_none_or(|name| *name == node.name);
        if !case.nodes.iter().any(wanted) {
            return false;
        }
        self.worlds.is_empty()
            || self
                .worlds
                .iter()
                .any(|world| *world == case.area || *world == case.id())
    }
}

/// Our answers for the base proxies, which tell a world's own differences from those of the base.
type BaseAnswers = BTreeMap<String, Answer>;

/// Runs the selected worlds, several at a time; the base world comes first. Fails only when nothing is selected or the
/// corpus cannot be read: a compiler that fails is an outcome.
pub fn run(
    corpus: &Corpus,
    compiler: &dyn Compiler,
    selection: &Selection,
    jobs: usize,
) -> Result<Vec<WorldOutcome>> {
    let cases: Vec<&Case> = std::iter::once(&corpus.base)
        .chain(&corpus.cases)
        .filter(|case| selection.takes(case))
        .collect();
    if cases.is_empty() {
        bail!(
            "no world fits {} {}",
            selection.worlds.join(", "),
            selection.node.as_deref().unwrap_or_default()
        );
    }
    let wanted: BTreeSet<&str> = cases
        .iter()
        .flat_map(|case| &case.nodes)
        .map(base_name)
        .collect();
    let mut base = BaseAnswers::new();
    let base_nodes: Vec<_> = corpus
        .base
        .nodes
        .iter()
        .filter(|node| wanted.contains(node.name.as_str()))
        .collect();
    let answers = in_parallel(&base_nodes, jobs, |node| {
        compiler.compile(&corpus.base.files, &corpus.base, node)
    });
    for (node, answer) in base_nodes.iter().zip(answers) {
        // A failure shows again where the base is an outcome of its own.
        if let Ok(answer) = answer {
            base.insert(node.name.clone(), answer);
        }
    }
    let outcomes = in_parallel(&cases, jobs, |case| {
        run_case(case, compiler, selection, &base)
    });
    outcomes.into_iter().collect()
}

fn base_name(node: &NodeSpec) -> &str {
    node.base.as_deref().unwrap_or(&node.name)
}

/// `work` over `items` on `jobs` threads, results in the order of the items.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            let sender = sender.clone();
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    if sender.send((index, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
    });
    let mut results: Vec<_> = receiver.into_iter().collect();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn run_case(
    case: &Case,
    compiler: &dyn Compiler,
    selection: &Selection,
    base: &BaseAnswers,
) -> Result<WorldOutcome> {
    let mut nodes = Vec::new();
    for node in &case.nodes {
        if selection
            .node
            .as_ref()
            .is_some_and(|name| *name != node.name)
        {
            continue;
        }
        let theirs = case.expected(&node.name)?;
        let is_base = case.name.is_empty();
        let our_base = base.get(base_name(node)).filter(|_| !is_base);
        let outcome = match compiler.compile(&case.files, case, node) {
            Err(error) => NodeOutcome {
                node: node.name.clone(),
                expected: TYPES.map(|kind| theirs.of(kind).len()),
                failure: Some(format!("{error:#}")),
                ..NodeOutcome::default()
            },
            Ok(ours) => {
                let bases = our_base.zip(case.base_expected(node).filter(|_| !is_base));
                let mut outcome = compare_answers(&node.name, &ours, &theirs, bases);
                if !is_base {
                    outcome.unsupported = unsupported_features(&ours, our_base);
                }
                outcome
            }
        };
        nodes.push(outcome);
    }
    Ok(WorldOutcome::new(
        case.area.clone(),
        case.id(),
        nodes,
        unsupported_kinds(case)?,
    ))
}

fn served<'a>(answer: &'a Answer, kind: &str, name: &str) -> Option<&'a Value> {
    answer
        .of(kind)
        .get(name)
        .filter(|resource| kind != "eds" || has_endpoints(resource))
}

/// Compares two answers; `bases` are the answers for the base world, ours and the recorded one.
pub(crate) fn compare_answers(
    node: &str,
    ours: &Answer,
    theirs: &Answer,
    bases: Option<(&Answer, &Answer)>,
) -> NodeOutcome {
    let mut outcome = NodeOutcome {
        node: node.to_owned(),
        ..NodeOutcome::default()
    };
    for (position, kind) in TYPES.into_iter().enumerate() {
        let names: BTreeSet<&String> = ours.of(kind).keys().chain(theirs.of(kind).keys()).collect();
        for name in names {
            let (our, their) = (served(ours, kind, name), served(theirs, kind, name));
            let differences = match (our, their) {
                (None, None) => continue,
                (Some(our), Some(their)) => compare(our, their),
                _ => Vec::new(),
            };
            let side = match (our, their) {
                (Some(_), Some(_)) => Side::Both,
                (Some(_), None) => Side::Extra,
                _ => Side::Missing,
            };
            outcome.expected[position] += usize::from(side != Side::Extra);
            outcome.named[position] += usize::from(side == Side::Both);
            outcome.extra[position] += usize::from(side == Side::Extra);
            if side == Side::Both && differences.is_empty() {
                outcome.equal[position] += 1;
                continue;
            }
            let mut difference = ResourceDifference {
                kind,
                name: name.clone(),
                side,
                differences,
                inherited: false,
                ours: our.cloned(),
                theirs: their.cloned(),
            };
            if let Some((our_base, their_base)) = bases {
                mark_inherited(
                    &mut difference,
                    served(our_base, kind, name),
                    served(their_base, kind, name),
                );
            }
            outcome.differing.push(difference);
        }
    }
    outcome
}

/// Marks what differs in the same way in the base world, whose resource of this name is given for both sides.
fn mark_inherited(
    difference: &mut ResourceDifference,
    our_base: Option<&Value>,
    their_base: Option<&Value>,
) {
    let as_in_base = |ours: &Option<Value>, base: Option<&Value>| {
        ours.as_ref().map(normal_form) == base.map(normal_form)
    };
    match (our_base, their_base) {
        (Some(our_base), Some(their_base)) if difference.side == Side::Both => {
            let in_base = compare(our_base, their_base);
            for place in &mut difference.differences {
                place.inherited = in_base.contains(place);
            }
            difference.inherited = difference.differences.iter().all(|place| place.inherited);
        }
        _ => {
            difference.inherited = as_in_base(&difference.ours, our_base)
                && as_in_base(&difference.theirs, their_base);
        }
    }
}
