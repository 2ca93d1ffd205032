//! The origin of all nodes: Go nodes ask it over HTTP, larder nodes call it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Counts its loads by key and node; a clone is another handle.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) url: String,
    loads: Arc<Mutex<HashMap<String, BTreeMap<String, u64>>>>,
}

impl Origin {
    /// Serves `GET /load?node=NAME&key=KEY` until the test process ends.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let origin = Self { url, loads: Arc::default() };
        let serving = origin.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (origin, stream) = (serving.clone(), stream.unwrap());
                // A node that was killed cuts its connections.
                std::thread::spawn(move || origin.serve(stream).unwrap_or_default());
            }
        });
        origin
    }

    pub(super) fn value(key: &str) -> String {
        format!("value of {key}")
    }

    /// Loads `key` for the node of this name.
    pub(super) fn load(&self, node: &str, key: &str) -> String {
        let mut loads = self.loads.lock().unwrap();
        *loads.entry(key.to_owned()).or_default().entry(node.to_owned()).or_default() += 1;
        Self::value(key)
    }

    /// How often each node has loaded `key`.
    pub(super) fn loads(&self, key: &str) -> BTreeMap<String, u64> {
        self.loads.lock().unwrap().get(key).cloned().unwrap_or_default()
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        loop {
            let mut request = String::new();
            if reader.read_line(&mut request)? == 0 {
                return Ok(());
            }
            let mut header = String::new();
            while reader.read_line(&mut header)? > 2 {
                header.clear();
            }
            let target = request.split(' ').nth(1).expect("a request line");
            let query = target.strip_prefix("/load?").expect("a load");
            let query: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
            let value = self.load(&query["node"], &query["key"]);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", value.len());
            writer.write_all(&[head.as_bytes(), value.as_bytes()].concat())?;
        }
    }
}
