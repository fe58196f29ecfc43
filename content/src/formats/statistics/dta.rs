//! The head of Stata's files (`.dta`): of releases 117 to 119 in tags, of 113 to 115 without.

use super::head::{Cursor, Field, Kind, Layout, MAX_VARIABLES, Order, Packing, Stop, Variable, text};

const TAGS: &str = "a part that Stata's format asks for is not there";
const UNKNOWN: Stop = Stop::Unknown("a Stata file of a release that is not read here");

/// Reads the head at the start of `bytes`.
pub fn read(bytes: &[u8]) -> Result<Layout, Stop> {
    let mut at = Cursor::new(bytes, 0, Order::Little);
    match at.byte()? {
        b'<' => tagged(bytes),
        release @ 113..=115 => old(release, at),
        _ => Err(UNKNOWN),
    }
}

fn tagged(bytes: &[u8]) -> Result<Layout, Stop> {
    let mut at = Cursor::new(bytes, 0, Order::Little);
    at.expect(b"<stata_dta><header><release>", TAGS)?;
    let release = match at.take(3)? {
        b"117" => 117,
        b"118" => 118,
        b"119" => 119,
        _ => return Err(UNKNOWN),
    };
    at.expect(b"</release><byteorder>", TAGS)?;
    at.order = match at.take(3)? {
        b"LSF" => Order::Little,
        b"MSF" => Order::Big,
        _ => return Err(Stop::Wrong(at.at - 3, "an order of bytes that Stata does not have")),
    };
    at.expect(b"</byteorder><K>", TAGS)?;
    let count = if release == 119 { at.four()? as usize } else { usize::from(at.two()?) };
    at.expect(b"</K><N>", TAGS)?;
    let rows = if release == 117 { u64::from(at.four()?) } else { at.eight()? };
    at.expect(b"</N><label>", TAGS)?;
    let label = if release == 117 { usize::from(at.byte()?) } else { usize::from(at.two()?) };
    at.take(label)?;
    at.expect(b"</label><timestamp>", TAGS)?;
    let stamp = usize::from(at.byte()?);
    at.take(stamp)?;
    at.expect(b"</timestamp></header><map>", TAGS)?;
    at.take(14 * 8)?;
    bound(count, &at)?;
    at.expect(b"</map><variable_types>", TAGS)?;
    let start = at.at;
    let order = at.order;
    let mut types = at.clone();
    at.skip(2, count)?;
    let fields = (0..count).map(|variable| {
        let (width, kind) = match types.two()? {
            width @ 1..=2045 => (usize::from(width), Kind::Text),
            // It stands behind the rows.
            32768 => (8, Kind::Other),
            65526 => (8, Kind::Floating(order)),
            65527 => (4, Kind::Other),
            65528 => (4, Kind::Whole(order)),
            65529 => (2, Kind::Other),
            65530 => (1, Kind::Other),
            _ => return Err(Stop::Wrong(start, "a variable of a type that Stata does not have")),
        };
        Ok(Field { variable, width, kind })
    });
    let fields = fields.collect::<Result<Vec<_>, Stop>>()?;
    // Widths of a name, a format and a label.
    let (name, format, label) = if release == 117 { (33, 49, 81) } else { (129, 57, 321) };
    at.expect(b"</variable_types><varnames>", TAGS)?;
    let names = at.each(name, count)?;
    at.expect(b"</varnames><sortlist>", TAGS)?;
    at.skip(if release == 119 { 4 } else { 2 }, count + 1)?;
    at.expect(b"</sortlist><formats>", TAGS)?;
    at.skip(format, count)?;
    at.expect(b"</formats><value_label_names>", TAGS)?;
    at.skip(name, count)?;
    at.expect(b"</value_label_names><variable_labels>", TAGS)?;
    let labels = at.each(label, count)?;
    at.expect(b"</variable_labels><characteristics>", TAGS)?;
    loop {
        let tag = at.at;
        match at.take(4)? {
            b"<ch>" => {
                let length = at.four()? as usize;
                at.take(length)?;
                at.expect(b"</ch>", TAGS)?;
            }
            b"</ch" => break at.expect(b"aracteristics><data>", TAGS)?,
            _ => return Err(Stop::Wrong(tag, TAGS)),
        }
    }
    let variables = variables(names, labels);
    Layout { variables, fields, rows: Some(rows), start: at.at, packing: Packing::Plain }.checked()
}

fn old(release: u8, mut at: Cursor<'_>) -> Result<Layout, Stop> {
    at.order = match at.byte()? {
        1 => Order::Big,
        2 => Order::Little,
        _ => return Err(Stop::Wrong(1, "an order of bytes that Stata does not have")),
    };
    at.take(2)?;
    let (count, rows) = (usize::from(at.two()?), at.four()?);
    at.take(81 + 18)?;
    bound(count, &at)?;
    let (start, order) = (at.at, at.order);
    let fields = at.take(count)?.iter().enumerate().map(|(variable, kind)| {
        let (width, kind) = match kind {
            1..=244 => (usize::from(*kind), Kind::Text),
            251 => (1, Kind::Other),
            252 => (2, Kind::Other),
            253 => (4, Kind::Whole(order)),
            254 => (4, Kind::Other),
            255 => (8, Kind::Floating(order)),
            _ => return Err(Stop::Wrong(start, "a variable of a type that Stata does not have")),
        };
        Ok(Field { variable, width, kind })
    });
    let fields = fields.collect::<Result<Vec<_>, Stop>>()?;
    let names = at.each(33, count)?;
    at.skip(2, count + 1)?;
    at.skip(if release == 113 { 12 } else { 49 }, count)?;
    at.skip(33, count)?;
    let labels = at.each(81, count)?;
    // Notes and the like, up to one without a kind and a length.
    loop {
        let (kind, length) = (at.byte()?, at.four()? as usize);
        if kind == 0 && length == 0 {
            break;
        }
        at.take(length)?;
    }
    let variables = variables(names, labels);
    Layout { variables, fields, rows: Some(rows.into()), start: at.at, packing: Packing::Plain }.checked()
}

fn bound(count: usize, at: &Cursor<'_>) -> Result<(), Stop> {
    if count <= MAX_VARIABLES { Ok(()) } else { Err(Stop::Wrong(at.at, "more variables than are read")) }
}

fn variables<'a>(names: impl Iterator<Item = &'a [u8]>, labels: impl Iterator<Item = &'a [u8]>) -> Vec<Variable> {
    names.zip(labels).map(|(name, label)| Variable { name: text(name), label: text(label) }).collect()
}
