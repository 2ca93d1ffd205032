//! Values as peers send them to each other.

use std::ops::Deref;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use xxhash_rust::xxh3::Xxh3;

use super::dialect::{Answers, Expiry, Spec};
use super::pb::GetResponse;
use crate::byte_view::ByteView;
use crate::getter::Loaded;

/// The number of `GetResponse.value` in `proto/larder.proto`.
const VALUE_FIELD: u32 = 1;

/// More than all fields of one dialect take but the value, whose tag and length are counted.
const BEFORE_VALUE_BYTES: usize = 47;

/// What stands before a value on its way to a peer; in place, so that a hit allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BeforeValue {
    bytes: [u8; BEFORE_VALUE_BYTES],
    len: u8,
}

impl Default for BeforeValue {
    fn default() -> Self {
        Self { bytes: [0; BEFORE_VALUE_BYTES], len: 0 }
    }
}

#[cfg(test)]
impl From<&[u8]> for BeforeValue {
    fn from(bytes: &[u8]) -> Self {
        let mut before = Self::default();
        before.bytes[..bytes.len()].copy_from_slice(bytes);
        before.len = bytes.len() as u8;
        before
    }
}

impl Deref for BeforeValue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }
}

/// What stands before the value in a `GetResponse` message.
///
/// The value's field comes last, so that a value is sent from where it lies: message = this,
/// then the value's bytes. Go nodes skip the fields that they do not know.
pub(crate) fn encode_before_value(
    spec: &Spec,
    group: &str,
    key: &str,
    loaded: &Loaded,
    epoch: u64,
) -> BeforeValue {
    let ttl_ms = loaded.ttl.map(in_millis);
    let stale_age_secs = loaded.stale_age_secs;
    let expire = match (spec.expiry, stale_age_secs) {
        (Expiry::Unsaid, _) => None,
        (Expiry::UnixNanos, None) => Some(loaded.ttl.map_or(NEVER, unix_nanos_after)),
        (Expiry::UnixNanos, Some(_)) => Some(unix_nanos_after(STALE_AMONG_GO)),
    };
    // What is stale is not kept, whatever the rate.
    let minute_qps = loaded.minute_qps.filter(|_| stale_age_secs.is_none()).map(f64::from);
    // Where there is an epoch there is no `expire`: together they would not fit.
    let epoch = Some(epoch).filter(|&epoch| epoch != 0 && spec.expiry == Expiry::Unsaid);
    let mut fields =
        GetResponse { minute_qps, expire, ttl_ms, stale_age_secs, epoch, ..GetResponse::default() };
    fields.checksum = Some(checksum(group, key, &loaded.value, &fields));
    let mut before = BeforeValue::default();
    let mut room = &mut before.bytes[..];
    let encoded = fields.encode(&mut room);
    debug_assert!(encoded.is_ok(), "room for every field");
    encode_key(VALUE_FIELD, WireType::LengthDelimited, &mut room);
    encode_varint(loaded.value.len() as u64, &mut room);
    before.len = (BEFORE_VALUE_BYTES - room.len()) as u8;
    before
}

/// Reads a `GetResponse` and checks that it answers for this group and key; with the value comes
/// the epoch that the peer has it from.
///
/// A long value is a part of `body`, not a copy.
pub(crate) fn decode(
    spec: &Spec,
    group: &str,
    key: &str,
    body: Vec<u8>,
) -> Result<(Loaded, u64), String> {
    let held = body.capacity();
    let mut message = GetResponse::decode(Bytes::from(body)).map_err(|error| error.to_string())?;
    let value = ByteView::part_of_body(message.value.take().unwrap_or_default(), held);
    match (message.checksum, spec.answers) {
        (None, Answers::Sealed) => return Err("the answer carries no checksum".to_owned()),
        (Some(sent), _) if sent != checksum(group, key, &value, &message) => {
            return Err("the checksum is wrong: a damaged answer, or one to another key".to_owned());
        }
        (Some(_), _) | (None, Answers::Plain) => {}
    }
    let ttl = match (message.ttl_ms, spec.expiry) {
        (Some(ttl_ms), _) => Some(Duration::from_millis(ttl_ms)),
        (None, Expiry::Unsaid) => None,
        (None, Expiry::UnixNanos) => ttl_until(message.expire)?,
    };
    let is_fresh = message.stale_age_secs.is_none();
    let minute_qps = message.minute_qps.filter(|_| is_fresh).map(|rate| rate as u32);
    // What is stale has no time left, whatever else is said of it.
    let ttl = if is_fresh { ttl.map(|ttl| ttl.min(LONGEST_TTL)) } else { Some(Duration::ZERO) };
    let loaded = Loaded { value, ttl, stale_age_secs: message.stale_age_secs, minute_qps };
    Ok((loaded, message.epoch.unwrap_or_default()))
}

