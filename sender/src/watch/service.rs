//! The watcher at work: it hands what happens to the [`Machine`], and does what that decides. One thread decides; each outbox
//! has one that looks and moves; each dataset under way and each question to a zone has one for as long as it takes.

use super::content::{self, Content, Contents};
use super::happening::{Happening, What};
use super::journal::Journal;
use super::judge::{self, Failure, Sent};
use super::machine::{Action, Answer, Machine, Now, Rules, Standing};
use super::outbox::{Command, Keeper, Told};
use super::record::{Record, RecordId, Why};
use super::scan::Listing;
use super::settings::{Outbox, Settings};
use crate::error::Error;
use crate::follow::Wait;
use crate::identity::Identity;
use crate::outcome::End;
use crate::progress::Progress;
use crate::send::{Again, Options};
use crate::status::Known;
use sluse_protocol::digest::Sha256;
use sluse_protocol::ids::TransferId;
use sluse_protocol::refusal::Code;
use sluse_protocol::time::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long one handing over goes on without progress before others get its place.
const GIVE_UP: Duration = Duration::from_secs(20);

/// Changes that follow one another within this time are looked at together.
const GATHER: Duration = Duration::from_millis(200);

/// The longest sleep: the service manager wants a sign of life more often than a minute.
const SLEEP: Duration = Duration::from_secs(10);

/// What reaches the watcher's one deciding thread.
#[derive(Debug)]
pub enum Input {
    /// From an outbox's thread.
    Outbox(usize, Told),
    /// The zone accepted an offer.
    Accepted(RecordId, TransferId),
    /// Handing over ended.
    Sent(RecordId, Sent),
    /// A zone answered, or did not.
    Answered(usize, Result<Vec<Answer>, Why>),
    /// A certificate was looked at, and renewed where it was time; when to look again.
    Certificate(usize, Result<Option<Timestamp>, Why>, Duration),
    /// It is time to stop.
    Stop,
}

/// Stops a watcher from another thread.
#[derive(Debug, Clone)]
pub struct Stopper(Sender<Input>);

impl Stopper {
    /// Stops it. What is under way goes on where it was when a watcher is started again.
    pub fn stop(&self) {
        // One that has ended already is stopped.
        let _ = self.0.send(Input::Stop);
    }
}

/// A watcher that is ready to begin.
pub struct Watcher {
    settings: Settings,
    contents: Contents,
    /// The identity folders, each once.
    identities: Vec<PathBuf>,
    journal: Journal,
    machine: Machine,
    keepers: Vec<OutboxState>,
    /// When each identity's certificate is looked at next; none while that is done.
    certificates: Vec<Option<Duration>>,
    /// Each identity's certificate, as a digest, where it could be read.
    shown: Vec<Option<Sha256>>,
    /// When that is looked at next.
    follow_at: Duration,
    sender: Sender<Input>,
    inputs: Receiver<Input>,
    begun: Instant,
}

/// What the deciding thread knows of an outbox's thread. As many commands wait as there are records, at most.
#[derive(Debug)]
struct OutboxState {
    commands: Sender<Command>,
    looking: bool,
    look_at: Duration,
    /// Why it could not be looked at last time.
    trouble: Option<String>,
}

