//! What the origin holds: each value names its key.

/// Keys with values of up to 64 KiB.
const SMALL: usize = 800;
/// Keys with values that no socket's buffers hold.
const BIG: usize = 6;
const BIG_BYTES: usize = 2 << 20;
const LENGTHS: [usize; 8] = [10, 100, 1_000, 10, 10_000, 100, 64 << 10, 1_000];

/// All of one length.
pub(crate) fn name(key: usize) -> String {
    format!("k{key:03}")
}

fn value(key: usize) -> String {
    let len = if key < SMALL { LENGTHS[key % LENGTHS.len()] } else { BIG_BYTES };
    let name = format!("<<{}>>", name(key));
    name.repeat(len.div_ceil(name.len()))
}

pub(crate) fn values() -> Vec<String> {
    (0..SMALL + BIG).map(value).collect()
}

/// Some are asked for more often than others; a big one seldom.
pub(crate) fn any(rng: &mut fastrand::Rng) -> usize {
    match rng.u16(..2_000) {
        0 => big(rng),
        _ => ((rng.f64() * rng.f64()) * SMALL as f64) as usize,
    }
}

pub(crate) fn big(rng: &mut fastrand::Rng) -> usize {
    rng.usize(SMALL..SMALL + BIG)
}
