//! The delivery of `cargo xtask dist`: its bytes, its bill of materials, and programs built from it
//! in an empty folder with plain compilers.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod sdk;

use echocart_tests::{root, text};
use sdk::{Sdk, delivery, deps, dist, named, package_and_library, run, succeed};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FORBIDDEN: [&str; 3] = ["opencv", "tokio", "axum"];

fn there(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        println!("skipped: {tool} is not here");
    }
    found
}

#[test]
fn two_deliveries_of_the_same_library_are_the_same_bytes_and_their_sizes_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dist(&deps(), dir.path()));
    let printed = text(&output);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains(" bytes lib/libechocart.so."), "{printed}");
    for end in [".tar.gz", ".deb"] {
        let [one, two] = [dir.path(), delivery()].map(|at| fs::read(named(at, end)).unwrap());
        assert!(one == two && one.len() > 1_000_000, "{end}");
    }
}

/// Makes a `libechocart.a` from C.
fn library(dir: &Path, source: &str) {
    fs::write(dir.join("fake.c"), source).unwrap();
    let mut gcc = Command::new("gcc");
    succeed(gcc.current_dir(dir).args(["-c", "-fPIC", "fake.c"]));
    let mut ar = Command::new("ar");
    succeed(ar.current_dir(dir).args(["rcs", "libechocart.a", "fake.o"]));
}

#[test]
fn a_library_that_needs_too_much_or_lacks_a_function_is_not_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |expected: &str| {
        let output = run(dist(dir.path(), &dir.path().join("out")));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains(expected), "{}", text(&output));
    };
    let one =
        "void elsewhere(void);\nint getpid(void);\nuint32_t echocart_abi_version(void) { BODY }\n";
    let one = one.replace("uint32_t", "unsigned");
    library(dir.path(), &one.replace("BODY", "elsewhere(); return 0;"));
    refused("undefined reference to `elsewhere'");
    library(dir.path(), &one.replace("BODY", "return getpid();"));
    refused("every function of echocart.h in the library, found no echocart_");
}

#[test]
fn the_delivered_library_has_one_version_node_and_cannot_be_unloaded() {
    let sdk = Sdk::unpack();
    let library = sdk.root().join("lib/libechocart.so");
    let symbols = succeed(
        Command::new("nm")
            .args(["-D", "--defined-only"])
            .arg(&library),
    );
    let names: Vec<&str> = symbols
        .lines()
        .filter_map(|l| l.split(' ').nth(2))
        .collect();
    assert!(
        names.len() >= 25 && names.contains(&"echocart_frame_push@@ECHOCART_0"),
        "{symbols}"
    );
    for name in names {
        let versioned = name.starts_with("echocart_") && name.ends_with("@@ECHOCART_0");
        assert!(versioned || name == "ECHOCART_0", "{name}");
    }
    let dynamic = succeed(Command::new("readelf").arg("-d").arg(&library));
    assert!(
        dynamic.contains("NODELETE") && dynamic.contains("NOW"),
        "{dynamic}"
    );
    assert!(dynamic.contains("soname: [libechocart.so.0]"), "{dynamic}");
}

#[test]
fn the_bill_of_materials_lists_every_linked_crate_with_its_url_hash_and_licence() {
    let sdk = Sdk::unpack();
    let share = sdk.root().join("share/echocart");
    let bom = fs::read(share.join("sbom.cdx.json")).unwrap();
    let bom: Value = serde_json::from_slice(&bom).unwrap();
    assert_eq!(
        (&bom["bomFormat"], &bom["specVersion"]),
        (&"CycloneDX".into(), &"1.6".into())
    );
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let licences = fs::read_to_string(share.join("THIRD-PARTY.txt")).unwrap();
    let mut names = Vec::new();
    for component in bom["components"].as_array().unwrap() {
        let name = component["name"].as_str().unwrap();
        let hash = component["hashes"][0]["content"].as_str();
        if component["type"] == "file" {
            let bytes = fs::read(sdk.root().join(name)).unwrap();
            assert_eq!(
                hash,
                Some(&*echocart_core::hash::sha256_hex(&bytes)),
                "{name}"
            );
            continue;
        }
        let version = component["version"].as_str().unwrap();
        assert!(
            component["purl"]
                .as_str()
                .unwrap()
                .ends_with(&format!("{name}@{version}"))
        );
        assert!(component["licenses"][0]["expression"].is_string(), "{name}");
        assert!(licences.contains(&format!("{name}@{version}")), "{name}");
        if let Some(hash) = hash {
            assert!(lock.contains(hash), "{name}");
        } else {
            assert!(
                name.starts_with("echocart-") || name == "rust-std",
                "{name}"
            );
        }
        assert!(!FORBIDDEN.contains(&name), "{name}");
        names.push(name);
    }
    for expected in ["echocart-bridge", "echocart-core", "ort", "serde", "sha2"] {
        assert!(names.contains(&expected), "{expected}");
    }
    assert!(licences.matches("\n---- ").count() > 10);
}

