//! Updates that come to a zone without internet, as bundles: a tar archive with a signature beside it
//! (`ssh-keygen -Y sign -n sluse-update`). Its first member, [`HEAD`], says what it is; `docs/updates.md` specifies it.
//!
//! A bundle's number is higher than that of the last one of its kind; what was imported is replaced by nothing older.

use crate::digest::Sha256;
use crate::refusal::Code;
use crate::time::Timestamp;
use crate::toml_text::{self, Problem, choice, number};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of the member that says what a bundle is.
pub const HEAD: &str = "update.toml";

/// Acts in the audit log: a bundle may be put in place, it is, it may not.
pub const ADMITTED: &str = "update-admitted";
/// See [`ADMITTED`].
pub const APPLIED: &str = "update-applied";
/// See [`ADMITTED`].
pub const REFUSED: &str = "update-refused";

/// Bytes of the longest [`HEAD`].
pub const MAX_HEAD_BYTES: usize = 4096;

/// Bytes of the longest name of a member.
const MAX_NAME_BYTES: usize = 64;

/// The highest number: what every program that reads JSON can hold.
const MAX_NUMBER: u64 = 1 << 53;

/// What a bundle updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The zone's own signatures.
    Signatures,
    /// The databases of clamd.
    Clamd,
    /// YARA rules, which clamd applies.
    Yara,
    /// Revocation lists of outside authorities.
    Revocations,
    /// The appliance itself.
    System,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 5] = [Kind::Signatures, Kind::Clamd, Kind::Yara, Kind::Revocations, Kind::System];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Signatures => "signatures",
            Kind::Clamd => "clamd",
            Kind::Yara => "yara",
            Kind::Revocations => "revocations",
            Kind::System => "system",
        }
    }

    /// Whether a file of this name may be in a bundle of this kind: a plain name, and an ending that whoever reads it knows. clamd reads
    /// rules from the folder of its databases, and each kind leaves the other's files alone.
    pub fn takes(self, name: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let sound = name.len() <= MAX_NAME_BYTES && !name.starts_with(['.', '-']) && name.bytes().all(plain);
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        sound
            && match self {
                Kind::Signatures => ["sha256", "patterns"].contains(&ending),
                Kind::Clamd => CLAMD_ENDINGS.contains(&ending),
                Kind::Yara => ["yar", "yara"].contains(&ending),
                // Which names there are is for the configuration to say.
                Kind::Revocations => !name.is_empty(),
                Kind::System => ["efi", "root", "verity"].contains(&ending),
            }
    }
}

/// Databases as libclamav knows them, but for what runs code that nobody signed (`cbc`) and settings of the engine (`cfg`).
const CLAMD_ENDINGS: &[&str] = &[
    "cvd", "cld", "cud", "sign", "db", "cdb", "crb", "fp", "ftm", "gdb", "hdb", "hdu", "hsb", "hsu", "ign", "ign2",
    "idb", "ldb", "ldu", "mdb", "mdu", "msb", "msu", "ndb", "ndu", "pdb", "sfp", "wdb",
];

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What a bundle says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What it updates.
    pub kind: Kind,
    /// Its number, from 1.
    pub number: u64,
}

impl Head {
    /// Reads the text of a bundle's [`HEAD`].
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        toml_text::read(text, MAX_HEAD_BYTES, |file| {
            let format = file.need("sluse", "\"update/1\"", choice(&[("update/1", ())]));
            let kind = file.need("kind", "\"signatures\"", choice(&Kind::ALL.map(|kind| (kind.as_str(), kind))));
            let number = file.need("number", "20261122", number(1..=MAX_NUMBER));
            format?;
            Some(Self { kind: kind?, number: number? })
        })
    }
}

/// What whoever imports a bundle asks `control` for, and tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// May it be put in place? It was signed by the key; from now on nothing older is taken.
    Admit {
        /// What it updates.
        kind: Kind,
        /// Its number.
        number: u64,
        /// SHA-256 of the bundle.
        bundle: Sha256,
        /// Who signed it: an OpenSSH public key line.
        key: String,
    },
    /// It is in place.
    Applied {
        /// What it updates.
        kind: Kind,
        /// SHA-256 of the bundle.
        bundle: Sha256,
    },
    /// It was not taken, or could not be put in place.
    Refused {
        /// Why.
        code: Code,
        /// SHA-256 of the bundle, where it was read.
        bundle: Option<Sha256>,
    },
}

/// The newest update of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// What it updates.
    pub kind: Kind,
    /// Its number.
    pub number: u64,
    /// SHA-256 of the bundle.
    pub bundle: Sha256,
    /// Fingerprint of the key that signed it.
    pub key: String,
    /// Since when nothing older is taken.
    pub admitted: Timestamp,
    /// Since when it is in place; none when putting it there was not finished.
    pub applied: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_names_format_kind_and_number() {
        let good = "sluse = \"update/1\"\nkind = \"yara\"\nnumber = 7\n";
        assert_eq!(Head::parse(good).unwrap(), Head { kind: Kind::Yara, number: 7 });
        for (old, new, said) in [
            ("update/1", "update/2", "`sluse` does not know \"update/2\""),
            ("yara", "yarra", "`kind` does not know \"yarra\""),
            ("= 7", "= 0", "`number` is not between 1 and 9007199254740992"),
            ("number", "numer", "unknown field `numer`"),
        ] {
            let problems = Head::parse(&good.replace(old, new)).unwrap_err();
            assert_eq!(problems[0].message, said);
        }
    }

    #[test]
    fn a_member_has_a_plain_name_that_its_kind_knows() {
        let good = [
            (Kind::Signatures, "2026-11.sha256"),
            (Kind::Clamd, "main.cvd"),
            (Kind::Yara, "hospital.yar"),
            (Kind::Revocations, "buypass.crl"),
            (Kind::System, "sluse_0.2.0.efi"),
        ];
        for (kind, name) in good {
            assert!(kind.takes(name), "{kind} {name}");
        }
        let long = format!("{}.yar", "a".repeat(61));
        for name in ["", "a", "../a.yar", "b/a.yar", ".a.yar", "-a.yar", "a b.yar", "å.yar", "a.yar\n", "a.ndb", &long]
        {
            assert!(!Kind::Yara.takes(name), "{name:?}");
        }
        assert!(
            !Kind::Clamd.takes("a.yar") && !Kind::Clamd.takes("a.cbc") && !Kind::Revocations.takes("../sluse.toml")
        );
    }
}
