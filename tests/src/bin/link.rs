//! Carries packets between two TUN devices as a slow and lossy path would. The devices are standard input and output, not
//! blocking: `tests/bench/path.py` makes them. SIGTERM ends it; then it writes what became of the packets to standard error, as
//! one JSON object.
//!
//! Arguments: delay in microseconds, loss in millionths, bits a second (0 for no bound), bytes of the queue, seed, bytes of the
//! largest packet.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::time::TimeSpec;
use sluse_tests::link::{Direction, Nature};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Packets that are taken from one device before the other has its turn.
const TURN: usize = 64;

/// The longest wait on a path where nothing moves.
const IDLE: Duration = Duration::from_secs(1);

/// The largest packet that a TUN device gives.
const PACKET: usize = 65_536;

fn main() -> ExitCode {
    match asked().and_then(|(nature, seed)| carry(nature, seed)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is gone with whoever started this.
            let _ = writeln!(io::stderr(), "link: {error}");
            ExitCode::FAILURE
        }
    }
}

fn asked() -> io::Result<(Nature, u64)> {
    let numbers: Result<Vec<u64>, _> = std::env::args().skip(1).map(|word| word.parse()).collect();
    let [delay, loss, rate, queue, seed, largest] = numbers.unwrap_or_default()[..] else {
        return Err(io::Error::other("six numbers: delay, loss, rate, queue, seed, largest packet"));
    };
    if loss >= 1_000_000 {
        return Err(io::Error::other("a path that loses everything is none"));
    }
    let (delay, loss) = (Duration::from_micros(delay), loss as f64 / 1e6);
    Ok((Nature { delay, loss, rate: (rate > 0).then_some(rate), queue, largest: largest as usize }, seed))
}

fn carry(nature: Nature, seed: u64) -> io::Result<()> {
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGTERM);
    ends.thread_block()?;
    let end = SignalFd::new(&ends)?;
    let mut devices =
        [File::from(io::stdin().as_fd().try_clone_to_owned()?), File::from(io::stdout().as_fd().try_clone_to_owned()?)];
    let begun = Instant::now();
    let mut directions = [Direction::new(nature, seed, begun), Direction::new(nature, seed + 1, begun)];
    let mut packet = vec![0; PACKET];
    loop {
        for from in 0..2 {
            take(&mut devices[from], &mut directions[from], &mut packet)?;
            give(&mut devices[1 - from], &mut directions[from])?;
        }
        let next = directions.iter().filter_map(Direction::due).min();
        let longest = next.map_or(IDLE, |due| due.saturating_duration_since(Instant::now())).min(IDLE);
        if wait(&devices, &end, longest)? {
            return tell(&directions);
        }
    }
}

fn take(device: &mut File, direction: &mut Direction, packet: &mut [u8]) -> io::Result<()> {
    for _ in 0..TURN {
        match device.read(packet) {
            Ok(length) => direction.take(&packet[..length], Instant::now()),
            Err(error) if is_no_packet(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn give(device: &mut File, direction: &mut Direction) -> io::Result<()> {
    while let Some(packet) = direction.give(Instant::now()) {
        match device.write(&packet) {
            // What the far end does not take is lost.
            Ok(_) => {}
            Err(error) if is_no_packet(&error) => {}
            Err(error) => return Err(error),
        }
        direction.reuse(packet);
    }
    Ok(())
}

/// Nothing there, no room, or the device is down.
fn is_no_packet(error: &io::Error) -> bool {
    let device = [Errno::EIO, Errno::EBADFD, Errno::EINVAL, Errno::ENOBUFS].map(|errno| errno as i32);
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
        || error.raw_os_error().is_some_and(|number| device.contains(&number))
}

/// Waits for a packet, at most so long; whether the end was asked for.
fn wait(devices: &[File; 2], end: &SignalFd, longest: Duration) -> io::Result<bool> {
    let sources = [devices[0].as_fd(), devices[1].as_fd(), end.as_fd()];
    let mut waiting = sources.map(|source| PollFd::new(source, PollFlags::POLLIN));
    match ppoll(&mut waiting, Some(TimeSpec::from_duration(longest)), None) {
        Ok(_) => Ok(waiting[2].any().unwrap_or(true)),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn tell(directions: &[Direction; 2]) -> io::Result<()> {
    let [to, back] = directions.each_ref().map(|direction| {
        let counts = direction.counts();
        serde_json::json!({"packets": counts.packets, "lost": counts.lost, "dropped": counts.dropped, "late": counts.late})
    });
    writeln!(io::stderr(), "{}", serde_json::json!({"there": to, "back": back}))
}
