//! The page for other machines: TLS, the token, and how often one may ask.

use echocart_tests::{demo_config, echocart, fetched, text};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const TOKEN: &str = "0123456789-abcdefghij_KLMNOPQRST";

struct Cart {
    process: Child,
    address: SocketAddr,
    certificate: CertificateDer<'static>,
}

impl Drop for Cart {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Writes token, certificate, key and configuration.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn set_up(dir: &Path) -> (Command, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(dir.join("certificate.pem"), made.cert.pem()).unwrap();
    for (name, content) in [
        ("token", TOKEN),
        ("key.pem", &made.signing_key.serialize_pem()),
    ] {
        fs::write(dir.join(name), content).unwrap();
        fs::set_permissions(dir.join(name), Permissions::from_mode(0o600)).unwrap();
    }
    let demo = demo_config(dir).unwrap();
    let shown = dir.display();
    let remote = format!(
        "\n[serve.remote]\ntoken_file = \"{shown}/token\"\n\
         certificate_file = \"{shown}/certificate.pem\"\nkey_file = \"{shown}/key.pem\"\n"
    );
    let config = demo.replace("127.0.0.1:0", "0.0.0.0:0") + &remote;
    fs::write(dir.join("cart.toml"), config).unwrap();
    let mut command = echocart().unwrap();
    command
        .args([
            "run",
            "--source",
            "phantom:view=A4C,ef=55",
            "--log",
            "text",
            "--package",
        ])
        .arg(fetched("packages/generated").unwrap())
        .arg("--config")
        .arg(dir.join("cart.toml"));
    (command, made.cert.der().clone())
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn start(dir: &Path) -> Cart {
    let (mut command, certificate) = set_up(dir);
    let log = fs::File::create(dir.join("log")).unwrap();
    let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let said = BufReader::new(process.stdout.take().unwrap());
    let mut lines = said.lines().map_while(Result::ok);
    let page = lines.find_map(|l| l.strip_prefix("page: https://0.0.0.0:").map(str::to_owned));
    let port: u16 = page.unwrap().parse().unwrap();
    Cart {
        process,
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        certificate,
    }
}

impl Cart {
    #[expect(clippy::unwrap_used, reason = "a test helper")]
    fn ask(&self, first: &str, headers: &str, body: &str) -> String {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(self.address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut stream = StreamOwned::new(client, socket);
        let length = body.len();
        let request = format!(
            "{first} HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[track_caller]
fn assert_code(answer: &str, code: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{answer}");
}

#[test]
fn only_who_shows_the_token_is_served_and_it_is_in_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let cart = start(dir.path());
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let form = cart.ask("GET /", "", "");
    assert_code(&form, 401);
    assert!(
        form.contains("name=\"token\"") && form.contains("form-action 'self'"),
        "{form}"
    );
    for path in [
        "/metrics", "/healthz", "/readyz", "/app.js", "/ws", "/nothing",
    ] {
        assert_code(&cart.ask(&format!("GET {path}"), "", ""), 401);
    }
    assert_code(&cart.ask("GET /healthz", &bearer, ""), 200);
    assert_code(
        &cart.ask(
            "GET /healthz",
            &format!("{bearer}Origin: https://localhost:1\r\n"),
            "",
        ),
        200,
    );
    for origin in ["https://example.org", "http://localhost:1", "null"] {
        let headers = format!("{bearer}Origin: {origin}\r\n");
        assert_code(&cart.ask("GET /healthz", &headers, ""), 403);
    }

    let entered = cart.ask("POST /login", "", &format!("token={TOKEN}"));
    assert_code(&entered, 303);
    let cookie = entered
        .lines()
        .find_map(|l| l.strip_prefix("set-cookie: "))
        .unwrap();
    assert!(
        cookie.contains("Secure; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    let page = cart.ask("GET /", &cookie, "");
    assert_code(&page, 200);
    assert!(
        page.contains("connect-src 'self' wss://localhost:1;"),
        "{page}"
    );

    let mut codes = Vec::new();
    for _ in 0..8 {
        let answer = cart.ask("POST /login", "", "token=wrong");
        codes.push(answer.get(9..12).unwrap().to_owned());
    }
    assert_eq!(codes[..5], ["401"; 5]);
    assert!(codes.contains(&"429".to_owned()), "{codes:?}");
    assert_code(&cart.ask("GET /healthz", &cookie, ""), 200);
    assert_code(&cart.ask("POST /login", "", &"token=".repeat(999)), 413);

    let mut plain = TcpStream::connect(cart.address).unwrap();
    plain
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    drop(cart);
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("wrong token") && !log.contains(TOKEN), "{log}");
}

#[test]
fn a_token_certificate_or_key_that_is_no_good_is_one_clear_line() {
    let cases: [(&str, &str, u32, &str); 6] = [
        ("token", "short", 0o600, "serve.remote.token_file"),
        ("token", TOKEN, 0o644, "found mode 644"),
        ("key.pem", "nonsense", 0o600, "serve.remote.key_file"),
        ("key.pem", "", 0o604, "found mode 604"),
        ("certificate.pem", "nonsense", 0o644, "found none"),
        (
            "certificate.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            0o644,
            "expected an X.509 certificate",
        ),
    ];
    for (name, content, mode, words) in cases {
        let dir = tempfile::tempdir().unwrap();
        let (mut command, _) = set_up(dir.path());
        fs::write(dir.path().join(name), content).unwrap();
        fs::set_permissions(dir.path().join(name), Permissions::from_mode(mode)).unwrap();
        let output = command.output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        let complaints: Vec<&str> = said
            .lines()
            .filter(|l| l.starts_with("echocart: "))
            .collect();
        assert_eq!(complaints.len(), 1, "{said}");
        assert!(complaints[0].contains(words), "{words}: {said}");
        assert!(complaints[0].ends_with(&format!("{name})")), "{said}");
        assert!(!said.contains(TOKEN), "{said}");
    }
}
