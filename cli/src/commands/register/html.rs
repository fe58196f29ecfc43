//! The register as a page to read and print, in Norwegian bokmål, whole in one file. Every value is escaped.

use super::export::{Form, Heading, Item};
use crate::output::bytes;
use crate::safe;
use sluse_protocol::agreement::{Identifiability, LegalBasisKind, Output};
use sluse_protocol::audit::Position;
use sluse_protocol::courier::Remains;
use sluse_protocol::register::{Disclosed, Filter, Sums};
use sluse_protocol::time::Timestamp;
use std::fmt::Write as _;

const STYLE: &str = include_str!("register.css");

/// See the module.
#[derive(Debug)]
pub struct Html;

impl Form for Html {
    fn begin(&mut self, heading: &Heading) -> String {
        let zone = escape(&heading.zone);
        format!(
            "<!doctype html>\n<html lang=\"nb\">\n<head>\n<meta charset=\"utf-8\">\n<title>Utleveringsoversikt – {zone}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>Utleveringsoversikt</h1>\n\
             <p>Oversikten viser hver frigivelse av data gjennom landingssonen <b>{zone}</b>: hva som ble utlevert, fra hvem, til \
             hvem, på hvilket behandlingsgrunnlag, og hvem som godkjente det. Alle tidspunkter er i UTC.</p>\n\
             <table class=\"facts\"><tr><th>Utvalg</th><td>{}</td></tr><tr><th>Laget</th><td>{}</td></tr></table>\n\
             <table class=\"records\">\n<thead><tr><th>Nr.</th><th>Hva</th><th>Fra og til</th><th>Formål</th><th>Behandlingsgrunnlag</th>\
             <th>Godkjenning</th><th>Utlevering</th></tr></thead>\n",
            choice(&heading.filter),
            moment(heading.made),
        )
    }

    fn item(&mut self, item: &Item) -> String {
        let replaced = if item.registered.outcome.corrected_by.is_some() { " class=\"replaced\"" } else { "" };
        let cells = [number(item), what(item), route(item), purpose(item), basis(item), approval(item), outcome(item)];
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        let proof = proof(item);
        let mut text = format!(
            "<tbody{replaced}>\n<tr>{cells}</tr>\n<tr class=\"proof\"><td></td><td colspan=\"6\">{proof}</td></tr>\n</tbody>\n"
        );
        if let Some(files) = &item.files {
            text += "<tbody class=\"files\">\n<tr><td></td><td colspan=\"6\"><b>Filer</b><ol>\n";
            for file in files {
                let digest = file.sha256.map(|digest| digest.to_string()).unwrap_or_default();
                let (name, size) = (escape(file.path.as_str()), size(file.size));
                let _ = writeln!(text, "<li>{name} <span>({size}, <code>{digest}</code>)</span></li>");
            }
            text += "</ol></td></tr>\n</tbody>\n";
        }
        text
    }

    fn end(&mut self, sums: &Sums, audit: &Position) -> String {
        let rows = [
            ("Frigivelser", sums.releases.to_string()),
            ("– utlevert", format!("{}, i alt {} og {}", sums.delivered, files(sums.files), size(sums.bytes))),
            ("– underveis", sums.underway.to_string()),
            ("– trukket tilbake før utlevering", sums.withdrawn.to_string()),
            ("– uvisst om de nådde fram", sums.uncertain.to_string()),
            ("Rettelser", sums.corrections.to_string()),
        ];
        let rows: String =
            rows.iter().map(|(name, value)| format!("<tr><th>{name}</th><td>{value}</td></tr>")).collect();
        format!(
            "</table>\n<h2>Sum</h2>\n<table class=\"facts\">{rows}</table>\n<h2>Slik kan oversikten kontrolleres</h2>\n\
             <p>Hver post ble skrevet da frigivelsen skjedde, og blir aldri endret; en rettelse er en ny post som viser til den \
             gamle. SHA-256 av posten står i landingssonens hendelseslogg, i oppføringen som er nevnt under posten. Da oversikten \
             var ferdig, hadde loggen {} oppføringer og roten <code>{}</code>. Oversikten i JSON-format har postene ordrett, \
             slik at de kan kontrolleres mot en eksportert logg.</p>\n</body>\n</html>\n",
            audit.size, audit.root
        )
    }
}

