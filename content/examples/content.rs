//! Measures the readers of content, and shows what they notice in files.
//!
//!     cargo run --release -p sluse-content --example content -- speed [DICOM-DIR]
//!     cargo run --release -p sluse-content --example content -- look FILE|DIR…
//!
//! `speed` makes tables and NDJSON, and gives each reader's MB per second of CPU beside that of `sha256sum` on the same bytes;
//! and how many of the DICOM files in a folder are read in a second. `look` names what is noticed in files, and sums up.

#![expect(clippy::print_stdout, reason = "it is a command")]

use sluse_content::identifiers::HashKey;
use sluse_content::{Notice, Policy, readers};
use sluse_protocol::agreement::{Content, NamedPattern};
use sluse_protocol::finding::Class;
use sluse_protocol::types::FileType;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Bytes that a reader gets at once, as `inspect` hands them out.
const PIECE: usize = 64 * 1024;

/// How often the DICOM files are read.
const PASSES: usize = 200;

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let policy = Arc::new(Policy::new(&Content::default(), HashKey::new([0; 32]))?);
    match arguments.split_first() {
        Some((command, folder)) if command == "speed" => speed(&policy, folder),
        Some((command, paths)) if command == "look" && !paths.is_empty() => look(&policy, paths),
        _ => Err("usage: content speed [DICOM-DIR] | content look FILE|DIR…".into()),
    }
}

fn read(file_type: FileType, bytes: &[u8], policy: &Arc<Policy>) -> Vec<Notice> {
    let (mut reader, mut notices) = (readers(file_type, policy), Vec::new());
    bytes.chunks(PIECE).for_each(|piece| reader.feed(piece, &mut notices));
    reader.finish(&mut notices);
    notices
}

fn speed(policy: &Arc<Policy>, folder: &[String]) -> Fallible<()> {
    let patterns = vec![NamedPattern { name: "hospital number".into(), pattern: "NPR-[0-9]{8}".parse()? }];
    let content = Content { patterns, ..Content::default() };
    let with_pattern = Arc::new(Policy::new(&content, HashKey::new([0; 32]))?);
    let samples = [
        ("csv, numbers", FileType::Csv, numbers(), policy),
        ("csv, quoted text", FileType::Csv, quoted(), policy),
        ("csv, quoted text, a pattern", FileType::Csv, quoted(), &with_pattern),
        ("ndjson, FHIR observations", FileType::Ndjson, observations(), policy),
        ("text", FileType::Text, quoted(), policy),
    ];
    println!("{:28} {:>8} {:>10} {:>6}", "MB per second of CPU", "ours", "sha256sum", "ratio");
    for (name, file_type, bytes, policy) in samples {
        let ours = best(own_cpu, || read(file_type, &bytes, policy).len())?;
        let file = std::env::temp_dir().join("sluse-content-speed");
        fs::write(&file, &bytes)?;
        let sum = || Command::new("sha256sum").arg(&file).output().map_or(0, |output| output.stdout.len());
        let theirs = best(childrens_cpu, sum)?;
        fs::remove_file(&file)?;
        let rate = |seconds: f64| bytes.len() as f64 / 1e6 / seconds;
        println!("{name:28} {:8.0} {:10.0} {:6.2}", rate(ours), rate(theirs), ours / theirs);
    }
    for folder in folder {
        let mut files = Vec::new();
        for path in walk(std::slice::from_ref(folder))? {
            let content = fs::read(&path)?;
            files.extend((content.get(128..132) == Some(b"DICM")).then_some(content));
        }
        // The kernel counts a thread's time in ticks: one pass over few files is less than one.
        let all = || (0..PASSES).flat_map(|_| &files).map(|file| read(FileType::Dicom, file, policy).len()).sum();
        let seconds = best(own_cpu, all)? / PASSES as f64;
        let bytes: usize = files.iter().map(Vec::len).sum();
        let rate = files.len() as f64 / seconds;
        println!(
            "{} DICOM files of {} kB on average: {rate:.0} files per second of CPU",
            files.len(),
            bytes / 1000 / files.len().max(1)
        );
    }
    Ok(())
}

/// Seconds of CPU of the cheapest of seven runs: what else the machine does only ever makes one dearer.
fn best(clock: fn() -> Fallible<f64>, run: impl Fn() -> usize) -> Fallible<f64> {
    let mut best = f64::MAX;
    for _ in 0..7 {
        let start = clock()?;
        std::hint::black_box(run());
        best = best.min(clock()? - start);
    }
    Ok(best)
}

/// Seconds of CPU that this thread took.
fn own_cpu() -> Fallible<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse::<f64>()? / 1e9)
}

/// Seconds of CPU that programs started from here took, to a hundredth.
fn childrens_cpu() -> Fallible<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).unwrap_or(&"0").parse::<f64>();
    Ok((ticks(13)? + ticks(14)?) / 100.0)
}

/// Numbers that look like any, the same each time.
fn noise() -> impl FnMut(u64) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

const SAMPLE_BYTES: usize = 200_000_000;

fn numbers() -> Vec<u8> {
    let (mut noise, mut text) =
        (noise(), String::from("pseudonym;admitted;discharged;ward;age;code;value;unit;serial\n"));
    while text.len() < SAMPLE_BYTES {
        let (year, month, day) = (2000 + noise(25), 1 + noise(12), 1 + noise(28));
        let (serial, value) = (noise(100_000_000_000), noise(10_000));
        let _ = writeln!(
            text,
            "P{:06};{year}-{month:02}-{day:02};{year}-{month:02}-{day:02};{};{};I50.{};{}.{};mmol/L;{serial:011}",
            noise(1_000_000),
            noise(40),
            noise(100),
            noise(10),
            value / 10,
            value % 10
        );
    }
    text.into_bytes()
}

