//! The listeners of a [`Node`](crate::node::Node), and what it takes to be heard by each: an
//! attacker knows it all, and attacks from within as well as from outside.

use std::net::{SocketAddr, TcpStream};

use larder::HttpPoolBuilder;

use crate::stream::Stream;
use crate::support::{Answer, Client, request};

/// Tells a node's process its [`Kind`], and the folder with its certificate.
pub(crate) const KIND: &str = "LARDER_TEST_NODE_KIND";

/// Whom the listeners of a node hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All that connect, in the clear.
    Plain,
    /// All that connect, inside TLS.
    #[cfg(feature = "tls")]
    Tls,
    /// Those with a certificate, and peers' signatures or clients' tokens inside.
    #[cfg(all(feature = "tls", feature = "auth"))]
    Guarded,
}

/// A listener, and what a client has to be heard by it.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) addr: SocketAddr,
    /// The value of a key is at this and the key.
    pub(crate) base: &'static str,
    #[cfg(feature = "tls")]
    tls: Option<std::sync::Arc<rustls::ClientConfig>>,
    #[cfg(all(feature = "tls", feature = "auth"))]
    shows: credentials::Shows,
}

/// What opens the doors of one node. Certificates live as long as this.
pub(crate) struct Keys {
    kind: Kind,
    #[cfg(feature = "tls")]
    authority: Option<crate::tls::Authority>,
    #[cfg(feature = "tls")]
    client: Option<std::sync::Arc<rustls::ClientConfig>>,
    #[cfg(all(feature = "tls", feature = "auth"))]
    sender: credentials::Sender,
}

impl Keys {
    pub(crate) fn new(kind: Kind) -> Self {
        #[cfg(feature = "tls")]
        {
            let authority = (kind != Kind::Plain).then(|| crate::tls::Authority::new("ring"));
            let client = authority.as_ref().map(|authority| {
                authority.good("node");
                let shown = authority.good("client");
                crate::tls::config_for(&authority.ca(), (kind != Kind::Tls).then_some(&shown))
            });
            Self {
                kind,
                authority,
                client,
                #[cfg(feature = "auth")]
                sender: credentials::Sender::default(),
            }
        }
        #[cfg(not(feature = "tls"))]
        Self { kind }
    }

    /// What [`guarded`] understands, in a process of its own.
    pub(crate) fn told(&self) -> String {
        #[cfg(feature = "tls")]
        if let Some(authority) = &self.authority {
            return format!("{:?} {}", self.kind, authority.folder().display());
        }
        format!("{:?}", self.kind)
    }

    /// The doors of a guarded node to those with no certificate, one of another authority, and one
    /// that has expired.
    #[cfg(all(feature = "tls", feature = "auth"))]
    pub(crate) fn doors_of_strangers(&self, peer: SocketAddr, api: SocketAddr) -> Vec<Door> {
        use crate::tls::{Authority, HOST, Until, config_for};
        let (ring, other) = (self.authority.as_ref().unwrap(), Authority::new("other"));
        let expired = ring.sign("expired", HOST, Until::LongAgo);
        let shown = [None, Some(other.good("client")), Some(expired)];
        let doors = shown.iter().flat_map(|shown| {
            let tls = config_for(&ring.ca(), shown.as_ref());
            self.doors(peer, api).map(|door| Door { tls: Some(tls.clone()), ..door })
        });
        doors.collect()
    }

    /// The listener for peers, and the one for clients.
    pub(crate) fn doors(&self, peer: SocketAddr, api: SocketAddr) -> [Door; 2] {
        let door = |addr, base| Door {
            addr,
            base,
            #[cfg(feature = "tls")]
            tls: self.client.clone(),
            #[cfg(all(feature = "tls", feature = "auth"))]
            shows: match self.kind {
                Kind::Guarded if addr == peer => self.sender.signatures(peer),
                Kind::Guarded => credentials::Shows::Token,
                _ => credentials::Shows::Nothing,
            },
        };
        [door(peer, "/_larder/g"), door(api, "/api/g")]
    }
}

impl Door {
    pub(crate) fn connect(&self) -> Client {
        self.enter(TcpStream::connect(self.addr).unwrap())
    }

    /// A client over a socket that is connected already.
    pub(crate) fn enter(&self, socket: TcpStream) -> Client {
        #[cfg(feature = "tls")]
        if let Some(config) = &self.tls {
            return Client::over(Stream::secure(socket, config));
        }
        Client::over(Stream::plain(socket))
    }

