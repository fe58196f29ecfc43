//! Reading `sluse.toml`, field by field: bounds and defaults stand here.

use super::authorities::authorities;
use super::notify::notify;
use super::sources::{agreements, sources};
use super::updates::updates;
use super::{
    ControlSettings, DeliverSettings, IcapSettings, InspectSettings, KeyExchange, MAX_CONFIG_BYTES, ReceiveSettings,
    Settings, ZoneSettings,
};
use crate::network::Network;
use sluse_protocol::toml_text::{
    self, Fields, Problem, Read, Value, Wrong, choice, flag, lasting, list, number, parsed, text,
};
use std::net::SocketAddr;
use std::path::{Component, PathBuf};
use std::time::Duration;

/// Days that any setting may last: ten years.
const MAX_DAYS: u64 = 3653;

/// Bounds of a certificate's life: time enough to renew it, and no longer than the authority lives.
const SHORTEST_LIFE: Duration = Duration::from_secs(10);
const LONGEST_LIFE: Duration = Duration::from_secs(MAX_DAYS * 86_400);

/// The longest time between two tests of engines.
const MOST_RARE_TEST: Duration = Duration::from_secs(86_400);

/// Bounds of the age that signatures may have.
const LEAST_AGE: Duration = Duration::from_secs(3600);
const MOST_AGE: Duration = Duration::from_secs(MAX_DAYS * 86_400);

/// The shortest time between two readings of an archived bag.
const SHORTEST_CHECK: Duration = Duration::from_secs(1);

/// Folders of the zone that belong to one role or to the quarantine: no setting may point into them.
const TAKEN: [&str; 8] = ["receive", "control", "inspect", "deliver", "quarantine", "trust", "run", "updates"];

pub(super) fn settings(text: &str) -> Result<Settings, Vec<Problem>> {
    toml_text::read(text, MAX_CONFIG_BYTES, |file| {
        let zone = file.need_table("zone", "add `[zone]` with the zone's name below: `name = \"sluse\"`", zone);
        let receive = file.need_table("receive", "add `[receive]` with `listen` and `advertise` below", receive);
        let network = file.may_table("network", Network::read);
        let control = file.may_table("control", control);
        let inspect = file.may_table("inspect", inspect);
        let deliver = file.may_table("deliver", deliver);
        let notify = file.may_table("notify", notify);
        let authorities = authorities(file);
        let (sources, agreements) = (sources(file), agreements(file));
        let updates = file.may_table("updates", updates);
        Some(Settings {
            zone: zone?,
            receive: receive?,
            network: network.unwrap_or_default(),
            control: control.unwrap_or_default(),
            inspect: inspect.unwrap_or_default(),
            deliver: deliver.unwrap_or_default(),
            notify,
            authorities,
            sources,
            agreements,
            updates: updates.unwrap_or_default(),
        })
    })
}

fn zone(fields: &Fields<'_>) -> Option<ZoneSettings> {
    let name = fields.need("name", "\"sluse\"", parsed);
    let unconfined = fields.may("allow_unconfined", "true", flag);
    Some(ZoneSettings { name: name?, allow_unconfined: unconfined.unwrap_or_default() })
}

fn receive(fields: &Fields<'_>) -> Option<ReceiveSettings> {
    let exchanges = [("hybrid-required", KeyExchange::HybridRequired), ("allow-x25519", KeyExchange::AllowX25519)];
    let listen = fields.need("listen", "\"0.0.0.0:7443\"", listen);
    let advertise = fields.need("advertise", "[\"zone.example.org:7443\"]", advertise);
    let key_exchange = fields.may("key_exchange", "\"hybrid-required\"", choice(&exchanges));
    let max_connections = fields.may("max_connections", "256", number(1..=100_000)).unwrap_or(256);
    let per_source =
        fields.may("max_connections_per_source", "16", number(1..=100_000)).unwrap_or(max_connections.min(16));
    let keep_free = fields.may("keep_free_bytes", "1000000000", number(0..=1 << 60));
    if per_source > max_connections {
        let message = "`receive.max_connections_per_source` is more than all connections together";
        fields.wrong_at("max_connections_per_source", message, format!("write at most {max_connections}"));
    }
    Some(ReceiveSettings {
        listen: listen?,
        advertise: advertise?,
        key_exchange: key_exchange.unwrap_or_default(),
        max_connections,
        max_connections_per_source: per_source,
        keep_free_bytes: keep_free.unwrap_or(1_000_000_000),
    })
}

fn control(fields: &Fields<'_>) -> Option<ControlSettings> {
    let default = ControlSettings::default();
    let operators = fields.may("operators_group", "\"sluse-operators\"", text(32));
    let reviewers = fields.may("reviewers_group", "\"sluse-reviewers\"", text(32));
    let auditors = fields.may("auditors_group", "\"sluse-auditors\"", text(32));
    let administrators = fields.may("administrators_group", "\"sluse-admins\"", text(32));
    let groups: Vec<&String> = [&operators, &reviewers, &auditors, &administrators].into_iter().flatten().collect();
    if groups.iter().enumerate().any(|(at, group)| groups[at + 1..].contains(group)) {
        let message = "two powers have the same group: one person may not have both";
        fields.wrong_at("operators_group", message, "name a group of its own for each");
    }
    let monitors = fields.may("monitors_group", "\"sluse-monitors\"", text(32));
    let receiving = fields.may("receiving_days", "14", number(1..=MAX_DAYS));
    let certificate = fields.may("certificate_life", "\"365d\"", lasting(SHORTEST_LIFE..=LONGEST_LIFE));
    Some(ControlSettings {
        operators_group: operators,
        reviewers_group: reviewers,
        auditors_group: auditors,
        administrators_group: administrators,
        monitors_group: monitors,
        receiving_days: receiving.unwrap_or(default.receiving_days),
        certificate_life: certificate.unwrap_or(default.certificate_life),
    })
}

