//! wrk, the loader that HTTP servers are compared with.

use std::process::Command;
use std::time::Duration;

/// What wrk has counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrk {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Asks for `target` again and again over so many connections from two threads, with the
/// requests that [`Client`](super::Client) sends; every answer must be a success.
pub(crate) fn wrk(target: &str, connections: usize, seconds: u64) -> Wrk {
    let (connections, span) = (connections.to_string(), format!("{seconds}s"));
    let mut command = Command::new("wrk");
    command.args(["-t2", "-c", &connections, "-d", &span, "--latency", "-H", "Host: bench"]);
    let output = command.arg(target).output().expect("wrk runs");
    let text = String::from_utf8(output.stdout).expect("wrk writes ASCII");
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    let field = |start: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(start));
        line.unwrap_or_else(|| panic!("wrk does not tell {start}: {text}")).trim()
    };
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "));
    Wrk {
        requests: requests.and_then(|found| found.0.parse().ok()).expect("a number of requests"),
        per_second: field("Requests/sec:").parse().expect("a rate"),
        p50: duration(field("50%")),
        p99: duration(field("99%")),
    }
}

/// As wrk writes them: `87.00us`, `1.20ms`, `3.01s`.
fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.find(char::is_alphabetic).expect("a unit"));
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => panic!("an unknown unit: {text}"),
    };
    Duration::from_secs_f64(number.parse::<f64>().expect("a number") * seconds)
}
