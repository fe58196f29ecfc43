//! What a person should know of an outside authority: for `sluse health` and `sluse zone check`.

use super::trust::{Known, Trust};
use sluse_host::config::AuthoritySettings;
use sluse_protocol::time::Timestamp;

/// The code of files that cannot be used.
pub const UNUSABLE: &str = "authority-unusable";

/// The code of a list that is older than one that was seen before.
pub const OLDER: &str = "revocation-list-older";

/// An authority's certificate that ends within so many seconds is pointed out.
const ENDS_SOON: i64 = 30 * 86_400;

/// Something wrong, or to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Its stable code.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
    /// Whether something does not work because of it.
    pub problem: bool,
}

const RENEW: &str = "Put the authority's new list in its place; no restart is needed.";

/// What is to be known of one authority.
pub(super) fn of(
    settings: &AuthoritySettings,
    trust: Option<&Trust>,
    unusable: Option<String>,
    now: Timestamp,
) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut tell = |problem, code, message: String, hint| {
        let message = format!("authority {}: {message}", settings.name);
        troubles.push(Trouble { code, message, hint, problem });
    };
    if let Some(what) = unusable {
        let hint = match trust {
            Some(_) => "What was read before stays in force until it runs out: mend the file; no restart is needed.",
            None => "Nobody with its certificates is let in: mend the file; no restart is needed.",
        };
        tell(true, UNUSABLE, what, hint);
    }
    let Some(trust) = trust else { return troubles };
    for older in trust.older() {
        let hint =
            "Find out who put it there. The newer one stays in force until it runs out or the zone is started again.";
        tell(true, OLDER, older.clone(), hint);
    }
    for known in trust.certificates() {
        if known.until <= now {
            let message = format!("the certificate of {} ran out at {}", known.name, known.until);
            tell(true, "authority-ended", message, "Put the authority's new certificates into the file.");
        } else if known.until < now.plus(ENDS_SOON) {
            let message = format!("the certificate of {} runs out at {}", known.name, known.until);
            tell(false, "authority-ends", message, "Put the authority's new certificates into the file in time.");
        }
    }
    for list in trust.lists() {
        let quarter = (list.until.unix() - list.from.unix()) / 4;
        if list.until <= now {
            let message = format!(
                "the revocation list of {} ran out at {}: whoever it may name is refused",
                list.name, list.until
            );
            tell(true, "revocation-list-expired", message, RENEW);
        } else if list.until < now.plus(quarter) {
            let message = format!("the revocation list of {} runs out at {}", list.name, list.until);
            tell(false, "revocation-list-ends", message, RENEW);
        }
    }
    if settings.revocation_lists.is_empty() {
        let message = "whether certificates were taken back is not checked: it has no `revocation_lists`".to_owned();
        tell(false, "revocation-not-checked", message, "Fetch the authority's lists, and name their files.");
    }
    let listed = |known: &Known| trust.lists().iter().any(|list| list.issuer == known.subject);
    for known in trust.certificates().iter().filter(|known| !trust.lists().is_empty() && !listed(known)) {
        let message = format!("there is no revocation list of {}: what it issued is refused", known.name);
        tell(true, "revocation-unknown", message, "Fetch that list too, and name its file.");
    }
    troubles
}
