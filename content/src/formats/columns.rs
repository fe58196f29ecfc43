//! The columns of a table: their names, whether the agreement has them, and what was found in them.

use super::small_cells::SmallCells;
use crate::identifiers::{Place, Tally, Token, meant_for_numbers, printable};
use crate::policy::Policy;
use crate::reader::{Notice, Sink};
use sluse_protocol::finding::Class;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Columns of a table; what lies beyond is weighed together, and the table is malformed.
pub const MAX_COLUMNS: usize = 100_000;

/// Bytes of one column's name, and of all of them together.
const NAME_BYTES: usize = 300;
const NAMES_BYTES: usize = 8 << 20;

/// Columns outside of the agreement that are named; the others are counted.
const TOLD: usize = 10;

/// Tokens of the first row that are weighed in their own columns, once these are known.
const FIRST_ROW_TOKENS: usize = 1000;

/// The columns of one table. Names come first, piece by piece; then [`Columns::begin`].
pub struct Columns {
    policy: Arc<Policy>,
    names: Vec<Vec<u8>>,
    name: Vec<u8>,
    /// Columns of which more than their names says that they are made for numbers.
    meant: BTreeSet<usize>,
    /// Columns that are not there.
    absent: BTreeSet<usize>,
    /// Whether the names are no values, whatever they look like.
    certain: bool,
    bytes: usize,
    count: usize,
    tally: Option<Tally>,
    places: Vec<Place>,
    /// What was found before the columns were known.
    first: Vec<(usize, [u8; 11], u64)>,
    /// Where small counts are looked for.
    small: Option<SmallCells>,
    /// What columns are called in what is told of those.
    titles: Vec<Option<String>>,
}

impl Columns {
    /// Columns under `policy`.
    pub fn new(policy: &Arc<Policy>) -> Self {
        Self {
            policy: policy.clone(),
            names: Vec::new(),
            name: Vec::new(),
            meant: BTreeSet::new(),
            absent: BTreeSet::new(),
            certain: false,
            bytes: 0,
            count: 0,
            tally: policy.identifiers.clone().map(Tally::new),
            places: Vec::new(),
            first: Vec::new(),
            small: SmallCells::of(policy),
            titles: Vec::new(),
        }
    }

    /// Columns under `policy` that a file names as such, and not by its first row.
    pub fn of_variables(policy: &Arc<Policy>) -> Self {
        Self { certain: true, ..Self::new(policy) }
    }

    /// The next column's name, and what a label says of it.
    pub fn variable(&mut self, name: &[u8], label: &[u8]) {
        if meant_for_numbers(label) {
            self.meant.insert(self.names.len());
        }
        self.name_piece(name);
        self.name_ends();
    }

    /// In the place of the next column there is none.
    pub fn no_column(&mut self) {
        self.absent.insert(self.names.len());
        self.name_ends();
    }

    /// Whether identifiers are looked for.
    pub fn weighs(&self) -> bool {
        self.tally.is_some()
    }

    /// Whether small counts are looked for.
    pub fn counts(&self) -> bool {
        self.small.is_some()
    }

    /// A piece of a cell's value, in which a small count may stand.
    pub fn cell_piece(&mut self, bytes: &[u8]) {
        if let Some(small) = &mut self.small {
            small.piece(bytes);
        }
    }

    /// The cell's value is whole; it stands in this row, from 1 on.
    pub fn cell_ends(&mut self, column: usize, row: u64) {
        if let Some(small) = &mut self.small {
            small.ends(column, row);
        }
    }

    /// The small counts of a table that were found elsewhere.
    pub fn with_small(&mut self, small: Option<SmallCells>) {
        self.small = small;
    }

    /// Columns that the table has.
    pub fn count(&self) -> usize {
        self.count
    }

    /// A piece of the next column's name.
    pub fn name_piece(&mut self, bytes: &[u8]) {
        let room = NAME_BYTES.saturating_sub(self.name.len()).min(bytes.len());
        self.name.extend_from_slice(&bytes[..room]);
    }

