//! Two nodes that know each other by certificates. The API of one is inside TLS, that of the
//! other is not.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::authority::Authority;
use super::client::Talk;
use super::keys;
use super::server::Server;
use super::support::resident_bytes_of;

/// Connections that nobody uses are closed after so long.
const IDLE: Duration = Duration::from_secs(6);
/// Longer than that, and than a thread for loads waits for another load.
const QUIET: Duration = Duration::from_secs(12);
/// For connections that have been closed to end on the other side.
const MOMENT: Duration = Duration::from_secs(1);
/// By then the nodes have given everything back, or they never do.
const PATIENCE: Duration = Duration::from_secs(180);

/// A listener, and what its clients need.
pub(crate) struct Door {
    pub(crate) addr: SocketAddr,
    pub(crate) base: &'static str,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

pub(crate) struct Ring {
    nodes: [Server; 2],
    pub(crate) doors: Vec<Door>,
    pub(crate) values: Vec<String>,
    /// Its files are the nodes'.
    _authority: Authority,
}

/// What a node uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) threads: u64,
    pub(crate) files: u64,
}

impl Usage {
    pub(crate) fn is_within(self, other: Self) -> bool {
        self.threads <= other.threads && self.files <= other.files
    }
}

impl Ring {
    pub(crate) fn start() -> Self {
        let (authority, values) = (Authority::new("ring"), keys::values());
        // The nodes must know each other's port before they listen.
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let addrs = free.each_ref().map(|free| free.local_addr().expect("it has an address"));
        drop(free);
        let nodes = [0, 1].map(|node| {
            let config = config(&authority, addrs, node, &values);
            let listen = addrs[node].to_string();
            Server::start(&config, &["--listen", &listen, "--api", "127.0.0.1:0"])
        });
        let tls = Some(client_config(&authority));
        let [[peer0, api0], [peer1, api1]] = nodes.each_ref().map(|node| node.addrs);
        let door = |addr, base, tls| Door { addr, base, tls };
        let doors = vec![
            door(peer0, "/_larder/g/", tls.clone()),
            door(api0, "/api/g/", tls.clone()),
            door(peer1, "/_larder/g/", tls),
            door(api1, "/api/g/", None),
        ];
        Self { nodes, doors, values, _authority: authority }
    }

    pub(crate) fn usage(&self) -> [Usage; 2] {
        self.nodes.each_ref().map(|node| {
            let (threads, files) = node.usage();
            Usage { threads, files }
        })
    }

    pub(crate) fn resident_bytes(&self) -> [u64; 2] {
        self.nodes.each_ref().map(|node| resident_bytes_of(&node.id().to_string()))
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.nodes.iter_mut().all(Server::is_alive)
    }

    /// What the nodes use once they are left alone: no more than `before`, or for want of that,
    /// what they use twice in a row.
    pub(crate) fn settled(&self, before: Option<[Usage; 2]>) -> [Usage; 2] {
        let started = Instant::now();
        let mut last = None;
        loop {
            // A node closes the connections that its peer has left alone, and the peer lets go of
            // them when it needs one.
            std::thread::sleep(QUIET);
            self.trickle();
            std::thread::sleep(MOMENT);
            let now = self.usage();
            let settled = match before {
                Some(before) => now.iter().zip(before).all(|(now, before)| now.is_within(before)),
                None => last == Some(now),
            };
            if settled || started.elapsed() > PATIENCE {
                return now;
            }
            last = Some(now);
        }
    }

    /// A few gets of each API, one after the other, that take the node to its peer.
    fn trickle(&self) {
        let mut rng = fastrand::Rng::new();
        for door in self.doors.iter().filter(|door| door.base.starts_with("/api")) {
            let mut talk = Talk::begin(door).expect("it accepts");
            for _ in 0..20 {
                let key = keys::any(&mut rng);
                talk.send(talk.request(key).as_bytes()).expect("it reads");
                talk.answer().expect("it answers");
            }
        }
    }
}

fn config(authority: &Authority, addrs: [SocketAddr; 2], node: usize, values: &[String]) -> String {
    let files = authority.good(&format!("node-{node}"));
    let (cert, key, ca) = (files.cert.display(), files.key.display(), authority.ca());
    let (ca, [a, b]) = (ca.display(), addrs);
    let pairs = values.iter().enumerate();
    let pairs = pairs.map(|(key, value)| format!("{}={value}", keys::name(key)));
    let pairs = pairs.collect::<Vec<_>>().join(",");
    let api = format!("[api_tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
    let api = if node == 0 { &*api } else { "" };
    let idle = IDLE.as_secs();
    // Caches that hold a part, so that there is always something to load and to give up.
    format!(
        "peers = [\"https://{a}\", \"https://{b}\"]\ncache_bytes = \"4MiB\"\n\
         [limits]\nidle_timeout = \"{idle}s\"\nwrite_timeout = \"2s\"\n\
         [peer_tls]\ncert = \"{cert}\"\nkey = \"{key}\"\nca = \"{ca}\"\n{api}\
         [groups.g]\norigin = \"static:{pairs}\"\n"
    )
}

fn client_config(authority: &Authority) -> Arc<ClientConfig> {
    let shown = authority.good("client");
    let mut authorities = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(authority.ca()).expect("a certificate");
    authorities.add(ca).expect("an authority");
    let chain = vec![CertificateDer::from_pem_file(&shown.cert).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&shown.key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("there are some");
    let builder = builder.with_root_certificates(authorities);
    Arc::new(builder.with_client_auth_cert(chain, key).expect("they belong together"))
}
