use crate::error::{list, text};
use crate::{Region, Slot};
use memslots_sys as sys;
use std::fmt;
use std::time::Duration;

/// Whether a submit changed the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The VM has the array now.
    Committed,
    /// The VM had the array before.
    Unchanged,
}

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// A slot is created.
    Create,
    /// A slot is deleted.
    Delete,
    /// A slot gets another guest address.
    Move,
    /// A slot's log is switched on or off.
    Reflag,
}

/// One slot call of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Operation {
    /// What it does.
    pub call: Call,
    /// The slot before; `None` for a creation.
    pub before: Option<Region>,
    /// The slot afterwards; `None` for a deletion.
    pub after: Option<Region>,
}

/// A run of dirty pages of a slot that is gone or no longer logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DirtyRun {
    /// A slot of the previous array.
    pub slot: Region,
    /// The first page, counted from the slot's beginning.
    pub first_page: u64,
    /// The number of pages.
    pub page_count: u64,
}

/// What a transaction did.
///
/// A receipt is plain data, and any thread may use it. Its [`slots`](Receipt::slots) keep their
/// memory mapped, as all slots do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Receipt {
    /// The generation after the submit.
    pub generation: u64,
    /// Whether the VM was changed.
    pub outcome: Outcome,
    /// The number of slots that were added. A replaced slot counts as removed and as added.
    pub added: u32,
    /// The number of slots that were removed.
    pub removed: u32,
    /// The number of slots that were moved.
    pub moved: u32,
    /// The number of slots whose flags changed.
    pub reflagged: u32,
    /// The operations, in the order in which they were applied.
    pub operations: Vec<Operation>,
    /// The submitted slots with their ids, in the order submitted.
    pub slots: Vec<Slot>,
    /// Dirty pages that no logging slot maps any more. They are not reported again.
    pub unmapped_dirty_runs: Vec<DirtyRun>,
    /// What worked but may be a mistake.
    pub warnings: Vec<String>,
    /// The names of readers that still use the previous array.
    pub readers: Vec<String>,
    /// Whether vCPUs were held out.
    pub quiesced: bool,
    /// Why they were: `overlap`, `log-ends`, `several-visible-changes`, `hook` or `asked`, the first
    /// that applies.
    pub hold_reason: Option<String>,
    /// Whether no reader uses the previous array. If one does, the table keeps its memory until the
    /// reader leaves.
    pub retired: bool,
    /// Whether it is proved that no plan has fewer operations.
    pub is_optimal: bool,
    /// How long vCPUs were held out.
    pub blackout: Duration,
    /// How long the transaction took.
    pub total: Duration,
}

impl Receipt {
    /// Copies a filled receipt of the submitted `slots`, and releases it.
    pub(crate) fn new(mut raw: sys::memslots_receipt, slots: &[Slot]) -> Receipt {
        let this: *const sys::memslots_receipt = &raw;
        // SAFETY: the receipt is filled and not released. Each list is passed with its capacity.
        let (operations, ids, runs) = unsafe {
            (
                list(|l, capacity, count| {
                    sys::memslots_receipt_operations(this, l, capacity, count)
                }),
                list(|l, capacity, count| sys::memslots_receipt_slots(this, l, capacity, count)),
                list(|l, capacity, count| {
                    sys::memslots_receipt_dirty_runs(this, l, capacity, count)
                }),
            )
        };
        let expect = "a filled receipt has its lists";
        let texts = |function: unsafe extern "C" fn(_, usize) -> _, count: u32| {
            // SAFETY: as above. A text below the count is valid until the release.
            let one = |index| unsafe { text(function(this, index as usize)) };
            (0..count).map(one).collect()
        };
        let receipt = Receipt {
            generation: raw.generation,
            outcome: match raw.outcome {
                sys::MEMSLOTS_UNCHANGED => Outcome::Unchanged,
                _ => Outcome::Committed,
            },
            added: raw.added,
            removed: raw.removed,
            moved: raw.moved,
            reflagged: raw.reflagged,
            operations: operations.expect(expect).iter().map(Operation::new).collect(),
            slots: slots
                .iter()
                .zip(ids.expect(expect))
                .map(|(slot, raw)| slot.clone().with_id(raw.slot))
                .collect(),
            unmapped_dirty_runs: runs.expect(expect).iter().map(DirtyRun::new).collect(),
            warnings: texts(sys::memslots_receipt_warning, raw.warnings),
            readers: texts(sys::memslots_receipt_reader, raw.readers),
            quiesced: raw.quiesced,
            hold_reason: {
                // SAFETY: as above. The text, if there is one, is valid until the release.
                let reason = unsafe { sys::memslots_receipt_hold_reason(this) };
                // SAFETY: as above.
                (!reason.is_null()).then(|| unsafe { text(reason) })
            },
            retired: raw.retired,
            is_optimal: raw.is_optimal,
            blackout: Duration::from_nanos(raw.blackout_nanoseconds),
            total: Duration::from_nanos(raw.total_nanoseconds),
        };
        // SAFETY: the receipt is filled.
        unsafe { sys::memslots_receipt_release(&mut raw) };
        receipt
    }
}

impl Operation {
    fn new(raw: &sys::memslots_operation) -> Operation {
        Operation {
            call: match raw.call {
                sys::MEMSLOTS_CREATE => Call::Create,
                sys::MEMSLOTS_DELETE => Call::Delete,
                sys::MEMSLOTS_MOVE => Call::Move,
                _ => Call::Reflag,
            },
            before: Region::optional(&raw.before),
            after: Region::optional(&raw.after),
        }
    }
}

impl DirtyRun {
    fn new(raw: &sys::memslots_dirty_run) -> DirtyRun {
        DirtyRun {
            slot: Region::new(&raw.slot),
            first_page: raw.first_page,
            page_count: raw.page_count,
        }
    }
}

/// As in `delete 1, create 1, create 4`.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = match self.call {
            Call::Create => "create",
            Call::Delete => "delete",
            Call::Move => "move",
            Call::Reflag => "reflag",
        };
        match self.after.or(self.before) {
            Some(slot) => write!(f, "{call} {}", slot.id),
            None => f.write_str(call),
        }
    }
}

/// As in `delete 1, create 1, create 4; guest held for 91 µs`.
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outcome == Outcome::Unchanged {
            return f.write_str("unchanged");
        }
        for (number, operation) in self.operations.iter().enumerate() {
            write!(f, "{}{operation}", if number == 0 { "" } else { ", " })?;
        }
        if self.quiesced {
            write!(f, "; guest held for {} µs", self.blackout.as_micros())
        } else {
            f.write_str("; guest not held")
        }
    }
}
