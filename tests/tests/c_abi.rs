//! The C ABI from C: the example against the command line bit for bit, and the contract broken
//! rule by rule, plain and under the address and undefined-behaviour sanitizers.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod native;

use echocart::{Code, abi};
use echocart_core::config::DEMO_TOML;
use echocart_core::dump::DumpWriter;
use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::hash::sha256_hex;
use echocart_tests::{echocart, events, fetched, generated_at, text};
use native::{
    STRICT, compile, deps, run, runtime_library, sanitized_run, shared_library, source, succeed,
    worker,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Codes that only the bridge's own tests can provoke: a failing thread, a runtime library that
/// has the right hash and does not load, and a panic.
const ELSEWHERE: [Code; 4] = [
    Code::ThreadFailed,
    Code::LibraryFailed,
    Code::Panic,
    Code::Poisoned,
];

fn write_dump(path: &Path, frames: u64) {
    let format = PixelFormat::Gray8;
    let (width_px, height_px) = (96, 80);
    let mut writer = DumpWriter::new(fs::File::create(path).unwrap()).unwrap();
    for number in 0..frames {
        let meta = FrameMeta {
            width_px,
            height_px,
            format,
            capture_nanos: number as i64 * 40_000_000,
            pass: 0,
            host: Default::default(),
        };
        let pixels: Vec<u8> = (0..meta.frame_bytes() as u64)
            .map(|at| ((at * (number + 3)) % 253) as u8)
            .collect();
        writer.frame(&meta, &pixels).unwrap();
    }
    writer.finish().unwrap();
}

fn minimal(command: &mut Command, dump: &Path) -> String {
    let package = fetched("packages/generated").unwrap();
    succeed(command.arg(dump).arg(package).arg(runtime_library()))
}

/// Words of the estimate lines between `from` and `to`, by clip.
fn raw_words<'a>(output: &'a str, from: &str, to: &str) -> Vec<Vec<&'a str>> {
    let estimates = output.lines().filter(|l| l.starts_with("estimate "));
    estimates
        .map(|line| {
            let words = line.split_whitespace().skip_while(|w| *w != from).skip(1);
            words.take_while(|w| *w != to).collect()
        })
        .collect()
}

fn raw_bits(events: &[Value], head: &str) -> Vec<Vec<String>> {
    let estimates = events.iter().filter(|e| e["type"] == "estimate");
    estimates
        .map(|e| {
            let numbers = e["raw"][head].as_array().into_iter().flatten();
            numbers
                .map(|n| format!("{:08x}", (n.as_f64().unwrap() as f32).to_bits()))
                .collect()
        })
        .collect()
}

#[test]
fn the_example_gets_the_command_lines_raw_numbers_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (dump, lines) = (dir.path().join("frames"), dir.path().join("events"));
    let mut cart = echocart().unwrap();
    cart.args(["run", "--pace", "max", "--headless", "--loop"])
        .args(["--seconds", "6", "--source"])
        .arg(fetched("data/color3d_jpeg_baseline.dcm").unwrap())
        .arg("--package")
        .arg(fetched("packages/generated").unwrap())
        .arg("--events")
        .arg(&lines)
        .arg("--dump-frames")
        .arg(&dump);
    succeed(&mut cart);
    let events = events(&lines).unwrap();

    let plain = compile(dir.path(), "firmware-bridge/examples/minimal.c", false);
    let output = minimal(&mut Command::new(plain), &dump);
    let (view, lvef) = (raw_bits(&events, "view"), raw_bits(&events, "lvef"));
    assert!(view.len() >= 10 && view.iter().all(|v| v.len() == 13));
    assert!(lvef.iter().any(|l| l.len() == 1));
    assert_eq!(raw_words(&output, "view", "lvef"), view);
    assert_eq!(raw_words(&output, "lvef", "status"), lvef);

    let last = events.last().unwrap();
    let count = |key: &str| last[key].as_u64().unwrap();
    let summary = format!(
        "summary captured {} used {} unused {} dropped 0 rejected 0 in_flight 0 estimates {} \
         results_dropped 0",
        count("captured"),
        count("used"),
        count("unused"),
        count("estimates"),
    );
    assert_eq!(output.lines().last(), Some(summary.as_str()));
}

