//! What tells one copy from every other.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A number that no other copy has: the system chooses it.
pub(super) fn draw_ticket() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u8(1);
    hasher.finish()
}
