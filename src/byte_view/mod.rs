//! Immutable bytes that are cheap to clone.

mod block;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Bound, Deref, Range, RangeBounds};
use std::sync::Arc;

pub(crate) use block::{Block, allocated, with_own_pages};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

/// Immutable bytes; a clone is a reference count, whatever the length.
///
/// What a getter returns and what [`Group::get`](crate::Group::get) hands out. A `ByteView`
/// dereferences to `[u8]`, so every slice method is at hand.
///
/// Up to 16 KiB are copied into one small allocation of their own; more stay in the buffer that
/// they came in.
///
/// ```
/// use larder::ByteView;
///
/// let page = ByteView::from("<h1>larder</h1>");
/// assert_eq!(page.len(), 15);
/// assert_eq!(page.slice(4..10), "larder");
/// ```
#[derive(Clone)]
pub struct ByteView(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static [u8]),
    /// A part of a small allocation, which in the cache also holds the key.
    Packed {
        block: Block,
        start: u32,
        end: u32,
    },
    Buffer(Arc<Buffer>),
}

/// Bytes too many to copy.
struct Buffer {
    bytes: Bytes,
    /// Length of the allocation that `bytes` keeps alive.
    held: usize,
    /// The allocation is one of [`block::on_own_pages`].
    own_pages: bool,
    /// Of a part it is made when asked for.
    fingerprint: Option<u64>,
}

/// More bytes than these are not copied.
const PACKED_BYTES: usize = 16 << 10;

/// How many bytes `Debug` shows before it cuts.
const DEBUG_PREFIX_BYTES: usize = 32;

impl ByteView {
    /// An empty view; allocates nothing.
    pub const fn new() -> Self {
        Self(Repr::Static(&[]))
    }

    /// A view of bytes that live as long as the program; allocates nothing.
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        Self(Repr::Static(bytes))
    }

    /// A view of a part of these bytes, sharing the same memory.
    ///
    /// # Panics
    ///
    /// Panics when the range ends before it starts or past the end, as slicing does.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let range = absolute(range, self.len());
        match &self.0 {
            Repr::Static(bytes) => Self(Repr::Static(&bytes[range])),
            Repr::Packed { block, start, .. } => {
                // Checked by slicing: a range beyond this view could still be in the block.
                let part = self[range.clone()].len();
                let start = *start as usize + range.start;
                Self::of_block(block.clone(), start..start + part)
            }
            Repr::Buffer(buffer) => {
                let bytes = buffer.bytes.slice(range);
                let (held, own_pages, fingerprint) = (buffer.held, buffer.own_pages, None);
                Self(Repr::Buffer(Arc::new(Buffer { bytes, held, own_pages, fingerprint })))
            }
        }
    }

    /// The bytes, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        self[..].to_vec()
    }

    /// The bytes as text, when they are UTF-8.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not UTF-8, as [`std::str::from_utf8`] does.
    pub fn as_str(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(self)
    }

    /// A view of a part of a received body of `body_len` bytes.
    pub(crate) fn part_of_body(part: Bytes, body_len: usize) -> Self {
        if is_packed(part.len()) { Self::from(&part[..]) } else { Self::of_buffer(part, body_len) }
    }

    /// A view of a range of a block.
    ///
    /// A block is as long as a packed value and a key at most, so that 32 bits tell a place.
    #[inline]
    pub(crate) fn of_block(block: Block, range: Range<usize>) -> Self {
        debug_assert!(range.end <= block.bytes().len());
        Self(Repr::Packed { block, start: range.start as u32, end: range.end as u32 })
    }

    fn of_buffer(bytes: Bytes, held: usize) -> Self {
        let fingerprint = Some(xxh3_64(&bytes));
        Self(Repr::Buffer(Arc::new(Buffer { bytes, held, own_pages: false, fingerprint })))
    }

    /// A hash of the bytes, the same on every node. Few bytes are hashed each time, in half a
    /// microsecond at most; those in a buffer once, when it is made: hashing a mebibyte for
    /// each hit would cost an eighth of what sending it costs.
    pub(crate) fn fingerprint(&self) -> u64 {
        match &self.0 {
            Repr::Static(_) | Repr::Packed { .. } => xxh3_64(self),
            Repr::Buffer(buffer) => buffer.fingerprint.unwrap_or_else(|| xxh3_64(&buffer.bytes)),
        }
    }

    /// These bytes in memory that is theirs alone and goes back when they go: a small part of a
    /// large buffer is copied, and so is what should have pages of its own.
    pub(crate) fn compact(self) -> Self {
        let Repr::Buffer(buffer) = &self.0 else { return self };
        let part = buffer.held > self.len() + self.len() / 8;
        if block::is_mapped(self.len()) && (part || !buffer.own_pages) {
            let bytes = Bytes::from(block::on_own_pages(&self));
            let held = self.len();
            let fingerprint = Some(self.fingerprint());
            let buffer = Buffer { bytes, held, own_pages: true, fingerprint };
            return Self(Repr::Buffer(Arc::new(buffer)));
        }
        if part { Self::from(self.to_vec()) } else { self }
    }

    /// Bytes of memory that a view of `len` bytes in a buffer takes.
    pub(crate) const fn buffer_footprint(len: usize) -> usize {
        const COUNT_BYTES: usize = 2 * size_of::<usize>();
        let counts = allocated(COUNT_BYTES + size_of::<Buffer>());
        allocated(len).saturating_add(counts)
    }
}

