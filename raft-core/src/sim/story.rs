//! The story of a run, for people: every step in words, and every message with its way.

use std::collections::VecDeque;
use std::fmt;

use crate::id::NodeId;
use crate::time::Timestamp;

/// What a replay shows.
#[derive(Clone, Debug)]
pub struct Story {
    /// Every node, members and spares.
    pub nodes: Vec<NodeId>,
    /// What happened, in order.
    pub lines: VecDeque<Line>,
    /// What was sent, in the order of sending.
    pub arrows: VecDeque<Arrow>,
    lines_max: usize,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// To whom, if not to the world.
    pub node: Option<NodeId>,
    /// Of which kind.
    pub mark: Mark,
    /// In words.
    pub text: String,
}

/// The kinds of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A node takes in an event.
    Event,
    /// A node wants something done.
    Effect,
    /// Role or term changed.
    Role,
    /// A fault, or its end.
    Fault,
    /// A node goes down: by a crash, or because it cannot go on.
    Down,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Arrow {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// When it was sent.
    pub sent: Timestamp,
    /// When it arrives; `None` if it is lost.
    pub arrives: Option<Timestamp>,
    /// Its kind.
    pub name: &'static str,
    /// All of it.
    pub text: String,
}

impl Story {
    pub(super) fn new(nodes: Vec<NodeId>, lines_max: usize) -> Self {
        Self {
            nodes,
            lines: VecDeque::new(),
            arrows: VecDeque::new(),
            lines_max,
        }
    }

    /// Adds a line. The oldest gives way when there are too many.
    pub(super) fn tell(&mut self, line: Line) {
        if self.lines.len() == self.lines_max {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(super) fn draw(&mut self, arrow: Arrow) {
        if self.arrows.len() == self.lines_max {
            self.arrows.pop_front();
        }
        self.arrows.push_back(arrow);
    }
}

impl Mark {
    /// One word, for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Effect => "effect",
            Self::Role => "role",
            Self::Fault => "fault",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at)?;
        if let Some(node) = self.node {
            write!(f, "{node}: ")?;
        }
        let indent = match self.mark {
            Mark::Effect => "    ",
            Mark::Event => "",
            Mark::Role => "  = ",
            Mark::Fault | Mark::Down => "! ",
        };
        write!(f, "{indent}{}", self.text)
    }
}
