//! Drafts: an agreement may lack what it rests on while that is being made. Until then it allows nothing.

use super::{Agreement, parse};
use crate::ids::{AgreementId, RoomName, SourceName};
use crate::time::Timestamp;
use crate::toml_text::Problem;
use serde::{Deserialize, Serialize};
use toml::de::DeTable;

/// What an agreement cannot be in force without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    /// Its legal basis.
    LegalBasis,
    /// The data protection impact assessment.
    Dpia,
    /// The agreement with the data processor.
    ProcessingAgreement,
}

impl Lack {
    const ALL: [Lack; 3] = [Lack::LegalBasis, Lack::Dpia, Lack::ProcessingAgreement];

    /// The table of an agreement's text that says it.
    fn table(self) -> &'static str {
        match self {
            Lack::LegalBasis => "legal_basis",
            Lack::Dpia => "dpia",
            Lack::ProcessingAgreement => "processing_agreement",
        }
    }

    /// What stands in for it while the rest is checked.
    fn stand_in(self) -> String {
        let fields = match self {
            Lack::LegalBasis => {
                "kind = \"law\"\nauthority = \"-\"\nreference = \"-\"\nvalid_from = \"0001-01-01T00:00:00Z\"\n\
                 valid_to = \"9999-12-30T00:00:00Z\"\nperiodic = false\n"
            }
            Lack::Dpia | Lack::ProcessingAgreement => "reference = \"-\"\n",
        };
        format!("\n[{}]\n{fields}", self.table())
    }
}

impl std::fmt::Display for Lack {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Lack::LegalBasis => "legal basis",
            Lack::Dpia => "protection impact assessment (DPIA)",
            Lack::ProcessingAgreement => "processing agreement",
        })
    }
}

/// An agreement's text that was read, complete or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What is known of it in any case.
    pub head: Head,
    /// The agreement, or what it lacks.
    pub agreement: Result<Agreement, Vec<Lack>>,
}

/// What an agreement says of itself, whatever it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its identifier.
    pub id: AgreementId,
    /// What it is about, in a line.
    pub title: String,
    /// The source that is to send.
    pub from: SourceName,
    /// The room that is to receive.
    pub to: RoomName,
    /// From when.
    pub valid_from: Timestamp,
    /// Until when.
    pub valid_to: Timestamp,
}

impl Head {
    fn of(agreement: &Agreement) -> Self {
        Self {
            id: agreement.id.clone(),
            title: agreement.title.clone(),
            from: agreement.from.clone(),
            to: agreement.to.clone(),
            valid_from: agreement.valid_from,
            valid_to: agreement.valid_to,
        }
    }
}

/// Reads an agreement's TOML text, which may lack what an agreement rests on; everything else must be there and right.
///
/// # Errors
/// Everything that is wrong with it, in the order of the lines.
pub fn read(text: &str) -> Result<Draft, Vec<Problem>> {
    let problems = match parse(text) {
        Ok(agreement) => return Ok(Draft { head: Head::of(&agreement), agreement: Ok(agreement) }),
        Err(problems) => problems,
    };
    let Ok(root) = DeTable::parse(text) else { return Err(problems) };
    let lacks: Vec<Lack> = Lack::ALL.into_iter().filter(|lack| root.get_ref().get(lack.table()).is_none()).collect();
    if lacks.is_empty() {
        return Err(problems);
    }
    let filled = lacks.iter().fold(text.to_owned(), |text, lack| text + &lack.stand_in());
    // What is wrong is told with all that is missing, as of any text.
    let agreement = parse(&filled).map_err(|_| problems)?;
    Ok(Draft { head: Head::of(&agreement), agreement: Err(lacks) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = include_str!("../../../config/agreements/epic-nightly.toml");

    /// The example without some tables.
    fn without(tables: &[&str]) -> String {
        let mut skipped = false;
        let kept = WHOLE.lines().filter(|line| {
            if let Some(table) = line.strip_prefix('[') {
                skipped = tables.iter().any(|one| table == format!("{one}]"));
            }
            !skipped
        });
        kept.map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn a_whole_agreement_lacks_nothing() {
        let draft = read(WHOLE).unwrap();
        assert_eq!(draft.agreement, Ok(parse(WHOLE).unwrap()));
        assert_eq!(draft.head.id.as_str(), "hjerte-epic");
    }

    #[test]
    fn a_text_that_lacks_what_it_rests_on_is_a_draft_that_says_which() {
        for (tables, lacks) in [
            (vec!["legal_basis"], vec![Lack::LegalBasis]),
            (vec!["dpia"], vec![Lack::Dpia]),
            (vec!["processing_agreement"], vec![Lack::ProcessingAgreement]),
            (vec!["dpia", "legal_basis", "processing_agreement"], Lack::ALL.to_vec()),
        ] {
            let text = without(&tables);
            assert!(parse(&text).is_err());
            let draft = read(&text).unwrap();
            assert_eq!((draft.agreement, draft.head), (Err(lacks), read(WHOLE).unwrap().head));
        }
    }

    #[test]
    fn what_is_wrong_besides_is_no_draft_and_a_wrong_table_is_not_a_missing_one() {
        assert!(read(&without(&["dpia"]).replace("hold_days = 30", "")).is_err());
        assert!(read(&WHOLE.replace("reference = \"DPIA 2026/033\"", "")).is_err());
        assert!(read(&without(&["dpia", "retention"])).is_err());
        assert!(read("[dpia").is_err() && read("").is_err());
    }
}
