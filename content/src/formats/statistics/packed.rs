//! How SPSS packs rows: a code for each eight bytes, and in `.zsav` blocks of zlib around those.

use super::head::{Cursor, Order, Stop};
use flate2::{Decompress, FlushDecompress, Status};

/// Codes: nothing, the data's end, eight bytes that follow as they are, eight spaces. All others are numbers of at most three digits,
/// or none.
const NOTHING: u8 = 0;
const END: u8 = 252;
const AS_IT_IS: u8 = 253;
const SPACES: u8 = 254;

/// Bytes before the blocks: where they and their list stand.
const BLOCKS_HEAD: usize = 24;

/// Bytes that are unpacked at a time.
const STEP: usize = 64 * 1024;

/// Eight bytes each, unpacked from codes.
pub struct Codes {
    codes: [u8; 8],
    next: usize,
    held: [u8; 8],
    have: usize,
    /// Where the held bytes began in what was fed.
    start: u64,
    /// Whether the held bytes are a value, and no codes.
    literal: bool,
    ended: bool,
}

impl Codes {
    /// At the beginning.
    pub fn new() -> Self {
        Self { codes: [0; 8], next: 8, held: [0; 8], have: 0, start: 0, literal: false, ended: false }
    }

    /// Whether the data may end here.
    pub fn may_end(&self) -> bool {
        self.ended || (self.have == 0 && !self.literal)
    }

    /// Whether it has said that it ends.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes the next bytes, which stand `offset` bytes from the start of all; gives each value with its place there.
    pub fn feed(&mut self, bytes: &[u8], offset: u64, give: &mut impl FnMut(&[u8; 8], u64)) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.ended {
            if self.have == 0 {
                self.start = offset + at as u64;
            }
            let count = (8 - self.have).min(bytes.len() - at);
            self.held[self.have..self.have + count].copy_from_slice(&bytes[at..at + count]);
            self.have += count;
            at += count;
            if self.have < 8 {
                break;
            }
            self.have = 0;
            if std::mem::take(&mut self.literal) {
                give(&self.held, self.start);
            } else {
                (self.codes, self.next) = (self.held, 0);
            }
            self.go_on(give);
        }
        at
    }

    /// Gives what codes say, up to one that needs more bytes.
    fn go_on(&mut self, give: &mut impl FnMut(&[u8; 8], u64)) {
        while let Some(&code) = self.codes.get(self.next) {
            self.next += 1;
            match code {
                NOTHING => {}
                END => {
                    self.ended = true;
                    return;
                }
                AS_IT_IS => {
                    self.literal = true;
                    return;
                }
                SPACES => give(b"        ", self.start),
                _ => give(&[0; 8], self.start),
            }
        }
    }
}

/// Blocks of zlib, one behind the other.
pub struct Blocks {
    order: Order,
    head: Vec<u8>,
    /// Bytes of blocks that are still to come; none before the head.
    left: Option<u64>,
    /// Bytes that are unpacked together: what comes out before a flaw must not depend on how the file was cut.
    gathered: Vec<u8>,
    inflate: Decompress,
    out: Vec<u8>,
}

const DAMAGED: &str = "a packed block is damaged";
const ELSEWHERE: &str = "packed blocks stand elsewhere than the file says";

impl Blocks {
    /// Blocks of a file with this order of bytes.
    pub fn new(order: Order) -> Self {
        let (inflate, out) = (Decompress::new(true), vec![0; STEP]);
        Self { order, head: Vec::new(), left: None, gathered: Vec::new(), inflate, out }
    }

    /// Whether the bytes of all blocks have come.
    pub fn all_came(&self) -> bool {
        self.left == Some(0)
    }

    /// Whether the last block has ended, too.
    pub fn are_over(&self) -> bool {
        self.left == Some(0) && self.gathered.is_empty() && self.inflate.total_in() == 0
    }

    /// Takes the next bytes, and gives what they unpack to; how many of them belong to blocks. `start` is where the blocks begin in
    /// the file.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn feed(&mut self, bytes: &[u8], start: usize, give: &mut impl FnMut(&[u8])) -> Result<usize, &'static str> {
        let mut at = 0;
        if self.left.is_none() {
            at = (BLOCKS_HEAD - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..at]);
            match self.length(start) {
                Ok(length) => self.left = Some(length),
                Err(Stop::More(_)) => return Ok(at),
                Err(_) => return Err(ELSEWHERE),
            }
        }
        while let Some(left @ 1..) = self.left
            && at < bytes.len()
        {
            let room = STEP - self.gathered.len();
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at).min(room);
            self.gathered.extend_from_slice(&bytes[at..at + count]);
            at += count;
            self.left = Some(left - count as u64);
            if self.gathered.len() == STEP || self.left == Some(0) {
                self.unpack(give)?;
            }
        }
        Ok(at)
    }

    fn unpack(&mut self, give: &mut impl FnMut(&[u8])) -> Result<(), &'static str> {
        let gathered = std::mem::take(&mut self.gathered);
        let mut rest = &gathered[..];
        loop {
            let (before, came) = (self.inflate.total_in(), self.inflate.total_out());
            let done = self.inflate.decompress(rest, &mut self.out, FlushDecompress::None);
            let taken = (self.inflate.total_in() - before) as usize;
            let given = (self.inflate.total_out() - came) as usize;
            give(&self.out[..given]);
            rest = rest.get(taken..).ok_or(DAMAGED)?;
            match done {
                Err(_) => return Err(DAMAGED),
                Ok(Status::StreamEnd) => self.inflate.reset(true),
                // No more comes out before more comes in.
                Ok(_) if given < self.out.len() && rest.is_empty() => return Ok(()),
                Ok(_) if taken == 0 && given == 0 => return Err(DAMAGED),
                Ok(_) => {}
            }
            if rest.is_empty() && self.inflate.total_in() == 0 {
                return Ok(());
            }
        }
    }

    /// Bytes of all blocks.
    fn length(&self, start: usize) -> Result<u64, Stop> {
        let mut at = Cursor::new(&self.head, 0, self.order);
        let (here, list) = (at.eight()?, at.eight()?);
        at.eight()?;
        let first = start as u64 + BLOCKS_HEAD as u64;
        let good = here == start as u64 && list >= first;
        good.then(|| list - first).ok_or(Stop::Wrong(0, ELSEWHERE))
    }
}
