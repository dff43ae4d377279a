//! The C interface of libmemslots, declared for Rust.
//!
//! Every name is that of `memslots.h`, whose comments are the reference. Use the crate `memslots`
//! unless you need the C interface itself.
//!
//! The build script asks `pkg-config` for the library, or reads `MEMSLOTS_LIB_DIR`, the folder of
//! `libmemslots.so`. At run time the loader must find that folder too: by `ldconfig`, an rpath, or
//! `LD_LIBRARY_PATH`.

#![deny(missing_docs)]
#![allow(non_camel_case_types)]

use std::os::raw::{c_char, c_int, c_void};

/// `MEMSLOTS_OK` of `memslots.h`.
pub const MEMSLOTS_OK: i32 = 0;
/// `MEMSLOTS_INTERRUPTED` of `memslots.h`.
pub const MEMSLOTS_INTERRUPTED: i32 = 1;
/// `MEMSLOTS_NOT_READY` of `memslots.h`.
pub const MEMSLOTS_NOT_READY: i32 = 2;
/// `MEMSLOTS_INVALID_ARRAY` of `memslots.h`.
pub const MEMSLOTS_INVALID_ARRAY: i32 = -1;
/// `MEMSLOTS_CONFLICT` of `memslots.h`.
pub const MEMSLOTS_CONFLICT: i32 = -2;
/// `MEMSLOTS_REJECTED` of `memslots.h`.
pub const MEMSLOTS_REJECTED: i32 = -3;
/// `MEMSLOTS_QUIESCE_TIMEOUT` of `memslots.h`.
pub const MEMSLOTS_QUIESCE_TIMEOUT: i32 = -4;
/// `MEMSLOTS_ROLLED_BACK` of `memslots.h`.
pub const MEMSLOTS_ROLLED_BACK: i32 = -5;
/// `MEMSLOTS_FAILED` of `memslots.h`.
pub const MEMSLOTS_FAILED: i32 = -6;
/// `MEMSLOTS_REENTRANT` of `memslots.h`.
pub const MEMSLOTS_REENTRANT: i32 = -7;
/// `MEMSLOTS_BAD_HANDLE` of `memslots.h`.
pub const MEMSLOTS_BAD_HANDLE: i32 = -8;
/// `MEMSLOTS_BAD_ARGUMENT` of `memslots.h`.
pub const MEMSLOTS_BAD_ARGUMENT: i32 = -9;
/// `MEMSLOTS_NO_SUCH_SLOT` of `memslots.h`.
pub const MEMSLOTS_NO_SUCH_SLOT: i32 = -10;
/// `MEMSLOTS_NOT_MAPPED` of `memslots.h`.
pub const MEMSLOTS_NOT_MAPPED: i32 = -11;
/// `MEMSLOTS_TOO_SMALL` of `memslots.h`.
pub const MEMSLOTS_TOO_SMALL: i32 = -12;
/// `MEMSLOTS_SYSTEM` of `memslots.h`.
pub const MEMSLOTS_SYSTEM: i32 = -13;
/// `MEMSLOTS_NOT_SUPPORTED` of `memslots.h`.
pub const MEMSLOTS_NOT_SUPPORTED: i32 = -14;
/// `MEMSLOTS_NOT_INSIDE` of `memslots.h`.
pub const MEMSLOTS_NOT_INSIDE: i32 = -15;
/// `MEMSLOTS_TOO_MANY_HANDLES` of `memslots.h`.
pub const MEMSLOTS_TOO_MANY_HANDLES: i32 = -16;
/// `MEMSLOTS_READ_ONLY` of `memslots.h`.
pub const MEMSLOTS_READ_ONLY: i32 = -17;
/// `MEMSLOTS_BACK_END` of `memslots.h`.
pub const MEMSLOTS_BACK_END: i32 = -18;
/// `MEMSLOTS_LOG_DIRTY_PAGES` of `memslots.h`.
pub const MEMSLOTS_LOG_DIRTY_PAGES: u32 = 1 << 0;
/// `MEMSLOTS_READONLY` of `memslots.h`.
pub const MEMSLOTS_READONLY: u32 = 1 << 1;
/// `MEMSLOTS_GUEST_MEMFD` of `memslots.h`.
pub const MEMSLOTS_GUEST_MEMFD: u32 = 1 << 2;
/// `MEMSLOTS_DIRTY_LOG_CLEARED_BY_READING` of `memslots.h`.
pub const MEMSLOTS_DIRTY_LOG_CLEARED_BY_READING: u32 = 0;
/// `MEMSLOTS_DIRTY_LOG_MANUAL` of `memslots.h`.
pub const MEMSLOTS_DIRTY_LOG_MANUAL: u32 = 1;
/// `MEMSLOTS_DIRTY_LOG_MANUAL_INITIALLY_SET` of `memslots.h`.
pub const MEMSLOTS_DIRTY_LOG_MANUAL_INITIALLY_SET: u32 = 2;
/// `MEMSLOTS_DIRTY_LOG_RING` of `memslots.h`.
pub const MEMSLOTS_DIRTY_LOG_RING: u32 = 3;
/// `MEMSLOTS_COMMITTED` of `memslots.h`.
pub const MEMSLOTS_COMMITTED: u32 = 0;
/// `MEMSLOTS_UNCHANGED` of `memslots.h`.
pub const MEMSLOTS_UNCHANGED: u32 = 1;
/// `MEMSLOTS_CREATE` of `memslots.h`.
pub const MEMSLOTS_CREATE: u32 = 0;
/// `MEMSLOTS_DELETE` of `memslots.h`.
pub const MEMSLOTS_DELETE: u32 = 1;
/// `MEMSLOTS_MOVE` of `memslots.h`.
pub const MEMSLOTS_MOVE: u32 = 2;
/// `MEMSLOTS_REFLAG` of `memslots.h`.
pub const MEMSLOTS_REFLAG: u32 = 3;
/// `MEMSLOTS_KICK_TRANSACTION` of `memslots.h`.
pub const MEMSLOTS_KICK_TRANSACTION: u32 = 1 << 0;
/// `MEMSLOTS_KICK_EMBEDDER` of `memslots.h`.
pub const MEMSLOTS_KICK_EMBEDDER: u32 = 1 << 1;
/// `MEMSLOTS_ADDED` of `memslots.h`.
pub const MEMSLOTS_ADDED: u32 = 0;
/// `MEMSLOTS_REMOVED` of `memslots.h`.
pub const MEMSLOTS_REMOVED: u32 = 1;
/// `MEMSLOTS_MOVED` of `memslots.h`.
pub const MEMSLOTS_MOVED: u32 = 2;
/// `MEMSLOTS_REFLAGGED` of `memslots.h`.
pub const MEMSLOTS_REFLAGGED: u32 = 3;
/// `MEMSLOTS_EVENT_COMMITTED` of `memslots.h`.
pub const MEMSLOTS_EVENT_COMMITTED: u32 = 0;
/// `MEMSLOTS_EVENT_ROLLED_BACK` of `memslots.h`.
pub const MEMSLOTS_EVENT_ROLLED_BACK: u32 = 1;
/// `MEMSLOTS_EVENT_FAILED` of `memslots.h`.
pub const MEMSLOTS_EVENT_FAILED: u32 = 2;
/// `MEMSLOTS_EVENT_RECOVERED` of `memslots.h`.
pub const MEMSLOTS_EVENT_RECOVERED: u32 = 3;
/// `MEMSLOTS_EVENT_RETIRED` of `memslots.h`.
pub const MEMSLOTS_EVENT_RETIRED: u32 = 4;
/// `MEMSLOTS_BACK_END_DETACHED` of `memslots.h`.
pub const MEMSLOTS_BACK_END_DETACHED: u32 = 0;
/// `MEMSLOTS_BACK_END_ATTACHED` of `memslots.h`.
pub const MEMSLOTS_BACK_END_ATTACHED: u32 = 1;
/// `MEMSLOTS_BACK_END_LOST` of `memslots.h`.
pub const MEMSLOTS_BACK_END_LOST: u32 = 2;
/// `MEMSLOTS_BACK_END_NEEDS_RESET` of `memslots.h`.
pub const MEMSLOTS_BACK_END_NEEDS_RESET: u32 = 3;
/// `MEMSLOTS_ABI` of `memslots.h`.
pub const MEMSLOTS_ABI: u32 = 1;
/// `MEMSLOTS_ANY_SLOT` of `memslots.h`.
pub const MEMSLOTS_ANY_SLOT: u32 = u32::MAX;

