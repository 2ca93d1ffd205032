//! A key and its value in one allocation, and what that costs.

use super::expiry::EXPIRY_BYTES;
use super::table::{BIG, EXPIRES};
use crate::byte_view::{Block, ByteView, allocated, is_packed};
use crate::clock::Tick;

/// A key and its value as the cache holds them.
///
/// ```text
///   short value:  [ key | value | expiry ]      one block; the expiry only when there is one
///   long value:   [ key | expiry ] and a view of the buffer that the value came in
/// ```
#[derive(Clone)]
pub(crate) struct Entry {
    pub(super) block: Block,
    pub(super) key_len: u16,
    /// [`BIG`] and [`EXPIRES`].
    pub(super) bits: u16,
    pub(super) big: Option<ByteView>,
}

const TICK_BYTES: usize = size_of::<Tick>();

/// What the place of a long value takes: a node of a tree that is between half and all full.
const BIG_BYTES: usize = 2 * allocated(size_of::<(u32, ByteView)>());

/// What an entry of a key and a value costs in bytes of memory, without its share of the
/// table.
pub(crate) const fn entry_bytes(key_len: usize, value_len: usize, expires: bool) -> usize {
    let tick = if expires { TICK_BYTES } else { 0 };
    let heap = if expires { EXPIRY_BYTES } else { 0 };
    let memory = if is_packed(value_len) {
        Block::footprint(key_len.saturating_add(value_len).saturating_add(tick))
    } else {
        let value = ByteView::buffer_footprint(value_len).saturating_add(BIG_BYTES);
        value.saturating_add(Block::footprint(key_len + tick))
    };
    memory.saturating_add(heap)
}

impl Entry {
    /// None when the key is too long to be cached. A long value is not copied when it is a view
    /// already.
    pub(crate) fn pack<V>(key: &[u8], value: V, expires: Option<Tick>) -> Option<Self>
    where
        V: AsRef<[u8]> + Into<ByteView>,
    {
        let key_len = u16::try_from(key.len()).ok()?;
        let tick = expires.map(Tick::to_bytes);
        let tick = tick.as_ref().map_or(&[][..], |tick| tick);
        let expires = if tick.is_empty() { 0 } else { EXPIRES };
        Some(if is_packed(value.as_ref().len()) {
            let block = Block::join(&[key, value.as_ref(), tick]);
            Self { block, key_len, bits: expires, big: None }
        } else {
            let block = Block::join(&[key, tick]);
            let big = Some(value.into().compact());
            Self { block, key_len, bits: expires | BIG, big }
        })
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.block.bytes()[..usize::from(self.key_len)]
    }

    pub(crate) fn value(&self) -> ByteView {
        value(&self.block, self.key_len, self.bits, self.big.as_ref())
    }

    pub(crate) fn expires(&self) -> Option<Tick> {
        expires(&self.block, self.bits)
    }

    /// As [`entry_bytes`] says.
    pub(crate) fn bytes(&self) -> usize {
        let expires = self.bits & EXPIRES != 0;
        let value_len = match &self.big {
            Some(value) => value.len(),
            None => packed_range(&self.block, self.key_len, self.bits).len(),
        };
        entry_bytes(usize::from(self.key_len), value_len, expires)
    }
}

/// When an entry that lies in pieces expires.
#[inline]
pub(super) fn expires(block: &Block, bits: u16) -> Option<Tick> {
    if bits & EXPIRES == 0 {
        return None;
    }
    block.bytes().last_chunk().copied().and_then(Tick::from_bytes)
}

/// The value of an entry that lies in pieces.
#[inline]
pub(super) fn value(block: &Block, key_len: u16, bits: u16, big: Option<&ByteView>) -> ByteView {
    match big {
        Some(value) => value.clone(),
        None => ByteView::of_block(block.clone(), packed_range(block, key_len, bits)),
    }
}

/// Where a short value lies in its block.
#[inline]
fn packed_range(block: &Block, key_len: u16, bits: u16) -> std::ops::Range<usize> {
    let tick = if bits & EXPIRES != 0 { TICK_BYTES } else { 0 };
    usize::from(key_len)..block.bytes().len() - tick
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn what_is_packed_comes_out_again() {
        let soon = Clock::monotonic().now();
        for (len, expires) in [(0, None), (5, Some(soon)), (40_000, None), (40_000, Some(soon))] {
            let value = ByteView::from(vec![7; len]);
            let entry = Entry::pack(b"key", value.clone(), expires).unwrap();
            assert_eq!((entry.key(), entry.value()), (&b"key"[..], value));
            assert_eq!(entry.expires(), expires);
            assert_eq!(entry.bytes(), entry_bytes(3, len, expires.is_some()));
        }
    }

    #[test]
    fn a_short_entry_is_one_allocation_of_its_size() {
        assert_eq!(entry_bytes(20, 100, false), 144);
        assert_eq!(entry_bytes(32, 1_000, false), 1_056);
    }

    #[test]
    fn a_key_of_more_than_64_kib_is_not_packed() {
        assert!(Entry::pack(&[b'k'; 1 << 16], ByteView::new(), None).is_none());
        let longest = Entry::pack(&[b'k'; (1 << 16) - 1], ByteView::new(), None).unwrap();
        assert_eq!(longest.key().len(), (1 << 16) - 1);
    }
}
