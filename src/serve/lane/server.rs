//! The far side of a lane: a tiny_http server on a private socket, and its workers.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::folder::Folder;
use super::{ID, PING};
use crate::error::{Error, Result};
use crate::serve::answer::Answer;
use crate::serve::conditional::Conditions;
use crate::serve::head::Method;
use crate::serve::request::{Request, Service};
use crate::sync::{Mutex, start};
use crate::wire::{LEFT_MS, WITHIN_MS};

/// A tiny_http server with its workers, which end when it is dropped.
pub(super) struct Server {
    path: PathBuf,
    http: Arc<tiny_http::Server>,
    stopping: Arc<AtomicBool>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    /// There until `http` has gone, which connects to its own socket to end.
    _folder: Arc<Folder>,
}

impl Server {
    pub(super) fn start(name: &str, service: &Arc<dyn Service>, workers: usize) -> Result<Self> {
        let folder = Arc::new(Folder::new()?);
        let path = folder.socket();
        let http = tiny_http::Server::http_unix(&path).map_err(|error| Error::Io {
            what: format!("cannot listen on {}", path.display()),
            message: error.to_string(),
        })?;
        let (http, stopping) = (Arc::new(http), Arc::new(AtomicBool::new(false)));
        let workers_started = Mutex::new(Vec::with_capacity(workers));
        let server = Self { path, http, stopping, workers: workers_started, _folder: folder };
        for _ in 0..workers {
            let (http, stopping) = (Arc::clone(&server.http), Arc::clone(&server.stopping));
            let (service, folder) = (Arc::clone(service), Arc::clone(&server._folder));
            let worker = start(format!("larder {name} lane"), move || {
                run(&http, &stopping, &*service);
                // The last of them ends the server, which connects to its own socket for it.
                drop(http);
                drop(folder);
            });
            let worker =
                worker.map_err(|error| Error::io("cannot start a worker thread", &error))?;
            server.workers.lock().push(worker);
        }
        Ok(server)
    }

    /// The socket to connect to.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells the workers to end after the requests that they have.
    pub(super) fn stop(&self) -> Vec<JoinHandle<()>> {
        self.stopping.store(true, Ordering::SeqCst);
        let workers = std::mem::take(&mut *self.workers.lock());
        for _ in 0..workers.len() {
            self.http.unblock();
        }
        workers
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A worker's life.
fn run(http: &tiny_http::Server, stopping: &AtomicBool, service: &dyn Service) {
    loop {
        match http.recv() {
            Ok(request) => serve(request, service),
            Err(_) if stopping.load(Ordering::SeqCst) => return,
            // The server's accepting has failed: the connections that it has still work, and
            // the next one that is opened will find out.
            Err(_) => {}
        }
    }
}

fn serve(mut request: tiny_http::Request, service: &dyn Service) {
    let id = private_header(&request, ID).unwrap_or_default();
    let answer = if request.url() == PING {
        Ok(Answer::text(200, "pong"))
    } else {
        let [within, left] = [WITHIN_MS, LEFT_MS].map(|name| millis(&request, name));
        read_lane_request(&mut request, within, left).map(|read| {
            catch_unwind(AssertUnwindSafe(|| service.work(&read)))
                .unwrap_or_else(|_| Answer::text(500, "the request's worker panicked"))
        })
    };
    let answer = answer.unwrap_or_else(|error| Answer::text(500, error.to_string()));
    // The gate reads the answer whole; if it has gone there is nobody to tell.
    let _ = write_lane_answer(request, &answer, &id);
}

fn private_header(request: &tiny_http::Request, name: &'static str) -> Option<String> {
    let header = request.headers().iter().find(|header| header.field.equiv(name))?;
    Some(header.value.as_str().to_owned())
}

fn millis(request: &tiny_http::Request, name: &'static str) -> Option<Duration> {
    private_header(request, name)?.parse().ok().map(Duration::from_millis)
}

fn read_lane_request(
    request: &mut tiny_http::Request,
    within: Option<Duration>,
    left: Option<Duration>,
) -> io::Result<Request<'_>> {
    let method = Method::from_name(request.method().as_str());
    let method = method.ok_or_else(|| io::Error::other("a method that the gate refuses"))?;
    let mut body = Vec::with_capacity(request.body_length().unwrap_or(0));
    request.as_reader().read_to_end(&mut body)?;
    // The gate sees to the conditions: answers of a lane are shared.
    let conditions = Conditions::default();
    Ok(Request { method, target: request.url(), within, left, conditions, body })
}

/// One write: tiny_http's own way of responding makes many of them.
fn write_lane_answer(request: tiny_http::Request, answer: &Answer, id: &str) -> io::Result<()> {
    let answer = answer.clone().with(ID, id);
    let mut writer = request.into_writer();
    writer.write_all(&answer.to_bytes(true, true))?;
    writer.flush()
}
