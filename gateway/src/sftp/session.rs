//! One client's session: its requests, answered one after the other.

use super::inbox::Inbox;
use super::packet::{self, Answer, Attributes, Code, Frames, MAX_PACKET, Refusal, Request, Wishes, WrongLength, flags};
use super::path;
use super::ssh::{Broken, Subsystem};
use super::writing::Handle;
use sluse_protocol::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Files and folders that one session may have open.
const MAX_HANDLES: usize = 8;

/// Bytes of answers that wait for a client to take them: of the requests that clients have under way.
const MAX_ANSWERS: usize = 1024 * 1024;

/// Names in one answer.
const NAMES: usize = 100;

/// A session.
pub struct Session {
    inbox: Arc<Inbox>,
    frames: Frames,
    handles: BTreeMap<u32, Open>,
    count: u32,
}

enum Open {
    File(Box<Handle>),
    /// A folder, and the name that was listed last.
    Folder(String, Option<String>),
}

const NO_HANDLE: Refusal = Refusal(Code::Failure, "no such handle");
const NOT_READ: Refusal = Refusal(Code::PermissionDenied, "what was stored cannot be read back");

impl Session {
    /// For who logged in.
    pub fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, frames: Frames::default(), handles: BTreeMap::new(), count: 0 }
    }

    fn packet(&mut self, packet: &[u8], answers: &mut VecDeque<u8>) -> Result<(), Broken> {
        let (number, request) = packet::read(packet).ok_or(Broken::Garbage("a request that cannot be read"))?;
        let answer = match request {
            Request::Init(3..) => Answer::Version,
            Request::Init(_) => return Err(Broken::Garbage("a client that speaks an older SFTP than 3")),
            request => self.answer(request).unwrap_or_else(Answer::from),
        };
        answers.extend(answer.encode(number));
        if answers.len() > MAX_ANSWERS {
            return Err(Broken::Garbage("a client that does not take its answers"));
        }
        Ok(())
    }

    fn answer(&mut self, request: Request<'_>) -> Result<Answer, Refusal> {
        match request {
            Request::Open(path, how, wishes) => return self.open(path, how, wishes),
            Request::OpenFolder(path) => {
                let path = path::resolve(path)?;
                if !self.inbox.stat(&path)?.folder {
                    return Err(Refusal(Code::Failure, "that is a file"));
                }
                return self.keep(Open::Folder(path, Some(String::new())));
            }
            Request::Close(handle) => match self.handles.remove(&self.number(handle)?) {
                Some(Open::File(file)) => file.close()?,
                Some(Open::Folder(..)) => {}
                None => return Err(NO_HANDLE),
            },
            Request::Write(handle, offset, bytes) => self.file(handle)?.write(offset, bytes)?,
            Request::Sync(handle) => self.file(handle)?.sync()?,
            Request::Read => return Err(NOT_READ),
            Request::Stat(path) => return self.inbox.stat(&path::resolve(path)?).map(Answer::Attributes),
            Request::StatOpen(handle) => return self.stat_open(handle),
            Request::Set(path, wishes) => self.set(&path::resolve(path)?, wishes)?,
            Request::SetOpen(handle, wishes) => {
                let file = self.file(handle)?;
                check_bytes(wishes, file.bytes())?;
                if let Some(mtime) = wishes.mtime {
                    file.set_time(Timestamp::from_unix(i64::from(mtime)));
                }
            }
            Request::ReadFolder(handle) => return self.read_folder(handle),
            Request::Remove(path) => self.inbox.remove(&path::resolve(path)?)?,
            Request::MakeFolder(path) => self.inbox.make_folder(&path::resolve(path)?)?,
            Request::RemoveFolder(path) => self.inbox.remove_folder(&path::resolve(path)?)?,
            Request::RealPath(path) => {
                let path = format!("/{}", path::resolve(path)?);
                let attributes = Attributes { folder: true, bytes: 0, mtime: 0 };
                return Ok(Answer::Names(vec![(path, attributes)]));
            }
            Request::Rename(from, to, replace) => {
                self.inbox.rename(&path::resolve(from)?, &path::resolve(to)?, replace)?;
            }
            Request::Limits => return Ok(Answer::Limits { handles: MAX_HANDLES as u64 }),
            Request::Init(_) | Request::Other => {
                return Err(Refusal(Code::Unsupported, "that is not done here"));
            }
        }
        Ok(Answer::DONE)
    }

    fn open(&mut self, path: &[u8], how: u32, wishes: Wishes) -> Result<Answer, Refusal> {
        let path = path::resolve(path)?;
        if how & flags::WRITE == 0 {
            return Err(self.inbox.stat(&path).map_or_else(|refusal| refusal, |_| NOT_READ));
        }
        if self.handles.len() >= MAX_HANDLES {
            return Err(Refusal(Code::Failure, "too many files are open"));
        }
        let writing = self.inbox.write(&path, how)?;
        let mut file = Handle::new(Arc::clone(&self.inbox), writing, how & flags::APPEND != 0);
        if let Some(mtime) = wishes.mtime {
            file.set_time(Timestamp::from_unix(i64::from(mtime)));
        }
        self.keep(Open::File(Box::new(file)))
    }

    fn keep(&mut self, open: Open) -> Result<Answer, Refusal> {
        if self.handles.len() >= MAX_HANDLES {
            return Err(Refusal(Code::Failure, "too many files are open"));
        }
        let number = self.count;
        self.count = self.count.checked_add(1).ok_or(Refusal(Code::Failure, "too many files were opened"))?;
        self.handles.insert(number, open);
        Ok(Answer::Handle(number.to_be_bytes()))
    }

    fn number(&self, handle: &[u8]) -> Result<u32, Refusal> {
        handle.try_into().map(u32::from_be_bytes).map_err(|_| NO_HANDLE)
    }

    fn file(&mut self, handle: &[u8]) -> Result<&mut Handle, Refusal> {
        match self.handles.get_mut(&self.number(handle)?) {
            Some(Open::File(file)) => Ok(file),
            _ => Err(NO_HANDLE),
        }
    }

    fn stat_open(&self, handle: &[u8]) -> Result<Answer, Refusal> {
        let attributes = match self.handles.get(&self.number(handle)?) {
            Some(Open::File(file)) => {
                let mtime = u32::try_from(sluse_host::clock::now().unix()).unwrap_or(u32::MAX);
                Attributes { folder: false, bytes: file.bytes(), mtime }
            }
            Some(Open::Folder(path, _)) => self.inbox.stat(path)?,
            None => return Err(NO_HANDLE),
        };
        Ok(Answer::Attributes(attributes))
    }

    /// Who may what is fixed, and a file is as long as what was written: all that can be set is its time.
    fn set(&self, path: &str, wishes: Wishes) -> Result<(), Refusal> {
        let known = self.inbox.stat(path)?;
        check_bytes(wishes, known.bytes)?;
        match wishes.mtime {
            Some(mtime) => self.inbox.set_time(path, Timestamp::from_unix(i64::from(mtime))),
            None => Ok(()),
        }
    }

    fn read_folder(&mut self, handle: &[u8]) -> Result<Answer, Refusal> {
        let number = self.number(handle)?;
        let Some(Open::Folder(path, after)) = self.handles.get_mut(&number) else { return Err(NO_HANDLE) };
        let names = match after {
            Some(after) => self.inbox.list(path, after, NAMES)?,
            None => Vec::new(),
        };
        *after = names.last().map(|(name, _)| name.clone());
        match names.is_empty() {
            true => Err(Refusal(Code::End, "no more names")),
            false => Ok(Answer::Names(names)),
        }
    }
}

fn check_bytes(wishes: Wishes, bytes: u64) -> Result<(), Refusal> {
    match wishes.bytes {
        Some(wished) if wished != bytes => Err(Refusal(Code::Unsupported, "a file's length is what was written to it")),
        _ => Ok(()),
    }
}

impl From<WrongLength> for Broken {
    fn from(_: WrongLength) -> Self {
        Self::Garbage("a request that is empty or too long")
    }
}

impl Subsystem for Session {
    fn take(&mut self, bytes: &[u8], answers: &mut VecDeque<u8>) -> Result<(), Broken> {
        let mut frames = std::mem::take(&mut self.frames);
        let taken = frames.take(bytes, |packet| self.packet(packet, answers));
        self.frames = frames;
        taken
    }
}

const _: () = assert!(NAMES * 2 * 600 < MAX_PACKET, "an answer with names is no longer than a packet may be");
