//! Who may talk to the page: browsers that show a page of this very server, and local programs.
//! From other machines, only over TLS and with the token.

use super::guard_rate::Rate;
use super::token::Token;
use super::{Remote, ServeError};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

/// Why a request is not answered.
pub(super) type Refusal = (StatusCode, &'static str);

/// Asks at once, and per second afterwards, that one client has.
const ASKS: (f64, f64) = (300.0, 60.0);
/// Wrong tokens likewise: five, then one in 12 seconds.
const WRONG_TOKENS: (f64, f64) = (5.0, 1.0 / 12.0);

/// Decides about every request.
#[derive(Debug)]
pub(super) struct Guard {
    token: Option<Token>,
    asks: Rate,
    wrong_tokens: Rate,
}

impl Guard {
    pub fn new(remote: Option<&Remote>) -> Result<Self, ServeError> {
        let token = remote.map(|r| Token::read(&r.token_file)).transpose()?;
        Ok(Self {
            token,
            asks: Rate::new(ASKS.0, ASKS.1),
            wrong_tokens: Rate::new(WRONG_TOKENS.0, WRONG_TOKENS.1),
        })
    }

    /// True when readers on other machines are served, over TLS.
    pub fn is_remote(&self) -> bool {
        self.token.is_some()
    }

    /// The host of a request that may be looked at further.
    pub fn admit<'a>(&self, headers: &'a HeaderMap, client: IpAddr) -> Result<&'a str, Refusal> {
        if !self.asks.take(client, Instant::now()) {
            return Err(TOO_OFTEN);
        }
        let (host, scheme) = match self.is_remote() {
            true => (plain_host(headers)?, "https://"),
            false => (loopback_host(headers)?, "http://"),
        };
        own_origin(headers, host, scheme)?;
        Ok(host)
    }

    /// Refuses a request that shows no token where one is needed.
    pub fn authorise(&self, headers: &HeaderMap, client: IpAddr) -> Result<(), Refusal> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let cookies = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|c| c.to_str().ok());
        if cookies.into_iter().any(|c| token.is_in_cookies(c)) {
            return Ok(());
        }
        let bearer = headers
            .get(AUTHORIZATION)
            .and_then(|a| a.to_str().ok())
            .and_then(|a| a.strip_prefix("Bearer "));
        match bearer {
            Some(offered) => self.check(token, offered, client),
            None => Err((
                StatusCode::UNAUTHORIZED,
                "the token of this cart is needed\n",
            )),
        }
    }

    /// The cookie for who shows the token, once.
    pub fn log_in(&self, offered: &str, client: IpAddr) -> Result<String, Refusal> {
        let Some(token) = &self.token else {
            return Err((StatusCode::NOT_FOUND, "no token is needed here\n"));
        };
        self.check(token, offered, client)?;
        Ok(token.set_cookie())
    }

    fn check(&self, token: &Token, offered: &str, client: IpAddr) -> Result<(), Refusal> {
        let now = Instant::now();
        if !self.wrong_tokens.has(client, now) {
            return Err(TOO_OFTEN);
        }
        if token.is(offered) {
            return Ok(());
        }
        self.wrong_tokens.take(client, now);
        tracing::warn!(%client, "wrong token");
        Err((StatusCode::UNAUTHORIZED, "wrong token\n"))
    }
}

const TOO_OFTEN: Refusal = (StatusCode::TOO_MANY_REQUESTS, "too many requests\n");

/// Returns the host header when it is a name or address, with or without a port.
fn plain_host(headers: &HeaderMap) -> Result<&str, Refusal> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .filter(|host| (1..=255).contains(&host.len()) && host.bytes().all(plain))
        .ok_or((StatusCode::BAD_REQUEST, "expected a host\n"))
}

/// Returns the host header when it names this machine's loopback.
///
/// A foreign name that resolves to the loopback address (DNS rebinding) is refused here.
fn loopback_host(headers: &HeaderMap) -> Result<&str, Refusal> {
    headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .filter(|host| names_loopback(host))
        .ok_or((
            StatusCode::FORBIDDEN,
            "this page answers only to localhost, 127.0.0.1 and [::1]\n",
        ))
}

/// Refuses a browser that shows a page of another origin. A program that sends none is let in.
fn own_origin(headers: &HeaderMap, host: &str, scheme: &str) -> Result<(), Refusal> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let own = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.strip_prefix(scheme))
        .is_some_and(|authority| authority.eq_ignore_ascii_case(host));
    if own {
        return Ok(());
    }
    Err((
        StatusCode::FORBIDDEN,
        "events are given only to this server's own page\n",
    ))
}

fn names_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) => {
                return name.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
                    && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    port.is_none_or(is_port)
        && (name.eq_ignore_ascii_case("localhost")
            || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::names_loopback;

    #[test]
    fn only_loopback_names_are_hosts() {
        for host in [
            "localhost",
            "LocalHost:8787",
            "127.0.0.1",
            "127.0.0.1:1",
            "127.8.9.10:65535",
            "[::1]",
            "[::1]:8787",
        ] {
            assert!(names_loopback(host), "{host} is loopback");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "127.0.0.1.example.org:80",
            "10.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:65536",
            "127.0.0.1:80:80",
            "127.0.0.1:+1",
            "[::1",
            "[::2]:80",
            "[::1]80",
            "[::1]:x",
            "::1",
            "localhost; script-src *",
        ] {
            assert!(!names_loopback(host), "{host} is not loopback");
        }
    }
}
