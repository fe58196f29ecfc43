//! The register of disclosures, as operators read and correct it.

use super::Answer;
use super::acts::check_reason;
use crate::control::shared::Control;
use crate::control::store::{Who, register, to_json};
use sluse_protocol::operator::OperatorReply;
use sluse_protocol::register::{Change, Filter};

/// Bytes of records in one answer.
const STEP: usize = 768 * 1024;

/// Records that are looked at for one answer: others wait for the database meanwhile.
const PAGE: u16 = 500;

/// Records after a number, those that the filter admits. One that was changed is told whatever it says now: who asks sees by
/// its digest that it is not what was written.
pub fn records(control: &Control, after: u64, filter: &Filter) -> Answer {
    let page = control.store.read(|sql| register::after(sql, after, PAGE))?;
    let whole = page.len() < usize::from(PAGE);
    let (mut body, mut last, mut cut) = (String::new(), None, false);
    for (number, registered) in page {
        let admitted = registered.record().map_or(true, |record| filter.admits(&record));
        if admitted {
            let line = to_json(&registered);
            if body.len() + line.len() + 1 > STEP && !body.is_empty() {
                cut = true;
                break;
            }
            body.push_str(&line);
            body.push('\n');
        }
        last = Some(number);
    }
    let next = last.filter(|_| cut || !whole);
    Ok((OperatorReply::Register { next }, body.into_bytes()))
}

pub fn correct(control: &Control, operator: &Who, number: u64, reason: &str, changes: &[Change]) -> Answer {
    check_reason(reason)?;
    let number = control.store.write(|write| register::correct(write, operator, number, reason, changes))?;
    Ok((OperatorReply::Corrected { number }, Vec::new()))
}
