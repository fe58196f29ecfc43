//! What arrived of an outbox, held against what was put there.

use crate::command::{run, sluse};
use crate::outbox::Outbox;
use crate::zone::{PATIENCE, Zone, eventually, text};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

impl Outbox {
    /// The entries that were put away as delivered, with their transfers; each once.
    #[track_caller]
    pub fn delivered(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for record in list(&self.folder.join("_delivered")) {
            let places = list(&record);
            let Some(receipts) = places.iter().find(|place| is_receipts(place)) else { continue };
            let Some(entry) = places.iter().find(|place| !is_receipts(place)) else { continue };
            let delivered = |receipt: &PathBuf| name(receipt).strip_suffix(".delivered.json").map(str::to_owned);
            if let Some(transfer) = list(receipts).iter().filter_map(delivered).next_back() {
                assert!(found.insert(name(entry), transfer).is_none(), "{} was put away twice", entry.display());
            }
        }
        found
    }

    /// Waits until so many entries were put away as delivered. Whatever takes long must at least go on.
    #[track_caller]
    pub fn wait_for_all(&self, zone: &Zone, count: usize) {
        let log = || format!("{}\n{}\n{}", self.log(), zone.log(), zone.held());
        let mut last = self.delivered().len();
        while last < count {
            last = eventually(&format!("more than {last} of {count} are put away"), PATIENCE * 3, log, || {
                let now = self.delivered().len();
                (now > last).then_some(now)
            });
        }
    }

    /// Every entry of `sent` arrived once, byte for byte, with receipts that verify, nothing else arrived, and nothing lies in the outbox.
    #[track_caller]
    pub fn check_all(&self, zone: &Zone, sent: &BTreeMap<String, Vec<u8>>) {
        let delivered = self.delivered();
        assert_eq!(delivered.keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>());
        for (name, transfer) in &delivered {
            let folder = zone.room().join(name);
            let bags: Vec<PathBuf> = list(&folder).into_iter().filter(|bag| bag.join("data").exists()).collect();
            assert_eq!(bags, [folder.join(transfer)], "{name} arrived once");
            assert!(fs::read(bags[0].join("data").join(name)).unwrap() == sent[name], "{name} arrived byte for byte");
        }
        let records = list(&self.folder.join("_delivered")).into_iter().flat_map(|record| list(&record));
        let receipts: Vec<PathBuf> = records
            .filter(|place| is_receipts(place))
            .flat_map(|receipts| list(&receipts))
            .filter(|receipt| receipt.extension().is_some_and(|end| end == "json"))
            .collect();
        assert!(receipts.len() >= sent.len() * 3, "received, released and delivered of each");
        for some in receipts.chunks(200) {
            let mut command = sluse(&["receipt", "verify", "--signer", text(&zone.signers())]);
            command.args(some);
            run(command).expect(0);
        }
        assert_eq!(list(&self.folder), [self.folder.join("_delivered")], "nothing is left behind");
    }
}

fn is_receipts(place: &Path) -> bool {
    name(place).ends_with(".receipts")
}

fn name(path: &Path) -> String {
    path.file_name().expect("a listed path").to_str().expect("names of tests").to_owned()
}

/// What lies in a folder, in order; nothing where there is no folder yet.
fn list(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()).collect();
    found.sort();
    found
}
