//! Which blocks of a container hold text: names of reads, and tags of text.

use super::blocks::{Damaged, Fields};
use std::collections::BTreeSet;

/// Codecs that lead to a block.
const EXTERNAL: u32 = 1;
const LENGTH_AND_BYTES: u32 = 4;
const UP_TO_STOP: u32 = 5;

/// The numbers of the blocks with text, by the list at a container's start.
///
/// # Errors
/// When it is damaged.
pub fn texts(list: &[u8]) -> Result<BTreeSet<u32>, Damaged> {
    let mut list = Fields::new(list);
    part(&mut list)?;
    let mut texts = BTreeSet::new();
    let mut series = part(&mut list)?;
    for _ in 0..series.length()? {
        let name = series.take(2)?;
        let found = block(&mut series)?;
        texts.extend(found.filter(|_| name == b"RN"));
    }
    let mut tags = part(&mut list)?;
    for _ in 0..tags.length()? {
        // Two letters of the tag, and one of its type: Z for text, H for digits of it.
        let kind = tags.number()?.to_le_bytes()[0];
        let found = block(&mut tags)?;
        texts.extend(found.filter(|_| matches!(kind, b'Z' | b'H')));
    }
    Ok(texts)
}

/// A part with its length before it.
fn part<'a>(list: &mut Fields<'a>) -> Result<Fields<'a>, Damaged> {
    let length = list.length()?;
    Ok(Fields::new(list.take(usize::try_from(length).unwrap_or(usize::MAX))?))
}

/// The block to which an encoding leads, if it leads to one.
fn block(fields: &mut Fields<'_>) -> Result<Option<u32>, Damaged> {
    let codec = fields.number()?;
    let mut parameters = part(fields)?;
    match codec {
        EXTERNAL => parameters.number().map(Some),
        UP_TO_STOP => {
            parameters.byte()?;
            parameters.number().map(Some)
        }
        LENGTH_AND_BYTES => {
            let _lengths = (parameters.number()?, part(&mut parameters)?);
            let (codec, mut bytes) = (parameters.number()?, part(&mut parameters)?);
            if codec == EXTERNAL { bytes.number().map(Some) } else { Ok(None) }
        }
        _ => Ok(None),
    }
}
