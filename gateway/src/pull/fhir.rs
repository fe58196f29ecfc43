//! A FHIR Bulk Data export: kick-off, asking until it is done, every file, and its manifest last, which closes the dataset.
//!
//! Where this process ends in between, the next one goes on: it asks the same job again, and fetches what is not stored. The
//! manifest that travels names our files, since the server's addresses may be secrets.

use super::http::{Ask, Failure, Server, Taking, join, retry_after, same_origin};
use super::state::{Fetched, Job, Kept, State};
use crate::settings::Pull;
use crate::spool::{Ends, FileId, Inlet, Label, NotStored, Parcel, Says};
use serde::Deserialize;
use serde_json::Value;
use sluse_host::clock;
use sluse_protocol::digest::Sha256;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The manifest's lists, the folder of each in the dataset, and the type of files that have none.
const LISTS: [(&str, &str, Option<&str>); 4] = [
    ("output", "", None),
    ("deleted", "deleted/", Some("Bundle")),
    ("error", "error/", Some("OperationOutcome")),
    ("outcome", "outcome/", Some("OperationOutcome")),
];

/// Files of the largest export.
const MAX_FILES: usize = 10_000;

/// Between two questions, where the server does not say.
const POLL: Duration = Duration::from_secs(10);

/// A job that is not done after so many seconds is begun anew.
const LONGEST_JOB: i64 = 7 * 86_400;

/// Bytes of the longest resource.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// One file of an export.
struct Entry {
    /// Its path in the dataset.
    place: String,
    /// Of which resources.
    kind: String,
    /// Where it lies.
    url: String,
    /// How many there are, where the server says.
    count: Option<u64>,
}

/// Fetches the next export, or goes on with one; how many bytes.
///
/// # Errors
/// When the server refuses, was not done in time, or says what cannot be taken.
pub async fn fetch(
    pull: &Pull,
    incremental: bool,
    server: &Server,
    inlet: &Arc<Inlet>,
    kept: &Kept,
    state: &mut State,
) -> Result<u64, Failure> {
    let run = Run { pull, server, inlet, kept };
    let since = state.transaction_time.as_deref().filter(|_| incremental);
    let asked = kick_off(pull, since);
    let over = clock::now().plus(-LONGEST_JOB);
    if state.job.as_ref().is_some_and(|job| job.asked != asked || job.flow != pull.flow || job.begun < over) {
        run.abandon(state)?;
    }
    if state.job.is_none() {
        state.job = Some(run.begin(asked).await?);
        run.keep(state)?;
    }
    match run.bring(state).await {
        // A job that the server does not know any more, or that ended badly, is begun anew the next time. Nor may one that does not
        // fit keep the spool full.
        Err(why @ (Failure::Refused(_) | Failure::Spool(NotStored::Full))) => {
            run.abandon(state)?;
            Err(why)
        }
        other => other,
    }
}

/// What is asked for.
fn kick_off(pull: &Pull, since: Option<&str>) -> String {
    let Some(since) = since else { return pull.url.to_string() };
    let since = since.replace(':', "%3A").replace('+', "%2B");
    let and = if pull.url.query().is_some() { '&' } else { '?' };
    format!("{}{and}_since={since}", pull.url)
}

/// One run of a pull.
struct Run<'r> {
    pull: &'r Pull,
    server: &'r Server,
    inlet: &'r Arc<Inlet>,
    kept: &'r Kept,
}

