//! Each system call by which `control` takes a purge down, failed once.

use crate::control::inspections;
use crate::control::shared::Control;
use crate::control::store::{receipts, transfers};
use crate::control::testing::*;
use crate::traced::{self, Traced};
use sluse_protocol::ids::TransferId;
use sluse_protocol::receipt::ReceiptKind;
use sluse_protocol::roles::Role;
use sluse_protocol::transfer::State;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// The zone when the purge is due.
fn when_due(folder: &Path) -> Control {
    open(folder, &Arc::new(AtomicI64::new(START + 31 * DAY))).unwrap()
}

fn take_down(control: &Control, transfer: &TransferId) -> Result<(), crate::control::failure::Failure> {
    let link = control.live.connect(Role::Inspect);
    control.work.open(link);
    inspections::purged(control, link, transfer)
}

/// Whether the purge stands: state and receipt together, or neither.
fn stands(control: &Control, transfer: &TransferId) -> bool {
    let state = control.store.read(|sql| transfers::get(sql, transfer)).unwrap().state;
    let receipt = control.store.read(|sql| receipts::find(sql, transfer, ReceiptKind::Purged)).unwrap();
    assert_eq!(state == State::Purged, receipt.is_some(), "{state}");
    receipt.is_some()
}

#[test]
fn each_call_that_fails_over_a_purge_leaves_it_whole_or_undone_and_the_next_attempt_ends_it() {
    if let Some(task) = traced::task() {
        let (control, transfer) = (when_due(Path::new(&task[0])), task[1].parse().unwrap());
        return traced::act(|| take_down(&control, &transfer));
    }
    let bench = Bench::new();
    let transfer = bench.delivered(&Dataset::default());
    let plan = |folder: &Path| bench_documents(folder).join(format!("{transfer}.plan"));
    let delivered = bench.stop();
    assert!(plan(delivered.path()).exists());
    let prepare = || {
        let folder = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-a").arg(delivered.path().join(".")).arg(folder.path()).status();
        assert!(copied.unwrap().success());
        let words = vec![folder.path().to_str().unwrap().to_owned(), transfer.to_string()];
        (folder, words)
    };
    let test = Traced {
        test: concat!(
            module_path!(),
            "::each_call_that_fails_over_a_purge_leaves_it_whole_or_undone_and_the_next_attempt_ends_it"
        ),
        calls: &["pread64", "pwrite64", "fsync", "ftruncate", "openat", "unlink"],
    };
    test.sweep(prepare, |folder, failed, well| {
        let control = when_due(folder.path());
        assert!(stands(&control, &transfer) || !well, "{failed}: it was said to be done");
        take_down(&control, &transfer).unwrap();
        assert!(stands(&control, &transfer) && !plan(folder.path()).exists(), "{failed}");
        drop(control);
        assert!(stands(&when_due(folder.path()), &transfer), "{failed}");
    });
}

fn bench_documents(folder: &Path) -> std::path::PathBuf {
    sluse_host::layout::Layout::new(folder).documents()
}