fn choice(filter: &Filter) -> String {
    let mut parts = Vec::new();
    parts.extend(filter.agreement.as_ref().map(|agreement| format!("avtale {}", escape(agreement.as_str()))));
    parts.extend(filter.institution.as_ref().map(|name| format!("institusjon «{}»", escape(name))));
    parts.extend(filter.from.map(|from| format!("frigitt fra og med {}", day(from))));
    parts.extend(filter.to.map(|to| format!("frigitt til og med {}", day(to))));
    if parts.is_empty() { "alle frigivelser".into() } else { parts.join(", ") }
}

fn number(item: &Item) -> String {
    let mut text = format!("<b>{}</b>", item.record.number);
    if let Some(corrected) = item.record.corrects() {
        let _ = write!(text, "<br>retter nr. {corrected}");
    }
    if let Some(by) = item.registered.outcome.corrected_by {
        let _ = write!(text, "<br>erstattet av nr. {by}");
    }
    text
}

fn what(item: &Item) -> String {
    let (record, terms) = (&item.record, &item.record.terms);
    let persons = match terms.identifiability {
        Identifiability::Anonymous => "Anonyme opplysninger",
        Identifiability::Pseudonymised => "Pseudonymiserte opplysninger",
        Identifiability::Identifiable => "Personidentifiserbare opplysninger",
    };
    let dataset = escape(record.dataset.as_str());
    let mut text =
        format!("<b>{dataset}</b><br>{}, {}<br>{persons}", files(record.totals.files), size(record.totals.bytes));
    if let Some(part_of) = &record.part_of {
        let left_out = files(part_of.left_out.files);
        let _ = write!(
            text,
            "<br>Delvis frigitt: {left_out} ble holdt tilbake av fillisten <code>{}</code>",
            part_of.manifest_sha256
        );
    }
    if !terms.output.is_empty() {
        let kinds: Vec<&str> = terms.output.iter().map(|output| kind_of_output(*output)).collect();
        let _ = write!(text, "<br>Ut av et analyserom: {}", kinds.join(", "));
    }
    if !terms.variables.is_empty() {
        let _ = write!(text, "<br>Variabler: {}", escape(&terms.variables.join(", ")));
    }
    text
}

fn kind_of_output(output: Output) -> &'static str {
    match output {
        Output::AggregateTables => "aggregerte tabeller",
        Output::Figures => "figurer",
        Output::Models => "modeller",
        Output::Code => "programkode",
        Output::Text => "tekst",
        Output::IndividualLevelData => "opplysninger på individnivå",
    }
}

fn route(item: &Item) -> String {
    let record = &item.record;
    format!(
        "Dataansvarlig: {}<br>Kilde: {}<br>Mottaker: {}<br>Vei: kryptert overføring (QUIC, TLS 1.3) til landingssonen, derfra som \
         datapakke (BagIt) til mappen {}",
        escape(&record.terms.controller),
        escape(record.source.as_str()),
        escape(record.room.as_str()),
        escape(&record.route.folder),
    )
}

fn purpose(item: &Item) -> String {
    let terms = &item.record.terms;
    let (project, title, purpose) = (escape(&terms.project), escape(&terms.title), escape(&terms.purpose));
    format!("{purpose}<br>Prosjekt: {project}<br>Avtale: {} – {title}", escape(item.record.agreement.as_str()))
}

fn basis(item: &Item) -> String {
    let (terms, legal) = (&item.record.terms, &item.record.terms.legal_basis);
    let kind = match legal.kind {
        LegalBasisKind::Consent => "Samtykke",
        LegalBasisKind::Exemption => "Dispensasjon fra taushetsplikten",
        LegalBasisKind::Law => "Hjemmel i lov",
    };
    let (authority, reference) = (escape(&legal.authority), escape(&legal.reference));
    let mut text = format!(
        "{kind}, {authority}, {reference}<br>Gjelder {}–{}, {}",
        day(legal.valid_from),
        day(legal.valid_to),
        if legal.periodic { "gjentatte utleveringer" } else { "én utlevering" },
    );
    if !legal.conditions.is_empty() {
        let _ = write!(text, "<br>Vilkår: {}", escape(&legal.conditions.join("; ")));
    }
    if let Some(rek) = &terms.rek {
        let _ = write!(text, "<br>REK: {}, til {}", escape(&rek.reference), day(rek.expires));
    }
    let (dpia, processing) = (escape(&terms.dpia.reference), escape(&terms.processing_agreement.reference));
    let period = format!("{}–{}", day(terms.valid_from), day(terms.valid_to));
    let _ = write!(
        text,
        "<br>Vurdering av personvernkonsekvenser (DPIA): {dpia}<br>Databehandleravtale: {processing}<br>Avtaleperiode: {period}"
    );
    text
}

