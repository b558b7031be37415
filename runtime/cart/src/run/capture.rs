//! The capture thread: paces a source and hands its frames over.

use super::memory::Memory;
use super::stamper::{Stamper, say};
use crate::exit::{Because, Cause, Failure};
use crate::serve::{ExamTicket, ImageFeed};
use echocart_capture::{Arrival, Delivery, Polled, Source, SourceInfo};
use echocart_core::buffer::FrameBuffer;
use echocart_core::clock::{self, Pace};
use echocart_core::dump::DumpWriter;
use echocart_core::frame::FrameMeta;
use echocart_core::ring::{FrameProducer, PushError, Pushed};
use echocart_core::source::{Notice, SourceTraits};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How soon a sleeping capture thread notices a stop.
const NAP: Duration = Duration::from_millis(20);
/// Pause of the max pace while the ring is full.
const ROOM: Duration = Duration::from_micros(500);

/// What [`SourceInfo::kind`] says of the simulated heart.
const PHANTOM: &str = "phantom";

/// A frame dump being written.
pub type Dump = DumpWriter<BufWriter<File>>;

/// What the capture thread works with.
pub struct CaptureSetup {
    pub source: Box<dyn Source>,
    pub producer: FrameProducer,
    pub pace: Pace,
    pub looped: bool,
    pub seconds: Option<f64>,
    pub stop: Arc<AtomicBool>,
    pub feed: Option<ImageFeed>,
    pub exam: Option<ExamTicket>,
    pub dump: Option<Dump>,
}

/// How capturing ended.
pub enum CaptureEnd {
    /// The source ended or the time was up.
    Ended,
    /// The user stopped it.
    Stopped,
    /// The source or the dump failed.
    Failed(Failure),
}

/// What the source had for the capture thread.
enum Next {
    Frame(Arrival),
    Ended,
    TimeUp,
    Stopped,
}

/// The running capture thread.
pub struct Capture {
    thread: JoinHandle<CaptureEnd>,
}

/// Refuses what a live source cannot do.
pub fn refuse_live(info: &SourceInfo, pace: Pace, looped: bool) -> Result<(), Failure> {
    let option = match (info.delivery, pace, looped) {
        (Delivery::Live, Pace::Max, _) => "--pace max",
        (Delivery::Live, _, true) => "--loop",
        _ => return Ok(()),
    };
    let text = format!(
        "{option}: expected a source that ends, found a live one: {}",
        info.name
    );
    Err(Failure::text(Cause::Usage, text))
}

/// Opens a frame dump, if one is wanted.
pub fn create_dump(path: Option<&Path>) -> Result<Option<Dump>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let shown = path.display();
    let failed = |e: &dyn std::fmt::Display| {
        Failure::text(
            Cause::Other,
            format!("cannot write frame dump: {e} ({shown})"),
        )
    };
    let file = File::create(path).map_err(|e| failed(&e))?;
    DumpWriter::new(BufWriter::with_capacity(1 << 20, file))
        .map(Some)
        .map_err(|e| failed(&e))
}

impl Capture {
    /// Starts capturing.
    pub fn start(setup: CaptureSetup) -> Result<Self, Failure> {
        let thread = std::thread::Builder::new()
            .name("echocart-capture".to_owned())
            .spawn(move || setup.run())
            .because(Cause::Other)?;
        Ok(Self { thread })
    }

    /// True once the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// How it ended; `Stopped` when the source still has not come back after `patience`.
    pub fn join_within(self, patience: Duration) -> CaptureEnd {
        let until = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        if !self.thread.is_finished() {
            return CaptureEnd::Stopped;
        }
        self.thread.join().unwrap_or_else(|_| {
            CaptureEnd::Failed(Failure::text(Cause::Source, "the capture thread panicked"))
        })
    }
}

/// What a source's frames are. Only a phantom that is rendered here is known to be a simulated
/// heart, faults around it included; a file of one carries no such proof.
pub fn traits(info: &SourceInfo) -> SourceTraits {
    let simulated = info.kind == PHANTOM;
    SourceTraits {
        simulated,
        loops: simulated,
    }
}

impl CaptureSetup {
    fn run(mut self) -> CaptureEnd {
        let ended = match self.passes() {
            Ok(ended) => ended,
            Err(failure) => CaptureEnd::Failed(failure),
        };
        match self.dump.take().map(DumpWriter::finish).transpose() {
            Ok(_) => ended,
            Err(e) => CaptureEnd::Failed(Failure::new(Cause::Other, e)),
        }
    }

