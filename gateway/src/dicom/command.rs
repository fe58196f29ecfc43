//! DIMSE commands (PS3.7): sets of elements in implicit little endian, of which a receiver needs few.

/// Bytes of the longest command: its elements are numbers, UIDs and titles.
pub const MAX_COMMAND: usize = 16 * 1024;

/// Codes of commands.
const C_STORE_RQ: u16 = 0x0001;
const C_STORE_RSP: u16 = 0x8001;
const C_ECHO_RQ: u16 = 0x0030;
const C_ECHO_RSP: u16 = 0x8030;

/// Says that no data set follows.
const NO_DATA_SET: u16 = 0x0101;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Whether somebody is there.
    Echo {
        /// The message's number.
        message: u16,
    },
    /// To store an image, which follows.
    Store {
        /// The message's number.
        message: u16,
        /// Of which kind the image is: its SOP class.
        class: String,
        /// Which one it is: its SOP instance UID.
        instance: String,
    },
}

/// How a command ended (PS3.7 annex C, PS3.4 table B.2-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Stored, durably; or somebody is there.
    Success,
    /// There is no space: to be tried again later.
    OutOfResources,
    /// The image is not what the command says.
    DoesNotMatch,
    /// The image cannot be read so far as is needed to know where it belongs.
    CannotUnderstand,
    /// The disk failed.
    ProcessingFailure,
}

impl Status {
    fn code(self) -> u16 {
        match self {
            Status::Success => 0x0000,
            Status::OutOfResources => 0xa700,
            Status::DoesNotMatch => 0xa900,
            Status::CannotUnderstand => 0xc000,
            Status::ProcessingFailure => 0x0110,
        }
    }
}

/// Reads a command; none when it is no request that is served here, or none at all.
pub fn read(mut set: &[u8]) -> Option<Request> {
    let (mut command, mut message, mut data_set, mut class, mut instance) = (None, None, None, None, None);
    while !set.is_empty() {
        let (head, rest) = set.split_first_chunk::<8>()?;
        let [group, zero, element @ ..] = [head[0], head[1], head[2], head[3]];
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (value, rest) = rest.split_at_checked(length)?;
        set = rest;
        if (group, zero) != (0, 0) {
            return None;
        }
        match u16::from_le_bytes(element) {
            0x0100 => command = number(value),
            0x0110 => message = number(value),
            0x0800 => data_set = number(value),
            0x0002 => class = uid(value),
            0x1000 => instance = uid(value),
            _ => {}
        }
    }
    match (command?, data_set? != NO_DATA_SET) {
        (C_ECHO_RQ, false) => Some(Request::Echo { message: message? }),
        (C_STORE_RQ, true) => Some(Request::Store { message: message?, class: class?, instance: instance? }),
        _ => None,
    }
}

fn number(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_le_bytes)
}

/// A UID (PS3.5 section 9.1): numbers divided by dots, at most 64 characters, padded to an even length.
pub fn uid(value: &[u8]) -> Option<String> {
    let value = value.strip_suffix(b"\0").or(value.strip_suffix(b" ")).unwrap_or(value);
    let good = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    if value.len() > 64 || !value.split(|byte| *byte == b'.').all(good) {
        return None;
    }
    String::from_utf8(value.to_vec()).ok()
}

/// The answer to C-ECHO.
pub fn echoed(message: u16) -> Vec<u8> {
    answer(&[
        (0x0002, padded(super::negotiation::VERIFICATION)),
        (0x0100, C_ECHO_RSP.to_le_bytes().into()),
        (0x0120, message.to_le_bytes().into()),
        (0x0800, NO_DATA_SET.to_le_bytes().into()),
        (0x0900, Status::Success.code().to_le_bytes().into()),
    ])
}

/// The answer to C-STORE.
pub fn stored(message: u16, class: &str, instance: &str, status: Status) -> Vec<u8> {
    answer(&[
        (0x0002, padded(class)),
        (0x0100, C_STORE_RSP.to_le_bytes().into()),
        (0x0120, message.to_le_bytes().into()),
        (0x0800, NO_DATA_SET.to_le_bytes().into()),
        (0x0900, status.code().to_le_bytes().into()),
        (0x1000, padded(instance)),
    ])
}

fn padded(uid: &str) -> Vec<u8> {
    let mut value = uid.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(0);
    }
    value
}

/// A command set: its elements ascend, and the first says how long the others are.
fn answer(elements: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut set = Vec::new();
    for (element, value) in elements {
        push(&mut set, *element, value);
    }
    let mut whole = Vec::with_capacity(set.len() + 12);
    // UIDs have at most 64 bytes: a set is short.
    push(&mut whole, 0x0000, &u32::try_from(set.len()).unwrap_or(u32::MAX).to_le_bytes());
    whole.extend(set);
    whole
}

fn push(set: &mut Vec<u8>, element: u16, value: &[u8]) {
    set.extend([0, 0]);
    set.extend(element.to_le_bytes());
    set.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    set.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(class: &str) -> Vec<u8> {
        answer(&[
            (0x0002, padded(class)),
            (0x0100, C_STORE_RQ.to_le_bytes().into()),
            (0x0110, 7u16.to_le_bytes().into()),
            (0x0700, 0u16.to_le_bytes().into()),
            (0x0800, 1u16.to_le_bytes().into()),
            (0x1000, padded("1.2.3")),
        ])
    }

    #[test]
    fn a_request_to_store_is_read() {
        let wanted = Request::Store { message: 7, class: "1.2.84".into(), instance: "1.2.3".into() };
        assert_eq!(read(&store("1.2.84")), Some(wanted));
    }

    #[test]
    fn what_is_cut_short_or_names_no_uid_is_no_request() {
        let whole = store("1.2.84");
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None, "{end}");
        }
        for wrong in ["", "1..2", "../../etc", "1.2.x", &"1".repeat(65)] {
            assert_eq!(read(&store(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let answer = stored(7, "1.2.84", "1.2.3", Status::OutOfResources);
        assert_eq!(answer[..8], [0, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(u32::from_le_bytes(*answer[8..].first_chunk().unwrap()) as usize, answer.len() - 12);
        assert!(answer.windows(10).any(|bytes| bytes == [0, 0, 0, 9, 2, 0, 0, 0, 0x00, 0xa7]));
    }
}