#[test]
fn the_library_links_neither_opencv_nor_an_async_runtime() {
    let cargo = std::env::var_os("CARGO").unwrap();
    let mut tree = Command::new(cargo);
    tree.current_dir(root())
        .args(["tree", "-p", "echocart-bridge", "-e", "normal", "--locked"])
        .args(["--prefix", "none", "--format", "{p}"]);
    let tree = succeed(&mut tree);
    assert!(tree.contains("ort v"));
    for name in FORBIDDEN {
        assert!(!tree.lines().any(|line| line.starts_with(name)), "{name}");
    }
    let library = deps().join("libechocart.so");
    let needed = succeed(Command::new("ldd").arg(library));
    for name in ["opencv", "stdc++", "onnxruntime", "ssl"] {
        assert!(!needed.contains(name), "{needed}");
    }
}

#[test]
fn a_program_is_built_with_pkg_config_and_plain_gcc() {
    let sdk = Sdk::unpack();
    if !there("pkg-config") {
        return;
    }
    let mut words = Command::new("pkg-config");
    words
        .args(["--cflags", "--libs", "echocart"])
        .env("PKG_CONFIG_PATH", sdk.root().join("lib/pkgconfig"));
    let words = succeed(&mut words);
    let program = sdk.path("minimal");
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"])
        .arg(sdk.root().join("share/echocart/examples/minimal.c"))
        .args(words.split_whitespace())
        .arg(format!("-Wl,-rpath,{}", sdk.root().join("lib").display()))
        .arg("-o")
        .arg(&program);
    succeed(&mut gcc);
    let output = run(Command::new(program));
    assert!(
        text(&output).starts_with("usage: minimal"),
        "{}",
        text(&output)
    );
}

#[test]
fn the_examples_are_built_with_cmake_and_run() {
    let sdk = Sdk::unpack();
    if !there("cmake") {
        return;
    }
    let build = sdk.cmake("examples");
    let [package, library] = package_and_library();
    let program = |name: &str| {
        let mut command = Command::new(build.join(name));
        command.args([&package, &library]);
        command
    };
    let output = succeed(&mut program("estimate"));
    assert!(output.matches("clip ").count() > 3, "{output}");
    let output = succeed(program("scanner_ui").arg("1"));
    for line in [
        "AI off: lateness",
        "AI on: lateness",
        "AI on: push",
        "on minus off at p99.9",
    ] {
        assert!(output.contains(line), "{output}");
    }
    assert!(output.contains("frames taken "), "{output}");
    let output = run(program("minimal_static"));
    assert_eq!(output.status.code(), Some(2));
    let linked = succeed(Command::new("ldd").arg(build.join("minimal_static")));
    assert!(!linked.contains("echocart"), "{linked}");

    let mut missing = Command::new(build.join("estimate"));
    let output = run({
        missing.arg(sdk.path("no-package")).arg(&library);
        missing
    });
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("no-package"), "{}", text(&output));
}

fn python_folder(sdk: &Sdk) -> PathBuf {
    sdk.root().join("share/echocart/python")
}

/// Python that finds the delivered file.
fn python(sdk: &Sdk) -> Command {
    let mut python = Command::new("python3");
    python.arg("-B").env("PYTHONPATH", python_folder(sdk));
    python
}

const REFUSED: &str = r#"
import sys
import echocart
from echocart import C, Session

try:
    Session("/no/package", sys.argv[1])
except echocart.Error as error:
    assert error.code == C.PACKAGE_UNREADABLE and "/no/package" in str(error), error
else:
    raise AssertionError("a session without a package")
"#;

