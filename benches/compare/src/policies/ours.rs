//! The eviction policy that larder uses: S3-FIFO with ages.
//!
//! Two FIFO queues, as in S3-FIFO (J. Yang and others, SOSP 23). New entries enter the small one;
//! those hit twice there move on to the main one, which is a CLOCK of counters; what is evicted
//! leaves a ghost. A hit only writes to its own node.
//!
//! ```text
//!   insert ──► small ──► evicted, unless hit twice ─────────────► ghost
//!     │          └─────► main, when hit twice or main has room      │
//!     └─ back soon? ──► main ──► evicted, unless hit ───────────────┘
//! ```
//!
//! Three things are new. All rest on *ages*: a node keeps the tick of its last use, and so does a
//! ghost. The clock ticks for every use of something that was not used lately (three
//! quarters of a cache ago), so that an age counts what an LRU list would hold before it.
//!
//! - **Admission as in LIRS** (S. Jiang, X. Zhang, SIGMETRICS 02). An entry that comes back enters
//!   the main queue only if it comes back sooner than the main queue's next victim has been idle.
//!   In a loop larger than the cache nothing does: what is there stays, and is hit each time.
//! - **The small queue's share adapts**, in the spirit of ARC (N. Megiddo, D. Modha, FAST 03). An
//!   age below the number of entries means that an LRU cache of the same size would have hit. A
//!   miss that it would have hit makes the small queue larger; a hit that it would have missed
//!   makes it smaller: if LRU does better, this becomes LRU.
//! - **The main queue fills first**, and lets go of what was idle for very long.

use super::ghosts::Ghosts;

/// No node: the end of a list.
const NIL: u32 = u32::MAX;

/// The small queue's share of the weight, at first and while neither side wins.
const BASE_SHARE: f64 = 0.1;
const SHARE_MIN: f64 = 0.01;
const SHARE_MAX: f64 = 0.9;
/// Changes of the share, in entries: an LRU cache would have hit, or would have missed.
const GROW: f64 = 0.5;
const SHRINK: f64 = 0.75;
/// The same below the base: shrink while the main queue earns, grow when the small one does.
const SHRINK_LOW: f64 = 0.2;
const GROW_LOW: f64 = 1.0;

/// Hits in the small queue that take an entry to the main one.
const PROMOTION_HITS: u32 = 2;
/// An entry of the main queue is let go when idle for so many numbers of entries.
const STALE_AFTER: u64 = 128;
/// The main queue's entries that an entry that comes back may be compared with.
const DUEL_STEPS: usize = 8;
/// Nodes that a call may move before it evicts whatever comes next.
const STEPS_MAX: usize = 64;
/// Entries that may fall into a main queue that has room, for each insert.
const FALLS_PER_INSERT: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Free,
    Small,
    Main,
}

/// A node's queue (2 bits), hits (3 bits) and the tick of its last use (27 bits).
#[derive(Debug, Clone, Copy)]
struct Bits(u32);

impl Bits {
    const HITS_MAX: u32 = 7;
    const TICK_MASK: u32 = u32::MAX >> 5;

    fn new(queue: Queue, hits: u32, tick: u32) -> Self {
        Self(queue as u32 | hits << 2 | tick << 5)
    }

    fn queue(self) -> Queue {
        match self.0 & 3 {
            0 => Queue::Free,
            1 => Queue::Small,
            _ => Queue::Main,
        }
    }

    fn hits(self) -> u32 {
        self.0 >> 2 & Self::HITS_MAX
    }

    fn tick(self) -> u32 {
        self.0 >> 5
    }

    fn age(self, now: u32) -> u32 {
        now.wrapping_sub(self.tick()) & Self::TICK_MASK
    }
}

#[derive(Debug, Clone, Copy)]
struct Node {
    newer: u32,
    older: u32,
    hash: u32,
    weight: u32,
    bits: Bits,
}

#[derive(Debug, Clone, Copy)]
struct List {
    newest: u32,
    oldest: u32,
    weight: u64,
    len: u32,
}

impl List {
    const EMPTY: Self = Self { newest: NIL, oldest: NIL, weight: 0, len: 0 };
}

