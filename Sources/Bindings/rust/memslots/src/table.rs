use crate::callback::{c_string, contained, resuming};
use crate::error::{check, list};
use crate::owners::{End, Owners};
use crate::slot::duplicate;
use crate::{
    Capabilities, DirtyLog, DirtyLogMode, Error, Flags, GuestAddress, GuestRange, Hook, HookHandle,
    KvmOptions, Observation, Outcome, Reader, Receipt, Region, Result, Simulator, SimulatorOptions,
    Slot, SubmitOptions, TableEvent, Vcpu, VcpuOptions,
};
use memslots_sys as sys;
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::os::raw::c_void;
use std::os::unix::io::{AsRawFd, OwnedFd};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// `KVM_GET_VCPU_MMAP_SIZE`, a request of `/dev/kvm`.
const KVM_GET_VCPU_MMAP_SIZE: libc::c_ulong = 0xae04;

/// The memory of one VM.
///
/// A table is a counted reference: clones name the same table, and readers, vCPUs, hooks and
/// observations keep it. Any thread may use it. When the last reference is dropped, the slots are
/// removed from the VM and their memory is released; [`Table::leave_slots`] changes that.
///
/// From inside a hook, an observer, a [`View`](crate::View) or [`Table::guarded`] a call that would
/// deadlock returns [`Error::Reentrant`].
#[derive(Clone)]
pub struct Table(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) handle: sys::memslots_table,
    owners: Arc<Owners>,
    observation: sys::memslots_observation,
    vm: Option<Vm>,
    leaves_slots: AtomicBool,
}

/// A VM of KVM. The duplicate keeps it for as long as the table uses it.
struct Vm {
    descriptor: OwnedFd,
    vcpu_page_size: usize,
}

/// The slots of a table at one time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Array {
    /// The number of transactions that have changed the table.
    pub generation: u64,
    /// The slots, ascending by address space and id.
    pub slots: Vec<Slot>,
}

/// Where a guest address is in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Translation {
    /// Its address in this process. A submit may change this right after the call: to use the memory,
    /// enter a [`Reader`].
    pub userspace_address: u64,
    /// The number of bytes from there to the end of the slot.
    pub size: u64,
    /// The id of the slot.
    pub slot: u32,
    /// The flags of the slot.
    pub flags: Flags,
}

thread_local! {
    /// The arrays that this thread is submitting, the innermost last.
    static SUBMITTING: RefCell<Vec<Arc<[Slot]>>> = const { RefCell::new(Vec::new()) };
}

/// The array that this thread is submitting. A hook is called by that thread.
#[cfg(feature = "vm-memory")]
pub(crate) fn submitting() -> Option<Arc<[Slot]>> {
    SUBMITTING.with(|arrays| arrays.borrow().last().cloned())
}

impl Table {
    /// Opens a table on a VM that this process created, such as a `kvm_ioctls::VmFd`.
    ///
    /// `system` is the descriptor of `/dev/kvm`, such as a `kvm_ioctls::Kvm`. The table duplicates
    /// the VM's descriptor and needs neither afterwards. Until it is dropped no other code may call
    /// `KVM_SET_USER_MEMORY_REGION` on the VM. Run every vCPU with [`Vcpu::run`] or inside
    /// [`Table::guarded`]: one that calls `KVM_RUN` directly is not held out of the guest.
    ///
    /// KVM accepts memory changes only from the process that created the VM. After `fork` the child
    /// must not use the parent's tables.
    pub fn open_kvm(
        vm: &impl AsRawFd,
        system: &impl AsRawFd,
        options: &KvmOptions,
    ) -> Result<Table> {
        let descriptor = duplicate(vm.as_raw_fd())?;
        // SAFETY: the request takes no argument.
        let size = unsafe { libc::ioctl(system.as_raw_fd(), KVM_GET_VCPU_MMAP_SIZE as _, 0) };
        let vcpu_page_size =
            usize::try_from(size).map_err(|_| Error::from(std::io::Error::last_os_error()))?;
        let installed: Vec<_> = options.installed.iter().map(Slot::raw).collect();
        let mut raw = sys::sized::<sys::memslots_kvm_options>();
        raw.installed = installed.as_ptr();
        raw.installed_count = installed.len();
        raw.keeps_other_mappings = options.keeps_other_mappings;
        raw.private_range_count = options.private_ranges.len();
        raw.private_ranges = options.private_ranges.as_ptr().cast();
        raw.dirty_log = match options.dirty_log {
            DirtyLogMode::ClearedByReading => sys::MEMSLOTS_DIRTY_LOG_CLEARED_BY_READING,
            DirtyLogMode::Manual => sys::MEMSLOTS_DIRTY_LOG_MANUAL,
            DirtyLogMode::ManualInitiallySet => sys::MEMSLOTS_DIRTY_LOG_MANUAL_INITIALLY_SET,
            DirtyLogMode::Ring { bytes } => {
                raw.dirty_ring_bytes = bytes;
                sys::MEMSLOTS_DIRTY_LOG_RING
            }
        };
        let number = descriptor.as_raw_fd();
        let vm = Some(Vm { descriptor, vcpu_page_size });
        // SAFETY: the options and their list are valid for the call.
        Table::open(vm, &options.installed, |table| unsafe {
            sys::memslots_open_kvm(number, &raw, table)
        })
    }

