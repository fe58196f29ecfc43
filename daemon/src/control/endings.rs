//! The journal says in time that an agreement ends: one line for each threshold, also when `control` is started again in
//! between.

use super::failure::Failure;
use super::shared::Control;
use super::store::agreements::{self, Stored};
use sluse_protocol::agreement::Ending;
use sluse_protocol::ids::AgreementId;
use sluse_protocol::time::Timestamp;

/// The code of the lines, and of the warning in `health`.
pub const CODE: &str = "agreement-ends";

/// That an agreement ends, and because of what.
pub fn sentence(id: &AgreementId, ending: &Ending) -> String {
    let Ending { what, at, within_days } = ending;
    format!("agreement {id} ends at {at}, within {within_days} days (what ends first: {what})")
}

/// Tells each threshold that was reached since the last look. What is told is noted after it stands in the journal: a crash
/// in between repeats it.
///
/// # Errors
/// When the database fails.
pub fn tell(control: &Control) -> Result<(), Failure> {
    let now = control.store.now();
    for stored in control.store.read(agreements::all)? {
        let id = &stored.agreement.id;
        if let Some(ending) = untold(&stored, now) {
            let within_days = ending.within_days;
            tracing::warn!(code = CODE, agreement = %id, within_days, "{}", sentence(id, &ending));
        }
        // Where the clock was set back behind a threshold, that is told again in its time.
        let reached = stored.ending(now).map(|ending| ending.within_days);
        if reached != stored.ending_told {
            control.store.write(|write| agreements::set_ending_told(write, id, reached))?;
        }
    }
    Ok(())
}

/// The threshold that was reached and not told yet.
fn untold(stored: &Stored, now: Timestamp) -> Option<Ending> {
    let ending = stored.ending(now)?;
    stored.ending_told.is_none_or(|told| ending.within_days < told).then_some(ending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::deadlines;
    use crate::control::testing::*;
    use sluse_protocol::agreement::Part;
    use sluse_protocol::operator::{OperatorReply, OperatorRequest};

    /// An agreement whose approval ends first, 100 days from the start.
    fn ending() -> String {
        let expires = Timestamp::from_unix(START + 100 * DAY);
        agreement("ending").replace("[dpia]", &format!("[rek]\nreference = \"4\"\nexpires = \"{expires}\"\n\n[dpia]"))
    }

    /// What is told when the timer looks now, and that it is not told again.
    fn told(bench: &Bench) -> Option<u16> {
        let look = || {
            let stored = bench.control.store.read(|sql| agreements::get(sql, &"ending".parse().unwrap())).unwrap();
            untold(&stored, bench.control.store.now()).map(|ending| ending.within_days)
        };
        let first = look();
        deadlines::tick(&bench.control).unwrap();
        assert_eq!(look(), None, "told twice");
        first
    }

    #[test]
    fn each_threshold_is_told_once_also_after_a_restart() {
        let bench = Bench::empty();
        bench.agree(&ending());
        assert_eq!(told(&bench), None);
        bench.wait(10 * DAY);
        assert_eq!(told(&bench), Some(90));
        let bench = bench.restart();
        assert_eq!(told(&bench), None);
        bench.wait(60 * DAY);
        assert_eq!(told(&bench), Some(30));
        bench.wait(23 * DAY - 1);
        assert_eq!(told(&bench), None);
        bench.wait(1);
        assert_eq!(told(&bench), Some(7));
        bench.wait(7 * DAY + 1);
        assert_eq!(told(&bench), None, "it has ended");
    }

    #[test]
    fn a_threshold_that_a_wrong_clock_reached_is_told_again_in_its_time() {
        let bench = Bench::empty();
        bench.agree(&ending());
        bench.wait(95 * DAY);
        assert_eq!(told(&bench), Some(7));
        bench.wait(-80 * DAY);
        assert_eq!(told(&bench), None);
        bench.wait(60 * DAY);
        assert_eq!(told(&bench), Some(30));
    }

    #[test]
    fn of_what_was_ended_nothing_is_told() {
        let bench = Bench::empty();
        bench.agree(&ending());
        let end = OperatorRequest::AgreementEnd { id: "ending".parse().unwrap(), reason: "over".into() };
        assert_eq!(bench.operate(end), OperatorReply::Done);
        bench.wait(95 * DAY);
        assert_eq!(told(&bench), None);
    }

    #[test]
    fn lists_name_what_ends_first_from_90_days_on_and_health_from_30() {
        let bench = Bench::empty();
        bench.agree(&ending());
        let look = || {
            let list = bench.operate(OperatorRequest::AgreementList { after: None });
            let OperatorReply::Agreements { agreements, .. } = list else { panic!("{list:?}") };
            let health = bench.operate(OperatorRequest::Health);
            let OperatorReply::Health(health) = health else { panic!("{health:?}") };
            let warned = health.warnings.into_iter().find(|warning| warning.code == CODE);
            (agreements[0].ending.as_ref().map(|ending| (ending.what, ending.within_days)), warned)
        };
        assert_eq!(look(), (None, None));
        bench.wait(70 * DAY - 1);
        assert_eq!(look(), (Some((Part::RekApproval, 90)), None));
        bench.wait(1);
        let (listed, warned) = look();
        assert_eq!(listed, Some((Part::RekApproval, 30)));
        assert!(warned.unwrap().message.contains("REK approval"));
    }
}
