//! What a run prints: its seconds, its sums, and which promises it kept.

use std::fmt::Display;
use std::time::{Duration, Instant};

use super::load::{Record, Second};
use super::schedule::Event;
use super::support::{Table, decimals, grouped};

/// The promises of a run, as far as they were looked at.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    broken: Vec<String>,
}

impl Promises {
    /// Prints a figure beside what was promised of it.
    pub(crate) fn expect(&mut self, promise: &str, figure: impl Display, is_kept: bool) {
        let verdict = if is_kept { "kept" } else { "BROKEN" };
        println!("{verdict:>7}: {promise}: {figure}");
        if !is_kept {
            self.broken.push(promise.to_owned());
        }
    }

    pub(crate) fn broken(&self) -> &[String] {
        &self.broken
    }
}

/// What holds in every run, whatever the faults.
pub(crate) fn expect_of_all(promises: &mut Promises, record: &Record) {
    let gets = record.total(|second| second.gets);
    promises.expect("gets were made", grouped(gets as f64), gets > 0);
    let wrong = record.total(|second| second.wrong);
    promises.expect("no wrong byte", grouped(wrong as f64), wrong == 0);
    let stale = record.total(|second| second.stale);
    promises.expect("no stale value", grouped(stale as f64), stale == 0);
    let errors = record.total(|second| second.errors);
    let what = "no error of a node that was there, while the origin worked";
    promises.expect(what, grouped(errors as f64), errors == 0);
}

/// The seconds of a run: what was done to it and what came of that.
pub(crate) fn print_seconds(
    record: &Record,
    events: &[Event],
    started: Instant,
    loads: &[Instant],
) {
    let columns = [
        "faults", "s", "gets", "errors", "excused", "moved", "wrong", "stale", "writes", "not",
        "loads", "p50 ms", "p99 ms",
    ];
    let mut table = Table::new(&columns);
    for (n, second) in record.seconds.iter().enumerate() {
        let [from, to] = [n, n + 1].map(|n| Duration::from_secs(n as u64));
        let faults = events.iter().filter(|event| event.begin < to && event.end >= from);
        let faults: Vec<String> = faults.map(|event| event.fault.to_string()).collect();
        let span = started + from..started + to;
        let loads = loads.iter().filter(|&load| span.contains(load)).count();
        let Second { gets, errors, excused, moved, wrong, stale, confirmed, unconfirmed } = *second;
        let counts = [gets, errors, excused, moved, wrong, stale, confirmed, unconfirmed];
        let mut row = vec![faults.join(", "), n.to_string()];
        row.extend(counts.map(|count| grouped(count as f64)));
        row.push(grouped(loads as f64));
        row.extend([0.5, 0.99].map(|share| millis(record.quantile(from, to, share))));
        table.row(row);
    }
    table.print();
}

/// What is worth to know beside the table.
pub(crate) fn print_findings(record: &Record) {
    let sources: Vec<String> =
        record.sources.iter().map(|(name, count)| format!("{name} {count}")).collect();
    println!("\nvalues came from: {}", sources.join(", "));
    let mut errors: Vec<_> = record.errors.iter().collect();
    errors.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (error, count) in errors.into_iter().take(12) {
        println!("error, {count} times: {error}");
    }
    record.examples.iter().for_each(|example| println!("{example}"));
    println!();
}

/// In milliseconds; `-` when there is nothing to tell.
pub(crate) fn millis(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| decimals(time.as_secs_f64() * 1e3))
}
