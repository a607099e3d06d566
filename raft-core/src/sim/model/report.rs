//! What a search has seen.

use std::fmt;

use super::bounds::Bounds;

/// The figures of a search without a violation.
#[derive(Clone, Debug)]
pub struct Report {
    /// Within which bounds.
    pub bounds: Bounds,
    /// Different states of the whole group.
    pub states: usize,
    /// Actions tried that changed something: edges between states.
    pub transitions: u64,
    /// Every state that can be reached in so many actions was seen.
    pub depth: u32,
    /// How the search ended.
    pub end: End,
    /// Different states of single nodes.
    pub node_states: usize,
    /// Calls of a core that were not known from before: turns of a node.
    pub turns: usize,
    /// Different messages.
    pub messages: usize,
    /// The most elections won in a trace.
    pub elections_most: u64,
    /// The most entries committed in a trace, the one of the first membership included.
    pub committed_most: u64,
    /// How many transitions there were of each kind.
    pub actions: Vec<(&'static str, u64)>,
    /// About how many bytes the search took, without the states of single nodes.
    pub bytes: usize,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There is nothing else within the bounds.
    Complete,
    /// The depth that was asked for is reached.
    Depth,
    /// There were more states than [`Bounds::states_max`].
    CutOff,
}

/// How far a search is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Actions in the traces that are being extended.
    pub depth: u32,
    /// States so far.
    pub states: usize,
}

/// A promise of Raft that was broken, by a shortest trace.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which property, as the thesis names it.
    pub property: &'static str,
    /// What was seen.
    pub detail: String,
    /// What happened, an action a line.
    pub trace: Vec<String>,
}

impl End {
    /// For people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete: nothing else can happen within the bounds",
            Self::Depth => "reached the depth that was asked for",
            Self::CutOff => "cut off: too many states",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in (1..).zip(&self.trace) {
            writeln!(f, "{number:>3}  {line}")?;
        }
        let (property, detail) = (self.property, &self.detail);
        write!(f, "{property}: {detail}")
    }
}

impl std::error::Error for Violation {}
