//! Who may ask: decided from a request's head, before its body is read and before anything is
//! looked up, so that a refusal tells nothing of what is there.

use super::answer::Answer;
use super::head::Method;

/// What a guard is shown of a request.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "auth"), expect(dead_code, reason = "there are no guards"))]
pub(crate) struct Asked<'a> {
    pub(crate) method: Method,
    /// Path and query, not decoded.
    pub(crate) target: &'a str,
    pub(crate) credentials: Credentials<'a>,
}

/// The header fields that tell who asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Credentials<'a> {
    /// `Authorization`.
    pub(crate) authorization: Option<&'a str>,
    /// `Larder-Auth`.
    pub(crate) signature: Option<&'a str>,
}

/// The SHA-256 that was signed of a request's body; none when it was signed without one, or not
/// signed.
pub(crate) type BodyHash = Option<[u8; 32]>;

/// Admits requests to a listener, or refuses and counts them.
pub(crate) trait Guard: Send + Sync + 'static {
    /// Whether the request may be carried out; the answer when it may not.
    fn admit(&self, asked: Asked<'_>) -> Result<BodyHash, Answer>;

    /// Whether the body is the one with which the request was admitted.
    fn admit_body(&self, hash: BodyHash, body: &[u8]) -> Result<(), Answer>;
}