    pub(crate) fn is_secure(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// A plain GET, which will be heard.
    pub(crate) fn request(&self, path: &str) -> String {
        self.admitted(&request(path), "")
    }

    /// This head with what it lacks to be heard together with this body. One without a `Host`
    /// stays as it is.
    #[cfg_attr(not(all(feature = "tls", feature = "auth")), expect(unused_variables))]
    pub(crate) fn admitted(&self, head: &str, body: &str) -> String {
        #[cfg(all(feature = "tls", feature = "auth"))]
        if let Some(line) = self.shows.line(head, body) {
            return head.replacen("\r\nHost: ", &format!("\r\n{line}\r\nHost: "), 1);
        }
        head.to_owned()
    }

    /// The answer to a GET over a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Answer {
        let mut client = self.connect();
        client.send(self.request(path)).unwrap();
        client.answer().unwrap()
    }

    /// This door to one who has a certificate, and neither secret nor token.
    #[cfg(all(feature = "tls", feature = "auth"))]
    pub(crate) fn of_a_stranger(&self) -> Self {
        Self { shows: credentials::Shows::Nothing, ..self.clone() }
    }
}

/// A pool's listeners as [`Keys`] has told.
pub(crate) fn guarded(builder: HttpPoolBuilder, told: &str) -> HttpPoolBuilder {
    let builder = builder.listen("127.0.0.1:0").api("127.0.0.1:0");
    #[cfg(feature = "tls")]
    if let Some((kind, folder)) = told.split_once(' ') {
        use larder::{ClientCerts, TlsConfig};
        let file = |name: &str| std::path::Path::new(folder).join(name);
        let files = TlsConfig::new(file("node.pem"), file("node.key")).ca(file("ca.pem"));
        if kind == "Tls" {
            let files = files.with_client_certs(ClientCerts::None);
            return builder.peer_tls(files.clone()).api_tls(files);
        }
        #[cfg(feature = "auth")]
        {
            let files = files.with_client_certs(ClientCerts::Required);
            let builder = builder.peer_tls(files.clone()).api_tls(files);
            return credentials::demanded(builder);
        }
    }
    assert_eq!(told, "Plain");
    builder
}

/// Signatures as `src/auth` describes them, made a second time.
#[cfg(all(feature = "tls", feature = "auth"))]
mod credentials {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::UNIX_EPOCH;

    use hmac::{Hmac, KeyInit, Mac};
    use larder::{HttpPoolBuilder, Secrets, Tokens};
    use sha2::{Digest, Sha256};

    const SECRET: &str = "a secret that is long enough";
    const TOKEN: &str = "writer-0123456789abcdef";

    pub(super) fn demanded(builder: HttpPoolBuilder) -> HttpPoolBuilder {
        let tokens = Tokens::parse(&format!("write {TOKEN}")).unwrap();
        builder.secrets(Secrets::parse(SECRET).unwrap()).tokens(tokens)
    }

    /// What a client shows with each request.
    #[derive(Clone)]
    pub(super) enum Shows {
        Nothing,
        Token,
        Signature { sender: Sender, receiver: String },
    }

    /// One that signs: a node remembers not many of them.
    #[derive(Clone)]
    pub(super) struct Sender {
        id: String,
        next: Arc<AtomicU64>,
    }

    impl Default for Sender {
        fn default() -> Self {
            let id = fastrand::u128(..).to_be_bytes();
            Self { id: base16ct::lower::encode_string(&id), next: Arc::default() }
        }
    }

    impl Shows {
        /// The line of the head that shows it.
        pub(super) fn line(&self, head: &str, body: &str) -> Option<String> {
            match self {
                Self::Nothing => None,
                Self::Token => Some(format!("Authorization: Bearer {TOKEN}")),
                Self::Signature { sender, receiver } => {
                    Some(format!("Larder-Auth: {}", sender.sign(head, body, receiver)))
                }
            }
        }
    }

    impl Sender {
        pub(super) fn signatures(&self, receiver: SocketAddr) -> Shows {
            let receiver = format!("https://{receiver}");
            Shows::Signature { sender: self.clone(), receiver }
        }

        fn sign(&self, head: &str, body: &str, receiver: &str) -> String {
            let mut words = head.split([' ', '\r']);
            let mut word = || words.next().unwrap_or_default();
            let (method, target) = (word(), word());
            let hex = base16ct::lower::encode_string;
            let mac = |text: &str| {
                let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
                mac.chain_update(text).finalize().into_bytes()
            };
            let key = hex(&mac("larder-key-id")[..4]);
            let now = UNIX_EPOCH.elapsed().unwrap().as_millis();
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let body = if body.is_empty() { "-".to_owned() } else { hex(&Sha256::digest(body)) };
            let claims = format!("v1 {key} {now} {}-{number} {body}", self.id);
            let mac = mac(&format!("larder-auth\n{method}\n{target}\n{receiver}\n{claims}"));
            format!("{claims} {}", hex(&mac))
        }
    }
}
