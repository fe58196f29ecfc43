//! `sluse register export`: what was disclosed, for people, programs and auditors.

use super::records;
use super::{csv::Csv, html::Html, json::Json};
use crate::commands::audit;
use crate::failure::{Ended, Failure};
use crate::operator::Operator;
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_host::clock;
use sluse_protocol::audit::Position;
use sluse_protocol::document::Entry;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::refusal::Exit;
use sluse_protocol::register::{Filter, Record, Registered, Sums};
use sluse_protocol::time::Timestamp;

/// Seconds of a day, less the last.
const DAY_END: i64 = 86_399;

/// `sluse register export`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How it is written: `json` with everything that an auditor checks, `csv` for tables, `html` to read and print
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// Only what was disclosed under this agreement
    #[arg(long, value_name = "ID")]
    agreement: Option<AgreementId>,
    /// Only what has this data controller, source or room
    #[arg(long, value_name = "NAME")]
    institution: Option<String>,
    /// Only what was released on this day (UTC) or later, for example 2026-11-22
    #[arg(long, value_name = "DATE", value_parser = |text: &str| day(text, 0))]
    from: Option<Timestamp>,
    /// Only what was released on this day (UTC) or earlier
    #[arg(long, value_name = "DATE", value_parser = |text: &str| day(text, DAY_END))]
    to: Option<Timestamp>,
    /// The name, size and SHA-256 of each file too (json, html)
    #[arg(long)]
    files: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Json,
    Csv,
    Html,
}

fn day(text: &str, seconds: i64) -> Result<Timestamp, String> {
    let begin: Result<Timestamp, _> = format!("{text}T00:00:00Z").parse();
    begin.map(|begin| begin.plus(seconds)).map_err(|_| "a day looks like 2026-11-22".into())
}

/// What stands above the records.
#[derive(Debug)]
pub struct Heading {
    /// The zone's name.
    pub zone: String,
    /// When it was made.
    pub made: Timestamp,
    /// What was asked for.
    pub filter: Filter,
    /// Entries that the audit log had before the first record was read.
    pub began: u64,
}

/// One record.
#[derive(Debug)]
pub struct Item {
    /// As the zone told it.
    pub registered: Registered,
    /// The same, read.
    pub record: Record,
    /// Its files, where they were asked for and are known.
    pub files: Option<Vec<Entry>>,
}

/// A way to write the register: piece by piece, since it can be long.
pub trait Form {
    /// What stands before the records.
    fn begin(&mut self, heading: &Heading) -> String;
    /// A record.
    fn item(&mut self, item: &Item) -> String;
    /// What stands after them: what they add up to, and the audit log when the last was read.
    fn end(&mut self, sums: &Sums, audit: &Position) -> String;
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone does not answer, or a record is not the one that was written.
    pub fn run(self, zone: &ZoneFolder, out: &Output) -> Ended {
        let mut form: Box<dyn Form> = match self.format {
            Format::Json => Box::new(Json::default()),
            Format::Csv if self.files => {
                let failure =
                    Failure::new(Exit::Usage, "a row of CSV is a disclosure: there is no place for its files");
                return Err(failure.hint("--format json or html"));
            }
            Format::Csv => Box::new(Csv),
            Format::Html => Box::new(Html),
        };
        let operator = Operator::connect(zone)?;
        let began = audit::checkpoint::ask(&operator)?;
        let filter = Filter { agreement: self.agreement, institution: self.institution, from: self.from, to: self.to };
        let heading = Heading { zone: began.zone, made: clock::now(), filter, began: began.position.size };
        out.data(&form.begin(&heading));
        let mut sums = Sums::default();
        records::each(&operator, 0, &heading.filter, |registered| {
            let record = records::genuine(&registered)?;
            sums.add(&record, &registered.outcome);
            let files = if self.files { records::files(&operator, &record, &registered)? } else { None };
            out.data(&form.item(&Item { registered, record, files }));
            Ok(())
        })?;
        out.data(&form.end(&sums, &audit::checkpoint::ask(&operator)?.position));
        Ok(Exit::Done)
    }
}
