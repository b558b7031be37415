//! The token that a reader from elsewhere must show.
//!
//! A browser shows it once, on the login page, and is given a cookie that follows from it; a program
//! shows it with every request (`Authorization: Bearer`). It is compared in constant time, kept only
//! as a hash and never printed.

use super::ServeError;
use echocart_core::hash;
use std::fmt;
use std::path::Path;
use subtle::ConstantTimeEq;

/// Shortest and longest token.
const CHARS: std::ops::RangeInclusive<usize> = 32..=256;
/// Name of the cookie; browsers take one with this prefix only over TLS, for this host and path.
const COOKIE: &str = "__Host-echocart";

/// A token's hash and the cookie that follows from it.
#[derive(Clone)]
pub(super) struct Token {
    digest: String,
    cookie: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// Reads the token from the first line of a file that only its owner can read.
    ///
    /// # Errors
    /// [`ServeError::Remote`]; it says nothing of the content but its length.
    pub fn read(path: &Path) -> Result<Self, ServeError> {
        let wrong = |message: String| ServeError::remote("token_file", message, path);
        super::tls::private(path, "token_file")?;
        let text = std::fs::read_to_string(path).map_err(|e| wrong(format!("cannot read: {e}")))?;
        Self::new(text.trim()).ok_or_else(|| {
            let found = text.trim().chars().count();
            let (least, most) = (CHARS.start(), CHARS.end());
            wrong(format!(
                "expected {least} to {most} letters, digits, `-`, `_`, `.` or `~`, found {found} \
                 characters, or others"
            ))
        })
    }

    /// Makes one of the text itself; none when it is too short or has other characters.
    pub fn new(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
        (CHARS.contains(&text.len()) && text.bytes().all(plain)).then(|| Self {
            digest: digest("token", text),
            cookie: digest("cookie", text),
        })
    }

    /// True when `offered` is the token.
    pub fn is(&self, offered: &str) -> bool {
        same(&digest("token", offered), &self.digest)
    }

    /// True when one of the cookies of a `Cookie` header is this token's.
    pub fn is_in_cookies(&self, header: &str) -> bool {
        header.split(';').any(|pair| {
            pair.trim()
                .split_once('=')
                .is_some_and(|(name, value)| name == COOKIE && same(value, &self.cookie))
        })
    }

    /// Value of the `Set-Cookie` header.
    pub fn set_cookie(&self) -> String {
        let value = &self.cookie;
        format!("{COOKIE}={value}; Path=/; Max-Age=604800; Secure; HttpOnly; SameSite=Strict")
    }
}

fn digest(of: &str, text: &str) -> String {
    hash::sha256_hex(format!("echocart {of}\n{text}").as_bytes())
}

fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0123456789-abcdefghij_KLMNOPQRST";

    #[test]
    fn only_the_token_and_its_cookie_open() {
        let token = Token::new(TEXT).unwrap();
        assert!(token.is(TEXT));
        for other in ["", "0", &TEXT[1..], &format!("{TEXT}0")] {
            assert!(!token.is(other), "{other}");
        }
        let set = token.set_cookie();
        let cookie = set.split(';').next().unwrap();
        assert!(token.is_in_cookies(&format!("a=b; {cookie}")));
        assert!(!token.is_in_cookies(&cookie[..cookie.len() - 1]));
        assert!(!token.is_in_cookies(&format!("{COOKIE}={TEXT}")));
        assert!(!set.contains(TEXT) && !format!("{token:?}").contains(TEXT));
    }

    #[test]
    fn a_short_or_odd_token_is_refused() {
        for text in [
            "",
            "short",
            &TEXT[1..],
            &format!("{TEXT}&"),
            &TEXT.repeat(9),
        ] {
            assert!(Token::new(text).is_none(), "{text}");
        }
    }
}
