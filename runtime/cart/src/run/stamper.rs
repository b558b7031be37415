//! When the frames of a source were captured, on the session's clock.

use echocart_capture::{Arrival, Delivery, DeviceClock, SelfTest, SourceInfo, Stamped, Stamps};
use echocart_core::clock::{self, Pace};
use std::io::Write;

/// How much of a device's beginning is looked at.
const SELF_TEST_NANOS: i64 = 3_000_000_000;
/// Not later than any frame before it: the pipeline refuses it as BAD_TIMESTAMP and counts it.
const NO_TIME_NANOS: i64 = 0;

/// Paces a source and maps its stamps.
pub struct Stamper {
    pace: Pace,
    live: bool,
    exact: bool,
    /// The clock at the first frame.
    start_nanos: Option<i64>,
    clock: DeviceClock,
    self_test: Option<SelfTest>,
    said_arrival: bool,
    reanchored: bool,
}

impl Stamper {
    /// For the frames of one source.
    pub fn new(info: &SourceInfo, pace: Pace) -> Self {
        let exact = info.stamps == Stamps::Exact;
        Self {
            pace,
            live: info.delivery == Delivery::Live,
            exact,
            start_nanos: None,
            clock: DeviceClock::default(),
            self_test: (!exact).then(SelfTest::default),
            said_arrival: false,
            reanchored: false,
        }
    }

    /// True if the device decides when a frame comes.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// True if the source's times are the capture times.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// True if the frames are to be held back until they are due.
    pub fn is_paced(&self) -> bool {
        !self.live && self.pace == Pace::Real
    }

    /// Forgets the device's clock: it may have started over.
    pub fn restart(&mut self) {
        self.clock.restart();
    }

    /// How long after the first frame a source's time is.
    pub fn since_start(&self, nanos: i64) -> i64 {
        match (self.live, self.start_nanos) {
            (true, Some(start)) => nanos.saturating_sub(start),
            (true, None) => 0,
            (false, _) => nanos,
        }
    }

    /// When a frame comes that the source has at `nanos`.
    pub fn due(&mut self, nanos: i64) -> i64 {
        if self.live {
            self.start_nanos.get_or_insert(nanos);
            return nanos;
        }
        let start = self.start_nanos.get_or_insert_with(|| match self.pace {
            Pace::Real => clock::now_nanos(),
            Pace::Max => 0,
        });
        nanos.saturating_add(*start)
    }

    /// When a frame was captured.
    pub fn capture_nanos(&mut self, arrival: &Arrival, offset: i64, due_nanos: i64) -> i64 {
        if self.exact {
            return due_nanos;
        }
        let device = arrival.device_nanos.map(|at| at.saturating_add(offset));
        match self.clock.map(device, due_nanos) {
            Stamped::Device { capture_nanos } => capture_nanos,
            Stamped::Reanchored { capture_nanos } => {
                say("the device's clock was taken up anew");
                self.reanchored = true;
                capture_nanos
            }
            Stamped::Arrival { capture_nanos } => {
                if !std::mem::replace(&mut self.said_arrival, true) {
                    say("no usable time stamps, frames are timed as they arrive");
                }
                capture_nanos
            }
            Stamped::Quarantined => NO_TIME_NANOS,
        }
    }

    /// True once after the device's clock was taken up anew.
    pub fn take_reanchored(&mut self) -> bool {
        std::mem::take(&mut self.reanchored)
    }

    /// Looks at a frame of the self-test and prints its findings at the end.
    pub fn look(&mut self, arrival: &Arrival, pixels: &[u8]) {
        let Some(test) = &mut self.self_test else {
            return;
        };
        test.frame(arrival, pixels);
        if test.span_nanos() >= SELF_TEST_NANOS {
            self.report();
        }
    }

    fn report(&mut self) {
        if let Some(report) = self.self_test.take().and_then(|test| test.report()) {
            say(&report.to_string());
        }
    }
}

impl Drop for Stamper {
    fn drop(&mut self) {
        self.report();
    }
}

/// Prints a line about the source; a standard output that is gone is no reason to stop.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "source: {text}");
}
