//! What is measured, and how it is told.

use crate::{FRAME_BYTES, Outcome, PERIOD_NANOS, WARM_UP};
use rustix::thread::{ClockId, clock_nanosleep_absolute};
use rustix::time::{Timespec, clock_gettime};
use std::fmt;
use std::str::FromStr;

/// Who hands over to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// echocart's protocol by `pwrite` and `pread`.
    Calls,
    /// The same with a writer that maps the memory.
    MappedWriter,
    /// The same; the reader maps it too and reads in place.
    Mapped,
    /// echocart's own source, with its thread and queue, and a writer of version 1, as in `Calls`.
    SourceCopied,
    /// The same with a writer of version 2 that maps: frames are read in place.
    Source,
    /// iceoryx2; the reader copies.
    IoxCopied,
    /// iceoryx2; the reader reads in place.
    Iox,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Calls,
        Self::MappedWriter,
        Self::IoxCopied,
        Self::Mapped,
        Self::Iox,
        Self::SourceCopied,
        Self::Source,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "memfd",
            Self::MappedWriter => "memfd-mapped-writer",
            Self::Mapped => "memfd-mapped",
            Self::SourceCopied => "source-copied",
            Self::Source => "source",
            Self::IoxCopied => "iceoryx2-copied",
            Self::Iox => "iceoryx2",
        }
    }

    fn copies(self) -> u32 {
        match self {
            Self::Calls | Self::MappedWriter | Self::IoxCopied | Self::SourceCopied => 2,
            Self::Mapped | Self::Iox | Self::Source => 1,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("kind: expected one of {:?}, found {text}", Self::ALL))
    }
}

/// The monotonic clock.
pub fn now_nanos() -> i64 {
    nanos(clock_gettime(rustix::time::ClockId::Monotonic))
}

fn cpu_nanos() -> i64 {
    nanos(clock_gettime(rustix::time::ClockId::ProcessCPUTime))
}

fn nanos(time: Timespec) -> i64 {
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Load of the last minute.
pub fn load() -> Outcome<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// The processor time of this process from the end of the warm-up on.
#[derive(Default)]
pub struct Cpu {
    from_nanos: Option<i64>,
    frames: u64,
}

impl Cpu {
    /// Counts a frame; `number` counts from 0.
    pub fn frame(&mut self, number: u64) {
        if number == WARM_UP {
            self.from_nanos = Some(cpu_nanos());
        } else if number > WARM_UP {
            self.frames += 1;
        }
    }

    pub fn tell(&self) {
        let spent = self.from_nanos.map_or(0, |from| cpu_nanos() - from);
        println!("cpu {spent} {}", self.frames);
    }
}

/// Draws a frame each period and hands it to `hand_over`.
pub fn paced(frames: u64, mut hand_over: impl FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
    let mut picture = vec![0; FRAME_BYTES];
    let mut cpu = Cpu::default();
    let mut due_nanos = now_nanos();
    for number in 0..frames {
        due_nanos += PERIOD_NANOS;
        let due = Timespec {
            tv_sec: due_nanos / 1_000_000_000,
            tv_nsec: due_nanos % 1_000_000_000,
        };
        while clock_nanosleep_absolute(ClockId::Monotonic, &due).is_err() {}
        picture.fill(number as u8);
        cpu.frame(number);
        let start = now_nanos();
        picture[..8].copy_from_slice(&start.to_le_bytes());
        picture[8..16].copy_from_slice(&number.to_le_bytes());
        hand_over(&picture)?;
    }
    cpu.tell();
    Ok(())
}

/// What a reader saw.
#[derive(Default)]
pub struct Seen {
    cpu: Cpu,
    lines: String,
}

impl Seen {
    /// Takes a frame; reads each of its bytes once.
    pub fn frame(&mut self, pixels: &[u8]) {
        let seen = now_nanos();
        let sum: u64 = pixels.iter().map(|&byte| u64::from(byte)).sum();
        std::hint::black_box(sum);
        let read = now_nanos();
        let number = |at: usize| {
            let bytes = pixels.get(at..).and_then(|rest| rest.first_chunk::<8>());
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let (start, number) = (number(0).cast_signed(), number(8));
        self.cpu.frame(number);
        if number >= WARM_UP {
            use fmt::Write;
            let (handed, all) = (seen - start, read - start);
            let _ = writeln!(self.lines, "frame {handed} {all}");
        }
    }

    pub fn tell(&self) {
        print!("{}", self.lines);
        self.cpu.tell();
    }
}

/// What both processes said, over all rounds.
#[derive(Default)]
pub struct Report {
    handed: Vec<i64>,
    all: Vec<i64>,
    cpu: [(i64, i64); 2],
}

pub const HEAD: &str = "| | frames | publish to seen p50 | p99 | max | publish to read p50 | p99 | \
                        max | CPU writer | CPU reader | copies |\n|---|---|---|---|---|---|---|---|\
                        ---|---|---|";

impl Report {
    pub fn add(&mut self, writer: &str, reader: &str) -> Outcome<()> {
        for (side, text) in [writer, reader].into_iter().enumerate() {
            for line in text.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                let &[what, a, b] = words.as_slice() else {
                    return Err(
                        format!("a line of a process: expected 3 words, found {line}").into(),
                    );
                };
                let (a, b): (i64, i64) = (a.parse()?, b.parse()?);
                if what == "cpu" {
                    self.cpu[side].0 += a;
                    self.cpu[side].1 += b;
                } else {
                    self.handed.push(a);
                    self.all.push(b);
                }
            }
        }
        Ok(())
    }

    /// A row of the table; microseconds.
    pub fn row(&mut self, kind: Kind) -> String {
        let frames = self.handed.len();
        let shares = |values: &mut Vec<i64>| {
            values.sort_unstable();
            let last = values.len().saturating_sub(1);
            let at = |share: f64| {
                let nanos = values.get((last as f64 * share).round() as usize);
                nanos.copied().unwrap_or(0) as f64 / 1000.0
            };
            format!("{:.1} | {:.1} | {:.1}", at(0.5), at(0.99), at(1.0))
        };
        let cpu = |(nanos, frames): (i64, i64)| nanos as f64 / frames.max(1) as f64 / 1000.0;
        format!(
            "| {kind} | {frames} | {} | {} | {:.1} | {:.1} | {} |",
            shares(&mut self.handed),
            shares(&mut self.all),
            cpu(self.cpu[0]),
            cpu(self.cpu[1]),
            kind.copies()
        )
    }
}
