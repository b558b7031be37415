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
use echocart::shims::{echocart_clock_now, echocart_frame_port_t, frame, result};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

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
const FRAMES: usize = 1200;
const WARM: usize = 60;
/// What is timed. A frame's time apart, the host's drawing and other processes have emptied the caches of
/// what a call runs through; at once again, they hold it.
const WHAT: [&str; 5] = [
    "copy of 1024x768 GRAY8",
    "lease and commit",
    "  of it the lease",
    "  of it the commit",
    "lease and commit at once again",
];
const PERIOD: Duration = Duration::from_nanos(16_666_667);

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
    let package = root.join(".echocart/packages/generated");
    assert!(package.is_dir(), "run `cargo xtask demo` first");
    let (package, library) = (package.to_str().unwrap(), runtime(&root));
    let library = library.to_str().unwrap();
    // SAFETY: all zero is a valid configuration and holds numbers.
    let (mut config, mut stats): (echocart_session_config_t, echocart_session_stats_t) =
        unsafe { std::mem::zeroed() };
    config.struct_size = size_of_val(&config) as u32;
    config.abi_version = ECHOCART_ABI_VERSION;
    config.package_dir = package.as_ptr().cast();
    config.package_dir_bytes = package.len() as u64;
    config.library_path = library.as_ptr().cast();
    config.library_path_bytes = library.len() as u64;
    config.isolation = ECHOCART_ISOLATION_IN_PROCESS;
    config.reserve_frame_bytes = BYTES as u64;
    let (mut session, mut frames, mut results) = (null_mut(), null_mut(), null_mut());
    // SAFETY: pointers to live variables.
    let code = unsafe { echocart_session_create(&config, &mut session, &mut frames, &mut results) };
    assert_eq!(code, Code::Ok as u32);
    // SAFETY: a live handle.
    assert_eq!(unsafe { echocart_session_start(session) }, Code::Ok as u32);
    let mut counted = [0; 2];
    for (thread, realtime) in [("ordinary", false), ("real-time", true)] {
        if !become_realtime(realtime) {
            println!("{thread} thread: not run, the system does not allow one");
            continue;
        }
        let times = drive(frames, &mut counted);
        become_realtime(false);
        for (what, mut nanos) in WHAT.into_iter().zip(times) {
            assert!(!nanos.is_empty(), "{what}");
            nanos.sort_unstable();
            let at = |part: usize| nanos[nanos.len() * part / 1000] as f64 / 1e3;
            println!(
                "{what}, {thread} thread: n {} p50 {:.2} p99 {:.2} p99.9 {:.2} us",
                nanos.len(),
                at(500),
                at(990),
                at(999),
            );
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load {}", load.trim());
    let bytes = size_of_val(&stats) as u32;
    // SAFETY: a live handle and a place for the numbers.
    let code = unsafe { echocart_session_stats(session, bytes, &mut stats) };
    assert_eq!(code, Code::Ok as u32);
    assert!(stats.push.count > 0 && stats.commit.count > 0);
    // SAFETY: handles from `create`, each destroyed once.
    unsafe {
        echocart_session_destroy(&mut session);
        frame::echocart_frame_port_destroy(&mut frames);
        result::echocart_result_port_destroy(&mut results);
    }
    assert_eq!(counted, [0, 0], "allocations of copies and leases");
}

/// Schedules this thread as a scanner's image thread is, or as any other.
fn become_realtime(on: bool) -> bool {
    let (policy, priority) = if on {
        (libc::SCHED_FIFO, 1)
    } else {
        (libc::SCHED_OTHER, 0)
    };
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the parameters live for the call; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
}

/// Pushes 1,200 frames at 60 Hz, by copy and in leased buffers in turn; gives what each took that went in.
fn drive(frames: *mut echocart_frame_port_t, counted: &mut [u64; 2]) -> [Vec<u64>; 5] {
    let mut pixels = vec![9_u8; BYTES];
    // SAFETY: all zero is a valid frame.
    let mut frame: echocart_frame_t = unsafe { std::mem::zeroed() };
    frame.struct_size = size_of_val(&frame) as u32;
    frame.format = ECHOCART_PIXEL_GRAY8;
    frame.width_px = WIDTH;
    frame.height_px = HEIGHT;
    frame.row_stride_bytes = WIDTH;
    frame.pixel_bytes = BYTES as u64;
    let mut times = [(); 5].map(|()| Vec::with_capacity(FRAMES));
    let begin = Instant::now();
    for at in 0..FRAMES {
        // A host draws its frame before it pushes it.
        pixels.fill(at as u8);
        let due = PERIOD * at as u32;
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        // SAFETY: a place for the time.
        unsafe { echocart_clock_now(&mut frame.capture_nanos) };
        let before = ALLOCATIONS.get();
        if at % 2 == 1 {
            let first = leased(frames, &mut frame);
            frame.capture_nanos += 1;
            let again = leased(frames, &mut frame);
            counted[1] += ALLOCATIONS.get() - before;
            if let Some([lease, commit]) = first.filter(|_| at >= WARM) {
                times[1].push(lease + commit);
                times[2].push(lease);
                times[3].push(commit);
                times[4].extend(again.map(|[lease, commit]| lease + commit));
            }
            continue;
        }
        frame.pixels = pixels.as_ptr();
        let mut number = 0;
        let start = Instant::now();
        // SAFETY: a live handle and pixels.
        let code = unsafe { echocart_frame_push(frames, &frame, &mut number) };
        let took = start.elapsed().as_nanos() as u64;
        counted[0] += ALLOCATIONS.get() - before;
        if went_in(code) && at >= WARM {
            times[0].push(took);
        }
    }
    times
}

/// Leases and commits one frame; gives what each took, or none where the frame did not go in.
fn leased(frames: *mut echocart_frame_port_t, frame: &mut echocart_frame_t) -> Option<[u64; 2]> {
    let (mut lent, mut number) = (null_mut(), 0);
    let start = Instant::now();
    // SAFETY: a live handle and a place for the buffer.
    let code = unsafe { echocart_frame_lease(frames, BYTES as u64, &mut lent) };
    let lease = start.elapsed().as_nanos() as u64;
    if code == Code::WouldBlock as u32 {
        // The pipeline gets no processor: every buffer waits in the ring.
        return None;
    }
    assert_eq!(code, Code::Ok as u32);
    frame.pixels = lent;
    let start = Instant::now();
    // SAFETY: the buffer lent.
    let code = unsafe { echocart_frame_commit(frames, frame, &mut number) };
    let commit = start.elapsed().as_nanos() as u64;
    went_in(code).then_some([lease, commit])
}

/// A full ring is nothing wrong where the pipeline gets no processor; its time says nothing of a push.
fn went_in(code: u32) -> bool {
    assert!(
        code == Code::Ok as u32 || code == Code::Dropped as u32,
        "{code}"
    );
    code == Code::Ok as u32
}
