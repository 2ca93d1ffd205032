//! What a hit costs at least: a map that nobody writes to, behind nothing.

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{Cache, touch};
use crate::entries::{Lengths, key, make};

pub(super) struct Map(HashMap<Box<[u8]>, Bytes, RandomState>);

impl Map {
    pub(super) fn filled(lengths: Lengths, filled: usize) -> Self {
        let mut map = HashMap::default();
        for number in 0..filled {
            let key = key(number, lengths.key);
            let value = Bytes::from(make(&key, lengths.value));
            // As a cache does that hands out what it keeps: the clone makes the value shared.
            map.insert(key.into_bytes().into_boxed_slice(), value.clone());
        }
        Self(map)
    }
}

impl Cache for Map {
    fn read_each(&self, keys: &[String], picks: &[u32]) {
        for &pick in picks {
            touch(&self.0[keys[pick as usize].as_bytes()].clone());
        }
    }
}