#[test]
fn the_example_is_clean_under_the_sanitizers_and_says_what_is_wrong_with_a_dump() {
    let dir = tempfile::tempdir().unwrap();
    let dump = dir.path().join("frames");
    write_dump(&dump, 100);
    let program = compile(dir.path(), "firmware-bridge/examples/minimal.c", true);
    let output = minimal(&mut sanitized_run(&program), &dump);
    let clips = raw_words(&output, "view", "lvef");
    assert!(
        clips.len() > 4 && clips.iter().all(|c| c.len() == 13),
        "{output}"
    );
    assert!(output.contains("summary captured 100 "), "{output}");

    let bytes = fs::read(&dump).unwrap();
    fs::write(&dump, &bytes[..bytes.len() - 10]).unwrap();
    let package = fetched("packages/generated").unwrap();
    let mut cut = sanitized_run(&program);
    let output = run(cut.arg(&dump).arg(package).arg(runtime_library()));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("cut off"), "{}", text(&output));
}

#[test]
fn what_is_made_before_a_refusal_is_freed_again() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "tests/c/refusals.c", true);
    assert_eq!(succeed(&mut sanitized_run(&program)), "");
}

#[test]
fn the_example_links_against_the_static_library_and_compiles_as_cpp() {
    let dir = tempfile::tempdir().unwrap();
    let example = source("firmware-bridge/examples/minimal.c");
    let include = source("firmware-bridge/include");
    let mut gxx = Command::new("g++");
    gxx.args(["-x", "c++", "-std=c++17", "-fsyntax-only"])
        .args(&STRICT[1..])
        .arg("-I")
        .arg(&include)
        .arg(&example);
    succeed(&mut gxx);

    let program = dir.path().join("static");
    fs::copy(worker(), dir.path().join("echocart-worker")).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(STRICT)
        .arg("-I")
        .arg(include)
        .arg(example)
        .arg(deps().join("libechocart.a"))
        .args(["-lm", "-ldl", "-o"])
        .arg(&program);
    succeed(&mut gcc);
    let dump = dir.path().join("frames");
    write_dump(&dump, 60);
    let output = minimal(&mut Command::new(program), &dump);
    assert!(output.contains("summary captured 60 "), "{output}");
}