    /// The next column's name is whole.
    pub fn name_ends(&mut self) {
        self.bytes += self.name.len() + size_of::<Vec<u8>>();
        if self.bytes <= NAMES_BYTES && self.names.len() < MAX_COLUMNS {
            self.names.push(self.name.clone());
        }
        self.name.clear();
    }

    /// What came was no row.
    pub fn forget_names(&mut self) {
        self.names.clear();
        self.name.clear();
        self.bytes = 0;
    }

    /// All names have come, or as many as are kept: the table has `count` columns.
    pub fn begin(&mut self, count: usize, sink: &mut dyn Sink) {
        self.count = count;
        let header = self.certain || self.names.iter().all(|name| printable(name).is_some());
        let names = std::mem::take(&mut self.names);
        if let Some(allowed) = &self.policy.columns {
            let agreed = |name: &&Vec<u8>| std::str::from_utf8(name).is_ok_and(|name| allowed.contains(name.trim()));
            let other: Vec<usize> = (0..count)
                .filter(|at| !self.absent.contains(at) && names.get(*at).as_ref().is_none_or(|name| !agreed(name)))
                .collect();
            for at in other.iter().take(TOLD) {
                let message = match names.get(*at).and_then(|name| printable(name)).filter(|_| header) {
                    Some(name) => format!("column {} ({name}) is not in the agreement's list", at + 1),
                    None => format!("column {} has no name that the agreement's list has", at + 1),
                };
                sink.notice(Notice { class: Class::ColumnNotAgreed, offset: None, message });
            }
            if let Some(more @ 1..) = other.len().checked_sub(TOLD) {
                let message = format!("{more} more columns are not in the agreement's list");
                sink.notice(Notice { class: Class::ColumnNotAgreed, offset: None, message });
            }
        }
        if self.small.is_some() {
            self.titles = names.iter().map(|name| printable(name).filter(|_| header)).collect();
        }
        let Some(tally) = &mut self.tally else { return };
        for (at, name) in names.iter().enumerate() {
            let shown = match printable(name).filter(|_| header) {
                Some(name) => format!("column {} ({name})", at + 1),
                None => format!("column {}", at + 1),
            };
            let meant = meant_for_numbers(name) || self.meant.contains(&at);
            self.places.push(tally.place(&shown, header && meant));
        }
        for (column, digits, offset) in std::mem::take(&mut self.first) {
            self.weigh(column, &digits, offset);
        }
    }

    /// Takes what stood in a column, in a value that began `field` bytes from the start of the file.
    pub fn take(&mut self, column: usize, token: &Token, field: u64) {
        let offset = field + token.offset;
        if self.count == 0 && self.first.len() < FIRST_ROW_TOKENS {
            self.first.push((column, token.digits, offset));
        } else {
            self.weigh(column, &token.digits, offset);
        }
    }

    fn weigh(&mut self, column: usize, digits: &[u8; 11], offset: u64) {
        let Some(tally) = &mut self.tally else { return };
        let place = match self.places.get(column) {
            Some(place) => *place,
            None => tally.place("the columns beyond", false),
        };
        tally.take(place, digits, offset);
    }

    /// Counts eleven digits of a column that are no number.
    pub fn miss(&mut self, column: usize, count: u64) {
        if let (Some(tally), Some(place)) = (&mut self.tally, self.places.get(column)) {
            tally.miss(*place, count);
        }
    }

    /// Tells what was found.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        for (column, digits, offset) in std::mem::take(&mut self.first) {
            self.weigh(column, &digits, offset);
        }
        if let Some(tally) = &mut self.tally {
            tally.finish(sink);
        }
        if let Some(small) = &self.small {
            small.tell(|at| self.title(at), sink);
        }
    }

    fn title(&self, at: usize) -> String {
        match self.titles.get(at) {
            Some(Some(name)) => format!("column {} ({name})", at + 1),
            _ => format!("column {}", at + 1),
        }
    }
}