/// What Go nodes are told of a value that is stale: of one that has expired they would take no
/// notice, and load the key themselves.
const STALE_AMONG_GO: Duration = Duration::from_secs(1);

/// `expire` of what does not expire.
pub(super) const NEVER: i64 = 0;

/// The moment `ttl` from now; what lies beyond the end of the family's time never comes.
pub(super) fn unix_nanos_after(ttl: Duration) -> i64 {
    i64::try_from(since_1970().saturating_add(ttl).as_nanos()).unwrap_or(NEVER)
}

/// What is left until the moment `expire`; none when that is never.
pub(super) fn ttl_until(expire: Option<i64>) -> Result<Option<Duration>, String> {
    let Some(expire) = expire.filter(|&expire| expire != NEVER) else { return Ok(None) };
    let expires = u64::try_from(expire).ok().map(Duration::from_nanos);
    let left = expires.and_then(|expires| expires.checked_sub(since_1970()));
    left.map(Some).ok_or_else(|| {
        format!("the value expired at {expire} ns since 1970: old, or the clocks disagree")
    })
}

fn since_1970() -> Duration {
    // A clock before 1970 is wrong; with it everything lives too long rather than too short.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// XXH3 over everything that matters, lengths first so that no two inputs run together.
fn checksum(group: &str, key: &str, value: &[u8], fields: &GetResponse) -> u64 {
    let mut hasher = Xxh3::new();
    for part in [group.as_bytes(), key.as_bytes(), value] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(&fields.ttl_ms.map_or([0; 9], |ttl_ms| {
        let mut bytes = [1; 9];
        bytes[1..].copy_from_slice(&ttl_ms.to_le_bytes());
        bytes
    }));
    // A part that is missing adds nothing, so each that is there says which it is.
    for (field, part) in [
        (18, fields.stale_age_secs.map(u64::from)),
        (2, fields.minute_qps.map(f64::to_bits)),
        (19, fields.epoch),
    ] {
        if let Some(part) = part {
            hasher.update(&[field]);
            hasher.update(&part.to_le_bytes());
        }
    }
    hasher.digest()
}

/// 139 years, further than any clock here goes: six bytes on the wire.
const LONGEST_TTL: Duration = Duration::from_millis((1 << 42) - 1);

pub(super) fn in_millis(ttl: Duration) -> u64 {
    ttl.min(LONGEST_TTL).as_millis() as u64
}

/// What a caller that knows of a purge puts behind the path of a get: a node that has missed it is
/// to learn of it, and not of one that there never was.
pub(crate) fn epoch_query(group: &str, epoch: u64) -> String {
    if epoch == 0 {
        return String::new();
    }
    format!("?epoch={epoch:x}-{:x}", epoch_checksum(group, epoch))
}

/// The epoch in a target, when it is one.
pub(crate) fn epoch_in(group: &str, target: &str) -> Option<u64> {
    let (_, query) = target.split_once('?')?;
    let (epoch, sent) = query.strip_prefix("epoch=")?.split_once('-')?;
    let [epoch, sent] = [epoch, sent].map(|hex| u64::from_str_radix(hex, 16).ok());
    epoch.filter(|&epoch| sent == Some(epoch_checksum(group, epoch)))
}

fn epoch_checksum(group: &str, epoch: u64) -> u64 {
    checksum(group, "", &[], &GetResponse { epoch: Some(epoch), ..GetResponse::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Dialect;

    /// The value alone.
    fn decode(spec: &Spec, group: &str, key: &str, body: Vec<u8>) -> Result<Loaded, String> {
        super::decode(spec, group, key, body).map(|(loaded, _)| loaded)
    }

    #[test]
    fn the_epoch_goes_with_the_value_and_under_its_checksum() {
        let loaded = Loaded::new("630").with_ttl(Duration::MAX);
        let spec = NATIVE.spec();
        let mut body = encode_before_value(spec, "g", "k", &loaded, u64::MAX).to_vec();
        body.extend_from_slice(&loaded.value);
        let (_, epoch) = super::decode(spec, "g", "k", body.clone()).unwrap();
        assert_eq!(epoch, u64::MAX);
        for bit in 0..body.len() * 8 {
            let mut damaged = body.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let read = super::decode(spec, "g", "k", damaged);
            assert!(read.is_err() || read == super::decode(spec, "g", "k", body.clone()), "{bit}");
        }
        let target = format!("/_larder/g/k{}", epoch_query("g", 7));
        assert_eq!(epoch_in("g", &target), Some(7));
        assert_eq!(epoch_in("h", &target), None, "a damaged one, or of another group");
        for none in ["/_larder/g/k", "/_larder/g/k?", "/_larder/g/k?epoch=7-", "/x?epoch=7-00"] {
            assert_eq!(epoch_in("g", none), None);
        }
        assert_eq!(epoch_query("g", 0), "");
    }

    const NATIVE: Dialect = Dialect::Native;
    const GO: [Dialect; 4] =
        [Dialect::Groupcache, Dialect::Geecache, Dialect::Mailgun, Dialect::GroupcacheGo];

    fn encode(dialect: Dialect, group: &str, key: &str, loaded: &Loaded) -> Vec<u8> {
        let mut bytes = encode_before_value(dialect.spec(), group, key, loaded, 0).to_vec();
        bytes.extend_from_slice(&loaded.value);
        bytes
    }

    #[test]
    fn a_value_comes_back_with_its_time_to_live() {
        for loaded in [
            Loaded::new("630"),
            Loaded::new(""),
            Loaded::new(vec![7; 70_000]).with_ttl(Duration::from_millis(1_234)),
            Loaded::new("x").with_ttl(Duration::ZERO),
            stale(0),
            stale(1_000_000),
        ] {
            let body = encode(NATIVE, "scores", "Tom", &loaded);
            assert_eq!(decode(NATIVE.spec(), "scores", "Tom", body), Ok(loaded));
        }
    }

    fn stale(age_secs: u32) -> Loaded {
        let stale_age_secs = Some(age_secs);
        Loaded { stale_age_secs, ..Loaded::new("630").with_ttl(Duration::ZERO) }
    }

    #[test]
    fn there_is_room_before_the_value_for_the_longest_fields() {
        let long = || Loaded::new(vec![7; 1 << 21]).with_ttl(Duration::from_secs(4 << 30));
        for loaded in [
            Loaded { minute_qps: Some(u32::MAX), ..long() },
            Loaded { stale_age_secs: Some(u32::MAX), ..long() },
        ] {
            for dialect in [NATIVE, Dialect::Mailgun] {
                let body = encode(dialect, "g", "k", &loaded);
                let ttl = loaded.ttl.filter(|_| loaded.stale_age_secs.is_none());
                let read = Loaded { ttl: ttl.or(Some(Duration::ZERO)), ..loaded.clone() };
                assert_eq!(decode(dialect.spec(), "g", "k", body), Ok(read));
                let before = encode_before_value(dialect.spec(), "g", "k", &loaded, u64::MAX);
                // The longest value that a machine could hold has four bytes more of length.
                assert!(before.len() + 4 <= BEFORE_VALUE_BYTES, "{}", before.len());
            }
        }
    }

    #[test]
    fn go_nodes_are_told_of_a_stale_value_as_of_one_that_is_about_to_expire() {
        for dialect in [Dialect::Mailgun, Dialect::GroupcacheGo] {
            let body = encode(dialect, "g", "k", &stale(3_600));
            let expire = GetResponse::decode(Bytes::from(body)).unwrap().expire;
            let left = ttl_until(expire).unwrap().unwrap();
            assert!(left <= STALE_AMONG_GO, "{left:?}");
        }
    }

    #[test]
    fn an_answer_for_another_key_or_group_is_refused() {
        let body = encode(NATIVE, "scores", "Tom", &Loaded::new("630"));
        assert!(decode(NATIVE.spec(), "scores", "Tim", body.clone()).is_err());
        assert!(decode(NATIVE.spec(), "score", "sTom", body).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        for loaded in [Loaded::new("630").with_ttl(Duration::from_secs(5)), stale(70)] {
            is_refused_when_damaged(&loaded);
        }
    }

    fn is_refused_when_damaged(loaded: &Loaded) {
        let body = encode(NATIVE, "scores", "Tom", loaded);
        for bit in 0..body.len() * 8 {
            let mut damaged = body.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(
                decode(NATIVE.spec(), "scores", "Tom", damaged),
                Ok(loaded.clone()),
                "bit {bit} of {loaded:?}"
            );
        }
        for len in 0..body.len() {
            assert!(
                decode(NATIVE.spec(), "scores", "Tom", body[..len].to_vec()).is_err(),
                "cut at {len}"
            );
        }
    }

    /// A Go node's answer.
    fn plain(value: &'static [u8], expire: Option<i64>) -> Vec<u8> {
        let value = Some(Bytes::from_static(value));
        GetResponse { value, expire, ..GetResponse::default() }.encode_to_vec()
    }

    #[test]
    fn larder_nodes_on_a_go_ring_keep_the_time_to_live_and_the_checksum() {
        let loaded = Loaded::new("630").with_ttl(Duration::from_millis(1_234));
        for dialect in GO {
            let body = encode(dialect, "scores", "Tom", &loaded);
            assert_eq!(decode(dialect.spec(), "scores", "Tom", body.clone()), Ok(loaded.clone()));
            assert!(decode(dialect.spec(), "scores", "Tim", body).is_err(), "{dialect}");
        }
    }

    #[test]
    fn an_answer_without_a_checksum_is_taken_from_go_nodes_only() {
        for dialect in GO {
            for (body, value) in
                [(plain(b"630", None), "630"), (plain(b"", None), ""), (vec![], "")]
            {
                assert_eq!(decode(dialect.spec(), "scores", "Tom", body), Ok(Loaded::new(value)));
            }
        }
        assert!(decode(NATIVE.spec(), "scores", "Tom", plain(b"630", None)).is_err());
    }

    #[test]
    fn the_moment_of_expiry_is_read_in_the_dialects_that_have_one() {
        let ahead = unix_nanos_after(Duration::from_secs(3_600));
        for dialect in GO {
            let ttl = |expire| {
                decode(dialect.spec(), "g", "k", plain(b"v", expire)).map(|loaded| loaded.ttl)
            };
            assert_eq!(ttl(Some(0)), Ok(None));
            if matches!(dialect, Dialect::Mailgun | Dialect::GroupcacheGo) {
                let left = ttl(Some(ahead)).unwrap().unwrap();
                assert!((3_000..=3_600).contains(&left.as_secs()), "{left:?}");
                assert!(ttl(Some(-1)).is_err() && ttl(Some(1)).is_err(), "expired already");
            } else {
                assert_eq!(ttl(Some(ahead)), Ok(None));
            }
        }
    }

    #[test]
    fn the_moment_of_expiry_is_sent_in_the_dialects_that_have_one() {
        let expire = |dialect: Dialect, loaded: &Loaded| {
            let body = encode(dialect, "g", "k", loaded);
            GetResponse::decode(Bytes::from(body)).unwrap().expire
        };
        let lasting = Loaded::new("v");
        let hour = lasting.clone().with_ttl(Duration::from_secs(3_600));
        for dialect in GO {
            if matches!(dialect, Dialect::Mailgun | Dialect::GroupcacheGo) {
                assert_eq!(expire(dialect, &lasting), Some(0), "Go nodes send a 0 as well");
                let left = ttl_until(expire(dialect, &hour)).unwrap().unwrap();
                assert!((3_000..=3_600).contains(&left.as_secs()), "{left:?}");
            } else {
                assert_eq!(expire(dialect, &hour), None);
            }
        }
        let for_ever = lasting.with_ttl(Duration::MAX);
        assert_eq!(expire(Dialect::Mailgun, &for_ever), Some(0));
    }
}
