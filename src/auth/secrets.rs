//! The secrets that the nodes of a cluster share.

use std::fmt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::lines;
use crate::error::{Error, Result};

/// A secret is no shorter, in bytes.
const SHORTEST: usize = 16;
/// What a secret's fingerprint is the MAC of.
const FINGERPRINT: &[u8] = b"larder-key-id";

/// The secrets that the nodes of a cluster share: the first signs, and all of them verify.
///
/// To change a secret while the cluster runs, take three rounds over its nodes: give each the new
/// one behind the old, then before it, and then alone.
///
/// ```
/// let secrets = larder::Secrets::parse("# of March\n9f86d081884c7d659a2feaa0c55ad015\n")?;
/// assert!(!format!("{secrets:?}").contains("9f86"));
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Never empty.
    keys: Vec<Key>,
}

/// One secret, ready for use.
#[derive(Clone)]
pub(super) struct Key {
    mac: Hmac<Sha256>,
    /// Tells secrets apart and does not give them away.
    fingerprint: [u8; 32],
    /// Its start, as signatures name the secret.
    id: String,
}

impl Secrets {
    /// Reads secrets, one a line, of 16 bytes at least. Space around them, blank lines and lines
    /// that start with `#` are ignored.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`] when there is none or one is too short.
    pub fn parse(text: &str) -> Result<Self> {
        let keys = lines(text).map(|(line, secret)| match secret.len() {
            len if len < SHORTEST => {
                let reason = format!(
                    "line {line} has {len} bytes: a secret takes {SHORTEST} at least, such as \
                     `openssl rand -hex 32` prints"
                );
                Err(Error::bad_setting("secret", reason))
            }
            _ => Ok(Key::new(secret.as_bytes())),
        });
        let keys = keys.collect::<Result<Vec<_>>>()?;
        if keys.is_empty() {
            return Err(Error::bad_setting("secret", "there is none: write one a line"));
        }
        Ok(Self { keys })
    }

    /// Reads a file as [`parse`](Self::parse) reads a text.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`], which names the file, also when it cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        super::read(path.as_ref(), Self::parse)
    }

    /// The secret that signs.
    pub(super) fn signing(&self) -> &Key {
        &self.keys[0]
    }

    /// The secrets of this name; two of one name are as likely as a lottery's first prize.
    pub(super) fn named(&self, id: &str) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.id == id)
    }
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length");
        let fingerprint: [u8; 32] =
            Mac::chain_update(Hmac::clone(&mac), FINGERPRINT).finalize().into_bytes().into();
        let id = base16ct::lower::encode_string(&fingerprint[..4]);
        Self { mac, fingerprint, id }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Starts a MAC.
    pub(super) fn mac(&self) -> Hmac<Sha256> {
        self.mac.clone()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Key {}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(Key::id).collect();
        write!(f, "Secrets({})", ids.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "the old secret, long enough";
    const NEW: &str = "the new secret, long enough";

    #[test]
    fn secrets_stand_one_a_line_among_comments_and_blank_lines() {
        let text = format!("# since May\n\n  {NEW} \r\n\t{OLD}\n# the end");
        let secrets = Secrets::parse(&text).unwrap();
        let expected = [Key::new(NEW.as_bytes()), Key::new(OLD.as_bytes())];
        assert!(secrets.keys == expected);
        assert_eq!(secrets.signing().id(), expected[0].id());
        assert!(secrets.named(expected[1].id()).eq([&expected[1]]));
    }

    #[test]
    fn a_short_secret_is_told_by_its_line_and_not_shown() {
        let error = Secrets::parse(&format!("{OLD}\n# short\nhunter2\n")).unwrap_err().to_string();
        assert!(error.contains("line 3 has 7 bytes") && error.contains("16"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        assert!(Secrets::parse("0123456789abcdef").is_ok());
        assert!(Secrets::parse("0123456789abcde").is_err());
    }

    #[test]
    fn no_secret_at_all_is_refused() {
        for text in ["", "\n\n", "# only a comment that is long enough\n"] {
            assert!(Secrets::parse(text).unwrap_err().to_string().contains("there is none"));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_or_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for write in [None, Some("short")] {
            if let Some(text) = write {
                std::fs::write(&path, text).unwrap();
            }
            let error = Secrets::read(&path).unwrap_err();
            assert!(matches!(error, Error::BadSetting { .. }), "{error:?}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        std::fs::write(&path, OLD).unwrap();
        assert_eq!(Secrets::read(&path), Secrets::parse(OLD));
    }
}
