//! SMART Backend Services: a token for a while, in exchange for an assertion that is signed with a key of ours (a JWT by ES384, RFC 7523).
//! The server knows the public half; no secret of it lies here.

use super::http::Failure;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Uri;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sluse_host::random;
use sluse_protocol::time::Timestamp;
use std::time::Duration;
use zeroize::Zeroizing;

/// For how long an assertion is good: the most that servers take is five minutes.
const ASSERTION: i64 = 240;

/// A token is exchanged so long before it ends.
const EARLY: Duration = Duration::from_secs(30);

/// How long a token is good where the server does not say.
const USUAL: Duration = Duration::from_secs(300);

/// Who asks for tokens, and where.
pub struct Client {
    /// Where tokens are given.
    pub endpoint: Uri,
    /// What this gateway is called there.
    pub id: String,
    /// What its key is called there.
    pub key_id: String,
    /// What is asked for.
    pub scope: String,
    key: EcdsaKeyPair,
}

/// A token, and how long it is good.
pub struct Given {
    /// The token.
    pub token: Zeroizing<String>,
    /// From now on.
    pub good_for: Duration,
}

impl Client {
    /// A client with the key in `pem`: of the curve P-384, in PKCS #8.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(endpoint: Uri, id: String, key_id: String, scope: String, pem: &[u8]) -> Result<Self, Failure> {
        let none = || Failure::Refused("the key of the client is none of P-384 in PKCS #8".into());
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| none())?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der.secret_pkcs8_der());
        Ok(Self { endpoint, id, key_id, scope, key: key.map_err(|_| none())? })
    }

    /// The fields of the form that asks for a token.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn form(&self, now: Timestamp) -> Result<[(&'static str, Zeroizing<String>); 4], Failure> {
        let plain = |text: &str| Zeroizing::new(text.to_owned());
        Ok([
            ("grant_type", plain("client_credentials")),
            ("scope", plain(&self.scope)),
            ("client_assertion_type", plain("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")),
            ("client_assertion", self.assertion(now)?),
        ])
    }

    fn assertion(&self, now: Timestamp) -> Result<Zeroizing<String>, Failure> {
        let failed = |_| Failure::Later("this host gives no randomness".into());
        let once = random::bytes::<16>().map_err(|error| Failure::Later(error.to_string()))?;
        let once: String = once.iter().map(|byte| format!("{byte:02x}")).collect();
        let head = json!({"alg": "ES384", "typ": "JWT", "kid": self.key_id});
        let claims = json!({
            "iss": self.id, "sub": self.id, "aud": self.endpoint.to_string(), "jti": once,
            "iat": now.unix(), "exp": now.unix() + ASSERTION,
        });
        let [head, claims] = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{head}.{claims}");
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).map_err(failed)?;
        Ok(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))))
    }
}

/// The token in a server's answer.
///
/// # Errors
/// When there is none.
pub fn given(body: &[u8]) -> Result<Given, Failure> {
    let none = || Failure::Refused("the server gave no bearer token".into());
    let answer: Value = serde_json::from_slice(body).map_err(|_| none())?;
    let is_bearer = answer["token_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    let token = answer["access_token"].as_str().filter(|_| is_bearer).ok_or_else(none)?;
    let good_for = answer["expires_in"].as_u64().map_or(USUAL, Duration::from_secs);
    Ok(Given { token: Zeroizing::new(token.to_owned()), good_for: good_for.saturating_sub(EARLY) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, KeyPair as _, UnparsedPublicKey};

    fn client() -> Client {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let endpoint = "https://auth.example.org/token".parse().unwrap();
        Client { endpoint, id: "sluse".into(), key_id: "k1".into(), scope: "system/*.read".into(), key }
    }

    #[test]
    fn an_assertion_is_signed_and_says_who_asks_whom_until_when() {
        let client = client();
        let [.., (name, assertion)] = client.form(Timestamp::from_unix(1000)).unwrap();
        assert_eq!(name, "client_assertion");
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, client.key.public_key().as_ref());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let (head, claims) = signed.split_once('.').unwrap();
        let [head, claims] =
            [head, claims].map(|part| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap());
        assert_eq!(head, json!({"alg": "ES384", "typ": "JWT", "kid": "k1"}));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("sluse"), &json!("sluse")));
        assert_eq!((&claims["aud"], &claims["exp"]), (&json!("https://auth.example.org/token"), &json!(1240)));
        let [.., (_, again)] = client.form(Timestamp::from_unix(1000)).unwrap();
        assert_ne!(*assertion, *again, "each is good once");
    }

    #[test]
    fn a_token_is_a_bearer_token_and_is_exchanged_before_it_ends() {
        let good = given(br#"{"access_token":"t","token_type":"Bearer","expires_in":300}"#).unwrap();
        assert_eq!((good.token.as_str(), good.good_for), ("t", Duration::from_secs(270)));
        for wrong in ["", "{}", r#"{"access_token":"t"}"#, r#"{"access_token":1,"token_type":"bearer"}"#] {
            assert!(given(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_one_of_p_384() {
        let endpoint: Uri = "https://auth.example.org/token".parse().unwrap();
        for wrong in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            let client = Client::new(endpoint.clone(), "a".into(), "b".into(), "c".into(), wrong.as_bytes());
            assert!(client.is_err(), "{wrong}");
        }
    }
}
