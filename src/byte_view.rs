//! Immutable bytes that are cheap to clone.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, RangeBounds};

use bytes::Bytes;

/// Immutable bytes; a clone is a reference count, whatever the length.
///
/// What a getter returns and what [`Group::get`](crate::Group::get) hands out. A `ByteView`
/// dereferences to `[u8]`, so every slice method is at hand.
///
/// ```
/// use larder::ByteView;
///
/// let page = ByteView::from("<h1>larder</h1>");
/// assert_eq!(page.len(), 15);
/// assert_eq!(page.slice(4..10), "larder");
/// ```
#[derive(Clone, Default)]
pub struct ByteView(Bytes);

/// How many bytes `Debug` shows before it cuts.
const DEBUG_PREFIX_BYTES: usize = 32;

impl ByteView {
    /// An empty view; allocates nothing.
    pub const fn new() -> Self {
        Self(Bytes::new())
    }

    /// A view of bytes that live as long as the program; allocates nothing.
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        Self(Bytes::from_static(bytes))
    }

    /// A view of a part of these bytes, sharing the same memory.
    ///
    /// # Panics
    ///
    /// Panics when the range ends before it starts or past the end, as slicing does.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        Self(self.0.slice(range))
    }

    /// The bytes, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// The bytes as text, when they are UTF-8.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not UTF-8, as [`std::str::from_utf8`] does.
    pub fn as_str(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.0)
    }

    pub(crate) fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Deref for ByteView {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for ByteView {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for ByteView {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for ByteView {
    fn from(bytes: Vec<u8>) -> Self {
        // Through a boxed slice: spare capacity would be memory that no budget counts.
        Self(Bytes::from(bytes.into_boxed_slice()))
    }
}

impl From<Box<[u8]>> for ByteView {
    fn from(bytes: Box<[u8]>) -> Self {
        Self(Bytes::from(bytes))
    }
}

impl From<&[u8]> for ByteView {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for ByteView {
    fn from(bytes: &[u8; N]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
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
        view.0.into()
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
    fn conversions_keep_the_bytes() {
        assert_eq!(ByteView::from(vec![1, 2]).to_vec(), [1, 2]);
        assert_eq!(Vec::from(ByteView::from(&[1, 2])), [1, 2]);
        assert_eq!(ByteView::from("ä").as_str(), Ok("ä"));
        assert!(ByteView::from(&[0xff]).as_str().is_err());
        assert_eq!(ByteView::new(), ByteView::default());
    }
}
