use crate::slot::duplicate;
use crate::{Error, Result};
use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::io::AsRawFd;
use std::sync::Arc;

/// Memory of this process that slots give to a guest.
///
/// A `Memory` is a counted reference. Each [`Slot`](crate::Slot) holds one, a table holds those of
/// its slots, and the mapping is released when the last reference is dropped. A table drops its
/// references when the slots are gone and no [`Reader`](crate::Reader) uses the array that had them.
/// So memory is never unmapped under a guest or a device.
///
/// ```
/// let ram = memslots::Memory::anonymous(64 << 20)?;
/// ram.write(0x1000, b"boot")?;
/// # Ok::<(), memslots::Error>(())
/// ```
#[derive(Clone)]
pub struct Memory {
    start: *mut u8,
    len: usize,
    owner: Arc<dyn Any + Send + Sync>,
    file: Option<(Arc<File>, u64)>,
}

// SAFETY: the pointer names memory that `owner` keeps, and every access through it is a raw copy
// that allows for concurrent writes, as guest memory always must.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps `len` bytes of zeros, which take physical memory when they are first used.
    ///
    /// Returns [`Error::BadArgument`] unless `len` is a multiple of the page size, and
    /// [`Error::System`] if the kernel refuses.
    pub fn anonymous(len: usize) -> Result<Memory> {
        check_pages(len)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        Ok(Mapping::new(len, flags, -1, 0)?.into_memory(None))
    }

    /// Maps `len` bytes of a file that other processes can map too, such as a `memfd`, from `offset`.
    /// The memory duplicates the descriptor.
    ///
    /// Returns [`Error::BadArgument`] unless `len` is a multiple of the page size and the file is long
    /// enough. Do not shorten the file while it is mapped: accesses past its end raise `SIGBUS`.
    pub fn shared(file: &impl AsRawFd, offset: u64, len: usize) -> Result<Memory> {
        check_pages(len)?;
        let file = File::from(duplicate(file.as_raw_fd())?);
        let end = offset.checked_add(len as u64);
        if let Some(size) = size(&file)?.filter(|size| end.map_or(true, |end| end > *size)) {
            return Err(Error::bad_argument(format!(
                "the file has {size} bytes, but {len} are to be mapped from {offset}: enlarge it first"
            )));
        }
        let start = libc::off_t::try_from(offset)
            .map_err(|_| Error::bad_argument("the offset is larger than any file"))?;
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        let mapping = Mapping::new(len, flags, file.as_raw_fd(), start)?;
        Ok(mapping.into_memory(Some((Arc::new(file), offset))))
    }

    /// Memory that something else has mapped, and keeps mapped until `owner` is dropped.
    ///
    /// ```
    /// # use memslots::Memory;
    /// # #[repr(align(4096))] struct Page([u8; 4096]);
    /// let owner = Box::new(Page([0; 4096]));
    /// let start = Box::into_raw(owner);
    /// // SAFETY: the page is leaked here, so it stays valid.
    /// let memory = unsafe { Memory::from_owner(start.cast(), 4096, ()) };
    /// ```
    ///
    /// # Safety
    ///
    /// The range is readable and writable until `owner` is dropped, and no Rust reference to it
    /// exists while guests and devices may write to it.
    pub unsafe fn from_owner(start: *mut u8, len: usize, owner: impl Any + Send + Sync) -> Memory {
        Memory { start, len, owner: Arc::new(owner), file: None }
    }

    /// With the file behind it, and the offset there.
    #[cfg(feature = "vm-memory")]
    pub(crate) fn with_file(self, file: Option<(Arc<File>, u64)>) -> Memory {
        Memory { file, ..self }
    }

    /// The file behind it, and the offset of its first byte there: for other processes that map it, such
    /// as a vhost-user back end. `None` for memory that is anonymous or came by
    /// [`Memory::from_owner`].
    pub fn file(&self) -> Option<(&Arc<File>, u64)> {
        self.file.as_ref().map(|(file, offset)| (file, *offset))
    }

    /// Its first byte. Guests and devices may write at any time: do not make references of it.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies `bytes` to `offset`.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        // SAFETY: the range was checked, and `owner` keeps it mapped.
        unsafe { copy_to_guest(self.start.add(offset), bytes) };
        Ok(())
    }

    /// Copies from `offset` to `bytes`.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        // SAFETY: the range was checked, and `owner` keeps it mapped.
        unsafe { copy_from_guest(self.start.add(offset), bytes) };
        Ok(())
    }

    fn check(&self, offset: usize, len: usize) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(Error::bad_argument("the range leaves the memory")),
        }
    }

    /// The addresses from its first byte to the one after its last.
    pub(crate) fn addresses(&self) -> std::ops::Range<u64> {
        self.start as u64..self.start as u64 + self.len as u64
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let references = Arc::strong_count(&self.owner);
        write!(f, "Memory({:p}, {} bytes, {} references)", self.start, self.len, references)
    }
}

