//! The engine's process through the binary: killed, stopped, missing, refused; what the page's
//! events say, and that nothing is left behind.

#![expect(clippy::unwrap_used, reason = "test helpers")]

mod plain;
mod zeroed;

use echocart_core::hash;
use echocart_core::manifest::Manifest;
use echocart_tests::{build_dir, demo_config, echocart, events, fetched, text};
use plain::plain_package;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use zeroed::zeroed;

const CINE: &str = "data/color3d_jpeg_baseline.dcm";
const PATIENCE: Duration = Duration::from_secs(120);

/// The demo's configuration on any free port, with another `[engine]` table if one is given.
fn config(dir: &Path, engine: Option<&str>) -> PathBuf {
    let demo = demo_config(dir).unwrap();
    let (_, rest) = demo.split_once("[package]").unwrap();
    let engine = engine.unwrap_or("providers = [\"CPU\"]\npolicy = \"degrade\"");
    let text = format!("[engine]\nintra_op_threads = 2\n{engine}\n[package]{rest}");
    let path = dir.join("cart.toml");
    fs::write(&path, text).unwrap();
    path
}

fn signal(pid: u32, name: &str) {
    let mut kill = Command::new("kill");
    let status = kill.arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(status.unwrap().success());
}

/// A cart with a page.
struct Cart {
    process: Child,
    address: String,
    log: PathBuf,
}

impl Drop for Cart {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Cart {
    fn start(dir: &TempDir, config: &Path, package: &Path) -> Self {
        let log = dir.path().join("events.jsonl");
        let mut run = echocart().unwrap();
        run.args(["run", "--loop", "--source"])
            .arg(fetched(CINE).unwrap())
            .arg("--package")
            .arg(package)
            .arg("--config")
            .arg(config)
            .arg("--events")
            .arg(&log);
        let run = run.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = run.spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "no page");
            if let Some(address) = line.trim().strip_prefix("page: http://") {
                break address.to_owned();
            }
        };
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Self {
            process,
            address,
            log,
        }
    }

    /// Waits for an event after the first `from` that is as wanted; gives its place and itself.
    #[track_caller]
    fn wait(&self, from: usize, wanted: impl Fn(&Value) -> bool) -> (usize, Value) {
        let begin = Instant::now();
        loop {
            // The last line may be half written.
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let all = text.lines().map_while(|l| serde_json::from_str(l).ok());
            let all: Vec<Value> = all.collect();
            let found = all.iter().enumerate().skip(from).find(|(_, e)| wanted(e));
            if let Some((at, event)) = found {
                return (at, event.clone());
            }
            let newest = all.last();
            assert!(begin.elapsed() < PATIENCE, "never came: {newest:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn get(&self, path: &str) -> String {
        let address = self.address.trim_end_matches('/');
        let mut stream = TcpStream::connect(address).unwrap();
        let ask = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Its worker, if it has one.
    fn worker(&self) -> Option<u32> {
        let own = self.process.id().to_string();
        let entries = fs::read_dir("/proc").unwrap();
        let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
        let mut pids = names.filter_map(|name| name.parse::<u32>().ok());
        pids.find(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            rest.split_whitespace().nth(1) == Some(own.as_str())
        })
    }
}

fn is_state<'a>(kind: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |event| event["state"] == kind
}

fn is_inferred(event: &Value) -> bool {
    event["raw"].is_object()
}

fn is_down(event: &Value) -> bool {
    event["type"] == "estimate" && event["view"]["reason"] == "ENGINE_DOWN"
}

