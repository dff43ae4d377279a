use crate::memory::{copy_from_guest, copy_to_guest};
use crate::{Error, GuestAddress, Result};

/// Why the guest left, as `struct kvm_run` describes it.
///
/// The exits that most VMMs handle have a variant. [`Vcpu::kvm_run`](crate::Vcpu::kvm_run) has the
/// others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuestExit {
    /// It reads a port. Pass `size * count` bytes to
    /// [`Vcpu::complete_read`](crate::Vcpu::complete_read).
    PortRead {
        /// The port.
        port: u16,
        /// The size of an access in bytes.
        size: u8,
        /// The number of accesses; more than one for a string instruction.
        count: u32,
    },
    /// It has written to a port.
    PortWrite {
        /// The port.
        port: u16,
        /// The size of an access in bytes.
        size: u8,
        /// The bytes of all accesses.
        data: Vec<u8>,
    },
    /// It reads memory that no slot maps. Pass `size` bytes to
    /// [`Vcpu::complete_read`](crate::Vcpu::complete_read).
    MmioRead {
        /// The address.
        address: GuestAddress,
        /// The size in bytes, at most 8.
        size: u8,
    },
    /// It has written to memory that no slot maps, or to a read-only slot.
    MmioWrite {
        /// The address.
        address: GuestAddress,
        /// The bytes, at most 8.
        data: Vec<u8>,
    },
    /// It executed `hlt`.
    Halt,
    /// A triple fault, or what the architecture has in its place.
    Shutdown,
    /// Call [`Vcpu::drain_dirty_ring`](crate::Vcpu::drain_dirty_ring).
    DirtyRingFull,
    /// Another `KVM_EXIT_*`.
    Other(u32),
}

/// The page of a vCPU. Its layout is the kernel's interface: `struct kvm_run` of `linux/kvm.h`.
pub(crate) struct Page {
    start: *mut u8,
    len: usize,
}

const EXIT_REASON: usize = 8;
// What the reasons describe shares its place.
const DETAILS: usize = 32;

impl Page {
    /// # Safety
    ///
    /// The range is the mapped page of a vCPU for as long as the object is used.
    pub(crate) unsafe fn new(start: *mut u8, len: usize) -> Page {
        Page { start, len }
    }

    /// Copies bytes, because a second mapping of the page may be in use.
    fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        assert!(offset + N <= self.len);
        // SAFETY: the range was checked.
        unsafe { copy_from_guest(self.start.add(offset), &mut bytes) };
        bytes
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_ne_bytes(self.bytes(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_ne_bytes(self.bytes(offset))
    }

    /// Where the data of a port or of MMIO is: its offset and its length in bytes.
    fn data(&self) -> Option<(usize, usize)> {
        let (offset, len) = match self.u32(EXIT_REASON) {
            2 => {
                let [_, size] = self.bytes(DETAILS);
                let len = u64::from(size) * u64::from(self.u32(DETAILS + 4));
                (self.u64(DETAILS + 8), len)
            }
            6 => (DETAILS as u64 + 8, u64::from(self.u32(DETAILS + 16)).min(8)),
            _ => return None,
        };
        let end = offset.checked_add(len)?;
        if end <= self.len as u64 {
            Some((offset as usize, len as usize))
        } else {
            None
        }
    }

    fn is_write(&self) -> bool {
        let offset = if self.u32(EXIT_REASON) == 2 { DETAILS } else { DETAILS + 20 };
        self.bytes(offset) != [0]
    }

    pub(crate) fn exit(&self) -> GuestExit {
        let reason = self.u32(EXIT_REASON);
        let copy = |(offset, len): (usize, usize)| {
            let mut data = vec![0; len];
            // SAFETY: `data` returned a range of the page.
            unsafe { copy_from_guest(self.start.add(offset), &mut data) };
            data
        };
        match (reason, self.data()) {
            (2, Some(place)) => {
                let ([_, size], port) =
                    (self.bytes(DETAILS), u16::from_ne_bytes(self.bytes(DETAILS + 2)));
                if self.is_write() {
                    GuestExit::PortWrite { port, size, data: copy(place) }
                } else {
                    GuestExit::PortRead { port, size, count: self.u32(DETAILS + 4) }
                }
            }
            (6, Some(place)) => {
                let address = GuestAddress(self.u64(DETAILS));
                if self.is_write() {
                    GuestExit::MmioWrite { address, data: copy(place) }
                } else {
                    GuestExit::MmioRead { address, size: place.1 as u8 }
                }
            }
            (5, _) => GuestExit::Halt,
            (8, _) => GuestExit::Shutdown,
            (31, _) => GuestExit::DirtyRingFull,
            (reason, _) => GuestExit::Other(reason),
        }
    }

    pub(crate) fn complete_read(&self, data: &[u8]) -> Result<()> {
        match self.data() {
            Some((offset, len)) if len == data.len() && !self.is_write() => {
                // SAFETY: `data` returned a range of the page.
                unsafe { copy_to_guest(self.start.add(offset), data) };
                Ok(())
            }
            _ => Err(Error::bad_argument("the guest does not wait for a read of this size")),
        }
    }
}
