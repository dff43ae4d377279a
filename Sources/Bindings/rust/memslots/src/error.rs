use memslots_sys as sys;
use std::ffi::CStr;
use std::fmt;
use std::os::raw::c_char;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// A rule that a submitted array violates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The slot's position in the array; `None` if the whole array is at fault.
    pub index: Option<usize>,
    /// The position of the other slot involved.
    pub other_index: Option<usize>,
    /// The slot's id, if it has one.
    pub slot: Option<u32>,
    /// The slot's address space.
    pub address_space: u32,
    /// The errno that KVM would return; `None` if KVM does not check this rule.
    pub errno: Option<i32>,
    /// The rule's stable name, such as `overlap`.
    pub kind: String,
    /// The part of the [`Slot`](crate::Slot) at fault, such as `slots[3].guest_address`.
    pub path: String,
    /// A sentence that describes the violation.
    pub message: String,
}

macro_rules! errors {
    ($($(#[doc = $doc:literal])+ $name:ident $({ $($(#[doc = $member_doc:literal])+ $member:ident: $kind:ty,)+ })? = $code:ident,)+) => {
        /// Why a function had no effect.
        ///
        /// Each variant is an error code of `memslots.h`, with the data that the C interface has for
        /// it. `message` is a sentence that says what happened and what to do.
        ///
        /// After any error of [`Table::submit`](crate::Table::submit) the VM has the array that it
        /// had before. [`Error::Failed`] is the exception.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Error {
            $(
                $(#[doc = $doc])+
                $name {
                    $($($(#[doc = $member_doc])+ $member: $kind,)+)?
                    /// What happened, and what to do.
                    message: String,
                },
            )+
            /// A code that this version of the crate does not know.
            Unknown {
                /// The code.
                code: i32,
                /// What happened.
                message: String,
            },
        }

        impl Error {
            /// The code of `memslots.h`, which is negative.
            pub fn code(&self) -> i32 {
                match self {
                    $(Error::$name { .. } => sys::$code,)+
                    Error::Unknown { code, .. } => *code,
                }
            }

            /// A sentence that says what happened and what to do.
            pub fn message(&self) -> &str {
                match self {
                    $(Error::$name { message, .. } => message,)+
                    Error::Unknown { message, .. } => message,
                }
            }
        }
    };
}

errors! {
    /// The array violates rules. All violations are listed, up to 1,024.
    InvalidArray {
        /// The violations, in array order.
        violations: Vec<Violation>,
    } = MEMSLOTS_INVALID_ARRAY,
    /// The generation is not the expected one. Read the table and submit against its generation.
    Conflict = MEMSLOTS_CONFLICT,
    /// A hook vetoed the transaction, or panicked. The message contains its reason.
    Rejected = MEMSLOTS_REJECTED,
    /// A vCPU or a reader was still inside at the deadline. The message names it.
    QuiesceTimeout = MEMSLOTS_QUIESCE_TIMEOUT,
    /// A kernel call failed and the transaction was undone.
    RolledBack {
        /// The kernel's errno.
        errno: i32,
    } = MEMSLOTS_ROLLED_BACK,
    /// The undo failed too. vCPUs are held out of the guest until
    /// [`Table::recover`](crate::Table::recover) succeeds;
    /// [`Table::failure`](crate::Table::failure) returns what is installed.
    Failed {
        /// The kernel's errno.
        errno: i32,
    } = MEMSLOTS_FAILED,
    /// Called from inside a callback of the same table; waiting would deadlock.
    Reentrant = MEMSLOTS_REENTRANT,
    /// A handle is unknown or closed. Handles of this crate are valid until they are dropped.
    BadHandle = MEMSLOTS_BAD_HANDLE,
    /// An argument is out of its range.
    BadArgument = MEMSLOTS_BAD_ARGUMENT,
    /// The slot does not exist, or it does not log.
    NoSuchSlot = MEMSLOTS_NO_SUCH_SLOT,
    /// An address that no slot maps.
    NotMapped {
        /// The first address that is not mapped, if the function returns it.
        address: Option<u64>,
        /// The index of the first range that is not mapped; 0 if there is one range.
        range: usize,
    } = MEMSLOTS_NOT_MAPPED,
    /// A list has more entries than its capacity.
    TooSmall = MEMSLOTS_TOO_SMALL,
    /// A system call failed.
    System {
        /// The kernel's errno.
        errno: i32,
    } = MEMSLOTS_SYSTEM,
    /// Not available for this kind of table.
    NotSupported = MEMSLOTS_NOT_SUPPORTED,
    /// The reader is inside already: an earlier view was leaked.
    NotInside = MEMSLOTS_NOT_INSIDE,
    /// The process has no free handle. The limit is 1,048,575.
    TooManyHandles = MEMSLOTS_TOO_MANY_HANDLES,
    /// The slot is read-only.
    ReadOnly = MEMSLOTS_READ_ONLY,
    /// A vhost-user back end refused, failed, or its connection ended.
    BackEnd = MEMSLOTS_BACK_END,
}

impl Error {
    /// The code's stable name, such as `generation-conflict`.
    pub fn name(&self) -> &'static str {
        // SAFETY: the function accepts every code, and its result is valid for ever.
        let name = unsafe { CStr::from_ptr(sys::memslots_code_name(self.code())) };
        name.to_str().unwrap_or("unknown")
    }

    /// The kernel's errno that caused the error. For an invalid array it is that of the first
    /// violation.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::RolledBack { errno, .. }
            | Error::Failed { errno, .. }
            | Error::System { errno, .. } => Some(*errno),
            Error::InvalidArray { violations, .. } => violations.first()?.errno,
            _ => None,
        }
    }

    /// An error of this crate's own checks.
    pub(crate) fn bad_argument(message: impl Into<String>) -> Error {
        Error::BadArgument { message: message.into() }
    }

    /// The calling thread's last error, whose code is `code`.
    pub(crate) fn last(code: i32) -> Error {
        // SAFETY: both functions have no preconditions. The message is copied before the thread's
        // next error.
        let (message, errno) =
            unsafe { (text(sys::memslots_error_message()), sys::memslots_error_errno()) };
        match code {
            sys::MEMSLOTS_INVALID_ARRAY => {
                Error::InvalidArray { violations: last_violations(), message }
            }
            sys::MEMSLOTS_CONFLICT => Error::Conflict { message },
            sys::MEMSLOTS_REJECTED => Error::Rejected { message },
            sys::MEMSLOTS_QUIESCE_TIMEOUT => Error::QuiesceTimeout { message },
            sys::MEMSLOTS_ROLLED_BACK => Error::RolledBack { errno, message },
            sys::MEMSLOTS_FAILED => Error::Failed { errno, message },
            sys::MEMSLOTS_REENTRANT => Error::Reentrant { message },
            sys::MEMSLOTS_BAD_HANDLE => Error::BadHandle { message },
            sys::MEMSLOTS_BAD_ARGUMENT => Error::BadArgument { message },
            sys::MEMSLOTS_NO_SUCH_SLOT => Error::NoSuchSlot { message },
            sys::MEMSLOTS_NOT_MAPPED => Error::NotMapped { address: None, range: 0, message },
            sys::MEMSLOTS_TOO_SMALL => Error::TooSmall { message },
            sys::MEMSLOTS_SYSTEM => Error::System { errno, message },
            sys::MEMSLOTS_NOT_SUPPORTED => Error::NotSupported { message },
            sys::MEMSLOTS_NOT_INSIDE => Error::NotInside { message },
            sys::MEMSLOTS_TOO_MANY_HANDLES => Error::TooManyHandles { message },
            sys::MEMSLOTS_READ_ONLY => Error::ReadOnly { message },
            sys::MEMSLOTS_BACK_END => Error::BackEnd { message },
            code => Error::Unknown { code, message },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.message())
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::System { errno: error.raw_os_error().unwrap_or(0), message: error.to_string() }
    }
}

/// For functions that return `std::io::Result`. The kind is that of the kernel's errno, if there is one;
/// the error itself is the source.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        use std::io::ErrorKind;
        let kind = match (&error, error.errno()) {
            (Error::InvalidArray { .. } | Error::BadArgument { .. }, _) => ErrorKind::InvalidInput,
            (Error::QuiesceTimeout { .. }, _) => ErrorKind::TimedOut,
            (Error::NotSupported { .. }, _) => ErrorKind::Unsupported,
            (_, Some(errno)) => std::io::Error::from_raw_os_error(errno).kind(),
            _ => ErrorKind::Other,
        };
        std::io::Error::new(kind, error)
    }
}

