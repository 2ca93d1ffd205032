//! Hit ratios of eviction policies over traces: `hit_ratio [TRACE_FILE]...`
//!
//! Every request is a get, and an insert on a miss; sizes are numbers of entries. Without files
//! the traces are synthetic ones. What the files hold and who publishes them: `traces.rs`.

use std::path::Path;
use std::process::ExitCode;

use larder_compare::policies::{Make, POLICIES, belady};
use larder_compare::traces::{Trace, synthetic};

/// Cache sizes, as percentages of a trace's unique keys.
const SIZES: [usize; 5] = [1, 2, 5, 10, 20];
/// Those that the means are of.
const MEANS: [usize; 3] = [1, 5, 20];

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(files: impl Iterator<Item = String>) -> Result<(), String> {
    let read: Vec<Trace> =
        files.map(|file| Trace::read(Path::new(&file))).collect::<Result<_, _>>()?;
    let traces = if read.is_empty() { synthetic() } else { read };
    // A row of ratios for each trace and size.
    let mut tables = Vec::new();
    for trace in &traces {
        println!("\n{}: {} requests, {} keys\n", trace.name, trace.requests.len(), trace.unique);
        heading();
        let table = SIZES.map(|percent| row(trace, percent));
        for (percent, ratios) in SIZES.iter().zip(&table) {
            print_row(&format!("{percent} %"), ratios);
        }
        tables.push(table);
    }
    println!("\nMeans of {} traces\n", traces.len());
    heading();
    for (place, percent) in SIZES.iter().enumerate().filter(|(_, size)| MEANS.contains(size)) {
        print_row(&format!("{percent} %"), &means(tables.iter().map(|table| &table[place])));
    }
    let all = tables.iter().flat_map(|table| {
        SIZES.iter().zip(table).filter(|(size, _)| MEANS.contains(size)).map(|(_, ratios)| ratios)
    });
    print_row("all", &means(all));
    Ok(())
}

/// The hit ratios of all policies and of the optimum, in percent.
fn row(trace: &Trace, percent: usize) -> Vec<f64> {
    let size = (trace.unique * percent / 100).max(1);
    let hits = POLICIES.iter().map(|(_, make)| hits(*make, trace, size));
    hits.chain([belady::hits(&trace.requests, size)])
        .map(|hits| 100.0 * hits as f64 / trace.requests.len() as f64)
        .collect()
}

fn hits(make: Make, trace: &Trace, size: usize) -> usize {
    let mut policy = make(size);
    trace.requests.iter().filter(|&&key| policy.request(key)).count()
}

fn means<'rows>(rows: impl Iterator<Item = &'rows Vec<f64>>) -> Vec<f64> {
    let rows: Vec<_> = rows.collect();
    (0..=POLICIES.len())
        .map(|column| rows.iter().map(|row| row[column]).sum::<f64>() / rows.len() as f64)
        .collect()
}

fn heading() {
    let names: Vec<&str> = POLICIES.iter().map(|(name, _)| *name).chain(["optimum"]).collect();
    println!("| size | {} |", names.join(" | "));
    println!("| ---: |{}", " ---: |".repeat(names.len()));
}

fn print_row(label: &str, ratios: &[f64]) {
    let cells: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.1}")).collect();
    println!("| {label} | {} |", cells.join(" | "));
}
