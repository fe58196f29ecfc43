//! Fields of a form, as they are posted.

use zeroize::Zeroizing;

/// The body of a form: it may hold a secret.
pub fn encode<'f>(fields: impl Iterator<Item = (&'f str, &'f str)>) -> Zeroizing<Vec<u8>> {
    let mut body = Zeroizing::new(Vec::with_capacity(4096));
    for (name, value) in fields {
        if !body.is_empty() {
            body.push(b'&');
        }
        escape(name, &mut body);
        body.push(b'=');
        escape(value, &mut body);
    }
    body
}

fn escape(text: &str, into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => into.push(byte),
            byte => into.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
        }
    }
}
