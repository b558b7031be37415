//! HMAC-SHA-256.
//!
//! # Source
//! RFC 2104; the test's figures are those of RFC 4231.

use echocart_core::hash;

const BLOCK: usize = 64;

/// The code of `message` under `key`, lower case hex.
pub(crate) fn hmac_hex(key: &[u8; 32], message: &[u8]) -> String {
    padded_mac(key, message)
}

fn padded_mac(key: &[u8], message: &[u8]) -> String {
    let mut block = [0u8; BLOCK];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let under = |pad: u8, text: &[u8]| {
        let mut bytes: Vec<u8> = block.iter().map(|b| b ^ pad).collect();
        bytes.extend_from_slice(text);
        hash::sha256_hex(&bytes)
    };
    let inner = hash::bytes_from_hex(&under(0x36, message)).unwrap_or_default();
    under(0x5c, &inner)
}

/// Compares without stopping at the first difference.
pub(crate) fn equal(a: &str, b: &str) -> bool {
    let differs = a.bytes().zip(b.bytes()).fold(0, |d, (a, b)| d | (a ^ b));
    a.len() == b.len() && differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_the_published_codes() {
        let code = padded_mac(b"Jefe", b"what do ya want for nothing?");
        let published = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(equal(&code, published), "{code}");
        let code = padded_mac(&[0x0b; 20], b"Hi There");
        let published = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert!(equal(&code, published), "{code}");
        assert!(!equal(&code, &published[1..]) && !equal(&code, ""));
    }
}
