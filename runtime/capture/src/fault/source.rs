//! The wrapper around a source.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use echocart_core::buffer::FrameBuffer;
use echocart_core::clock::now_nanos;

use super::noise::Noise;
use super::script::{Fault, Kind, Script};
use super::{SCHEME, picture};
use crate::error::one_line;
use crate::{Arrival, Delivery, OpenOptions, Polled, Source, SourceError, SourceInfo, Stamps};

const MILLIONTHS: i128 = 1_000_000;

/// A source with faults.
///
/// Over a finite source the times are virtual: `arrival_nanos` says when a frame would have come,
/// and the same script, seed and source give the same frames. Over a live source late frames
/// really are late. Frames have no exact times any more: see [`Stamps::Device`].
pub struct FaultSource {
    inner: Box<dyn Source>,
    script: Script,
    live: bool,
    state: State,
}

/// What one pass has seen so far.
struct State {
    noise: Noise,
    first_nanos: Option<i64>,
    /// The last frame of the source, counted from the first, whatever became of it.
    last_nanos: i64,
    newest_arrival_nanos: i64,
    /// Instants that have happened, by statement.
    done: Vec<bool>,
    frozen: Option<(Arrival, Vec<u8>)>,
    rate_due_nanos: i64,
    away_until_nanos: Option<(i64, i64)>,
    ready: VecDeque<(Polled, Vec<u8>)>,
    held: Vec<Held>,
    spare: Vec<Vec<u8>>,
    ended: bool,
}

/// A frame that comes later.
struct Held {
    until: Until,
    arrival: Arrival,
    pixels: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Until {
    Nanos(i64),
    Frames(u32),
}

/// What is to be done with one frame.
#[derive(Default)]
struct Fate {
    lost: bool,
    twice: bool,
    late_nanos: i64,
    behind: u32,
    jitter_nanos: i64,
}

/// Opens `fault:SCRIPT|LOCATION` or `fault:@FILE|LOCATION`.
pub(crate) fn open_location(
    location: &str,
    options: &OpenOptions,
) -> Result<Box<dyn Source>, SourceError> {
    let text = location.strip_prefix(SCHEME).unwrap_or(location);
    let wrong = |found: &str| SourceError::Location {
        expected: "fault:SCRIPT|LOCATION or fault:@FILE|LOCATION",
        found: found.to_owned(),
        location: one_line(location),
    };
    let (script, inner) = text.split_once('|').ok_or_else(|| wrong("no |"))?;
    if inner.starts_with(SCHEME) {
        return Err(wrong("a second fault:"));
    }
    let script = match script.strip_prefix('@') {
        Some(path) => Script::load(Path::new(path))?,
        None => Script::parse(script)?,
    };
    let inner = crate::open(inner, options)?;
    Ok(Box::new(FaultSource::new(inner, script)))
}

impl FaultSource {
    /// Spoils a source.
    pub fn new(inner: Box<dyn Source>, script: Script) -> Self {
        Self {
            live: inner.describe().delivery == Delivery::Live,
            state: State::new(&script),
            inner,
            script,
        }
    }
}

impl Source for FaultSource {
    fn describe(&self) -> SourceInfo {
        let inner = self.inner.describe();
        SourceInfo {
            name: format!("{} with faults", inner.name),
            stamps: Stamps::Device,
            frames: None,
            ..inner
        }
    }