#[test]
fn a_killed_or_stopped_worker_is_engine_down_and_comes_back_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let package = fetched("packages/generated").unwrap();
    let mut cart = Cart::start(&dir, &config(dir.path(), None), &package);
    let (mut at, _) = cart.wait(0, is_inferred);
    for how in ["KILL", "STOP"] {
        let worker = cart.worker().unwrap();
        signal(worker, how);
        let (down, event) = cart.wait(at, is_state("ENGINE_DOWN"));
        let detail = event["detail"].as_str().unwrap();
        let expected = if how == "KILL" {
            "signal 9"
        } else {
            "no sign of life"
        };
        assert!(detail.contains(expected), "{detail}");
        let banners = event["session"]["banners"].as_array().unwrap();
        assert!(
            banners
                .iter()
                .any(|b| b.as_str().unwrap().contains(expected))
        );
        let (_, estimate) = cart.wait(down, is_down);
        assert!(estimate["degraded"].as_str().unwrap().contains(expected));
        let (ready, _) = cart.wait(down, is_state("ENGINE_READY"));
        (at, _) = cart.wait(ready, is_inferred);
        assert!(cart.worker().is_some_and(|now| now != worker));
        assert!(!Path::new(&format!("/proc/{worker}")).exists());
    }
    let scrape = cart.get("/metrics");
    let times = "echocart_states_total{state=\"ENGINE_DOWN\"} 2";
    assert!(scrape.contains(times), "{scrape}");
    assert!(scrape.contains("echocart_engine_down 0"), "{scrape}");
    let worker = cart.worker().unwrap();
    signal(cart.process.id(), "INT");
    assert_eq!(cart.process.wait().unwrap().code(), Some(0));
    let begin = Instant::now();
    while Path::new(&format!("/proc/{worker}/exe")).exists() {
        assert!(begin.elapsed() < PATIENCE, "the worker outlives its host");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every event after the first says that no engine serves, and why.
fn assert_down_all_along(dir: &TempDir, config: &Path, package: &Path, words: &[&str]) {
    let cart = Cart::start(dir, config, package);
    let (down, event) = cart.wait(0, |e| {
        let started = e["state"] == "STARTED" && e["degraded"].is_string();
        started || e["state"] == "ENGINE_DOWN"
    });
    for word in words {
        let degraded = event["degraded"].as_str().unwrap();
        assert!(degraded.contains(word), "{word}: {degraded}");
    }
    let (later, estimate) = cart.wait(down, |e| is_down(e) && e["clip"].as_u64() > Some(3));
    for word in words {
        let degraded = estimate["degraded"].as_str().unwrap();
        assert!(degraded.contains(word), "{word}: {degraded}");
    }
    let ready = cart.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(cart.get("/").starts_with("HTTP/1.1 200"));
    assert!(cart.get("/metrics").contains("echocart_engine_down 1"));
    let (text, _) = (fs::read_to_string(&cart.log).unwrap(), later);
    assert!(!text.contains("\"raw\":{"), "{text}");
}

#[test]
fn a_variant_that_fails_the_gate_gives_a_page_that_names_it_under_strict_and_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let package = zeroed(dir.path());
    let library = fetched("lib/onnxruntime-1.28.0/libonnxruntime.so.1.28.0").unwrap();
    let (hash, _) = hash::sha256_file(&library).unwrap();
    let pinned = format!("policy = \"pinned\"\nvariant = \"fp32\"\nlibraries = [\"{hash}\"]");
    for (policy, isolation) in [
        ("policy = \"strict\"", "worker"),
        ("policy = \"strict\"", "in_process"),
        (&*pinned, "worker"),
    ] {
        let engine = format!("providers = [\"CPU\"]\nisolation = \"{isolation}\"\n{policy}");
        let config = config(dir.path(), Some(&engine));
        let words = ["variant fp32 on CPU", "head lvef"];
        assert_down_all_along(&dir, &config, &package, &words);
    }
}

#[test]
fn without_the_worker_there_is_a_page_that_says_so_and_a_batch_run_fails() {
    let dir = tempfile::tempdir().unwrap();
    let engine =
        "providers = [\"CPU\"]\npolicy = \"strict\"\nworker = \"/nowhere/echocart-worker\"";
    let config = config(dir.path(), Some(engine));
    let package = fetched("packages/generated").unwrap();
    assert_down_all_along(&dir, &config, &package, &["worker missing", "/nowhere"]);
    for headless in [
        ["--headless", "--pace", "real"],
        ["--headless", "--pace", "max"],
    ] {
        let mut run = echocart().unwrap();
        run.arg("run").args(headless).arg("--config").arg(&config);
        let output = run.arg("--package").arg(&package).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{}", text(&output));
        assert!(
            text(&output).contains("worker missing"),
            "{}",
            text(&output)
        );
    }
    let mut doctor = echocart().unwrap();
    let output = doctor.arg("doctor").arg("--config").arg(&config).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert!(
        text(&output).contains("worker missing"),
        "{}",
        text(&output)
    );
}

