//! Measures the inspection of content, and shows what it notices in files: `tests/bench/content` and `tests/foreign` run it.
//!
//!     cargo run --release -p sluse-content --example content -- speed [DICOM-DIR]
//!     cargo run --release -p sluse-content --example content -- look FILE|DIR…
//!
//! `speed` makes tables and NDJSON, and gives MB per second of CPU of containers, types, structure and identifiers together beside
//! that of `sha256sum` on the same bytes; and how many DICOM files like those in a folder are read in a second. `look` names
//! what is noticed in files and in members of archives, and sums up.

#![expect(clippy::print_stdout, reason = "it is a command")]

use sluse_content::containers::{End, Limits, Member, Visitor, Walker, printable};
use sluse_content::identifiers::HashKey;
use sluse_content::types::TypeReader;
use sluse_content::{FileReader, Notice, Policy, Reader, Sink, Unpacked, readers};
use sluse_protocol::agreement::{Content, NamedPattern};
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

/// DICOM files that are read: those of a folder, again and again.
const DICOM_FILES: usize = 20_000;

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

/// What is noticed in a file of this type, by all that looks at it in one pass.
fn read(file_type: FileType, bytes: &[u8], policy: &Arc<Policy>) -> Vec<Notice> {
    let mut all =
        All { types: TypeReader::new("", &Arc::from([])), reader: readers(file_type, policy), notices: Vec::new() };
    let mut walker = Walker::new("file", Some(bytes.len() as u64), Limits::default());
    bytes.chunks(PIECE).for_each(|piece| walker.feed(piece, &mut all));
    walker.finish(&mut all);
    all.notices
}

/// The readers of one file.
struct All {
    types: TypeReader,
    reader: Box<dyn Reader>,
    notices: Vec<Notice>,
}

impl Visitor for All {
    fn begin(&mut self, _: &Member<'_>) {}

    fn bytes(&mut self, depth: usize, bytes: &[u8]) {
        if depth == 0 {
            self.types.feed(bytes, &mut self.notices);
            self.reader.feed(bytes, &mut self.notices);
        }
    }

    fn end(&mut self, depth: usize, _: End) {
        if depth == 0 {
            self.types.finish(&mut self.notices);
            self.reader.finish(&mut self.notices);
        }
    }

    fn notice(&mut self, _: usize, notice: Notice) {
        self.notices.push(notice);
    }
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
        let mut files = walk(std::slice::from_ref(folder))?;
        files.retain(|path| fs::read(path).is_ok_and(|content| content.get(128..132) == Some(b"DICM")));
        let all = || files.iter().cycle().take(DICOM_FILES).map(|path| dicom(path, policy)).sum();
        let seconds = best(own_cpu, all)?;
        let bytes = files.iter().map(|path| Ok(fs::metadata(path)?.len())).sum::<Fallible<u64>>()?;
        println!(
            "{DICOM_FILES} DICOM files ({} different ones, of {} kB on average): {:.0} files per second of CPU, {:.0} MB",
            files.len(),
            bytes / 1000 / files.len().max(1) as u64,
            DICOM_FILES as f64 / seconds,
            bytes as f64 / files.len().max(1) as f64 * DICOM_FILES as f64 / 1e6 / seconds
        );
    }
    Ok(())
}

/// What is noticed in a DICOM file; the reading of it counts as well.
fn dicom(path: &Path, policy: &Arc<Policy>) -> usize {
    fs::read(path).map_or(0, |content| read(FileType::Dicom, &content, policy).len())
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
    let (mut bytes, mut seen) = (0u64, Look::default());
    for path in walk(paths)? {
        let content = fs::read(&path)?;
        bytes += content.len() as u64;
        seen.begin(&printable(&path.to_string_lossy()), &content);
        let mut reader = FileReader::new(&seen.name.clone(), content.len() as u64, policy);
        content.chunks(PIECE).for_each(|piece| reader.feed(piece, &mut seen));
        reader.finish(&mut seen);
    }
    let Look { files, members, shown, counts, .. } = seen;
    println!(
        "{files} files, {:.1} MB; with members {}, {:.1} MB",
        bytes as f64 / 1e6,
        files + members,
        (bytes + shown) as f64 / 1e6
    );
    counts.iter().for_each(|((file_type, class), count)| println!("{file_type:14} {class:20} {count}"));
    Ok(())
}

/// Looks at files as `inspect` does; what is noticed in a member counts for the file's type.
#[derive(Default)]
struct Look {
    name: String,
    file_type: String,
    counts: BTreeMap<(String, String), u64>,
    files: u64,
    members: u64,
    shown: u64,
}

impl Look {
    fn begin(&mut self, name: &str, content: &[u8]) {
        let (mut types, mut notices) = (TypeReader::new(name, &Arc::from([])), Vec::new());
        types.feed(content, &mut notices);
        types.finish(&mut notices);
        self.name = name.to_owned();
        self.file_type = types.types().first().map_or("unknown".into(), FileType::to_string);
        self.files += 1;
        self.count("(files)");
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry((self.file_type.clone(), what.to_owned())).or_default() += 1;
    }
}

impl Sink for Look {
    fn notice(&mut self, notice: Notice) {
        self.count(&notice.class.to_string());
        let at = notice.offset.map(|offset| format!(" at {offset}")).unwrap_or_default();
        println!("{} ({}) {}{at}: {}", self.name, self.file_type, notice.class, notice.message);
    }

    fn unpacked(&mut self, unpacked: Unpacked<'_>) {
        match unpacked {
            Unpacked::Begin { .. } => self.members += 1,
            Unpacked::Bytes { bytes, .. } => self.shown += bytes.len() as u64,
            Unpacked::End => {}
        }
    }
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
