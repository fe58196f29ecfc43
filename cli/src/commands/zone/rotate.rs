//! `sluse zone rotate`: exchanges one of the zone's keys, while transfers go on.
//!
//! The zone rests meanwhile: nothing is signed between the old key and the new one. What is written goes to its place file by file, in
//! an order in which every beginning is a zone that works with the old key or the new one; so a power cut or a full disk leaves one of
//! them, and the command is run again. Afterwards `control` ends and is started again, and the other roles with it.

pub mod authority;
mod place;
pub mod plan;

use crate::failure::{Ended, Failure};
use crate::operator::Operator;
use crate::output::Output;
use crate::zone_folder::ZoneFolder;
use nix::unistd::{Uid, User};
pub use place::PrivateKey;
use plan::{Plan, Write};
use serde::Serialize;
use sluse_host::config::Zone;
use sluse_host::{clock, keys};
use sluse_protocol::key_statement::{Chain, Change, Format, KeyStatement, Signed, ZoneKey};
use sluse_protocol::operator::{OperatorReply, OperatorRequest};
use sluse_protocol::refusal::Exit;
use sluse_protocol::sshsig::SigningKey;
use sluse_protocol::time::Timestamp;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long the zone may take to come back, and how often it is looked for.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// `sluse zone rotate`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which key
    key: Which,
    /// Make no new one: end the old one that is kept beside it, once nothing needs it any more
    #[arg(long)]
    end_old: bool,
    /// With --end-old, for `ca`: although sources still need the old one. They are enrolled anew
    #[arg(long, requires = "end_old")]
    anyway: bool,
    /// Only for `signing`: the old key is lost and cannot introduce the new one. Sources and auditors must be given the new
    /// allowed_signers by a trusted way
    #[arg(long, conflicts_with = "end_old")]
    lost: bool,
    /// In an installed zone, whose keys are encrypted for this host: also write the new key, in the clear, below this folder, which is to
    /// lie on something that goes into a safe
    #[arg(long, value_name = "DIR")]
    keys_to: Option<PathBuf>,
    #[command(flatten)]
    zone: ZoneFolder,
}

/// A key that can be exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// The certificate authority: sources move to the new one by themselves; end the old one when they have
    Ca,
    /// The TLS key and certificate of `receive`
    Tls,
    /// The key of the quarantine: what is in it is wrapped anew; end the old one afterwards
    Quarantine,
    /// What signs receipts, checkpoints and grants: the old key introduces the new one
    Signing,
    /// The key of `deliver`
    Deliver,
    /// The secret of stateless resets
    Reset,
}

impl Which {
    fn key(self) -> ZoneKey {
        match self {
            Self::Ca => ZoneKey::Ca,
            Self::Tls => ZoneKey::Tls,
            Self::Quarantine => ZoneKey::Quarantine,
            Self::Signing => ZoneKey::Signing,
            Self::Deliver => ZoneKey::Deliver,
            Self::Reset => ZoneKey::Reset,
        }
    }
}

/// What the command knows of the zone before it changes anything.
pub struct Zoned {
    zone: Zone,
    /// The signing key in force; none when it is lost.
    signing: Option<SigningKey>,
    chain: Chain,
    keys_to: Option<PathBuf>,
    /// Whether an authority is ended although sources need it.
    anyway: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Done {
    key: ZoneKey,
    change: Change,
    number: u64,
    time: Timestamp,
    public: Option<String>,
    /// Whether the zone runs with it; null when it did not run before.
    running: Option<bool>,
    /// Whether the key is encrypted for this host, and lost with it unless there is another copy.
    encrypted: bool,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Why the key is not exchanged.
    pub fn run(self, out: &Output) -> Ended {
        let zone = Zone::load(&self.zone.layout()?.config())?;
        if self.lost && self.key != Which::Signing {
            return Err(Failure::new(Exit::Usage, "--lost is for the signing key alone"));
        }
        let zoned = Zoned { anyway: self.anyway, ..Zoned::read(zone, self.lost, self.keys_to)? };
        let change = match (self.end_old, self.lost) {
            (true, _) => Change::Ended,
            (_, true) => Change::Replaced,
            _ => Change::Rotated,
        };
        plan::check(&zoned, self.key.key(), change)?;
        let resting = rest(&zoned)?;
        let done = exchange(&zoned, self.key.key(), change);
        // `control` ends with this connection, whatever came of it, and is started again with what lies there now.
        let ran = resting.is_some();
        drop(resting);
        let mut done = done?;
        done.running = ran.then(|| comes_back(&zoned));
        tell(out, &zoned, &done);
        if done.running == Some(false) {
            return Err(Failure::new(Exit::Temporary, "the key was exchanged, and the zone is not back yet")
                .hint("`sluse health` says how it is; the journal says why a role does not start"));
        }
        Ok(Exit::Done)
    }
}

impl Zoned {
    fn read(zone: Zone, lost: bool, keys_to: Option<PathBuf>) -> Result<Self, Failure> {
        let layout = &zone.layout;
        let trust = layout.trust();
        let owner =
            std::fs::metadata(&trust).map_err(|e| Failure::file(Exit::Configuration, "open", &trust, &e))?.uid();
        if !Uid::effective().is_root() && Uid::effective().as_raw() != owner {
            return Err(Failure::new(Exit::Refused, "only root, or who made the zone, can exchange its keys"));
        }
        if let Some(folder) = keys_to.as_ref().filter(|folder| !folder.is_dir()) {
            return Err(Failure::new(Exit::Usage, format!("{} is not a folder", folder.display())));
        }
        let kept = keys::read_statements(&layout.key_statements())?;
        let signing = match lost {
            true => None,
            false => {
                let place = PrivateKey::at(layout, layout.signing_key());
                Some(keys::parse_signing_key(&place.read()?, &layout.signing_key())?)
            }
        };
        let own = match &signing {
            Some(key) => key.public(),
            None => keys::read_public_key(&layout.signer())?,
        };
        let chain = Chain::in_force(&zone.settings.zone.name, own, &kept).map_err(|error| {
            let message = format!("{} cannot be believed", layout.key_statements().display());
            Failure::new(Exit::Integrity, message).because(&error)
        })?;
        Ok(Self { zone, signing, chain, keys_to, anyway: false })
    }

