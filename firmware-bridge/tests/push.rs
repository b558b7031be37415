//! What a push and a lease cost: no allocation once the pool has its size, and the times.
//!
//! A binary of its own, because it counts every allocation of the pushing thread. `cargo test
//! --release -p echocart-bridge --test push -- --nocapture` prints the times.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]
#![expect(
    unsafe_code,
    reason = "an allocator that counts, and calls of the C functions"
)]

use echocart::Code;
use echocart::abi::*;
use echocart::shims::frame::{echocart_frame_commit, echocart_frame_lease, echocart_frame_push};
use echocart::shims::session::{
    echocart_session_create, echocart_session_destroy, echocart_session_start,
    echocart_session_stats,
};
use echocart::shims::{echocart_clock_now, frame, result};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::time::Duration;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WIDTH: u32 = 1024;
const HEIGHT: u32 = 768;
const BYTES: usize = (WIDTH * HEIGHT) as usize;
const FRAMES: usize = 600;

fn runtime(root: &Path) -> PathBuf {
    let lib = root.join(".echocart/lib/onnxruntime-1.28.0");
    let mut found: Vec<PathBuf> = std::fs::read_dir(lib)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("libonnxruntime.so"))
        .collect();
    found.sort();
    found.pop().unwrap()
}

#[test]
fn neither_a_push_nor_a_lease_allocates_once_the_pool_is_reserved() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().unwrap();
    let package = root.join(".echocart/packages/demo");
    assert!(package.is_dir(), "run `cargo xtask demo` first");
    let (package, library) = (package.to_str().unwrap(), runtime(&root));
    let library = library.to_str().unwrap();
    // SAFETY: all zero is a valid configuration and frame.
    let (mut config, mut frame, mut stats): (
        echocart_session_config_t,
        echocart_frame_t,
        echocart_session_stats_t,
    ) = unsafe { std::mem::zeroed() };
    config.struct_size = size_of_val(&config) as u32;
    config.abi_version = ECHOCART_ABI_VERSION;
    config.package_dir = package.as_ptr().cast();
    config.package_dir_bytes = package.len() as u64;
    config.library_path = library.as_ptr().cast();
    config.library_path_bytes = library.len() as u64;
    config.reserve_frame_bytes = BYTES as u64;
    let (mut session, mut frames, mut results) = (null_mut(), null_mut(), null_mut());
    // SAFETY: pointers to live variables.
    let code = unsafe { echocart_session_create(&config, &mut session, &mut frames, &mut results) };
    assert_eq!(code, Code::Ok as u32);
    // SAFETY: a live handle.
    assert_eq!(unsafe { echocart_session_start(session) }, Code::Ok as u32);

    let pixels = vec![9_u8; BYTES];
    frame.struct_size = size_of_val(&frame) as u32;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = WIDTH;
    frame.pixel_bytes = BYTES as u64;
    let mut number = 0;
    let mut counted = [0; 2];
    for at in 0..FRAMES {
        // SAFETY: a place for the time.
        unsafe { echocart_clock_now(&mut frame.capture_nanos) };
        let lease = at % 2;
        let before = ALLOCATIONS.get();
        let code = if lease == 1 {
            let mut lent = null_mut();
            // SAFETY: a live handle and a place for the buffer.
            let code = unsafe { echocart_frame_lease(frames, BYTES as u64, &mut lent) };
            assert_eq!(code, Code::Ok as u32);
            frame.pixels = lent;
            // SAFETY: the buffer lent.
            unsafe { echocart_frame_commit(frames, &frame, &mut number) }
        } else {
            frame.pixels = pixels.as_ptr();
            // SAFETY: a live handle and pixels.
            unsafe { echocart_frame_push(frames, &frame, &mut number) }
        };
        counted[lease] += ALLOCATIONS.get() - before;
        assert!(
            code == Code::Ok as u32 || code == Code::Dropped as u32,
            "{code}"
        );
        std::thread::sleep(Duration::from_millis(4));
    }
    let bytes = size_of_val(&stats) as u32;
    // SAFETY: a live handle and a place for the numbers.
    let code = unsafe { echocart_session_stats(session, bytes, &mut stats) };
    assert_eq!(code, Code::Ok as u32);
    for (what, times) in [("copy", stats.push), ("lease", stats.commit)] {
        println!(
            "{what} 1024x768 GRAY8: n {} p50 {} p99 {} p99.9 {} max {} us",
            times.count,
            times.p50_nanos as f64 / 1e3,
            times.p99_nanos as f64 / 1e3,
            times.p999_nanos as f64 / 1e3,
            times.max_nanos as f64 / 1e3,
        );
        assert!(times.count > 0);
    }
    // SAFETY: handles from `create`, each destroyed once.
    unsafe {
        echocart_session_destroy(&mut session);
        frame::echocart_frame_port_destroy(&mut frames);
        result::echocart_result_port_destroy(&mut results);
    }
    assert_eq!(counted, [0, 0], "allocations of copies and leases");
}
