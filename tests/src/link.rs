//! One direction of an emulated path: random loss, then a bounded queue before a bottleneck of fixed rate, then delay. Packets
//! keep their order. Time and bytes come in, packets that are due go out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a direction does to packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nature {
    /// From one end to the other, on top of waiting and being sent.
    pub delay: Duration,
    /// Share of packets that is lost at random, from 0 to below 1.
    pub loss: f64,
    /// Bits a second; `None` for no bound.
    pub rate: Option<u64>,
    /// Bytes that wait before the bottleneck at most; what comes then is dropped.
    pub queue: u64,
    /// Bytes of the largest packet that gets through; larger ones vanish, and nobody is told.
    pub largest: usize,
}

/// What happened to a direction's packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came in.
    pub packets: u64,
    /// Lost at random.
    pub lost: u64,
    /// Dropped at the full queue, or since they are too large.
    pub dropped: u64,
    /// Taken out more than two milliseconds after they were due: the relay was the bottleneck, not the path.
    pub late: u64,
}

/// A packet that is later than this was held up by the relay.
const LATE: Duration = Duration::from_millis(2);

/// Buffers that are kept for the next packets.
const SPARE: usize = 4096;

/// One direction.
#[derive(Debug)]
pub struct Direction {
    nature: Nature,
    chance: Chance,
    /// When the bottleneck has sent what it was given.
    free_at: Instant,
    line: VecDeque<(Instant, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    counts: Counts,
}

impl Direction {
    /// An idle direction; the same seed loses the same packets.
    pub fn new(nature: Nature, seed: u64, now: Instant) -> Self {
        let (line, spare) = (VecDeque::new(), Vec::new());
        Self { nature, chance: Chance::new(seed), free_at: now, line, spare, counts: Counts::default() }
    }

    /// Takes a packet in.
    pub fn take(&mut self, packet: &[u8], now: Instant) {
        self.counts.packets += 1;
        if self.chance.next() < self.nature.loss {
            self.counts.lost += 1;
            return;
        }
        if packet.len() > self.nature.largest {
            self.counts.dropped += 1;
            return;
        }
        let mut leaves = now;
        if let Some(rate) = self.nature.rate {
            let begins = self.free_at.max(now);
            let waiting = u128::from(rate) * (begins - now).as_nanos() / 8_000_000_000;
            if waiting + packet.len() as u128 > u128::from(self.nature.queue) {
                self.counts.dropped += 1;
                return;
            }
            leaves = begins + Duration::from_nanos(packet.len() as u64 * 8_000_000_000 / rate);
            self.free_at = leaves;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(packet);
        self.line.push_back((leaves + self.nature.delay, buffer));
    }

    /// When the next packet is due.
    pub fn due(&self) -> Option<Instant> {
        self.line.front().map(|(due, _)| *due)
    }

    /// Hands out the next packet that is due by `now`.
    pub fn give(&mut self, now: Instant) -> Option<Vec<u8>> {
        let due = self.due().filter(|due| *due <= now)?;
        self.counts.late += u64::from(now - due > LATE);
        self.line.pop_front().map(|(_, packet)| packet)
    }

    /// Takes a packet's buffer back.
    pub fn reuse(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE {
            self.spare.push(buffer);
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// Numbers that look random: xorshift64*, good enough to choose the packets that are lost.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next one, from 0 to below 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Nature = Nature { delay: Duration::ZERO, loss: 0.0, rate: None, queue: 0, largest: usize::MAX };

    #[test]
    fn the_share_of_lost_packets_is_the_one_asked_for() {
        let now = Instant::now();
        let mut direction = Direction::new(Nature { loss: 0.03, ..FREE }, 7, now);
        for _ in 0..200_000 {
            direction.take(&[0; 4], now);
            if let Some(packet) = direction.give(now) {
                direction.reuse(packet);
            }
        }
        let lost = direction.counts().lost;
        assert!((5_600..=6_400).contains(&lost), "{lost} of 200,000");
    }

    #[test]
    fn packets_wait_for_the_bottleneck_then_for_the_delay_and_what_does_not_fit_the_queue_is_dropped() {
        let now = Instant::now();
        // 1,000 bytes take a millisecond.
        let nature = Nature { delay: Duration::from_millis(10), rate: Some(8_000_000), queue: 10_000, ..FREE };
        let mut direction = Direction::new(nature, 1, now);
        for number in 0..20 {
            direction.take(&[number; 1000], now);
        }
        assert_eq!(direction.counts(), Counts { packets: 20, dropped: 10, ..Counts::default() });
        for number in 0..10u8 {
            let due = now + Duration::from_millis(11 + u64::from(number));
            assert_eq!(direction.give(due - Duration::from_nanos(1)), None);
            assert_eq!(direction.give(due).unwrap()[0], number);
        }
        assert_eq!(direction.give(now + Duration::from_secs(9)), None);
        assert_eq!(direction.counts().late, 0);
    }

    #[test]
    fn a_packet_that_the_relay_held_up_is_counted() {
        let now = Instant::now();
        let mut direction = Direction::new(FREE, 1, now);
        direction.take(&[1], now);
        assert!(direction.give(now + Duration::from_millis(3)).is_some());
        assert_eq!(direction.counts().late, 1);
    }
}