    fn poll(
        &mut self,
        pixels: &mut FrameBuffer,
        patience: Duration,
    ) -> Result<Polled, SourceError> {
        let start_nanos = now_nanos();
        loop {
            if self.live {
                self.state.release(now_nanos());
            }
            if let Some((polled, mut held)) = self.state.ready.pop_front() {
                if matches!(polled, Polled::Frame(_)) {
                    std::mem::swap(pixels.refill(), &mut held);
                }
                self.state.spare.push(held);
                return Ok(polled);
            }
            if self.state.ended {
                return Ok(Polled::Ended);
            }
            let spent = Duration::from_nanos((now_nanos() - start_nanos).max(0) as u64);
            let left = patience.saturating_sub(spent);
            if self.live && left.is_zero() && !spent.is_zero() && !patience.is_zero() {
                return Ok(Polled::Silent);
            }
            let wait = match self.state.next_due_nanos() {
                Some(due) => left.min(Duration::from_nanos((due - now_nanos()).max(0) as u64)),
                None => left,
            };
            match self.inner.poll(pixels, wait)? {
                Polled::Frame(arrival) => {
                    self.state
                        .frame(&self.script.faults, arrival, pixels.owned());
                }
                Polled::Ended => self.state.end(),
                Polled::Silent if wait < left => {}
                other => return Ok(other),
            }
        }
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.inner.rewind()?;
        self.state = State::new(&self.script);
        Ok(())
    }
}

impl State {
    fn new(script: &Script) -> Self {
        Self {
            noise: Noise::new(script.seed),
            first_nanos: None,
            last_nanos: 0,
            newest_arrival_nanos: i64::MIN,
            done: vec![false; script.faults.len()],
            frozen: None,
            rate_due_nanos: i64::MIN,
            away_until_nanos: None,
            ready: VecDeque::new(),
            held: Vec::new(),
            spare: Vec::new(),
            ended: false,
        }
    }

    /// Takes a frame of the source and decides what becomes of it.
    fn frame(&mut self, faults: &[Fault], mut arrival: Arrival, pixels: &mut Vec<u8>) {
        self.release(arrival.arrival_nanos);
        let first = *self.first_nanos.get_or_insert(arrival.arrival_nanos);
        let at_nanos = arrival.arrival_nanos.saturating_sub(first);
        self.last_nanos = at_nanos;
        let mut device = arrival.device_nanos.unwrap_or(arrival.arrival_nanos);
        let mut fate = Fate::default();
        let mut freezes = false;
        for (index, fault) in faults.iter().enumerate() {
            if !self.hits(fault, index, at_nanos) {
                continue;
            }
            match fault.kind {
                Kind::Lose => fate.lost = true,
                Kind::Late(nanos) => fate.late_nanos = fate.late_nanos.saturating_add(nanos),
                Kind::Duplicate => fate.twice = true,
                Kind::Reorder(frames) => fate.behind = fate.behind.max(frames),
                Kind::Corrupt => picture::corrupt(&arrival.meta, pixels, &mut self.noise),
                Kind::Resize(width, height) => {
                    picture::resize(&mut arrival.meta, pixels, (width, height));
                }
                Kind::Freeze => {
                    freezes = true;
                    let (kept, still) =
                        self.frozen.get_or_insert_with(|| (arrival, pixels.clone()));
                    arrival.meta = kept.meta;
                    pixels.clone_from(still);
                }
                Kind::Stamp(nanos) | Kind::Jump(nanos) => device = device.saturating_add(nanos),
                Kind::Drift(ppm) => {
                    let passed = i128::from(at_nanos.saturating_sub(fault.from_nanos));
                    let drift = passed * i128::from(ppm) / MILLIONTHS;
                    device = device.saturating_add(i64::try_from(drift).unwrap_or(i64::MAX));
                }
                Kind::Jitter(nanos) => {
                    let most = nanos.unsigned_abs().saturating_add(1);
                    fate.jitter_nanos = self.noise.below(most) as i64;
                }
                Kind::Rate(hertz) => {
                    let step = (1e9 / hertz).round() as i64;
                    if at_nanos < self.rate_due_nanos {
                        fate.lost = true;
                    } else {
                        let late = at_nanos.saturating_sub(self.rate_due_nanos) >= step;
                        let due = if late { at_nanos } else { self.rate_due_nanos };
                        self.rate_due_nanos = due.saturating_add(step);
                    }
                }
                Kind::Disconnect(nanos) => self.disconnect(at_nanos, nanos),
            }
        }
        if !freezes {
            self.frozen = None;
        }
        self.come_back(at_nanos);
        if self.away_until_nanos.is_some() || fate.lost {
            return;
        }
        arrival.device_nanos = Some(device);
        self.deliver(arrival, pixels, &fate);
    }