/// Declares a structure with its members in the header's order, and its all-zero value.
macro_rules! structure {
    ($name:ident { $($member:ident: $kind:ty,)* }) => {
        #[doc = concat!("`", stringify!($name), "` of `memslots.h`.")]
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            $(
                #[doc = concat!("`", stringify!($member), "`")]
                pub $member: $kind,
            )*
        }

        impl Default for $name {
            /// All members are zero, and `struct_size` too: see [`sized`].
            fn default() -> Self {
                // SAFETY: integers, arrays of integers, `bool`, raw pointers and optional function
                // pointers all have the all-zero value.
                unsafe { core::mem::zeroed() }
            }
        }

        #[cfg(test)]
        impl $name {
            /// The name and size of the structure, then the name and offset of each member.
            fn layout() -> Vec<(&'static str, usize)> {
                let value = Self::default();
                let start = &value as *const Self as usize;
                vec![
                    (stringify!($name), core::mem::size_of::<Self>()),
                    $((stringify!($member), &value.$member as *const _ as usize - start),)*
                ]
            }
        }
    };
}

structure! {
    memslots_violation {
        index: i64,
        other_index: i64,
        slot: u32,
        address_space: u32,
        kernel_errno: i32,
        reserved: u32,
        kind: [c_char; 32],
        path: [c_char; 64],
        message: [c_char; 256],
    }
}