impl Watcher {
    /// Opens the journal, checks each identity, and starts the outboxes' threads.
    ///
    /// # Errors
    /// When the journal is in use or damaged, or an identity folder cannot be used.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Self::with(settings, Arc::new(content::as_it_lies))
    }

    /// As [`Watcher::new`], where `contents` says what an entry stands for.
    ///
    /// # Errors
    /// As there.
    pub fn with(settings: Settings, contents: Contents) -> Result<Self, Error> {
        let mut identities: Vec<PathBuf> = Vec::new();
        for outbox in &settings.outboxes {
            if !identities.contains(&outbox.identity) {
                Identity::load(&outbox.identity)?;
                identities.push(outbox.identity.clone());
            }
        }
        let rules = settings.outboxes.iter().map(|outbox| rules(outbox, &identities)).collect();
        let journal = Journal::open(&settings.state)?;
        let machine = Machine::new(rules, settings.parallel, journal.records()?);
        let (sender, inputs) = mpsc::channel();
        let mut keepers = Vec::with_capacity(settings.outboxes.len());
        for (number, outbox) in settings.outboxes.iter().enumerate() {
            let (commands, taken) = mpsc::channel();
            let keeper = Keeper::new(outbox.clone(), number, sender.clone());
            start("outbox", move || keeper.run(&taken))?;
            keepers.push(OutboxState { commands, looking: false, look_at: Duration::ZERO, trouble: None });
        }
        let certificates = vec![Some(Duration::ZERO); identities.len()];
        let shown = identities.iter().map(|identity| crate::identity::certificate_digest(identity)).collect();
        Ok(Self {
            settings,
            contents,
            certificates,
            shown,
            follow_at: SLEEP,
            identities,
            journal,
            machine,
            keepers,
            sender,
            inputs,
            begun: Instant::now(),
        })
    }

    /// What stops it.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.sender.clone())
    }

    /// Watches until it is stopped; `alive` is called every few seconds as long as decisions are made.
    ///
    /// # Errors
    /// When the journal cannot be written: nothing goes on that could not be remembered.
    pub fn run(mut self, tell: &mut dyn FnMut(&Happening), alive: &mut dyn FnMut()) -> Result<(), Error> {
        loop {
            alive();
            self.look_where_due(tell);
            self.renew_where_due()?;
            for action in self.follow_certificates() {
                self.act(action, tell)?;
            }
            let now = self.now();
            let certificates = self.certificates.iter().copied().flatten();
            let next = self.next_look().into_iter().chain(self.machine.wake_at(now)).chain(certificates).min();
            let wait = next.map_or(SLEEP, |next| next.saturating_sub(now.uptime)).min(SLEEP);
            let actions = match self.inputs.recv_timeout(wait) {
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(input) => self.take(input, tell),
                Err(RecvTimeoutError::Timeout) => self.machine.tick(self.now()),
            };
            for action in actions {
                self.act(action, tell)?;
            }
        }
    }

    fn now(&self) -> Now {
        // Without randomness the full pause is as good.
        let random = sluse_host::random::bytes::<1>().map_or(255, |bytes| bytes[0]);
        Now { uptime: self.begun.elapsed(), clock: sluse_host::clock::now(), random }
    }

    fn next_look(&self) -> Option<Duration> {
        let looks = self.keepers.iter().enumerate().filter(|(_, keeper)| !keeper.looking);
        looks.map(|(at, keeper)| self.machine.look_at(at).unwrap_or(Duration::MAX).min(keeper.look_at)).min()
    }

    fn look_where_due(&mut self, tell: &mut dyn FnMut(&Happening)) {
        let now = self.now();
        for at in 0..self.keepers.len() {
            let due = self.machine.look_at(at).unwrap_or(Duration::MAX).min(self.keepers[at].look_at);
            if !self.keepers[at].looking && due <= now.uptime {
                self.keepers[at].looking = true;
                self.command(at, Command::Look, tell);
            }
        }
    }

    fn command(&self, outbox: usize, command: Command, tell: &mut dyn FnMut(&Happening)) {
        if self.keepers[outbox].commands.send(command).is_err() {
            // Its thread ends with the watcher; before that it is a bug, which must not be silent.
            let why = Why::here("the outbox's thread has ended", "Start the watcher again.");
            let what = What::Failed { why, rests: "outbox", milliseconds: 0 };
            tell(&Happening::in_outbox(&self.settings.outboxes[outbox].name, what));
        }
    }

    fn take(&mut self, input: Input, tell: &mut dyn FnMut(&Happening)) -> Vec<Action> {
        let now = self.now();
        match input {
            Input::Outbox(at, Told::Changed) => {
                let keeper = &mut self.keepers[at];
                keeper.look_at = keeper.look_at.min(now.uptime + GATHER);
                Vec::new()
            }
            Input::Outbox(at, Told::Listed(listed)) => self.listed(at, listed, now, tell),
            Input::Outbox(_, Told::PutAway(id, done)) => {
                let failed = |error: io::Error| {
                    let hint = "Look at the outbox: may this user move things there, and is there space?";
                    Why { names_files: true, ..Why::here(format!("cannot be put away: {error}"), hint) }
                };
                self.machine.put_away(&id, done.map_err(failed), now)
            }
            Input::Accepted(id, transfer) => self.machine.accepted(&id, transfer, now),
            Input::Sent(id, sent) => self.machine.sent(&id, sent, now),
            Input::Answered(zone, answers) => self.machine.answered(zone, answers, now),
            Input::Certificate(zone, renewed, again) => {
                self.certificates[zone] = Some(now.uptime + again);
                match renewed {
                    Ok(None) => {}
                    Ok(Some(until)) => tell(&Happening::at_zone(What::Renewed { until })),
                    Err(why) => {
                        let milliseconds = u64::try_from(again.as_millis()).unwrap_or(u64::MAX);
                        tell(&Happening::at_zone(What::Failed { why, rests: "certificate", milliseconds }));
                    }
                }
                Vec::new()
            }
            Input::Stop => Vec::new(),
        }
    }

    /// Certificates are renewed also where nothing is sent for months.
    fn renew_where_due(&mut self) -> Result<(), Error> {
        let now = self.begun.elapsed();
        for zone in 0..self.identities.len() {
            if self.certificates[zone].is_some_and(|at| at <= now) {
                self.certificates[zone] = None;
                let (identity, sender) = (self.identities[zone].clone(), self.sender.clone());
                start("certificate", move || {
                    let renewed = crate::renew(&identity).map_err(why);
                    let _ = sender.send(Input::Certificate(zone, renewed, look_again(&identity)));
                })?;
            }
        }
        Ok(())
    }

    /// Who enrols anew, or exchanges an organisation's own certificate, need not wait as long as the one before made it rest.
    fn follow_certificates(&mut self) -> Vec<Action> {
        let now = self.now();
        if now.uptime < self.follow_at {
            return Vec::new();
        }
        self.follow_at = now.uptime + SLEEP;
        let mut actions = Vec::new();
        for zone in 0..self.identities.len() {
            let digest = crate::identity::certificate_digest(&self.identities[zone]);
            if digest.is_some() && digest != self.shown[zone] {
                self.shown[zone] = digest;
                self.certificates[zone] = self.certificates[zone].map(|_| now.uptime);
                actions.extend(self.machine.has_another_certificate(zone, now));
            }
        }
        actions
    }

    fn listed(
        &mut self,
        at: usize,
        listed: io::Result<Listing>,
        now: Now,
        tell: &mut dyn FnMut(&Happening),
    ) -> Vec<Action> {
        let (keeper, name) = (&mut self.keepers[at], &self.settings.outboxes[at].name);
        (keeper.looking, keeper.look_at) = (false, now.uptime + self.settings.poll);
        let trouble = match &listed {
            Err(error) => Some(format!("the outbox cannot be read: {error}")),
            Ok(listing) if listing.nameless > 0 => {
                Some(format!("{} names in the outbox are not UTF-8: they cannot be sent", listing.nameless))
            }
            Ok(_) => None,
        };
        if keeper.trouble != trouble {
            let what = match &trouble {
                Some(trouble) => What::Failed {
                    why: Why::here(trouble, "Look at the outbox: is it there, and may this user read it?"),
                    rests: "outbox",
                    milliseconds: u64::try_from(self.settings.poll.as_millis()).unwrap_or(u64::MAX),
                },
                None => What::Mended { rested: "outbox" },
            };
            tell(&Happening::in_outbox(name, what));
            keeper.trouble = trouble;
        }
        match listed {
            Ok(listing) => self.machine.observed(at, &listing.seen, now),
            Err(_) => Vec::new(),
        }
    }

    fn act(&mut self, action: Action, tell: &mut dyn FnMut(&Happening)) -> Result<(), Error> {
        match action {
            Action::Keep(record) => self.journal.keep(&record)?,
            Action::Forget(id) => self.journal.forget(&id)?,
            Action::Send { record, again } => self.send(record, again)?,
            Action::Ask { zone, transfers } => self.ask(zone, transfers)?,
            Action::Receipts(record) => self.to_outbox(Command::Receipts, record, tell),
            Action::Unmark(record) => self.to_outbox(Command::Unmark, record, tell),
            Action::PutAway { record, delete } => {
                self.to_outbox(|record| Command::PutAway(record, delete), record, tell);
            }
            Action::Problem { outbox, why } => self.command(outbox, Command::Problem(why), tell),
            Action::Tell(happening) => tell(&happening),
        }
        Ok(())
    }

    fn to_outbox(&self, command: impl Fn(Record) -> Command, record: Record, tell: &mut dyn FnMut(&Happening)) {
        if let Some(at) = self.settings.outboxes.iter().position(|outbox| outbox.name == record.outbox) {
            self.command(at, command(record), tell);
        }
    }

    fn send(&self, record: Record, again: bool) -> Result<(), Error> {
        let found = self.settings.outboxes.iter().find(|outbox| outbox.name == record.outbox);
        let (Some(outbox), sender) = (found.cloned(), self.sender.clone()) else { return Ok(()) };
        let contents = Arc::clone(&self.contents);
        start("send", move || {
            let id = record.id();
            let sent = hand_over(&outbox, &record, again, &contents, &sender);
            // A watcher that has ended asks again when it is started.
            let _ = sender.send(Input::Sent(id, sent));
        })
    }

    fn ask(&self, zone: usize, transfers: Vec<(RecordId, TransferId)>) -> Result<(), Error> {
        let (identity, sender) = (self.identities[zone].clone(), self.sender.clone());
        start("ask", move || {
            let _ = sender.send(Input::Answered(zone, ask(&identity, &transfers)));
        })
    }
}