fn quoted() -> Vec<u8> {
    let words = [
        "patient",
        "admitted",
        "with",
        "dyspnoea,",
        "given",
        "furosemide",
        "40 mg",
        "iv",
        "no \"\"oedema\"\"",
        "blåbær",
    ];
    let (mut noise, mut text) = (noise(), String::from("\"pseudonym\",\"when\",\"note\",\"code\"\n"));
    while text.len() < SAMPLE_BYTES {
        let _ = write!(text, "\"P{:06}\",\"2024-03-{:02}T10:15:00\",\"", noise(1_000_000), 1 + noise(28));
        for _ in 0..noise(20) {
            text.push_str(words[noise(words.len() as u64) as usize]);
            text.push(' ');
        }
        let _ = writeln!(text, "\",\"{}\"", noise(1000));
    }
    text.into_bytes()
}

fn observations() -> Vec<u8> {
    let (mut noise, mut text) = (noise(), String::new());
    while text.len() < SAMPLE_BYTES {
        let id = noise(u64::MAX);
        let _ = writeln!(
            text,
            "{{\"resourceType\":\"Observation\",\"id\":\"{id:016x}\",\"meta\":{{\"profile\":[\"http://hl7.org/fhir/us/core/\
             StructureDefinition/us-core-observation-lab\"]}},\"status\":\"final\",\"category\":[{{\"coding\":[{{\"system\":\
             \"http://terminology.hl7.org/CodeSystem/observation-category\",\"code\":\"laboratory\",\"display\":\"Laboratory\"\
             }}]}}],\"code\":{{\"coding\":[{{\"system\":\"http://loinc.org\",\"code\":\"2339-0\",\"display\":\"Glucose\"}}]}},\
             \"subject\":{{\"reference\":\"Patient/{:016x}\"}},\"effectiveDateTime\":\"2019-08-{:02}T10:57:11+02:00\",\"issued\"\
             :\"2019-08-17T10:57:11.412+02:00\",\"valueQuantity\":{{\"value\":{}.{:012},\"unit\":\"mg/dL\",\"code\":\"mg/dL\"}}}}",
            noise(u64::MAX),
            1 + noise(28),
            noise(200),
            noise(1_000_000_000_000)
        );
    }
    text.into_bytes()
}

fn look(policy: &Arc<Policy>, paths: &[String]) -> Fallible<()> {
    let (mut files, mut bytes, mut counts) = (0u64, 0u64, BTreeMap::<(FileType, Class), u64>::new());
    for path in walk(paths)? {
        let content = fs::read(&path)?;
        let file_type = guess(&path, &content);
        (files, bytes) = (files + 1, bytes + content.len() as u64);
        for notice in read(file_type, &content, policy) {
            *counts.entry((file_type, notice.class)).or_default() += 1;
            let at = notice.offset.map(|offset| format!(" at {offset}")).unwrap_or_default();
            println!("{} ({file_type}) {}{at}: {}", path.display(), notice.class, notice.message);
        }
    }
    println!("{files} files, {:.1} MB", bytes as f64 / 1e6);
    counts.iter().for_each(|((file_type, class), count)| println!("{file_type:12} {class:20} {count}"));
    Ok(())
}

/// All files in folders, in order.
fn walk(paths: &[String]) -> Fallible<Vec<PathBuf>> {
    let (mut todo, mut files): (Vec<PathBuf>, _) = (paths.iter().map(PathBuf::from).collect(), Vec::new());
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            let mut inside = fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect::<Fallible<Vec<_>>>()?;
            inside.sort();
            todo.extend(inside.into_iter().rev());
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// What type a file is, roughly; `inspect` tells types by more than this.
fn guess(path: &Path, content: &[u8]) -> FileType {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let begins = |mark: &[u8]| content.starts_with(mark);
    if content.get(128..132) == Some(b"DICM") {
        return FileType::Dicom;
    }
    if begins(b"FHS|") || begins(b"BHS|") || begins(b"MSH|") {
        return FileType::Hl7;
    }
    if begins(b"PAR1") {
        return FileType::Parquet;
    }
    let by_name = [
        (".csv", FileType::Csv),
        (".tsv", FileType::Tsv),
        (".ndjson", FileType::Ndjson),
        (".jsonl", FileType::Ndjson),
        (".json", FileType::Json),
        (".geojson", FileType::Json),
        (".xml", FileType::Xml),
        (".xsd", FileType::Xml),
        (".vcf", FileType::Vcf),
        (".pdf", FileType::Pdf),
        (".svg", FileType::Svg),
        (".sam", FileType::Sam),
        (".fastq", FileType::Fastq),
        (".fa", FileType::Fasta),
        (".fasta", FileType::Fasta),
        (".bam", FileType::Bam),
        (".cram", FileType::Cram),
    ];
    if let Some((_, file_type)) = by_name.iter().find(|(ending, _)| name.ends_with(ending)) {
        return *file_type;
    }
    let text = !content.iter().take(4096).any(|byte| *byte == 0);
    if text { FileType::Text } else { FileType::Hdf5 }
}
