//! What has been read of a connection and not been used: where heads are parsed from.

/// Least bytes of room for a read.
const ROOM_BYTES: usize = 4 << 10;

/// A buffer that is filled at one end and used up at the other, and kept as long as its
/// connection.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// All of it is initialised: room need not be zeroed for each read.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// What is there.
    pub(super) fn unused(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Some room behind what is there, at least a byte of it.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            self.bytes.resize(self.end + self.end.max(ROOM_BYTES), 0);
        }
        &mut self.bytes[self.end..]
    }

    /// So many bytes of the room have been filled.
    pub(super) fn fill(&mut self, len: usize) {
        self.end += len;
        debug_assert!(self.end <= self.bytes.len());
    }

    /// So many of the bytes that are there have been used.
    pub(super) fn use_up(&mut self, len: usize) {
        self.start += len;
        debug_assert!(self.start <= self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(input: &mut Input, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = input.room();
            let len = room.len().min(bytes.len());
            room[..len].copy_from_slice(&bytes[..len]);
            input.fill(len);
            bytes = &bytes[len..];
        }
    }

    #[test]
    fn what_goes_in_comes_out_in_order_whatever_is_used_up_in_between() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        let (mut input, mut used) = (Input::default(), 0);
        for chunk in bytes.chunks(3_001) {
            put(&mut input, chunk);
            let some = input.unused().len() * 2 / 3;
            assert_eq!(input.unused()[..some], bytes[used..used + some]);
            input.use_up(some);
            used += some;
        }
        assert_eq!(input.unused(), &bytes[used..]);
        assert!(input.bytes.len() <= 4 * ROOM_BYTES, "what is used up makes room");
    }

    #[test]
    fn what_is_used_up_at_once_never_makes_the_buffer_grow() {
        let mut input = Input::default();
        for _ in 0..100 {
            put(&mut input, &[7; ROOM_BYTES]);
            input.use_up(ROOM_BYTES);
        }
        assert_eq!(input.bytes.len(), ROOM_BYTES);
    }
}
