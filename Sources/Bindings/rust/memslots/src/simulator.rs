use crate::error::{check, list};
use crate::{GuestAddress, Region, Result, Table};
use memslots_sys as sys;

/// The simulator behind a table: plays the guest, and injects faults.
///
/// ```
/// use memslots::*;
///
/// let table = Table::simulated(&SimulatorOptions::default())?;
/// let ram = Slot::new(GuestAddress(0), &Memory::anonymous(1 << 20)?);
/// let simulator = table.simulator().expect("a simulated table");
/// simulator.fail(0, 12, 1)?; // ENOMEM
/// let error = table.submit(&[ram]).unwrap_err();
/// assert!(matches!(error, Error::RolledBack { errno: 12, .. }));
/// # Ok::<(), memslots::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Simulator<'t>(&'t Table);

impl<'t> Simulator<'t> {
    pub(crate) fn of(table: &'t Table) -> Simulator<'t> {
        Simulator(table)
    }

    /// Marks the pages of a range dirty, as a write of the guest does.
    ///
    /// Returns [`Error::NotMapped`](crate::Error::NotMapped) or
    /// [`Error::ReadOnly`](crate::Error::ReadOnly), and marks nothing, if the guest could not write.
    pub fn touch(&self, address_space: u32, address: GuestAddress, size: u64) -> Result<()> {
        // SAFETY: no pointers.
        let code = unsafe {
            sys::memslots_simulator_touch(self.0 .0.handle, address_space, address.0, size)
        };
        check(code).map(drop)
    }

    /// Makes operation number `operation` fail with `errno` in the next `times` transactions that
    /// reach it. Numbers begin with 0; the operations of an undo continue them.
    pub fn fail(&self, operation: u32, errno: i32, times: u32) -> Result<()> {
        // SAFETY: no pointers.
        let code =
            unsafe { sys::memslots_simulator_fail(self.0 .0.handle, operation, errno, times) };
        check(code).map(drop)
    }

    /// Removes all injected faults.
    pub fn clear_faults(&self) -> Result<()> {
        // SAFETY: no pointers.
        check(unsafe { sys::memslots_simulator_clear_faults(self.0 .0.handle) }).map(drop)
    }

    /// The slots that the simulated kernel has installed.
    pub fn installed(&self) -> Result<Vec<Region>> {
        // SAFETY: the list is passed with its capacity.
        let slots = list(|slots, capacity, count| unsafe {
            sys::memslots_simulator_installed(self.0 .0.handle, slots, capacity, count)
        })?;
        Ok(slots.iter().map(Region::new).collect())
    }
}