/// A root whose OpenVINO libraries are whole but for one file, which is cut short.
fn damaged(dir: &Path) -> PathBuf {
    let lib = dir.join("root/.echocart/lib");
    fs::create_dir_all(lib.join("openvino-1.24.1")).unwrap();
    let plain = fetched("lib/onnxruntime-1.28.0").unwrap();
    std::os::unix::fs::symlink(plain, lib.join("onnxruntime-1.28.0")).unwrap();
    for entry in fs::read_dir(fetched("lib/openvino-1.24.1").unwrap()).unwrap() {
        let from = entry.unwrap().path();
        let name = from.file_name().unwrap().to_owned();
        let to = lib.join("openvino-1.24.1").join(&name);
        if name == "libopenvino_onnx_frontend.so.2541" {
            let bytes = fs::read(&from).unwrap();
            fs::write(&to, &bytes[..bytes.len() / 2]).unwrap();
        } else if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).unwrap();
        }
    }
    dir.join("root")
}

#[test]
fn a_damaged_provider_library_is_named_and_never_a_silent_run_on_the_cpu() {
    if cfg!(not(target_arch = "x86_64")) {
        println!("skipped: no OpenVINO library for this architecture");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (package, root) = (dir.path().join("both"), damaged(dir.path()));
    let providers = ["OpenVINO", "CPU"];
    plain_package(
        &fetched("packages/generated").unwrap(),
        &package,
        &providers,
    )
    .unwrap();
    let run = |policy: &str| {
        let engine = format!("providers = [\"OpenVINO\", \"CPU\"]\npolicy = \"{policy}\"");
        let log = dir.path().join(format!("{policy}.jsonl"));
        let mut run = Command::new(build_dir().unwrap().join("echocart"));
        run.current_dir(&root)
            .args([
                "run",
                "--headless",
                "--pace",
                "max",
                "--seconds",
                "3",
                "--source",
            ])
            .arg(fetched(CINE).unwrap())
            .arg("--package")
            .arg(&package)
            .arg("--config")
            .arg(config(dir.path(), Some(&engine)))
            .arg("--events")
            .arg(&log);
        (run.output().unwrap(), log)
    };
    let (output, _) = run("strict");
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    for word in [
        "libopenvino_onnx_frontend",
        "runtime-libs --provider openvino",
    ] {
        assert!(text(&output).contains(word), "{}", text(&output));
    }
    let (output, log) = run("degrade");
    assert!(output.status.success(), "{}", text(&output));
    let log = events(&log).unwrap();
    let told = log.iter().filter(|e| e["type"] != "summary");
    for event in told {
        let degraded = event["degraded"].as_str().unwrap_or_default();
        assert!(degraded.contains("OpenVINO does not serve"), "{event}");
        assert!(degraded.contains("libopenvino_onnx_frontend"), "{event}");
    }
    assert_eq!(log[0]["session"]["provider"], "CPU");
    assert!(log.iter().any(is_inferred));
}

#[test]
fn the_wanted_provider_takes_over_from_the_one_that_serves_meanwhile() {
    if cfg!(not(target_arch = "x86_64")) {
        println!("skipped: no OpenVINO library for this architecture");
        return;
    }
    fetched("lib/openvino-1.24.1").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("both");
    plain_package(
        &fetched("packages/generated").unwrap(),
        &package,
        &["OpenVINO"],
    )
    .unwrap();
    let engine = "providers = [\"OpenVINO\", \"CPU\"]\npolicy = \"degrade\"\nmeanwhile = \"CPU\"";
    let cart = Cart::start(&dir, &config(dir.path(), Some(engine)), &package);
    let served_by = |provider: &'static str| {
        // One that is ready before the session begins is told of by STARTED.
        let told = ["STARTED", "ENGINE_READY"];
        move |e: &Value| {
            told.iter().any(|state| e["state"] == *state) && e["session"]["provider"] == provider
        }
    };
    let (cpu, ready) = cart.wait(0, served_by("CPU"));
    assert!(
        ready["degraded"]
            .as_str()
            .unwrap()
            .contains("OpenVINO is not ready")
    );
    let (_, number) = cart.wait(cpu, is_inferred);
    assert_eq!(number["provider"], "CPU");
    cart.wait(0, is_state("ENGINE_PROGRESS"));
    let (change, ready) = cart.wait(cpu, served_by("OpenVINO"));
    assert!(ready["degraded"].is_null(), "{ready}");
    let (_, number) = cart.wait(change, is_inferred);
    assert_eq!(number["provider"], "OpenVINO");
    assert!(number["degraded"].is_null());
    assert_eq!(number["lvef"]["reason"], "WARMING_UP");
    let log = fs::read_to_string(&cart.log).unwrap();
    assert!(!log.contains("ENGINE_DOWN"), "{log}");
}

