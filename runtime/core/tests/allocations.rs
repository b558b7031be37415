//! From the source to the hand-off nothing is allocated once it has warmed up: counted by an
//! allocator, thread by thread and frame by frame.
#![expect(
    unsafe_code,
    reason = "a global allocator that counts is an unsafe trait"
)]

mod common;

use common::{A4C, Act, MILLI, Scripted, finish, meta, start};
use crossbeam_channel::Receiver;
use echocart_core::clock::Pace;
use echocart_core::events::{Event, StateKind};
use echocart_core::frame::{FrameMeta, PixelFormat};
use echocart_core::ring::{FrameProducer, Pushed};
use echocart_core::session::Session;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const THREADS: usize = 64;

static NEXT: AtomicUsize = AtomicUsize::new(0);
static TIDS: [AtomicI32; THREADS] = [const { AtomicI32::new(0) }; THREADS];
static COUNTS: [AtomicU64; THREADS] = [const { AtomicU64::new(0) }; THREADS];

thread_local! {
    static PLACE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Counts every allocation and every growth at the thread that asks for it.
struct Counting;

fn count() {
    let _ = PLACE.try_with(|place| {
        if place.get() == usize::MAX {
            place.set(NEXT.fetch_add(1, Ordering::Relaxed).min(THREADS - 1));
            let tid = rustix::thread::gettid().as_raw_nonzero().get();
            TIDS[place.get()].store(tid, Ordering::Relaxed);
        }
        COUNTS[place.get()].fetch_add(1, Ordering::Relaxed);
    });
}

// SAFETY: every call goes to the system's allocator with the same arguments; counting allocates
// nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One session at a time: the threads of two have the same names.
static ALONE: Mutex<()> = Mutex::new(());

/// Allocations so far of the live thread with this name.
fn allocations_of(name: &str) -> u64 {
    let mut found = None;
    for place in 0..NEXT.load(Ordering::Relaxed).min(THREADS) {
        let tid = TIDS[place].load(Ordering::Relaxed);
        let comm = std::fs::read_to_string(format!("/proc/self/task/{tid}/comm"));
        if comm.is_ok_and(|c| c.trim() == name) {
            assert!(found.is_none(), "two threads are called {name}");
            found = Some(COUNTS[place].load(Ordering::Relaxed));
        }
    }
    found.unwrap_or_else(|| panic!("no thread is called {name}, or it never allocated"))
}

fn allocations_here() -> u64 {
    PLACE.with(|place| COUNTS[place.get()].load(Ordering::Relaxed))
}

struct Run {
    session: Session,
    producer: FrameProducer,
    events: Receiver<Event>,
    meta: FrameMeta,
    pixels: Vec<u8>,
    frames: i64,
}

impl Run {
    fn new(format: PixelFormat, recorder: bool) -> Self {
        // A thread's first wait at a channel allocates, so the warm-up has some.
        let engine = Scripted::engine(|n| match n {
            0..4 => Act::Sleep(Duration::from_millis(15)),
            _ => A4C,
        });
        let (session, producer, events) = start(engine, Pace::Max, |config| {
            if recorder {
                config.recorder = Some(echocart_core::config::RecorderConfig {
                    budget_mib: 8,
                    folder: ".".into(),
                });
            }
        });
        let meta = FrameMeta {
            width_px: 320,
            height_px: 240,
            format,
            ..meta(0)
        };
        Self {
            session,
            producer,
            events,
            meta,
            pixels: vec![0; meta.frame_bytes()],
            frames: 0,
        }
    }

    /// Pushes one frame of 60 a second and waits until it has gone through; gives what the pushing
    /// thread allocated meanwhile.
    fn frame(&mut self) -> u64 {
        self.meta.capture_nanos = self.frames * 1000 * MILLI / 60;
        self.frames += 1;
        let mut noise = (self.frames as u32).wrapping_mul(0x9E37_79B9) | 1;
        for pixel in &mut self.pixels {
            noise = noise.wrapping_mul(0x0019_660D).wrapping_add(0x3C6E_F35F);
            *pixel = (noise >> 24) as u8;
        }
        let before = allocations_here();
        let pixels = &self.pixels;
        let pushed = self.producer.push(self.meta, |pooled| {
            pooled.clear();
            pooled.extend_from_slice(pixels);
        });
        let allocated = allocations_here() - before;
        assert!(matches!(pushed, Ok(Pushed::Queued { .. })));
        while self.session.counters().captured < self.frames as u64 {
            std::thread::yield_now();
        }
        // The counters are published before the frame's last decision.
        std::thread::sleep(Duration::from_micros(300));
        allocated
    }

    /// COUNTERS events, and estimates with and without raw numbers, since the last call.
    fn events(&self) -> [u64; 3] {
        let mut seen = [0; 3];
        for event in self.events.try_iter() {
            match event {
                Event::State(s) if s.state == StateKind::Counters => seen[0] += 1,
                Event::Estimate(e) if e.raw.is_some() => seen[1] += 1,
                other => panic!("a frame without faults gave {other:?}"),
            }
        }
        seen
    }
}

#[test]
fn after_warm_up_a_frame_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for format in [
        PixelFormat::Gray8,
        PixelFormat::Rgb24,
        PixelFormat::Yuy2,
        PixelFormat::Nv12,
    ] {
        let mut run = Run::new(format, false);
        for _ in 0..400 {
            run.frame();
        }
        while run.events.try_recv().is_ok() {}
        let mut frames_that_allocate = 0;
        let mut pushing = 0;
        let before = allocations_of("echocart-clips");
        for _ in 0..600 {
            let begin = allocations_of("echocart-clips");
            pushing += run.frame();
            frames_that_allocate += u64::from(allocations_of("echocart-clips") > begin);
        }
        let total = allocations_of("echocart-clips") - before;
        let [counters, estimates, _] = run.events();
        assert_eq!(pushing, 0, "{format}: the pushing thread");
        assert_eq!(counters, 10);
        assert!(estimates > 30, "{estimates}");
        assert_eq!(
            frames_that_allocate, counters,
            "{format}: only the COUNTERS event of each second may allocate, {total} in all"
        );
        let Run {
            session,
            producer,
            events,
            ..
        } = run;
        finish(session, producer, &events);
    }
}

#[test]
fn with_the_recorder_on_a_clip_allocates_and_no_other_frame() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut run = Run::new(PixelFormat::Gray8, true);
    for _ in 0..400 {
        run.frame();
    }
    while run.events.try_recv().is_ok() {}
    let mut frames_that_allocate = 0;
    let mut pushing = 0;
    for _ in 0..600 {
        let begin = allocations_of("echocart-clips");
        pushing += run.frame();
        frames_that_allocate += u64::from(allocations_of("echocart-clips") > begin);
    }
    let [counters, estimates, _] = run.events();
    assert_eq!(pushing, 0);
    assert!(
        frames_that_allocate <= counters + estimates + 1,
        "{frames_that_allocate} frames, {counters} COUNTERS events, {estimates} clips"
    );
    let Run {
        session,
        producer,
        events,
        ..
    } = run;
    finish(session, producer, &events);
}