structure! {
    memslots_slot {
        slot: u32,
        address_space: u32,
        guest_physical_address: u64,
        size: u64,
        userspace_address: u64,
        flags: u32,
        memory_object: u32,
        memory_offset: u64,
        guest_memfd_offset: u64,
        guest_memfd: i32,
        reserved: u32,
    }
}

structure! {
    memslots_table {
        value: u64,
    }
}

structure! {
    memslots_simulator_options {
        struct_size: usize,
        max_slots: u32,
        address_spaces: u32,
        guest_physical_bits: u32,
        flags: u32,
    }
}

structure! {
    memslots_kvm_options {
        struct_size: usize,
        installed: *const memslots_slot,
        installed_count: usize,
        dirty_log: u32,
        dirty_ring_bytes: u32,
        keeps_other_mappings: bool,
        private_range_count: usize,
        private_ranges: *const memslots_range,
    }
}

structure! {
    memslots_capabilities {
        struct_size: usize,
        max_slots: u32,
        address_spaces: u32,
        max_guest_page: u64,
        max_pages_per_slot: u64,
        flags: u32,
        memory_attributes: bool,
    }
}

structure! {
    memslots_submit_options {
        struct_size: usize,
        expected_generation: u64,
        has_expected_generation: bool,
        always_quiesce: bool,
        quiesce_deadline_milliseconds: u32,
        continuity: bool,
        sets_private_ranges: bool,
        private_range_count: usize,
        private_ranges: *const memslots_range,
    }
}

structure! {
    memslots_receipt {
        struct_size: usize,
        generation: u64,
        outcome: u32,
        added: u32,
        removed: u32,
        moved: u32,
        reflagged: u32,
        operations: u32,
        unmapped_dirty_runs: u32,
        warnings: u32,
        readers: u32,
        quiesced: bool,
        retired: bool,
        is_optimal: bool,
        blackout_nanoseconds: u64,
        total_nanoseconds: u64,
        details: u64,
    }
}

structure! {
    memslots_operation {
        call: u32,
        reserved: u32,
        before: memslots_slot,
        after: memslots_slot,
    }
}

structure! {
    memslots_dirty_run {
        slot: memslots_slot,
        first_page: u64,
        page_count: u64,
    }
}

