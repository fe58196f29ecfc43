//! `[authority.NAME]`: certificate authorities that are not the zone's own, and which source each subject is.

use super::read::folder;
use serde::Serialize;
use sluse_protocol::ids::SourceName;
use sluse_protocol::toml_text::{self, Fields, Read, Value, Wrong, list, text};
use std::path::{Component, Path, PathBuf};

/// Authorities of one zone.
const MAX_AUTHORITIES: usize = 16;

/// Sources of one authority.
const MAX_SOURCES: usize = 1000;

/// Files of revocation lists of one authority.
const MAX_LISTS: usize = 16;

/// `[authority.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthoritySettings {
    /// Its name, in the journal and in `sluse health`.
    pub name: String,
    /// PEM file of its certificates: the root, and every one between it and the sources' certificates.
    pub certificates: PathBuf,
    /// Its revocation lists, PEM or DER; none where revocation is not checked.
    pub revocation_lists: Vec<PathBuf>,
    /// Which sources have its certificates.
    pub sources: Vec<Mapping>,
}

/// `[authority.NAME.source.SOURCE]`: whoever has a certificate of this subject is this source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// The source.
    pub source: SourceName,
    /// The subject.
    pub subject: Subject,
}

/// What is compared with a certificate's subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Nine digits of Norway's register of legal entities: `organizationIdentifier` is `NTRNO-` and the number, or, where there is no
    /// such attribute, `serialNumber` is the number.
    Organisation(String),
    /// `serialNumber` of the subject (not the certificate's own number).
    SerialNumber(String),
    /// The whole name, as `openssl x509 -noout -subject -nameopt RFC2253` prints it.
    Name(String),
}

/// Reads all of them.
pub(super) fn authorities(file: &Fields<'_>) -> Vec<AuthoritySettings> {
    let why = "write `[authority.NAME]` with `certificates` below, and `[authority.NAME.source.SOURCE]`";
    file.may_tables("authority", why, MAX_AUTHORITIES, authority).unwrap_or_default()
}

fn authority(name: &str, fields: &Fields<'_>) -> Option<AuthoritySettings> {
    let example = format!("\"authorities/{name}.pem\"");
    let certificates = fields.need("certificates", &example, file_apart);
    let lists = fields.may("revocation_lists", &format!("[\"authorities/{name}.crl\"]"), list(MAX_LISTS, file_apart));
    let why = "write `[authority.NAME.source.SOURCE]` with `organisation = \"983974899\"` below";
    let sources = fields.need_tables("source", why, MAX_SOURCES, mapping)?;
    for (at, one) in sources.iter().enumerate() {
        if let Some(other) = sources[..at].iter().find(|other| other.subject == one.subject) {
            let message = format!("`authority.{name}` has {} and {} with the same subject", other.source, one.source);
            fields.wrong_at("source", message, "one subject is one source: a whole `subject` tells two apart");
        }
    }
    let name = name.to_owned();
    Some(AuthoritySettings { name, certificates: certificates?, revocation_lists: lists.unwrap_or_default(), sources })
}

fn mapping(name: &str, fields: &Fields<'_>) -> Option<Mapping> {
    let organisation = fields.may("organisation", "\"983974899\"", organisation).map(Subject::Organisation);
    let serial = fields.may("serial_number", "\"983974899\"", text(64)).map(Subject::SerialNumber);
    let whole = fields.may("subject", "\"CN=Epic,O=Sykehuset,C=NO\"", text(1000)).map(Subject::Name);
    let mut subjects = [organisation, serial, whole].into_iter().flatten();
    let (Some(subject), None) = (subjects.next(), subjects.next()) else {
        let hint = "write one of `organisation`, `serial_number` and `subject`";
        fields.wrong_at("organisation", format!("{name} has not exactly one subject"), hint);
        return None;
    };
    match name.parse() {
        Ok(source) => Some(Mapping { source, subject }),
        Err(_) => {
            fields.wrong_at("organisation", format!("{name} is no source's name"), "rename the section");
            None
        }
    }
}

fn organisation(value: &Value<'_>) -> Read<String> {
    let number = toml_text::string(value)?;
    if number.len() != 9 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Wrong::new(value, "is no organisation number: nine digits, without spaces").into());
    }
    Ok(number.to_owned())
}

/// A file in a folder of its own: roles may read that folder, and nothing else of the zone.
fn file_apart(value: &Value<'_>) -> Read<PathBuf> {
    let path: PathBuf = Path::new(&text(4000)(value)?).components().filter(|part| *part != Component::CurDir).collect();
    if path.parent().is_none_or(|parent| parent == Path::new("") || parent == Path::new("/")) {
        let wrong = Wrong::new(value, "lies in the zone's own folder, which is closed to the roles");
        return Err(wrong.hint("put it in a folder for such files: \"authorities/FILE\"").into());
    }
    folder(value)
}
