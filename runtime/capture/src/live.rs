//! Live devices: a thread that reads, keeps the newest frames and reconnects.

mod back_off;
mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use echocart_core::buffer::FrameBuffer;
use echocart_core::clock::now_nanos;
use echocart_core::frame::PixelFormat;

use self::back_off::BackOff;
use self::queue::Queue;
use crate::source::frame_meta;
use crate::{Arrival, Delivery, Polled, Source, SourceError, SourceInfo, Stamps};

/// How long a device may take for its first frame.
const FIRST_FRAME_NANOS: i64 = 5_000_000_000;
/// How long dropping a source waits for a device that does not come back from a call.
const FAREWELL: Duration = Duration::from_millis(500);
const NAP: Duration = Duration::from_millis(20);

/// A device that delivers frames at its own pace.
pub(crate) trait Device: Send + 'static {
    /// Its name, for people.
    fn name(&self) -> String;

    /// `OpenIGTLink`, `shared memory`, `V4L2` or `GStreamer`.
    fn kind(&self) -> &'static str;

    /// What is known about rate and time stamps, in words.
    fn timing(&self) -> String;

    /// Announced time between two frames; 0 if unknown.
    fn nominal_period_nanos(&self) -> i64;

    /// Opens the device or connects to it, anew if it was open.
    ///
    /// # Errors
    /// What is wrong, on one line.
    fn connect(&mut self) -> Result<(), String>;

    /// Waits a short while for the next frame.
    ///
    /// # Errors
    /// Why the device has to be connected anew, on one line.
    fn read(&mut self, pixels: &mut FrameBuffer) -> Result<Read, String>;
}

/// What a device had.
pub(crate) enum Read {
    /// A frame.
    Frame {
        size_px: (u32, u32),
        format: PixelFormat,
        device_nanos: Option<i64>,
    },
    /// Nothing yet.
    Nothing,
    /// A frame that could not be used.
    Damaged,
    /// The stream is over for good.
    Ended,
}

/// A device behind its thread.
pub(crate) struct LiveSource {
    info: SourceInfo,
    queue: Arc<Queue>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LiveSource {
    /// Connects a device and waits for its first frame.
    pub(crate) fn open(mut device: impl Device, location: &str) -> Result<Self, SourceError> {
        let kind = device.kind();
        let failed = |found: String| SourceError::Device {
            kind,
            found,
            location: location.to_owned(),
        };
        device.connect().map_err(failed)?;
        let queue = Arc::new(Queue::default());
        let mut pixels = FrameBuffer::default();
        let first = first_frame(&mut device, &mut pixels, || false).map_err(failed)?;
        let meta = first.meta;
        queue.frame(first, &mut pixels);
        let info = SourceInfo {
            name: device.name(),
            kind,
            delivery: Delivery::Live,
            stamps: Stamps::Device,
            width_px: meta.width_px,
            height_px: meta.height_px,
            format: meta.format,
            frames: None,
            nominal_period_nanos: device.nominal_period_nanos(),
            timing: device.timing(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            device,
            queue: queue.clone(),
            stop: stop.clone(),
            pixels,
        };
        let thread = std::thread::Builder::new()
            .name("echocart-device".to_owned())
            .spawn(move || reader.run())
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            info,
            queue,
            stop,
            thread: Some(thread),
        })
    }
}

impl Source for LiveSource {
    fn describe(&self) -> SourceInfo {
        self.info.clone()
    }

    fn poll(
        &mut self,
        pixels: &mut FrameBuffer,
        patience: Duration,
    ) -> Result<Polled, SourceError> {
        Ok(self.queue.take(pixels, patience))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        Err(SourceError::Live {
            name: self.info.name.clone(),
        })
    }
}

impl Drop for LiveSource {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else {
            return;
        };
        let until = Instant::now() + FAREWELL;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            let _ = thread.join();
        }
    }
}

/// Waits for the first frame after connecting.
fn first_frame(
    device: &mut impl Device,
    pixels: &mut FrameBuffer,
    stopped: impl Fn() -> bool,
) -> Result<Arrival, String> {
    let start_nanos = now_nanos();
    while now_nanos() - start_nanos < FIRST_FRAME_NANOS && !stopped() {
        let read = device.read(pixels)?;
        if let Some(arrival) = arrival(&read) {
            return Ok(arrival);
        }
        if matches!(read, Read::Ended) {
            return Err("expected a frame, found the end".to_owned());
        }
    }
    let seconds = FIRST_FRAME_NANOS / 1_000_000_000;
    Err(format!("expected a frame, found none within {seconds} s"))
}

fn arrival(read: &Read) -> Option<Arrival> {
    let Read::Frame {
        size_px,
        format,
        device_nanos,
    } = *read
    else {
        return None;
    };
    let arrival_nanos = now_nanos();
    Some(Arrival {
        meta: frame_meta(size_px, format, arrival_nanos),
        device_nanos,
        arrival_nanos,
        missed: 0,
    })
}

struct Reader<D> {
    device: D,
    queue: Arc<Queue>,
    stop: Arc<AtomicBool>,
    pixels: FrameBuffer,
}

impl<D: Device> Reader<D> {
    fn run(mut self) {
        while !self.stopped() {
            let read = match self.device.read(&mut self.pixels) {
                Ok(read) => read,
                Err(why) => {
                    self.reconnect(why);
                    continue;
                }
            };
            if let Some(arrival) = arrival(&read) {
                self.queue.frame(arrival, &mut self.pixels);
            }
            match read {
                Read::Frame { .. } | Read::Nothing => {}
                Read::Damaged => self.queue.missed(),
                Read::Ended => break,
            }
        }
        self.queue.end();
    }

    /// Tries until the device is there again or nobody wants it any more.
    fn reconnect(&mut self, why: String) {
        let lost_nanos = now_nanos();
        let mut said = why.clone();
        self.queue.news(Polled::Lost { why });
        let mut back_off = BackOff::new();
        loop {
            self.sleep(back_off.step());
            if self.stopped() {
                return;
            }
            // A device counts as found when it gives a frame: some accept and then say nothing.
            let stopped = || self.stop.load(Ordering::Relaxed);
            let found = match self.device.connect() {
                Ok(()) => first_frame(&mut self.device, &mut self.pixels, stopped),
                Err(why) => Err(why),
            };
            match found {
                Ok(arrival) => {
                    let away_nanos = arrival.arrival_nanos - lost_nanos;
                    self.queue.news(Polled::Back { away_nanos });
                    self.queue.frame(arrival, &mut self.pixels);
                    return;
                }
                Err(why) if why != said => {
                    said.clone_from(&why);
                    self.queue.news(Polled::Lost { why });
                }
                Err(_) => {}
            }
        }
    }

    fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.stopped() && Instant::now() < until {
            std::thread::sleep(NAP.min(until.saturating_duration_since(Instant::now())));
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
