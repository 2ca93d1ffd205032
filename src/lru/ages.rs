//! S3-FIFO with ages: resists scans and loops, and becomes an LRU where that is better.
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
//!
//! The store evicts before it inserts: a victim is chosen as if an entry of average weight had
//! entered the small queue.

use super::ghosts::Ghosts;
use super::list::List;
use super::table::{Node, Table};
use super::ticks::Ticks;
use super::weight;

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
const PROMOTION_HITS: u16 = 2;
/// An entry of the main queue is let go when idle for so many numbers of entries.
const STALE_AFTER: u64 = 128;
/// The main queue's entries that an entry that comes back may be compared with.
const DUEL_STEPS: usize = 8;
/// Nodes that a call may move before it evicts whatever comes next.
const STEPS_MAX: usize = 64;
/// Entries that may fall into a main queue that has room, for each insert.
const FALLS_PER_INSERT: usize = 2;

/// Set in [`Node::bits`]: the entry is in the main queue.
const IN_MAIN: u16 = 1 << 3;
/// Three bits of [`Node::bits`] count hits.
const HITS_SHIFT: u32 = 4;
const HITS_MAX: u16 = 7;
/// The upper eight bits are the entry's weight class.
const WEIGHT_SHIFT: u32 = 8;

#[derive(Debug)]
pub(super) struct Ages {
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
    ticks: Ticks,
    /// The part of the weight that the small queue should have.
    share: f64,
    /// The weight before the last eviction: what fits. Unlimited until then.
    room: u64,
}

#[derive(Debug)]
struct Queue {
    list: List,
    weight: u64,
    len: u32,
}

impl Queue {
    const fn new() -> Self {
        Self { list: List::new(), weight: 0, len: 0 }
    }

    fn oldest(&self, table: &Table) -> Option<(u32, Node)> {
        let index = self.list.oldest()?;
        Some((index, *table.node(index)?))
    }
}

fn hits(node: Node) -> u16 {
    node.bits >> HITS_SHIFT & HITS_MAX
}

fn weight_of(node: Node) -> u64 {
    weight::of_class((node.bits >> WEIGHT_SHIFT) as u8)
}

fn with_hits(bits: u16, hits: u16) -> u16 {
    bits & !(HITS_MAX << HITS_SHIFT) | hits << HITS_SHIFT
}

impl Ages {
    pub(super) fn new() -> Self {
        Self {
            small: Queue::new(),
            main: Queue::new(),
            ghosts: Ghosts::default(),
            ticks: Ticks::default(),
            share: BASE_SHARE,
            room: u64::MAX,
        }
    }

    /// Takes in a new entry of so many bytes, at a coarse time.
    pub(super) fn insert(&mut self, table: &mut Table, index: u32, bytes: usize, time: u32) {
        let Some(&node) = table.node(index) else { return };
        let ghost = self.ghosts.take(node.hash, self.ticks.now());
        if ghost.is_some_and(|age| age < self.len()) {
            self.move_share(GROW, SHARE_MAX);
        }
        let tick = self.touch(ghost.unwrap_or(u32::MAX), time);
        let back = ghost.is_some_and(|age| self.beats_main(table, age));
        if let Some(node) = table.node_mut(index) {
            node.used = tick;
            node.bits |= u16::from(weight::class(bytes)) << WEIGHT_SHIFT;
            node.bits |= if back { IN_MAIN } else { 0 };
        }
        self.link(table, index);
        for _ in 0..FALLS_PER_INSERT {
            let room = self.weight().min(self.room);
            if self.weight() > self.room || !self.fall(table, room, 0) {
                break;
            }
        }
    }

    /// Notes that an entry was used, at a coarse time.
    #[inline]
    pub(super) fn hit(&mut self, table: &mut Table, index: u32, time: u32) {
        let Some(&node) = table.node(index) else { return };
        let age = self.ticks.age(node.used);
        let (in_main, hits) = (node.has(IN_MAIN), hits(node));
        if in_main && age >= self.len() {
            let step = if self.share > BASE_SHARE { SHRINK } else { SHRINK_LOW };
            self.move_share(-step, SHARE_MAX);
        } else if !in_main && hits == 0 && self.share < BASE_SHARE {
            self.move_share(GROW_LOW, BASE_SHARE);
        }
        let tick = self.touch(age, time);
        let bits = with_hits(node.bits, HITS_MAX.min(hits + 1));
        // Not written when it is so already: the line would leave another processor's cache.
        if (bits, tick) != (node.bits, node.used)
            && let Some(node) = table.node_mut(index)
        {
            (node.bits, node.used) = (bits, tick);
        }
    }

    /// An entry leaves, for whatever reason.
    pub(super) fn remove(&mut self, table: &mut Table, index: u32) {
        self.unlink(table, index);
    }

    /// The entry that should go next; its ghost is remembered.
    pub(super) fn victim(&mut self, table: &mut Table) -> Option<u32> {
        let index = self.choose(table)?;
        let node = *table.node(index)?;
        self.ghosts.fit(self.len() as usize);
        self.ghosts.put(node.hash, self.ticks.now(), self.ticks.age(node.used));
        self.room = self.weight();
        Some(index)
    }

    /// The coarse time of a node's last use.
    pub(super) fn last_used(&self, node: Node, now: u32) -> u32 {
        self.ticks.time_of(node.used, now)
    }

    /// The queues, what is evicted first in front.
    pub(super) fn lists(&self) -> [List; 2] {
        [self.small.list, self.main.list]
    }