    /// Opens a table on a simulated VM, for tests. [`Table::simulator`] plays its guest and injects
    /// faults.
    pub fn simulated(options: &SimulatorOptions) -> Result<Table> {
        // To the C interface 0 is the default.
        let given = |name, value| match value {
            Some(0) => Err(Error::bad_argument(format!("{name} is 0; None is the default"))),
            value => Ok(value.unwrap_or(0)),
        };
        let mut raw = sys::sized::<sys::memslots_simulator_options>();
        raw.max_slots = given("max_slots", options.max_slots)?;
        raw.address_spaces = given("address_spaces", options.address_spaces)?;
        raw.guest_physical_bits = given("guest_physical_bits", options.guest_physical_bits)?;
        raw.flags = given("flags", options.flags.map(Flags::bits))?;
        // SAFETY: the options are valid for the call.
        Table::open(None, &[], |table| unsafe { sys::memslots_open_simulator(&raw, table) })
    }

    fn open(
        vm: Option<Vm>,
        installed: &[Slot],
        open: impl FnOnce(*mut sys::memslots_table) -> i32,
    ) -> Result<Table> {
        let owners = Arc::new(Owners::default());
        let ticket = owners.begin(installed.into());
        let mut handle = sys::memslots_table::default();
        check(open(&mut handle))?;
        let mut inner = Inner {
            handle,
            owners: owners.clone(),
            observation: sys::memslots_observation::default(),
            vm,
            leaves_slots: AtomicBool::new(false),
        };
        let context = Arc::into_raw(owners.clone()) as *mut c_void;
        let mut generation = 0;
        // SAFETY: the context is a counted reference, which `release` drops.
        check(unsafe {
            sys::memslots_observe(
                handle,
                Some(retire),
                Some(release),
                context,
                &mut generation,
                &mut inner.observation,
            )
        })?;
        owners.ended(ticket, End::Current { generation, retired: true });
        Ok(Table(Arc::new(inner)))
    }

    /// The handle of `memslots.h`, for functions that this crate does not wrap, such as those of
    /// vhost-user back ends. [`sys`](crate::sys) declares them. It is valid while the table exists.
    ///
    /// Do not submit through it: this crate would not know which memory to keep.
    pub fn as_raw(&self) -> sys::memslots_table {
        self.0.handle
    }

    /// The limits of the table's VM.
    pub fn capabilities(&self) -> Result<Capabilities> {
        let mut raw = sys::sized::<sys::memslots_capabilities>();
        // SAFETY: `raw` is a structure to fill, with its size set.
        check(unsafe { sys::memslots_get_capabilities(self.0.handle, &mut raw) })?;
        Ok(Capabilities {
            max_slots: raw.max_slots,
            address_spaces: raw.address_spaces,
            max_guest_page: raw.max_guest_page,
            max_pages_per_slot: raw.max_pages_per_slot,
            flags: Flags::from_bits(raw.flags),
            memory_attributes: raw.memory_attributes,
        })
    }

    /// Replaces the VM's memory by `slots`, in one transaction.
    ///
    /// Blocks until the transaction has ended. `slots` is the complete array, in any order; a slot
    /// that is not in it is removed from the guest. Submits of several threads run one after another.
    ///
    /// After `Ok` the VM has the array. After any error it has the previous one; [`Error::Failed`]
    /// is the exception: [`Table::recover`].
    ///
    /// If a hook panics after the array is committed, or while it is undone, the panic goes on here
    /// when the transaction has ended.
    pub fn submit(&self, slots: &[Slot]) -> Result<Receipt> {
        self.submit_with(slots, &SubmitOptions::default())
    }

