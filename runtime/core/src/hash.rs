//! SHA-256 as lower case hex.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Two lower case hex digits per byte.
pub fn hex_from_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes of lower case hex digits; none for any other text.
pub fn bytes_from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|&[high, low]| Some((digit(high)? << 4) | digit(low)?))
        .collect()
}

/// SHA-256 of `bytes`.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex_from_bytes(&Sha256::digest(bytes))
}

/// SHA-256 and length of a file, read in pieces.
///
/// # Errors
/// Whatever reading the file gives.
pub fn sha256_file(path: &Path) -> io::Result<(String, u64)> {
    sha256_file_checked(path, &mut || Ok(()))
}

/// As [`sha256_file`], calling `check` before every piece; its error ends the reading.
///
/// # Errors
/// Whatever reading the file or `check` gives.
pub fn sha256_file_checked(
    path: &Path,
    check: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        check()?;
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok((hex_from_bytes(&hasher.finalize()), length)),
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hasher.update(&buffer[..read]);
        length += read as u64;
    }
}
