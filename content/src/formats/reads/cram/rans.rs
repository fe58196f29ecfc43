//! rANS 4×8, as CRAM 3.0 packs blocks: four states in turn, frequencies of 12 bits, each byte by itself or by the one before it.
//! ("Range Asymmetric Numeral System", the specification's section 13.)

use super::blocks::Fields;

/// Bits of a state that tell a byte.
const BITS: u32 = 12;

/// The least state that takes no more bytes.
const LOW: u32 = 1 << 23;

/// Bytes by their frequencies.
struct Table {
    /// Where each byte's part begins, and how long it is.
    parts: [(u32, u32); 256],
    bytes: Vec<u8>,
}

/// What `data` unpacks to, which is of `length` bytes; none where it is damaged.
pub fn decode(data: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut input = Fields::new(data);
    let order = input.byte().ok()?;
    let (_packed, stated) = (input.four().ok()?, input.four().ok()?);
    if stated as usize != length {
        return None;
    }
    match order {
        _ if length == 0 => Some(Vec::new()),
        0 => by_itself(&mut input, length),
        1 => by_the_one_before(&mut input, length),
        _ => None,
    }
}

fn by_itself(input: &mut Fields<'_>, length: usize) -> Option<Vec<u8>> {
    let table = Table::read(input)?;
    let mut states = states(input)?;
    let mut out = Vec::with_capacity(length);
    for at in 0..length {
        out.push(table.next(&mut states[at % 4], input)?);
    }
    Some(out)
}

/// Each state has a quarter, and the last one what is left over.
fn by_the_one_before(input: &mut Fields<'_>, length: usize) -> Option<Vec<u8>> {
    let mut tables: Vec<Option<Table>> = (0..256).map(|_| None).collect();
    each_byte(input, |byte, input| {
        tables[usize::from(byte)] = Some(Table::read(input)?);
        Some(())
    })?;
    let mut states = states(input)?;
    let (quarter, mut before) = (length / 4, [0u8; 4]);
    let mut out = vec![0; length];
    let mut one = |state: usize, at: usize, before: &mut u8, input: &mut Fields<'_>| {
        let byte = tables[usize::from(*before)].as_ref()?.next(&mut states[state], input)?;
        (out[at], *before) = (byte, byte);
        Some(())
    };
    for at in 0..quarter {
        for (state, before) in before.iter_mut().enumerate() {
            one(state, at + state * quarter, before, input)?;
        }
    }
    for at in 4 * quarter..length {
        one(3, at, &mut before[3], input)?;
    }
    Some(out)
}

fn states(input: &mut Fields<'_>) -> Option<[u32; 4]> {
    let mut states = [0; 4];
    for state in &mut states {
        *state = input.four().ok()?;
    }
    Some(states)
}

/// Reads something for each byte that is there. Of those that follow each other only how many they are is said.
fn each_byte<'a>(input: &mut Fields<'a>, mut read: impl FnMut(u8, &mut Fields<'a>) -> Option<()>) -> Option<()> {
    let mut byte = input.byte().ok()?;
    let mut follow = 0;
    loop {
        read(byte, input)?;
        let before = byte;
        if follow > 0 {
            follow -= 1;
            byte = before.checked_add(1)?;
        } else {
            byte = input.byte().ok()?;
            if Some(byte) == before.checked_add(1) {
                follow = input.byte().ok()?;
            }
        }
        if byte == 0 {
            return Some(());
        }
    }
}

impl Table {
    fn read(input: &mut Fields<'_>) -> Option<Self> {
        let mut table = Self { parts: [(0, 0); 256], bytes: Vec::with_capacity(1 << BITS) };
        each_byte(input, |byte, input| {
            let (start, count) = (table.bytes.len(), input.number().ok()? as usize);
            if start + count > 1 << BITS {
                return None;
            }
            table.parts[usize::from(byte)] = (start as u32, count as u32);
            table.bytes.resize(start + count, byte);
            Some(())
        })?;
        Some(table)
    }

    fn next(&self, state: &mut u32, input: &mut Fields<'_>) -> Option<u8> {
        let low = *state & ((1 << BITS) - 1);
        let byte = *self.bytes.get(low as usize)?;
        let (start, count) = self.parts[usize::from(byte)];
        *state = count.checked_mul(*state >> BITS)?.checked_add(low.checked_sub(start)?)?;
        while *state < LOW {
            *state = *state << 8 | u32::from(input.byte().ok()?);
        }
        Some(byte)
    }
}
