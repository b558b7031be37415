//! Engines opened and dropped many times in one process, which keeps its memory, threads and
//! descriptors.
//!
//! `ECHOCART_CYCLES` makes it fewer, without a look at the memory, and `ECHOCART_CYCLES_PACKAGE` takes
//! another package: for a run under valgrind, see `tests/benches/results/model.md`.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use echocart_core::config::{CartConfig, PackageConfig, Policy};
use echocart_core::engine::Engine;
use echocart_core::package::Package;
use echocart_infer::{Libraries, open_proven};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const CYCLES: usize = 200;
/// After so many the allocator has what it needs.
const SETTLED: usize = 50;
/// Below the 10 MiB of the demo's weights: one engine kept would be seen.
const MOST_GROWTH_KIB: i64 = 6 * 1024;

#[derive(Debug)]
struct Held {
    memory_kib: i64,
    threads: i64,
    descriptors: usize,
}

fn held() -> Held {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let number = |key: &str| {
        let line = status.lines().find(|l| l.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    Held {
        memory_kib: number("VmRSS:"),
        threads: number("Threads:"),
        descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
    }
}

#[test]
fn two_hundred_engines_leave_nothing_behind() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let number = std::env::var("ECHOCART_CYCLES").map(|n| n.parse().unwrap());
    let cycles: usize = number.unwrap_or(CYCLES);
    let dir = std::env::var_os("ECHOCART_CYCLES_PACKAGE");
    let dir = dir.map_or_else(|| root.join(".echocart/packages/generated"), PathBuf::from);
    let package = Package::open(&dir, &PackageConfig::ANY).unwrap();
    let mut config = CartConfig::demo().unwrap().engine;
    config.policy = Policy::Strict;
    config.intra_op_threads = 2;
    let encoder = &package.manifest.encoder;
    let dir = tempfile::tempdir().unwrap();
    let proofs = dir.path().join("gate");
    let block = Arc::new(vec![0.25f32; encoder.row() * encoder.tokens_per_tubelet()]);
    let clip = vec![block; encoder.tubelets()];
    let (mut settled, mut out) = (None, Vec::new());
    for cycle in 0..cycles {
        let libraries = Libraries::Under(&root);
        let opened = open_proven(&config, libraries, &package, Some(&proofs), &mut |_| {});
        let (mut engine, passed) = opened.unwrap();
        assert_eq!(passed.cached, cycle > 0, "{}", passed.words);
        engine.encode(&clip, 0).unwrap();
        engine.head("view", &[0], &mut out).unwrap();
        drop(engine);
        if cycle == SETTLED {
            settled = Some(held());
        }
    }
    if cycles < CYCLES {
        println!("{cycles} cycles, memory not looked at: {:?}", held());
        return;
    }
    let (settled, end) = (settled.unwrap(), held());
    println!("after {SETTLED} cycles {settled:?}, after {CYCLES} {end:?}");
    assert_eq!(end.threads, settled.threads);
    assert_eq!(end.descriptors, settled.descriptors);
    assert!(end.memory_kib - settled.memory_kib < MOST_GROWTH_KIB);
}
