//! Who asks.

use crate::settings::Account;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sluse_protocol::digest::Sha256;

/// Bytes of the longest bearer token.
const MAX_TOKEN: usize = 4096;

/// The account that a request proves to be, by its place: by its token, its connection's certificate, or both where both are configured.
pub fn of(accounts: &[Account], headers: &HeaderMap, certificate: Option<Sha256>) -> Option<usize> {
    let token = bearer(headers).map(|token| Sha256::of(token.as_bytes()));
    let proves = |wanted: Option<Sha256>, shown: Option<Sha256>| match (wanted, shown) {
        (None, _) => true,
        (Some(wanted), Some(shown)) => verify_slices_are_equal(&wanted.0, &shown.0).is_ok(),
        (Some(_), None) => false,
    };
    let mut found = None;
    // Each is compared, so that how long it takes says nothing.
    for (at, account) in accounts.iter().enumerate() {
        if proves(account.token, token) & proves(account.certificate, certificate) {
            found = Some(at);
        }
    }
    found
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && token.len() <= MAX_TOKEN).then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str, token: Option<&str>, certificate: Option<u8>) -> Account {
        Account {
            name: name.into(),
            flow: "ct".parse().unwrap(),
            token: token.map(|token| Sha256::of(token.as_bytes())),
            certificate: certificate.map(|byte| Sha256([byte; 32])),
            connections: 1,
            uploads: 1,
        }
    }

    #[test]
    fn an_account_is_who_proves_all_that_is_asked_of_it() {
        let accounts = [
            account("token", Some("one"), None),
            account("card", None, Some(2)),
            account("both", Some("three"), Some(3)),
        ];
        let cases = [
            (Some("Bearer one"), None, Some("token")),
            (Some("bearer one"), Some(9), Some("token")),
            (Some("Bearer two"), None, None),
            (Some("Basic one"), None, None),
            (Some("Bearer "), None, None),
            (None, None, None),
            (None, Some(2), Some("card")),
            (None, Some(3), None),
            (Some("Bearer three"), None, None),
            (Some("Bearer three"), Some(3), Some("both")),
        ];
        for (header, certificate, wanted) in cases {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|header| (AUTHORIZATION, header.parse().unwrap())));
            let found = of(&accounts, &headers, certificate.map(|byte| Sha256([byte; 32])));
            assert_eq!(found.map(|at| accounts[at].name.as_str()), wanted, "{header:?} {certificate:?}");
        }
    }
}
