//! What a monitor is told by a running cart, through a real scrape.

use echocart_tests::{demo_config, echocart, fetched, root};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

struct Cart {
    process: Child,
    address: SocketAddr,
}

impl Drop for Cart {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn start(dir: &std::path::Path, extra: &[&str]) -> Cart {
    let file = dir.join("cart.toml");
    std::fs::write(&file, demo_config(dir).unwrap()).unwrap();
    let mut process = echocart()
        .unwrap()
        .args(["run", "--source", "phantom:view=A4C,ef=55", "--package"])
        .arg(fetched("packages/generated").unwrap())
        .arg("--config")
        .arg(file)
        .args(extra)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(process.stdout.take().unwrap());
    let page = said.lines().map_while(Result::ok);
    let mut page = page.filter_map(|l| l.strip_prefix("page: http://").map(str::to_owned));
    let address = page.next().unwrap().parse().unwrap();
    Cart { process, address }
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Value of the first sample that begins with `name`.
fn sample(scrape: &str, name: &str) -> Option<f64> {
    let line = scrape.lines().find(|l| l.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Scrapes until `done` says so of the text.
fn scrape_until(address: SocketAddr, done: impl Fn(&str) -> bool) -> String {
    for _ in 0..600 {
        let scrape = get(address, "/metrics");
        if done(&scrape) {
            return scrape;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing of the kind came: {}", get(address, "/metrics"));
}

/// Names of metrics in a PromQL expression.
fn names(expression: &str) -> impl Iterator<Item = String> {
    let name = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':');
    let words: Vec<String> = expression.split(name).map(str::to_owned).collect();
    words
        .into_iter()
        .filter(|w| w.starts_with("echocart_") || w.starts_with("process_"))
}

fn expressions(value: &serde_json::Value, into: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value {
                    serde_json::Value::String(text) if key == "expr" => into.push(text.clone()),
                    value => expressions(value, into),
                }
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|v| expressions(v, into)),
        _ => {}
    }
}

#[test]
fn a_scrape_accounts_for_every_frame_and_has_what_the_dashboard_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let cart = start(dir.path(), &[]);
    assert!(get(cart.address, "/healthz").starts_with("HTTP/1.1 200"));
    let inferred =
        |s: &str| sample(s, "echocart_inference_seconds_count").is_some_and(|n| n >= 1.0);
    let scrape = scrape_until(cart.address, |s| {
        inferred(s) && s.contains("echocart_outputs_total{")
    });
    let ready = get(cart.address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(ready.ends_with(r#"{"ready":true,"reasons":[]}"#), "{ready}");
    assert_eq!(
        sample(&scrape, "echocart_frames_unaccounted "),
        Some(0.0),
        "{scrape}"
    );
    let captured = sample(&scrape, "echocart_frames_captured_total ").unwrap();
    let parts: f64 = scrape
        .lines()
        .filter(|l| l.starts_with("echocart_frames_total{") || l.starts_with("echocart_frames_in_"))
        .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!(captured > 0.0);
    assert_eq!(captured, parts, "{scrape}");

    let buckets = scrape
        .lines()
        .filter(|l| l.starts_with("echocart_inference_seconds_bucket"));
    let buckets: Vec<f64> = buckets
        .filter_map(|l| l.rsplit(' ').next()?.parse().ok())
        .collect();
    assert!(buckets.is_sorted() && buckets.len() > 10, "{buckets:?}");
    assert_eq!(
        buckets.last().copied(),
        sample(&scrape, "echocart_inference_seconds_count")
    );

    let text = std::fs::read_to_string(root().join("docs/grafana.json")).unwrap();
    let mut asked = Vec::new();
    expressions(&serde_json::from_str(&text).unwrap(), &mut asked);
    assert!(asked.len() >= 8, "{asked:?}");
    let given: BTreeSet<&str> = scrape
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.split(['{', ' ']).next())
        .collect();
    for name in asked.iter().flat_map(|e| names(e)) {
        assert!(
            given.contains(name.as_str()),
            "{name} of docs/grafana.json is not in {given:?}"
        );
    }
    for forbidden in ["exam", "phantom"] {
        assert!(!scrape.contains(forbidden), "{forbidden}: {scrape}");
    }
    let labels = scrape.lines().filter_map(|l| l.split_once('{'));
    for (name, labels) in labels {
        assert!(!labels.contains("token"), "{name}: {labels}");
    }
}

#[test]
fn the_scrape_agrees_with_the_events_of_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.jsonl");
    let cart = start(dir.path(), &["--events", file.to_str().unwrap()]);
    // While the engine starts, events name no provider: what is compared is a session that infers.
    let scrape = scrape_until(cart.address, |s| {
        [
            "echocart_estimates_total",
            "echocart_inference_seconds_count",
        ]
        .iter()
        .all(|name| sample(s, name).is_some_and(|n| n >= 2.0))
    });
    drop(cart);
    let counted = sample(&scrape, "echocart_estimates_total").unwrap();
    let lines = std::fs::read_to_string(&file).unwrap();
    let estimates = lines
        .lines()
        .filter(|l| l.starts_with(r#"{"type":"estimate""#))
        .count();
    assert!(
        estimates as f64 >= counted,
        "{estimates} in the file, {counted} scraped"
    );
    // The run was killed: its last line may be half written.
    let parsed = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
    let mut all = lines.lines().rev().filter_map(parsed);
    let newest = all.find(|e| e["session"].is_object()).unwrap();
    let session = &newest["session"];
    for key in ["package", "provider", "config", "library"] {
        let label = format!("{key}=\"{}\"", session[key].as_str().unwrap());
        assert!(scrape.contains(&label), "{label} is not in {scrape}");
    }
}

#[test]
fn a_json_log_is_one_object_a_line_and_names_no_value() {
    let dir = tempfile::tempdir().unwrap();
    let output = echocart()
        .unwrap()
        .args([
            "run",
            "--headless",
            "--pace",
            "max",
            "--seconds",
            "6",
            "--log",
            "json",
        ])
        .args([
            "--log-level",
            "debug",
            "--source",
            "phantom:view=A4C,ef=55",
            "--package",
        ])
        .arg(fetched("packages/generated").unwrap())
        .current_dir(dir.path())
        .env("ORT_LOG", "error")
        .arg("--library")
        .arg(library())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines: Vec<serde_json::Value> = said
        .lines()
        .filter(|l| l.starts_with('{'))
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let messages: BTreeSet<&str> = lines.iter().filter_map(|l| l["message"].as_str()).collect();
    for message in [
        "effective configuration",
        "started",
        "estimate",
        "state",
        "summary",
    ] {
        assert!(
            messages.contains(message),
            "{message} is not in {messages:?}"
        );
    }
    let configured = |l: &&serde_json::Value| l["message"] == "effective configuration";
    let of_the_run: Vec<&serde_json::Value> = lines.iter().filter(|l| !configured(l)).collect();
    for forbidden in ["percent", "probabilities", "exam", "\"A4C\""] {
        assert!(
            !of_the_run.iter().any(|l| l.to_string().contains(forbidden)),
            "{forbidden}: {said}"
        );
    }
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn library() -> std::path::PathBuf {
    let folder = fetched("lib/onnxruntime-1.28.0").unwrap();
    let mut files = vec![folder];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|f| f.unwrap().path()));
        } else if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("libonnxruntime.so")
        {
            return path;
        }
    }
    panic!("no library");
}
