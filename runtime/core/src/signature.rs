//! Who vouches for a package: `package.sig` beside `package.toml`, by Ed25519.
//!
//! `package.sig` is text of three lines, each ended by a line feed:
//!
//! ```text
//! echocart-signature 1
//! key 64 hex digits: the public key
//! signature 128 hex digits: over the bytes of package.toml
//! ```
//!
//! The manifest holds the hash of every other file, so its signature covers the package.

use crate::hash::{bytes_from_hex, hex_from_bytes};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Name of the signature inside a package.
pub const SIGNATURE: &str = "package.sig";

/// Largest signature file read.
pub(crate) const MOST_SIGNATURE_BYTES: u64 = 512;

const FIRST_LINE: &str = "echocart-signature 1";
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// DER of a PKCS #8 private key up to the 32 bytes of an Ed25519 key (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Why a key or a signature cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected}, found {found}")]
pub struct KeyError {
    /// Key or signature.
    pub what: &'static str,
    /// What it may be.
    pub expected: &'static str,
    /// What it is, without any secret.
    pub found: String,
}

/// Whose packages are trusted: 64 hex digits in a cart's configuration.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(with = "String"))]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads 64 hex digits.
    ///
    /// # Errors
    /// [`KeyError`], also for a point that fits any message (RFC 8032 leaves the check open).
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = bytes_from_hex(text).and_then(|b| <[u8; 32]>::try_from(b).ok());
        let can_sign = |b: &[u8; 32]| VerifyingKey::from_bytes(b).is_ok_and(|key| !key.is_weak());
        bytes.filter(can_sign).map(Self).ok_or_else(|| KeyError {
            what: "public key",
            expected: "the 64 hex digits of an Ed25519 key",
            found: format!("{text:?}"),
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex_from_bytes(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::parse(&text)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

/// A key that signs packages. Its bytes are wiped when it is dropped.
pub struct PrivateKey(SigningKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public())
    }
}

impl PrivateKey {
    /// The key made from 32 random bytes.
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// Reads a PKCS #8 PEM file as this code and `openssl genpkey -algorithm ed25519` write it.
    ///
    /// # Errors
    /// [`KeyError`], which never repeats the text.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let wrong = |found: &str| KeyError {
            what: "private key",
            expected: "an Ed25519 key as PKCS #8 PEM",
            found: found.to_owned(),
        };
        let body = text
            .trim()
            .strip_prefix(PEM_BEGIN)
            .and_then(|rest| rest.strip_suffix(PEM_END))
            .ok_or_else(|| wrong("text without its first or last line"))?;
        let bytes = bytes_from_base64(body.trim()).ok_or_else(|| wrong("no base64 inside"))?;
        let key = bytes
            .strip_prefix(&PKCS8_PREFIX)
            .and_then(|key| <[u8; 32]>::try_from(key).ok())
            .ok_or_else(|| wrong("a key of another kind"))?;
        Ok(Self::from_random(&key))
    }

    /// PKCS #8 PEM.
    pub fn to_pem(&self) -> String {
        let mut der = PKCS8_PREFIX.to_vec();
        der.extend_from_slice(self.0.as_bytes());
        format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", base64_from_bytes(&der))
    }

    /// The key that checks its signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs the bytes of a `package.toml`. The same bytes give the same signature.
    pub fn sign(&self, manifest: &[u8]) -> PackageSignature {
        PackageSignature {
            key: self.public(),
            bytes: self.0.sign(manifest).to_bytes(),
        }
    }
}

/// What `package.sig` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageSignature {
    /// Who says to have signed.
    pub key: PublicKey,
    bytes: [u8; 64],
}

impl PackageSignature {
    /// Reads the text of `package.sig`. There is one way to write it and no other is taken.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let wrong = || KeyError {
            what: SIGNATURE,
            expected: "the three lines of an echocart signature",
            found: "something else".to_owned(),
        };
        let text = std::str::from_utf8(text).map_err(|_| wrong())?;
        let lines: Vec<&str> = text.split('\n').collect();
        let [FIRST_LINE, key, signature, ""] = lines[..] else {
            return Err(wrong());
        };
        let signature = signature.strip_prefix("signature ").ok_or_else(wrong)?;
        let bytes = bytes_from_hex(signature).and_then(|b| <[u8; 64]>::try_from(b).ok());
        Ok(Self {
            key: PublicKey::parse(key.strip_prefix("key ").ok_or_else(wrong)?)?,
            bytes: bytes.ok_or_else(wrong)?,
        })
    }

    /// The text of `package.sig`.
    pub fn to_text(&self) -> String {
        let signature = hex_from_bytes(&self.bytes);
        format!("{FIRST_LINE}\nkey {}\nsignature {signature}\n", self.key)
    }

    /// True if its key signed these bytes.
    pub fn fits(&self, manifest: &[u8]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&self.bytes);
        VerifyingKey::from_bytes(&self.key.0)
            .is_ok_and(|key| key.verify_strict(manifest, &signature).is_ok())
    }
}