/// Decides which entry a store gives up. Entries are known by their index in the store's slab.
#[derive(Debug)]
pub struct Ours {
    nodes: Vec<Node>,
    small: List,
    main: List,
    ghosts: Ghosts,
    now: u32,
    /// The part of the weight that the small queue should have.
    share: f64,
    /// The weight after the last eviction: what fits. Unlimited until then.
    room: u64,
}

impl Default for Ours {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            small: List::EMPTY,
            main: List::EMPTY,
            ghosts: Ghosts::default(),
            now: 0,
            share: BASE_SHARE,
            room: u64::MAX,
        }
    }
}

impl Ours {
    /// Takes in a new entry.
    pub fn insert(&mut self, index: u32, hash: u32, weight: u32) {
        let ghost = self.ghosts.take(hash, self.now);
        if ghost.is_some_and(|age| age < self.len()) {
            self.move_share(GROW, SHARE_MAX);
        }
        let tick = self.touch(ghost.unwrap_or(u32::MAX));
        let back = ghost.is_some_and(|age| self.beats_main(age));
        let queue = if back { Queue::Main } else { Queue::Small };
        let bits = Bits::new(queue, 0, tick);
        let free =
            Node { newer: NIL, older: NIL, hash, weight: 0, bits: Bits::new(Queue::Free, 0, 0) };
        if self.nodes.len() <= index as usize {
            self.nodes.resize(index as usize + 1, free);
        }
        self.nodes[index as usize] = Node { weight, bits, ..free };
        self.link_newest(index);
        for _ in 0..FALLS_PER_INSERT {
            if self.weight() > self.room || !self.fall(self.weight().min(self.room)) {
                break;
            }
        }
    }

    /// Notes that an entry was used.
    pub fn hit(&mut self, index: u32) {
        let bits = self.nodes[index as usize].bits;
        let age = bits.age(self.now);
        match bits.queue() {
            Queue::Main if age >= self.len() => {
                let step = if self.share > BASE_SHARE { SHRINK } else { SHRINK_LOW };
                self.move_share(-step, SHARE_MAX);
            }
            Queue::Small if bits.hits() == 0 && self.share < BASE_SHARE => {
                self.move_share(GROW_LOW, BASE_SHARE);
            }
            _ => {}
        }
        let tick = self.touch(age);
        let hits = Bits::HITS_MAX.min(bits.hits() + 1);
        self.nodes[index as usize].bits = Bits::new(bits.queue(), hits, tick);
    }

    /// Takes out an entry that the store gives up for reasons of its own.
    pub fn remove(&mut self, index: u32) {
        self.unlink(index);
        self.nodes[index as usize].bits = Bits::new(Queue::Free, 0, 0);
    }

    /// Takes out the entry that should go, if there is any. It may be the newest.
    pub fn victim(&mut self) -> Option<u32> {
        let index = self.choose()?;
        let Node { hash, bits, .. } = self.nodes[index as usize];
        self.ghosts.fit(self.len() as usize);
        self.ghosts.put(hash, self.now, bits.age(self.now));
        self.remove(index);
        self.room = self.weight();
        Some(index)
    }

