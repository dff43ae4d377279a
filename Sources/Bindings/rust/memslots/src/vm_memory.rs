use crate::table::submitting;
use crate::{GuestAddress, Hook, HookHandle, Memory, Result, Slot, Table};
use std::sync::{Arc, Mutex, PoisonError};
use vm_memory::bitmap::{Bitmap, WithBitmapSlice};
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{
    FileOffset, GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap, GuestRegionMmap,
};

/// Keeps the memory of a published region mapped.
///
/// It stands in the place of `vm_memory`'s dirty bitmap, and like `()` it tracks nothing.
#[derive(Clone, Debug, Default)]
pub struct SlotMemory(Option<Memory>);

impl SlotMemory {
    /// The memory; `None` for a default value.
    pub fn memory(&self) -> Option<&Memory> {
        self.0.as_ref()
    }
}

impl WithBitmapSlice<'_> for SlotMemory {
    type S = ();
}

impl Bitmap for SlotMemory {
    fn mark_dirty(&self, _offset: usize, _len: usize) {}

    fn dirty_at(&self, _offset: usize) -> bool {
        false
    }

    fn slice_at(&self, _offset: usize) {}
}

type Map = GuestMemoryMmap<SlotMemory>;

/// Publishes each committed array into a `vm_memory::GuestMemoryAtomic`, for devices that are written
/// against the traits of `vm-memory`.
///
/// The map is replaced together with the table's own array. If the transaction holds vCPUs out, that is
/// before they continue. A map that can't be built vetoes the transaction. It contains the slots of
/// address space 0. A device that still has the old map can use it: its regions keep their memory
/// mapped, and have its [`file`](Memory::file). `vm-memory` knows no read-only slots, so it can write to
/// theirs.
///
/// The regions have the type parameter [`SlotMemory`], which keeps the memory. A device that is generic
/// over `GuestAddressSpace` or over the bitmap takes them; one that names `GuestMemoryMmap<()>` does not.
///
/// Only the table may replace the map; do not call its `lock()`.
///
/// ```
/// use memslots::{GuestAddress, Memory, Published, SimulatorOptions, Slot, Table};
/// use vm_memory::{Bytes, GuestAddressSpace};
///
/// let table = Table::simulated(&SimulatorOptions::default()).unwrap();
/// let published = Published::new(&table).unwrap();
/// let device_memory = published.memory(); // give a clone to each device
///
/// let ram = Memory::anonymous(1 << 20).unwrap();
/// table.submit(&[Slot::new(GuestAddress(0), &ram)]).unwrap();
/// device_memory.memory().write_obj(7u32, vm_memory::GuestAddress(0x1000)).unwrap();
/// # let mut bytes = [0; 4];
/// # ram.read(0x1000, &mut bytes).unwrap();
/// # assert_eq!(u32::from_ne_bytes(bytes), 7);
/// ```
#[must_use = "dropping it ends the publication"]
pub struct Published {
    memory: GuestMemoryAtomic<Map>,
    _hook: HookHandle,
}

#[derive(Default)]
struct State {
    /// The map of the transaction under way; replaced by the old one at its commit.
    map: Option<Map>,
    old: Option<Arc<Map>>,
    has_published: bool,
}

impl Published {
    /// Publishes the current array, and each later one until this is dropped. Then the last map
    /// remains.
    pub fn new(table: &Table) -> Result<Published> {
        let memory = GuestMemoryAtomic::new(Map::default());
        let state = Arc::new(Mutex::new(State::default()));
        let hook = table.add_hook(Published::hook(&memory, &state))?;
        // Waits for a transaction that began before the hook was added.
        drop(table.observe(|_| {})?);
        let current = map(&table.array()?.slots).map_err(crate::Error::bad_argument)?;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.has_published {
            replace(&memory, current);
        }
        Ok(Published { memory, _hook: hook })
    }

    /// The published map. Clones of it are the same map.
    pub fn memory(&self) -> GuestMemoryAtomic<GuestMemoryMmap<SlotMemory>> {
        self.memory.clone()
    }