    /// As [`Table::submit`], with options.
    pub fn submit_with(&self, slots: &[Slot], options: &SubmitOptions) -> Result<Receipt> {
        let array: Arc<[Slot]> = slots.into();
        let owners = &self.0.owners;
        let ticket = owners.begin(array.clone());
        SUBMITTING.with(|arrays| arrays.borrow_mut().push(array.clone()));
        resuming(|| {
            let result = self.transact(&array, options, sys::memslots_submit);
            SUBMITTING.with(|arrays| arrays.borrow_mut().pop());
            owners.ended(
                ticket,
                match &result {
                    Ok(receipt) if receipt.outcome == Outcome::Committed => {
                        End::Current { generation: receipt.generation, retired: receipt.retired }
                    }
                    Err(Error::Failed { .. }) => End::Failed,
                    _ => End::Refused,
                },
            );
            result
        })
    }

    /// The receipt that [`Table::submit`] would return. Changes nothing.
    pub fn plan(&self, slots: &[Slot]) -> Result<Receipt> {
        self.plan_with(slots, &SubmitOptions::default())
    }

    /// As [`Table::plan`], with options.
    pub fn plan_with(&self, slots: &[Slot], options: &SubmitOptions) -> Result<Receipt> {
        self.transact(slots, options, sys::memslots_plan)
    }

    fn transact(
        &self,
        slots: &[Slot],
        options: &SubmitOptions,
        function: unsafe extern "C" fn(
            sys::memslots_table,
            *const sys::memslots_slot,
            usize,
            *const sys::memslots_submit_options,
            *mut sys::memslots_receipt,
        ) -> i32,
    ) -> Result<Receipt> {
        let list: Vec<_> = slots.iter().map(Slot::raw).collect();
        let mut raw = sys::sized::<sys::memslots_submit_options>();
        raw.has_expected_generation = options.expected_generation.is_some();
        raw.expected_generation = options.expected_generation.unwrap_or(0);
        raw.always_quiesce = options.always_quiesce;
        raw.continuity = options.continuity;
        if let Some(ranges) = &options.private_ranges {
            raw.sets_private_ranges = true;
            raw.private_range_count = ranges.len();
            raw.private_ranges = ranges.as_ptr().cast();
        }
        if let Some(deadline) = options.quiesce_deadline {
            // 0 is the default, so the shortest deadline is a millisecond.
            let milliseconds = deadline.as_millis().clamp(1, u32::MAX.into());
            raw.quiesce_deadline_milliseconds = milliseconds as u32;
        }
        let mut receipt = sys::sized::<sys::memslots_receipt>();
        // SAFETY: the list, the options and the empty receipt are valid for the call.
        check(unsafe { function(self.0.handle, list.as_ptr(), list.len(), &raw, &mut receipt) })?;
        Ok(Receipt::new(receipt, slots))
    }

    /// The current slots.
    ///
    /// To change what is there, submit against its generation:
    ///
    /// ```
    /// # use memslots::*;
    /// # let table = Table::simulated(&SimulatorOptions::default())?;
    /// # table.submit(&[Slot::new(GuestAddress(0), &Memory::anonymous(1 << 20)?)])?;
    /// loop {
    ///     let now = table.array()?;
    ///     let slots: Vec<_> = now.slots.into_iter().map(|slot| slot.logging(true)).collect();
    ///     let options =
    ///         SubmitOptions { expected_generation: Some(now.generation), ..Default::default() };
    ///     match table.submit_with(&slots, &options) {
    ///         Err(Error::Conflict { .. }) => continue,
    ///         result => break result,
    ///     }
    /// }?;
    /// # Ok::<(), memslots::Error>(())
    /// ```
    pub fn array(&self) -> Result<Array> {
        let mut generation = 0;
        let slots = self.0.owners.read(|| {
            // SAFETY: the list is passed with its capacity.
            list(|slots, capacity, count| unsafe {
                sys::memslots_get(self.0.handle, slots, capacity, count, &mut generation)
            })
        })?;
        Ok(Array { generation, slots })
    }

    /// The guest ranges that are private, ascending and merged.
    pub fn private_ranges(&self) -> Result<Vec<GuestRange>> {
        // SAFETY: the list is passed with its capacity.
        let ranges = list(|ranges, capacity, count| unsafe {
            sys::memslots_get_private_ranges(
                self.0.handle,
                ranges,
                capacity,
                count,
                std::ptr::null_mut(),
            )
        })?;
        let range = |raw: &sys::memslots_range| GuestRange {
            address: GuestAddress(raw.guest_physical_address),
            size: raw.size,
        };
        Ok(ranges.iter().map(range).collect())
    }

