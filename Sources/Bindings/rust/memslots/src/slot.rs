use crate::{Error, Memory, Result};
use memslots_sys as sys;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::{BitOr, Range};
use std::os::unix::io::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// A guest physical address, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct GuestAddress(pub u64);

impl fmt::Debug for GuestAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestAddress({:#x})", self.0)
    }
}

/// Flags of a slot: the kernel's `KVM_MEM_*` flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Flags(u32);

impl Flags {
    /// The guest's writes are logged: [`Table::dirty_log`](crate::Table::dirty_log).
    pub const LOG_DIRTY_PAGES: Flags = Flags(sys::MEMSLOTS_LOG_DIRTY_PAGES);
    /// The guest's writes leave the guest as MMIO.
    pub const READ_ONLY: Flags = Flags(sys::MEMSLOTS_READONLY);
    /// The guest's private pages are in a guest_memfd.
    pub const GUEST_MEMFD: Flags = Flags(sys::MEMSLOTS_GUEST_MEMFD);

    /// No flags.
    pub const fn empty() -> Flags {
        Flags(0)
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The kernel's bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u32) -> Flags {
        Flags(bits)
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// A range of guest memory as plain data: what hooks, operations and failures describe.
///
/// It keeps no memory. [`Slot`] is the same with its [`Memory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Region {
    /// The slot's id.
    pub id: u32,
    /// The slot's address space, almost always 0.
    pub address_space: u32,
    /// Where the guest sees it.
    pub guest_address: GuestAddress,
    /// Its size in bytes, a multiple of 4096.
    pub size: u64,
    /// Where this process has its memory.
    pub userspace_address: u64,
    /// Its flags.
    pub flags: Flags,
    /// The caller's number for the memory object behind it, and the offset there.
    pub memory_object: Option<(NonZeroU32, u64)>,
    /// The descriptor of its guest_memfd, and the offset there.
    pub guest_memfd: Option<(RawFd, u64)>,
}

impl Region {
    pub(crate) fn new(slot: &sys::memslots_slot) -> Region {
        let flags = Flags(slot.flags);
        Region {
            id: slot.slot,
            address_space: slot.address_space,
            guest_address: GuestAddress(slot.guest_physical_address),
            size: slot.size,
            userspace_address: slot.userspace_address,
            flags,
            memory_object: NonZeroU32::new(slot.memory_object)
                .map(|object| (object, slot.memory_offset)),
            guest_memfd: if flags.contains(Flags::GUEST_MEMFD) {
                Some((slot.guest_memfd, slot.guest_memfd_offset))
            } else {
                None
            },
        }
    }

    /// `None` for the slot of size 0 that stands for none.
    pub(crate) fn optional(slot: &sys::memslots_slot) -> Option<Region> {
        Some(slot).filter(|slot| slot.size != 0).map(Region::new)
    }

    /// The guest addresses from its first byte to the one after its last.
    pub fn guest_range(&self) -> Range<u64> {
        self.guest_address.0..self.guest_address.0.saturating_add(self.size)
    }
}

/// A range of guest memory and the memory that it gives to the guest.
///
/// A slot is a value: change a copy, and submit it. Nothing is checked before the submit, which
/// reports every violation at once.
///
/// ```
/// use memslots::{GuestAddress, Memory, Slot};
///
/// let ram = Slot::new(GuestAddress(0), &Memory::anonymous(1 << 20)?);
/// let (low, high) = ram.split_at(GuestAddress(0xa_0000))?;
/// let high = high.with_id(7).read_only(true);
/// assert_eq!((low.size(), high.id()), (0xa_0000, Some(7)));
/// # Ok::<(), memslots::Error>(())
/// ```
#[derive(Clone)]
pub struct Slot {
    id: Option<u32>,
    address_space: u32,
    guest_address: GuestAddress,
    memory: Memory,
    offset: u64,
    size: u64,
    flags: Flags,
    memory_object: Option<(NonZeroU32, u64)>,
    guest_memfd: Option<(Arc<OwnedFd>, u64)>,
}

impl Slot {
    /// All of `memory` at a guest address. The table chooses the id.
    pub fn new(guest_address: GuestAddress, memory: &Memory) -> Slot {
        Slot {
            id: None,
            address_space: 0,
            guest_address,
            memory: memory.clone(),
            offset: 0,
            size: memory.len() as u64,
            flags: Flags::empty(),
            memory_object: None,
            guest_memfd: None,
        }
    }

    /// A part of `memory`, by its offsets. Returns [`Error::BadArgument`] if it leaves the memory.
    pub fn part(guest_address: GuestAddress, memory: &Memory, part: Range<u64>) -> Result<Slot> {
        if part.start > part.end || part.end > memory.len() as u64 {
            return Err(Error::bad_argument("the slot leaves its memory"));
        }
        let (offset, size) = (part.start, part.end - part.start);
        Ok(Slot { offset, size, ..Slot::new(guest_address, memory) })
    }

    /// With this id, from 0 to [`Capabilities::max_slots`](crate::Capabilities::max_slots) - 1.
    pub fn with_id(self, id: u32) -> Slot {
        Slot { id: Some(id), ..self }
    }