    fn hook(memory: &GuestMemoryAtomic<Map>, state: &Arc<Mutex<State>>) -> Hook {
        let on = |state: &Arc<Mutex<State>>| {
            let state = state.clone();
            move |change: &mut dyn FnMut(&mut State)| {
                change(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
            }
        };
        let (prepare, commit, finish, abort) = (on(state), on(state), on(state), on(state));
        let memory = memory.clone();
        // Each function is called for every change of a transaction; the first call does the work.
        Hook::new("vm-memory")
            .prepare(move |_| {
                let mut result = Ok(());
                prepare(&mut |state| {
                    if state.map.is_none() {
                        match map(&submitting().unwrap_or_else(|| Arc::new([]))) {
                            Ok(map) => state.map = Some(map),
                            Err(reason) => result = Err(reason),
                        }
                    }
                });
                result
            })
            .commit(move |_| {
                commit(&mut |state| {
                    if let Some(map) = state.map.take() {
                        // Dropped when the guest runs again: it may unmap memory.
                        state.old = Some(memory.memory().into_inner());
                        replace(&memory, map);
                        state.has_published = true;
                    }
                })
            })
            .finish(move |_| finish(&mut |state| drop(state.old.take())))
            .abort(move |_| abort(&mut |state| drop(state.map.take())))
    }
}

fn replace(memory: &GuestMemoryAtomic<Map>, map: Map) {
    memory.lock().unwrap_or_else(PoisonError::into_inner).replace(map);
}

/// `vm-memory` 0.17 returns an option where older versions return a result.
trait Region {
    fn region(self) -> std::result::Result<GuestRegionMmap<SlotMemory>, String>;
}

impl Region for Option<GuestRegionMmap<SlotMemory>> {
    fn region(self) -> std::result::Result<GuestRegionMmap<SlotMemory>, String> {
        self.ok_or_else(|| "a region ends past the largest address".into())
    }
}

impl<E: std::fmt::Display> Region for std::result::Result<GuestRegionMmap<SlotMemory>, E> {
    fn region(self) -> std::result::Result<GuestRegionMmap<SlotMemory>, String> {
        self.map_err(|error| error.to_string())
    }
}

/// The map of an array's slots.
fn map(slots: &[Slot]) -> std::result::Result<Map, String> {
    let mut slots: Vec<_> = slots.iter().filter(|slot| slot.address_space() == 0).collect();
    if slots.is_empty() {
        return Ok(Map::default());
    }
    slots.sort_by_key(|slot| slot.guest_address());
    let regions = slots.into_iter().map(|slot| {
        let owner = SlotMemory(Some(slot.memory().clone()));
        // SAFETY: a slot is inside its memory, which the region keeps as its bitmap.
        let mut builder = unsafe {
            MmapRegionBuilder::new_with_bitmap(slot.size() as usize, owner)
                .with_raw_mmap_pointer(slot.memory().as_ptr().add(slot.offset() as usize))
        };
        if let Some((file, start)) = slot.memory().file() {
            let file = FileOffset::from_arc(file.clone(), start + slot.offset());
            builder = builder.with_file_offset(file);
        }
        let mapping = builder.build().map_err(|error| error.to_string())?;
        GuestRegionMmap::new(mapping, slot.guest_address().into()).region().map(Arc::new)
    });
    let regions = regions.collect::<std::result::Result<Vec<_>, _>>()?;
    Map::from_arc_regions(regions).map_err(|error| error.to_string())
}

impl From<GuestAddress> for vm_memory::GuestAddress {
    fn from(address: GuestAddress) -> vm_memory::GuestAddress {
        vm_memory::GuestAddress(address.0)
    }
}

impl From<vm_memory::GuestAddress> for GuestAddress {
    fn from(address: vm_memory::GuestAddress) -> GuestAddress {
        GuestAddress(address.0)
    }
}

impl Memory {
    /// The memory of a region that `vm-memory` has mapped. It stays mapped as long as a slot uses it.
    ///
    /// Returns [`Error::BadArgument`](crate::Error::BadArgument) if the mapping is not readable and
    /// writable.
    pub fn from_region<B>(region: Arc<GuestRegionMmap<B>>) -> Result<Memory>
    where
        B: Bitmap + Send + Sync + 'static,
    {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        if region.prot() & access != access {
            return Err(crate::Error::bad_argument("the region is not readable and writable"));
        }
        let (start, len) = (region.as_ptr(), region.size());
        let file = region.file_offset().map(|file| (file.arc().clone(), file.start()));
        // SAFETY: the owner keeps the mapping, which is readable and writable.
        Ok(unsafe { Memory::from_owner(start, len, region) }.with_file(file))
    }
}
