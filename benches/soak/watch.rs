//! What the nodes use while they are under load.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::lives::Tally;
use super::ring::{Ring, Usage};
use super::support::{Table, decimals, grouped};

const MIB: f64 = (1 << 20) as f64;

/// Rows by the minute, and resident memory by the second.
pub(crate) struct Watch {
    table: Table,
    /// Seconds since the start, and bytes of each node.
    resident: Vec<(f64, [u64; 2])>,
    time: Duration,
}

impl Watch {
    /// Looks on for so long.
    pub(crate) fn over(ring: &Ring, tally: &Tally, time: Duration) -> Self {
        let columns = [
            "until",
            "requests",
            "a second",
            "connects",
            "cuts",
            "errors",
            "wrong",
            "slowest",
            "resident MiB",
            "files",
            "threads",
        ];
        let mut watch = Self { table: Table::new(&columns), resident: Vec::new(), time };
        // By the minute, unless that is not long enough for a few.
        let every = Duration::from_secs(60).min(time / 5).max(Duration::from_secs(1));
        let (started, mut row, mut counted) = (Instant::now(), 1, 0);
        while started.elapsed() < time {
            std::thread::sleep(Duration::from_millis(1_000));
            watch.resident.push((started.elapsed().as_secs_f64(), ring.resident_bytes()));
            if started.elapsed() >= every * row || started.elapsed() >= time {
                let requests = tally.requests.load(Relaxed);
                let seconds = started.elapsed().as_secs_f64();
                watch.row(ring, tally, seconds, (requests - counted) as f64 / every.as_secs_f64());
                (row, counted) = (row + 1, requests);
            }
        }
        watch
    }

    fn row(&mut self, ring: &Ring, tally: &Tally, seconds: f64, rate: f64) {
        let count = |counter: &AtomicU64| grouped(counter.load(Relaxed) as f64);
        let both = |of: fn(&Usage) -> u64| {
            let [a, b] = ring.usage();
            format!("{}, {}", of(&a), of(&b))
        };
        let [a, b] = ring.resident_bytes().map(|bytes| decimals(bytes as f64 / MIB));
        let slowest = tally.slowest.swap(0, Relaxed) as f64 / 1e3;
        self.table.row([
            format!("{seconds:.0} s"),
            count(&tally.requests),
            grouped(rate),
            count(&tally.connects),
            count(&tally.cuts),
            count(&tally.errors),
            count(&tally.wrong),
            format!("{slowest:.0} ms"),
            format!("{a}, {b}"),
            both(|usage| usage.files),
            both(|usage| usage.threads),
        ]);
    }

    pub(crate) fn report(&self, tally: &Tally) {
        self.table.print();
        let half = self.time.as_secs_f64() / 2.0;
        for node in [0, 1] {
            let later = self.resident.iter().filter(|(at, _)| *at >= half);
            let points: Vec<_> = later.map(|(at, bytes)| (*at, bytes[node] as f64)).collect();
            let (slope, error) = slope(&points);
            println!(
                "\nnode {node}: resident memory grew by {} KiB a minute in the second half \
                 (standard error {}), from a mean of {} MiB",
                decimals(slope * 60.0 / 1_024.0),
                decimals(error * 60.0 / 1_024.0),
                decimals(mean(points.iter().map(|(_, bytes)| *bytes)) / MIB),
            );
        }
        println!(
            "\nRequests are those answered whole, each verified; errors are answers other than"
        );
        println!("200 and connections that the node ended. Slowest is a wait for an answer.");
        assert!(tally.requests.load(Relaxed) > 0, "nothing was asked");
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// The slope of the line through the points by least squares, and its standard error.
fn slope(points: &[(f64, f64)]) -> (f64, f64) {
    let (x, y) = (mean(points.iter().map(|p| p.0)), mean(points.iter().map(|p| p.1)));
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
    let spread = sum(&|p| (p.0 - x).powi(2));
    let slope = sum(&|p| (p.0 - x) * (p.1 - y)) / spread;
    let rest = sum(&|p| (p.1 - y - slope * (p.0 - x)).powi(2));
    (slope, (rest / (points.len() as f64 - 2.0) / spread).sqrt())
}