#[test]
fn the_python_file_agrees_with_the_header_and_serves_a_test_bench() {
    let sdk = Sdk::unpack();
    if !there("python3") {
        return;
    }
    let file = python_folder(&sdk).join("echocart.py");
    let printed = succeed(python(&sdk).arg(file));
    let sizes: BTreeMap<&str, &str> = printed
        .lines()
        .filter(|line| line.starts_with("echocart_"))
        .filter_map(|line| line.split_once(' '))
        .collect();
    let header = fs::read_to_string(sdk.root().join("include/echocart.h")).unwrap();
    let mut compared = 0;
    for line in header.lines() {
        let Some(rest) = line.strip_prefix("ECHOCART_ASSERT_SIZE(") else {
            continue;
        };
        let (name, bytes) = rest.trim_end_matches(");").split_once(", ").unwrap();
        assert_eq!(sizes.get(name), Some(&bytes), "{name}");
        compared += 1;
    }
    assert!(compared >= 7, "{printed}");

    let example = sdk.root().join("share/echocart/examples/estimate.py");
    let [package, library] = package_and_library();
    let printed = succeed(python(&sdk).arg(example).args([&package, &library]));
    let mut lines = printed.lines();
    assert_eq!(lines.next(), Some("CPU"), "{printed}");
    let estimates = lines.next().and_then(|l| l.strip_suffix(" estimates"));
    let estimates: u32 = estimates.unwrap().parse().unwrap();
    assert!(estimates > 3, "{printed}");
    succeed(python(&sdk).args(["-c", REFUSED]).arg(library));
}

#[test]
fn the_debian_package_holds_what_the_tar_file_holds() {
    let sdk = Sdk::unpack();
    if !there("dpkg-deb") {
        return;
    }
    let deb = named(delivery(), ".deb");
    let control = succeed(Command::new("dpkg-deb").arg("--info").arg(&deb));
    assert!(control.contains("Package: libechocart"), "{control}");
    assert!(control.contains("Depends: libc6 (>= 2."), "{control}");
    let installed = sdk.path("installed");
    succeed(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&deb)
            .arg(&installed),
    );
    let libraries = installed.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    for (ours, theirs) in [
        ("lib/libechocart.so", libraries.join("libechocart.so")),
        ("lib/libechocart.a", libraries.join("libechocart.a")),
        ("lib/echocart-worker", libraries.join("echocart-worker")),
        (
            "include/echocart.h",
            installed.join("usr/include/echocart.h"),
        ),
    ] {
        let ours = fs::read(sdk.root().join(ours)).unwrap();
        assert!(ours == fs::read(&theirs).unwrap(), "{}", theirs.display());
    }
    let mut words = Command::new("pkg-config");
    words
        .args(["--variable=libdir", "echocart"])
        .env("PKG_CONFIG_PATH", libraries.join("pkgconfig"));
    let found = succeed(&mut words);
    assert_eq!(fs::canonicalize(found.trim()).unwrap(), libraries);
}

const RECORDED: &str = r#"
import sys
from echocart import C, Error, Session

WIDTH, HEIGHT, FRAMES = 480, 360, 90
package, library, config, out = sys.argv[1:]

def inside(x, y):
    return abs(x) < 0.8 * y and x * x + y * y < 330 * 330

places = [(at % WIDTH - WIDTH // 2, at // WIDTH - 12) for at in range(WIDTH * HEIGHT)]
fan = bytes(1 + (x * x * 31 + y * 17 + x * y) % 255 if inside(x, y) else 0 for x, y in places)
fields = dict(config_toml=config, pace=C.PACE_MAX, allow_demonstration=1)
with Session(package, library, **fields) as session:
    session.start()
    for number in range(FRAMES):
        shades = bytes([0] + [30 + (shade + 7 * number) % 200 for shade in range(255)])
        pixels = fan.translate(shades)
        while session.push(pixels, WIDTH, HEIGHT, number * 33333333)[0] == C.WOULD_BLOCK:
            session.wait(1000)
    session.end_of_frames()
    ended = False
    while not ended:
        _, result = session.wait(1000000)
        ended = result is not None and result.kind == C.RESULT_STATE \
            and result.state == C.STATE_SOURCE_ENDED
    session.stop(10000000)
    records, frames = session.save(out)
    assert frames > 0 and records > FRAMES, (records, frames)
    try:
        session.save(out)
    except Error as error:
        assert error.code == C.SAVE_FAILED and out in str(error), error
    else:
        raise AssertionError("a recording was replaced")
"#;

#[test]
fn a_recording_saved_from_a_test_bench_replays_identically() {
    let sdk = Sdk::unpack();
    if !there("python3") {
        return;
    }
    let [package, library] = package_and_library();
    let recorder = "\n[recorder]\nbudget_mib = 16\nfolder = \"unused\"\n";
    let config = echocart_tests::demo_config(&sdk.path("")).unwrap() + recorder;
    let saved = sdk.path("saved.echorec");
    let mut python = python(&sdk);
    python
        .args(["-c", RECORDED])
        .args([&package, &library])
        .arg(config)
        .arg(&saved);
    succeed(&mut python);
    let mut replay = echocart_tests::echocart().unwrap();
    let printed = succeed(replay.arg("replay").arg(&saved));
    assert!(printed.contains("90 frames"), "{printed}");
    assert!(printed.ends_with("identical\n"), "{printed}");
}
