//! Finds the eleven digits of a number in a value that streams by.
//!
//! A token is eleven digits in a row (or six, one space, five) whose neighbours are no digit, no letter and none of
//! `. - / : +`: within longer words and numbers chance makes valid numbers, elsewhere hardly. A mark after the digits with
//! no letter or digit behind it ends a sentence, and is no such neighbour; nor is a colon before them that follows a letter
//! (`fnr:`). Six and five digits must not stand in a row of
//! numbers separated by spaces, either.

/// Digits of a number.
const DIGITS: usize = 11;

/// Bytes before a token's first digit that are looked at: its neighbour, and what stands before a space.
const BEFORE: usize = 2;

/// Bytes from a token's first digit on that are looked at: six digits, a space, five digits, and two neighbours.
const AHEAD: usize = 6 + 1 + 5 + 2;

/// Bytes that are kept of a value between feeds.
const KEPT: usize = BEFORE + AHEAD;

/// Eleven digits that may be a number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The digits, in ASCII.
    pub digits: [u8; DIGITS],
    /// Where the first one stands, bytes from the start of the value.
    pub offset: u64,
}

/// Digits are personal: they are never shown.
impl std::fmt::Debug for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Token").field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// Finds tokens in values that come in pieces of any length.
#[derive(Clone)]
pub struct Scanner {
    /// The last bytes of the value so far: what is decided already and serves as context, then what is not decided.
    kept: [u8; 2 * KEPT],
    length: usize,
    decided: usize,
    /// Offset of `kept` in the value.
    offset: u64,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Scanner").finish_non_exhaustive()
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self { kept: [0; 2 * KEPT], length: 0, decided: 0, offset: 0 }
    }
}

impl Scanner {
    /// Whether a value has begun.
    pub fn in_value(&self) -> bool {
        self.length > 0
    }

    /// Takes the next bytes of the value.
    pub fn feed(&mut self, piece: &[u8], found: &mut impl FnMut(Token)) {
        let taken = piece.len().min(KEPT);
        self.keep(&piece[..taken]);
        let decidable = self.length.saturating_sub(AHEAD).max(self.decided);
        scan(&self.kept[..self.length], self.decided..decidable, self.offset, found);
        self.decided = decidable;
        let before = self.offset + self.length as u64 - taken as u64;
        if taken < piece.len() {
            // `kept` ends with `taken` bytes of the piece: the rest is decided where it lies.
            let decidable = piece.len() - AHEAD;
            scan(piece, taken - AHEAD..decidable, before, found);
            let start = decidable - BEFORE;
            self.length = 0;
            self.keep(&piece[start..]);
            (self.offset, self.decided) = (before + start as u64, BEFORE);
        } else {
            let useless = self.decided.saturating_sub(BEFORE);
            self.kept.copy_within(useless..self.length, 0);
            self.length -= useless;
            self.decided -= useless;
            self.offset += useless as u64;
        }
    }

    /// The value ends here.
    pub fn end(&mut self, found: &mut impl FnMut(Token)) {
        scan(&self.kept[..self.length], self.decided..self.length, self.offset, found);
        (self.length, self.decided, self.offset) = (0, 0, 0);
    }

