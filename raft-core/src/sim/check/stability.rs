//! While nothing goes wrong, nobody campaigns (thesis §3.4): who does has not heard its leader, or
//! has not counted hearing it.

use super::{Held, broken};
use crate::sim::watch::{Says, Step, Took};

impl Step<'_> {
    pub(in crate::sim) fn is_calm(&self) -> Held {
        // A leader may hand over to one that is wanted more.
        let is_ordered = match self.moment.took {
            Took::Message { from, says, .. } => {
                says == Says::TimeoutNow && self.moment.leader == Some(from)
            }
            _ => false,
        };
        if !self.campaigns() || is_ordered {
            return Ok(());
        }
        let (node, after) = (self.node, self.after);
        let detail = format!("nothing has gone wrong for long, and node {node} is {after:?}");
        broken("stability", detail)
    }
}
