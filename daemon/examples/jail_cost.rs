//! What the jail costs: `cargo run --release -p slused --example jail_cost`
//!
//! Reads the same bytes with the product's readers in this process and in a parser, and prints the seconds of CPU that each
//! took, all processes together: for one large file, per GiB; for many small ones, per file. Then how long the small ones take
//! one after the other, and side by side.

#![expect(clippy::print_stdout, reason = "it is a command")]

use clap::Parser as _;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use sluse_content::Policy;
use sluse_content::identifiers::HashKey;
use sluse_protocol::agreement::Content;
use sluse_protocol::digest::Sha256;
use slused::inspect::engine::{Engine, FileFacts, Guarded, Verdict};
use slused::inspect::jail::{Jail, Jailed, KEY_BYTES, Settings, Tools, nursery, parser};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

#[derive(clap::Parser)]
enum Started {
    Measure,
    Nursery(nursery::Args),
    Parser(parser::Args),
}

/// Bytes of the large file, in pieces as the quarantine's chunks come.
const LARGE: (usize, usize) = (1024, 4 << 20);

/// How often the small files are read in each way; the quickest counts.
const ROUNDS: usize = 3;

/// Small files, and the bytes of each.
const SMALL: (usize, usize) = (20_000, 32 << 10);

fn main() -> Result<(), Box<dyn Error>> {
    let command = if std::env::args().len() == 1 { Started::Measure } else { Started::parse() };
    match command {
        Started::Nursery(args) => return Ok(nursery::run(args)?),
        Started::Parser(args) => return Ok(parser::run(args, parser::readers)?),
        Started::Measure => {}
    }
    let jail = Arc::new(Jail::start(Settings::default())?);
    let chunk = b"subject,visit,analyte,value\nS000001,1,hb,13.1\n".repeat(LARGE.1 / 46 + 1)[..LARGE.1].to_vec();
    for (name, files, bytes, pieces) in
        [("1 file of 4 GiB", 1, &chunk[..], LARGE.0), ("20,000 files of 32 KiB", SMALL.0, &chunk[..SMALL.1], 1)]
    {
        let inside = read_here(files, bytes, pieces)?;
        let tools = Tools { jail: Arc::clone(&jail), key: [0; KEY_BYTES], signatures: None };
        let transfer = Jailed::new(tools).for_transfer(16 << 30).ok_or("no engine for a transfer")?;
        let before = parsers_cpu();
        let ours = read(transfer.as_ref(), files, bytes, pieces)?;
        let jailed = ours + parsers_cpu() - before;
        let gib = (files * pieces * bytes.len()) as f64 / (1 << 30) as f64;
        println!(
            "{name}: in this process {inside:.2} s CPU, in the jail {jailed:.2} (of which {ours:.2} in this process)"
        );
        println!(
            "  the jail: {:.2} s CPU a GiB, {:.0} µs CPU a file",
            (jailed - inside) / gib,
            (jailed - inside) / files as f64 * 1e6
        );
    }
    let threads = std::thread::available_parallelism()?.get();
    let mut best = [f64::MAX; 2];
    // In turn, so that what else the machine does is alike for both.
    for _ in 0..ROUNDS {
        for (best, threads) in best.iter_mut().zip([1, threads]) {
            let tools = Tools { jail: Arc::clone(&jail), key: [0; KEY_BYTES], signatures: None };
            *best = best.min(side_by_side(&tools, threads, &chunk[..SMALL.1])?);
        }
    }
    let [one, all] = best;
    println!(
        "20,000 files of 32 KiB: one after the other {one:.2} s, {threads} side by side {all:.2} s: {:.2} of it",
        all / one
    );
    Ok(())
}

/// Seconds until so many threads, each with a parser of its own, have read the small files.
fn side_by_side(tools: &Tools, threads: usize, bytes: &[u8]) -> Result<f64, Box<dyn Error>> {
    let transfer = Jailed::new(tools.clone()).for_transfer(16 << 30).ok_or("no engine for a transfer")?;
    let (engine, share) = (transfer.as_ref(), SMALL.0 / threads);
    let started = Instant::now();
    let read_all = std::thread::scope(|scope| {
        let work: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| read(engine, share, bytes, 1).map_err(|error| error.to_string())))
            .collect();
        work.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread died".to_owned())?.map(drop))
    });
    read_all?;
    Ok(started.elapsed().as_secs_f64())
}

/// Seconds of CPU over so many files, each so many times `bytes`, with the readers in this process.
fn read_here(files: usize, bytes: &[u8], pieces: usize) -> Result<f64, Box<dyn Error>> {
    let size = (bytes.len() * pieces) as u64;
    let policy = Arc::new(Policy::new(&Content::default(), HashKey::new([0; KEY_BYTES]))?);
    let before = own_cpu()?;
    for _ in 0..files {
        for mut reader in parser::readers(&"table.csv".parse()?, size, &policy) {
            let mut notices = Vec::new();
            (0..pieces).for_each(|_| reader.feed(bytes, &mut notices));
            reader.finish(&mut notices);
        }
    }
    Ok(own_cpu()? - before)
}

/// The same with the readers in the jail, of this process.
fn read(engine: &dyn Engine, files: usize, bytes: &[u8], pieces: usize) -> Result<f64, Box<dyn Error>> {
    let size = (bytes.len() * pieces) as u64;
    let before = own_cpu()?;
    for _ in 0..files {
        let file = FileFacts { path: "table.csv".parse()?, size, content: Arc::default() };
        let mut scan = Guarded::begin(engine, &file);
        (0..pieces).for_each(|_| scan.feed(bytes));
        match scan.finish(&Sha256([0; 32])) {
            Verdict::Read { .. } => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok(own_cpu()? - before)
}

fn own_cpu() -> Result<f64, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// Seconds of CPU of the parsers that live.
fn parsers_cpu() -> f64 {
    let children = |of: &str| std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    let nurseries = children(&std::process::id().to_string());
    let parsers: Vec<String> = nurseries
        .split_whitespace()
        .flat_map(|pid| children(pid).split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    parsers
        .iter()
        .map(|pid| {
            let times = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
            times.split(' ').next().and_then(|ran| ran.parse::<f64>().ok()).unwrap_or_default() / 1e9
        })
        .sum()
}
