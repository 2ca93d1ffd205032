//! What the benches run on, as Linux tells it.

use std::fs;
use std::process::Command;
use std::time::Duration;

/// Processor, cores, kernel, compiler, and how busy the machine is already.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into());
    let load = read("/proc/loadavg").unwrap_or_else(|| "unknown".into());
    let load = load.split(' ').next().unwrap_or_default();
    let rustc = rustc_version().unwrap_or_else(|| "unknown rustc".into());
    format!("{model}, {cores} cores; kernel {kernel}; {rustc}; load {load}")
}

/// Processor time of this process so far, ended threads included; in steps of 10 ms.
pub(crate) fn process_cpu() -> Duration {
    process_cpu_of("self")
}

/// Processor time of a process so far; the process is a number, or `self`.
pub(crate) fn process_cpu_of(process: &str) -> Duration {
    /// Of `/proc`, on every architecture of today.
    const TICK: Duration = Duration::from_millis(10);
    let ticks = || {
        let stat = read(&format!("/proc/{process}/stat"))?;
        // The second field is the name, in parentheses, and may hold anything.
        let fields = stat.rsplit_once(") ")?.1;
        let times = fields.split(' ').skip(11).take(2).map(str::parse::<u32>);
        Some(times.map(|ticks| ticks.unwrap_or(0)).sum::<u32>())
    };
    TICK * ticks().unwrap_or(0)
}

/// Processor time of the calling thread so far; exact to a tick of the scheduler.
pub(crate) fn thread_cpu() -> Duration {
    let nanos = || read("/proc/thread-self/schedstat")?.split(' ').next()?.parse().ok();
    Duration::from_nanos(nanos().unwrap_or(0))
}

/// Memory of this process that is resident now.
pub(crate) fn resident_bytes() -> u64 {
    resident_bytes_of("self")
}

/// Memory of a process that is resident now; the process is a number, or `self`.
pub(crate) fn resident_bytes_of(process: &str) -> u64 {
    let status = format!("/proc/{process}/status");
    let resident = field(&status, "VmRSS").unwrap_or_else(|| panic!("{status} has no VmRSS"));
    let kib = resident.trim_end_matches(" kB").parse::<u64>().expect("VmRSS is in kB");
    kib << 10
}

/// A process and its children.
pub(crate) fn family_of(process: u32) -> Vec<String> {
    let children = read(&format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let children = children.split_whitespace().map(str::to_owned);
    std::iter::once(process.to_string()).chain(children).collect()
}

fn rustc_version() -> Option<String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// The value of the first line `name: value`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = read(path)?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