fn approval(item: &Item) -> String {
    let (record, approval) = (&item.record, &item.record.approval);
    // The rule's own reason is that every required engine read every file.
    let mut text = match &approval.by {
        Some(person) => format!("Godkjent av {}<br>Begrunnelse: {}", escape(person), escape(&approval.reason)),
        None => {
            "Automatisk, etter avtalens regel: alle påkrevde kontroller leste hver fil uten funn som stanser".into()
        }
    };
    let _ = write!(text, "<br>Frigitt {}", moment(record.released));
    if let Some(correction) = &record.correction {
        let (by, when) = (escape(&correction.by), moment(record.time));
        let _ = write!(text, "<br>Rettet av {by} {when}: {}", escape(&correction.reason));
    }
    text
}

fn outcome(item: &Item) -> String {
    let outcome = &item.registered.outcome;
    let mut text = match (outcome.disclosed, outcome.delivered) {
        (Disclosed::Delivered, Some(time)) => format!("Utlevert {}", moment(time)),
        (Disclosed::Underway, _) => "Frigitt, ikke utlevert ennå".into(),
        (Disclosed::Uncertain, _) => "Uvisst om utlevert: mottakeren kunne ikke nås da overføringen ble stanset".into(),
        _ => "Ikke utlevert: frigivelsen ble trukket tilbake eller overføringen stanset".into(),
    };
    if let Some(bag) = &outcome.bag {
        let _ = write!(text, "<br>Ligger i {}", escape(bag));
    }
    if outcome.remains == Some(Remains::Files) {
        text += "<br>Deler av filene kan ligge igjen hos mottakeren, som ikke kunne nås";
    }
    match (outcome.deleted, outcome.deletion_due) {
        (Some(time), _) => text += &format!("<br>Landingssonens kopi ble slettet {}", moment(time)),
        (None, Some(time)) => text += &format!("<br>Landingssonens kopi skal slettes {}", day(time)),
        (None, None) => {}
    }
    text
}

fn proof(item: &Item) -> String {
    let (record, registered) = (&item.record, &item.registered);
    let mut text = format!(
        "Overføring {}. SHA-256 av posten: <code>{}</code> (oppføring {} i hendelsesloggen); av fillisten: <code>{}</code>; av \
         kvitteringen for frigivelsen: <code>{}</code>",
        escape(record.transfer.as_str()),
        registered.sha256,
        registered.entry,
        record.manifest_sha256,
        record.receipt,
    );
    if let Some(receipt) = registered.outcome.receipt {
        let _ = write!(text, "; av kvitteringen for utleveringen: <code>{receipt}</code>");
    }
    text + "."
}

fn files(count: u64) -> String {
    format!("{count} {}", if count == 1 { "fil" } else { "filer" })
}

fn size(count: u64) -> String {
    bytes(count).replace('.', ",").replace(" B", " byte")
}

/// `22.11.2026`, from the beginning of what RFC 3339 writes.
fn day(time: Timestamp) -> String {
    let text = time.to_string();
    let mut parts = text.get(..10).unwrap_or_default().rsplit('-');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    format!("{}.{}.{}", next(), next(), next())
}

/// `22.11.2026 kl. 10.15`
fn moment(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{} kl. {}", day(time), text.get(11..16).unwrap_or_default().replace(':', "."))
}

/// Text as it may stand between tags and in attributes; what could deceive a reader is written out.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in safe::text(text).chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_becomes_markup_or_turns_letters_around() {
        let name = "<script>alert('x')</script> & \"y\" \u{202e}abc";
        let expected = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot; \\u{202e}abc";
        assert_eq!(escape(name), expected);
    }

    #[test]
    fn times_and_sizes_are_written_as_norwegians_do() {
        let time: Timestamp = "2026-11-22T09:05:00Z".parse().unwrap();
        assert_eq!((day(time), moment(time)), ("22.11.2026".into(), "22.11.2026 kl. 09.05".into()));
        assert_eq!((size(5_240_000_000), size(12), files(1)), ("5,2 GB".into(), "12 byte".into(), "1 fil".into()));
    }
}
