//! The decoders of compressed data, behind one face: bytes in, bytes out, in pieces.

use super::limits::{Limits, Share};
use bzip2::Decompress as Bunzip2;
use deflate64::InflaterManaged;
use flate2::{Decompress as Inflate, FlushDecompress};
use liblzma::stream::{Action, Stream as Lzma};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// Bytes of the buffer that decoders write to.
const OUT_BYTES: usize = 64 * 1024;

/// Memory of liblzma beyond the dictionary itself.
const LZMA_OVERHEAD: u64 = 4 << 20;

/// A decoder.
pub(super) enum Codec {
    Stored,
    Deflate(Inflate),
    Deflate64(Box<InflaterManaged>),
    Bzip2(Bunzip2),
    /// xz, and LZMA with its old header. The share is of the file's windows.
    Lzma(Lzma, #[expect(dead_code, reason = "it goes back on drop")] Share),
    Zstd(Box<Zstd>, #[expect(dead_code, reason = "it goes back on drop")] Share),
}

/// Zstandard's decoder. It is given no more than it asks for, a block at a time: what it wrote in a call that fails is
/// lost.
pub(super) struct Zstd {
    context: DCtx<'static>,
    wants: usize,
    /// The last call filled the buffer: more may come without input.
    full: bool,
}

/// Why nothing more comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not what its method requires.
    Damaged,
    /// It wants more memory than it gets, or a feature that is not read here.
    Refused,
}

/// What a piece came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// All of it was taken; more is to come.
    All,
    /// The data ended after so many bytes.
    Ended(usize),
    /// It is damaged, or asks for too much.
    Faulty(Fault),
    /// Whoever takes the bytes wants no more.
    Stopped,
}

struct Step {
    read: usize,
    written: usize,
    /// Whether the data has ended, or what is wrong with it.
    state: Result<bool, Fault>,
}

impl Codec {
    /// Deflate without a header.
    pub fn deflate() -> Self {
        Self::Deflate(Inflate::new(false))
    }

    /// Deflate with a window of 64 KiB.
    pub fn deflate64() -> Self {
        Self::Deflate64(Box::new(InflaterManaged::new()))
    }

    /// bzip2; one stream.
    pub fn bzip2() -> Self {
        Self::Bzip2(Bunzip2::new(false))
    }

    /// xz; one stream.
    pub fn xz(limits: &Limits, window: Share) -> Option<Self> {
        let memory = limits.dictionary as u64 + LZMA_OVERHEAD;
        Lzma::new_stream_decoder(memory, 0).ok().map(|stream| Self::Lzma(stream, window))
    }

    /// LZMA with its old header of 13 bytes.
    pub fn lzma(limits: &Limits, window: Share) -> Option<Self> {
        let memory = limits.dictionary as u64 + LZMA_OVERHEAD;
        Lzma::new_lzma_decoder(memory).ok().map(|stream| Self::Lzma(stream, window))
    }

    /// Zstandard; it ends at the end of a frame, and takes the next one.
    pub fn zstd(limits: &Limits, window: Share) -> Option<Self> {
        let mut context = DCtx::try_create()?;
        context.set_parameter(DParameter::WindowLogMax(limits.dictionary.max(1024).ilog2())).ok()?;
        Some(Self::Zstd(Box::new(Zstd { context, wants: 1, full: false }), window))
    }

    /// Whether the place where the data ends is known to the byte.
    pub fn is_exact(&self) -> bool {
        !matches!(self, Self::Deflate64(_))
    }

    /// Whether the data itself says where it ends.
    pub fn ends_itself(&self) -> bool {
        !matches!(self, Self::Stored)
    }

