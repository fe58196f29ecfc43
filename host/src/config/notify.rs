//! `[notify]`: who is mailed when something should be noticed.

use super::read::{check_address, folder};
use serde::Serialize;
use sluse_protocol::smtp::Address;
use sluse_protocol::toml_text::{self, Fields, Read, Value, Wrong, choice, lasting, list, parsed};
use std::path::PathBuf;
use std::time::Duration;

/// How often what stands may be mailed again: not every minute, and once a month at least.
const SHORTEST_REMIND: Duration = Duration::from_secs(600);
const LONGEST_REMIND: Duration = Duration::from_secs(31 * 86_400);

/// Recipients of a mail.
const MOST_RECIPIENTS: usize = 20;

/// `[notify]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotifySettings {
    /// The relay that takes mails, `host:port`.
    pub relay: String,
    /// Who sends.
    pub from: Address,
    /// Who receives.
    pub to: Vec<Address>,
    /// Whether the connection to the relay is encrypted.
    pub tls: RelayTls,
    /// Certificates (PEM) by which the relay's own must be good, where it is.
    pub authority: Option<PathBuf>,
    /// What this host calls itself to the relay.
    pub hello: String,
    /// After how long what stands is mailed again.
    pub remind: Duration,
}

/// How the relay is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayTls {
    /// By TLS 1.3, begun with STARTTLS; nothing is said of a mail before.
    Starttls,
    /// In the clear: within a network of the hospital's own.
    None,
}

pub(super) fn notify(fields: &Fields<'_>) -> Option<NotifySettings> {
    let relay = fields.need("relay", "\"smtp.sykehus.example:25\"", relay);
    let from = fields.need("from", "\"sluse@sykehus.example\"", parsed);
    let to = fields.need("to", "[\"drift@sykehus.example\"]", recipients);
    let tls = fields.may("tls", "\"starttls\"", choice(&[("starttls", RelayTls::Starttls), ("none", RelayTls::None)]));
    let tls = tls.unwrap_or(RelayTls::Starttls);
    let authority = fields.may("authority", "\"authorities/relay.pem\"", folder);
    if (tls == RelayTls::Starttls) != authority.is_some() {
        let message = "`notify.authority` belongs to `tls = \"starttls\"`, which is the default: by it the relay's certificate is checked";
        fields.wrong_at("tls", message, "name the file of its authority's certificates, or write `tls = \"none\"`");
    }
    let hello = fields.may("hello", "\"zone.sykehus.example\"", host_name);
    let remind = fields.may("remind", "\"1d\"", lasting(SHORTEST_REMIND..=LONGEST_REMIND));
    Some(NotifySettings {
        relay: relay?,
        from: from?,
        to: to?,
        tls,
        authority,
        hello: hello.unwrap_or_else(|| "localhost".to_owned()),
        remind: remind.unwrap_or(Duration::from_secs(86_400)),
    })
}

fn relay(value: &Value<'_>) -> Read<String> {
    let text = toml_text::string(value)?;
    check_address(text).map_err(|what| Vec::from(Wrong::new(value, format!("names {text:?}, {what}"))))?;
    Ok(text.to_owned())
}

fn recipients(value: &Value<'_>) -> Read<Vec<Address>> {
    let recipients = list(MOST_RECIPIENTS, parsed)(value)?;
    if recipients.is_empty() {
        return Err(Wrong::new(value, "is empty: nobody would be mailed").into());
    }
    Ok(recipients)
}

fn host_name(value: &Value<'_>) -> Read<String> {
    let text = toml_text::string(value)?;
    check_address(&format!("{text}:1"))
        .map_err(|what| Vec::from(Wrong::new(value, format!("names {text:?}, {what}"))))?;
    Ok(text.to_owned())
}
