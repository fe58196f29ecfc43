//! What is gathered so far, for whoever wants to know how the spool stands.

use super::{File, Gatherer, Group, ParcelName};
use sluse_protocol::ids::AgreementId;

/// A group that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open<'g> {
    /// Its flow.
    pub flow: &'g AgreementId,
    /// What it is gathered by.
    pub group: &'g str,
    /// Files that are whole.
    pub files: usize,
    /// Files that are not.
    pub unfinished: usize,
    /// Bytes of both.
    pub bytes: u64,
    /// The parcel of it that came last.
    pub latest: &'g ParcelName,
}

/// Files in inboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InInboxes {
    /// How many.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Gatherer {
    /// The groups that are open.
    pub fn open(&self) -> impl Iterator<Item = Open<'_>> {
        self.groups.iter().filter_map(|((flow, name), group)| group.open(flow, name))
    }

    /// What lies in inboxes.
    pub fn in_inboxes(&self) -> InInboxes {
        let files = self.pool.files();
        files.fold(InInboxes { files: 0, bytes: 0 }, |sum, file| InInboxes {
            files: sum.files + 1,
            bytes: sum.bytes + file.bytes(),
        })
    }
}

impl Group {
    /// How it stands; none where no parcel of it counts any more.
    fn open<'g>(&'g self, flow: &'g AgreementId, group: &'g str) -> Option<Open<'g>> {
        let parcels = self.files.values().flat_map(|file| &file.parts).map(|part| &part.parcel);
        // Parcels' names ascend.
        let latest = parcels.chain(&self.words).max()?;
        let unfinished = self.files.values().filter(|file| file.ends.is_none()).count();
        let bytes = self.files.values().map(File::bytes).sum();
        Some(Open { flow, group, files: self.files.len() - unfinished, unfinished, bytes, latest })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::super::*;
    use super::*;

    #[test]
    fn what_is_open_is_told_with_the_parcel_that_came_last() {
        let mut gatherer = gatherer();
        gatherer.arrived("1".into(), part(1, 0, 5, Some("a")), at(0));
        gatherer.arrived("2".into(), part(2, 0, 7, None), at(0));
        gatherer.arrived("3".into(), tail("lab", 9, Says::Inbox { file: id(3), offset: 0 }), at(0));
        let flow = "ct".parse().unwrap();
        let latest = "2".to_owned();
        let wanted = Open { flow: &flow, group: "study", files: 1, unfinished: 1, bytes: 12, latest: &latest };
        assert_eq!(gatherer.open().collect::<Vec<_>>(), [wanted]);
        assert_eq!(gatherer.in_inboxes(), InInboxes { files: 1, bytes: 9 });
        gatherer.arrived("4".into(), part(2, 7, 0, Some("b")), at(1));
        gatherer.tick(at(1_000_000));
        assert_eq!(gatherer.open().count(), 0, "what was closed is not open");
    }
}
