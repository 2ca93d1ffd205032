//! A link that can be cut: a proxy in front of a node.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Forwards connections to a node, until it is cut.
pub(crate) struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    target: Mutex<Option<SocketAddr>>,
    open: Mutex<Vec<TcpStream>>,
    is_cut: AtomicBool,
    ended: AtomicBool,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let accepts = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepts.ended.load(Ordering::SeqCst) {
                    return;
                }
                let _ = accepts.forward(stream);
            }
        });
        Self { addr, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn forward_to(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap() = Some(target);
    }

    /// Ends all connections, and closes each new one at once.
    pub(crate) fn cut(&self) {
        self.shared.is_cut.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.shared.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut();
        let _ = TcpStream::connect(self.addr);
    }
}

impl Shared {
    fn forward(&self, from: TcpStream) -> io::Result<()> {
        let mut open = self.open.lock().unwrap();
        let target = *self.target.lock().unwrap();
        let Some(target) = target.filter(|_| !self.is_cut.load(Ordering::SeqCst)) else {
            return Ok(());
        };
        let to = TcpStream::connect(target)?;
        for stream in [&from, &to] {
            stream.set_nodelay(true)?;
            open.push(stream.try_clone()?);
        }
        for (mut from, mut to) in [(from.try_clone()?, to.try_clone()?), (to, from)] {
            std::thread::spawn(move || {
                let copied = io::copy(&mut from, &mut to);
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                copied
            });
        }
        Ok(())
    }
}