    fn hits(&mut self, fault: &Fault, index: usize, at_nanos: i64) -> bool {
        if at_nanos < fault.from_nanos {
            return false;
        }
        let lasting = matches!(fault.kind, Kind::Jump(_));
        match fault.until_nanos {
            Some(until) if at_nanos >= until => return false,
            None if !lasting => {
                let Some(done) = self.done.get_mut(index) else {
                    return false;
                };
                if std::mem::replace(done, true) {
                    return false;
                }
            }
            _ => {}
        }
        fault.per_mille >= 1000 || self.noise.below(1000) < fault.per_mille
    }

    fn disconnect(&mut self, at_nanos: i64, nanos: i64) {
        self.away_until_nanos = Some((at_nanos.saturating_add(nanos), at_nanos));
        let why = "disconnected by the fault script".to_owned();
        self.ready.push_back((Polled::Lost { why }, Vec::new()));
    }

    fn come_back(&mut self, at_nanos: i64) {
        let Some((until, since)) = self.away_until_nanos else {
            return;
        };
        if at_nanos >= until {
            self.away_until_nanos = None;
            let away_nanos = at_nanos.saturating_sub(since);
            self.ready
                .push_back((Polled::Back { away_nanos }, Vec::new()));
        }
    }

    fn deliver(&mut self, arrival: Arrival, pixels: &mut Vec<u8>, fate: &Fate) {
        if fate.twice {
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.clone_from(pixels);
            let first = Arrival {
                missed: 0,
                ..arrival
            };
            self.pass_on(first, copy, 0);
        }
        let fresh = self.spare.pop().unwrap_or_default();
        let filled = std::mem::replace(pixels, fresh);
        let until = match (fate.late_nanos, fate.behind) {
            (0, 0) => {
                self.pass_on(arrival, filled, fate.jitter_nanos);
                return self.overtaken();
            }
            (0, frames) => Until::Frames(frames),
            (nanos, _) => Until::Nanos(arrival.arrival_nanos.saturating_add(nanos)),
        };
        self.overtaken();
        self.held.push(Held {
            until,
            arrival,
            pixels: filled,
        });
    }

    /// Makes a frame ready; arrivals rise strictly.
    fn pass_on(&mut self, mut arrival: Arrival, pixels: Vec<u8>, later_nanos: i64) {
        let due = arrival.arrival_nanos.saturating_add(later_nanos);
        let arrival_nanos = due.max(self.newest_arrival_nanos.saturating_add(1));
        self.newest_arrival_nanos = arrival_nanos;
        arrival.arrival_nanos = arrival_nanos;
        arrival.meta.capture_nanos = arrival_nanos;
        self.ready.push_back((Polled::Frame(arrival), pixels));
    }

    /// One more frame has gone past those held behind others.
    fn overtaken(&mut self) {
        let now_nanos = self.newest_arrival_nanos;
        for held in &mut self.held {
            if let Until::Frames(left) = &mut held.until {
                match *left {
                    0 | 1 => held.until = Until::Nanos(now_nanos),
                    _ => *left -= 1,
                }
            }
        }
        self.release(now_nanos);
    }

    /// Makes ready what was held until now.
    fn release(&mut self, now_nanos: i64) {
        while let Some(due) = self.next_due_nanos().filter(|&due| due <= now_nanos) {
            let is_due = |held: &Held| matches!(held.until, Until::Nanos(at) if at == due);
            let Some(at) = self.held.iter().position(is_due) else {
                return;
            };
            let held = self.held.remove(at);
            let later_nanos = due.saturating_sub(held.arrival.arrival_nanos);
            self.pass_on(held.arrival, held.pixels, later_nanos);
        }
    }

    fn next_due_nanos(&self) -> Option<i64> {
        let dues = self.held.iter().filter_map(|held| match held.until {
            Until::Nanos(at) => Some(at),
            Until::Frames(_) => None,
        });
        dues.min()
    }

    fn end(&mut self) {
        for held in &mut self.held {
            if let Until::Frames(_) = held.until {
                held.until = Until::Nanos(self.newest_arrival_nanos);
            }
        }
        self.release(i64::MAX);
        if let Some((_, since)) = self.away_until_nanos.take() {
            let away_nanos = self.last_nanos.saturating_sub(since);
            self.ready
                .push_back((Polled::Back { away_nanos }, Vec::new()));
        }
        self.ended = true;
    }
}
