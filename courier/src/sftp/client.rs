//! Asks an SFTP server: many things at a time where that is quicker, each answer awaited with a deadline.

use super::packets::{self, Answer, Ask, Attributes, DATA, END, NO_SUCH_FILE, Packet};
use super::ssh::Ssh;
use crate::leash::Leash;
use crate::settings::Sftp;
use crate::target::{Told, Trouble};
use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How long a server may be silent while it is asked something.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same at the beginning: the connection, the keys, the server's first word.
const FIRST_PATIENCE: Duration = Duration::from_secs(90);

/// Answers that wait to be read.
const WAITING: usize = 128;

/// A connection.
pub struct Client {
    ssh: Ssh,
    input: ChildStdin,
    answers: Receiver<Told<Vec<u8>>>,
    next: u32,
    early: BTreeMap<u32, Answer>,
    extensions: Vec<Vec<u8>>,
}

/// An open file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle(Vec<u8>);

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Why that is not possible.
    pub fn connect(way: &Sftp, leash: &Leash) -> Told<Self> {
        let (ssh, input, output) = Ssh::start(way, leash)?;
        let (tell, answers) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("sftp".into())
            .spawn(move || read_all(output, &tell))
            .map_err(|error| Trouble::new(format!("no thread: {error}")))?;
        let mut client = Self { ssh, input, answers, next: 0, early: BTreeMap::new(), extensions: Vec::new() };
        client.send(Packet::init())?;
        client.extensions = packets::version(&client.packet(FIRST_PATIENCE)?)?;
        Ok(client)
    }

    fn send(&mut self, packet: Packet) -> Told<()> {
        let bytes = packet.finish();
        self.input.write_all(&bytes).and_then(|()| self.input.flush()).map_err(|_| self.ssh.why())
    }

    fn packet(&mut self, patience: Duration) -> Told<Vec<u8>> {
        match self.answers.recv_timeout(patience) {
            Ok(packet) => packet,
            Err(RecvTimeoutError::Timeout) => Err(Trouble::new("the server does not answer")),
            Err(RecvTimeoutError::Disconnected) => Err(self.ssh.why()),
        }
    }

    /// Asks; the answer is awaited by what comes back.
    fn ask(&mut self, ask: Ask, with: impl FnOnce(Packet) -> Packet) -> Told<u32> {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.send(with(Packet::new(ask, id)))?;
        Ok(id)
    }

    fn wait(&mut self, id: u32) -> Told<Answer> {
        loop {
            if let Some(answer) = self.early.remove(&id) {
                return Ok(answer);
            }
            let packet = self.packet(PATIENCE)?;
            let (other, answer) = packets::answer(&packet)?;
            if other == id {
                return Ok(answer);
            }
            if self.early.len() >= WAITING {
                return Err(Trouble::new("the server answers what was not asked"));
            }
            self.early.insert(other, answer);
        }
    }

    fn call(&mut self, ask: Ask, with: impl FnOnce(Packet) -> Packet) -> Told<Answer> {
        let id = self.ask(ask, with)?;
        self.wait(id)
    }

    fn done(&mut self, what: &str, ask: Ask, with: impl FnOnce(Packet) -> Packet) -> Told<()> {
        let answer = self.call(ask, with)?;
        well(what, &answer)
    }

    fn has(&self, extension: &str) -> bool {
        self.extensions.iter().any(|there| there == extension.as_bytes())
    }

    /// What has a name; none if nothing has. A link is not followed.
    pub fn look(&mut self, path: &str) -> Told<Option<Attributes>> {
        match self.call(Ask::LStat, |packet| packet.bytes(path.as_bytes()))? {
            Answer::Attributes(attributes) => Ok(Some(attributes)),
            Answer::Status(NO_SUCH_FILE) => Ok(None),
            answer => Err(other("looking for a file", &answer)),
        }
    }

    /// What has a name, behind links.
    pub fn look_behind(&mut self, path: &str) -> Told<Option<Attributes>> {
        match self.call(Ask::Stat, |packet| packet.bytes(path.as_bytes()))? {
            Answer::Attributes(attributes) => Ok(Some(attributes)),
            Answer::Status(NO_SUCH_FILE) => Ok(None),
            answer => Err(other("looking for a folder", &answer)),
        }
    }

    /// Opens a file.
    pub fn open(&mut self, path: &str, how: u32, mode: Option<u32>) -> Told<Handle> {
        match self.call(Ask::Open, |packet| packet.bytes(path.as_bytes()).u32(how).mode(mode))? {
            Answer::Handle(handle) => Ok(Handle(handle)),
            answer => Err(other("opening a file", &answer)),
        }
    }

    /// Closes a file or folder.
    pub fn close(&mut self, handle: &Handle) -> Told<()> {
        self.done("closing a file", Ask::Close, |packet| packet.bytes(&handle.0))
    }

    /// Writes; all pieces are on their way before the first answer is awaited.
    pub fn write(&mut self, handle: &Handle, offset: u64, bytes: &[u8]) -> Told<()> {
        let mut asked = Vec::new();
        for (number, piece) in bytes.chunks(DATA).enumerate() {
            let at = offset + (number * DATA) as u64;
            asked.push(self.ask(Ask::Write, |packet| packet.bytes(&handle.0).u64(at).bytes(piece))?);
        }
        let mut written = Ok(());
        for id in asked {
            // All answers are taken, also behind one that is none.
            let answer = self.wait(id)?;
            written = written.and_then(|()| well("writing", &answer));
        }
        written
    }

    /// Reads at most `most` bytes; none at the file's end.
    pub fn read(&mut self, handle: &Handle, offset: u64, most: usize) -> Told<Vec<u8>> {
        let mut asked = Vec::new();
        for at in (0..most).step_by(DATA) {
            let length = u32::try_from(DATA.min(most - at)).unwrap_or(u32::MAX);
            let from = offset + at as u64;
            asked.push((length, self.ask(Ask::Read, |packet| packet.bytes(&handle.0).u64(from).u32(length))?));
        }
        let (mut read, mut ended) = (Vec::new(), Ok(false));
        for (length, id) in asked {
            let answer = self.wait(id)?;
            if !matches!(ended, Ok(false)) {
                continue;
            }
            match answer {
                Answer::Data(bytes) if bytes.len() <= length as usize => {
                    // Behind a short piece there is a hole: it is asked for anew.
                    ended = Ok(bytes.len() < length as usize);
                    read.extend_from_slice(&bytes);
                }
                Answer::Status(END) => ended = Ok(true),
                answer => ended = Err(other("reading back", &answer)),
            }
        }
        ended.map(|_| read)
    }

    /// Has a file's bytes on the server's disk, where it can be asked for that.
    pub fn sync(&mut self, handle: &Handle) -> Told<()> {
        const EXTENSION: &str = "fsync@openssh.com";
        if !self.has(EXTENSION) {
            return Ok(());
        }
        self.done("syncing a file", Ask::Extended, |packet| packet.bytes(EXTENSION.as_bytes()).bytes(&handle.0))
    }

    /// Sets a file's mode and time; whether the server does.
    pub fn set(&mut self, handle: &Handle, mode: u32, time: u32) -> Told<bool> {
        let answer = self.call(Ask::FSetStat, |packet| packet.bytes(&handle.0).mode_and_time(mode, time))?;
        Ok(answer == Answer::Status(0))
    }

    /// Makes a folder; one that is there already is as good.
    pub fn make_folder(&mut self, path: &str, mode: u32) -> Told<()> {
        let answer = self.call(Ask::MakeDir, |packet| packet.bytes(path.as_bytes()).mode(Some(mode)))?;
        if answer == Answer::Status(0) || self.look(path)?.is_some_and(|there| there.is_folder()) {
            return Ok(());
        }
        Err(self.full().unwrap_or_else(|| other("making a folder", &answer)))
    }

    /// Renames; whether the server did. What has the new name stays as it is.
    pub fn rename(&mut self, from: &str, to: &str) -> Told<bool> {
        let answer = self.call(Ask::Rename, |packet| packet.bytes(from.as_bytes()).bytes(to.as_bytes()))?;
        Ok(answer == Answer::Status(0))
    }

    /// Renames a file over another one.
    pub fn replace(&mut self, from: &str, to: &str) -> Told<()> {
        const EXTENSION: &str = "posix-rename@openssh.com";
        if self.has(EXTENSION) {
            return self.done("laying a receipt", Ask::Extended, |packet| {
                packet.bytes(EXTENSION.as_bytes()).bytes(from.as_bytes()).bytes(to.as_bytes())
            });
        }
        self.remove(to)?;
        if self.rename(from, to)? { Ok(()) } else { Err(Trouble::new("the server does not rename a receipt")) }
    }

    /// Removes a file; one that is not there is as good.
    pub fn remove(&mut self, path: &str) -> Told<()> {
        match self.call(Ask::Remove, |packet| packet.bytes(path.as_bytes()))? {
            Answer::Status(0 | NO_SUCH_FILE) => Ok(()),
            answer => Err(other("removing a file", &answer)),
        }
    }

    /// Removes a folder, if it is empty.
    pub fn remove_if_empty(&mut self, path: &str) -> Told<()> {
        self.call(Ask::RemoveDir, |packet| packet.bytes(path.as_bytes())).map(drop)
    }

    /// What has names in a folder.
    pub fn list(&mut self, path: &str) -> Told<Vec<(String, Attributes)>> {
        let handle = match self.call(Ask::OpenDir, |packet| packet.bytes(path.as_bytes()))? {
            Answer::Handle(handle) => Handle(handle),
            answer => return Err(other("opening a folder", &answer)),
        };
        let mut all = Vec::new();
        loop {
            match self.call(Ask::ReadDir, |packet| packet.bytes(&handle.0))? {
                Answer::Names(names) => {
                    for (name, attributes) in names {
                        let name = String::from_utf8(name).map_err(|_| Trouble::new("a name there is no UTF-8"))?;
                        if name.contains('/') {
                            return Err(Trouble::new("a name there is none"));
                        }
                        if name != "." && name != ".." {
                            all.push((name, attributes));
                        }
                    }
                }
                Answer::Status(END) => break,
                answer => return Err(other("reading a folder", &answer)),
            }
            if all.len() > MOST_NAMES {
                return Err(Trouble::new("a folder there has more names than a dataset"));
            }
        }
        self.close(&handle)?;
        Ok(all)
    }

    /// That the server's disk is full, if it says so.
    pub fn full(&mut self) -> Option<Trouble> {
        const EXTENSION: &str = "statvfs@openssh.com";
        if !self.has(EXTENSION) {
            return None;
        }
        match self.call(Ask::Extended, |packet| packet.bytes(EXTENSION.as_bytes()).bytes(b".")) {
            Ok(Answer::Extended(answer)) if packets::free_blocks(&answer) == Some(0) => {
                Some(Trouble::new("the server's disk is full"))
            }
            _ => None,
        }
    }
}

