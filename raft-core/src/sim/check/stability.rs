//! While nothing goes wrong, nobody campaigns (thesis §3.4): who does has not heard its leader, or
//! has not counted hearing it.

use super::{Held, broken};
use crate::sim::watch::Step;

impl Step<'_> {
    pub(in crate::sim) fn is_calm(&self) -> Held {
        if !self.campaigns() {
            return Ok(());
        }
        let (node, after) = (self.node, self.after);
        let detail = format!("nothing has gone wrong for long, and node {node} is {after:?}");
        broken("stability", detail)
    }
}