    /// In this address space, such as 1 for x86's SMM.
    pub fn in_address_space(self, address_space: u32) -> Slot {
        Slot { address_space, ..self }
    }

    /// At another guest address.
    pub fn moved_to(self, guest_address: GuestAddress) -> Slot {
        Slot { guest_address, ..self }
    }

    /// With or without the log of the guest's writes.
    pub fn logging(self, on: bool) -> Slot {
        self.with_flag(Flags::LOG_DIRTY_PAGES, on)
    }

    /// With or without protection from the guest's writes.
    pub fn read_only(self, on: bool) -> Slot {
        self.with_flag(Flags::READ_ONLY, on)
    }

    /// With the caller's number for the memory object behind it, at an offset there. The number
    /// identifies the pages wherever they are mapped, so that dirty bits follow them. Without it the
    /// user address does.
    pub fn with_memory_object(self, object: NonZeroU32, offset: u64) -> Slot {
        Slot { memory_object: Some((object, offset)), ..self }
    }

    /// With private pages in a guest_memfd, from `offset`. The slot duplicates the descriptor.
    pub fn with_guest_memfd(self, file: &impl AsRawFd, offset: u64) -> Result<Slot> {
        let file = Arc::new(duplicate(file.as_raw_fd())?);
        Ok(Slot { guest_memfd: Some((file, offset)), ..self.with_flag(Flags::GUEST_MEMFD, true) })
    }

    /// The slot below an address, and the slot from it. The upper has no id yet.
    ///
    /// Returns [`Error::BadArgument`] if the address is not inside.
    pub fn split_at(&self, address: GuestAddress) -> Result<(Slot, Slot)> {
        let below = match address.0.checked_sub(self.guest_address.0) {
            Some(below) if below > 0 && below < self.size => below,
            _ => return Err(Error::bad_argument("the address is not inside the slot")),
        };
        let (mut low, mut high) = (self.clone(), self.clone());
        low.size = below;
        high.id = None;
        high.guest_address = address;
        high.offset += below;
        high.size -= below;
        if let Some((_, offset)) = &mut high.memory_object {
            *offset += below;
        }
        if let Some((_, offset)) = &mut high.guest_memfd {
            *offset += below;
        }
        Ok((low, high))
    }

    /// Its id, if it has one. The slots of a receipt and of a table do.
    pub fn id(&self) -> Option<u32> {
        self.id
    }

    /// Its address space.
    pub fn address_space(&self) -> u32 {
        self.address_space
    }

    /// Where the guest sees it.
    pub fn guest_address(&self) -> GuestAddress {
        self.guest_address
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its flags.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Its memory, which may be larger than the slot.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Where it begins in its memory, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn with_flag(self, flag: Flags, on: bool) -> Slot {
        let bits = if on { self.flags.0 | flag.0 } else { self.flags.0 & !flag.0 };
        Slot { flags: Flags(bits), ..self }
    }

    pub(crate) fn raw(&self) -> sys::memslots_slot {
        sys::memslots_slot {
            slot: self.id.unwrap_or(sys::MEMSLOTS_ANY_SLOT),
            address_space: self.address_space,
            guest_physical_address: self.guest_address.0,
            size: self.size,
            userspace_address: self.memory.addresses().start + self.offset,
            flags: self.flags.0,
            memory_object: self.memory_object.map_or(0, |(object, _)| object.get()),
            memory_offset: self.memory_object.map_or(0, |(_, offset)| offset),
            guest_memfd: self.guest_memfd.as_ref().map_or(-1, |(file, _)| file.as_raw_fd()),
            guest_memfd_offset: self.guest_memfd.as_ref().map_or(0, |(_, offset)| *offset),
            reserved: 0,
        }
    }

    /// A slot that the C interface returns: `owner`, which has the same `backing`, with the
    /// place and the flags of `raw`.
    pub(crate) fn returned(raw: &sys::memslots_slot, owner: Slot) -> Slot {
        let region = Region::new(raw);
        Slot {
            id: Some(region.id),
            address_space: region.address_space,
            guest_address: region.guest_address,
            flags: region.flags,
            memory_object: region.memory_object,
            ..owner
        }
    }
}

/// What backs a slot, which is enough to find its owner: where its memory is, and its files.
pub(crate) fn backing(slot: &sys::memslots_slot) -> (u64, u64, i32, u64) {
    match Region::new(slot).guest_memfd {
        Some((file, offset)) => (slot.userspace_address, slot.size, file, offset),
        None => (slot.userspace_address, slot.size, -1, 0),
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.guest_address.0.saturating_add(self.size);
        write!(f, "Slot({:#x}..{:#x}", self.guest_address.0, end)?;
        if let Some(id) = self.id {
            write!(f, ", id {id}")?;
        }
        if self.address_space != 0 {
            write!(f, ", address space {}", self.address_space)?;
        }
        write!(f, ", flags {:#x}, {:?} + {:#x})", self.flags.0, self.memory, self.offset)
    }
}

/// Duplicates a descriptor, so that it stays open for as long as it is needed.
pub(crate) fn duplicate(descriptor: RawFd) -> Result<OwnedFd> {
    // SAFETY: the call reads no memory.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: the kernel has just created this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
