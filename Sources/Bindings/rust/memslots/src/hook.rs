use crate::callback::{c_string, contained, panic_message};
use crate::error::check;
use crate::table::Inner;
use crate::{Region, Result, Table};
use memslots_sys as sys;
use std::ffi::CString;
use std::fmt;
use std::os::raw::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A slot is new.
    Added,
    /// A slot is gone.
    Removed,
    /// A slot has another guest address.
    Moved,
    /// A slot has other flags.
    Reflagged,
}

/// One change of a transaction. A replaced slot is passed as removed, then as added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Change {
    /// What changes.
    pub kind: ChangeKind,
    /// The slot before; `None` for an addition.
    pub before: Option<Region>,
    /// The slot afterwards; `None` for a removal.
    pub after: Option<Region>,
}

type Prepare = Box<dyn FnMut(&Change) -> std::result::Result<(), String> + Send>;
type Step = Box<dyn FnMut(&Change) + Send>;

/// Keeps another user of guest memory in step: vhost, VFIO, an IOMMU.
///
/// The table calls, for each change in order, `prepare`; then `commit` and `finish`, or `abort` in
/// reverse order. The submitting thread makes all calls, one after another. Slots that the table has
/// when the hook is added are not passed, and [`Table::recover`] calls no hook. A closure may read
/// the table; a submit from inside returns [`Error::Reentrant`](crate::Error::Reentrant).
///
/// A panic in `prepare` vetoes the transaction, with the panic's message as the reason. A panic in
/// another closure goes on in the submit, after the transaction has ended.
///
/// ```
/// # use memslots::*;
/// # let table = Table::simulated(&SimulatorOptions::default())?;
/// # let ram = Slot::new(GuestAddress(0), &Memory::anonymous(1 << 20)?);
/// let hook = Hook::new("vfio")
///     .prepare(|change| match &change.after {
///         Some(slot) if slot.size > 1 << 30 => Err("the IOMMU can't pin more than 1 GiB"),
///         _ => Ok(()),
///     })
///     .finish(|change| println!("unmap {:?}", change.before));
/// let added = table.add_hook(hook)?;
/// table.submit(&[ram])?;
/// drop(added); // removes it
/// # Ok::<(), memslots::Error>(())
/// ```
///
/// Any thread may submit, so what a closure keeps must be `Send`:
///
/// ```compile_fail,E0277
/// let count = std::rc::Rc::new(std::cell::Cell::new(0));
/// let hook = memslots::Hook::new("counter").finish(move |_| count.set(count.get() + 1));
/// ```
#[must_use = "Table::add_hook() adds it"]
pub struct Hook {
    name: CString,
    needs_quiescence: bool,
    prepare: Option<Prepare>,
    commit: Option<Step>,
    finish: Option<Step>,
    abort: Option<Step>,
}

impl Hook {
    /// A hook that does nothing yet. Errors contain its name.
    pub fn new(name: &str) -> Hook {
        Hook {
            name: c_string(name),
            needs_quiescence: false,
            prepare: None,
            commit: None,
            finish: None,
            abort: None,
        }
    }

    /// Holds vCPUs out for every transaction.
    pub fn needing_quiescence(self) -> Hook {
        Hook { needs_quiescence: true, ..self }
    }

    /// Called while the guest runs with the old array. An error vetoes the whole transaction; its
    /// text is the reason. The hook gets no `abort` for the change that it vetoed.
    pub fn prepare<E: fmt::Display>(
        self,
        mut prepare: impl FnMut(&Change) -> std::result::Result<(), E> + Send + 'static,
    ) -> Hook {
        let prepare: Prepare =
            Box::new(move |change| prepare(change).map_err(|reason| reason.to_string()));
        Hook { prepare: Some(prepare), ..self }
    }

    /// Called when the slot calls are made and readers are held out; vCPUs are too if the plan or a
    /// hook needs it. Be short, and acquire no lock that a vCPU may hold.
    pub fn commit(self, commit: impl FnMut(&Change) + Send + 'static) -> Hook {
        Hook { commit: Some(Box::new(commit)), ..self }
    }

    /// Called when the guest runs with the new array.
    pub fn finish(self, finish: impl FnMut(&Change) + Send + 'static) -> Hook {
        Hook { finish: Some(Box::new(finish)), ..self }
    }

    /// Called when the change was cancelled. The guest runs with the old array; if the undo failed, it
    /// is held, and its slots are neither array.
    pub fn abort(self, abort: impl FnMut(&Change) + Send + 'static) -> Hook {
        Hook { abort: Some(Box::new(abort)), ..self }
    }
}

