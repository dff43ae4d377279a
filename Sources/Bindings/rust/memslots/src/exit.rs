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
    /// The processor refused to enter the guest: its state is invalid.
    FailEntry {
        /// The processor's reason.
        reason: u64,
        /// The host's processor.
        cpu: u32,
    },
    /// KVM could not go on, such as with an instruction that it can't emulate.
    InternalError {
        /// `KVM_INTERNAL_ERROR_*`.
        suberror: u32,
        /// What KVM knows about it, at most 16 numbers.
        data: Vec<u64>,
    },
    /// The guest asked for a shutdown or a reset, or crashed, through the firmware's interface.
    SystemEvent {
        /// `KVM_SYSTEM_EVENT_*`.
        kind: u32,
        /// What belongs to it, at most 16 numbers; empty before Linux 5.19.
        data: Vec<u64>,
    },
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

    /// The list of an internal error and of a system event: its length, then the numbers.
    fn numbers(&self) -> Vec<u64> {
        let count = self.u32(DETAILS + 4).min(16) as usize;
        (0..count).map(|index| self.u64(DETAILS + 8 + 8 * index)).collect()
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
            (9, _) => {
                GuestExit::FailEntry { reason: self.u64(DETAILS), cpu: self.u32(DETAILS + 8) }
            }
            (17, _) => {
                GuestExit::InternalError { suberror: self.u32(DETAILS), data: self.numbers() }
            }
            (24, _) => GuestExit::SystemEvent { kind: self.u32(DETAILS), data: self.numbers() },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_that_end_a_guest_have_their_data() {
        let exit = |reason: u32, details: &[u64]| {
            let mut words = [0u64; 32];
            words[1] = reason.into();
            words[4..4 + details.len()].copy_from_slice(details);
            // SAFETY: the page is used before the array goes.
            unsafe { Page::new(words.as_mut_ptr().cast(), 256) }.exit()
        };
        let pair = |low: u64, high: u64| low | high << 32;
        assert_eq!(
            exit(9, &[0x8000_0021, 3]),
            GuestExit::FailEntry { reason: 0x8000_0021, cpu: 3 }
        );
        assert_eq!(
            exit(17, &[pair(1, 2), 5, 6, 7]),
            GuestExit::InternalError { suberror: 1, data: vec![5, 6] }
        );
        let event = exit(24, &[pair(2, 99)]);
        assert_eq!(event, GuestExit::SystemEvent { kind: 2, data: vec![0; 16] });
    }
}