impl Run<'_> {
    async fn begin(&self, asked: String) -> Result<Job, Failure> {
        let url = asked.parse().map_err(|_| wrong("the address cannot be asked with `_since`"))?;
        let headers = vec![("accept", "application/fhir+json"), ("prefer", "respond-async")];
        let ask = Ask { method: "GET", url, headers, body: Zeroizing::default(), with_secret: true };
        let said = self.server.ask(&ask).await?;
        let place = said.headers.get("content-location").and_then(|place| place.to_str().ok());
        let status = place.and_then(|place| join(&self.pull.url, place));
        let status = status.filter(|status| said.status == 202 && same_origin(status, &self.pull.url));
        let status = status.ok_or_else(|| wrong(&format!("the server started no export: {}", said.status)))?;
        let (flow, begun) = (self.pull.flow.clone(), clock::now());
        Ok(Job { asked, flow, begun, status: status.to_string(), files: Vec::new() })
    }

    async fn bring(&self, state: &mut State) -> Result<u64, Failure> {
        let Some(job) = &state.job else { return Ok(0) };
        let status: hyper::Uri = job.status.parse().map_err(|_| wrong("the server's address of the job is none"))?;
        let mut manifest = self.wait(&status).await?;
        let time = manifest["transactionTime"].as_str().map(str::to_owned);
        let time = time.filter(|time| is_instant(time)).ok_or_else(|| wrong("the server's manifest is none"))?;
        let with_secret = manifest["requiresAccessToken"] != Value::Bool(false);
        let entries = entries(&mut manifest)?;
        let mut bytes = 0;
        for entry in &entries {
            bytes += self.file(state, entry, with_secret, self.pull.max_bytes - bytes).await?;
        }
        let group = group(state);
        self.close(&group, &manifest, &time)?;
        state.job = None;
        state.transaction_time = Some(time);
        self.keep(state)?;
        // So that the server can clean up; one that does not know this may keep it.
        let delete = Ask { method: "DELETE", ..Ask::get(status, "application/json") };
        if !self.server.try_once(&delete).await {
            tracing::debug!(pull = self.pull.name, "the server keeps its job");
        }
        Ok(bytes)
    }

    async fn wait(&self, status: &hyper::Uri) -> Result<Value, Failure> {
        loop {
            let said = self.server.ask(&Ask::get(status.clone(), "application/json")).await?;
            match said.status.as_u16() {
                200 => {
                    let manifest = serde_json::from_slice(&said.body).ok().filter(Value::is_object);
                    return manifest.ok_or_else(|| wrong("the server's manifest is none"));
                }
                202 => self.server.wait(retry_after(&said.headers).unwrap_or(POLL), "still exporting").await?,
                _ => return Err(wrong(&format!("the server ended the export: {}", said.status))),
            }
        }
    }

    /// Fetches a file, unless it is stored; how many bytes came.
    async fn file(&self, state: &mut State, entry: &Entry, with_secret: bool, left: u64) -> Result<u64, Failure> {
        let group = group(state);
        let told = Sha256::of(format!("{} {} {:?}", entry.place, entry.url, entry.count).as_bytes());
        let Some(job) = &mut state.job else { return Ok(0) };
        let known = job.files.iter().position(|file| file.place == entry.place);
        let at = match known {
            Some(at) if job.files[at].entry == Some(told) => return Ok(0),
            Some(at) => at,
            None => {
                let file = FileId::new().map_err(|error| Failure::Spool(error.into()))?;
                job.files.push(Fetched { place: entry.place.clone(), file, entry: None });
                job.files.len() - 1
            }
        };
        // Known before it is stored: what is abandoned can be taken back, whenever this process ends.
        job.files[at].entry = None;
        let file = job.files[at].file;
        self.keep(state)?;
        let url = join(&self.pull.url, &entry.url).ok_or_else(|| wrong("the manifest has an address that is none"))?;
        let ask = Ask { with_secret, ..Ask::get(url, "application/fhir+ndjson") };
        let mut resources = Resources { inlet: self.inlet, left, parcel: None, lines: 0, line: Vec::new() };
        self.server.fetch(&ask, &mut resources).await?;
        let parcel = resources.finish(entry)?;
        let bytes = parcel.bytes();
        let path = entry.place.parse().map_err(|_| wrong("the manifest has a type that is none"))?;
        self.store(parcel, &group, file, Ends::of(path, clock::now()), None)?;
        if let Some(job) = &mut state.job {
            job.files[at].entry = Some(told);
        }
        self.keep(state)?;
        Ok(bytes)
    }

    /// The manifest, as it names our files, ends the dataset.
    fn close(&self, group: &str, manifest: &Value, time: &str) -> Result<(), Failure> {
        let mut parcel = self.inlet.begin()?;
        let text =
            serde_json::to_vec_pretty(manifest).map_err(|error| Failure::Spool(std::io::Error::from(error).into()))?;
        parcel.write(&text)?;
        let path = "manifest.json".parse().map_err(|_| wrong("no path"))?;
        let ends = Ends { closes: true, ..Ends::of(path, clock::now()) };
        let file = FileId::new().map_err(|error| Failure::Spool(error.into()))?;
        self.store(parcel, group, file, ends, Some(time))
    }

    fn store(&self, parcel: Parcel, group: &str, file: FileId, ends: Ends, time: Option<&str>) -> Result<(), Failure> {
        let compact = |time: &str| time.bytes().filter(u8::is_ascii_alphanumeric).map(char::from).collect::<String>();
        let dataset = time.and_then(|time| format!("{} {}", self.pull.name, compact(time)).parse().ok());
        let says = Says::Part { file, offset: 0, ends: Some(ends) };
        parcel.store(Label { flow: self.pull.flow.clone(), group: group.to_owned(), dataset, says })?;
        Ok(())
    }

    /// Takes back what was stored of an export that will not be finished.
    fn abandon(&self, state: &mut State) -> Result<(), Failure> {
        let group = group(state);
        if let Some(job) = &state.job {
            for file in &job.files {
                let says = Says::Withdrawn { file: file.file };
                let label = Label { flow: job.flow.clone(), group: group.clone(), dataset: None, says };
                self.inlet.begin_word()?.store(label)?;
            }
        }
        state.job = None;
        self.keep(state)
    }

    fn keep(&self, state: &State) -> Result<(), Failure> {
        self.kept.keep(state).map_err(|error| Failure::Spool(error.into()))
    }
}

