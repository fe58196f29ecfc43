//! A data capture system: one file, which is a dataset that shows how things stand. Whether it differs from the last one is found out
//! by who gathers, since only that process knows what was delivered and what was refused.

use super::form;
use super::http::{Ask, FORM, Failure, Server, Taking};
use super::odm::Snapshot;
use crate::settings::{Format, Pull};
use crate::spool::{Ends, FileId, Inlet, Label, Parcel, Says};
use sha2::Digest as _;
use sluse_host::clock;
use sluse_protocol::digest::Sha256;
use std::sync::Arc;

/// What REDCap is asked for where nothing else is said: all records, one line each.
const RECORDS: [(&str, &str); 3] = [("content", "record"), ("type", "flat"), ("returnFormat", "json")];

/// The byte order mark of UTF-8, which some write in front of rows: it says nothing of what follows.
const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The form that REDCap takes, with the token in it.
pub fn records(pull: &Pull, format: Format, fields: &[(String, String)], token: &str) -> Ask {
    let format = match format {
        Format::Csv => "csv",
        Format::Odm => "odm",
    };
    let is_given = |name: &str| fields.iter().any(|(given, _)| given == name);
    let usual = RECORDS.iter().filter(|(name, _)| !is_given(name)).copied();
    let given = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let body = form::encode(usual.chain([("format", format)]).chain(given).chain([("token", token)]));
    let headers = vec![FORM];
    Ask { method: "POST", url: pull.url.clone(), headers, body, with_secret: false }
}

/// A document, for the server's bearer token.
pub fn document(pull: &Pull) -> Ask {
    Ask::get(pull.url.clone(), "application/xml")
}

/// Fetches it into the spool; how many bytes.
///
/// # Errors
/// When it is not whole, or not what was asked for.
pub async fn fetch(pull: &Pull, format: Format, ask: Ask, server: &Server, inlet: &Arc<Inlet>) -> Result<u64, Failure> {
    let mut export = Export { inlet, max_bytes: pull.max_bytes, format, parcel: None, content: Content::of(format) };
    server.fetch(&ask, &mut export).await?;
    let Some(parcel) = export.parcel else { return Err(Failure::Refused("the export is empty".into())) };
    let bytes = parcel.bytes();
    let same_as = Some(export.content.finish()?);
    let end = if format == Format::Csv { "csv" } else { "xml" };
    let path = format!("{}.{end}", pull.name).parse();
    let path = path.map_err(|_| Failure::Refused("the pull's name is no file's".into()))?;
    let file = FileId::new().map_err(|error| Failure::Spool(error.into()))?;
    let ends = Some(Ends { stands: true, same_as, closes: true, ..Ends::of(path, clock::now()) });
    let says = Says::Part { file, offset: 0, ends };
    let group = format!("edc {}", pull.name);
    parcel.store(Label { flow: pull.flow.clone(), group, dataset: None, says })?;
    Ok(bytes)
}

/// An export on its way into the spool.
struct Export<'i> {
    inlet: &'i Arc<Inlet>,
    max_bytes: u64,
    format: Format,
    parcel: Option<Parcel>,
    content: Content,
}

impl Taking for Export<'_> {
    fn begin(&mut self) -> Result<(), Failure> {
        self.parcel = Some(self.inlet.begin()?);
        self.content = Content::of(self.format);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(parcel) = &mut self.parcel else { return Ok(()) };
        self.content.take(bytes)?;
        parcel.write(bytes)?;
        if parcel.bytes() > self.max_bytes {
            return Err(Failure::Refused(format!("there are more than the {} bytes that are allowed", self.max_bytes)));
        }
        Ok(())
    }
}

/// What an export says, and whether it looks like what was asked for.
enum Content {
    /// Rows: all their bytes count.
    Rows { digest: sha2::Sha256, mark: usize, first: Option<u8>, last: u8, quotes: u64 },
    /// A document, whose own time does not.
    Document(Snapshot),
}

impl Content {
    fn of(format: Format) -> Self {
        match format {
            Format::Csv => Content::Rows { digest: sha2::Sha256::default(), mark: 0, first: None, last: 0, quotes: 0 },
            Format::Odm => Content::Document(Snapshot::default()),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Content::Rows { digest, mark, first, last, quotes } => {
                digest.update(bytes);
                let marked = bytes.iter().zip(&MARK[*mark..]).take_while(|(byte, mark)| byte == mark).count();
                // Behind another byte no mark goes on.
                *mark = if marked < bytes.len() { MARK.len() } else { *mark + marked };
                let text = &bytes[marked..];
                *first = first.or_else(|| text.iter().copied().find(|byte| !byte.is_ascii_whitespace()));
                *last = bytes.last().copied().unwrap_or(*last);
                *quotes += bytes.iter().filter(|byte| **byte == b'"').count() as u64;
                Ok(())
            }
            Content::Document(snapshot) => snapshot.take(bytes).map_err(|why| Failure::Refused(why.to_string())),
        }
    }

    /// What stands for it when it is compared with the last one.
    fn finish(self) -> Result<Sha256, Failure> {
        match self {
            Content::Rows { digest, first, last, quotes, .. } => {
                // A page that asks to log in, or an error in JSON, begins otherwise; what is cut off ends otherwise.
                let begins = first.is_some_and(|first| !matches!(first, b'<' | b'{'));
                if !begins || last != b'\n' || quotes % 2 != 0 {
                    return Err(Failure::Refused("the export is not whole, or no CSV".into()));
                }
                Ok(Sha256(digest.finalize().into()))
            }
            Content::Document(snapshot) => snapshot.finish().map_err(|why| Failure::Refused(why.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_what_is_usual_unless_it_is_given_and_the_token_last() {
        let pull = Pull {
            name: "study-7".into(),
            flow: "edc".parse().unwrap(),
            url: "https://redcap.example.org/api/".parse().unwrap(),
            token: None,
            smart: None,
            authority: None,
            every: std::time::Duration::from_secs(1),
            patience: std::time::Duration::from_secs(1),
            max_bytes: 1,
            kind: crate::settings::Kind::Odm,
        };
        let fields = [("content".to_owned(), "report".to_owned()), ("events[0]".to_owned(), "a&b".to_owned())];
        let ask = records(&pull, Format::Csv, &fields, "S+");
        let wanted = "type=flat&returnFormat=json&format=csv&content=report&events%5B0%5D=a%26b&token=S%2B";
        assert_eq!(std::str::from_utf8(&ask.body), Ok(wanted));
    }

    #[test]
    fn rows_that_are_cut_off_or_something_else_are_no_export() {
        let digest = |text: &str| {
            let mut content = Content::of(Format::Csv);
            text.as_bytes().chunks(3).for_each(|piece| content.take(piece).unwrap());
            content.finish().ok()
        };
        let good = "record_id,note\n1,\"said \"\"well\"\",\nand left\"\n";
        assert_eq!(digest(good), Some(Sha256::of(good.as_bytes())));
        let marked = format!("\u{feff}{good}");
        assert_eq!(digest(&marked), Some(Sha256::of(marked.as_bytes())), "all bytes count");
        for wrong in [
            "\u{feff}<html>Log in</html>\n",
            "\u{feff}\n\n{}\n",
            "\u{feff}",
            "",
            " \n",
            "<html>Log in</html>\n",
            "{\"error\":\"no\"}\n",
            "a,b\n1,2",
            "a,b\n1,\"x\n",
        ] {
            assert_eq!(digest(wrong), None, "{wrong}");
        }
    }
}
