//! Sequences of requested keys: read from public trace files, or made here.
//!
//! The formats are told apart by file names, which are those of the Caffeine simulator's folders:
//!
//! | name | packed | holds | origin |
//! | --- | --- | --- | --- |
//! | `arc_*.lis.zst` | zstd | lines `first count 0 n`: the keys first .. first + count - 1 | N. Megiddo, D. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 03 |
//! | `lirs_*.gz` | gzip | one decimal key a line; other lines count for nothing | S. Jiang, X. Zhang, "LIRS", SIGMETRICS 02 |
//! | `cache2k_*.xz` | xz | keys of 4 bytes | headissue GmbH, Jens Wilke, CC BY 4.0 |
//! | `cphy_*.xz` | xz | keys of 4 bytes | C. Waldspurger and others, "SHARDS", FAST 15 |
//! | `scarab_*.xz` | xz | keys of 8 bytes | Scarab Research |
//! | `corda_*.gz` | gzip | keys of 8 bytes | R3 Corda |
//! | `address_*.gz` | gzip | lines `kind 0xaddress n` | memory accesses of SPEC CPU2000 |

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;

/// Requests for keys, which are numbered by their first appearance.
#[derive(Debug)]
pub struct Trace {
    pub name: String,
    pub requests: Vec<u32>,
    pub unique: usize,
}

impl Trace {
    /// Reads a trace file, whose name says its format.
    ///
    /// Fails with a sentence that names the file when the name is unknown or the file is damaged.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let keys = unpack(path, &name)
            .map_err(|error| format!("{}: {error}", path.display()))
            .and_then(|bytes| keys(&name, &bytes))?;
        let short = name.split('.').next().unwrap_or(&name).to_owned();
        Ok(Self::new(short, keys))
    }

    fn new(name: String, keys: Vec<u64>) -> Self {
        let mut numbers = HashMap::new();
        let mut requests = Vec::with_capacity(keys.len());
        for key in keys {
            let next = numbers.len() as u32;
            requests.push(*numbers.entry(key).or_insert(next));
        }
        Self { name, requests, unique: numbers.len() }
    }
}

fn unpack(path: &Path, name: &str) -> std::io::Result<Vec<u8>> {
    let file = BufReader::new(File::open(path)?);
    let mut bytes = Vec::new();
    match name.rsplit('.').next() {
        Some("gz") => MultiGzDecoder::new(file).read_to_end(&mut bytes)?,
        Some("xz") => XzDecoder::new(file).read_to_end(&mut bytes)?,
        Some("zst") => zstd::Decoder::with_buffer(file)?.read_to_end(&mut bytes)?,
        _ => return Err(std::io::Error::other("expected a name that ends in gz, xz or zst")),
    };
    Ok(bytes)
}

fn keys(name: &str, bytes: &[u8]) -> Result<Vec<u64>, String> {
    let lines = || bytes.split(|&byte| byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    match name.split('_').next() {
        Some("arc") => Ok(lines().filter_map(range).flatten().collect()),
        Some("lirs") => Ok(lines().filter_map(|line| line.trim().parse().ok()).collect()),
        Some("address") => Ok(lines().filter_map(address).collect()),
        Some("cache2k" | "cphy") => Ok(records::<4>(bytes)),
        Some("scarab" | "corda") => Ok(records::<8>(bytes)),
        _ => Err(format!("{name}: expected a name like arc_, lirs_, cache2k_ (see traces.rs)")),
    }
}

fn range(line: &str) -> Option<std::ops::Range<u64>> {
    let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
    let (first, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(first..first + count)
}

fn address(line: &str) -> Option<u64> {
    u64::from_str_radix(line.split(' ').nth(1)?.strip_prefix("0x")?, 16).ok()
}

/// Keys of a fixed width. They only name things, so their byte order does not matter.
fn records<const WIDTH: usize>(bytes: &[u8]) -> Vec<u64> {
    let (records, _) = bytes.as_chunks::<WIDTH>();
    records.iter().map(|record| record.iter().fold(0, |key, &b| key << 8 | u64::from(b))).collect()
}

/// The traces that need no file.
pub fn synthetic() -> Vec<Trace> {
    vec![zipf(), zipf_with_scans(), pure_loop()]
}

const KEYS: u64 = 50_000;
const REQUESTS: usize = 1_000_000;

/// Independent requests, key k with a probability proportional to 1 / k^0.99.
fn zipf() -> Trace {
    let mut zipf = Zipf::new();
    Trace::new("zipf 0.99".into(), (0..REQUESTS).map(|_| zipf.sample()).collect())
}

/// The same, with a tenth of a table as large again read through after every 20,000 requests.
fn zipf_with_scans() -> Trace {
    let mut zipf = Zipf::new();
    let scan = KEYS / 10;
    let keys = (0..(REQUESTS / 20_000) as u64).flat_map(|round| {
        let start = KEYS + round % 10 * scan;
        let requests: Vec<u64> = (0..20_000).map(|_| zipf.sample()).collect();
        requests.into_iter().chain(start..start + scan)
    });
    Trace::new("zipf + scans".into(), keys.collect())
}

/// Ten thousand keys, one after the other, thirty times.
fn pure_loop() -> Trace {
    Trace::new("pure loop".into(), (0..30).flat_map(|_| 0..10_000).collect())
}

struct Zipf {
    cumulative: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new() -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=KEYS).map(|rank| {
            sum += (rank as f64).powf(-0.99);
            sum
        });
        Self { cumulative: cumulative.collect(), state: 0 }
    }

    fn sample(&mut self) -> u64 {
        self.state += 1;
        let uniform = (mix(self.state) >> 11) as f64 / (1_u64 << 53) as f64;
        let target = uniform * self.cumulative[self.cumulative.len() - 1];
        self.cumulative.partition_point(|&sum| sum < target) as u64
    }
}

/// SplitMix64's finaliser: a good hash of a counter or of a key's number.
pub fn mix(counter: u64) -> u64 {
    let z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