/// What is known of a loaded package's signature. A signature that does not fit does not load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// By a key that the cart trusts.
    Trusted(PublicKey),
    /// By a key that the cart does not know: counts as not signed.
    Unknown(PublicKey),
    /// Not at all.
    No,
}

impl Signed {
    /// True if a trusted key signed.
    pub fn is_trusted(self) -> bool {
        matches!(self, Self::Trusted(_))
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trusted(key) => write!(f, "signed by the trusted key {key}"),
            Self::Unknown(key) => write!(f, "signed by {key}, none of the trusted keys"),
            Self::No => f.write_str("not signed"),
        }
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 of a multiple of three bytes, so without padding (RFC 4648, section 4).
fn base64_from_bytes(bytes: &[u8]) -> String {
    let group = |g: &[u8]| {
        let bits = g.iter().fold(0u32, |bits, &b| (bits << 8) | u32::from(b));
        [18, 12, 6, 0].map(|shift| char::from(BASE64[((bits >> shift) & 63) as usize]))
    };
    bytes.chunks_exact(3).flat_map(group).collect()
}

fn bytes_from_base64(text: &str) -> Option<Vec<u8>> {
    let (groups, []) = text.as_bytes().as_chunks::<4>() else {
        return None;
    };
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    for group in groups {
        let mut bits = 0u32;
        for character in group {
            let value = BASE64.iter().position(|c| c == character)?;
            bits = (bits << 6) | value as u32;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &[u8] = b"format = 2\n";

    fn key() -> PrivateKey {
        PrivateKey::from_random(&std::array::from_fn(|i| i as u8))
    }

    /// RFC 8032, section 7.1, TEST 2.
    #[test]
    fn a_published_signature_comes_out() {
        let secret = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let bytes: [u8; 32] = bytes_from_hex(secret).unwrap().try_into().unwrap();
        let key = PrivateKey::from_random(&bytes);
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        assert_eq!(key.public().to_string(), public);
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        let signed = key.sign(&[0x72]);
        assert_eq!(hex_from_bytes(&signed.bytes), signature);
        assert!(signed.fits(&[0x72]) && !signed.fits(&[0x73]));
    }

    #[test]
    fn a_signature_survives_its_text_and_any_changed_character_does_not() {
        let signature = key().sign(MANIFEST);
        let text = signature.to_text();
        assert!(text.len() as u64 <= MOST_SIGNATURE_BYTES);
        assert_eq!(PackageSignature::parse(text.as_bytes()), Ok(signature));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            let fits = PackageSignature::parse(&changed).is_ok_and(|s| s.fits(MANIFEST));
            assert!(!fits, "character {at}");
        }
        for other in [&text[..text.len() - 1], &format!("{text}\n"), "", "\n\n\n"] {
            assert!(PackageSignature::parse(other.as_bytes()).is_err());
        }
    }

    /// Made by `openssl genpkey -algorithm ed25519` from RFC 8410's example key.
    #[test]
    fn a_key_file_of_openssl_is_read_and_written_the_same() {
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";
        let key = PrivateKey::from_pem(pem).unwrap();
        assert_eq!(key.to_pem(), pem);
        let public = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        assert_eq!(key.public().to_string(), public);
    }

    #[test]
    fn a_wrong_private_key_is_refused_without_repeating_it() {
        let pem = key().to_pem();
        for wrong in [
            String::new(),
            pem.replace("PRIVATE", "PUBLIC"),
            pem.replacen("MC4C", "MC4", 1),
            pem.replacen("MC4C", "MC4D", 1),
            pem.replacen("MC4C", "M!4C", 1),
        ] {
            let error = PrivateKey::from_pem(&wrong).unwrap_err().to_string();
            assert!(error.starts_with("private key: expected"), "{error}");
            let secret = pem.lines().nth(1).unwrap();
            assert!(!error.contains(&secret[32..]), "{error}");
        }
        assert!(!format!("{:?}", key()).contains("000102"));
    }

    #[test]
    fn a_public_key_is_64_hex_digits_of_a_point_that_can_sign() {
        let text = key().public().to_string();
        assert_eq!(PublicKey::parse(&text).unwrap().to_string(), text);
        let weak = format!("01{}", "0".repeat(62));
        for wrong in ["", &text[1..], &text.replacen(&text[..1], "g", 1), &weak] {
            assert!(PublicKey::parse(wrong).is_err(), "{wrong}");
        }
    }
}
