use crate::error::check;
use crate::memory::{copy_from_guest, copy_to_guest};
use crate::table::Inner;
use crate::{Error, Flags, GuestAddress, Result};
use memslots_sys as sys;
use std::marker::PhantomData;
use std::mem::size_of;
use std::sync::Arc;

/// Translates guest addresses for one device or thread. Entering it takes nanoseconds and never
/// waits.
///
/// ```
/// # use memslots::*;
/// # let table = Table::simulated(&SimulatorOptions::default())?;
/// # table.submit(&[Slot::new(GuestAddress(0), &Memory::anonymous(1 << 20)?)])?;
/// let mut reader = table.reader("virtio-net")?;
/// {
///     let mut view = reader.enter()?;
///     view.write(GuestAddress(0x1000), b"a packet")?;
/// } // dropping the view leaves
/// # Ok::<(), memslots::Error>(())
/// ```
pub struct Reader {
    handle: sys::memslots_reader,
    spans: Vec<sys::memslots_span>,
    // Keeps the table, and so the memory of its arrays.
    _table: Arc<Inner>,
}

// SAFETY: any thread may use the handle (`memslots.h`), and entering takes `&mut self`. `spans` is room
// for results; its pointers are used only through the view that filled it.
unsafe impl Send for Reader {}
// SAFETY: as above. No method takes `&self`.
unsafe impl Sync for Reader {}

/// A range of guest memory, such as a descriptor of a virtio chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct GuestRange {
    /// Its first byte.
    pub address: GuestAddress,
    /// Its size in bytes.
    pub size: u64,
}

/// The array that a reader has entered. It leaves when it is dropped.
///
/// Until then neither the array nor the memory of its slots changes. A submit in between commits,
/// and then waits for the reader up to its deadline; so be short. A view stays on the thread that
/// entered:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<memslots::View<'static>>();
/// ```
///
/// ```compile_fail,E0277
/// fn is_sync<T: Sync>() {}
/// is_sync::<memslots::View<'static>>();
/// ```
///
/// Dropping it leaves. A view that is leaked with [`std::mem::forget`] never leaves: each later submit
/// of its thread returns [`Error::Reentrant`], and each of another thread waits until its deadline and
/// keeps the old arrays.
///
/// Its reader can't be entered twice, and no span outlives the view:
///
/// ```compile_fail,E0499
/// # fn f(reader: &mut memslots::Reader) -> memslots::Result<()> {
/// let (first, second) = (reader.enter()?, reader.enter()?);
/// # drop((first, second)); Ok(()) }
/// ```
///
/// ```compile_fail,E0597
/// # fn f(reader: &mut memslots::Reader) -> memslots::Result<()> {
/// let span = {
///     let mut view = reader.enter()?;
///     view.translate(memslots::GuestAddress(0), 1)?[0]
/// };
/// # drop(span); Ok(()) }
/// ```
pub struct View<'r> {
    raw: sys::memslots_view,
    address_space: u32,
    reader: &'r mut Reader,
    // Only the thread that entered may use it and leave.
    _thread: PhantomData<*const ()>,
}

/// Guest memory that is contiguous in this process.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Span<'v> {
    raw: sys::memslots_span,
    _view: PhantomData<&'v ()>,
}

// `View::spans` passes the one as the other; both are two numbers.
const _: () = assert!(size_of::<GuestRange>() == size_of::<sys::memslots_range>());

impl Reader {
    pub(crate) fn new(handle: sys::memslots_reader, table: Arc<Inner>) -> Reader {
        Reader { handle, spans: Vec::new(), _table: table }
    }

    /// Enters the current array.
    ///
    /// Returns [`Error::NotInside`] if an earlier view was leaked with [`std::mem::forget`].
    pub fn enter(&mut self) -> Result<View<'_>> {
        let mut raw = sys::memslots_view::default();
        // SAFETY: `raw` is a view to fill.
        check(unsafe { sys::memslots_reader_enter(self.handle, &mut raw) })?;
        Ok(View { raw, address_space: 0, reader: self, _thread: PhantomData })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: the handle is this object's own. Closing a valid handle does not fail.
        unsafe { sys::memslots_reader_close(self.handle) };
    }
}