    /// Appends at most [`KEPT`] bytes; so many are free between feeds.
    fn keep(&mut self, bytes: &[u8]) {
        self.kept[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

/// Finds the tokens of a whole value.
pub fn scan_whole(value: &[u8], found: &mut impl FnMut(Token)) {
    if value.len() >= DIGITS {
        scan(value, 0..value.len(), 0, found);
    }
}

/// Finds the tokens whose first digit lies in `starts`. The window holds their context, unless the value begins or ends there.
fn scan(window: &[u8], starts: std::ops::Range<usize>, offset: u64, found: &mut impl FnMut(Token)) {
    let mut at = starts.start;
    // A run that began before is not ours.
    if at > 0 && digit(window, at - 1) {
        while digit(window, at) {
            at += 1;
        }
    }
    while at < starts.end {
        // Of six digits in a row one stands at every sixth place.
        if !digit(window, at + 5) {
            if at + 5 >= window.len() {
                return;
            }
            at += 6;
            continue;
        }
        let mut first = at + 5;
        while first > at && digit(window, first - 1) {
            first -= 1;
        }
        let mut end = at + 6;
        while digit(window, end) {
            end += 1;
        }
        if first < starts.end
            && let Some(digits) = token(window, first, end)
        {
            found(Token { digits, offset: offset + first as u64 });
        }
        at = end + 1;
    }
}

fn digit(window: &[u8], at: usize) -> bool {
    window.get(at).is_some_and(u8::is_ascii_digit)
}

/// The token of the digits from `first` to `end`, if they are one.
fn token(window: &[u8], first: usize, end: usize) -> Option<[u8; DIGITS]> {
    let before = |distance: usize| first.checked_sub(distance).and_then(|at| window.get(at)).copied();
    let labelled = before(1) == Some(b':') && before(2).is_some_and(|byte| byte.is_ascii_alphabetic());
    if before(1).is_some_and(joins) && !labelled {
        return None;
    }
    match end - first {
        DIGITS => {
            let digits = window.get(first..end)?.try_into().ok()?;
            (!goes_on(window, end)).then_some(digits)
        }
        6 if window.get(end) == Some(&b' ') => {
            let five = window.get(end + 1..end + 6)?;
            let after = |distance: usize| window.get(end + 5 + distance).copied();
            let in_a_row = |near: Option<u8>, far: Option<u8>| {
                matches!(near, Some(b' ' | b'\t')) && far.is_some_and(|byte| byte.is_ascii_digit())
            };
            let alone =
                !after(1).is_some_and(joins) && !in_a_row(before(1), before(2)) && !in_a_row(after(1), after(2));
            if !alone || !five.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let mut digits = [0; DIGITS];
            digits[..6].copy_from_slice(window.get(first..end)?);
            digits[6..].copy_from_slice(five);
            Some(digits)
        }
        _ => None,
    }
}

/// Whether what stands at the end of digits makes them part of something longer.
fn goes_on(window: &[u8], end: usize) -> bool {
    let (Some(&mark), next) = (window.get(end), window.get(end + 1)) else { return false };
    joins(mark) && (mark.is_ascii_alphanumeric() || mark >= 128 || next.is_some_and(|next| joins(*next)))
}

/// Whether a neighbour makes digits part of something longer. Bytes past ASCII are letters of UTF-8 and Latin-1.
fn joins(byte: u8) -> bool {
    JOINS[byte as usize]
}

const JOINS: [bool; 256] = {
    let mut joins = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let ascii = byte as u8;
        joins[byte] = byte >= 128 || ascii.is_ascii_alphanumeric() || matches!(ascii, b'.' | b'-' | b'/' | b':' | b'+');
        byte += 1;
    }
    joins
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &[u8]) -> Vec<Token> {
        let mut tokens = Vec::new();
        scan_whole(text, &mut |token| tokens.push(token));
        tokens
    }

    fn pieces(text: &[u8], cuts: &[usize]) -> Vec<Token> {
        let (mut tokens, mut scanner, mut from) = (Vec::new(), Scanner::default(), 0);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.sort_unstable();
        for cut in cuts.into_iter().chain([text.len()]) {
            scanner.feed(&text[from..cut], &mut |token| tokens.push(token));
            from = cut;
        }
        scanner.end(&mut |token| tokens.push(token));
        tokens
    }

    #[test]
    fn eleven_digits_count_only_where_their_neighbours_are_none_of_theirs() {
        for text in [
            "12345678901",
            " 12345678901 ",
            "(12345678901)",
            "fnr=12345678901,",
            "123456 78901",
            "x 123456 78901 y",
            "se 12345678901.",
            "12345678901: x",
            "12345678901 -",
            "fnr:12345678901",
            "fnr:123456 78901;",
        ] {
            assert_eq!(whole(text.as_bytes()).len(), 1, "{text}");
            assert_eq!(&whole(text.as_bytes())[0].digits, b"12345678901");
        }
        let not = [
            "123456789012",
            "0.12345678901",
            "12345678901.5",
            "-12345678901",
            "a12345678901",
            "12345678901b",
            "1:12345678901",
            "fnr::12345678901",
            "12345678901/2",
            "+12345678901",
            "ø12345678901",
            "123456  78901",
            "1 123456 78901",
            "123456 78901 2",
            "123456 789012",
            "1234567 8901",
            "123456\t78901",
            "",
        ];
        for text in not {
            assert_eq!(whole(text.as_bytes()), [], "{text}");
        }
    }

    #[test]
    fn the_digits_of_a_token_are_not_shown() {
        let shown = format!("{:?} {:?}", whole(b"12345678901"), {
            let mut scanner = Scanner::default();
            scanner.feed(b"12345678901", &mut |_| ());
            scanner
        });
        assert!(!shown.contains("1234") && !shown.contains("49, 50"), "{shown}");
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(
            text in "([0-9]{4,14}|[0-9]{6} [0-9]{5}|[ .,;a]){0,12}",
            long in "[a-z ]{0,60}",
            cuts in proptest::collection::vec(any::<usize>(), 0..40),
        ) {
            let text = format!("{text}{long}{text}");
            prop_assert_eq!(pieces(text.as_bytes(), &cuts), whole(text.as_bytes()));
            let every: Vec<usize> = (0..text.len()).collect();
            prop_assert_eq!(pieces(text.as_bytes(), &every), whole(text.as_bytes()));
        }

        #[test]
        fn a_lone_number_is_found_wherever_it_stands(before in "[ ,;\n]{0,40}", number in "[0-9]{11}", after in "[ ,;\n]{0,40}") {
            let tokens = whole(format!("{before}{number}{after}").as_bytes());
            prop_assert_eq!(tokens.len(), 1);
            prop_assert_eq!(&tokens[0].digits[..], number.as_bytes());
            prop_assert_eq!(tokens[0].offset, before.len() as u64);
        }

        #[test]
        fn any_bytes_in_any_pieces_are_the_same_as_whole(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'1'), Just(b' ')], 0..200),
            cuts in proptest::collection::vec(any::<usize>(), 0..9),
        ) {
            prop_assert_eq!(pieces(&bytes, &cuts), whole(&bytes));
        }
    }
}
