//! One allocation that holds bytes and the count of who shares them.

use std::cell::RefCell;
use std::fmt;

use triomphe::ThinArc;

/// Immutable bytes behind one pointer: count, length and bytes are a single allocation.
#[derive(Clone)]
pub(crate) struct Block(ThinArc<(), u8>);

/// What stands before the bytes: count and length.
const HEAD_BYTES: usize = 2 * size_of::<usize>();

thread_local! {
    /// Where parts are joined: a block is made from one slice. Grows to the largest block that
    /// the thread has made, which is small.
    static JOINED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Block {
    /// A block of all `parts`, one after the other.
    pub(crate) fn join(parts: &[&[u8]]) -> Self {
        JOINED.with_borrow_mut(|joined| {
            joined.clear();
            for part in parts {
                joined.extend_from_slice(part);
            }
            Self::from(&joined[..])
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.slice
    }

    /// Bytes of memory that a block of `len` bytes takes.
    pub(crate) const fn footprint(len: usize) -> usize {
        allocated(HEAD_BYTES.saturating_add(len))
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} bytes)", self.bytes().len())
    }
}

impl From<&[u8]> for Block {
    fn from(bytes: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice((), bytes))
    }
}

/// From so many bytes on, glibc's allocator maps pages for an allocation alone.
const MAPPED_BYTES: usize = 128 << 10;

/// Should so many bytes have pages of their own?
pub(crate) const fn is_mapped(len: usize) -> bool {
    len >= MAPPED_BYTES
}

/// An empty vector of this capacity, on pages that no other allocation shares if it is so large
/// that it should have them.
///
/// Freed pages that are shared stay with the process until all around them is free, which is
/// never: a cache of values of many sizes grows to twice its budget. glibc raises its threshold
/// for mapping to the largest that was freed, but to 32 MiB at most; so more is asked for,
/// which costs nothing before it is written to, and given back in place. Other allocators give
/// pages back by themselves.
pub(crate) fn with_own_pages<T>(capacity: usize) -> Vec<T> {
    const ALWAYS_MAPPED: usize = (32 << 20) + 1;
    if !is_mapped(capacity.saturating_mul(size_of::<T>())) {
        return Vec::with_capacity(capacity);
    }
    let mut own = Vec::with_capacity(capacity.max(ALWAYS_MAPPED.div_ceil(size_of::<T>())));
    own.shrink_to(capacity);
    own
}

/// The bytes, copied to memory of their own.
pub(crate) fn on_own_pages(bytes: &[u8]) -> Box<[u8]> {
    let mut own = with_own_pages(bytes.len());
    own.extend_from_slice(bytes);
    own.into_boxed_slice()
}

/// What glibc's allocator takes for `len` bytes: a header of 8 bytes, rounded up to 16, and
/// whole pages for what it maps on its own. Others take about as much.
pub(crate) const fn allocated(len: usize) -> usize {
    const SMALLEST: usize = 32;
    const PAGE: usize = 4 << 10;
    let unit = if !is_mapped(len) { 16 } else { PAGE };
    let rounded = len.saturating_add(8 + unit - 1) & !(unit - 1);
    if rounded < SMALLEST { SMALLEST } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_in_one_allocation_behind_one_pointer() {
        let block = Block::join(&[b"key", b"", b"value"]);
        assert_eq!(block.bytes(), b"keyvalue");
        assert_eq!(block.clone().bytes().as_ptr(), block.bytes().as_ptr());
        assert_eq!(size_of::<Option<Block>>(), size_of::<usize>());
    }

    #[test]
    fn own_pages_are_no_more_than_was_asked_for() {
        for capacity in [0, 1, 1 << 10, 1 << 16, 3 << 20] {
            assert_eq!(with_own_pages::<u32>(capacity).capacity(), capacity);
        }
        let bytes = vec![7; 200_000];
        assert_eq!(*on_own_pages(&bytes), bytes);
    }

    #[test]
    fn a_footprint_is_what_glibc_takes() {
        // 20 + 100 bytes, count and length, and the allocator's header: nothing is rounded.
        assert_eq!(Block::footprint(120), 144);
        assert_eq!(Block::footprint(121), 160);
        assert_eq!(Block::footprint(0), 32);
        assert_eq!(allocated(1 << 20), (1 << 20) + (4 << 10));
    }
}
