//! A cache inside one program: slow work is done once, however many threads ask.
//!
//! `cargo run --example embed`

use std::time::{Duration, Instant};

use larder::Group;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let squares = Group::new("squares", 1 << 20, |n: &str| {
        std::thread::sleep(Duration::from_millis(300));
        let n: u64 = n.parse()?;
        Ok((n * n).to_string())
    })?;

    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| squares.get("12"));
        }
    });
    let stats = squares.stats();
    println!("{} gets, {} load, {:?}", stats.gets, stats.local_loads, started.elapsed());
    println!("12 squared is {}", squares.get("12")?.as_str()?);
    println!("an error names the key: {}", squares.get("twelve").unwrap_err());
    Ok(())
}