fn inspect(fields: &Fields<'_>) -> Option<InspectSettings> {
    let default = InspectSettings::default();
    let signatures = fields.may("signatures", "\"signatures\"", folder);
    let socket = fields.may("clamd_socket", "\"/run/clamav/clamd.ctl\"", path);
    let max_bytes = fields.may("clamd_max_bytes", "104857600", number(1..=1 << 50));
    let timeout = fields.may("engine_timeout_seconds", "120", number(1..=3600));
    let test_every = fields.may("engine_test_every", "\"10m\"", lasting(Duration::from_secs(1)..=MOST_RARE_TEST));
    let max_age = fields.may("signatures_max_age", "\"7d\"", lasting(LEAST_AGE..=MOST_AGE));
    Some(InspectSettings {
        signatures: signatures.unwrap_or(default.signatures),
        clamd_socket: socket,
        icap: icap(fields, default.clamd_max_bytes),
        clamd_max_bytes: max_bytes.unwrap_or(default.clamd_max_bytes),
        engine_timeout_seconds: timeout.unwrap_or(default.engine_timeout_seconds),
        engine_test_every: test_every.unwrap_or(default.engine_test_every),
        signatures_max_age: max_age,
    })
}

fn icap(fields: &Fields<'_>, most: u64) -> Option<IcapSettings> {
    let (socket_example, service_example) =
        ("\"/run/sluse-icap/icap.sock\"", "\"icap://scanner.example.org:1344/avscan\"");
    let socket = fields.may("icap_socket", socket_example, path);
    let service = fields.may("icap_service", service_example, parsed);
    let max_bytes = fields.may("icap_max_bytes", "104857600", number(1..=1 << 50));
    match (socket, service) {
        (Some(socket), Some(service)) => Some(IcapSettings { socket, service, max_bytes: max_bytes.unwrap_or(most) }),
        (Some(_), None) => {
            let hint = format!("add `icap_service = {service_example}`");
            fields.wrong_at("icap_socket", "`inspect.icap_socket` is there without `icap_service`", hint);
            None
        }
        (None, Some(_)) => {
            let hint = format!("add `icap_socket = {socket_example}`");
            fields.wrong_at("icap_service", "`inspect.icap_service` is there without `icap_socket`", hint);
            None
        }
        (None, None) => None,
    }
}

fn deliver(fields: &Fields<'_>) -> Option<DeliverSettings> {
    let rooms = fields.may("rooms", "\"rooms\"", folder);
    let couriers = fields.may("couriers", "\"/run/sluse-courier\"", path);
    let check = fields.may("archive_check", "\"90d\"", lasting(SHORTEST_CHECK..=LONGEST_LIFE));
    let default = DeliverSettings::default();
    Some(DeliverSettings {
        rooms: rooms.unwrap_or(default.rooms),
        couriers,
        archive_check: check.unwrap_or(default.archive_check),
    })
}

fn listen(value: &Value<'_>) -> Read<SocketAddr> {
    let text = toml_text::string(value)?;
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => Err(Wrong::new(value, "has port 0: sources could not find it").into()),
        Ok(address) => Ok(address),
        Err(_) => Err(Wrong::new(value, "is not an IP address and a port").into()),
    }
}

fn advertise(value: &Value<'_>) -> Read<Vec<String>> {
    let addresses = list(16, |value| {
        let text = toml_text::string(value)?;
        check_address(text).map_err(|what| Vec::from(Wrong::new(value, format!("names {text:?}, {what}"))))?;
        Ok(text.to_owned())
    })(value)?;
    if addresses.is_empty() {
        return Err(Wrong::new(value, "is empty: sources would not find the zone").into());
    }
    Ok(addresses)
}

/// Checks that a text is `host:port`, with an IPv6 address in brackets.
///
/// # Errors
/// What is wrong, as the end of a sentence that names the text.
pub fn check_address(text: &str) -> Result<(), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("which has no port")?;
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().unwrap_or(0) == 0 {
        return Err("whose port is not a number from 1 to 65535");
    }
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Some(address) = address {
        return address
            .parse::<std::net::Ipv6Addr>()
            .map(drop)
            .map_err(|_| "which has no IPv6 address in its brackets");
    }
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-')
    };
    if host.len() > 253 || !host.trim_end_matches('.').split('.').all(label) {
        return Err("which has no host name or address (IPv6 stands in brackets)");
    }
    Ok(())
}

pub(super) fn path(value: &Value<'_>) -> Read<PathBuf> {
    Ok(PathBuf::from(text(4000)(value)?))
}

/// A folder outside of what belongs to one role.
pub(super) fn folder(value: &Value<'_>) -> Read<PathBuf> {
    let path = path(value)?;
    let mut parts = path.components().filter(|part| *part != Component::CurDir);
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(Wrong::new(value, "contains `..`").hint("write the whole path, from /").into());
    }
    match parts.next() {
        Some(Component::Normal(name)) if TAKEN.iter().any(|taken| name == *taken) => {
            Err(Wrong::new(value, format!("lies in {}, which belongs to the zone itself", name.display())).into())
        }
        None => Err(Wrong::new(value, "is the zone's own folder").into()),
        _ => Ok(path),
    }
}
