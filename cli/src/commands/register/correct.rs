//! `sluse register correct`: a new record that stands in for an earlier one.

use crate::failure::Ended;
use crate::operator::{Operator, unexpected};
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;
use sluse_protocol::register::Change;

/// `sluse register correct`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What may be set: title, project, controller, purpose, identifiability, variables, legal-basis.kind,
legal-basis.authority, legal-basis.reference, rek.reference, dpia, processing-agreement. What the zone
itself saw (files, digests, times, who approved) may not.")]
pub struct Args {
    /// The record's number
    number: u64,
    /// Why; it stands in the new record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// What a field should say; may be repeated. Without it the new record adds the reason alone
    #[arg(long, value_name = "FIELD=TEXT", value_parser = change)]
    set: Vec<Change>,
}

fn change(text: &str) -> Result<Change, String> {
    let (field, value) = text.split_once('=').ok_or("write FIELD=TEXT")?;
    Ok(Change { field: field.to_owned(), value: value.to_owned() })
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the zone refuses or does not answer.
    pub fn run(self, zone: &ZoneFolder, out: &Output) -> Ended {
        let corrected = self.number;
        let request = OperatorRequest::RegisterCorrect { number: corrected, reason: self.reason, changes: self.set };
        let (reply, _) = Operator::connect(zone)?.ask(&request, &[])?;
        let OperatorReply::Corrected { number } = reply else { return Err(unexpected()) };
        if out.is_json() {
            out.object(&serde_json::json!({"record": number, "corrects": corrected}));
        } else {
            out.line(number.to_string());
            out.note(format!("Record {number} stands in for record {corrected}, which stays in the register."));
        }
        Ok(Exit::Done)
    }
}
