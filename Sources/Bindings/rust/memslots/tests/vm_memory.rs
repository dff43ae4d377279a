//! The published map of `vm-memory`.

#![cfg(feature = "vm-memory")]

use memslots::{
    GuestAddress as At, Hook, Memory, Published, Result, SimulatorOptions, Slot, Table,
};
use std::sync::Arc;
use vm_memory::{
    Bytes, GuestAddress, GuestAddressSpace, GuestMemoryMmap, GuestRegionMmap, MmapRegion,
};

fn table() -> Table {
    Table::simulated(&SimulatorOptions::default()).expect("a simulated table")
}

fn slot(address: u64, pages: usize) -> Slot {
    Slot::new(At(address), &Memory::anonymous(pages * 4096).expect("memory"))
}

#[test]
fn each_committed_array_is_published() -> Result<()> {
    let table = table();
    let whole = table.submit(&[slot(0, 8)])?.slots;
    let published = Published::new(&table)?;
    let memory = published.memory();
    memory.memory().write_obj(0x1122_3344_u32, GuestAddress(4 * 4096 - 2)).expect("mapped");

    let (low, high) = whole[0].split_at(At(4 * 4096))?;
    let other = slot(0x10_0000, 1).in_address_space(0);
    table.submit(&[other, high, low])?;
    let map = memory.memory();
    assert_eq!(map.read_obj::<u32>(GuestAddress(4 * 4096 - 2)).expect("mapped"), 0x1122_3344);
    assert!(map.write_obj(1u8, GuestAddress(0x10_0fff)).is_ok());
    assert!(map.write_obj(1u8, GuestAddress(0x10_1000)).is_err());

    table.submit(&[])?;
    assert!(memory.memory().read_obj::<u8>(GuestAddress(0)).is_err());
    drop(published);
    table.submit(&[slot(0, 1)])?;
    assert!(memory.memory().read_obj::<u8>(GuestAddress(0)).is_err());
    Ok(())
}

#[test]
fn an_old_map_keeps_its_memory() -> Result<()> {
    let table = table();
    let published = Published::new(&table)?;
    table.submit(&[slot(0, 1)])?;
    let old = published.memory().memory();
    table.submit(&[])?;
    // Only the old map has the memory: it would be unmapped.
    old.write_obj(5u64, GuestAddress(8)).expect("mapped");
    Ok(())
}

#[test]
fn an_array_that_is_not_committed_is_not_published() -> Result<()> {
    let table = table();
    let published = Published::new(&table)?;
    let is_mapped = || published.memory().memory().read_obj::<u8>(GuestAddress(0)).is_ok();
    table.simulator().expect("simulated").fail(0, libc::ENOMEM, 1)?;
    table.submit(&[slot(0, 1)]).unwrap_err();
    assert!(!is_mapped());
    let veto = table.add_hook(Hook::new("veto").prepare(|_| Err("no")))?;
    table.submit(&[slot(0, 1)]).unwrap_err();
    drop(veto);
    assert!(!is_mapped());
    table.submit(&[slot(0, 2)])?;
    assert!(is_mapped());
    Ok(())
}

#[test]
fn the_map_is_published_before_the_guest_runs_again() -> Result<()> {
    let table = table();
    let published = Published::new(&table)?;
    let memory = published.memory();
    let seen = Arc::new(std::sync::Mutex::new(false));
    let found = seen.clone();
    let _hook = table.add_hook(Hook::new("after").finish(move |_| {
        *found.lock().expect("a flag") = memory.memory().read_obj::<u8>(GuestAddress(0)).is_ok();
    }))?;
    table.submit(&[slot(0, 1)])?;
    assert!(*seen.lock().expect("a flag"));
    Ok(())
}

#[test]
fn a_region_of_vm_memory_becomes_a_slot() -> Result<()> {
    let region = MmapRegion::<()>::new(2 * 4096).expect("a mapping");
    let region = GuestRegionMmap::new(region, GuestAddress(0x1000));
    // vm-memory 0.17 returns an option where older versions return a result.
    let region = Arc::new(region.into_iter().next().expect("a region"));
    let theirs = GuestMemoryMmap::from_arc_regions(vec![region.clone()]).expect("one region");
    let table = table();
    table.submit(&[Slot::new(At(0x1000), &Memory::from_region(region)?)])?;
    table.reader("device")?.enter()?.write(At(0x1ffe), b"both")?;
    let mut bytes = [0; 4];
    theirs.read_slice(&mut bytes, GuestAddress(0x1ffe)).expect("mapped");
    assert_eq!(&bytes, b"both");
    Ok(())
}

#[test]
fn memory_that_is_neither_published_nor_in_a_slot_is_unmapped() -> Result<()> {
    let table = table();
    let _published = Published::new(&table)?;
    let address = table.submit(&[slot(0, 1)])?.slots[0].memory().as_ptr();
    table.submit(&[])?;
    let mut residency = 0u8;
    // SAFETY: the call reads nothing from the address.
    assert_ne!(unsafe { libc::mincore(address.cast(), 4096, &mut residency) }, 0);
    Ok(())
}

#[test]
fn a_published_region_has_its_file() -> Result<()> {
    use std::os::unix::io::FromRawFd;
    use vm_memory::{FileOffset, GuestMemory, GuestMemoryRegion};

    // SAFETY: the name ends in a zero byte, and the kernel has just created the descriptor.
    let file =
        unsafe { std::fs::File::from_raw_fd(libc::memfd_create("ram\0".as_ptr().cast(), 0)) };
    file.set_len(8 * 4096).expect("a length");
    let table = table();
    let published = Published::new(&table)?;
    let shared = Slot::new(At(0), &Memory::shared(&file, 4096, 4 * 4096)?);
    let (low, high) = shared.split_at(At(3 * 4096))?;

    let file = Arc::new(file);
    let offset = FileOffset::from_arc(file.clone(), 5 * 4096);
    let mapping: MmapRegion<()> = MmapRegion::from_file(offset, 4096).expect("a mapping");
    let region: Arc<GuestRegionMmap<()>> =
        Arc::new(GuestRegionMmap::new(mapping, GuestAddress(0)).expect("a region"));
    let other = Slot::new(At(0x10_0000), &Memory::from_region(region)?);
    table.submit(&[low, high, other, slot(0x20_0000, 1)])?;

    let map = published.memory().memory();
    for (address, place) in [(0, 1), (3 * 4096, 4), (0x10_0000, 5)] {
        let region = map.find_region(GuestAddress(address)).expect("a region");
        assert_eq!(region.file_offset().expect("a file").start(), place * 4096, "{address:#x}");
    }
    let region = map.find_region(GuestAddress(0x10_0000)).expect("a region");
    assert!(Arc::ptr_eq(region.file_offset().expect("a file").arc(), &file));
    assert!(map.find_region(GuestAddress(0x20_0000)).expect("a region").file_offset().is_none());
    Ok(())
}
