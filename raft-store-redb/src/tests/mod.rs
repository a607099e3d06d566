//! Power cuts, flipped bytes, and what must be refused.
