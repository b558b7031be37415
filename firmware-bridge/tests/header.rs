//! The committed header is what the sources say, and the numbers in it agree with each other.
//!
//! `ECHOCART_WRITE_HEADER=1 cargo test -p echocart-bridge --test header` rewrites it.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use echocart::{Code, abi};
use std::path::PathBuf;

const WRITE: &str = "ECHOCART_WRITE_HEADER";
const CALL: &str = "ECHOCART_CALL ";
/// What the header is made from; cbindgen finds the submodules itself.
const SOURCES: [&str; 7] = [
    "abi",
    "layout",
    "codes",
    "shims/mod",
    "shims/session",
    "shims/frame",
    "shims/result",
];
const POINTER: &str = "typedef void (*echocart_";
/// What functions return.
const RETURNS: [&str; 2] = ["uint32_t ", "const char *"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn committed() -> String {
    let path = root().join("include/echocart.h");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{e}: {}", path.display()))
}

fn generated() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES.iter().take(4) {
        builder = builder.with_src(root().join(format!("src/{source}.rs")));
    }
    let mut bytes = Vec::new();
    builder.generate().unwrap().write(&mut bytes);
    finish(&String::from_utf8(bytes).unwrap())
}

/// Leaves out the sections for Rust callers and adds the calling convention, which cbindgen does
/// not know.
fn finish(header: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut in_safety = false;
    let mut continues = false;
    for line in header.lines() {
        let comment = line.trim_start().starts_with("//");
        in_safety = comment && (in_safety || line.trim() == "// # Safety");
        if in_safety {
            continue;
        }
        if !comment && lines.last().is_some_and(|l| l.trim() == "//") {
            lines.pop();
        }
        if continues {
            lines.push(" ".repeat(CALL.len()) + line);
            continues = !line.ends_with(';');
            continue;
        }
        let line = &line.replace(POINTER, "typedef void (ECHOCART_CALL *echocart_");
        let rest = line.strip_prefix("ECHOCART_API ").unwrap_or(line);
        let name = RETURNS.iter().find_map(|r| rest.strip_prefix(r));
        let Some(name) = name.filter(|n| n.starts_with("echocart_")) else {
            lines.push(line.clone());
            continue;
        };
        lines.push(line.replace(name, &format!("{CALL}{name}")));
        continues = !line.ends_with(';');
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let generated = generated();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(root().join("include/echocart.h"), &generated).unwrap();
    }
    let committed = committed();
    let differing = committed
        .lines()
        .zip(generated.lines())
        .position(|(a, b)| a != b);
    assert!(
        committed == generated,
        "include/echocart.h is not what src/ says, first at line {}; {WRITE}=1 rewrites it",
        differing.map_or(
            committed.lines().count().min(generated.lines().count()),
            |n| n
        ) + 1
    );
}

#[test]
fn every_code_stands_in_the_header_with_its_number() {
    let header = committed();
    for (code, name) in Code::ALL {
        let line = format!("#define {name} {}", *code as u32);
        assert!(header.lines().any(|l| l == line), "{line}");
    }
}

#[test]
fn every_struct_size_asserted_in_c_is_the_size_in_rust() {
    let header = committed();
    for (name, bytes) in [
        ("segment", size_of::<abi::echocart_segment_t>()),
        ("output", size_of::<abi::echocart_output_t>()),
        ("counters", size_of::<abi::echocart_counters_t>()),
        ("session_info", size_of::<abi::echocart_session_info_t>()),
        ("result", size_of::<abi::echocart_result_t>()),
        ("histogram", size_of::<abi::echocart_histogram_t>()),
        ("session_stats", size_of::<abi::echocart_session_stats_t>()),
        (
            "session_memory",
            size_of::<abi::echocart_session_memory_t>(),
        ),
        ("self_test", size_of::<abi::echocart_self_test_t>()),
        (
            "session_config",
            size_of::<abi::echocart_session_config_t>(),
        ),
        ("frame", size_of::<abi::echocart_frame_t>()),
    ] {
        let line = format!("ECHOCART_ASSERT_SIZE(echocart_{name}_t, {bytes});");
        assert!(header.contains(&line), "{line}");
    }
    assert_eq!(header.matches("ECHOCART_ASSERT_SIZE(echocart_").count(), 11);
}

#[test]
fn the_abis_major_version_is_the_crates_and_the_sonames() {
    let major: u32 = env!("CARGO_PKG_VERSION_MAJOR").parse().unwrap();
    let minor = abi::ECHOCART_ABI_MINOR;
    assert_eq!(abi::ECHOCART_ABI_MAJOR, major);
    assert_eq!(abi::ECHOCART_ABI_VERSION, major * 65_536 + minor);
    let build = std::fs::read_to_string(root().join("build.rs")).unwrap();
    let soname = format!("-soname,libechocart.so.{major}\"");
    assert!(build.contains(&soname), "{soname}");
}

#[test]
fn every_function_has_the_calling_convention_and_the_export_mark() {
    let header = committed();
    let functions: usize = SOURCES
        .iter()
        .map(|name| {
            let source = std::fs::read_to_string(root().join(format!("src/{name}.rs"))).unwrap();
            source.matches("#[unsafe(no_mangle)]").count()
        })
        .sum();
    assert!(functions > 20);
    assert_eq!(header.matches("ECHOCART_CALL echocart_").count(), functions);
    assert_eq!(header.matches("\nECHOCART_API").count(), functions);
}

#[test]
fn the_header_has_no_type_whose_size_varies_and_no_enum() {
    let header = committed();
    let code = header
        .lines()
        .map(|l| l.split("//").next().unwrap_or_default());
    for line in code {
        for word in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let varies = ["long", "bool", "enum", "size_t", "int", "unsigned"];
            assert!(!varies.contains(&word), "{line}");
        }
    }
}
