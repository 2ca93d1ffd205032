//! The open connections of a listener, counted by where they come from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::limits::Limits;
use super::shared::Socket;

#[derive(Debug, Default)]
pub(super) struct Open {
    connections: HashMap<u64, Connection>,
    /// Connections of each network that has any: no more entries than connections.
    by_network: HashMap<IpAddr, usize>,
    /// Threads that are at their end, to be joined.
    ended: Vec<JoinHandle<()>>,
    next_id: u64,
}

#[derive(Debug)]
struct Connection {
    socket: Arc<Socket>,
    network: IpAddr,
    /// None until it has been started.
    thread: Option<JoinHandle<()>>,
}

/// Which limit a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Listener,
    Address,
}

impl Open {
    /// Counts a connection from `addr`, within the limits; its id.
    pub(super) fn enter(
        &mut self,
        socket: &Arc<Socket>,
        addr: IpAddr,
        limits: &Limits,
    ) -> Result<u64, Full> {
        if self.connections.len() >= limits.connections {
            return Err(Full::Listener);
        }
        let network = network(addr);
        let count = self.by_network.get(&network).copied().unwrap_or(0);
        if count >= limits.connections_per_address {
            return Err(Full::Address);
        }
        self.by_network.insert(network, count + 1);
        let id = self.next_id;
        self.next_id += 1;
        let connection = Connection { socket: Arc::clone(socket), network, thread: None };
        self.connections.insert(id, connection);
        Ok(id)
    }

    /// Keeps the thread of a connection; one that has ended already needs nobody.
    pub(super) fn keep(&mut self, id: u64, thread: JoinHandle<()>) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.thread = Some(thread);
        }
    }

    /// Takes a connection off the list. Its thread, which is the one that calls, is to be
    /// joined when the listener ends: until then nobody would.
    pub(super) fn leave(&mut self, id: u64, listener_ends: bool) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if let Some(count) = self.by_network.get_mut(&connection.network) {
            *count -= 1;
            if *count == 0 {
                self.by_network.remove(&connection.network);
            }
        }
        self.ended.extend(connection.thread.filter(|_| listener_ends));
    }

    pub(super) fn take_ended(&mut self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.ended)
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.connections.values().map(|connection| &*connection.socket)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }
}

/// What counts as one address: whoever has one of IPv6 commonly has 2^64 of them.
fn network(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V6(addr) => {
            let [a, b, c, d, ..] = addr.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        addr => addr,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn socket() -> Arc<Socket> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Arc::new(Socket { stream, busy: AtomicBool::new(false) })
    }

    #[test]
    fn an_address_has_its_own_limit_below_that_of_all() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let (mut open, socket) = (Open::default(), socket());
        let enter =
            |open: &mut Open, addr: &str| open.enter(&socket, addr.parse().unwrap(), &limits);
        let first = enter(&mut open, "10.0.0.1").unwrap();
        // The same one, as a listener for both families sees it.
        enter(&mut open, "::ffff:10.0.0.1").unwrap();
        assert_eq!(enter(&mut open, "10.0.0.1"), Err(Full::Address));
        enter(&mut open, "10.0.0.2").unwrap();
        assert_eq!(enter(&mut open, "10.0.0.3"), Err(Full::Listener));
        for _ in 0..2 {
            open.leave(first, false);
        }
        enter(&mut open, "10.0.0.1").unwrap();
    }

    #[test]
    fn the_table_of_addresses_is_as_long_as_there_are_connections() {
        let limits = Limits { connections_per_address: 2, ..Limits::default() };
        let (mut open, socket) = (Open::default(), socket());
        for last in 0..4 {
            let addr = format!("2001:db8::{last}").parse().unwrap();
            assert_eq!(open.enter(&socket, addr, &limits).is_ok(), last < 2, "one network");
        }
        let other = open.enter(&socket, "2001:db8:0:1::".parse().unwrap(), &limits).unwrap();
        assert_eq!(open.by_network.len(), 2);
        for id in [0, 1, other] {
            open.leave(id, false);
        }
        assert!(open.is_empty() && open.by_network.is_empty());
    }
}