structure! {
    memslots_span {
        guest_physical_address: u64,
        size: u64,
        address: *mut c_void,
        slot: u32,
        flags: u32,
    }
}

structure! {
    memslots_range {
        guest_physical_address: u64,
        size: u64,
    }
}

structure! {
    memslots_reader {
        value: u64,
    }
}

structure! {
    memslots_view {
        reader: u64,
        ticket: u64,
        generation: u64,
        array: *const c_void,
    }
}

structure! {
    memslots_vcpu {
        value: u64,
    }
}

structure! {
    memslots_vcpu_options {
        struct_size: usize,
        descriptor: c_int,
        id: u32,
        kvm_run: *mut c_void,
        name: *const c_char,
        kick_signal: i32,
    }
}

structure! {
    memslots_change {
        kind: u32,
        reserved: u32,
        before: memslots_slot,
        after: memslots_slot,
    }
}

structure! {
    memslots_hook_functions {
        struct_size: usize,
        context: *mut c_void,
        name: *const c_char,
        needs_quiescence: bool,
        prepare: Option<unsafe extern "C" fn(context: *mut c_void, change: *const memslots_change, reason: *mut c_char, reason_capacity: usize) -> i32>,
        commit: Option<unsafe extern "C" fn(context: *mut c_void, change: *const memslots_change)>,
        finish: Option<unsafe extern "C" fn(context: *mut c_void, change: *const memslots_change)>,
        abort: Option<unsafe extern "C" fn(context: *mut c_void, change: *const memslots_change)>,
        release: Option<unsafe extern "C" fn(context: *mut c_void)>,
    }
}

structure! {
    memslots_hook {
        value: u64,
    }
}

structure! {
    memslots_back_end {
        value: u64,
    }
}

structure! {
    memslots_back_end_offer {
        struct_size: usize,
        features: u64,
        ring_count: u32,
        region_limit: u32,
    }
}

structure! {
    memslots_back_end_options {
        struct_size: usize,
        context: *mut c_void,
        name: *const c_char,
        descriptor: Option<unsafe extern "C" fn(context: *mut c_void, memory_object: u32) -> c_int>,
        is_visible: Option<unsafe extern "C" fn(context: *mut c_void, slot: *const memslots_slot) -> bool>,
        state_changed: Option<unsafe extern "C" fn(context: *mut c_void, state: u32, reason: *const c_char)>,
        release: Option<unsafe extern "C" fn(context: *mut c_void)>,
        features: u64,
        deadline_milliseconds: u32,
        patience_milliseconds: u32,
        waits_for_requests: bool,
    }
}

structure! {
    memslots_ring {
        struct_size: usize,
        index: u32,
        entries: u32,
        descriptors: u64,
        available: u64,
        used: u64,
        kick: c_int,
        call: c_int,
        base: u32,
        buffer_count: u32,
        buffers: *const memslots_range,
    }
}

structure! {
    memslots_back_end_status {
        struct_size: usize,
        state: u32,
        regions: u32,
        ring_stops: u64,
        messages: u64,
    }
}

structure! {
    memslots_event {
        kind: u32,
        kernel_errno: i32,
        generation: u64,
        previous_generation: u64,
    }
}

structure! {
    memslots_observation {
        value: u64,
    }
}

/// A structure that begins with `struct_size`.
///
/// # Safety
///
/// The first member is `struct_size: usize`, and the structure is `repr(C)`.
pub unsafe trait HasStructSize: Default {}

// SAFETY: so the structure is declared above.
unsafe impl HasStructSize for memslots_simulator_options {}
// SAFETY: so the structure is declared above.
unsafe impl HasStructSize for memslots_kvm_options {}
// SAFETY: so the structure is declared above.
unsafe impl HasStructSize for memslots_capabilities {}
// SAFETY: so the structure is declared above.
unsafe impl HasStructSize for memslots_submit_options {}
// SAFETY: so the structure is declared above.
unsafe impl HasStructSize for memslots_receipt {}
// SAFETY: so the structure is declared above.
unsafe impl HasStructSize for memslots_vcpu_options {}
// SAFETY: so the structure is declared above.
unsafe impl HasStructSize for memslots_hook_functions {}
// SAFETY: so the structure is declared above.
unsafe impl HasStructSize for memslots_back_end_offer {}
// SAFETY: so the structure is declared above.
unsafe impl HasStructSize for memslots_back_end_options {}
// SAFETY: so the structure is declared above.
unsafe impl HasStructSize for memslots_ring {}
// SAFETY: so the structure is declared above.
unsafe impl HasStructSize for memslots_back_end_status {}

