//! Finds the pieces of a base in a new version, and makes the recipe that follows.
//!
//! A recipe goes through the base once, so of the pieces that both have the longest run counts that ascends in both: what was moved
//! travels again.

use super::pieces::Piece;
use super::recipe::{MAX_STEPS, Step};
use crate::digest::ChunkDigest;
use std::collections::HashMap;

/// Equal pieces of the base that are looked at for one of the new version's: a base of one piece again and again costs no more.
const EQUALS: usize = 32;

/// No piece.
const NONE: u32 = u32::MAX;

/// The steps that make the new version's stream from the base's; none when there would be too many of them.
pub fn steps(base: &[Piece], new: &[Piece]) -> Option<Vec<Step>> {
    let found = ascending(&candidates(base, new));
    let starts = starts(base);
    let mut steps: Vec<Step> = Vec::new();
    let (mut literal, mut at) = (0, 0);
    for (number, piece) in new.iter().enumerate() {
        let length = u64::from(piece.length);
        let Some((_, same)) = found.get(at).filter(|(new, _)| *new == number) else {
            literal += length;
            continue;
        };
        at += 1;
        let from = starts[*same as usize];
        match steps.last_mut() {
            Some(last) if literal == 0 && last.from + last.copy == from => last.copy += length,
            _ => steps.push(Step { literal: std::mem::take(&mut literal), from, copy: length }),
        }
    }
    if literal > 0 {
        steps.push(Step { literal, from: 0, copy: 0 });
    }
    (steps.len() <= MAX_STEPS).then_some(steps)
}

fn starts(pieces: &[Piece]) -> Vec<u64> {
    let mut end = 0;
    let start = |piece: &Piece| {
        end += u64::from(piece.length);
        end - u64::from(piece.length)
    };
    pieces.iter().map(start).collect()
}

/// For each piece of the new version one of the base's with the same bytes: the one behind the piece before it, if that is one of
/// them, else the next one, else the first.
fn candidates(base: &[Piece], new: &[Piece]) -> Vec<u32> {
    let mut firsts: HashMap<&ChunkDigest, u32> = HashMap::with_capacity(base.len());
    // From each piece to the next one with the same bytes.
    let mut nexts = vec![NONE; base.len()];
    for (number, piece) in base.iter().enumerate().rev() {
        if let Some(next) = firsts.insert(&piece.digest, number as u32) {
            nexts[number] = next;
        }
    }
    let mut before: Option<u32> = None;
    let mut candidate = |piece: &Piece| {
        let behind = before.map_or(0, |before| before + 1);
        let follows = base.get(behind as usize).is_some_and(|next| next.digest == piece.digest);
        let found = if follows {
            behind
        } else {
            let first = firsts.get(&piece.digest).copied()?;
            let equals =
                std::iter::successors(Some(first), |at| Some(nexts[*at as usize]).filter(|next| *next != NONE));
            equals.take(EQUALS).find(|at| *at >= behind).unwrap_or(first)
        };
        before = Some(found);
        Some(found)
    };
    new.iter().map(|piece| candidate(piece).unwrap_or(NONE)).collect()
}

/// Of the candidates the longest run that strictly ascends: numbers of the new version's pieces, and of the base's.
fn ascending(candidates: &[u32]) -> Vec<(usize, u32)> {
    // `ends[n]` is where the run of n + 1 ends that ends lowest; `before` leads back through each.
    let (mut ends, mut before) = (Vec::<usize>::new(), vec![usize::MAX; candidates.len()]);
    for (number, candidate) in candidates.iter().enumerate().filter(|(_, candidate)| **candidate != NONE) {
        let place = ends.partition_point(|end| candidates[*end] < *candidate);
        if let Some(shorter) = place.checked_sub(1) {
            before[number] = ends[shorter];
        }
        match ends.get_mut(place) {
            Some(end) => *end = number,
            None => ends.push(number),
        }
    }
    let last = ends.last().copied();
    let run = std::iter::successors(last, |number| Some(before[*number]).filter(|before| *before != usize::MAX));
    let mut run: Vec<_> = run.map(|number| (number, candidates[number])).collect();
    run.reverse();
    run
}

#[cfg(test)]
mod tests {
    use super::super::pieces::Cutter;
    use super::super::recipe::{Recipe, Sizes, encode};
    use super::*;
    use proptest::prelude::*;

    fn cut(bytes: &[u8]) -> Vec<Piece> {
        let mut cutter = Cutter::new(64);
        cutter.push(bytes);
        cutter.finish()
    }

    /// Puts a version together as a zone does, from what would travel.
    fn rebuilt(base: &[u8], new: &[u8]) -> (Vec<u8>, usize) {
        let steps = steps(&cut(base), &cut(new)).unwrap();
        let mut literals = Vec::new();
        let mut at = 0;
        for step in &steps {
            literals.extend_from_slice(&new[at..at + step.literal as usize]);
            at += (step.literal + step.copy) as usize;
        }
        let sizes = Sizes { base: base.len() as u64, version: new.len() as u64, literal: literals.len() as u64 };
        let recipe = if new.is_empty() { None } else { Some(Recipe::read(&encode(&steps), sizes).unwrap()) };
        let (mut made, mut rest) = (Vec::new(), literals.as_slice());
        for step in recipe.iter().flat_map(Recipe::steps) {
            let (now, later) = rest.split_at(step.literal as usize);
            made.extend_from_slice(now);
            made.extend_from_slice(&base[step.from as usize..][..step.copy as usize]);
            rest = later;
        }
        (made, literals.len())
    }

    fn rows(range: std::ops::Range<u32>) -> Vec<u8> {
        range.flat_map(|row| format!("{row},{},visit\n", row.wrapping_mul(2_654_435_761)).into_bytes()).collect()
    }

    #[test]
    fn of_one_changed_row_little_travels_and_of_moved_rows_those_that_moved() {
        let base = rows(0..5000);
        let mut changed = base.clone();
        changed[40_000] ^= 1;
        let (made, literals) = rebuilt(&base, &changed);
        assert!(made == changed && literals < 1000, "{literals}");
        let moved = [rows(4000..4200), rows(0..4000), rows(4200..5000)].concat();
        let (made, literals) = rebuilt(&base, &moved);
        assert!(made == moved && literals < 6000, "{literals}");
        assert_eq!(rebuilt(&base, &base).1, 0);
    }

    #[test]
    fn a_base_of_one_piece_again_and_again_is_no_trouble() {
        let (base, new) = (vec![0; 400_000], vec![0; 500_000]);
        let (made, literals) = rebuilt(&base, &new);
        assert!(made == new && literals <= 101_000, "{literals}");
    }

    proptest! {
        #[test]
        fn what_is_put_together_is_the_new_version(
            seed in any::<u32>(),
            edits in proptest::collection::vec((0..3u8, 0.0..1.0f64, 0..400usize), 0..6),
        ) {
            let base = rows(seed % 1000..seed % 1000 + 300);
            let mut new = base.clone();
            for (kind, place, length) in edits {
                let at = (place * new.len() as f64) as usize;
                let end = (at + length).min(new.len());
                match kind {
                    0 => drop(new.drain(at..end)),
                    1 => drop(new.splice(at..at, rows(7_000_000..7_000_000 + length as u32 / 10))),
                    _ => new[at..end].iter_mut().for_each(|byte| *byte ^= 0x55),
                }
            }
            prop_assert!(rebuilt(&base, &new).0 == new);
        }
    }
}