/// Names in one folder: what a dataset may have.
const MOST_NAMES: usize = 1_000_000;

fn well(what: &str, answer: &Answer) -> Told<()> {
    if *answer == Answer::Status(0) { Ok(()) } else { Err(other(what, answer)) }
}

fn other(what: &str, answer: &Answer) -> Trouble {
    let why = match answer {
        Answer::Status(NO_SUCH_FILE) => "the server says that it is not there",
        Answer::Status(3) => "the server does not permit it",
        Answer::Status(4) => "the server failed; its disk may be full",
        Answer::Status(8) => "the server cannot do it",
        _ => "the server answers something else",
    };
    Trouble::new(format!("{what}: {why}"))
}

fn read_all(mut output: ChildStdout, tell: &SyncSender<Told<Vec<u8>>>) {
    loop {
        let packet = match read_packet(&mut output) {
            Ok(Some(packet)) => Ok(packet),
            Ok(None) => return,
            Err(trouble) => Err(trouble),
        };
        let last = packet.is_err();
        if tell.send(packet).is_err() || last {
            return;
        }
    }
}

/// One packet; none at the end.
fn read_packet(output: &mut impl Read) -> Told<Option<Vec<u8>>> {
    let mut prefix = [0; 4];
    let ended = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Trouble::new("the connection to the server ended"),
        _ => Trouble::new(format!("the connection to the server: {error}")),
    };
    match output.read_exact(&mut prefix) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other.map_err(ended)?,
    }
    let mut packet = vec![0; packets::length(prefix)?];
    output.read_exact(&mut packet).map_err(ended)?;
    Ok(Some(packet))
}
