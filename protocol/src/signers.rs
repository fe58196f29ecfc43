//! Lines of an `allowed_signers` file (ssh-keygen(1)): who may sign for what, and from when until when.

use crate::sshsig::PublicKey;
use crate::time::Timestamp;

/// A key that may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedSigner {
    /// The key.
    pub key: PublicKey,
    /// What it signed before this does not count.
    pub valid_after: Option<Timestamp>,
    /// What it signed after this does not count.
    pub valid_before: Option<Timestamp>,
}

impl AllowedSigner {
    /// A key without bounds in time.
    pub fn always(key: PublicKey) -> Self {
        Self { key, valid_after: None, valid_before: None }
    }

    /// Whether what was signed at `time` counts. Both ends belong to it, as with `ssh-keygen`.
    pub fn is_valid_at(&self, time: Timestamp) -> bool {
        self.valid_after.is_none_or(|after| after <= time) && self.valid_before.is_none_or(|before| time <= before)
    }

    /// The same key for the times of both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let valid_after = self.valid_after.zip(other.valid_after).map(|(one, two)| one.min(two));
        let valid_before = self.valid_before.zip(other.valid_before).map(|(one, two)| one.max(two));
        Self { key: self.key, valid_after, valid_before }
    }

    /// The line, with its line feed.
    pub fn to_line(&self, principal: &str, namespaces: &[&str]) -> String {
        let bound =
            |name, time: Option<Timestamp>| time.map_or(String::new(), |time| format!(",{name}=\"{}\"", bare(time)));
        let times = bound("valid-after", self.valid_after) + &bound("valid-before", self.valid_before);
        format!("{principal} namespaces=\"{}\"{times} {}\n", namespaces.join(","), self.key.to_openssh())
    }

    /// The lines of a file that let `principal` sign for `namespace`, or a file's whole text as one public key line. A line whose
    /// times cannot be read lets nobody sign.
    pub fn find(text: &str, principal: Option<&str>, namespace: &str) -> Vec<Self> {
        text.lines().filter_map(|line| Self::of_line(line.trim(), principal, namespace)).collect()
    }

    fn of_line(line: &str, principal: Option<&str>, namespace: &str) -> Option<Self> {
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        if line.starts_with("ssh-ed25519 ") {
            return PublicKey::from_openssh(line).ok().map(Self::always);
        }
        let (names, rest) = line.split_once(' ')?;
        if principal.is_some_and(|principal| !names.split(',').any(|name| name == principal)) {
            return None;
        }
        let (options, key) = rest.split_at(rest.find("ssh-ed25519 ")?);
        let allowed = option(options, "namespaces").is_none_or(|list| list.split(',').any(|name| name == namespace));
        let time = |name| match option(options, name) {
            Some(text) => read(text).map(Some),
            None => Some(None),
        };
        let (valid_after, valid_before) = (time("valid-after")?, time("valid-before")?);
        allowed.then(|| PublicKey::from_openssh(key).ok()).flatten().map(|key| Self { key, valid_after, valid_before })
    }
}

/// A time as `ssh-keygen` takes it: `20261122101500Z`.
fn bare(time: Timestamp) -> String {
    time.compact().replace('-', "") + "Z"
}

/// Reads a time as we write it; what is in another zone than UTC or only a date is not read.
fn read(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| &digits[from..to];
    let date = format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8));
    format!("{date}T{}:{}:{}Z", part(8, 10), part(10, 12), part(12, 14)).parse().ok()
}

fn option<'a>(options: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = options.split_once(&format!("{name}=\""))?;
    value.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sshsig::{NAMESPACE_CHECKPOINT, NAMESPACE_RECEIPT, SigningKey};

    #[test]
    fn a_line_reads_back_with_its_times() {
        let key = SigningKey::from_seed(&[1; 32]).unwrap().public();
        let at = Timestamp::from_unix;
        let signer = AllowedSigner { key, valid_after: Some(at(1_795_342_500)), valid_before: Some(at(1_795_342_600)) };
        let line = signer.to_line("midt", &[NAMESPACE_RECEIPT, NAMESPACE_CHECKPOINT]);
        assert!(
            line.contains(",valid-after=\"20261122101500Z\",valid-before=\"20261122101640Z\" ssh-ed25519 "),
            "{line}"
        );
        assert_eq!(AllowedSigner::find(&line, Some("midt"), NAMESPACE_RECEIPT), [signer]);
        assert_eq!(AllowedSigner::find(&line, Some("other"), NAMESPACE_RECEIPT), []);
        let valid = |seconds: i64| signer.is_valid_at(at(1_795_342_500 + seconds));
        assert_eq!([-1, 0, 100, 101].map(valid), [false, true, true, false]);
    }

    #[test]
    fn a_line_whose_times_cannot_be_read_lets_nobody_sign() {
        let key = SigningKey::from_seed(&[1; 32]).unwrap().public().to_openssh();
        for time in ["20261122", "2026112210150\u{e9}Z", "20269922101500Z", "", "20261122101500"] {
            let line = format!("midt namespaces=\"sluse-receipt\",valid-before=\"{time}\" {key}");
            assert_eq!(AllowedSigner::find(&line, Some("midt"), NAMESPACE_RECEIPT), [], "{time}");
        }
    }
}
