//! Writes `src/wire/pb.rs` from `proto/larder.proto`; with `--check`, only compares the two.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

const HEADER: &str = "// Generated from proto/larder.proto by `make proto`; do not edit.\n";

enum Mode {
    Write,
    Check,
}

fn main() -> ExitCode {
    match mode().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn mode() -> Result<Mode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(Mode::Write),
        ["--check"] => Ok(Mode::Check),
        _ => Err("the only argument is `--check`".into()),
    }
}

fn run(mode: Mode) -> Result<(), Box<dyn Error>> {
    // Not the current directory: the generator can be run from anywhere in the repository.
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let output = root.join("src/wire/pb.rs");
    let fresh = generate(&root.join("proto"))?;
    match mode {
        Mode::Write => fs::write(output, fresh).map_err(|e| format!("src/wire/pb.rs: {e}").into()),
        // A missing file is as stale as a wrong one.
        Mode::Check if fs::read(output).is_ok_and(|stored| stored == fresh.as_bytes()) => Ok(()),
        Mode::Check => {
            Err("src/wire/pb.rs is not what proto/larder.proto gives: run `make proto`".into())
        }
    }
}

fn generate(schemas: &Path) -> Result<String, Box<dyn Error>> {
    let descriptors = protox::compile(["larder.proto"], [schemas])?;
    let requests = descriptors
        .file
        .into_iter()
        .map(|file| (prost_build::Module::from_protobuf_package_name(file.package()), file))
        .collect();
    // `Bytes`, so that a value decoded from a `Bytes` body shares the body's memory.
    let modules = prost_build::Config::new().bytes(["."]).generate(requests)?;
    let code = modules.into_values().next().ok_or("proto/larder.proto has no message")?;
    Ok(format!("{HEADER}{code}"))
}
