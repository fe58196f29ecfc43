use super::*;
use crate::spool::Spool;
use serde_json::json;

fn entry(count: Option<u64>) -> Entry {
    Entry { place: "Patient.000.ndjson".into(), kind: "Patient".into(), url: "/f".into(), count }
}

#[test]
fn a_manifests_files_are_called_by_type_and_number_and_its_addresses_do_not_travel() {
    let mut manifest = json!({
        "output": [{"type": "Patient", "url": "https://s/1?sig=a"}, {"type": "Patient", "url": "/2", "count": 3}],
        "deleted": [{"type": "Bundle", "url": "/3"}],
        "error": [{"url": "/4"}],
        "outcome": null,
    });
    let found: Vec<_> = entries(&mut manifest).unwrap().into_iter().map(|it| (it.place, it.url, it.count)).collect();
    let wanted = [
        ("Patient.000.ndjson", "https://s/1?sig=a", None),
        ("Patient.001.ndjson", "/2", Some(3)),
        ("deleted/Bundle.000.ndjson", "/3", None),
        ("error/OperationOutcome.000.ndjson", "/4", None),
    ];
    assert_eq!(found, wanted.map(|(place, url, count)| (place.to_owned(), url.to_owned(), count)));
    assert!(!manifest.to_string().contains("sig="));
    for wrong in [
        json!({"output": {}}),
        json!({"output": [{"url": "/1"}]}),
        json!({"output": [{"type": "../x", "url": "/1"}]}),
        json!({"output": [{"type": "Patient"}]}),
        json!({"output": [1]}),
    ] {
        assert!(entries(&mut wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn a_file_has_as_many_resources_as_the_manifest_says_and_the_last_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let recipient = age::x25519::Identity::generate().to_public();
    let inlet = Inlet::open(Spool::open(folder.path()).unwrap(), recipient, 0).unwrap();
    let good = |text: &str, count, piece| {
        let mut resources = Resources { inlet: &inlet, left: 1000, parcel: None, lines: 0, line: Vec::new() };
        resources.begin().unwrap();
        text.as_bytes().chunks(piece).for_each(|piece| resources.take(piece).unwrap());
        resources.finish(&entry(count)).is_ok()
    };
    let two = "{\"resourceType\":\"Patient\",\"id\":\"1\"}\n{\"resourceType\":\"Patient\",\"id\":\"2\"}\n";
    for piece in [1, 7, 40, 1000] {
        for (text, count, wanted) in [
            (two, Some(2), true),
            (two, None, true),
            (two.trim_end(), Some(2), true),
            ("", Some(0), true),
            (two, Some(3), false),
            (&two[..two.len() - 5], Some(2), false),
            (&two.replace("Patient", "Group"), Some(2), false),
        ] {
            assert_eq!(good(text, count, piece), wanted, "{text} {count:?} {piece}");
        }
    }
}

#[test]
fn what_changed_since_is_asked_for_with_the_servers_own_time() {
    for (url, wanted) in [
        ("https://s/Group/1/$export", "https://s/Group/1/$export?_since=2026-11-22T01%3A00%3A00%2B01%3A00"),
        ("https://s/$export?_type=Patient", "https://s/$export?_type=Patient&_since=2026-11-22T01%3A00%3A00%2B01%3A00"),
    ] {
        let pull = Pull {
            name: "k".into(),
            flow: "fhir".parse().unwrap(),
            url: url.parse().unwrap(),
            token: None,
            smart: None,
            authority: None,
            every: Duration::from_secs(1),
            patience: Duration::from_secs(1),
            max_bytes: 1,
            kind: crate::settings::Kind::Fhir { incremental: true },
        };
        assert_eq!(kick_off(&pull, Some("2026-11-22T01:00:00+01:00")), wanted);
        assert_eq!(kick_off(&pull, None), url);
    }
    assert!(is_instant("2026-11-22T01:00:00.000+01:00") && !is_instant("yesterday&x=1") && !is_instant(""));
}
