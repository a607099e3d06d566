//! Numbers values in the order in which they are met, each once.

use std::hash::Hash;

use super::fingerprint::hash_of;

/// The place of a value in its [`Table`].
pub(super) type Id = u32;

/// Values, each once, and a way to find each.
#[derive(Clone, Debug)]
pub(super) struct Table<T> {
    values: Vec<T>,
    /// Open addressing: the number of a value at or after the place that its hash names.
    slots: Vec<Id>,
}

const FREE: Id = Id::MAX;
const SLOTS_LEAST: usize = 1 << 10;

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            slots: vec![FREE; SLOTS_LEAST],
        }
    }
}

impl<T: Hash + Eq> Table<T> {
    /// The number of `value`, and whether it is new.
    ///
    /// # Panics
    /// Beyond four thousand million values.
    pub(super) fn number(&mut self, value: T) -> (Id, bool) {
        let slot = match self.look_up(&value) {
            Ok(id) => return (id, false),
            Err(slot) => slot,
        };
        let id = Id::try_from(self.values.len()).unwrap_or(FREE);
        assert!(id != FREE, "a table is full");
        self.values.push(value);
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = id;
        }
        // At most five slots of eight are taken, or chains grow long.
        if self.values.len() * 8 > self.slots.len() * 5 {
            self.grow();
        }
        (id, true)
    }

    /// The number of `value`, if it has one.
    pub(super) fn find(&self, value: &T) -> Option<Id> {
        self.look_up(value).ok()
    }

    /// Its number, or the slot where it belongs.
    fn look_up(&self, value: &T) -> Result<Id, usize> {
        let mut slot = self.first_slot(value);
        loop {
            match self.slots.get(slot).copied() {
                None => slot = 0,
                Some(FREE) => return Err(slot),
                Some(id) if self.get(id) == Some(value) => return Ok(id),
                Some(_) => slot += 1,
            }
        }
    }

    fn first_slot(&self, value: &T) -> usize {
        let mask = self.slots.len() as u64 - 1;
        usize::try_from(hash_of(value) & mask).unwrap_or(0)
    }

    fn grow(&mut self) {
        self.slots = vec![FREE; self.slots.len() * 2];
        for (id, value) in (0..).zip(&self.values) {
            let mut slot = self.first_slot(value);
            loop {
                match self.slots.get_mut(slot) {
                    None => slot = 0,
                    Some(free) if *free == FREE => {
                        *free = id;
                        break;
                    }
                    Some(_) => slot += 1,
                }
            }
        }
    }
}

impl<T> Table<T> {
    /// The value with this number.
    pub(super) fn get(&self, id: Id) -> Option<&T> {
        self.values.get(usize::try_from(id).ok()?)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Bytes that the table takes, without what its values point to.
    pub(super) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.slots.len() * size_of::<Id>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_once_and_found_after_growth() {
        let mut table = Table::default();
        for round in [true, false] {
            for value in 0..10_000_u64 {
                let expected = Id::try_from(value).unwrap();
                assert_eq!(table.number(value * 64), (expected, round));
            }
        }
        assert_eq!(table.len(), 10_000);
        assert_eq!(table.find(&64), Some(1));
        assert_eq!(table.find(&65), None);
        assert_eq!(table.get(2), Some(&128));
    }
}
