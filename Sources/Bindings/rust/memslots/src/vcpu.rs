use crate::callback::c_string;
use crate::error::check;
use crate::exit::{GuestExit, Page};
use crate::memory::Mapping;
use crate::table::Inner;
use crate::{Error, Result};
use memslots_sys as sys;
use std::cell::RefCell;
use std::os::raw::c_void;
use std::os::unix::io::{AsRawFd, OwnedFd};
use std::sync::Arc;

/// Options of [`Table::vcpu`](crate::Table::vcpu).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VcpuOptions {
    /// The number that it was created with.
    pub id: u32,
    /// The name in errors; by default its number.
    pub name: Option<String>,
    /// The signal that makes it leave the guest; by default the first real-time signal. The library
    /// installs an empty handler if the signal has none.
    pub kick_signal: Option<i32>,
}

/// A vCPU that runs its guest inside the table's gate. The guest never sees a partial change.
///
/// One thread at a time runs it. [`Vcpu::kicker`] is for the others.
///
/// ```no_run
/// use memslots::{Exit, GuestExit, Vcpu};
///
/// fn run(mut vcpu: Vcpu) -> memslots::Result<()> {
///     loop {
///         // Waits while a transaction holds vCPUs out; returns when one begins.
///         let turn = vcpu.run()?;
///         if turn.kicked {
///             return Ok(());
///         }
///         match turn.exit {
///             Exit::Interrupted | Exit::NotReady => continue,
///             Exit::Guest => match vcpu.guest_exit() {
///                 GuestExit::PortWrite { port: 0x3f8, data, .. } => println!("{data:?}"),
///                 GuestExit::MmioRead { size, .. } => vcpu.complete_read(&vec![0; size.into()])?,
///                 GuestExit::Halt => return Ok(()),
///                 other => println!("{other:?}"),
///             },
///         }
///     }
/// }
/// ```
///
/// Hold no lock while it runs that a hook or a submitting thread may acquire. Do not call
/// `KVM_RUN` yourself, and do not write `immediate_exit`.
pub struct Vcpu(Arc<Registration>);

/// Makes a vCPU leave the guest, from any thread.
#[derive(Clone)]
pub struct Kicker(Arc<Registration>);

/// Why [`Vcpu::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// The guest left; [`Vcpu::guest_exit`] returns why.
    Guest,
    /// A signal, a kick or a transaction made it leave (`EINTR`). Check your own conditions, and run
    /// it again.
    Interrupted,
    /// It waits until another vCPU starts it (`EAGAIN`). Run it again.
    NotReady,
}

/// The result of [`Vcpu::run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Turn {
    /// Why it returned.
    pub exit: Exit,
    /// Whether [`Kicker::kick`] was called. It may come with any exit.
    pub kicked: bool,
    /// Whether a transaction asked the vCPU to leave. It needs no reaction.
    pub transaction: bool,
}

struct Registration {
    handle: sys::memslots_vcpu,
    kick_signal: i32,
    page: Mapping,
    descriptor: OwnedFd,
    // Keeps the table, whose gate the vCPU uses.
    _table: Arc<Inner>,
}

thread_local! {
    /// The kick signals that this thread has unblocked.
    static ACCEPTED: RefCell<Vec<i32>> = const { RefCell::new(Vec::new()) };
}

