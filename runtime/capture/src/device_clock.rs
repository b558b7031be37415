//! From a device's time stamps to the monotonic clock of the arrivals.

/// Length of one window in which the smallest delay is looked for.
const WINDOW_NANOS: i128 = 2_000_000_000;
/// Fastest that the estimate rises: more than any two crystals differ by.
const SLEW_PER_MILLION: i128 = 500;
/// A stamp this far ahead of its arrival is no faster delivery but another time.
const AHEAD_NANOS: i128 = 100_000_000;
/// A frame this much later than the fastest one is no late delivery but another time.
const BEHIND_NANOS: i128 = 2_000_000_000;
/// How far the steps of stamps and arrivals may differ for stamps that agree with one another.
const AGREE_NANOS: i128 = 100_000_000;
/// Stamps that have to agree before they become the new truth.
const CONFIRM_FRAMES: u32 = 5;
const CONFIRM_NANOS: i128 = 200_000_000;
/// After this time without a usable stamp arrivals are used.
const GIVE_UP_NANOS: i128 = 1_000_000_000;

/// What became of a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamped {
    /// The capture time, by the device's clock.
    Device {
        /// On the clock of the arrivals; rises strictly and is never after the arrival.
        capture_nanos: i64,
    },
    /// The capture time, by the device's clock, after that clock was found to run from another
    /// origin: this frame and the ones before the break have no exact distance.
    Reanchored {
        /// As in [`Stamped::Device`].
        capture_nanos: i64,
    },
    /// The arrival stands in, because the device gives no stamp or none that can be used.
    Arrival {
        /// The arrival time, rising strictly.
        capture_nanos: i64,
    },
    /// The stamp contradicts the ones before it; the frame has no time.
    Quarantined,
}

impl Stamped {
    /// The capture time, if there is one.
    pub fn capture_nanos(self) -> Option<i64> {
        match self {
            Self::Device { capture_nanos }
            | Self::Reanchored { capture_nanos }
            | Self::Arrival { capture_nanos } => Some(capture_nanos),
            Self::Quarantined => None,
        }
    }
}

/// Maps a device's clock to the monotonic one.
///
/// The capture time is the stamp plus the smallest difference between arrival and stamp seen in
/// the last two to four seconds: jitter only ever delays, so the fastest frame is the best witness.
/// That difference follows a drift of up to 500 ppm. What cannot be observed from here, the delay
/// of the fastest frame itself, stays in.
///
/// A stamp that is not later than the one before it, lies more than 100 ms ahead of its arrival or
/// more than 2 s behind the fastest frame is quarantined. Five quarantined stamps in a row over at
/// least 200 ms that agree with one another re-anchor the clock. Without a usable stamp for 1 s
/// the arrivals are used until stamps agree again, so no sequence of stamps stops the stream.
#[derive(Debug, Clone, Default)]
pub struct DeviceClock {
    anchor: Option<Anchor>,
    suspects: Option<Suspects>,
    newest_capture_nanos: Option<i64>,
    newest_arrival_nanos: Option<i64>,
    trusted_arrival_nanos: i128,
    gave_up: bool,
    quarantined: u64,
    reanchored: u64,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    device_nanos: i64,
    arrival_nanos: i64,
    offset_nanos: i128,
    window_start_nanos: i128,
    window_least_nanos: i128,
    before_least_nanos: i128,
}

#[derive(Debug, Clone, Copy)]
struct Suspects {
    frames: u32,
    since_nanos: i64,
    device_nanos: i64,
    arrival_nanos: i64,
    least_nanos: i128,
}

impl DeviceClock {
    /// Maps the next frame's stamp.
    ///
    /// # Units
    /// Nanoseconds. Arrivals are of one monotonic clock; one that is not later than the one before
    /// is quarantined with its frame.
    pub fn map(&mut self, device_nanos: Option<i64>, arrival_nanos: i64) -> Stamped {
        if self
            .newest_arrival_nanos
            .is_some_and(|t| arrival_nanos <= t)
        {
            return self.quarantine();
        }
        if self.newest_arrival_nanos.is_none() {
            self.trusted_arrival_nanos = i128::from(arrival_nanos);
        }
        self.newest_arrival_nanos = Some(arrival_nanos);
        let Some(device_nanos) = device_nanos else {
            self.suspects = None;
            self.anchor = None;
            return self.arrival(arrival_nanos);
        };
        let Some(anchor) = &mut self.anchor else {
            return self.start(device_nanos, arrival_nanos);
        };
        if let Some(capture_nanos) = anchor.accept(device_nanos, arrival_nanos)
            && self.newest_capture_nanos.is_none_or(|t| capture_nanos > t)
        {
            self.suspects = None;
            return self.trust(capture_nanos, arrival_nanos, false);
        }
        self.suspect(device_nanos, arrival_nanos)
    }

    /// Forgets the device's clock, as after a reconnection, when it may have started over. Capture
    /// times go on rising.
    pub fn restart(&mut self) {
        self.anchor = None;
        self.suspects = None;
    }