/// Returns a code that is no error, and the thread's last error otherwise.
pub(crate) fn check(code: i32) -> Result<i32> {
    if code >= 0 {
        Ok(code)
    } else {
        Err(Error::last(code))
    }
}

/// Copies a C string.
///
/// # Safety
///
/// `pointer` is valid and ends in a zero byte.
pub(crate) unsafe fn text(pointer: *const c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// Fills a list of the C interface, whose length may grow between two calls.
pub(crate) fn list<T: Clone + Default>(
    mut fill: impl FnMut(*mut T, usize, *mut usize) -> i32,
) -> Result<Vec<T>> {
    let (mut items, mut count) = (Vec::new(), 0);
    loop {
        let code = fill(items.as_mut_ptr(), items.len(), &mut count);
        if code != sys::MEMSLOTS_TOO_SMALL {
            check(code)?;
            items.truncate(count);
            return Ok(items);
        }
        items.resize(count, T::default());
    }
}

/// The path with the member's name as [`Slot`](crate::Slot) has it.
fn renamed(path: String) -> String {
    let names = [
        (".slot", ".id"),
        (".guest_physical_address", ".guest_address"),
        (".userspace_address", ".memory"),
        (".memory_offset", ".memory_object"),
        (".guest_memfd_offset", ".guest_memfd"),
    ];
    let name = names.iter().find(|(name, _)| path.ends_with(name));
    name.map_or(path.clone(), |(old, new)| path.replace(old, new))
}

fn last_violations() -> Vec<Violation> {
    // SAFETY: `list` passes a list and its capacity. The function keeps the thread's last error.
    let raw = list(|items, capacity, count| unsafe {
        sys::memslots_error_violations(items, capacity, count)
    });
    let copy = |violation: &sys::memslots_violation| {
        let index = |index: i64| usize::try_from(index).ok();
        // SAFETY: the library ends each of these arrays with a zero byte.
        let (kind, path, message) = unsafe {
            (
                text(violation.kind.as_ptr()),
                text(violation.path.as_ptr()),
                text(violation.message.as_ptr()),
            )
        };
        Violation {
            index: index(violation.index),
            other_index: index(violation.other_index),
            slot: Some(violation.slot).filter(|id| *id != sys::MEMSLOTS_ANY_SLOT),
            address_space: violation.address_space,
            errno: Some(violation.kernel_errno).filter(|errno| *errno != 0),
            kind,
            path: renamed(path),
            message,
        }
    };
    raw.unwrap_or_default().iter().map(copy).collect()
}
