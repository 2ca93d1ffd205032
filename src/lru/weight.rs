//! What an entry weighs, in eight bits: to an eighth of it, from 8 bytes to 30 GiB.

const MANTISSA_BITS: u32 = 3;
const SMALLEST_LOG: u32 = MANTISSA_BITS;

/// The class of so many bytes.
pub(super) fn class(bytes: usize) -> u8 {
    let bytes = bytes.max(1 << SMALLEST_LOG);
    let log = bytes.ilog2();
    let mantissa = (bytes >> (log - MANTISSA_BITS)) as u32 & ((1 << MANTISSA_BITS) - 1);
    u8::try_from((log - SMALLEST_LOG) << MANTISSA_BITS | mantissa).unwrap_or(u8::MAX)
}

/// The bytes of a class, about.
pub(super) fn of_class(class: u8) -> u64 {
    let (log, mantissa) = (u32::from(class) >> MANTISSA_BITS, u64::from(class) & 7);
    ((1 << MANTISSA_BITS) + mantissa) << log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_tells_the_bytes_to_an_eighth() {
        for bytes in (3..40).flat_map(|log| [1_usize << log, (1 << log) * 7 / 5, (2 << log) - 1]) {
            let told = of_class(class(bytes)) as usize;
            let exact =
                if bytes < 16 << 31 { told <= bytes && bytes <= told + told / 8 } else { true };
            assert!(exact, "{bytes} told as {told}");
        }
        assert_eq!((of_class(class(0)), of_class(class(usize::MAX))), (8, 15 << 31));
    }
}
