//! What came out of comparing a world.

use serde_json::Value;

use super::compare::Difference;

/// Who has a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// istiod serves it, we do not.
    Missing,
    /// We serve it, istiod does not.
    Extra,
    /// Both do.
    Both,
}

/// A resource that is not equal.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceDifference {
    /// `cds`, `eds`, `lds` or `rds`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Who has it.
    pub side: Side,
    /// Where it differs; empty when only one side has it.
    pub differences: Vec<Difference>,
    /// The base world differs in the same ways, so the world at hand has nothing to do with it.
    pub inherited: bool,
    /// Our resource.
    pub ours: Option<Value>,
    /// The recorded resource.
    pub theirs: Option<Value>,
}

/// One proxy of a world.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeOutcome {
    /// The proxy.
    pub node: String,
    /// Names that istiod serves, by type in the order of `TYPES`.
    pub expected: [usize; 4],
    /// Of these, how many we serve too.
    pub named: [usize; 4],
    /// Of these, how many are equal.
    pub equal: [usize; 4],
    /// Names that only we serve.
    pub extra: [usize; 4],
    /// What is not equal.
    pub differing: Vec<ResourceDifference>,
    /// The compiler gave no answer, and why.
    pub failure: Option<String>,
    /// What the compiler says that it does not support, beyond the base.
    pub unsupported: Vec<String>,
}

/// How a world did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything is equal.
    Equal,
    /// What the world changes is right; what differs, differs in the base as well.
    EqualButBase,
    /// It differs.
    Different,
    /// It differs, and it asks for something that Meltemi does not do yet.
    Unsupported,
}

/// One world.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldOutcome {
    /// `virtualservice`, …
    pub area: String,
    /// `area/case`.
    pub id: String,
    /// Its proxies.
    pub nodes: Vec<NodeOutcome>,
    /// Kinds that are not read yet.
    pub unsupported: Vec<String>,
    /// How it did.
    pub verdict: Verdict,
}

impl ResourceDifference {
    /// The first place that is the world's own, else the first of all.
    pub fn first_place(&self) -> Option<&Difference> {
        self.differences
            .iter()
            .find(|place| !place.inherited)
            .or_else(|| self.differences.first())
    }
}

impl NodeOutcome {
    /// Whether nothing differs.
    pub fn is_equal(&self) -> bool {
        self.failure.is_none() && self.differing.is_empty()
    }

    /// Whether nothing differs but what differs in the base.
    pub fn is_equal_but_base(&self) -> bool {
        self.failure.is_none() && self.differing.iter().all(|difference| difference.inherited)
    }
}

impl WorldOutcome {
    /// Judges a world.
    pub fn new(
        area: String,
        id: String,
        nodes: Vec<NodeOutcome>,
        unsupported: Vec<String>,
    ) -> Self {
        let asks_too_much =
            !unsupported.is_empty() || nodes.iter().any(|node| !node.unsupported.is_empty());
        let verdict = if nodes.iter().all(NodeOutcome::is_equal) {
            Verdict::Equal
        } else if nodes.iter().all(NodeOutcome::is_equal_but_base) {
            Verdict::EqualButBase
        } else if asks_too_much {
            Verdict::Unsupported
        } else {
            Verdict::Different
        };
        Self {
            area,
            id,
            nodes,
            unsupported,
            verdict,
        }
    }

    /// Resources that istiod serves, over all proxies.
    pub fn expected(&self) -> usize {
        self.nodes.iter().flat_map(|node| node.expected).sum()
    }

    /// Of these, the equal ones.
    pub fn equal(&self) -> usize {
        self.nodes.iter().flat_map(|node| node.equal).sum()
    }

    /// Names that only one side has, as `node type name`.
    pub fn names_that_differ(&self) -> Vec<String> {
        let of = |node: &NodeOutcome| -> Vec<String> {
            let only_one = node
                .differing
                .iter()
                .filter(|difference| difference.side != Side::Both);
            only_one
                .map(|d| format!("{} {} {} ({:?})", node.node, d.kind, d.name, d.side))
                .collect()
        };
        self.nodes.iter().flat_map(of).collect()
    }

    /// The first difference that is the world's own, else the first of all: proxy and resource.
    pub fn first(&self) -> Option<(&NodeOutcome, &ResourceDifference)> {
        let all = || {
            self.nodes
                .iter()
                .flat_map(|node| node.differing.iter().map(move |d| (node, d)))
        };
        all()
            .find(|(_, difference)| !difference.inherited)
            .or_else(|| all().next())
    }
}