    /// Forgets all entries and all ghosts.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn len(&self) -> u32 {
        self.small.len + self.main.len
    }

    fn weight(&self) -> u64 {
        self.small.weight + self.main.weight
    }

    /// The tick to keep for something used after `age` ticks: a new one unless that is short.
    fn touch(&mut self, age: u32) -> u32 {
        if age >= self.len() - self.len() / 4 {
            self.now = self.now.wrapping_add(1);
            return self.now;
        }
        self.now.wrapping_sub(age)
    }

    fn move_share(&mut self, entries: f64, max: f64) {
        let share = self.share + entries / f64::from(self.len());
        self.share = share.clamp(SHARE_MIN, max);
    }

    /// Does an entry that comes back after `age` ticks deserve the place of main's next victim?
    ///
    /// By a margin of a third: in a loop both ages are nearly the same, and nothing should move.
    fn beats_main(&mut self, age: u32) -> bool {
        if self.main.weight < self.room.saturating_sub(self.target(self.room)) {
            return true;
        }
        for _ in 0..DUEL_STEPS {
            let Some(main) = self.node(self.main.oldest) else { break };
            if main.bits.hits() == 0 {
                return u64::from(main.bits.age(self.now)) * 3 > u64::from(age) * 4;
            }
            self.move_to_main(self.main.oldest, main.bits.hits() - 1);
        }
        true
    }

    fn choose(&mut self) -> Option<u32> {
        let stale_after = STALE_AFTER * u64::from(self.len());
        let main = self.node(self.main.oldest);
        if main.is_some_and(|main| u64::from(main.bits.age(self.now)) > stale_after) {
            return Some(self.main.oldest);
        }
        for _ in 0..STEPS_MAX {
            let small = self.node(self.small.oldest);
            match (small.filter(|small| self.small_is_over(small)), self.node(self.main.oldest)) {
                (Some(small), _) if self.fall(self.weight() - u64::from(small.weight)) => {}
                (Some(small), _) if small.bits.hits() >= PROMOTION_HITS => {
                    self.move_to_main(self.small.oldest, 0);
                }
                (None, Some(main)) if main.bits.hits() > 0 => {
                    self.move_to_main(self.main.oldest, main.bits.hits() - 1);
                }
                (None, Some(_)) => return Some(self.main.oldest),
                (Some(_), _) => return Some(self.small.oldest),
                (None, None) => return None,
            }
        }
        Some(if self.main.len > 0 { self.main.oldest } else { self.small.oldest })
    }

    fn small_is_over(&self, oldest: &Node) -> bool {
        let room = self.weight() - u64::from(oldest.weight);
        self.main.len == 0 || self.small.weight > self.target(room)
    }

    /// What the small queue should weigh: its share, and at least an entry.
    fn target(&self, room: u64) -> u64 {
        let entry = self.weight() / u64::from(self.len().max(1));
        entry.max((self.share * room as f64) as u64)
    }

    /// Lets the small queue's oldest entry fall into the main one, if that has room.
    fn fall(&mut self, room: u64) -> bool {
        let Some(small) = self.node(self.small.oldest) else { return false };
        let target = self.target(room);
        let falls = self.small.weight > target
            && self.main.weight + u64::from(small.weight) + target <= room;
        if falls {
            self.move_to_main(self.small.oldest, 0);
        }
        falls
    }

    fn node(&self, index: u32) -> Option<Node> {
        self.nodes.get(index as usize).copied()
    }

    fn list(&mut self, queue: Queue) -> &mut List {
        if queue == Queue::Main { &mut self.main } else { &mut self.small }
    }

    /// Makes a node the newest of the main queue.
    fn move_to_main(&mut self, index: u32, hits: u32) {
        self.unlink(index);
        let bits = &mut self.nodes[index as usize].bits;
        *bits = Bits::new(Queue::Main, hits, bits.tick());
        self.link_newest(index);
    }

    fn link_newest(&mut self, index: u32) {
        let Node { bits, weight, .. } = self.nodes[index as usize];
        let list = self.list(bits.queue());
        let second = std::mem::replace(&mut list.newest, index);
        list.weight += u64::from(weight);
        list.len += 1;
        if second == NIL {
            list.oldest = index;
        } else {
            self.nodes[second as usize].newer = index;
        }
        let node = &mut self.nodes[index as usize];
        (node.newer, node.older) = (NIL, second);
    }

    fn unlink(&mut self, index: u32) {
        let Node { newer, older, weight, bits, .. } = self.nodes[index as usize];
        let list = self.list(bits.queue());
        list.weight -= u64::from(weight);
        list.len -= 1;
        if newer == NIL {
            list.newest = older;
        }
        if older == NIL {
            list.oldest = newer;
        }
        if let Some(node) = self.nodes.get_mut(newer as usize) {
            node.older = older;
        }
        if let Some(node) = self.nodes.get_mut(older as usize) {
            node.newer = newer;
        }
    }
}

#[cfg(test)]
mod tests;
