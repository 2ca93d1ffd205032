//! How a missing key is loaded, and what a load gives.

use std::time::Duration;

use crate::byte_view::ByteView;
use crate::error::BoxError;

/// Loads the value of a key from where it lives: a database, a renderer, a remote file.
///
/// Any closure `Fn(&str) -> Result<V, BoxError>` is a getter when `V` converts into [`Loaded`]:
/// `Vec<u8>`, `String`, `&str`, [`ByteView`], or a [`Loaded`] with a time to live.
///
/// A getter runs on a thread of larder's, with no lock held; it may block and may panic. It is
/// called once for a key however many callers wait. It may get keys of other groups, and other
/// keys of its own; a get of the key that it is loading is an error.
pub trait Getter: Send + Sync + 'static {
    /// Loads `key`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::NotFound) when the origin has no such key, any other error when it
    /// could not be asked. Neither is cached, unless the group is told to
    /// ([`not_found_ttl`](crate::GroupOptions::not_found_ttl),
    /// [`error_ttl`](crate::GroupOptions::error_ttl)).
    fn get(&self, key: &str) -> Result<Loaded, BoxError>;
}

impl<F, V> Getter for F
where
    F: Fn(&str) -> Result<V, BoxError> + Send + Sync + 'static,
    V: Into<Loaded>,
{
    fn get(&self, key: &str) -> Result<Loaded, BoxError> {
        self(key).map(Into::into)
    }
}

/// A value as a getter gives it, with an optional time to live.
///
/// ```
/// use std::time::Duration;
/// use larder::Loaded;
///
/// let short_lived = Loaded::new("630").with_ttl(Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub(crate) value: ByteView,
    pub(crate) ttl: Option<Duration>,
    /// How old the value is, when it comes from a peer that has it stale.
    pub(crate) stale_age_secs: Option<u32>,
    /// How often a minute the peer that it comes from is asked for it, when the peer says so.
    pub(crate) minute_qps: Option<u32>,
}

impl Loaded {
    /// A value that lives as long as its group says: by default until it is evicted.
    pub fn new(value: impl Into<ByteView>) -> Self {
        Self { value: value.into(), ttl: None, stale_age_secs: None, minute_qps: None }
    }

    /// The same value, which expires `ttl` after the load, or a little earlier
    /// ([`GroupOptions::ttl_jitter`](crate::GroupOptions::ttl_jitter)).
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }
}

impl<T: Into<ByteView>> From<T> for Loaded {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}
