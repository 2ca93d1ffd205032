//! The tokens of clients.

use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::lines;
use crate::error::{Error, Result};

/// A token is no shorter, in bytes.
const SHORTEST: usize = 16;

/// The bearer tokens of the clients of a listener, each with what it may do.
///
/// ```
/// let tokens = larder::Tokens::parse(
///     "# one a line
///     read  5f4dcc3b5aa765d61d8327deb882cf99
///     write 7c6a180b36896a0a8c02787eeafb0e4c",
/// )?;
/// assert_eq!(format!("{tokens:?}"), "Tokens(1 read, 1 write)");
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// By the token's SHA-256. Never empty.
    rights: Vec<([u8; 32], Right)>,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// GET and HEAD.
    Read,
    /// Every method.
    Write,
}

impl Tokens {
    /// Reads tokens, one a line: `read TOKEN` or `write TOKEN`, and who may write may read.
    /// Blank lines and lines that start with `#` are ignored. A token has 16 signs at least, out
    /// of letters, digits and `-._~+/=`.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`] when there is none, or a line is none of these or a token stands
    /// twice.
    pub fn parse(text: &str) -> Result<Self> {
        let mut rights: Vec<([u8; 32], Right)> = Vec::new();
        for (number, line) in lines(text) {
            let bad = |reason| Error::bad_setting("tokens", format!("line {number} {reason}"));
            let (right, token) = line
                .split_once(char::is_whitespace)
                .and_then(|(right, token)| Some((Right::from_name(right)?, token.trim_start())))
                .ok_or_else(|| bad("is neither `read TOKEN` nor `write TOKEN`".to_owned()))?;
            if token.len() < SHORTEST || !token.bytes().all(is_token_byte) {
                return Err(bad(format!(
                    "has no token of {SHORTEST} signs at least, out of letters, digits and \
                     -._~+/=; `openssl rand -hex 32` prints one"
                )));
            }
            let digest = digest(token.as_bytes());
            if rights.iter().any(|(known, _)| *known == digest) {
                return Err(bad("has a token that an earlier line has".to_owned()));
            }
            rights.push((digest, right));
        }
        if rights.is_empty() {
            let reason = "there is none: write `read TOKEN` or `write TOKEN`, one a line";
            return Err(Error::bad_setting("tokens", reason));
        }
        Ok(Self { rights })
    }

    /// Reads a file as [`parse`](Self::parse) reads a text.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`], which names the file, also when it cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        super::read(path.as_ref(), Self::parse)
    }

    /// What the token in an `Authorization` header allows.
    ///
    /// Digests are compared, to the last byte of the last one: neither a token that starts as
    /// one of these nor its place among them shows in the time that it takes.
    pub(crate) fn right_of(&self, authorization: &str) -> Option<Right> {
        let (scheme, token) = authorization.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let digest = digest(token.trim_matches(' ').as_bytes());
        let mut found = Right::NONE;
        for (known, right) in &self.rights {
            found.conditional_assign(&right.byte(), known.ct_eq(&digest));
        }
        Right::from_byte(found)
    }
}

impl Right {
    const NONE: u8 = 0;

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            _ => None,
        }
    }

    /// As a number, which can be chosen without a branch.
    fn byte(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Read, Self::Write].into_iter().find(|right| right.byte() == byte)
    }
}

/// What RFC 6750 allows in a token.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |right| self.rights.iter().filter(|(_, known)| *known == right).count();
        write!(f, "Tokens({} read, {} write)", count(Right::Read), count(Right::Write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "reader-0123456789";
    const WRITE: &str = "writer+0123456789/==";

    fn tokens() -> Tokens {
        Tokens::parse(&format!("# who\nread {READ}\n\n write\t {WRITE}  \n")).unwrap()
    }

    #[test]
    fn a_token_allows_what_its_line_says() {
        let tokens = tokens();
        assert_eq!(tokens.right_of(&format!("Bearer {READ}")), Some(Right::Read));
        assert_eq!(tokens.right_of(&format!("bearer  {WRITE} ")), Some(Right::Write));
    }

    #[test]
    fn what_is_no_token_allows_nothing() {
        let tokens = tokens();
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            READ,
            &format!("Basic {READ}"),
            &format!("Bearer{READ}"),
            &format!("Bearer {READ}x"),
            &format!("Bearer {READ} {WRITE}"),
            &format!("Bearer {}", &READ[..READ.len() - 1]),
            &format!("Bearer {}", READ.to_uppercase()),
        ] {
            assert_eq!(tokens.right_of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn none_of_ten_thousand_wrong_tokens_allows_anything() {
        let tokens = tokens();
        let mut random = fastrand::Rng::with_seed(7);
        for n in 0..10_000 {
            let mut token = [READ, WRITE][n % 2].as_bytes().to_vec();
            let at = random.usize(..token.len());
            token[at] = b'!' + (token[at] - b'!' + random.u8(1..94)) % 94;
            let token = String::from_utf8(token).unwrap();
            assert_eq!(tokens.right_of(&format!("Bearer {token}")), None, "{token}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_used_is_told_by_its_number_and_not_shown() {
        for (line, reason) in [
            ("hunter2-hunter2-hunter2", "neither"),
            ("admin hunter2-hunter2-hunter2", "neither"),
            ("read hunter2", "16 signs"),
            ("read hunter2 hunter2 hunter2", "16 signs"),
            ("read hunter2,hunter2,hunter2", "16 signs"),
            (&format!("write {READ}"), "earlier line"),
        ] {
            let error = Tokens::parse(&format!("# who\nread {READ}\n{line}\n")).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("line 3") && error.contains(reason), "{error}");
            assert!(!error.contains("hunter2") && !error.contains(READ), "{error}");
        }
        assert!(Tokens::parse("# none\n").unwrap_err().to_string().contains("there is none"));
    }
}
