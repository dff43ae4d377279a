use crate::callback::contained;
use crate::error::check;
use crate::table::Inner;
use crate::{Result, Table};
use memslots_sys as sys;
use std::os::raw::c_void;
use std::sync::{Arc, Mutex, PoisonError};

/// An event of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TableEvent {
    /// A transaction was committed.
    Committed {
        /// The generation before it.
        previous: u64,
        /// The generation after it.
        generation: u64,
    },
    /// A kernel call failed, and the transaction was undone.
    RolledBack {
        /// The kernel's errno.
        errno: i32,
        /// The generation, which has not changed.
        generation: u64,
    },
    /// The undo failed too.
    Failed {
        /// The kernel's errno.
        errno: i32,
        /// The generation, which has not changed.
        generation: u64,
    },
    /// A failed table has recovered.
    Recovered {
        /// The generation, which has not changed.
        generation: u64,
    },
    /// The last reader has left all arrays older than `generation`. Follows a receipt whose `retired`
    /// is false. Reported by a thread of the table, or before a submit returns.
    Retired {
        /// The generation whose older arrays are retired.
        generation: u64,
    },
}

impl TableEvent {
    fn new(raw: &sys::memslots_event) -> Option<TableEvent> {
        let (errno, generation) = (raw.kernel_errno, raw.generation);
        Some(match raw.kind {
            sys::MEMSLOTS_EVENT_COMMITTED => {
                TableEvent::Committed { previous: raw.previous_generation, generation }
            }
            sys::MEMSLOTS_EVENT_ROLLED_BACK => TableEvent::RolledBack { errno, generation },
            sys::MEMSLOTS_EVENT_FAILED => TableEvent::Failed { errno, generation },
            sys::MEMSLOTS_EVENT_RECOVERED => TableEvent::Recovered { generation },
            sys::MEMSLOTS_EVENT_RETIRED => TableEvent::Retired { generation },
            // A kind of a later version, which this one has no name for.
            _ => return None,
        })
    }
}

/// Keeps an observer. Dropping it ends the observation.
#[must_use = "dropping it ends the observation"]
pub struct Observation {
    handle: sys::memslots_observation,
    generation: u64,
    // Keeps the table.
    _table: Arc<Inner>,
}

type Observer = Box<dyn FnMut(&TableEvent) + Send>;
type Context = Mutex<Observer>;

impl Observation {
    pub(crate) fn begin(table: &Table, observer: Observer) -> Result<Observation> {
        let context = Box::into_raw(Box::new(Context::new(observer))).cast::<c_void>();
        let mut handle = sys::memslots_observation::default();
        let mut generation = 0;
        // SAFETY: the context lives until `release`, which the library calls also if it returns an
        // error; the table's handle is valid, and the pointers are not NULL.
        check(unsafe {
            sys::memslots_observe(
                table.0.handle,
                Some(observe),
                Some(release),
                context,
                &mut generation,
                &mut handle,
            )
        })?;
        Ok(Observation { handle, generation, _table: table.0.clone() })
    }

    /// The generation before the first event.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        // SAFETY: the handle is this object's own. Ending a valid observation does not fail.
        unsafe { sys::memslots_observation_end(self.handle) };
    }
}

unsafe extern "C" fn observe(context: *mut c_void, event: *const sys::memslots_event) {
    contained(|| {
        // SAFETY: the library passes the observer's own context, and an event that is valid for the
        // call.
        let (observer, event) = unsafe { (&*context.cast::<Context>(), &*event) };
        if let Some(event) = TableEvent::new(event) {
            observer.lock().unwrap_or_else(PoisonError::into_inner)(&event);
        }
    });
}

unsafe extern "C" fn release(context: *mut c_void) {
    // SAFETY: the context is a box of `begin`, and no function is called after this one.
    contained(|| drop(unsafe { Box::from_raw(context.cast::<Context>()) }));
}