/// Is a value of `len` bytes copied next to its key, or does it stay in its buffer?
pub(crate) const fn is_packed(len: usize) -> bool {
    len <= PACKED_BYTES
}

/// The range's ends, within `0..len` or beyond them: who indexes with it checks.
fn absolute(range: impl RangeBounds<usize>, len: usize) -> Range<usize> {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last + 1,
        Bound::Excluded(&end) => end,
        Bound::Unbounded => len,
    };
    start..end
}

impl Default for ByteView {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for ByteView {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Static(bytes) => bytes,
            Repr::Packed { block, start, end } => &block.bytes()[*start as usize..*end as usize],
            Repr::Buffer(buffer) => &buffer.bytes,
        }
    }
}

impl AsRef<[u8]> for ByteView {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for ByteView {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for ByteView {
    fn from(bytes: Vec<u8>) -> Self {
        // Through a boxed slice: spare capacity would be memory that no budget counts.
        if is_packed(bytes.len()) {
            Self::from(&bytes[..])
        } else {
            bytes.into_boxed_slice().into()
        }
    }
}

impl From<Box<[u8]>> for ByteView {
    fn from(bytes: Box<[u8]>) -> Self {
        let len = bytes.len();
        if is_packed(len) { Self::from(&bytes[..]) } else { Self::of_buffer(bytes.into(), len) }
    }
}

impl From<&[u8]> for ByteView {
    fn from(bytes: &[u8]) -> Self {
        match bytes.len() {
            0 => Self::new(),
            len if is_packed(len) => Self::of_block(Block::from(bytes), 0..len),
            len => Self::of_buffer(Bytes::copy_from_slice(bytes), len),
        }
    }
}

impl<const N: usize> From<&[u8; N]> for ByteView {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

impl From<String> for ByteView {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for ByteView {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<ByteView> for Vec<u8> {
    fn from(view: ByteView) -> Self {
        match view.0 {
            Repr::Buffer(buffer) => match Arc::try_unwrap(buffer) {
                Ok(own) => own.bytes.into(),
                Err(shared) => shared.bytes.to_vec(),
            },
            Repr::Static(_) | Repr::Packed { .. } => view.to_vec(),
        }
    }
}

impl PartialEq for ByteView {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for ByteView {}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<&T> for ByteView {
    fn eq(&self, other: &&T) -> bool {
        self[..] == *other.as_ref()
    }
}

impl PartialEq<[u8]> for ByteView {
    fn eq(&self, other: &[u8]) -> bool {
        self[..] == *other
    }
}

impl PartialEq<str> for ByteView {
    fn eq(&self, other: &str) -> bool {
        self[..] == *other.as_bytes()
    }
}

impl PartialEq<Vec<u8>> for ByteView {
    fn eq(&self, other: &Vec<u8>) -> bool {
        self[..] == other[..]
    }
}

impl Hash for ByteView {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self[..].hash(state);
    }
}

impl fmt::Debug for ByteView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self[..self.len().min(DEBUG_PREFIX_BYTES)];
        let more = if shown.len() < self.len() { "…" } else { "" };
        write!(f, "ByteView({} bytes, \"{}{more}\")", self.len(), shown.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_bytes_have_the_same_fingerprint_wherever_they_lie() {
        for len in [0, 1, PACKED_BYTES, PACKED_BYTES + 1, 300_000] {
            let bytes = vec![7; len];
            let view = ByteView::from(bytes.clone());
            let longer = ByteView::from([&[1], &bytes[..], &[2]].concat());
            let part = longer.slice(1..len + 1);
            for same in [view.clone(), view.compact(), part.clone(), part.compact()] {
                assert_eq!(same.fingerprint(), xxh3_64(&bytes), "{len}");
            }
        }
    }

    #[test]
    fn a_clone_and_a_slice_share_the_memory() {
        let view = ByteView::from("slow data".to_owned());
        let (clone, part) = (view.clone(), view.slice(5..));
        assert_eq!(clone.as_ptr(), view.as_ptr());
        assert_eq!(part.as_ptr(), view[5..].as_ptr());
        assert_eq!(part, "data");
    }

    #[test]
    fn equal_bytes_are_equal_and_hash_alike_wherever_they_live() {
        let set = HashSet::from([ByteView::from("xaby").slice(1..3)]);
        assert!(set.contains(&ByteView::from_static(b"ab")));
        assert!(set.contains(b"ab".as_slice()), "found by the bytes it borrows");
        assert!(!set.contains(&ByteView::new()));
    }

    #[test]
    fn debug_prints_the_length_and_a_short_prefix() {
        assert_eq!(format!("{:?}", ByteView::from("a\n")), r#"ByteView(2 bytes, "a\n")"#);
        let long = format!("{:?}", ByteView::from(vec![b'x'; 8 << 20]));
        assert_eq!(long, format!("ByteView(8388608 bytes, \"{}…\")", "x".repeat(32)));
    }

    #[test]
    fn long_bytes_stay_where_they_are_and_short_ones_are_packed() {
        let long = vec![7; PACKED_BYTES + 1].into_boxed_slice();
        let at = long.as_ptr();
        let view = ByteView::from(long);
        assert_eq!((view.as_ptr(), view.slice(1..).as_ptr()), (at, at.wrapping_add(1)));
        let back = Vec::from(view);
        assert_eq!(back.as_ptr(), at, "unshared, the buffer itself comes back");
        assert!(matches!(ByteView::from(vec![7; PACKED_BYTES]).0, Repr::Packed { .. }));
        assert_eq!(size_of::<ByteView>(), 24);
    }

    #[test]
    fn a_part_does_not_keep_a_much_larger_buffer() {
        let whole = ByteView::from(vec![7; 4 * PACKED_BYTES]);
        let (most, part) = (whole.slice(100..), whole.slice(..2 * PACKED_BYTES));
        assert_eq!(most.clone().compact().as_ptr(), most.as_ptr());
        assert_eq!(part.clone().compact(), part);
        assert_ne!(part.clone().compact().as_ptr(), part.as_ptr());
        let body = Bytes::from(vec![7; 9 * PACKED_BYTES]);
        let value = ByteView::part_of_body(body.slice(..2 * PACKED_BYTES), body.len());
        assert_ne!(value.clone().compact().as_ptr(), value.as_ptr());
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_range_beyond_a_view_panics_though_its_memory_goes_on() {
        let _ = ByteView::from("slow data").slice(..4).slice(..6);
    }

    #[test]
    fn conversions_keep_the_bytes() {
        assert_eq!(ByteView::from(vec![1, 2]).to_vec(), [1, 2]);
        assert_eq!(Vec::from(ByteView::from(&[1, 2])), [1, 2]);
        assert_eq!(ByteView::from("ä").as_str(), Ok("ä"));
        assert!(ByteView::from(&[0xff]).as_str().is_err());
        assert_eq!(ByteView::new(), ByteView::default());
    }
}
