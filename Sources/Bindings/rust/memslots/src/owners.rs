//! Who keeps the memory of a table's slots mapped, and until when.

use crate::slot::{backing, Slot};
use memslots_sys as sys;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The slots whose memory a table must keep.
///
/// A slot is kept while its array is submitted, is current, or is used by a reader; after a failed
/// undo, until the table has recovered, because the slots of both arrays may be installed.
#[derive(Default)]
pub(crate) struct Owners(Mutex<State>);

#[derive(Default)]
struct State {
    /// Arrays whose submit has not returned.
    in_flight: HashMap<u64, Arc<[Slot]>>,
    /// Committed arrays by their generation. The last one is current.
    committed: BTreeMap<u64, Arc<[Slot]>>,
    /// Arrays whose submit returned `MEMSLOTS_FAILED`.
    failed: Vec<Arc<[Slot]>>,
    /// No reader uses an array older than this generation.
    retired: u64,
    /// Calls for which nothing may be released: they look for the owners of slots they have read.
    pins: usize,
    next: u64,
}

impl Owners {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an array until [`Owners::ended`].
    pub(crate) fn begin(&self, slots: Arc<[Slot]>) -> u64 {
        let mut state = self.state();
        state.next += 1;
        let ticket = state.next;
        state.in_flight.insert(ticket, slots);
        ticket
    }

    /// Records what became of an array.
    pub(crate) fn ended(&self, ticket: u64, end: End) {
        let released = {
            let mut state = self.state();
            let slots = state.in_flight.remove(&ticket);
            match (end, slots) {
                (End::Current { generation, retired }, Some(slots)) => {
                    state.committed.insert(generation, slots);
                    if retired {
                        state.retired = state.retired.max(generation);
                    }
                }
                (End::Failed, Some(slots)) => state.failed.push(slots),
                (End::Refused, _) | (_, None) => {}
            }
            state.prune()
        };
        drop(released);
    }

    /// Records that no reader uses an array older than `generation`.
    pub(crate) fn retire(&self, generation: u64) {
        let released = {
            let mut state = self.state();
            state.retired = state.retired.max(generation);
            state.prune()
        };
        drop(released);
    }

    /// Runs `recover`, and forgets the arrays that had failed before if it succeeds.
    pub(crate) fn recovering<E>(&self, recover: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        // Only these: another submit may fail after the recovery.
        let before = std::mem::take(&mut self.state().failed);
        let result = recover();
        if result.is_err() {
            self.state().failed.extend(before);
        }
        result
    }

    /// Runs `read`, which returns slots of the C interface, and returns them with their memory.
    pub(crate) fn read<E>(
        &self,
        read: impl FnOnce() -> Result<Vec<sys::memslots_slot>, E>,
    ) -> Result<Vec<Slot>, E> {
        // The lock is not held: `read` may wait for a transaction whose callbacks need it.
        self.state().pins += 1;
        let read = read();
        let (owners, released) = {
            let mut state = self.state();
            let owners = state.by_backing();
            state.pins -= 1;
            (owners, state.prune())
        };
        drop(released);
        let find = |raw: &sys::memslots_slot| {
            let owner = owners.get(&backing(raw)).expect("every slot was submitted by this crate");
            Slot::returned(raw, owner.clone())
        };
        read.map(|slots| slots.iter().map(find).collect())
    }

    /// Keeps everything for ever.
    pub(crate) fn leak(&self) {
        std::mem::forget(std::mem::take(&mut *self.state()));
    }
}

impl State {
    /// Removes what nobody needs. The caller drops it after it has released the lock, because the
    /// owner of memory may be the caller's own type.
    #[must_use]
    fn prune(&mut self) -> Vec<Arc<[Slot]>> {
        let current = match self.committed.keys().next_back() {
            Some(current) if self.pins == 0 => *current,
            _ => return Vec::new(),
        };
        let needed = self.committed.split_off(&current.min(self.retired));
        std::mem::replace(&mut self.committed, needed).into_values().collect()
    }

    fn by_backing(&self) -> HashMap<(u64, u64, i32, u64), Slot> {
        let arrays = self.committed.values().chain(self.in_flight.values()).chain(&self.failed);
        let slots = arrays.flat_map(|array| array.iter());
        slots.map(|slot| (backing(&slot.raw()), slot.clone())).collect()
    }
}

/// What became of a submitted array.
pub(crate) enum End {
    /// The VM has it.
    Current { generation: u64, retired: bool },
    /// It changed nothing: the VM has the array that it had.
    Refused,
    /// The VM may have slots of it.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, GuestAddress, Memory};

    #[test]
    fn what_was_read_is_kept_until_its_memory_is_found() -> Result<(), Error> {
        let owners = Owners::default();
        let commit = |generation| -> Result<sys::memslots_slot, Error> {
            let slot = Slot::new(GuestAddress(0), &Memory::anonymous(4096)?).with_id(0);
            let raw = slot.raw();
            let ticket = owners.begin(Arc::new([slot]));
            owners.ended(ticket, End::Current { generation, retired: true });
            Ok(raw)
        };
        let first = commit(1)?;
        let found = owners.read(|| {
            // Another thread replaces the array that this one has read.
            commit(2)?;
            Ok::<_, Error>(vec![first])
        })?;
        assert_eq!(found[0].memory().as_ptr() as u64, first.userspace_address);
        assert_eq!(owners.state().committed.keys().collect::<Vec<_>>(), [&2]);
        Ok(())
    }
}
