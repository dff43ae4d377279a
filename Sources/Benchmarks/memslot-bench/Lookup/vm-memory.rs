//! vm-memory's `get_host_address` behind two C functions.

use vm_memory::{
    GuestAddress, GuestMemory, GuestMemoryMmap, GuestRegionMmap, MmapRegion,
};

/// Makes a table of `count` ranges, sorted by start; null if vm-memory refuses them.
///
/// # Safety
/// Each pointer has `count` values. The memory at `hosts` is never touched.
#[no_mangle]
pub unsafe extern "C" fn vm_memory_make(
    starts: *const u64,
    sizes: *const u64,
    hosts: *const u64,
    count: usize,
) -> *mut GuestMemoryMmap {
    let regions: Option<Vec<_>> = (0..count)
        .map(|index| unsafe {
            let host = *hosts.add(index) as *mut u8;
            let size = *sizes.add(index) as usize;
            let region = MmapRegion::build_raw(host, size, 3, 1).ok()?;
            GuestRegionMmap::new(region, GuestAddress(*starts.add(index))).ok()
        })
        .collect();
    match regions.map(GuestMemoryMmap::from_regions) {
        Some(Ok(memory)) => Box::into_raw(Box::new(memory)),
        _ => std::ptr::null_mut(),
    }
}

/// Frees what `vm_memory_make` returned.
///
/// # Safety
/// Once for each table.
#[no_mangle]
pub unsafe extern "C" fn vm_memory_free(memory: *mut GuestMemoryMmap) {
    drop(unsafe { Box::from_raw(memory) });
}

/// Translates `count` addresses and returns the sum of the host addresses. With a mask each address
/// waits for the translation before it; the mask is 0.
///
/// # Safety
/// `memory` is a table, and `addresses` has `count` values.
#[no_mangle]
pub unsafe extern "C" fn vm_memory_translate(
    memory: *const GuestMemoryMmap,
    addresses: *const u64,
    count: usize,
    is_chained: bool,
    mask: u64,
) -> u64 {
    let (memory, addresses) =
        unsafe { (&*memory, std::slice::from_raw_parts(addresses, count)) };
    let translate = |address| match memory.get_host_address(GuestAddress(address)) {
        Ok(host) => host as u64,
        Err(_) => 0,
    };
    let mut sum = 0u64;
    if is_chained {
        for address in addresses {
            sum = sum.wrapping_add(translate(address.wrapping_add(sum & mask)));
        }
    } else {
        for address in addresses {
            sum = sum.wrapping_add(translate(*address));
        }
    }
    sum
}