fn check_pages(len: usize) -> Result<()> {
    // SAFETY: no pointers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    if len % page == 0 {
        return Ok(());
    }
    Err(Error::bad_argument(format!("{len} bytes are not a multiple of the page size, {page}")))
}

/// The size of a file, if it is of a kind that has one: a mapping past its end raises `SIGBUS`.
fn size(file: &File) -> Result<Option<u64>> {
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(Some(metadata.len()));
    }
    if !metadata.file_type().is_block_device() {
        return Ok(None);
    }
    const BLKGETSIZE64: libc::c_ulong = 0x8008_1272;
    let mut size = 0u64;
    // SAFETY: the request stores a number of this size.
    match unsafe { libc::ioctl(file.as_raw_fd(), BLKGETSIZE64 as _, &mut size) } {
        0 => Ok(Some(size)),
        _ => Err(io::Error::last_os_error().into()),
    }
}

/// The largest width of an access at `address` of which `left` bytes remain: 8, 4, 2 or 1. A number
/// at its natural alignment is copied by one access, so neither side sees half of it.
fn width(address: usize, left: usize) -> usize {
    [8, 4, 2].iter().copied().find(|width| address % width == 0 && left >= *width).unwrap_or(1)
}

/// Copies bytes to memory that guests may use at the same time.
///
/// # Safety
///
/// `to` is valid for writes of `bytes.len()` bytes.
pub(crate) unsafe fn copy_to_guest(to: *mut u8, bytes: &[u8]) {
    let mut done = 0;
    while done < bytes.len() {
        // SAFETY: `width` stays inside both ranges, and divides the address in guest memory.
        unsafe {
            let (from, to) = (bytes.as_ptr().add(done), to.add(done));
            let width = width(to as usize, bytes.len() - done);
            match width {
                8 => to.cast::<u64>().write_volatile(from.cast::<u64>().read_unaligned()),
                4 => to.cast::<u32>().write_volatile(from.cast::<u32>().read_unaligned()),
                2 => to.cast::<u16>().write_volatile(from.cast::<u16>().read_unaligned()),
                _ => to.write_volatile(*from),
            }
            done += width;
        }
    }
}

/// Copies bytes from memory that guests may use at the same time.
///
/// # Safety
///
/// `from` is valid for reads of `bytes.len()` bytes.
pub(crate) unsafe fn copy_from_guest(from: *const u8, bytes: &mut [u8]) {
    let mut done = 0;
    while done < bytes.len() {
        // SAFETY: `width` stays inside both ranges, and divides the address in guest memory.
        unsafe {
            let (from, to) = (from.add(done), bytes.as_mut_ptr().add(done));
            let width = width(from as usize, bytes.len() - done);
            match width {
                8 => to.cast::<u64>().write_unaligned(from.cast::<u64>().read_volatile()),
                4 => to.cast::<u32>().write_unaligned(from.cast::<u32>().read_volatile()),
                2 => to.cast::<u16>().write_unaligned(from.cast::<u16>().read_volatile()),
                _ => to.write(from.read_volatile()),
            }
            done += width;
        }
    }
}

/// A mapping of this process, unmapped when it is dropped.
pub(crate) struct Mapping {
    pub(crate) start: *mut u8,
    pub(crate) len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: its methods only return its place.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(crate) fn new(
        len: usize,
        flags: libc::c_int,
        descriptor: libc::c_int,
        offset: libc::off_t,
    ) -> Result<Mapping> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without MAP_FIXED the call replaces no mapping.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, descriptor, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Mapping { start: start.cast(), len })
    }

    fn into_memory(self, file: Option<(Arc<File>, u64)>) -> Memory {
        Memory { start: self.start, len: self.len, owner: Arc::new(self), file }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this object's own, and nothing refers to it any more.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}
