//! A program that has a tiny_http server already serves its peers there.
//!
//! `cargo run --example mount`

use std::sync::Arc;

use larder::HttpPool;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let server = Arc::new(tiny_http::Server::http("127.0.0.1:0")?);
    let url = format!("http://{}", server.server_addr());

    // A pool without a listener of its own.
    let pool = Arc::new(HttpPool::builder().advertise(&url).start()?);
    pool.group("greetings", 1 << 20, |name: &str| Ok(format!("hello, {name}")))?;
    for _ in 0..4 {
        let (server, pool) = (Arc::clone(&server), Arc::clone(&pool));
        std::thread::spawn(move || {
            for request in server.incoming_requests() {
                if request.url().starts_with("/_larder/") {
                    pool.handle(request);
                } else {
                    let _ = request.respond(tiny_http::Response::from_string("my own page\n"));
                }
            }
        });
    }

    // Another node, which gets from the first what that one owns.
    let other = HttpPool::bind("http://127.0.0.1:0")?;
    other.set_peers([&url, other.url()])?;
    let greetings = other.group("greetings", 1 << 20, |name: &str| Ok(format!("hi, {name}")))?;
    for name in ["Tom", "Jack", "Sam", "Ann"] {
        println!("{} (owned by {})", greetings.get(name)?.as_str()?, other.owner(name));
    }
    Ok(())
}
