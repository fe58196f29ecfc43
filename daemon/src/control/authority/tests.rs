use super::*;

const NOW: i64 = 1_795_342_500;

fn authority() -> Authority {
    let new = create(&"demo".parse().unwrap(), Timestamp::from_unix(NOW)).unwrap();
    Authority::from_pem(&new.ca_key, new.ca_certificate).unwrap()
}

fn request(key: &KeyPair) -> String {
    let mut params = CertificateParams::new(["elsewhere.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "somebody-else");
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

#[test]
fn a_source_gets_its_key_certified_and_nothing_else_of_its_request() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let source = "epic".parse().unwrap();
    let issued = authority
        .issue_source(&source, &request(&key), Timestamp::from_unix(NOW), Duration::from_secs(365 * 86_400))
        .unwrap();
    let der = der(&issued.certificate_pem);
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    let ca = self::der(authority.ca_pem());
    let (_, ca) = x509_parser::parse_x509_certificate(&ca).unwrap();
    assert_eq!(issued.certificate_sha256, Sha256::of(&der));
    assert_eq!(certificate.public_key().raw, key.subject_public_key_info());
    assert_eq!(common_name(certificate.subject()), Some("epic"));
    assert_eq!(certificate.issuer().as_raw(), ca.subject().as_raw());
    assert!(certificate.subject_alternative_name().unwrap().is_none());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert!(!certificate.is_ca() && ca.is_ca());
    assert_eq!(certificate.validity().not_before.timestamp(), NOW - CLOCK_SLACK_SECONDS);
    assert_eq!(certificate.validity().not_after.timestamp(), issued.expires.unix());
}

#[test]
fn a_request_that_another_key_signed_or_that_was_changed_gets_nothing() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let ask = |pem: &str| {
        authority
            .issue_source(&"epic".parse().unwrap(), pem, Timestamp::from_unix(NOW), Duration::from_secs(86_400))
            .map_err(|e| e.to_string())
    };
    let mut changed = request(&key);
    let tail = changed.len() - "12345678\n-----END CERTIFICATE REQUEST-----\n".len();
    changed.replace_range(tail..tail + 4, if changed[tail..].starts_with("AAAA") { "BBBB" } else { "AAAA" });
    assert_eq!(ask(&changed).unwrap_err(), "the certificate request: its signature does not verify");
    let foreign = request(&KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
    assert_eq!(ask(&foreign).unwrap_err(), "the certificate request: its key is not an ECDSA P-256 key");
    assert_eq!(ask("").unwrap_err(), "the certificate request: not PEM");
    assert_eq!(ask(authority.ca_pem()).unwrap_err(), "the certificate request: not a PKCS#10 request");
    assert_eq!(ask(&"x".repeat(20_000)).unwrap_err(), "the certificate request: longer than any request");
}

#[test]
fn an_invite_carries_a_key_of_its_own_that_expires_in_hours() {
    let authority = authority();
    let invite = authority.issue_bootstrap(&"epic".parse().unwrap(), Timestamp::from_unix(NOW), 48).unwrap();
    assert_eq!(invite.expires.unix(), NOW + 48 * 3600);
    let der = der(&invite.certificate_pem);
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    let key = KeyPair::from_pem(&invite.key_pem).unwrap();
    assert_eq!(certificate.public_key().raw, key.subject_public_key_info());
    assert_eq!(invite.certificate_sha256, Sha256::of(&der));
}

#[test]
fn a_key_with_another_certificate_is_no_authority() {
    let make = || create(&"demo".parse().unwrap(), Timestamp::from_unix(NOW)).unwrap();
    let problem = Authority::from_pem(&make().ca_key, make().ca_certificate).unwrap_err();
    assert_eq!(problem, "key and certificate do not belong together");
}

#[test]
fn pairs_that_do_not_belong_together_are_told_apart() {
    let make = || create(&"demo".parse().unwrap(), Timestamp::from_unix(NOW)).unwrap();
    let (one, other) = (make(), make());
    let expires = check_pair(&one.server_key, &one.server_certificate, &one.ca_certificate);
    assert_eq!(expires, Ok(Timestamp::from_unix(NOW + AUTHORITY_DAYS * DAY)));
    let foreign = check_pair(&one.server_key, &one.server_certificate, &other.ca_certificate);
    assert_eq!(foreign, Err("the certificate is not one of this zone's authority"));
    let mixed = check_pair(&other.server_key, &one.server_certificate, &one.ca_certificate);
    assert_eq!(mixed, Err("key and certificate do not belong together"));
}
