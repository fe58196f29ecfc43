//! Answers the zone: a connection is one delivery, its requests are answered one after the other.

use crate::leash::Leash;
use crate::settings::{Settings, Way};
use crate::target::{Bag, Target, Told, Trouble};
use crate::{s3, sftp, tsd, zone};
use sluse_host::rpc;
use sluse_protocol::courier::{CourierReply, CourierRequest, FileHead, STEP_BYTES};
use sluse_protocol::path::DataPath;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Connections at the same time: deliveries, and looks after them.
const CONNECTIONS: usize = 16;

/// A pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Answers whoever connects, until the process is ended.
///
/// # Errors
/// When no thread can be started.
pub fn run(settings: Settings, listener: &UnixListener) -> io::Result<()> {
    let settings = Arc::new(settings);
    tracing::info!(target = settings.way.speaks(), "courier");
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted");
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        // Each connection has a handle: the list, and who answers.
        if Arc::strong_count(&settings) > CONNECTIONS {
            tracing::warn!("too many connections: one was closed");
            continue;
        }
        let settings = Arc::clone(&settings);
        std::thread::Builder::new().name("delivery".into()).spawn(move || answer(stream, settings))?;
    }
}

fn answer(stream: UnixStream, settings: Arc<Settings>) {
    let leash = match Leash::of(&stream) {
        Ok(leash) => leash,
        Err(error) => {
            tracing::error!(%error, "a connection cannot be watched: it was closed");
            return;
        }
    };
    let session = Mutex::new(Session { settings, leash, target: None });
    let handle = move |request, body: Vec<u8>| {
        let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
        session.answer(request, &body).unwrap_or_else(|trouble| {
            tracing::warn!(%trouble, "the target could not do what it was asked");
            (CourierReply::Failed { message: trouble.to_string() }, Vec::new())
        })
    };
    if let Err(error) = rpc::serve_within(1, stream, handle) {
        tracing::warn!(%error, "a connection ended early");
    }
}

/// One delivery.
struct Session {
    settings: Arc<Settings>,
    leash: Arc<Leash>,
    target: Option<Box<dyn Target>>,
}

impl Session {
    fn answer(&mut self, request: CourierRequest, body: &[u8]) -> Told<(CourierReply, Vec<u8>)> {
        let done = |()| (CourierReply::Done, Vec::new());
        match request {
            CourierRequest::Open { transfer, dataset, anew } => {
                let mut target = connect(&self.settings, Bag { transfer, dataset }, &self.leash)?;
                let visible = target.open(anew)?;
                self.target = Some(target);
                let (by, verifies) = (self.settings.way.speaks().to_owned(), self.settings.verifies);
                let lists = matches!(self.settings.way, Way::Zone(_));
                Ok((CourierReply::Opened { visible, by, verifies, lists }, Vec::new()))
            }
            CourierRequest::List { file } => self.target()?.list(file).map(done),
            CourierRequest::Begin { file } => {
                let durable = self.target()?.begin(file)?;
                Ok((CourierReply::Begun { durable }, Vec::new()))
            }
            CourierRequest::Put { offset } => self.target()?.put(offset, body).map(done),
            CourierRequest::End => self.target()?.end().map(done),
            CourierRequest::Folder { path } => self.target()?.folder(&path).map(done),
            CourierRequest::Read { path, offset } => {
                let mut bytes = self.target()?.read(&path, offset)?;
                bytes.truncate(STEP_BYTES);
                Ok((CourierReply::Bytes, bytes))
            }
            CourierRequest::Publish => {
                let target = self.target()?;
                let (not_kept, zone) = (target.publish()?, target.signed());
                Ok((CourierReply::Published { not_kept, zone }, Vec::new()))
            }
            CourierRequest::Lay { name } => self.target()?.lay(&name, body).map(done),
            CourierRequest::Withdraw => {
                let visible = self.target()?.withdraw()?;
                Ok((CourierReply::Withdrawn { visible }, Vec::new()))
            }
        }
    }

    fn target(&mut self) -> Told<&mut Box<dyn Target>> {
        self.target.as_mut().ok_or_else(|| Trouble::new("nothing was opened"))
    }
}

fn connect(settings: &Settings, bag: Bag, leash: &Arc<Leash>) -> Told<Box<dyn Target>> {
    match &settings.way {
        Way::S3(way) => Ok(Box::new(s3::Room::connect(way, bag, Arc::clone(leash))?)),
        Way::Sftp(way) => Ok(Box::new(sftp::Room::connect(way, bag, settings.reads_back(), leash)?)),
        Way::Tsd(way) => Ok(Box::new(tsd::Room::connect(way, &bag, Arc::clone(leash))?)),
        Way::Zone(way) => Ok(Box::new(zone::Room::connect(way, bag, Arc::clone(leash))?)),
    }
}

/// Tries the target out: a file of a bag that never becomes visible is stored, read back where it may be, and removed. Another zone is only
/// asked whether it knows us: nothing that is sent there can be taken back.
///
/// # Errors
/// What the target cannot do.
pub fn check(settings: &Settings) -> Told<()> {
    if let Way::Zone(way) = &settings.way {
        return zone::check(way);
    }
    let none = |_| Trouble::new("a name of the check's is none");
    let bag = Bag {
        transfer: "20000101-000000-00000000".parse().map_err(none)?,
        dataset: "sluse-check".parse().map_err(none)?,
    };
    let path: DataPath = "data/check".parse().map_err(|_| Trouble::new("a name of the check's is none"))?;
    let mut target = connect(settings, bag, &Arc::default())?;
    target.open(true)?;
    let bytes = b"This is a courier's check, and may be removed.\n";
    let tried = (|| {
        let head =
            FileHead { path: path.clone(), bytes: bytes.len() as u64, mtime: 0, executable: false, resume: false };
        target.begin(head)?;
        target.put(0, bytes)?;
        target.end()?;
        if settings.reads_back() && target.read(&path, 0)? != bytes {
            return Err(Trouble::new("the target gives back other bytes than were stored"));
        }
        Ok(())
    })();
    target.withdraw()?;
    tried
}
