//! When a table releases the memory of its slots.

use memslots::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

/// Counts the mappings that have been released.
#[derive(Clone, Default)]
struct Released(Arc<AtomicUsize>);

struct Owner {
    released: Released,
    _mapping: Memory,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.released.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Released {
    fn slot(&self, address: u64) -> Slot {
        let memory = Memory::anonymous(4 * 4096).expect("memory");
        let (start, len) = (memory.as_ptr(), memory.len());
        // SAFETY: the owner contains the mapping.
        let memory = unsafe {
            Memory::from_owner(start, len, Owner { released: self.clone(), _mapping: memory })
        };
        Slot::new(GuestAddress(address), &memory)
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits for a release that a thread of the table makes.
    fn reaches(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.count() != count {
            assert!(Instant::now() < deadline, "{} of {count} released", self.count());
            std::thread::yield_now();
        }
    }
}

fn table() -> Table {
    Table::simulated(&SimulatorOptions::default()).expect("a simulated table")
}

#[test]
fn memory_goes_with_the_array_that_had_it() -> Result<()> {
    let (table, released) = (table(), Released::default());
    drop(table.submit(&[released.slot(0), released.slot(0x10_0000)])?);
    assert_eq!(released.count(), 0);
    let low = table.array()?.slots.remove(0);
    drop(table.submit(&[low])?);
    assert_eq!(released.count(), 1);
    table.submit(&[])?;
    assert_eq!(released.count(), 2);
    Ok(())
}

#[test]
fn a_refused_array_is_released_and_the_old_one_is_kept() -> Result<()> {
    let (table, old, new) = (table(), Released::default(), Released::default());
    table.submit(&[old.slot(0)])?;
    table.submit(&[new.slot(1)]).unwrap_err();
    table.simulator().expect("simulated").fail(1, libc::ENOMEM, 1)?;
    table.submit(&[new.slot(0)]).unwrap_err();
    assert_eq!((old.count(), new.count()), (0, 2));
    Ok(())
}

#[test]
fn after_a_failed_undo_both_arrays_are_kept_until_the_recovery() -> Result<()> {
    let (table, old, new) = (table(), Released::default(), Released::default());
    table.submit(&[old.slot(0), old.slot(0x10_0000)])?;
    let simulator = table.simulator().expect("simulated");
    simulator.fail(3, libc::ENOMEM, 1)?;
    simulator.fail(4, libc::ENOMEM, 1)?;
    let error = table.submit(&[new.slot(0), new.slot(0x10_0000)]).unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error}");
    assert_eq!((old.count(), new.count()), (0, 0));
    simulator.fail(0, libc::ENOMEM, 1)?;
    assert!(matches!(table.recover(), Err(Error::Failed { .. })));
    assert_eq!((old.count(), new.count()), (0, 0));
    simulator.clear_faults()?;
    table.recover()?;
    assert_eq!((old.count(), new.count()), (0, 2));
    Ok(())
}

#[test]
fn a_reader_keeps_the_memory_of_its_array_until_it_leaves() -> Result<()> {
    let (table, released) = (table(), Released::default());
    table.submit(&[released.slot(0)])?;
    let mut reader = table.reader("device")?;
    let (entered, inside) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let device = std::thread::spawn(move || -> Result<()> {
        let _view = reader.enter()?;
        entered.send(()).expect("a waiting test");
        left.recv().expect("a test that lets it leave");
        Ok(())
    });
    inside.recv().expect("a device");
    let options = SubmitOptions {
        quiesce_deadline: Some(Duration::from_millis(5)),
        ..SubmitOptions::default()
    };
    assert!(!table.submit_with(&[], &options)?.retired);
    assert!(!table.submit_with(&[released.slot(0x10_0000)], &options)?.retired);
    assert_eq!(released.count(), 0);
    leave.send(()).expect("a device");
    device.join().expect("no panic")?;
    released.reaches(1);
    Ok(())
}

#[test]
fn a_table_releases_everything_when_its_last_user_is_gone() -> Result<()> {
    let (table, released) = (table(), Released::default());
    table.submit(&[released.slot(0)])?;
    let (clone, reader) = (table.clone(), table.reader("device")?);
    drop(table);
    drop(clone);
    assert_eq!(released.count(), 0);
    drop(reader);
    assert_eq!(released.count(), 1);
    Ok(())
}

#[test]
fn memory_is_unmapped_when_it_is_released() -> Result<()> {
    let table = table();
    table.submit(&[Slot::new(GuestAddress(0), &Memory::anonymous(4096)?)])?;
    let address = table.translate(0, GuestAddress(0))?.userspace_address;
    let is_mapped = || {
        let mut residency = 0u8;
        // SAFETY: the call reads nothing from the address.
        unsafe { libc::mincore(address as *mut _, 4096, &mut residency) == 0 }
    };
    assert!(is_mapped());
    table.submit(&[])?;
    assert!(!is_mapped());
    Ok(())
}
