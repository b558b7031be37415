//! Who may talk to the page: browsers that show a page of this very server, and local programs.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Returns the host header when it names this machine's loopback.
///
/// A foreign name that resolves to the loopback address (DNS rebinding) is refused here.
pub(super) fn loopback_host(headers: &HeaderMap) -> Result<&str, (StatusCode, &'static str)> {
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
pub(super) fn own_origin(
    headers: &HeaderMap,
    host: &str,
) -> Result<(), (StatusCode, &'static str)> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let own = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.strip_prefix("http://"))
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
