//! The engine in steady state: the answers of an unbound graph bit for bit, and no memory taken.

#![expect(unsafe_code, reason = "an allocator that counts")]
#![expect(clippy::unwrap_used, reason = "test helpers")]

use echocart_core::config::PackageConfig;
use echocart_core::engine::{Engine, EngineError};
use echocart_core::package::Package;
use echocart_infer::{
    EngineOptions, GraphInput, GraphSession, Library, OrtEngine, Provider, default_library_path,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts what Rust code takes, this crate's and `ort`'s; ONNX Runtime has its own allocator.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static TAKEN: AtomicUsize = AtomicUsize::new(0);

fn count() {
    if COUNTS.load(Ordering::Relaxed) {
        TAKEN.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from the system's allocator with this layout.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: `at` came from the system's allocator with this layout.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The tests of this file run one by one, so that one does not count another's memory.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn opened() -> (Library, Package, OrtEngine) {
    let library = Library::load(&default_library_path(&root())).unwrap();
    let package = root().join(".echocart/packages/generated");
    let package = Package::open(&package, &PackageConfig::ANY).unwrap();
    let options = EngineOptions::new(Provider::Cpu, 2);
    let engine = OrtEngine::open_on(&library, &package, "fp32", options).unwrap();
    (library, package, engine)
}

fn clip(package: &Package, seed: usize) -> Vec<Arc<Vec<f32>>> {
    let sizes = &package.manifest.encoder;
    let block = sizes.tokens_per_tubelet() * sizes.row();
    let value = |t: usize, i: usize| ((i * 7 + t * 131 + seed * 17) % 509) as f32 / 127.0 - 2.0;
    let tubelet = |t| Arc::new((0..block).map(|i| value(t, i)).collect::<Vec<f32>>());
    (0..sizes.tubelets()).map(tubelet).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn bound_outputs_are_those_of_an_unbound_graph() {
    let _alone = alone();
    let (library, package, mut engine) = opened();
    let sizes = &package.manifest.encoder;
    let (all, row, dim) = (sizes.tokens(), sizes.row(), sizes.dim);
    let variant = &package.manifest.variants["fp32"];
    let plain = |file: &str| GraphSession::open_file(&library, &package.dir.join(file), 2).unwrap();
    let mut encoder = plain(&variant.encoder);
    let mut encode = |rows: &[f32], ids: &[usize]| {
        let ids: Vec<i64> = ids.iter().map(|&id| id as i64).collect();
        let (rows_shape, ids_shape) = ([1, ids.len(), row], [ids.len()]);
        let rows = GraphInput::Floats {
            shape: &rows_shape,
            values: rows,
        };
        let ids = GraphInput::Integers {
            shape: &ids_shape,
            values: &ids,
        };
        let outputs = encoder.run(&[("rows", rows), ("ids", ids)]).unwrap();
        outputs.into_iter().next().unwrap().values
    };
    let mut expected = vec![Vec::new(); 2];
    for (slot, seed) in [(0, 1), (1, 2), (0, 3)] {
        let clip = clip(&package, seed);
        engine.encode(&clip, slot).unwrap();
        let rows: Vec<f32> = clip.iter().flat_map(|t| t.iter().copied()).collect();
        let places: Vec<usize> = (0..all).collect();
        expected[slot] = encode(&rows, &places);
        assert!(engine.keep_warm().unwrap());
        let mut found = Vec::new();
        for (slot, expected) in expected.iter().enumerate().filter(|(_, e)| !e.is_empty()) {
            engine.tokens(slot, &mut found).unwrap();
            assert_eq!(bits(&found), bits(expected), "slot {slot}");
        }
    }
    let kept: Vec<usize> = (0..all).step_by(3).collect();
    let rows: Vec<f32> = (0..kept.len() * row)
        .map(|i| (i % 97) as f32 / 50.0)
        .collect();
    let mut found = Vec::new();
    for slot in [2, 3, 2] {
        engine.encode_kept(&rows, &kept, slot).unwrap();
        engine.tokens(slot, &mut found).unwrap();
        assert_eq!(bits(&found), bits(&encode(&rows, &kept)));
    }
    for (name, slots) in [("view", vec![0]), ("lvef", vec![1, 0])] {
        let mut head = plain(&variant.heads[name][&slots.len().to_string()]);
        let shape = [1, all, dim];
        let names: Vec<String> = (0..slots.len()).map(|i| format!("tokens_{i}")).collect();
        let inputs: Vec<(&str, GraphInput<'_>)> = names
            .iter()
            .zip(&slots)
            .map(|(name, &slot)| {
                let values = expected[slot].as_slice();
                let shape = &shape;
                (name.as_str(), GraphInput::Floats { shape, values })
            })
            .collect();
        let expected = head.run(&inputs).unwrap();
        engine.head(name, &slots, &mut found).unwrap();
        assert_eq!(bits(&found), bits(&expected[0].values), "{name}");
    }
}

#[test]
fn a_slot_that_failed_or_is_not_there_holds_nothing() {
    let _alone = alone();
    let (_, package, mut engine) = opened();
    let clip = clip(&package, 1);
    let slots = engine.slots();
    let empty = |slot| Err(EngineError::EmptySlot { slot });
    assert_eq!(engine.encode(&clip, slots), empty(slots));
    assert!(engine.keep_warm().unwrap());
    let mut out = Vec::new();
    assert_eq!(engine.tokens(slots, &mut out), empty(slots));
    assert_eq!(engine.head("view", &[0], &mut out), empty(0));
    engine.encode(&clip, 0).unwrap();
    assert!(engine.encode(&clip[1..], 0).is_err());
    engine.head("view", &[0], &mut out).unwrap();
    assert_eq!(engine.head("lvef", &[1, 0], &mut out), empty(1));
}

#[test]
fn a_clip_takes_no_memory_once_every_slot_was_used() {
    let _alone = alone();
    let (_, package, mut engine) = opened();
    let clips: Vec<_> = (0..3).map(|seed| clip(&package, seed)).collect();
    let all = package.manifest.encoder.tokens();
    let kept: Vec<usize> = (0..all).step_by(2).collect();
    let rows = vec![0.5f32; kept.len() * package.manifest.encoder.row()];
    let mut out = Vec::with_capacity(64);
    let slots = engine.slots();
    let mut turn = |engine: &mut OrtEngine, at: usize, few: bool| {
        let slot = at % slots;
        match few {
            true => engine.encode_kept(&rows, &kept, slot).unwrap(),
            false => engine.encode(&clips[at % 3], slot).unwrap(),
        }
        engine.head("view", &[slot], &mut out).unwrap();
        let before = if at == 0 { slot } else { (at - 1) % slots };
        engine.head("lvef", &[before, slot], &mut out).unwrap();
        engine.keep_warm().unwrap();
    };
    for few in [false, true] {
        for at in 0..slots + 1 {
            turn(&mut engine, at, few);
        }
        TAKEN.store(0, Ordering::Relaxed);
        COUNTS.store(true, Ordering::Relaxed);
        for at in slots + 1..3 * slots {
            turn(&mut engine, at, few);
        }
        COUNTS.store(false, Ordering::Relaxed);
        assert_eq!(TAKEN.load(Ordering::Relaxed), 0, "kept tokens: {few}");
    }
}
