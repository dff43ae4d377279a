//! Changes KVM guest memory as transactions.
//!
//! KVM changes memory one slot at a time. A VMM that splits, merges or resizes a slot deletes it and
//! creates others, and in between its guest has no memory there. With this crate a VMM submits the
//! whole array of slots. Afterwards the VM has exactly that array, or exactly the one before, and the
//! result says which. No vCPU and no reader sees anything in between, dirty bits are kept, and the
//! plan has the fewest slot calls.
//!
//! ```
//! use memslots::{GuestAddress, Memory, SimulatorOptions, Slot, Table};
//!
//! # fn main() -> memslots::Result<()> {
//! let table = Table::simulated(&SimulatorOptions::default())?;
//! let ram = Slot::new(GuestAddress(0), &Memory::anonymous(1 << 30)?);
//! let ram = table.submit(&[ram])?.slots.remove(0);
//!
//! // Open a hole for a device: one slot becomes two, and no vCPU sees the RAM missing.
//! let (low, rest) = ram.split_at(GuestAddress(0xa_0000))?;
//! let (_, high) = rest.split_at(GuestAddress(0xc_0000))?;
//! let receipt = table.submit(&[low, high])?;
//! println!("{receipt}"); // delete 0, create 0, create 1; guest held for 5 µs
//! assert!(receipt.is_optimal);
//! # Ok(())
//! # }
//! ```
//!
//! # On KVM
//!
//! [`Table::open_kvm`] takes a VM and `/dev/kvm` by [`AsRawFd`](std::os::unix::io::AsRawFd): a
//! `kvm_ioctls::VmFd` and a `kvm_ioctls::Kvm` fit, and so does a plain descriptor. From then on the
//! table alone changes the VM's slots, and each vCPU runs with [`Vcpu::run`] in place of `KVM_RUN`:
//!
//! ```no_run
//! # use std::os::unix::io::AsRawFd;
//! use memslots::{Exit, KvmOptions, Slot, Table, VcpuOptions};
//!
//! # fn f(kvm: impl AsRawFd, vm: impl AsRawFd, vcpu_fd: impl AsRawFd, slots: Vec<Slot>) -> memslots::Result<()> {
//! let table = Table::open_kvm(&vm, &kvm, &KvmOptions::default())?;
//! table.submit(&slots)?;
//! let mut vcpu = table.vcpu(&vcpu_fd, &VcpuOptions::default())?;
//! let kicker = vcpu.kicker(); // makes run() return, from any thread
//! std::thread::spawn(move || -> memslots::Result<()> {
//!     loop {
//!         // Waits while a transaction holds vCPUs out; returns when one begins.
//!         let turn = vcpu.run()?;
//!         if turn.kicked {
//!             return Ok(());
//!         }
//!         if turn.exit == Exit::Guest {
//!             println!("{:?}", vcpu.guest_exit()); // handle it
//!         }
//!     }
//! });
//! # kicker.kick()
//! # }
//! ```
//!
//! # What is where
//!
//! | | |
//! |---|---|
//! | [`Table`] | the memory of one VM: [`submit`](Table::submit), [`plan`](Table::plan), [`array`](Table::array), [`dirty_log`](Table::dirty_log) |
//! | [`Slot`], [`Memory`] | a range of guest memory, and the counted mapping behind it |
//! | [`Receipt`] | what a transaction did: operations, ids, dirty pages that no slot has any more |
//! | [`Reader`], [`View`] | guest addresses to memory, for device models, without waiting |
//! | [`Vcpu`], [`GuestExit`], [`Kicker`] | a vCPU inside the table's gate, why its guest left, and what makes it leave |
//! | [`Hook`] | keeps vhost, VFIO or an IOMMU in step, and may veto |
//! | [`Simulator`] | a VM without KVM: faults by errno, dirty pages |
//! | `Published` | with the feature `vm-memory`: each committed array as a `GuestMemoryAtomic<GuestMemoryMmap<SlotMemory>>` |
//!
//! # Memory is never released under its user
//!
//! A [`Slot`] holds a [`Memory`], and a table holds the slots of each array that the VM has or that a
//! reader is in. So [`Table::submit`] is a safe function: what was removed is unmapped when the last
//! user has left, not before. When the last reference to a table is dropped, it removes its slots from
//! the VM first. Memory that something else maps comes in by [`Memory::from_owner`], which is unsafe,
//! or by `Memory::from_region` from `vm-memory`.
//!
//! # Threads
//!
//! Any thread may use any object: all are `Send` and `Sync`, but for a [`Hook`] that is not added yet,
//! which is `Send`. A [`View`] and its spans are for the thread that entered, and are neither.
//! [`Vcpu::run`] and [`Reader::enter`] take `&mut self`, because
//! one thread at a time may be inside. From inside a callback, a call that would deadlock returns
//! [`Error::Reentrant`].
//!
//! A panic never crosses the C library. In a hook's `prepare` it becomes a veto; elsewhere it goes on
//! in the function that caused the call. Only [`TableEvent::Retired`] may come on a thread of the table,
//! in which no function of the program waits: a panic there is printed and dropped.
//!
//! A hook may submit to another table. If hooks of two tables submit to each other's table, two threads
//! can wait for each other for ever: submit to tables in one order. The wait for another submit of the
//! same table does not count into `quiesce_deadline`.
//!
//! # Building
//!
//! The crate links to `libmemslots.so`. With the Debian package `libmemslots-dev` nothing is to be set.
//! Otherwise `Sources/Packaging/install-libmemslots /opt/memslots` of the Memslots repository installs
//! it: set `PKG_CONFIG_PATH=/opt/memslots/lib/pkgconfig` to build, or `MEMSLOTS_LIB_DIR=/opt/memslots/lib`
//! without pkg-config, and `LD_LIBRARY_PATH=/opt/memslots/lib` to run, unless `ldconfig` knows the
//! folder. The oldest Rust is 1.63.

#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

mod callback;
mod dirty;
mod error;
mod exit;
mod hook;
mod memory;
mod observer;
mod options;
mod owners;
mod reader;
mod receipt;
mod simulator;
mod slot;
mod table;
mod vcpu;
#[cfg(feature = "vm-memory")]
mod vm_memory;

#[cfg(feature = "vm-memory")]
pub use crate::vm_memory::{Published, SlotMemory};
pub use dirty::DirtyLog;
pub use error::{Error, Result, Violation};
pub use exit::GuestExit;
pub use hook::{Change, ChangeKind, Hook, HookHandle};
pub use memory::Memory;
pub use observer::{Observation, TableEvent};
pub use options::{Capabilities, DirtyLogMode, KvmOptions, SimulatorOptions, SubmitOptions};
pub use reader::{GuestRange, Reader, Span, View};
pub use receipt::{Call, DirtyRun, Operation, Outcome, Receipt};
pub use simulator::Simulator;
pub use slot::{Flags, GuestAddress, Region, Slot};
pub use table::{Array, Table, Translation};
pub use vcpu::{Exit, Kicker, Turn, Vcpu, VcpuOptions};

/// The C interface, for what this crate does not wrap: [`Table::as_raw`].
pub use memslots_sys as sys;