impl View<'_> {
    /// The generation of the array.
    pub fn generation(&self) -> u64 {
        self.raw.generation
    }

    /// Translates in another address space from now on. A view begins in 0.
    pub fn set_address_space(&mut self, address_space: u32) {
        self.address_space = address_space;
    }

    /// Translates a range, which may lie in several adjacent slots, into a span for each slot.
    ///
    /// Returns [`Error::NotMapped`] with the first address that no slot maps.
    pub fn translate(&mut self, address: GuestAddress, size: u64) -> Result<&[Span<'_>]> {
        self.translate_all(&[GuestRange { address, size }])
    }

    /// Translates several ranges, such as a descriptor chain. The spans of a range add up to its
    /// size. The list is reused by the next call, so this allocates nothing once it is long enough.
    ///
    /// Returns [`Error::NotMapped`] with the first address and range that no slot maps.
    pub fn translate_all(&mut self, ranges: &[GuestRange]) -> Result<&[Span<'_>]> {
        let mut list = std::mem::take(&mut self.reader.spans);
        let result = self.spans(ranges, &mut list);
        self.reader.spans = list;
        let count = result?;
        let spans = &self.reader.spans[..count];
        // SAFETY: `Span` is transparent, so a slice of it has the layout of the list. The view, which
        // is borrowed, keeps the memory of the spans.
        Ok(unsafe { std::slice::from_raw_parts(spans.as_ptr().cast(), count) })
    }

    /// Copies from guest memory. Returns [`Error::NotMapped`] and copies nothing if a part of the
    /// range is not mapped.
    pub fn read(&mut self, address: GuestAddress, bytes: &mut [u8]) -> Result<()> {
        let mut done = 0;
        let size = bytes.len() as u64;
        for span in self.translate(address, size)? {
            span.read(0, &mut bytes[done..done + span.len()])?;
            done += span.len();
        }
        Ok(())
    }

    /// Copies to guest memory. Returns [`Error::NotMapped`] or [`Error::ReadOnly`], and copies
    /// nothing, if a part of the range is not mapped or in a read-only slot.
    ///
    /// KVM's dirty log does not see this: report such pages yourself when you migrate.
    pub fn write(&mut self, address: GuestAddress, bytes: &[u8]) -> Result<()> {
        let mut done = 0;
        let spans = self.translate(address, bytes.len() as u64)?;
        spans.iter().try_for_each(Span::check_writable)?;
        for span in spans {
            span.write(0, &bytes[done..done + span.len()])?;
            done += span.len();
        }
        Ok(())
    }

    /// Fills `list` with the spans of all ranges. Returns their number.
    fn spans(&self, ranges: &[GuestRange], list: &mut Vec<sys::memslots_span>) -> Result<usize> {
        if list.is_empty() {
            list.resize(8, sys::memslots_span::default());
        }
        let mut count = 0;
        loop {
            // SAFETY: the lists are passed with their lengths, and `GuestRange` has the layout of the
            // C structure. This thread has entered the view.
            let code = unsafe {
                sys::memslots_view_translate_bulk(
                    &self.raw,
                    self.address_space,
                    ranges.as_ptr().cast(),
                    ranges.len(),
                    list.as_mut_ptr(),
                    list.len(),
                    &mut count,
                )
            };
            match check(code) {
                Ok(_) => return Ok(count),
                Err(Error::TooSmall { .. }) => list.resize(count, sys::memslots_span::default()),
                Err(Error::NotMapped { message, .. }) => {
                    let address = Some(list[0].guest_physical_address);
                    return Err(Error::NotMapped { address, range: count, message });
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread has entered the view, and it is left once.
        unsafe { sys::memslots_reader_leave(&mut self.raw) };
    }
}

impl Span<'_> {
    /// Where the guest sees it.
    pub fn guest_address(&self) -> GuestAddress {
        GuestAddress(self.raw.guest_physical_address)
    }

    /// Its first byte in this process, valid for [`Span::len`] bytes until the view is dropped.
    /// The guest may write at any time: do not make references of it.
    pub fn as_ptr(&self) -> *mut u8 {
        self.raw.address.cast()
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.raw.size as usize
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.raw.size == 0
    }

    /// The id of its slot.
    pub fn slot(&self) -> u32 {
        self.raw.slot
    }

    /// The flags of its slot. Do not write to a slot with [`Flags::READ_ONLY`].
    pub fn flags(&self) -> Flags {
        Flags::from_bits(self.raw.flags)
    }

    /// Copies from `offset` to `bytes`.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        // SAFETY: the range was checked, and the view keeps the memory.
        unsafe { copy_from_guest(self.as_ptr().add(offset), bytes) };
        Ok(())
    }

    /// Copies `bytes` to `offset`. Returns [`Error::ReadOnly`] for a read-only slot.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        self.check_writable()?;
        // SAFETY: as for reading.
        unsafe { copy_to_guest(self.as_ptr().add(offset), bytes) };
        Ok(())
    }

    fn check(&self, offset: usize, len: usize) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(Error::bad_argument("the range leaves the span")),
        }
    }

    fn check_writable(&self) -> Result<()> {
        if !self.flags().contains(Flags::READ_ONLY) {
            return Ok(());
        }
        let message =
            format!("guest physical address {:#x} is in a read-only slot", self.guest_address().0);
        Err(Error::ReadOnly { message })
    }
}