    fn place(&self, file: PathBuf) -> PrivateKey {
        PrivateKey::at(&self.zone.layout, file)
    }
}

/// Brings the zone to rest until what is returned is dropped; `None` when it does not run.
fn rest(zoned: &Zoned) -> Result<Option<Operator>, Failure> {
    let operator = match Operator::of(&zoned.zone.layout) {
        Err(failure) if failure.exit() == Exit::Temporary => return Ok(None),
        other => other?,
    };
    match operator.ask(&OperatorRequest::Rest, &[])? {
        (OperatorReply::Done, _) => Ok(Some(operator)),
        _ => Err(crate::operator::unexpected()),
    }
}

/// Makes the new key, and writes statement and files in their order.
fn exchange(zoned: &Zoned, key: ZoneKey, change: Change) -> Result<Done, Failure> {
    let layout = &zoned.zone.layout;
    let since = zoned.chain.statements().last().map(Signed::read).transpose();
    let since =
        since.map_err(|error| Failure::new(Exit::Integrity, "a statement of the zone's keys").because(&error))?;
    // A clock that was set back does not make a key older than the one before it.
    let time = since.map_or(clock::now(), |last| last.statement.time.max(clock::now()));
    let Plan { public, signing, authorities, first, writes } = plan::plan(zoned, key, change)?;
    let before = zoned.chain.signers().last().map(|signer| signer.key);
    let signer = signing.as_ref().or(zoned.signing.as_ref()).map(SigningKey::public);
    let (Some(before), Some(signer)) = (before, signer) else {
        return Err(Failure::new(Exit::Fault, "the zone has no signing key"));
    };
    let statement = KeyStatement {
        sluse: Format::V1,
        number: zoned.chain.next_number(),
        zone: zoned.zone.settings.zone.name.clone(),
        time,
        key,
        change,
        by: whoami(),
        public: public.clone(),
        before: before.to_openssh(),
        signer: signer.to_openssh(),
        authorities,
    };
    // The old key introduces the new one; a new one without it vouches for itself.
    let by = zoned.signing.as_ref().or(signing.as_ref());
    let signed = by.map(|by| Signed::new(&statement, by)).ok_or_else(|| Failure::new(Exit::Fault, "nobody signs"))?;
    let statements = zoned.chain.and(signed);
    let lines: String = statements.iter().map(Signed::to_line).collect();
    let mut all = first;
    all.push(Write::Public(layout.key_statements(), lines));
    match plan::signers(zoned, signer, &statements)? {
        Some((before, after)) => all.extend(std::iter::once(before).chain(writes).chain([after])),
        None => all.extend(writes),
    }
    let encrypted = all.iter().any(|write| matches!(write, Write::Private(place, _) if place.is_encrypted()));
    for write in all {
        write.carry_out(zoned)?;
    }
    Ok(Done { key, change, number: statement.number, time, public, running: None, encrypted })
}

fn whoami() -> String {
    let user = User::from_uid(Uid::current()).ok().flatten();
    user.map_or_else(|| format!("uid-{}", Uid::current()), |user| user.name)
}

/// Waits until all roles are connected again; whether they are.
fn comes_back(zoned: &Zoned) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        std::thread::sleep(LOOK_EVERY);
        let health = Operator::of(&zoned.zone.layout).and_then(|zone| zone.ask(&OperatorRequest::Health, &[]));
        if let Ok((OperatorReply::Health(health), _)) = health
            && health.roles.len() == sluse_protocol::roles::Role::ALL.len()
        {
            return true;
        }
    }
    false
}

fn tell(out: &Output, zoned: &Zoned, done: &Done) {
    if out.is_json() {
        return out.object(done);
    }
    let what = match done.change {
        Change::Rotated => "a new key is in force",
        Change::Ended => "the old key is ended",
        Change::Replaced => "a new key is in force, which no old one introduced",
    };
    out.line(format!("{}: {what} since {}; statement {}", done.key, done.time, done.number));
    done.public.iter().for_each(|public| out.line(format!("  {}", public.trim())));
    if done.encrypted && zoned.keys_to.is_none() {
        out.note("The new key is encrypted for this host and lost with it: what lies in the safe is the old one (--keys-to).");
    }
    if done.running.is_none() {
        out.note("The zone does not run. Its next start writes this into the audit log.");
    }
    match (done.key, done.change) {
        (ZoneKey::Ca, Change::Rotated) => {
            out.note("Sources move to it at their next connection. Then: sluse zone rotate ca --end-old");
        }
        (ZoneKey::Quarantine, Change::Rotated) => {
            out.note("What is in quarantine is wrapped anew. Then: sluse zone rotate quarantine --end-old");
        }
        (ZoneKey::Signing, Change::Rotated) => {
            out.note("Sources learn of it by themselves. Give trust/allowed_signers to whoever checks receipts.");
        }
        (ZoneKey::Signing, Change::Replaced) => {
            out.note("Sources refuse it until the new trust/allowed_signers lies in their identity folders.");
        }
        _ => {}
    }
}
