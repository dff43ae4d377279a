//! Splits guest memory on the simulator, from Rust, with the `extern "C"` block that it needs.
//!
//!     rustc -L LIBDIR split.rs && LD_LIBRARY_PATH=LIBDIR ./split
//!
//! `memslots.h` documents each function. A crate would generate the block with bindgen.

use std::ffi::{c_char, c_void, CStr};
use std::ptr::{null, null_mut};

#[repr(C)]
#[derive(Clone, Copy)]
struct Table {
    value: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Slot {
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

#[repr(C)]
struct Span {
    guest_physical_address: u64,
    size: u64,
    address: *mut c_void,
    slot: u32,
    flags: u32,
}

const ANY_SLOT: u32 = u32::MAX;

#[link(name = "memslots")]
extern "C" {
    fn memslots_abi_1() -> u32;
    fn memslots_open_simulator(options: *const c_void, table: *mut Table) -> i32;
    fn memslots_submit(
        table: Table, slots: *const Slot, count: usize, options: *const c_void,
        receipt: *mut c_void,
    ) -> i32;
    fn memslots_translate(table: Table, address_space: u32, address: u64, span: *mut Span) -> i32;
    fn memslots_close(table: Table) -> i32;
    fn memslots_error_message() -> *const c_char;
}

/// Returns the message of the last error as an `Err` if `code` is an error.
fn check(code: i32) -> Result<(), String> {
    if code >= 0 {
        return Ok(());
    }
    let message = unsafe { CStr::from_ptr(memslots_error_message()) };
    Err(message.to_string_lossy().into_owned())
}

fn main() -> Result<(), String> {
    let memory = vec![0u8; 5 * 4096];
    let base = (memory.as_ptr() as u64 + 4095) & !4095;
    let slot = |address: u64, pages: u64| Slot {
        slot: ANY_SLOT,
        guest_physical_address: address,
        size: pages * 4096,
        userspace_address: base + address,
        ..Slot::default()
    };
    unsafe {
        println!("interface {}", memslots_abi_1());
        let mut table = Table { value: 0 };
        check(memslots_open_simulator(null(), &mut table))?;
        check(memslots_submit(table, [slot(0, 4)].as_ptr(), 1, null(), null_mut()))?;

        // Both halves at once: the guest never runs without its memory.
        let halves = [slot(0, 2), slot(2 * 4096, 2)];
        check(memslots_submit(table, halves.as_ptr(), 2, null(), null_mut()))?;
        let mut span = std::mem::zeroed::<Span>();
        check(memslots_translate(table, 0, 2 * 4096 + 5, &mut span))?;
        println!("0x2005 is {} bytes into the memory", span.address as u64 - base);

        let refused = check(memslots_submit(table, [slot(1, 1)].as_ptr(), 1, null(), null_mut()));
        println!("refused: {}", refused.unwrap_err());
        check(memslots_close(table))
    }
}
