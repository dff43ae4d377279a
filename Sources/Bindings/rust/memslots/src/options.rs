use crate::{Flags, GuestRange, Slot};
use std::time::Duration;

/// A simulated VM, for tests. It has KVM's rules, order of checks and errno.
///
/// [`Table::simulated`](crate::Table::simulated) returns [`Error::BadArgument`](crate::Error::BadArgument)
/// for a number that is out of its range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimulatorOptions {
    /// The number of slots, 1 to 1,048,576; 32,764 by default.
    pub max_slots: Option<u32>,
    /// The number of address spaces, 1 to 65,536; 1 by default.
    pub address_spaces: Option<u32>,
    /// The width of guest addresses, 12 to 64; 52 by default.
    pub guest_physical_bits: Option<u32>,
    /// Flags that slots may have, at least one; [`Flags::LOG_DIRTY_PAGES`] and [`Flags::READ_ONLY`] by default.
    pub flags: Option<Flags>,
}

/// How a VM keeps its dirty log. KVM has no call that returns this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DirtyLogMode {
    /// Reading clears: the default of every VM.
    #[default]
    ClearedByReading,
    /// `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` with 1.
    Manual,
    /// `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` with 3.
    ManualInitiallySet,
    /// `KVM_CAP_DIRTY_LOG_RING`.
    Ring {
        /// The size of a ring in bytes, with which the capability was enabled. Another size, and a VM
        /// without rings, are refused when the table is opened or a vCPU is registered.
        bytes: u32,
    },
}

/// A VM that the caller created.
#[derive(Clone, Debug, Default)]
pub struct KvmOptions {
    /// The slots that the VM already has, with their ids. They are checked against the kernel.
    pub installed: Vec<Slot>,
    /// The dirty log that the caller has already enabled. A manual one is enabled again.
    pub dirty_log: DirtyLogMode,
    /// A deletion drops only its own mappings (disables `KVM_X86_QUIRK_SLOT_ZAP_ALL`), if the kernel
    /// supports it. It stays disabled for the life of the VM.
    pub keeps_other_mappings: bool,
    /// The ranges that the VM already has private. No call of KVM's returns them: what is missing here
    /// stays private until a submit names it.
    pub private_ranges: Vec<GuestRange>,
}

/// Options of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubmitOptions {
    /// Commit only if this is the current generation.
    pub expected_generation: Option<u64>,
    /// Hold vCPUs out for every change; otherwise only if the plan needs it.
    pub always_quiesce: bool,
    /// How long to wait for vCPUs and readers to leave, in whole milliseconds; a second by default.
    pub quiesce_deadline: Option<Duration>,
    /// Hold vCPUs out only so that none ever misses a page that both arrays map, and no dirty bit is
    /// lost; other pages come and go in any order. Not with `always_quiesce`.
    pub continuity: bool,
    /// Make exactly these guest ranges private, and all other memory shared, at the same instant;
    /// `None` changes nothing. Only with [`Capabilities::memory_attributes`].
    pub private_ranges: Option<Vec<GuestRange>>,
}

/// The limits that arrays are validated against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The number of slots.
    pub max_slots: u32,
    /// The number of address spaces.
    pub address_spaces: u32,
    /// The largest guest page number.
    pub max_guest_page: u64,
    /// The largest size of a slot, in pages.
    pub max_pages_per_slot: u64,
    /// Flags that slots may have.
    pub flags: Flags,
    /// Whether guest ranges can be private.
    pub memory_attributes: bool,
}