/// Keeps a hook added. Dropping it removes the hook for the transactions that begin afterwards; a
/// running one still calls it.
#[must_use = "dropping it removes the hook"]
pub struct HookHandle {
    handle: sys::memslots_hook,
    // Keeps the table.
    _table: Arc<Inner>,
}

/// A hook behind C. The calls come one after another; the lock says so without `unsafe`.
type Context = Mutex<Hook>;

impl HookHandle {
    pub(crate) fn add(table: &Table, hook: Hook) -> Result<HookHandle> {
        let mut functions = sys::sized::<sys::memslots_hook_functions>();
        let name = hook.name.clone();
        functions.name = name.as_ptr();
        functions.needs_quiescence = hook.needs_quiescence;
        functions.prepare = hook.prepare.is_some().then_some(prepare as _);
        functions.commit = hook.commit.is_some().then_some(commit as _);
        functions.finish = hook.finish.is_some().then_some(finish as _);
        functions.abort = hook.abort.is_some().then_some(abort as _);
        functions.release = Some(release);
        functions.context = Box::into_raw(Box::new(Context::new(hook))).cast();
        let mut handle = sys::memslots_hook::default();
        // SAFETY: the name is copied. The context lives until `release`, which the library calls also
        // if there is no free handle; the table's handle is valid, and the pointers are not NULL.
        check(unsafe { sys::memslots_hook_add(table.0.handle, &functions, &mut handle) })?;
        Ok(HookHandle { handle, _table: table.0.clone() })
    }
}

impl Drop for HookHandle {
    fn drop(&mut self) {
        // SAFETY: the handle is this object's own. Removing a valid handle does not fail.
        unsafe { sys::memslots_hook_remove(self.handle) };
    }
}

impl Change {
    fn new(raw: &sys::memslots_change) -> Change {
        Change {
            kind: match raw.kind {
                sys::MEMSLOTS_ADDED => ChangeKind::Added,
                sys::MEMSLOTS_REMOVED => ChangeKind::Removed,
                sys::MEMSLOTS_MOVED => ChangeKind::Moved,
                _ => ChangeKind::Reflagged,
            },
            before: Region::optional(&raw.before),
            after: Region::optional(&raw.after),
        }
    }
}

/// Runs `body` with the hook of a context, and with the change.
///
/// # Safety
///
/// The context is one that [`HookHandle::add`] made, and the change is valid.
unsafe fn with<R>(
    context: *mut c_void,
    change: *const sys::memslots_change,
    body: impl FnOnce(&mut Hook, &Change) -> R,
) -> R {
    // SAFETY: the caller's promise.
    let (context, change) = unsafe { (&*context.cast::<Context>(), Change::new(&*change)) };
    // A panic in a closure is no reason to stop calling the hook.
    body(&mut context.lock().unwrap_or_else(PoisonError::into_inner), &change)
}

unsafe extern "C" fn prepare(
    context: *mut c_void,
    change: *const sys::memslots_change,
    reason: *mut c_char,
    capacity: usize,
) -> i32 {
    let run = || {
        // SAFETY: the library passes the hook's own context, and a change that is valid for the call.
        unsafe {
            with(context, change, |hook, change| match &mut hook.prepare {
                Some(prepare) => prepare(change),
                None => Ok(()),
            })
        }
    };
    // Unwind safe: a veto ends the transaction, and the hook's own state is the closure's business.
    let text = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => return 0,
        Ok(Err(text)) => text,
        Err(panic) => {
            let text = format!("the hook panicked: {}", panic_message(&*panic));
            contained(|| drop(panic));
            text
        }
    };
    let bytes = c_string(&text).into_bytes_with_nul();
    let count = bytes.len().min(capacity);
    if count > 0 {
        // SAFETY: `reason` has `capacity` bytes; the last one written is made zero.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), reason, count);
            *reason.add(count - 1) = 0;
        }
    }
    1
}

macro_rules! step {
    ($name:ident) => {
        unsafe extern "C" fn $name(context: *mut c_void, change: *const sys::memslots_change) {
            contained(|| {
                // SAFETY: as for `prepare`.
                unsafe {
                    with(context, change, |hook, change| {
                        if let Some($name) = &mut hook.$name {
                            $name(change)
                        }
                    })
                }
            });
        }
    };
}

step!(commit);
step!(finish);
step!(abort);

unsafe extern "C" fn release(context: *mut c_void) {
    // SAFETY: the context is a box of `add`, and no function is called after this one.
    contained(|| drop(unsafe { Box::from_raw(context.cast::<Context>()) }));
}