    /// Decodes `input`, and hands what comes out to `take` until that says no.
    pub fn pump(&mut self, input: &[u8], buffer: &mut Vec<u8>, mut take: impl FnMut(&[u8]) -> bool) -> Pumped {
        if matches!(self, Self::Stored) {
            return if take(input) { Pumped::All } else { Pumped::Stopped };
        }
        buffer.resize(OUT_BYTES, 0);
        let mut read = 0;
        loop {
            let step = self.step(&input[read..], buffer);
            read += step.read;
            // What came out before a damage is shown, so that it does not depend on where the data was cut.
            if step.written > 0 && !take(&buffer[..step.written]) {
                return Pumped::Stopped;
            }
            match step.state {
                Ok(false) => {}
                Ok(true) => return Pumped::Ended(read),
                Err(fault) => return Pumped::Faulty(fault),
            }
            if step.written < OUT_BYTES && (read == input.len() || step.read + step.written == 0) {
                // A decoder that leaves input and gives nothing would do so for ever.
                return if read == input.len() { Pumped::All } else { Pumped::Faulty(Fault::Damaged) };
            }
        }
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        match self {
            Self::Stored => Step { read: 0, written: 0, state: Err(Fault::Refused) },
            Self::Deflate(inflate) => {
                let before = (inflate.total_in(), inflate.total_out());
                let status = inflate.decompress(input, out, FlushDecompress::None);
                let state = status.map(|status| status == flate2::Status::StreamEnd).map_err(|_| Fault::Damaged);
                counted(before, (inflate.total_in(), inflate.total_out()), state)
            }
            Self::Deflate64(inflate) => {
                let done = inflate.inflate(input, out);
                let ended = inflate.finished() && inflate.available_output() == 0;
                let state = if done.data_error { Err(Fault::Damaged) } else { Ok(ended) };
                Step { read: done.bytes_consumed, written: done.bytes_written, state }
            }
            Self::Bzip2(bunzip) => {
                let before = (bunzip.total_in(), bunzip.total_out());
                let state = match bunzip.decompress(input, out) {
                    Ok(bzip2::Status::MemNeeded) => Err(Fault::Refused),
                    Ok(status) => Ok(status == bzip2::Status::StreamEnd),
                    Err(_) => Err(Fault::Damaged),
                };
                counted(before, (bunzip.total_in(), bunzip.total_out()), state)
            }
            Self::Lzma(stream, _) => {
                let before = (stream.total_in(), stream.total_out());
                let status = stream.process(input, out, Action::Run);
                let state = status.map(|status| status == liblzma::stream::Status::StreamEnd).map_err(lzma_fault);
                counted(before, (stream.total_in(), stream.total_out()), state)
            }
            Self::Zstd(zstd, _) => zstd.step(input, out),
        }
    }
}

impl Zstd {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        if std::mem::take(&mut self.full) {
            let flushed = self.call(&[], out);
            if flushed.written > 0 || flushed.state != Ok(false) {
                return flushed;
            }
        }
        self.call(&input[..input.len().min(self.wants)], out)
    }

    fn call(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(&mut *out));
        let wants = self.context.decompress_stream(&mut to, &mut from).map_err(zstd_fault);
        let (read, written) = (from.pos(), to.pos());
        self.full = written == out.len();
        self.wants = wants.unwrap_or(0).max(1);
        // Nothing read and nothing written is no end: no frame has begun.
        Step { read, written, state: wants.map(|wants| wants == 0 && read + written > 0) }
    }
}

/// What a decoder did that counts its bytes in all.
fn counted(before: (u64, u64), after: (u64, u64), state: Result<bool, Fault>) -> Step {
    Step { read: (after.0 - before.0) as usize, written: (after.1 - before.1) as usize, state }
}

fn lzma_fault(error: liblzma::stream::Error) -> Fault {
    use liblzma::stream::Error::{Mem, MemLimit, Options};
    if matches!(error, MemLimit | Mem | Options) { Fault::Refused } else { Fault::Damaged }
}

/// What zstd's number of an error means: 16 is a window beyond the bound, 14 an unsupported feature, 32 a dictionary
/// that is not here, 64 no memory.
fn zstd_fault(code: usize) -> Fault {
    match code.wrapping_neg() {
        14 | 16 | 32 | 64 => Fault::Refused,
        _ => Fault::Damaged,
    }
}
