//! What the configuration says of pulls: exports that the gateway fetches by itself.

use super::{DAY, DECADE, MAX_SECTIONS, SECOND, path};
use hyper::Uri;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::toml_text::{Fields, Read, Value, Wrong, choice, flag, lasting, list, number, text};
use std::path::{Path, PathBuf};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// An export that is fetched on a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Its name in the configuration.
    pub name: String,
    /// The flow of what it fetches.
    pub flow: AgreementId,
    /// Where it begins.
    pub url: Uri,
    /// The file of its bearer token, or of REDCap's; a credential of the unit with that file's name goes before it.
    pub token: Option<PathBuf>,
    /// How a token is asked for, where none is there.
    pub smart: Option<Smart>,
    /// Who signed the server's certificate, where this host does not know.
    pub authority: Option<PathBuf>,
    /// How long after one the next begins.
    pub every: Duration,
    /// How long one may take.
    pub patience: Duration,
    /// How large one may be.
    pub max_bytes: u64,
    /// What is asked, and how.
    pub kind: Kind,
}

/// Asking for tokens as SMART Backend Services do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smart {
    /// Where they are given.
    pub endpoint: Uri,
    /// What this gateway is called there.
    pub client: String,
    /// The file of its key, of P-384 in PKCS #8; a credential of the unit with that file's name goes before it.
    pub key: PathBuf,
    /// What the key is called there.
    pub key_id: String,
    /// What is asked for.
    pub scope: String,
}

/// What is asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// FHIR Bulk Data; what changed since the last one, where `incremental`.
    Fhir {
        /// Whether `_since` is asked for.
        incremental: bool,
    },
    /// A form with the token in it, as REDCap takes it.
    Redcap {
        /// What comes.
        format: Format,
        /// Fields of the form besides the usual: `name=value`.
        fields: Vec<(String, String)>,
    },
    /// A document of CDISC ODM, for a bearer token.
    Odm,
}

/// What REDCap is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Rows.
    Csv,
    /// CDISC ODM.
    Odm,
}

/// Reads `[fhir.NAME]` and `[edc.NAME]`.
pub(super) fn read(file: &Fields<'_>, folder: &Path) -> Vec<Pull> {
    let need = "add `[fhir.NAME]` with `flow` and `export` below";
    let fhir = file.may_tables("fhir", need, MAX_SECTIONS, |name, fields| fhir(name, fields, folder));
    let need = "add `[edc.NAME]` with `flow`, `profile`, `url` and `token` below";
    let edc = file.may_tables("edc", need, MAX_SECTIONS, |name, fields| edc(name, fields, folder));
    [fhir, edc].into_iter().flatten().flatten().collect()
}

fn fhir(name: &str, fields: &Fields<'_>, folder: &Path) -> Option<Pull> {
    let url = fields.need("export", "\"https://fhir.example.org/fhir/Group/ID/$export\"", address);
    let incremental = fields.may("incremental", "true", flag).unwrap_or(true);
    let token = fields.may("token", "\"/etc/sluse/gateway/fhir-token\"", path(folder));
    let smart = smart(fields, folder);
    if token.is_some() && smart.is_some() {
        fields.wrong_at("token", "a token is there, and another is asked for", "leave out `token` or `token_endpoint`");
    }
    let kind = Kind::Fhir { incremental };
    let pull = common(name, fields, folder, url?, token, kind, (DAY, DAY / 4))?;
    Some(Pull { smart, ..pull })
}

fn smart(fields: &Fields<'_>, folder: &Path) -> Option<Smart> {
    let endpoint = fields.may("token_endpoint", "\"https://auth.example.org/token\"", address);
    let client = fields.may("client", "\"sluse\"", text(400));
    let key = fields.may("client_key", "\"/etc/sluse/gateway/fhir-client.pem\"", path(folder));
    let key_id = fields.may("client_key_id", "\"sluse-1\"", text(400));
    let scope = fields.may("scope", "\"system/*.read\"", text(4000));
    let some = endpoint.is_some() || client.is_some() || key.is_some() || key_id.is_some() || scope.is_some();
    let (Some(endpoint), Some(client), Some(key), Some(key_id)) = (endpoint, client, key, key_id) else {
        if some {
            let message = "`token_endpoint`, `client`, `client_key` and `client_key_id` belong together";
            fields.wrong_at("token_endpoint", message, "give all four, or none");
        }
        return None;
    };
    Some(Smart { endpoint, client, key, key_id, scope: scope.unwrap_or_else(|| "system/*.read".into()) })
}

fn edc(name: &str, fields: &Fields<'_>, folder: &Path) -> Option<Pull> {
    let url = fields.need("url", "\"https://redcap.example.org/api/\"", address);
    let token = fields.need("token", "\"/etc/sluse/gateway/redcap-token\"", path(folder));
    let profile = fields.need("profile", "\"redcap\"", choice(&[("redcap", true), ("odm", false)]));
    let kind = if profile? {
        let format = fields.may("format", "\"csv\"", choice(&[("csv", Format::Csv), ("odm", Format::Odm)]));
        let more = fields.may("fields", "[\"content=report\", \"report_id=12\"]", list(64, field)).unwrap_or_default();
        Kind::Redcap { format: format.unwrap_or(Format::Csv), fields: more }
    } else {
        Kind::Odm
    };
    common(name, fields, folder, url?, Some(token?), kind, (MINUTE * 15, MINUTE * 10))
}

/// What all have; `usual` is how often, and how long one may take.
fn common(
    name: &str,
    fields: &Fields<'_>,
    folder: &Path,
    url: Uri,
    token: Option<PathBuf>,
    kind: Kind,
    usual: (Duration, Duration),
) -> Option<Pull> {
    let flow = fields.need("flow", "\"edc\"", sluse_protocol::toml_text::parsed);
    let authority = fields.may("authority", "\"/etc/sluse/gateway/authority.pem\"", path(folder));
    let every = fields.may("every", "\"1d\"", lasting(SECOND..=DECADE)).unwrap_or(usual.0);
    let patience = fields.may("patience", "\"6h\"", lasting(SECOND..=DAY * 7)).unwrap_or(usual.1);
    let max_bytes = fields.may("max_bytes", "1000000000000", number(1..=1 << 60)).unwrap_or(1_000_000_000_000);
    Some(Pull {
        name: name.to_owned(),
        flow: flow?,
        url,
        token,
        smart: None,
        authority,
        every,
        patience,
        max_bytes,
        kind,
    })
}

fn address(value: &Value<'_>) -> Read<Uri> {
    let uri: Option<Uri> = text(4000)(value)?.parse().ok();
    let good = |uri: &Uri| {
        let host = uri.host().unwrap_or_default();
        let plain = uri.scheme_str() == Some("http") && crate::pull::is_loopback(host);
        !host.is_empty() && (plain || uri.scheme_str() == Some("https"))
    };
    uri.filter(good).ok_or_else(|| {
        let wrong = Wrong::new(value, "is no address of HTTPS");
        wrong.hint("write https://…; http is for this host itself").into()
    })
}

fn field(value: &Value<'_>) -> Read<(String, String)> {
    let text = text(1000)(value)?;
    let (name, field) = text.split_once('=').ok_or_else(|| Wrong::new(value, "is no field"))?;
    if name == "token" || name == "format" {
        return Err(Wrong::new(value, "has a setting of its own").into());
    }
    Ok((name.to_owned(), field.to_owned()))
}