#[test]
fn a_provider_that_is_refused_gives_way_to_one_of_another_library() {
    if cfg!(not(target_arch = "x86_64")) {
        println!("skipped: no OpenVINO library for this architecture");
        return;
    }
    fetched("lib/openvino-1.24.1").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("both");
    plain_package(
        &fetched("packages/generated").unwrap(),
        &package,
        &["OpenVINO"],
    )
    .unwrap();
    let path = package.join("package.toml");
    let mut manifest: Manifest = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let plain = manifest.variants.get_mut(plain::PLAIN).unwrap();
    plain.tolerance.tokens_relative_rms = 1e-12;
    fs::write(&path, toml::to_string(&manifest).unwrap()).unwrap();
    let engine = "providers = [\"OpenVINO\", \"CPU\"]\npolicy = \"degrade\"";
    let config = config(dir.path(), Some(engine));
    let refused = ["OpenVINO does not serve", "variant plain on OpenVINO"];

    let cart = Cart::start(&dir, &config, &package);
    let (ready, event) = cart.wait(0, is_state("ENGINE_READY"));
    assert_eq!(event["session"]["provider"], "CPU");
    assert_eq!(event["session"]["library"], "onnxruntime 1.28.0");
    let (_, number) = cart.wait(ready, is_inferred);
    for word in refused {
        assert!(
            number["degraded"].as_str().unwrap().contains(word),
            "{number}"
        );
    }
    drop(cart);

    let mut doctor = echocart().unwrap();
    let doctor = doctor.args(["doctor", "--json", "--config"]).arg(&config);
    let output = doctor.arg("--package").arg(&package).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let policy = &report["policy"];
    assert_eq!(policy["detail"], "CPU fp32 on onnxruntime 1.28.0");
    for word in refused {
        assert!(
            policy["degraded"].as_str().unwrap().contains(word),
            "{policy}"
        );
    }
}

#[test]
fn auto_measures_while_another_provider_serves() {
    if cfg!(not(target_arch = "x86_64")) {
        println!("skipped: no OpenVINO library for this architecture");
        return;
    }
    fetched("lib/openvino-1.24.1").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("both");
    plain_package(
        &fetched("packages/generated").unwrap(),
        &package,
        &["OpenVINO"],
    )
    .unwrap();
    let engine = "providers = [\"OpenVINO\", \"CPU\"]\npolicy = \"auto\"\nmeanwhile = \"CPU\"";
    let cart = Cart::start(&dir, &config(dir.path(), Some(engine)), &package);
    let (cpu, ready) = cart.wait(0, |e| e["session"]["provider"] == "CPU");
    let degraded = ready["degraded"].as_str().unwrap();
    assert!(
        degraded.contains("the fastest provider is not ready"),
        "{degraded}"
    );
    cart.wait(cpu, is_inferred);
    let measured = |e: &Value| {
        let detail = e["detail"].as_str().unwrap_or_default();
        detail.contains(" ms a clip, opened in ")
    };
    cart.wait(0, measured);
    // Whichever was faster serves in the end, and nothing is said against it.
    let (_, last) = cart.wait(cpu, |e| is_inferred(e) && e["degraded"].is_null());
    assert!(["CPU", "OpenVINO"].contains(&last["provider"].as_str().unwrap()));
    let log = fs::read_to_string(&cart.log).unwrap();
    assert!(!log.contains("ENGINE_DOWN"), "{log}");
}
