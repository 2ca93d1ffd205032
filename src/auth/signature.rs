//! Signatures of requests: made by the node that asks, verified by the one that is asked.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::replay::{Replays, Seen};
use super::secrets::{Key, Secrets};

/// The clocks of two nodes may be so far apart, and a request may be so long under way.
const TOLERANCE: Duration = Duration::from_secs(60);
/// What every MAC of a request is over first.
const DOMAIN: &str = "larder-auth";
const VERSION: &str = "v1";
/// The body's place in the signature of a request that has none.
const NO_BODY: &str = "-";

/// What a signature is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) method: &'a str,
    /// Path and query as they are sent.
    pub(crate) target: &'a str,
    /// The address by which the peers know the node that is asked.
    pub(crate) receiver: &'a str,
}

/// One that signs, under a name that no other has.
#[derive(Debug)]
pub(crate) struct Sender {
    id: String,
    next: AtomicU64,
}

/// One that verifies, and remembers what it has seen.
#[derive(Debug)]
pub(crate) struct Verifier {
    replays: Replays,
    /// When it began to remember, in milliseconds since 1970.
    since: u64,
}

/// The SHA-256 of the body of a verified request; none when it has none.
pub(crate) type BodyHash = Option<[u8; 32]>;

/// Why a signature is refused. All but the first are told only to one who has the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// There is none, or it does not fit the request, whatever the reason.
    Invalid,
    /// The signer's clock is this many milliseconds ahead of the verifier's, or behind it.
    Clock(i64),
    /// It was made before the verifier began to remember, and may have been used before.
    BeforeStart,
    Replayed,
    /// As many have signed lately as can be remembered.
    TooManySenders,
}

impl Sender {
    pub(crate) fn new() -> Self {
        // Need not be secret, only its own: a name says nothing without the secret.
        let id = fastrand::u128(..).to_be_bytes();
        Self { id: base16ct::lower::encode_string(&id), next: AtomicU64::new(0) }
    }

    /// The value of the header that signs this question with this body.
    pub(crate) fn sign(
        &self,
        secrets: &Secrets,
        question: Question<'_>,
        body: &[u8],
        now: u64,
    ) -> String {
        let key = secrets.signing();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let body = match body {
            [] => NO_BODY.to_owned(),
            _ => base16ct::lower::encode_string(&Sha256::digest(body)),
        };
        let mut signature = format!("{VERSION} {} {now} {}-{number} {body}", key.id(), self.id);
        let mac = mac(key, question, &signature).finalize().into_bytes();
        signature.push(' ');
        signature.push_str(&base16ct::lower::encode_string(&mac));
        signature
    }
}

impl Verifier {
    /// One that remembers from now on.
    pub(crate) fn new(now: u64) -> Self {
        Self { replays: Replays::default(), since: now }
    }

    /// Whether the signature is by a holder of one of the secrets, for this question, and new;
    /// what the body has to be then.
    pub(crate) fn verify(
        &self,
        secrets: &Secrets,
        question: Question<'_>,
        signature: &str,
        now: u64,
    ) -> Result<BodyHash, Denied> {
        let claims = Claims::read(signature).ok_or(Denied::Invalid)?;
        let is_by = |key: &Key| mac(key, question, claims.text).verify_slice(&claims.mac).is_ok();
        if !secrets.named(claims.key).any(is_by) {
            return Err(Denied::Invalid);
        }
        let tolerance = TOLERANCE.as_millis() as u64;
        if claims.time.abs_diff(now) > tolerance {
            return Err(Denied::Clock(claims.time.wrapping_sub(now) as i64));
        }
        if claims.time < self.since {
            return Err(Denied::BeforeStart);
        }
        let until = claims.time.saturating_add(tolerance);
        match self.replays.note(claims.sender, claims.number, until, now) {
            Seen::New => Ok(claims.body),
            Seen::Again => Err(Denied::Replayed),
            Seen::Full => Err(Denied::TooManySenders),
        }
    }
}

/// What a signature says.
struct Claims<'a> {
    /// All of it but the MAC.
    text: &'a str,
    key: &'a str,
    time: u64,
    sender: u128,
    number: u64,
    body: BodyHash,
    mac: [u8; 32],
}

impl<'a> Claims<'a> {
    fn read(signature: &'a str) -> Option<Self> {
        let (text, mac) = signature.rsplit_once(' ')?;
        let mut parts = text.split(' ');
        let mut part = || parts.next();
        let (version, key, time, nonce, body) = (part()?, part()?, part()?, part()?, part()?);
        if version != VERSION || part().is_some() {
            return None;
        }
        let (sender, number) = nonce.split_once('-')?;
        Some(Self {
            text,
            key,
            time: time.parse().ok()?,
            sender: u128::from_be_bytes(bytes(sender)?),
            number: number.parse().ok()?,
            body: if body == NO_BODY { None } else { Some(bytes(body)?) },
            mac: bytes(mac)?,
        })
    }
}

/// Lower hexadecimal digits, exactly as many as `N` bytes have.
fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let decoded = base16ct::lower::decode(hex, &mut bytes).ok()?;
    (decoded.len() == N).then_some(bytes)
}

fn mac(key: &Key, question: Question<'_>, claims: &str) -> Hmac<Sha256> {
    let Question { method, target, receiver } = question;
    let mut mac = key.mac();
    for (at, line) in [DOMAIN, method, target, receiver, claims].into_iter().enumerate() {
        if at > 0 {
            mac.update(b"\n");
        }
        mac.update(line.as_bytes());
    }
    mac
}

/// Whether this is the body that was signed.
pub(crate) fn is_of(signed: BodyHash, body: &[u8]) -> bool {
    match signed {
        None => body.is_empty(),
        Some(signed) => Sha256::digest(body).ct_eq(&signed).into(),
    }
}

/// Milliseconds since 1970, by the clock of the machine.
pub(crate) fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |since| since.as_millis() as u64)
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => f.write_str(
                "not signed for this request with a secret that this node has: give all nodes \
                 the same",
            ),
            Self::Clock(ahead) => {
                let side = if *ahead > 0 { "ahead of" } else { "behind" };
                let apart = Duration::from_millis(ahead.unsigned_abs());
                write!(
                    f,
                    "signed by a clock that is {apart:?} {side} this node's, and {TOLERANCE:?} \
                     are allowed: set both by NTP"
                )
            }
            Self::BeforeStart => f.write_str("signed before this node started: sign anew"),
            Self::Replayed => f.write_str("signed once and sent twice, or too late: sign anew"),
            Self::TooManySenders => f.write_str(
                "overloaded: more nodes have signed lately than can be remembered; try again later",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
