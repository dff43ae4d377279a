//! Rust closures behind C callbacks.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::CString;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

thread_local! {
    /// The first panic of a callback that this thread made while it was inside the C interface.
    static PANIC: RefCell<Option<Box<dyn Any + Send>>> = const { RefCell::new(None) };
}

/// Runs a callback. A panic does not cross C: it is kept for [`resuming`].
pub(crate) fn contained(callback: impl FnOnce()) {
    // Unwind safe: what the callback changed is not used again before the panic goes on.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(callback)) {
        // During the thread's end there is nobody to whom the panic could go.
        let _ = PANIC.try_with(|kept| {
            kept.borrow_mut().get_or_insert(panic);
        });
    }
}

/// Runs a call of the C interface, and lets a panic of its callbacks go on in the caller.
pub(crate) fn resuming<R>(call: impl FnOnce() -> R) -> R {
    // A hook may call another table: its own panic before must not come out there.
    let outer = PANIC.with(|kept| kept.borrow_mut().take());
    let result = call();
    let panic = PANIC.with(|kept| std::mem::replace(&mut *kept.borrow_mut(), outer));
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
    result
}

/// The message of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// A name as a C string, without the zero bytes that it can't have.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}
