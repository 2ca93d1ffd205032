//! Ready-made getters, written as text: `dir:PATH`, `sqlite:PATH?sql=SELECT ...`, `static:...`.

mod fixed;
#[cfg(all(unix, feature = "dir"))]
mod dir;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{BoxError, Error, Result};
use crate::getter::{Getter, Loaded};

/// Where keys are looked up: one kind of origin, already opened and checked.
trait Source: fmt::Debug + Send + Sync {
    /// The value of `key`, refused beyond `value_bytes`.
    fn load(&self, key: &str, value_bytes: usize) -> Result<Loaded, BoxError>;
}

/// A ready-made getter, parsed from its text form.
///
/// | text | value of a key |
/// | --- | --- |
/// | `dir:PATH` | the bytes of the file `key` below the folder |
/// | `sqlite:PATH?sql=SELECT ...` | the one column of the first row, the key being `?1` |
/// | `static:Tom=630,Jack=589` | what is written there |
///
/// A key that the origin does not have is [`NotFound`](crate::NotFound). Cloning shares what is
/// open.
///
/// **`dir:`** The key is names separated by `/`. Nothing outside of the folder is ever read: a
/// key with `..`, `.` or an empty name, and a symbolic link that leads outside, are not found,
/// as are folders and files that are not regular. A backslash is a letter like any other. The
/// folder is opened once, so one put in its place later is not seen. To change a file under
/// load, rename a new one over it: a file being written is read half-written. Feature `dir`,
/// on Unix.
///
/// **`sqlite:`** All after the first `?sql=` is SQL, as it stands: no percent-decoding. It must
/// be one query that only reads, with one parameter and one column. TEXT and BLOB are handed
/// out as they are, numbers as decimal text; NULL is not found. The file is opened read-only and
/// never created; in WAL mode its folder must be writable all the same. Feature `sqlite`.
///
/// **`static:`** Values may hold `=`, but no comma; spaces around keys and values are dropped.
///
/// ```
/// use larder::Group;
/// use larder::origin::Origin;
///
/// let scores = Group::new("scores", 1 << 20, Origin::parse("static:Tom=630,Jack=589")?)?;
/// assert_eq!(scores.get("Tom")?, "630");
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Origin {
    text: Arc<str>,
    source: Arc<dyn Source>,
    delay: Duration,
    value_bytes: usize,
}

impl Origin {
    /// Opens the origin that `text` names.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`] when the text is of no known form, and when the folder, the
    /// database or the query cannot be used.
    pub fn parse(text: &str) -> Result<Self> {
        let source =
            open(text).map_err(|reason| Error::bad_setting(format!("origin {text:?}"), reason))?;
        Ok(Self { text: text.into(), source, delay: Duration::ZERO, value_bytes: 8 << 20 })
    }

    /// Waits before each load, to show what a slow origin is like. Defaults to no wait.
    #[must_use]
    pub fn with_delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Longest value, in bytes; a longer one is an error and not read whole. Best the same as
    /// [`GroupOptions::value_bytes`](crate::GroupOptions::value_bytes). Defaults to 8 MiB.
    #[must_use]
    pub fn with_value_bytes(self, value_bytes: usize) -> Self {
        Self { value_bytes, ..self }
    }
}

impl Getter for Origin {
    fn get(&self, key: &str) -> Result<Loaded, BoxError> {
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        self.source.load(key, self.value_bytes)
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// The text that it was parsed from.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const FORMS: &str = "write dir:PATH, sqlite:PATH?sql=SELECT ... or static:KEY=VALUE,...";

/// The source, or the reason why there is none.
fn open(text: &str) -> Result<Arc<dyn Source>, String> {
    let (kind, rest) = text.split_once(':').ok_or_else(|| format!("names no kind: {FORMS}"))?;
    match kind {
        #[cfg(all(unix, feature = "dir"))]
        "dir" => Ok(Arc::new(dir::Dir::open(rest)?)),
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(Arc::new(sqlite::Sqlite::open(rest)?)),
        "static" => Ok(Arc::new(fixed::Fixed::parse(rest)?)),
        // Reached only for a kind whose arm above is not compiled in.
        _ if ["dir", "sqlite"].contains(&kind) => {
            Err(format!("this larder was built without it: build with the feature `{kind}`"))
        }
        _ => Err(format!("{kind:?} is no kind of origin: {FORMS}")),
    }
}

fn check_len(len: usize, value_bytes: usize) -> Result<(), BoxError> {
    if len <= value_bytes {
        return Ok(());
    }
    let advice = "split it, or raise `value_bytes`";
    Err(format!("value of {len} bytes is over the limit of {value_bytes}: {advice}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::NotFound;

    /// What a load gave: the value, nothing, or a message.
    pub(super) fn outcome(loaded: Result<Loaded, BoxError>) -> Result<Option<String>, String> {
        match loaded {
            Ok(loaded) => Ok(Some(String::from_utf8_lossy(&loaded.value).into_owned())),
            Err(error) if error.is::<NotFound>() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn an_unknown_kind_is_told_which_kinds_there_are() {
        for text in ["redis:localhost", "dirs:/tmp", "", "Tom=630", "/tmp"] {
            let error = Origin::parse(text).unwrap_err().to_string();
            for word in [&format!("{text:?}"), "dir:PATH", "sqlite:PATH?sql=", "static:KEY"] {
                assert!(error.contains(word), "{word} is missing in {error:?}");
            }
        }
    }

    #[test]
    fn it_prints_as_it_was_written() {
        let text = "static:Tom=630,Jack=589";
        assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
    }

    #[test]
    fn a_value_over_the_limit_is_refused_with_both_sizes() {
        let origin = Origin::parse("static:Tom=630").unwrap();
        assert_eq!(outcome(origin.clone().with_value_bytes(3).get("Tom")).unwrap().unwrap(), "630");
        let error = outcome(origin.with_value_bytes(2).get("Tom")).unwrap_err();
        assert!(error.contains("3 bytes") && error.contains("limit of 2"), "{error}");
    }

    #[test]
    fn a_delay_comes_before_each_load() {
        let delay = Duration::from_millis(20);
        let origin = Origin::parse("static:Tom=630").unwrap().with_delay(delay);
        let start = std::time::Instant::now();
        assert_eq!(outcome(origin.get("Tom")).unwrap().unwrap(), "630");
        assert_eq!(outcome(origin.get("Ann")), Ok(None));
        assert!(start.elapsed() >= 2 * delay);
    }
}
