//! Three nodes in one process: each key has one owner, which loads it for all.
//!
//! `cargo run --example cluster`

use larder::HttpPool;

fn main() -> larder::Result<()> {
    let pools: Vec<HttpPool> =
        (0..3).map(|_| HttpPool::bind("http://127.0.0.1:0")).collect::<larder::Result<_>>()?;
    let urls: Vec<String> = pools.iter().map(|pool| pool.url().to_owned()).collect();
    let mut groups = Vec::new();
    for pool in &pools {
        pool.set_peers(&urls)?;
        let url = pool.url().to_owned();
        let getter = move |key: &str| Ok(format!("{key}, loaded by {url}"));
        groups.push(pool.group("places", 1 << 20, getter)?);
    }
    for key in ["Rome", "Oslo", "Lima"] {
        println!("{key} is owned by {}", pools[0].owner(key));
        for group in &groups {
            println!("  {}", String::from_utf8_lossy(&group.get(key)?));
        }
    }
    let loads: u64 = groups.iter().map(|group| group.stats().local_loads).sum();
    println!("{loads} loads for 9 gets");
    Ok(())
}
