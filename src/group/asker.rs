//! Who wants a key, which decides who is asked for it.

/// Who wants a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The program itself, on a thread of its own: the key's owner is asked.
    Here,
    /// A client over HTTP; the same, by a worker that has to be back by the deadline.
    Client,
    /// A peer: answered from the cache or the origin, never by asking another peer.
    Peer,
    /// A peer that only wants to hear early that its key is being loaded, and comes again.
    ReturningPeer,
}

impl Asker {
    pub(super) fn is_peer(self) -> bool {
        matches!(self, Self::Peer | Self::ReturningPeer)
    }
}