impl Vcpu {
    pub(crate) fn open(
        table: &Arc<Inner>,
        descriptor: OwnedFd,
        page_size: usize,
        options: &VcpuOptions,
    ) -> Result<Vcpu> {
        // A second mapping of the page beside the caller's, so that it lives as long as it is needed.
        // A simulated VM has no vCPUs; the library then says so.
        let page = if page_size > 0 {
            Mapping::new(page_size, libc::MAP_SHARED, descriptor.as_raw_fd(), 0)
        } else {
            Mapping::new(4096, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        }?;
        if options.kick_signal == Some(0) {
            return Err(Error::bad_argument("kick_signal is 0; None is the default"));
        }
        let name = options.name.as_deref().map(c_string);
        let mut raw = sys::sized::<sys::memslots_vcpu_options>();
        raw.descriptor = descriptor.as_raw_fd();
        raw.id = options.id;
        raw.kvm_run = page.start.cast();
        raw.name = name.as_ref().map_or(std::ptr::null(), |name| name.as_ptr());
        raw.kick_signal = options.kick_signal.unwrap_or(0);
        let mut handle = sys::memslots_vcpu::default();
        // SAFETY: the name is copied. The descriptor and the page outlive the handle.
        check(unsafe { sys::memslots_vcpu_open(table.handle, &raw, &mut handle) })?;
        let kick_signal = raw.kick_signal;
        let _table = table.clone();
        Ok(Vcpu(Arc::new(Registration { handle, kick_signal, page, descriptor, _table })))
    }

    /// Runs the guest (`KVM_RUN`) until it leaves. Waits first while a transaction holds vCPUs out.
    ///
    /// Unblocks the kick signal on a thread that runs vCPUs for the first time. Returns
    /// [`Error::System`](crate::Error::System) if `KVM_RUN` fails with an errno other than `EINTR`
    /// and `EAGAIN`.
    pub fn run(&mut self) -> Result<Turn> {
        self.accept_kicks()?;
        let mut requests = 0;
        // SAFETY: `requests` is a number to fill.
        let code = check(unsafe { sys::memslots_vcpu_run(self.0.handle, &mut requests) })?;
        Ok(Turn {
            exit: match code {
                sys::MEMSLOTS_INTERRUPTED => Exit::Interrupted,
                sys::MEMSLOTS_NOT_READY => Exit::NotReady,
                _ => Exit::Guest,
            },
            kicked: requests & sys::MEMSLOTS_KICK_EMBEDDER != 0,
            transaction: requests & sys::MEMSLOTS_KICK_TRANSACTION != 0,
        })
    }

    fn accept_kicks(&self) -> Result<()> {
        let signal = self.0.kick_signal;
        if ACCEPTED.with(|accepted| accepted.borrow().contains(&signal)) {
            return Ok(());
        }
        // SAFETY: no pointers.
        check(unsafe { sys::memslots_accept_kicks(signal) })?;
        ACCEPTED.with(|accepted| accepted.borrow_mut().push(signal));
        Ok(())
    }

    /// Why the guest left, after [`Exit::Guest`].
    pub fn guest_exit(&self) -> GuestExit {
        self.page().exit()
    }

    /// Passes the bytes that the guest reads, before the next run.
    ///
    /// Returns [`Error::BadArgument`](crate::Error::BadArgument) unless the last exit was a read of
    /// this size.
    pub fn complete_read(&mut self, data: &[u8]) -> Result<()> {
        self.page().complete_read(data)
    }

    fn page(&self) -> Page {
        // SAFETY: the mapping is that of a vCPU, and is kept by `self`.
        unsafe { Page::new(self.0.page.start, self.0.page.len) }
    }

    /// Its `struct kvm_run`, shared with the kernel and with any mapping of the caller's. Valid while
    /// the vCPU or a kicker of it exists.
    pub fn kvm_run(&self) -> *mut c_void {
        self.0.page.start.cast()
    }

    /// What makes it leave the guest, for other threads.
    pub fn kicker(&self) -> Kicker {
        Kicker(self.0.clone())
    }

    /// Empties the dirty rings. Call it on the vCPU's thread after `KVM_EXIT_DIRTY_RING_FULL`.
    pub fn drain_dirty_ring(&mut self) -> Result<()> {
        // SAFETY: no pointers.
        check(unsafe { sys::memslots_vcpu_drain_dirty_ring(self.0.handle) }).map(drop)
    }
}

/// The vCPU's own descriptor, for registers and the like.
impl AsRawFd for Vcpu {
    fn as_raw_fd(&self) -> std::os::unix::io::RawFd {
        self.0.descriptor.as_raw_fd()
    }
}

impl Kicker {
    /// Makes the vCPU leave the guest, or prevents its next entry. Never waits.
    pub fn kick(&self) -> Result<()> {
        // SAFETY: no pointers.
        check(unsafe { sys::memslots_vcpu_kick(self.0.handle) }).map(drop)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: the handle is this object's own. Neither the vCPU nor a kicker of it exists, so no
        // thread is inside a call on it, and the page may go afterwards.
        unsafe { sys::memslots_vcpu_close(self.handle) };
    }
}