/// A structure with its size set and everything else zero, as `MEMSLOTS_INIT` makes it.
pub fn sized<T: HasStructSize>() -> T {
    let mut value = T::default();
    // SAFETY: the trait's promise: a `usize` is at the beginning.
    unsafe { *(&mut value as *mut T).cast::<usize>() = core::mem::size_of::<T>() };
    value
}

extern "C" {
    /// `memslots_abi_1` of `memslots.h`.
    pub fn memslots_abi_1() -> u32;
    /// `memslots_code_name` of `memslots.h`.
    pub fn memslots_code_name(code: i32) -> *const c_char;
    /// `memslots_error_message` of `memslots.h`.
    pub fn memslots_error_message() -> *const c_char;
    /// `memslots_error_errno` of `memslots.h`.
    pub fn memslots_error_errno() -> i32;
    /// `memslots_error_violations` of `memslots.h`.
    pub fn memslots_error_violations(
        list: *mut memslots_violation,
        capacity: usize,
        count: *mut usize,
    ) -> i32;
    /// `memslots_open_simulator` of `memslots.h`.
    pub fn memslots_open_simulator(
        options: *const memslots_simulator_options,
        table: *mut memslots_table,
    ) -> i32;
    /// `memslots_open_kvm` of `memslots.h`.
    pub fn memslots_open_kvm(
        vm_descriptor: c_int,
        options: *const memslots_kvm_options,
        table: *mut memslots_table,
    ) -> i32;
    /// `memslots_close` of `memslots.h`.
    pub fn memslots_close(table: memslots_table) -> i32;
    /// `memslots_get_capabilities` of `memslots.h`.
    pub fn memslots_get_capabilities(
        table: memslots_table,
        capabilities: *mut memslots_capabilities,
    ) -> i32;
    /// `memslots_submit` of `memslots.h`.
    pub fn memslots_submit(
        table: memslots_table,
        slots: *const memslots_slot,
        count: usize,
        options: *const memslots_submit_options,
        receipt: *mut memslots_receipt,
    ) -> i32;
    /// `memslots_plan` of `memslots.h`.
    pub fn memslots_plan(
        table: memslots_table,
        slots: *const memslots_slot,
        count: usize,
        options: *const memslots_submit_options,
        receipt: *mut memslots_receipt,
    ) -> i32;
    /// `memslots_receipt_operations` of `memslots.h`.
    pub fn memslots_receipt_operations(
        receipt: *const memslots_receipt,
        list: *mut memslots_operation,
        capacity: usize,
        count: *mut usize,
    ) -> i32;
    /// `memslots_receipt_slots` of `memslots.h`.
    pub fn memslots_receipt_slots(
        receipt: *const memslots_receipt,
        list: *mut memslots_slot,
        capacity: usize,
        count: *mut usize,
    ) -> i32;
    /// `memslots_receipt_dirty_runs` of `memslots.h`.
    pub fn memslots_receipt_dirty_runs(
        receipt: *const memslots_receipt,
        list: *mut memslots_dirty_run,
        capacity: usize,
        count: *mut usize,
    ) -> i32;
    /// `memslots_receipt_warning` of `memslots.h`.
    pub fn memslots_receipt_warning(
        receipt: *const memslots_receipt,
        index: usize,
    ) -> *const c_char;
    /// `memslots_receipt_reader` of `memslots.h`.
    pub fn memslots_receipt_reader(receipt: *const memslots_receipt, index: usize)
        -> *const c_char;
    /// `memslots_receipt_hold_reason` of `memslots.h`.
    pub fn memslots_receipt_hold_reason(receipt: *const memslots_receipt) -> *const c_char;
    /// `memslots_receipt_release` of `memslots.h`.
    pub fn memslots_receipt_release(receipt: *mut memslots_receipt);
    /// `memslots_get` of `memslots.h`.
    pub fn memslots_get(
        table: memslots_table,
        list: *mut memslots_slot,
        capacity: usize,
        count: *mut usize,
        generation: *mut u64,
    ) -> i32;
    /// `memslots_get_private_ranges` of `memslots.h`.
    pub fn memslots_get_private_ranges(
        table: memslots_table,
        list: *mut memslots_range,
        capacity: usize,
        count: *mut usize,
        generation: *mut u64,
    ) -> i32;
    /// `memslots_failure` of `memslots.h`.
    pub fn memslots_failure(
        table: memslots_table,
        list: *mut memslots_slot,
        capacity: usize,
        count: *mut usize,
    ) -> i32;
    /// `memslots_recover` of `memslots.h`.
    pub fn memslots_recover(table: memslots_table) -> i32;
    /// `memslots_release_vcpus` of `memslots.h`.
    pub fn memslots_release_vcpus(table: memslots_table) -> i32;
    /// `memslots_dirty_log` of `memslots.h`.
    pub fn memslots_dirty_log(
        table: memslots_table,
        address_space: u32,
        slot: u32,
        first_page: u64,
        page_count: u64,
        clear: bool,
        bitmap: *mut u64,
        words: usize,
        dirty_pages: *mut u64,
    ) -> i32;
    /// `memslots_translate` of `memslots.h`.
    pub fn memslots_translate(
        table: memslots_table,
        address_space: u32,
        guest_physical_address: u64,
        span: *mut memslots_span,
    ) -> i32;
    /// `memslots_reader_open` of `memslots.h`.
    pub fn memslots_reader_open(
        table: memslots_table,
        name: *const c_char,
        reader: *mut memslots_reader,
    ) -> i32;
    /// `memslots_reader_close` of `memslots.h`.
    pub fn memslots_reader_close(reader: memslots_reader) -> i32;
    /// `memslots_reader_enter` of `memslots.h`.
    pub fn memslots_reader_enter(reader: memslots_reader, view: *mut memslots_view) -> i32;
    /// `memslots_reader_leave` of `memslots.h`.
    pub fn memslots_reader_leave(view: *mut memslots_view) -> i32;
    /// `memslots_view_translate` of `memslots.h`.
    pub fn memslots_view_translate(
        view: *const memslots_view,
        address_space: u32,
        guest_physical_address: u64,
        size: u64,
        list: *mut memslots_span,
        capacity: usize,
        count: *mut usize,
    ) -> i32;
    /// `memslots_view_translate_bulk` of `memslots.h`.
    pub fn memslots_view_translate_bulk(
        view: *const memslots_view,
        address_space: u32,
        ranges: *const memslots_range,
        range_count: usize,
        list: *mut memslots_span,
        capacity: usize,
        count: *mut usize,
    ) -> i32;
    /// `memslots_vcpu_open` of `memslots.h`.
    pub fn memslots_vcpu_open(
        table: memslots_table,
        options: *const memslots_vcpu_options,
        vcpu: *mut memslots_vcpu,
    ) -> i32;
    /// `memslots_vcpu_close` of `memslots.h`.
    pub fn memslots_vcpu_close(vcpu: memslots_vcpu) -> i32;
    /// `memslots_accept_kicks` of `memslots.h`.
    pub fn memslots_accept_kicks(kick_signal: i32) -> i32;
    /// `memslots_vcpu_run` of `memslots.h`.
    pub fn memslots_vcpu_run(vcpu: memslots_vcpu, requests: *mut u32) -> i32;
    /// `memslots_vcpu_kick` of `memslots.h`.
    pub fn memslots_vcpu_kick(vcpu: memslots_vcpu) -> i32;
    /// `memslots_vcpu_drain_dirty_ring` of `memslots.h`.
    pub fn memslots_vcpu_drain_dirty_ring(vcpu: memslots_vcpu) -> i32;
    /// `memslots_guarded` of `memslots.h`.
    pub fn memslots_guarded(
        table: memslots_table,
        name: *const c_char,
        body: Option<unsafe extern "C" fn(context: *mut c_void)>,
        kick: Option<unsafe extern "C" fn(context: *mut c_void)>,
        context: *mut c_void,
    ) -> i32;
    /// `memslots_hook_add` of `memslots.h`.
    pub fn memslots_hook_add(
        table: memslots_table,
        functions: *const memslots_hook_functions,
        hook: *mut memslots_hook,
    ) -> i32;
    /// `memslots_hook_remove` of `memslots.h`.
    pub fn memslots_hook_remove(hook: memslots_hook) -> i32;
    /// `memslots_observe` of `memslots.h`.
    pub fn memslots_observe(
        table: memslots_table,
        observer: Option<unsafe extern "C" fn(context: *mut c_void, event: *const memslots_event)>,
        release: Option<unsafe extern "C" fn(context: *mut c_void)>,
        context: *mut c_void,
        generation: *mut u64,
        observation: *mut memslots_observation,
    ) -> i32;
    /// `memslots_observation_end` of `memslots.h`.
    pub fn memslots_observation_end(observation: memslots_observation) -> i32;
    /// `memslots_back_end_open` of `memslots.h`.
    pub fn memslots_back_end_open(
        path: *const c_char,
        socket: c_int,
        deadline_milliseconds: u32,
        back_end: *mut memslots_back_end,
        offer: *mut memslots_back_end_offer,
    ) -> i32;
    /// `memslots_back_end_configuration` of `memslots.h`.
    pub fn memslots_back_end_configuration(
        back_end: memslots_back_end,
        offset: u32,
        bytes: *mut c_void,
        count: usize,
    ) -> i32;
    /// `memslots_back_end_attach` of `memslots.h`.
    pub fn memslots_back_end_attach(
        back_end: memslots_back_end,
        table: memslots_table,
        options: *const memslots_back_end_options,
    ) -> i32;
    /// `memslots_back_end_start` of `memslots.h`.
    pub fn memslots_back_end_start(back_end: memslots_back_end, ring: *const memslots_ring) -> i32;
    /// `memslots_back_end_stop` of `memslots.h`.
    pub fn memslots_back_end_stop(back_end: memslots_back_end, ring: u32, base: *mut u32) -> i32;
    /// `memslots_back_end_reconnect` of `memslots.h`.
    pub fn memslots_back_end_reconnect(
        back_end: memslots_back_end,
        fresh: memslots_back_end,
    ) -> i32;
    /// `memslots_back_end_get_status` of `memslots.h`.
    pub fn memslots_back_end_get_status(
        back_end: memslots_back_end,
        status: *mut memslots_back_end_status,
    ) -> i32;
    /// `memslots_back_end_close` of `memslots.h`.
    pub fn memslots_back_end_close(back_end: memslots_back_end) -> i32;
    /// `memslots_simulator_touch` of `memslots.h`.
    pub fn memslots_simulator_touch(
        table: memslots_table,
        address_space: u32,
        guest_physical_address: u64,
        size: u64,
    ) -> i32;
    /// `memslots_simulator_fail` of `memslots.h`.
    pub fn memslots_simulator_fail(
        table: memslots_table,
        operation: u32,
        kernel_errno: i32,
        times: u32,
    ) -> i32;
    /// `memslots_simulator_clear_faults` of `memslots.h`.
    pub fn memslots_simulator_clear_faults(table: memslots_table) -> i32;
    /// `memslots_simulator_installed` of `memslots.h`.
    pub fn memslots_simulator_installed(
        table: memslots_table,
        list: *mut memslots_slot,
        capacity: usize,
        count: *mut usize,
    ) -> i32;
}

/// Makes every program refer to the symbol of this version, so that the linker and the loader refuse
/// a library of another.
#[used]
static ABI_OF_THIS_PROGRAM: unsafe extern "C" fn() -> u32 = memslots_abi_1;

#[cfg(test)]
mod tests;
