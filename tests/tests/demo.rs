//! What the README shows first.

use sluse_tests::command::{run, sluse};

#[test]
fn the_demo_delivers_two_extracts_rejects_the_third_and_leaves_evidence_that_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let shown = run(sluse(&["demo", "--keep", kept.to_str().unwrap()])).expect(0);
    for said in ["lab-results", "fhir-export", "ct-study", "rejected", "8 receipts verified", "Audit log whole"] {
        assert!((shown.stdout.clone() + &shown.stderr).contains(said), "{said}: {}\n{}", shown.stdout, shown.stderr);
    }
}