    /// Frames without a time so far.
    pub fn quarantined(&self) -> u64 {
        self.quarantined
    }

    /// How often the device's clock was found to run from another origin.
    pub fn reanchored(&self) -> u64 {
        self.reanchored
    }

    fn start(&mut self, device_nanos: i64, arrival_nanos: i64) -> Stamped {
        let restarted = self.newest_capture_nanos.is_some();
        self.anchor = Some(Anchor::new(
            device_nanos,
            arrival_nanos,
            difference(arrival_nanos, device_nanos),
        ));
        self.trust(arrival_nanos, arrival_nanos, restarted)
    }

    fn trust(&mut self, capture_nanos: i64, arrival_nanos: i64, reanchored: bool) -> Stamped {
        self.trusted_arrival_nanos = i128::from(arrival_nanos);
        self.gave_up = false;
        self.newest_capture_nanos = Some(capture_nanos);
        if reanchored {
            self.reanchored += 1;
            return Stamped::Reanchored { capture_nanos };
        }
        Stamped::Device { capture_nanos }
    }

    fn suspect(&mut self, device_nanos: i64, arrival_nanos: i64) -> Stamped {
        let least_nanos = difference(arrival_nanos, device_nanos);
        let suspects = match self.suspects {
            Some(s) if s.agree(device_nanos, arrival_nanos) => Suspects {
                frames: s.frames.saturating_add(1),
                device_nanos,
                arrival_nanos,
                least_nanos: s.least_nanos.min(least_nanos),
                ..s
            },
            _ => Suspects {
                frames: 1,
                since_nanos: arrival_nanos,
                device_nanos,
                arrival_nanos,
                least_nanos,
            },
        };
        self.suspects = Some(suspects);
        if suspects.frames >= CONFIRM_FRAMES
            && difference(arrival_nanos, suspects.since_nanos) >= CONFIRM_NANOS
        {
            let capture_nanos = clamp(i128::from(device_nanos) + suspects.least_nanos);
            if self.newest_capture_nanos.is_none_or(|t| capture_nanos > t) {
                self.suspects = None;
                self.anchor = Some(Anchor::new(
                    device_nanos,
                    arrival_nanos,
                    suspects.least_nanos,
                ));
                return self.trust(capture_nanos, arrival_nanos, true);
            }
        }
        let waited = i128::from(arrival_nanos) - self.trusted_arrival_nanos;
        if self.gave_up || waited >= GIVE_UP_NANOS {
            self.gave_up = true;
            return self.arrival(arrival_nanos);
        }
        self.quarantine()
    }

    fn arrival(&mut self, capture_nanos: i64) -> Stamped {
        self.newest_capture_nanos = Some(capture_nanos);
        Stamped::Arrival { capture_nanos }
    }

    fn quarantine(&mut self) -> Stamped {
        self.quarantined += 1;
        Stamped::Quarantined
    }
}

impl Anchor {
    fn new(device_nanos: i64, arrival_nanos: i64, offset_nanos: i128) -> Self {
        Self {
            device_nanos,
            arrival_nanos,
            offset_nanos,
            window_start_nanos: i128::from(arrival_nanos),
            window_least_nanos: offset_nanos,
            before_least_nanos: offset_nanos,
        }
    }

    /// The capture time of a stamp that fits the ones before it.
    fn accept(&mut self, device_nanos: i64, arrival_nanos: i64) -> Option<i64> {
        let found = difference(arrival_nanos, device_nanos);
        let delay = found - self.offset_nanos;
        if device_nanos <= self.device_nanos || !(-AHEAD_NANOS..=BEHIND_NANOS).contains(&delay) {
            return None;
        }
        let passed = difference(arrival_nanos, self.arrival_nanos);
        if i128::from(arrival_nanos) - self.window_start_nanos >= WINDOW_NANOS {
            self.window_start_nanos = i128::from(arrival_nanos);
            self.before_least_nanos = self.window_least_nanos;
            self.window_least_nanos = found;
        }
        self.window_least_nanos = self.window_least_nanos.min(found);
        let least = self.window_least_nanos.min(self.before_least_nanos);
        let slewed = self.offset_nanos + passed * SLEW_PER_MILLION / 1_000_000;
        self.offset_nanos = least.min(slewed).min(found);
        self.device_nanos = device_nanos;
        self.arrival_nanos = arrival_nanos;
        Some(clamp(i128::from(device_nanos) + self.offset_nanos))
    }
}

impl Suspects {
    /// True if a stamp follows the newest suspect as its arrival does.
    fn agree(&self, device_nanos: i64, arrival_nanos: i64) -> bool {
        let device = difference(device_nanos, self.device_nanos);
        let arrival = difference(arrival_nanos, self.arrival_nanos);
        device > 0 && (device - arrival).abs() <= AGREE_NANOS
    }
}

fn difference(a: i64, b: i64) -> i128 {
    i128::from(a) - i128::from(b)
}

fn clamp(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}
