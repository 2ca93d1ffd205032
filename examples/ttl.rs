//! A getter of your own that gives each value a time to live, and says "no such key".
//!
//! `cargo run --example ttl`

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder::{BoxError, Getter, Group, Loaded, NotFound};

/// Prices change: a price is served for a quarter of a second.
struct Prices {
    asked: AtomicU64,
}

impl Getter for Prices {
    fn get(&self, key: &str) -> Result<Loaded, BoxError> {
        if key != "apple" {
            return Err(NotFound.into());
        }
        let cents = 90 + self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(Loaded::new(cents.to_string()).with_ttl(Duration::from_millis(250)))
    }
}

fn main() -> larder::Result<()> {
    let prices = Group::new("prices", 1 << 20, Prices { asked: AtomicU64::new(0) })?;
    let started = Instant::now();
    let mut last = prices.get("apple")?;
    println!("an apple is {}", String::from_utf8_lossy(&last));
    while started.elapsed() < Duration::from_secs(1) {
        let price = prices.get("apple")?;
        if price != last {
            println!("after {:?} it is {}", started.elapsed(), String::from_utf8_lossy(&price));
            last = price;
        }
    }
    let stats = prices.stats();
    println!("{} gets, {} loads", stats.gets, stats.local_loads);
    println!("{}", prices.get("pear").unwrap_err());
    Ok(())
}
