//! SIEVE and S3-FIFO as their papers have them.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Policy;

/// No node: the end of a list.
const NIL: usize = usize::MAX;

/// Y. Zhang and others, "SIEVE is Simpler than LRU", NSDI 24.
pub(super) struct Sieve {
    size: usize,
    places: HashMap<u32, usize>,
    nodes: Vec<Node>,
    newest: usize,
    oldest: usize,
    hand: usize,
}

struct Node {
    key: u32,
    visited: bool,
    newer: usize,
    older: usize,
}

impl Sieve {
    pub(super) fn new(size: usize) -> Self {
        let (newest, oldest, hand) = (NIL, NIL, NIL);
        Self { size, places: HashMap::new(), nodes: Vec::new(), newest, oldest, hand }
    }

    /// Moves the hand to the first entry without a visit, and takes that out.
    fn evict(&mut self) -> usize {
        loop {
            let place = if self.hand == NIL { self.oldest } else { self.hand };
            self.hand = self.nodes[place].newer;
            if !std::mem::take(&mut self.nodes[place].visited) {
                self.unlink(place);
                self.places.remove(&self.nodes[place].key);
                return place;
            }
        }
    }

    fn unlink(&mut self, place: usize) {
        let (newer, older) = (self.nodes[place].newer, self.nodes[place].older);
        match self.nodes.get_mut(newer) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, place: usize) {
        match self.nodes.get_mut(self.newest) {
            Some(node) => node.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }
}

impl Policy for Sieve {
    fn request(&mut self, key: u32) -> bool {
        if let Some(&place) = self.places.get(&key) {
            self.nodes[place].visited = true;
            return true;
        }
        let free = (self.places.len() == self.size).then(|| self.evict());
        let node = Node { key, visited: false, newer: NIL, older: self.newest };
        let place = free.unwrap_or(self.nodes.len());
        match self.nodes.get_mut(place) {
            Some(free) => *free = node,
            None => self.nodes.push(node),
        }
        self.places.insert(key, place);
        self.link_newest(place);
        false
    }
}

/// J. Yang and others, "FIFO Queues are All You Need for Cache Eviction", SOSP 23.
pub(super) struct S3Fifo {
    size: usize,
    small_size: usize,
    /// How often each resident key was hit, up to three.
    hits: HashMap<u32, u8>,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    ghost: VecDeque<u32>,
    ghosts: HashSet<u32>,
}

impl S3Fifo {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            small_size: (size / 10).max(1),
            hits: HashMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghost: VecDeque::new(),
            ghosts: HashSet::new(),
        }
    }

    fn evict(&mut self) {
        if self.small.len() >= self.small_size && self.evict_small() {
            return;
        }
        while let Some(key) = self.main.pop_front() {
            match self.hits.get_mut(&key) {
                Some(hits @ 1..) => *hits -= 1,
                _ => {
                    self.hits.remove(&key);
                    return;
                }
            }
            self.main.push_back(key);
        }
        self.evict_small();
    }

    /// Evicts from the small queue; false if all of it has moved to the main queue.
    fn evict_small(&mut self) -> bool {
        while let Some(key) = self.small.pop_front() {
            if self.hits[&key] > 1 {
                self.hits.insert(key, 0);
                self.main.push_back(key);
            } else {
                self.hits.remove(&key);
                self.remember(key);
                return true;
            }
        }
        false
    }

    fn remember(&mut self, key: u32) {
        self.ghost.push_back(key);
        self.ghosts.insert(key);
        if self.ghost.len() > self.size - self.small_size
            && let Some(oldest) = self.ghost.pop_front()
        {
            self.ghosts.remove(&oldest);
        }
    }
}

impl Policy for S3Fifo {
    fn request(&mut self, key: u32) -> bool {
        if let Some(hits) = self.hits.get_mut(&key) {
            *hits = 3.min(*hits + 1);
            return true;
        }
        // Before evicting, which may make the queue of ghosts drop this very key.
        let known = self.ghosts.contains(&key);
        while self.hits.len() >= self.size {
            self.evict();
        }
        self.hits.insert(key, 0);
        if known {
            self.main.push_back(key)
        } else {
            self.small.push_back(key)
        }
        false
    }
}