    /// The slots that are really installed, after [`Error::Failed`]. `None` if the table has not
    /// failed.
    pub fn failure(&self) -> Result<Option<Vec<Region>>> {
        // SAFETY: the list is passed with its capacity.
        let slots = list(|slots, capacity, count| unsafe {
            sys::memslots_failure(self.0.handle, slots, capacity, count)
        });
        match slots {
            Ok(slots) => Ok(Some(slots.iter().map(Region::new).collect())),
            Err(Error::NotSupported { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Retries the undo of a failed table. No effect if the table has not failed.
    pub fn recover(&self) -> Result<()> {
        // SAFETY: no pointers.
        let recover = || check(unsafe { sys::memslots_recover(self.0.handle) }).map(drop);
        resuming(|| self.0.owners.recovering(recover))
    }

    /// Lets vCPUs enter the guest of a failed table, with the slots that are installed.
    pub fn release_vcpus(&self) -> Result<()> {
        // SAFETY: no pointers.
        check(unsafe { sys::memslots_release_vcpus(self.0.handle) }).map(drop)
    }

    /// Reads which of a slot's pages the guest has written. `pages` are counted from the slot's
    /// beginning and begin with a multiple of 64. With `clear` exactly the returned bits are cleared.
    ///
    /// Returns [`Error::NoSuchSlot`] also if the slot does not log.
    pub fn dirty_log(
        &self,
        address_space: u32,
        slot: u32,
        pages: Range<u64>,
        clear: bool,
    ) -> Result<DirtyLog> {
        DirtyLog::read(self.0.handle, address_space, slot, pages, clear)
    }

    /// Where a guest address is in this process. A submit may change it right after the call.
    pub fn translate(&self, address_space: u32, address: GuestAddress) -> Result<Translation> {
        let mut raw = sys::memslots_span::default();
        // SAFETY: `raw` is a span to fill.
        let code =
            unsafe { sys::memslots_translate(self.0.handle, address_space, address.0, &mut raw) };
        match check(code) {
            Ok(_) => Ok(Translation {
                userspace_address: raw.address as u64,
                size: raw.size,
                slot: raw.slot,
                flags: Flags::from_bits(raw.flags),
            }),
            Err(Error::NotMapped { message, .. }) => {
                Err(Error::NotMapped { address: Some(address.0), range: 0, message })
            }
            Err(error) => Err(error),
        }
    }

    /// Registers a reader. Receipts and errors contain its name if a submit waits for it.
    pub fn reader(&self, name: &str) -> Result<Reader> {
        let mut handle = sys::memslots_reader::default();
        let name = c_string(name);
        // SAFETY: the name is copied.
        check(unsafe { sys::memslots_reader_open(self.0.handle, name.as_ptr(), &mut handle) })?;
        Ok(Reader::new(handle, self.0.clone()))
    }

    /// Registers a vCPU of this table's VM, such as a `kvm_ioctls::VcpuFd`, with the table's gate.
    ///
    /// Returns [`Error::BadArgument`] if the descriptor is of no vCPU, or of one that is registered. KVM
    /// can't say of which VM a vCPU is: that of another VM is accepted, and this table does not hold
    /// the VM that it runs.
    pub fn vcpu(&self, vcpu: &impl AsRawFd, options: &VcpuOptions) -> Result<Vcpu> {
        let size = self.0.vm.as_ref().map_or(0, |vm| vm.vcpu_page_size);
        Vcpu::open(&self.0, duplicate(vcpu.as_raw_fd())?, size, options)
    }

    /// Runs `body` inside the gate: for an ioctl that uses slots, or a vCPU loop of your own. Waits
    /// first while a transaction holds vCPUs out; a transaction waits until `body` returns. Errors
    /// contain `name`.
    ///
    /// A panic of `body` leaves the gate and goes on.
    pub fn guarded<R>(&self, name: &str, body: impl FnOnce() -> R) -> Result<R> {
        self.guarded_with_kick(name, body, || {})
    }

    /// As [`Table::guarded`], with a `kick` that submitting threads call while `body` runs or is about
    /// to. It asks `body` to return soon.
    pub fn guarded_with_kick<R>(
        &self,
        name: &str,
        body: impl FnOnce() -> R,
        kick: impl Fn() + Sync,
    ) -> Result<R> {
        struct Context<B, R, K> {
            body: RefCell<(Option<B>, Option<R>)>,
            kick: K,
        }
        unsafe extern "C" fn run<B: FnOnce() -> R, R, K>(context: *mut c_void) {
            // SAFETY: the context lives until memslots_guarded() returns. Only this function, on the
            // caller's thread, uses `body`.
            let context = unsafe { &*context.cast::<Context<B, R, K>>() };
            contained(|| {
                let body = context.body.borrow_mut().0.take();
                let result = body.map(|body| body());
                context.body.borrow_mut().1 = result;
            });
        }
        unsafe extern "C" fn kick_it<B, R, K: Fn() + Sync>(context: *mut c_void) {
            // SAFETY: the library calls no kick after memslots_guarded() has returned, and `kick`
            // may be called by any thread. Only `kick` is referred to.
            let kick = unsafe { &*std::ptr::addr_of!((*context.cast::<Context<B, R, K>>()).kick) };
            contained(kick);
        }
        fn functions<B: FnOnce() -> R, R, K: Fn() + Sync>(
            _: &Context<B, R, K>,
        ) -> [Option<unsafe extern "C" fn(*mut c_void)>; 2] {
            [Some(run::<B, R, K>), Some(kick_it::<B, R, K>)]
        }
        let context = Context { body: RefCell::new((Some(body), None)), kick };
        let [run, kick] = functions(&context);
        let name = c_string(name);
        let place = &context as *const _ as *mut c_void;
        resuming(|| {
            // SAFETY: the functions fit the context, which outlives the call.
            check(unsafe { sys::memslots_guarded(self.0.handle, name.as_ptr(), run, kick, place) })
        })?;
        let result = context.body.into_inner().1;
        Ok(result.expect("the library runs the body unless it returns an error"))
    }

    /// Adds a hook for the transactions that begin afterwards, until the handle is dropped.
    pub fn add_hook(&self, hook: Hook) -> Result<HookHandle> {
        HookHandle::add(self, hook)
    }

    /// Calls `observer` for every event from now on, in order and before the submit returns, until
    /// the observation is dropped. Be short. A panic goes on in the submit; but it is dropped, after
    /// the panic hook has printed it, if a thread of the table reported
    /// [`TableEvent::Retired`](crate::TableEvent::Retired).
    pub fn observe(
        &self,
        observer: impl FnMut(&TableEvent) + Send + 'static,
    ) -> Result<Observation> {
        Observation::begin(self, Box::new(observer))
    }

    /// The simulator behind the table; `None` on KVM.
    pub fn simulator(&self) -> Option<Simulator<'_>> {
        if self.0.vm.is_some() {
            return None;
        }
        Some(Simulator::of(self))
    }

    /// Leaves the slots in the VM when the table's last reference is dropped. Without this they are
    /// removed, so that the guest never has memory that is released.
    ///
    /// # Safety
    ///
    /// The caller keeps the memory of the slots ([`Table::array`] returns them) until the VM is gone,
    /// or until nothing runs its vCPUs.
    pub unsafe fn leave_slots(&self) {
        self.0.leaves_slots.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.vm {
            Some(vm) => write!(f, "Table(VM {})", vm.descriptor.as_raw_fd()),
            None => f.write_str("Table(simulated)"),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let keeps = self.vm.is_none() || *self.leaves_slots.get_mut();
        // SAFETY: an empty array needs no list; the other pointers may be NULL.
        if !keeps && unsafe { sys::memslots_submit(self.handle, null(), 0, null(), null_mut()) } < 0
        {
            // The VM may still have slots. A leak is better than a guest that writes to memory which
            // this process has used for something else.
            self.owners.leak();
        }
        // SAFETY: the handles are this object's own; an observation of 0 is refused.
        unsafe {
            sys::memslots_observation_end(self.observation);
            sys::memslots_close(self.handle);
        }
    }
}

/// Releases the memory of old arrays when the last reader has left them.
unsafe extern "C" fn retire(context: *mut c_void, event: *const sys::memslots_event) {
    // SAFETY: the context is the reference that `release` drops, and the event is valid for the call.
    let (owners, event) = unsafe { (&*(context as *const Owners), &*event) };
    if event.kind == sys::MEMSLOTS_EVENT_RETIRED {
        contained(|| owners.retire(event.generation));
    }
}

unsafe extern "C" fn release(context: *mut c_void) {
    // SAFETY: the context is a counted reference, and no function is called after this one.
    contained(|| drop(unsafe { Arc::from_raw(context as *const Owners) }));
}
