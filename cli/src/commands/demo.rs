//! `sluse demo`: a real, throw-away landing zone, from enrolment to the verified bag.

pub mod extracts;
mod journey;
mod report;

use crate::failure::{Ended, Failure};
use crate::landing_zone::{self, LandingZone, Making};
use crate::output::Output;
use journey::Journey;
use sluse_protocol::agreement::{self, Agreement};
use sluse_protocol::ids::DatasetName;
use sluse_protocol::refusal::Exit;
use std::path::{Path, PathBuf};

/// What the demo allows, where the user brings no agreement.
const AGREEMENT: &str = include_str!("demo/agreement.toml");

/// `sluse demo`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files or folders to send, each a dataset of its own [default: three small extracts]
    paths: Vec<PathBuf>,
    /// Send under this agreement instead of the demo's own
    #[arg(long, value_name = "FILE")]
    agreement: Option<PathBuf>,
    /// Make everything in this folder, which must be empty or absent, and leave it there
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// One dataset that the demo sends.
#[derive(Debug)]
struct Extract {
    path: PathBuf,
    dataset: DatasetName,
    agreement: Agreement,
    /// The agreement as it is written, which is what a zone is given.
    text: String,
}

impl Args {
    /// Runs the demo.
    ///
    /// # Errors
    /// When a step fails; a dataset that is rejected is no failure.
    pub fn run(self, out: &Output) -> Ended {
        let (folder, _temporary) = landing_zone::place(self.keep.as_deref(), "sluse-demo-")?;
        let extracts = self.extracts(&folder)?;
        let mut zone = LandingZone::start(&folder, &Making::default(), out)?;
        let mut journeys = Vec::new();
        for extract in &extracts {
            zone.admit(&extract.agreement, &extract.text, out)?;
            journeys.push(Journey::make(&zone, extract, out)?);
        }
        let report = report::make(&zone, &journeys)?;
        zone.stop()?;
        report.print(out, self.keep.is_some());
        let undecided = report.is_undecided();
        Ok(if undecided { Exit::Held } else { Exit::Done })
    }

    /// What is sent: the user's paths, or three extracts of our own written into `folder`.
    fn extracts(&self, folder: &Path) -> Result<Vec<Extract>, Failure> {
        let own = match &self.agreement {
            Some(file) => Some(read_agreement(file)?),
            None => None,
        };
        if self.paths.is_empty() {
            let written = extracts::write(&folder.join("extracts"))?;
            let named = |(source, path): (&str, PathBuf)| {
                let (agreement, text) = own.clone().map_or_else(|| built_in(source), Ok)?;
                Ok(Extract { dataset: name_for(&path)?, path, agreement, text })
            };
            return written.into_iter().map(named).collect();
        }
        let mut extracts: Vec<Extract> = Vec::new();
        for path in &self.paths {
            let path = path.canonicalize().map_err(|error| Failure::file(Exit::Usage, "send", path, &error))?;
            let (agreement, text) = own.clone().map_or_else(|| built_in("demo-source"), Ok)?;
            let mut dataset = name_for(&path)?;
            // Two paths may end alike: each is a dataset of its own.
            for number in 2.. {
                if extracts.iter().all(|other| other.dataset != dataset) {
                    break;
                }
                dataset = numbered(&name_for(&path)?, number);
            }
            extracts.push(Extract { path, dataset, agreement, text });
        }
        Ok(extracts)
    }
}

fn read_agreement(file: &Path) -> Result<(Agreement, String), Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file(Exit::Usage, "read", file, &error))?;
    let read = agreement::parse(&text).map_err(|problems| {
        let mut failure = Failure::new(Exit::Usage, format!("{} is not an agreement", file.display()));
        for problem in problems {
            failure = failure.cause(format!("line {}: {}", problem.line, problem.message)).hint(problem.hint);
        }
        failure
    })?;
    Ok((read, text))
}

/// The demo's own agreement for one of its sources.
fn built_in(source: &str) -> Result<(Agreement, String), Failure> {
    let text = AGREEMENT.replace("demo-source", source);
    let read = agreement::parse(&text);
    let read = read.map_err(|problems| Failure::new(Exit::Fault, format!("the demo's agreement: {problems:?}")))?;
    Ok((read, text))
}

fn name_for(path: &Path) -> Result<DatasetName, Failure> {
    dataset_name(path).ok_or_else(|| Failure::new(Exit::Usage, format!("{} gives no dataset's name", path.display())))
}

/// A dataset's name made of a path's last component: what no name may hold becomes `_`.
fn dataset_name(path: &Path) -> Option<DatasetName> {
    let last = path.file_name().unwrap_or_default().to_string_lossy();
    let name: String =
        last.chars().map(|c| if c.is_control() || "/\\:*?\"<>|".contains(c) { '_' } else { c }).collect();
    let short = &name[..name.floor_char_boundary(120)];
    let candidates = [short.to_owned(), format!("_{}_", short.trim_matches(['.', ' ']))];
    candidates.iter().find_map(|name| name.parse().ok())
}

fn numbered(name: &DatasetName, number: u32) -> DatasetName {
    format!("{name}-{number}").parse().unwrap_or_else(|_| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_last_component_gives_a_dataset_name() {
        let name = |text: &str| dataset_name(Path::new(text)).unwrap().to_string();
        assert_eq!(name("/data/EPJ uttrekk.csv"), "EPJ uttrekk.csv");
        assert_eq!(name("/data/a:b"), "a_b");
        assert_eq!(name("/data/.hidden"), "_hidden_");
        assert_eq!(name("/data/nul"), "_nul_");
        assert_eq!(name("/"), "__");
        assert_eq!(name(&format!("/{}", "ø".repeat(120))).len(), 120);
    }

    #[test]
    fn the_demos_own_agreement_is_one() {
        let (agreement, _) = built_in("demo-epic").unwrap();
        assert_eq!(agreement.from.as_str(), "demo-epic");
        assert_eq!(agreement.id.as_str(), "demo-epic");
    }
}