fn rules(outbox: &Outbox, identities: &[PathBuf]) -> Rules {
    Rules {
        name: outbox.name.clone(),
        whole: outbox.whole.clone(),
        delivered: outbox.delivered,
        after: outbox.after,
        in_order: outbox.sync,
        zone: identities.iter().position(|identity| *identity == outbox.identity).unwrap_or(0),
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| Error::Fault { what: format!("starting the thread `{name}`"), error })
}

/// Sends an entry. The identity is read anew each time: its certificate may have been renewed.
fn hand_over(outbox: &Outbox, record: &Record, again: bool, contents: &Contents, inputs: &Sender<Input>) -> Sent {
    let Content { dataset, files } = match contents(outbox, &record.name) {
        Ok(content) => content,
        Err(failure) => return Sent::Failed(failure),
    };
    let identity = match Identity::load(&outbox.identity) {
        Ok(identity) => identity,
        Err(error) => return Sent::Failed(Failure::of(&error)),
    };
    let options = Options {
        files,
        agreement: outbox.agreement.clone(),
        dataset,
        again: if again { Again::Lost } else { Again::Never },
        apart: None,
        sync: outbox.sync,
        wait: Wait::Received,
        wait_timeout: GIVE_UP,
        give_up: GIVE_UP,
    };
    let result = crate::send(&identity, &options, &mut |progress| {
        if let Progress::Accepted { transfer, .. } = progress {
            let _ = inputs.send(Input::Accepted(record.id(), transfer));
        }
    });
    Sent::of(result)
}

