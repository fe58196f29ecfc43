//! One way to reach a room.

use sluse_protocol::courier::{AtZone, FileHead, NotKept};
use sluse_protocol::ids::{DatasetName, TransferId};
use sluse_protocol::path::DataPath;

/// The folder of a room in which bags lie that are not whole, where the target can make one visible in one step.
pub const INCOMING: &str = ".sluse-incoming";

/// Why a target cannot do what is asked of it: a sentence without names of files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(String);

impl Trouble {
    /// A sentence without names of files.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

/// What a target's answers are.
pub type Told<T> = Result<T, Trouble>;

/// Which bag a connection is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bag {
    /// The transfer.
    pub transfer: TransferId,
    /// Its dataset.
    pub dataset: DatasetName,
}

impl Bag {
    /// Where it stands when it is whole, in the room's folder.
    pub fn place(&self) -> String {
        format!("{}/{}", self.dataset, self.transfer)
    }
}

/// A bag in a target. Each of these is asked for by the request of the same name of [`sluse_protocol::courier::CourierRequest`], in that
/// order, and fails with a sentence when the target, or the way to it, does.
pub trait Target: Send {
    /// Whether the bag is visible.
    ///
    /// # Errors
    /// See the trait.
    fn open(&mut self, anew: bool) -> Told<bool>;

    /// One of the bag's files, before the first is begun: of a target that has them listed.
    ///
    /// # Errors
    /// See the trait; always where the target has nothing listed.
    fn list(&mut self, _file: FileHead) -> Told<()> {
        Err(Trouble::new("this target has nothing listed"))
    }

    /// Begins a file; so many of its bytes are there.
    ///
    /// # Errors
    /// See the trait.
    fn begin(&mut self, file: FileHead) -> Told<u64>;

    /// The file's next bytes.
    ///
    /// # Errors
    /// See the trait.
    fn put(&mut self, offset: u64, bytes: &[u8]) -> Told<()>;

    /// The file is whole.
    ///
    /// # Errors
    /// See the trait.
    fn end(&mut self) -> Told<()>;

    /// An empty folder.
    ///
    /// # Errors
    /// See the trait.
    fn folder(&mut self, path: &DataPath) -> Told<()>;

    /// Bytes of a file; none at its end.
    ///
    /// # Errors
    /// See the trait.
    fn read(&mut self, path: &DataPath, offset: u64) -> Told<Vec<u8>>;

    /// Makes the bag visible; what was not kept of it.
    ///
    /// # Errors
    /// See the trait.
    fn publish(&mut self) -> Told<Vec<NotKept>>;

    /// Where it is another landing zone: what that has signed of the visible bag.
    fn signed(&self) -> Option<AtZone> {
        None
    }

    /// A file beside the visible bag.
    ///
    /// # Errors
    /// See the trait.
    fn lay(&mut self, name: &DataPath, bytes: &[u8]) -> Told<()>;

    /// Removes the bag unless it is visible; whether it is.
    ///
    /// # Errors
    /// See the trait.
    fn withdraw(&mut self) -> Told<bool>;
}