/// What the files of a job are gathered by.
fn group(state: &State) -> String {
    let status = state.job.as_ref().map(|job| job.status.as_str()).unwrap_or_default();
    let asked = state.job.as_ref().map(|job| job.asked.as_str()).unwrap_or_default();
    format!("fhir {}", Sha256::of(format!("{asked} {status}").as_bytes()))
}

fn wrong(why: &str) -> Failure {
    Failure::Refused(why.to_owned())
}

/// Whether a text can be the instant of FHIR that it should be, and stand in an address and a dataset's name.
fn is_instant(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || b"-T:.Z+".contains(&byte);
    (10..=40).contains(&text.len()) && text.bytes().all(plain)
}

/// The files of a manifest, whose addresses become the files' paths here.
fn entries(manifest: &mut Value) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for (list, folder, usual) in LISTS {
        let mut numbers = BTreeMap::new();
        let Some(files) = manifest.get_mut(list).filter(|files| !files.is_null()) else { continue };
        let files = files.as_array_mut().ok_or_else(|| wrong("the manifest has a list that is none"))?;
        for file in files {
            let kind = file["type"].as_str().or(usual).unwrap_or_default().to_owned();
            let url = file["url"].as_str().map(str::to_owned);
            let letters = (1..=64).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_alphabetic());
            let url =
                url.filter(|_| letters).ok_or_else(|| wrong("the manifest has a file without type or address"))?;
            let number = numbers.entry(kind.clone()).or_insert(0);
            let place = format!("{folder}{kind}.{number:03}.ndjson");
            *number += 1;
            file["url"] = Value::String(place.clone());
            entries.push(Entry { place, kind, url, count: file["count"].as_u64() });
        }
    }
    if entries.len() > MAX_FILES {
        return Err(wrong("the manifest has too many files"));
    }
    Ok(entries)
}

/// What is looked at of a resource: the rest of it takes no memory.
#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "resourceType")]
    kind: String,
}

/// Resources on their way into the spool, one in each line.
struct Resources<'i> {
    inlet: &'i Arc<Inlet>,
    left: u64,
    parcel: Option<Parcel>,
    lines: u64,
    /// The last line, as far as it came: whole where a line feed ends it.
    line: Vec<u8>,
}

impl Taking for Resources<'_> {
    fn begin(&mut self) -> Result<(), Failure> {
        (self.parcel, self.lines) = (Some(self.inlet.begin()?), 0);
        self.line.clear();
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.last() == Some(&b'\n') {
                self.line.clear();
            }
            if self.line.is_empty() {
                self.lines += 1;
            }
            if self.line.len() + piece.len() > MAX_LINE {
                return Err(wrong("a resource is too long"));
            }
            self.line.extend(piece);
        }
        let Some(parcel) = &mut self.parcel else { return Ok(()) };
        parcel.write(bytes)?;
        if parcel.bytes() > self.left {
            return Err(wrong("there are more bytes than are allowed"));
        }
        Ok(())
    }
}

impl Resources<'_> {
    /// The parcel, if it has what the manifest says: as many resources, the last of them whole and of its type.
    fn finish(self, entry: &Entry) -> Result<Parcel, Failure> {
        let Self { parcel, lines, line, .. } = self;
        if entry.count.is_some_and(|count| count != lines) {
            return Err(wrong("a file has not as many resources as the manifest says"));
        }
        if lines > 0 {
            let last: Option<Resource> = serde_json::from_slice(&line).ok();
            if last.is_none_or(|last| last.kind != entry.kind) {
                return Err(wrong("the last resource of a file is not whole, or of another type"));
            }
        }
        parcel.ok_or_else(|| wrong("a file did not come"))
    }
}

#[cfg(test)]
mod tests;