    pub(super) fn renumber(&mut self, moved: &[u32]) {
        self.small.list.renumber(moved);
        self.main.list.renumber(moved);
        self.ghosts.fit(self.len() as usize);
    }

    fn len(&self) -> u32 {
        self.small.len + self.main.len
    }

    fn weight(&self) -> u64 {
        self.small.weight + self.main.weight
    }

    /// The weight of an entry, on average.
    fn average(&self) -> u64 {
        self.weight() / u64::from(self.len().max(1))
    }

    /// The tick to keep for something used after `age` ticks: a new one unless that is short.
    fn touch(&mut self, age: u32, time: u32) -> u32 {
        if age >= self.len() - self.len() / 4 {
            self.ticks.advance(time, self.len())
        } else {
            self.ticks.now().wrapping_sub(age)
        }
    }

    fn move_share(&mut self, entries: f64, max: f64) {
        let share = self.share + entries / f64::from(self.len().max(1));
        self.share = share.clamp(SHARE_MIN, max);
    }

    /// Does an entry that comes back after `age` ticks deserve the place of main's next victim?
    ///
    /// By a margin of a third: in a loop both ages are nearly the same, and nothing should move.
    fn beats_main(&mut self, table: &mut Table, age: u32) -> bool {
        if self.main.weight + self.average() <= self.room.saturating_sub(self.target(self.room)) {
            return true;
        }
        for _ in 0..DUEL_STEPS {
            let Some((index, main)) = self.main.oldest(table) else { break };
            if hits(main) == 0 {
                return u64::from(self.ticks.age(main.used)) * 3 > u64::from(age) * 4;
            }
            self.move_to_main(table, index, hits(main) - 1);
        }
        true
    }

    fn choose(&mut self, table: &mut Table) -> Option<u32> {
        let stale_after = STALE_AFTER * u64::from(self.len());
        let main = self.main.oldest(table);
        if let Some((index, _)) =
            main.filter(|(_, main)| u64::from(self.ticks.age(main.used)) > stale_after)
        {
            return Some(index);
        }
        // The newcomer, which is not there yet.
        let coming = self.average();
        for _ in 0..STEPS_MAX {
            let small = self.small.oldest(table).filter(|_| self.small_is_over(coming));
            match (small, self.main.oldest(table)) {
                (Some(_), _) if self.fall(table, self.weight(), coming) => {}
                (Some((index, small)), _) if hits(small) >= PROMOTION_HITS => {
                    self.move_to_main(table, index, 0);
                }
                (None, Some((index, main))) if hits(main) > 0 => {
                    self.move_to_main(table, index, hits(main) - 1);
                }
                (None, Some((index, _))) | (Some((index, _)), _) => return Some(index),
                // Small is not over, and main is empty.
                (None, None) => return self.small.list.oldest(),
            }
        }
        self.main.list.oldest().or_else(|| self.small.list.oldest())
    }

    fn small_is_over(&self, coming: u64) -> bool {
        self.main.len == 0 || self.small.weight + coming > self.target(self.weight())
    }

    /// What the small queue should weigh: its share, and at least an entry.
    fn target(&self, room: u64) -> u64 {
        self.average().max((self.share * room as f64) as u64)
    }

    /// Lets the small queue's oldest entry fall into the main one, if that has room.
    fn fall(&mut self, table: &mut Table, room: u64, coming: u64) -> bool {
        let Some((index, small)) = self.small.oldest(table) else { return false };
        let target = self.target(room);
        let falls = self.small.weight + coming > target
            && self.main.weight + weight_of(small) + target <= room;
        if falls {
            self.move_to_main(table, index, 0);
        }
        falls
    }

    /// Makes a node the newest of the main queue.
    fn move_to_main(&mut self, table: &mut Table, index: u32, hits: u16) {
        self.unlink(table, index);
        if let Some(node) = table.node_mut(index) {
            node.bits = with_hits(node.bits | IN_MAIN, hits);
        }
        self.link(table, index);
    }

    fn link(&mut self, table: &mut Table, index: u32) {
        let Some(&node) = table.node(index) else { return };
        let queue = self.queue(node);
        queue.weight += weight_of(node);
        queue.len += 1;
        queue.list.push_newest(table, index);
    }

    fn unlink(&mut self, table: &mut Table, index: u32) {
        let Some(&node) = table.node(index) else { return };
        let queue = self.queue(node);
        queue.weight -= weight_of(node);
        queue.len -= 1;
        queue.list.unlink(table, index);
    }

    fn queue(&mut self, node: Node) -> &mut Queue {
        if node.has(IN_MAIN) { &mut self.main } else { &mut self.small }
    }

    #[cfg(test)]
    pub(super) fn validate(&self, table: &Table) -> usize {
        for (queue, in_main) in [(&self.small, false), (&self.main, true)] {
            let nodes = queue.list.oldest_first(table).filter_map(|index| table.node(index));
            let nodes: Vec<Node> = nodes.copied().collect();
            assert!(nodes.iter().all(|node| node.has(IN_MAIN) == in_main), "in a wrong queue");
            assert_eq!(queue.len as usize, nodes.len(), "length of a queue");
            assert_eq!(queue.weight, nodes.into_iter().map(weight_of).sum::<u64>(), "its weight");
            queue.list.validate(table);
        }
        assert!((SHARE_MIN..=SHARE_MAX).contains(&self.share), "share {}", self.share);
        self.len() as usize
    }
}