#[test]
fn the_header_and_the_examples_compile_for_windows() {
    const GCC: &str = "x86_64-w64-mingw32-gcc";
    const GXX: &str = "x86_64-w64-mingw32-g++";
    if Command::new(GCC).arg("--version").output().is_err() {
        println!("skipped: {GCC} is not here (apt-get install g++-mingw-w64-x86-64)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bridge = source("firmware-bridge");
    for static_library in [&[][..], &["-DECHOCART_STATIC"]] {
        for (compiler, standard, example) in [
            (GCC, "-std=c11", "examples/minimal.c"),
            (GCC, "-std=c11", "examples/scanner_ui.c"),
            (GXX, "-std=c++17", "examples/estimate.cpp"),
        ] {
            let mut gcc = Command::new(compiler);
            gcc.args([standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-c"])
                .args(static_library)
                .arg("-I")
                .arg(bridge.join("include"))
                .arg("-I")
                .arg(bridge.join("wrapper"))
                .arg(bridge.join(example))
                .arg("-o")
                .arg(dir.path().join("windows.o"));
            succeed(&mut gcc);
        }
    }
}

#[test]
fn forks_and_an_unloading_host_leave_the_session_running() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("process");
    let mut gcc = Command::new("gcc");
    gcc.args(STRICT)
        .arg("-I")
        .arg(source("firmware-bridge/include"))
        .arg(source("tests/c/process.c"))
        .args(["-ldl", "-o"])
        .arg(&program);
    succeed(&mut gcc);
    let mut process = Command::new(program);
    process.arg(shared_library());
    process.arg(fetched("packages/generated").unwrap());
    assert_eq!(succeed(process.arg(runtime_library())), "");
}

/// Makes what `contract.c` needs: configurations, broken packages, a second runtime library.
fn contract_folder(dir: &Path) {
    let toml = |name: &str, from: &str, to: &str| {
        let text = DEMO_TOML.replace(from, to);
        assert_ne!(text, DEMO_TOML, "{from}");
        fs::write(dir.join(name), text).unwrap();
    };
    toml(
        "signed-only.toml",
        "allow_unsigned = true",
        "allow_unsigned = false",
    );
    toml("auto.toml", "\"degrade\"", "\"auto\"");
    toml("short-queue.toml", "event_queue = 256", "event_queue = 16");
    toml(
        "short-lived.toml",
        "valid_for_millis = 3000",
        "valid_for_millis = 300",
    );
    fs::write(dir.join("demo.toml"), DEMO_TOML).unwrap();
    fs::copy(runtime_library(), dir.join("libonnxruntime-copy.so")).unwrap();

    let package = |name: &str| {
        let to = dir.join(name);
        generated_at(&to, "").unwrap();
        to
    };
    let manifest = |package: &Path, from: &str, to: &str| {
        let path = package.join("package.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replace(from, to)).unwrap();
    };
    manifest(
        &package("invalid"),
        "family = \"vjepa2\"",
        "family = \"other\"",
    );
    let many: String = (0..32).map(|n| format!("\"X{n}\", ")).collect();
    manifest(
        &package("many-labels"),
        "labels = [",
        &format!("labels = [{many}"),
    );

    let swapped = package("swapped");
    manifest(
        &swapped,
        "frames = \"golden.heart1.frames\"",
        "frames = \"golden.pattern0.frames\"",
    );
    manifest(
        &swapped,
        "frames = \"golden.heart2.frames\"",
        "frames = \"golden.heart1.frames\"",
    );
    manifest(
        &swapped,
        "frames = \"golden.pattern0.frames\"",
        "frames = \"golden.heart2.frames\"",
    );

    let altered = package("altered").join("head.view.fp32.weights");
    let mut bytes = fs::read(&altered).unwrap();
    bytes[1000] ^= 1;
    fs::write(&altered, bytes).unwrap();

    let bad_graph = package("bad-graph");
    let graph = bad_graph.join("head.view.s1.fp32.onnx");
    let bytes = fs::read(&graph).unwrap();
    let garbage = vec![0xA5; bytes.len()];
    manifest(&bad_graph, &sha256_hex(&bytes), &sha256_hex(&garbage));
    fs::write(&graph, garbage).unwrap();
}

fn contract(command: &mut Command, dir: &Path, isolation: u32) -> BTreeSet<u32> {
    let package = fetched("packages/generated").unwrap();
    command.arg(package).arg(runtime_library()).arg(dir);
    let output = run(command.arg(isolation.to_string()));
    assert!(output.status.success(), "{}", text(&output));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "the library printed: {errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let codes = lines.lines().map(|l| l.strip_prefix("code ").unwrap());
    codes.map(|n| n.parse().unwrap()).collect()
}

#[test]
fn every_code_is_provoked_and_the_library_prints_nothing() {
    let dir = tempfile::tempdir().unwrap();
    contract_folder(dir.path());
    let plain = compile(dir.path(), "tests/c/contract.c", false);
    let expected: BTreeSet<u32> = Code::ALL
        .iter()
        .filter(|(code, _)| !ELSEWHERE.contains(code))
        .map(|(code, _)| *code as u32)
        .collect();
    for isolation in [
        abi::ECHOCART_ISOLATION_DEFAULT,
        abi::ECHOCART_ISOLATION_IN_PROCESS,
    ] {
        let found = contract(&mut Command::new(&plain), dir.path(), isolation);
        assert_eq!(found, expected, "isolation {isolation}");
    }
}

#[test]
fn the_contract_holds_under_the_sanitizers() {
    let dir = tempfile::tempdir().unwrap();
    contract_folder(dir.path());
    let program = compile(dir.path(), "tests/c/contract.c", true);
    for isolation in [
        abi::ECHOCART_ISOLATION_WORKER,
        abi::ECHOCART_ISOLATION_IN_PROCESS,
    ] {
        let found = contract(&mut sanitized_run(&program), dir.path(), isolation);
        assert!(found.contains(&(Code::WouldBlock as u32)));
    }
}

#[test]
fn nothing_but_the_headers_functions_is_exported_under_the_abis_soname() {
    let library = shared_library();
    let symbols = succeed(
        Command::new("nm")
            .args(["-D", "--defined-only"])
            .arg(&library),
    );
    let exported: BTreeSet<&str> = symbols
        .lines()
        .filter_map(|l| l.split_whitespace().last())
        .collect();
    let header = fs::read_to_string(source("firmware-bridge/include/echocart.h")).unwrap();
    let declared: BTreeSet<&str> = header
        .lines()
        .filter_map(|l| l.split("ECHOCART_CALL ").nth(1))
        .filter_map(|l| l.split('(').next())
        .filter(|name| name.starts_with("echocart_"))
        .collect();
    assert_eq!(exported, declared);
    let dynamic = succeed(Command::new("readelf").arg("-d").arg(&library));
    let soname = format!("soname: [libechocart.so.{}]", abi::ECHOCART_ABI_MAJOR);
    assert!(dynamic.contains(&soname), "{dynamic}");
    for foreign in ["opencv", "tokio", "onnxruntime", "libstdc++"] {
        assert!(!dynamic.contains(foreign), "{dynamic}");
    }
}