    fn passes(&mut self) -> Result<CaptureEnd, Failure> {
        let info = self.source.describe();
        let traits = traits(&info);
        self.producer.declare(SourceTraits {
            loops: self.looped || traits.loops,
            ..traits
        });
        let mut stamper = Stamper::new(&info, self.pace);
        let mut pixels = FrameBuffer::default();
        let mut offset = 0;
        let mut memory = Memory::default();
        for pass in 0.. {
            let mut last = None;
            let mut index = 0;
            loop {
                let arrival = match self.next(&memory, &mut stamper, (pass, index), &mut pixels)? {
                    Next::Frame(arrival) => arrival,
                    Next::Ended => break,
                    Next::TimeUp => return Ok(CaptureEnd::Ended),
                    Next::Stopped => return Ok(CaptureEnd::Stopped),
                };
                index += 1;
                if self.looped && self.pace == Pace::Real && pass == 0 && stamper.is_exact() {
                    memory.keep(arrival.meta, &pixels);
                }
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(CaptureEnd::Stopped);
                }
                let time = arrival.arrival_nanos.saturating_add(offset);
                last = Some(time);
                if self.is_over(stamper.since_start(time)) {
                    return Ok(CaptureEnd::Ended);
                }
                let due_nanos = stamper.due(time);
                if stamper.is_paced() && !self.sleep_until(due_nanos) {
                    return Ok(CaptureEnd::Stopped);
                }
                stamper.look(&arrival, &pixels);
                self.note(Notice::Missed {
                    frames: arrival.missed,
                });
                let mut meta = FrameMeta {
                    capture_nanos: stamper.capture_nanos(&arrival, offset, due_nanos),
                    pass,
                    ..arrival.meta
                };
                if let Some(exam) = &self.exam {
                    exam.stamp(&mut meta);
                }
                if stamper.take_reanchored() {
                    self.note(Notice::Reanchored);
                }
                if !self.hand_over(meta, &mut pixels)? {
                    return Ok(CaptureEnd::Stopped);
                }
            }
            let Some(last) = last.filter(|_| self.looped) else {
                break;
            };
            offset = last.saturating_add(info.nominal_period_nanos);
            stamper.restart();
            if !memory.is_whole() {
                self.source.rewind().because(Cause::Source)?;
            }
        }
        Ok(CaptureEnd::Ended)
    }

    fn note(&mut self, notice: Notice) {
        self.producer.note(notice, self.pace == Pace::Real);
    }

    fn is_over(&self, passed_nanos: i64) -> bool {
        self.seconds.is_some_and(|s| passed_nanos as f64 >= s * 1e9)
    }

    /// The next frame; what else the source says is printed.
    fn next(
        &mut self,
        memory: &Memory,
        stamper: &mut Stamper,
        (pass, index): (u32, usize),
        pixels: &mut FrameBuffer,
    ) -> Result<Next, Failure> {
        if pass > 0 && memory.is_whole() {
            let frame = memory.frame(index, pixels.refill());
            return Ok(frame.map_or(Next::Ended, |meta| Next::Frame(Arrival::exact(meta))));
        }
        loop {
            match self.source.poll(pixels, NAP).because(Cause::Source)? {
                Polled::Frame(arrival) => return Ok(Next::Frame(arrival)),
                Polled::Ended => return Ok(Next::Ended),
                Polled::Silent => {}
                Polled::Lost { why } => {
                    say(&format!("lost, {why}"));
                    self.note(Notice::Lost { why });
                }
                Polled::Back { away_nanos } => {
                    let back_nanos = clock::now_nanos().saturating_add(away_nanos);
                    if stamper.is_paced() && !self.sleep_until(back_nanos) {
                        return Ok(Next::Stopped);
                    }
                    stamper.restart();
                    say(&format!("back after {:.1} s", away_nanos as f64 / 1e9));
                    self.note(Notice::Back { away_nanos });
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Next::Stopped);
            }
            if stamper.is_live() && self.is_over(stamper.since_start(clock::now_nanos())) {
                return Ok(Next::TimeUp);
            }
        }
    }

    /// False when stopped meanwhile.
    fn sleep_until(&self, due_nanos: i64) -> bool {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            let left = due_nanos - clock::now_nanos();
            let Ok(left) = u64::try_from(left) else {
                return true;
            };
            if left == 0 {
                return true;
            }
            std::thread::sleep(Duration::from_nanos(left).min(NAP));
        }
    }

    /// False when stopped meanwhile.
    fn hand_over(&mut self, meta: FrameMeta, pixels: &mut FrameBuffer) -> Result<bool, Failure> {
        if let Some(dump) = &mut self.dump {
            dump.frame(&meta, pixels).because(Cause::Other)?;
        }
        if let Some(feed) = &self.feed {
            feed.offer(pixels, &meta, self.producer.captured());
        }
        let live = self.pace == Pace::Real;
        loop {
            let pushed = self.producer.push_buffer(meta, pixels, live);
            if pushed.map_err(not_taken)? != Pushed::RingFull || live {
                return Ok(true);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            std::thread::sleep(ROOM);
        }
    }
}

fn not_taken(error: PushError) -> Failure {
    let cause = match error {
        PushError::Ended => Cause::Other,
        _ => Cause::Source,
    };
    Failure::new(cause, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use echocart_capture::OpenOptions;

    #[test]
    fn a_phantom_is_a_simulated_heart_with_faults_too() {
        for location in ["phantom:view=A4C", "fault:0s.. lose 10%|phantom:view=A4C"] {
            let options = OpenOptions { assume_fps: None };
            let source = echocart_capture::open(location, &options).unwrap();
            assert!(traits(&source.describe()).simulated, "{location}");
        }
    }
}