/// How long a certificate need not be looked at: a small part of its life, an hour at most.
fn look_again(identity: &Path) -> Duration {
    let life = Identity::load(identity).map_or(0, |identity| identity.validity().life());
    Duration::from_secs(u64::try_from(life / 20).unwrap_or(0).clamp(1, 3600))
}

fn why(error: Error) -> Why {
    match Failure::of(&error) {
        Failure::Zone(why)
        | Failure::Outbox(why)
        | Failure::Hours(why, _)
        | Failure::Later(why)
        | Failure::Never(why) => why,
    }
}

fn ask(identity: &Path, transfers: &[(RecordId, TransferId)]) -> Result<Vec<Answer>, Why> {
    let identity = Identity::load(identity).map_err(why)?;
    let ids: Vec<TransferId> = transfers.iter().map(|(_, transfer)| transfer.clone()).collect();
    let learnt = crate::status::ask_after(&identity, &ids).map_err(why)?;
    let mut answers = Vec::with_capacity(learnt.len());
    for ((id, _), (transfer, known)) in transfers.iter().zip(learnt) {
        match known {
            Ok(known) => answers.push((id.clone(), standing(&known), known.receipts.len())),
            Err(Error::Refused(refusal)) if refusal.code == Code::UnknownTransfer => {
                answers.push((id.clone(), Standing::Unknown, 0));
            }
            // It is asked after again; what cannot be believed must not be silent.
            Err(error) => tracing::error!(%transfer, "{error}"),
        }
    }
    Ok(answers)
}

fn standing(known: &Known) -> Standing {
    let status = &known.status;
    match End::of(status.state, Wait::Delivered, &known.receipts) {
        End::Reached => Standing::Delivered,
        End::Rejected | End::Lost => {
            Standing::Lost(status.reason.clone().map_or_else(|| judge::ended(status.state), Why::from))
        }
        End::Held | End::NotYet => Standing::Open(status.state),
    }
}
