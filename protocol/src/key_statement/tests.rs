use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

fn zone() -> ZoneName {
    "midt".parse().unwrap()
}

fn time(number: u64) -> Timestamp {
    Timestamp::from_unix(1000 * number as i64)
}

/// Statement `number`: `before` is in force, `signer` from then on, with this authority.
fn statement(number: u64, before: &SigningKey, signer: &SigningKey, authority: &str) -> KeyStatement {
    KeyStatement {
        sluse: Format::V1,
        number,
        zone: zone(),
        time: time(number),
        key: ZoneKey::Signing,
        change: Change::Rotated,
        by: "kari".into(),
        public: Some(signer.public().to_openssh()),
        before: before.public().to_openssh(),
        signer: signer.public().to_openssh(),
        authorities: vec![authority.into()],
    }
}

fn signed(number: u64, before: u8, signer: u8, authority: &str) -> Signed {
    Signed::new(&statement(number, &key(before), &key(signer), authority), &key(before))
}

/// 1 → 2, another authority, 2 → 3.
fn three() -> Vec<Signed> {
    vec![signed(1, 1, 2, "A"), signed(2, 2, 2, "B"), signed(3, 2, 3, "B")]
}

fn knows(seed: u8) -> Trust {
    Trust::pinned(zone(), vec![AllowedSigner::always(key(seed).public())], vec!["A".into()], 0).unwrap()
}

fn keys(trust: &Trust) -> Vec<PublicKey> {
    trust.signers().iter().map(|signer| signer.key).collect()
}

#[test]
fn who_knows_an_old_key_follows_to_the_one_in_force_and_keeps_both_with_their_times() {
    let mut trust = knows(1);
    assert_eq!(trust.follow(&three()).unwrap(), three());
    assert_eq!(keys(&trust), [1, 2, 3].map(|seed| key(seed).public()));
    assert_eq!(
        trust.signers().iter().map(|it| it.valid_before).collect::<Vec<_>>(),
        [Some(time(1)), Some(time(3)), None]
    );
    assert_eq!((trust.authorities(), trust.number()), (["B".to_owned()].as_slice(), 3));
    assert_eq!(trust.follow(&three()).unwrap(), [], "told twice, it changes nothing");
}

#[test]
fn who_knows_a_later_key_passes_over_what_came_before_it() {
    let mut trust = knows(2);
    assert_eq!(trust.follow(&three()).unwrap(), three()[1..]);
    let mut trust = knows(3);
    assert_eq!(trust.follow(&three()).unwrap(), []);
}

#[test]
fn a_key_that_no_known_key_introduced_is_refused() {
    assert_eq!(knows(9).follow(&three()), Err(BadStatement::Unannounced));
    assert_eq!(knows(1).follow(&three()[2..]), Err(BadStatement::Unannounced), "a gap leads nowhere");
    let replaced = |signer: u8| {
        let lost = KeyStatement { change: Change::Replaced, ..statement(1, &key(1), &key(signer), "A") };
        Signed::new(&lost, &key(signer))
    };
    assert_eq!(knows(1).follow(&[replaced(7)]), Err(BadStatement::Unannounced), "nobody but itself vouches for it");
}

#[test]
fn a_statement_that_another_key_signed_or_that_was_changed_is_refused() {
    let forged = Signed::new(&statement(1, &key(1), &key(7), "A"), &key(7));
    assert!(matches!(knows(1).follow(&[forged]), Err(BadStatement::Signature { number: 1, .. })));
    let mut changed = signed(1, 1, 2, "A");
    changed.statement = changed.statement.replace("\"A\"", "\"E\"");
    assert!(matches!(knows(1).follow(&[changed]), Err(BadStatement::Signature { .. })));
    let mut other = knows(1);
    other.zone = "nord".parse().unwrap();
    assert_eq!(other.follow(&three()), Err(BadStatement::Zone));
}

#[test]
fn an_older_statement_does_not_bring_back_what_it_names() {
    let mut trust = knows(1);
    trust.follow(&three()).unwrap();
    let mut again = three();
    // Signed by the key in force, when that was 2; now it is 3.
    again.push(signed(2, 2, 2, "A"));
    again.push(signed(3, 2, 3, "B"));
    trust.follow(&again).unwrap();
    assert_eq!(trust.authorities(), ["B"]);
    let stale = signed(3, 3, 3, "A");
    trust.follow(&[stale]).unwrap();
    assert_eq!(trust.authorities(), ["B"], "its number was passed");
}

#[test]
fn what_was_begun_and_never_finished_is_not_in_force() {
    let begun = signed(4, 3, 4, "B");
    let kept: Vec<Signed> = three().into_iter().chain([begun]).collect();
    let chain = Chain::in_force(&zone(), key(3).public(), &kept).unwrap();
    assert_eq!((chain.statements(), chain.next_number()), (three().as_slice(), 4));
    assert_eq!(Chain::in_force(&zone(), key(4).public(), &kept).unwrap().next_number(), 5);
    let first = Chain::in_force(&zone(), key(1).public(), &kept[..1]).unwrap();
    assert_eq!((first.next_number(), first.signers()), (1, [AllowedSigner::always(key(1).public())].as_slice()));
    assert_eq!(Chain::in_force(&zone(), key(9).public(), &kept), Err(BadStatement::Unannounced));
}

#[test]
fn a_zone_whose_key_was_lost_goes_on_and_keeps_its_old_signers() {
    let lost = KeyStatement { change: Change::Replaced, ..statement(1, &key(1), &key(7), "A") };
    let chain = Chain::in_force(&zone(), key(7).public(), &[Signed::new(&lost, &key(7))]).unwrap();
    assert_eq!(chain.signers().iter().map(|it| it.key).collect::<Vec<_>>(), [1, 7].map(|seed| key(seed).public()));
}

#[test]
fn statements_read_back_from_lines_and_from_audit_entries() {
    let text: String = three().iter().map(Signed::to_line).collect();
    assert_eq!(Signed::of_lines(&text).unwrap(), three());
    assert!(Signed::of_lines("{}").is_err());
    let one = three().remove(0);
    let details = serde_json::json!({"statement": one.statement, "signature": one.signature});
    let serde_json::Value::Object(details) = details else { panic!("an object") };
    let before = crate::digest::Sha256::of(b"");
    let act = KEY_ROTATED.to_owned();
    let entry = Entry { number: 0, time: time(1), before, actor: "operator kari".into(), act, transfer: None, details };
    assert_eq!(Signed::of_entry(&entry).unwrap(), Some(one));
    assert!(Signed::of_entry(&Entry { details: Default::default(), ..entry.clone() }).is_err());
    assert_eq!(Signed::of_entry(&Entry { act: "room-added".into(), ..entry }).unwrap(), None);
}
