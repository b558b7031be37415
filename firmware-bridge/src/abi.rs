//! The numbers that cross the boundary, as the header shows them. `layout` has the structs.

pub use crate::layout::*;

/// Raised when a function, field or code changes or goes. The library's soname carries it.
pub const ECHOCART_ABI_MAJOR: u32 = 0;
/// Raised when a function, a field at a struct's end, or a code is added.
pub const ECHOCART_ABI_MINOR: u32 = 3;
/// What `echocart_session_config_t::abi_version` must be: major << 16 | minor.
pub const ECHOCART_ABI_VERSION: u32 = (ECHOCART_ABI_MAJOR << 16) | ECHOCART_ABI_MINOR;

/// Most labels a view head may have.
pub const ECHOCART_MAX_LABELS: usize = 32;
/// Most clips behind one output.
pub const ECHOCART_MAX_SEGMENTS: usize = 4;
/// Length of the array of rejected frames; its index is a reason.
pub const ECHOCART_REASONS: usize = 32;
/// Bytes of a state's sentence, the terminating NUL included.
pub const ECHOCART_DETAIL_BYTES: usize = 256;

/// A label index that points to no label.
pub const ECHOCART_NO_LABEL: u32 = u32::MAX;
/// A time or an age that does not exist.
pub const ECHOCART_NO_TIME: i64 = i64::MIN;

/// Frames come when they are captured: a full ring drops the frame, late clips are superseded.
pub const ECHOCART_PACE_REAL: u32 = 0;
/// Virtual time: the clock is capture time, every due clip is inferred, nothing is dropped.
pub const ECHOCART_PACE_MAX: u32 = 1;

/// One byte a pixel: luminance.
pub const ECHOCART_PIXEL_GRAY8: u32 = 1;
/// Three bytes a pixel: red, green, blue.
pub const ECHOCART_PIXEL_RGB24: u32 = 2;
/// Four bytes a pixel: blue, green, red, and one that is ignored.
pub const ECHOCART_PIXEL_BGRA32: u32 = 3;
/// Four bytes for two pixels: Y0, U, Y1, V, BT.601 in video range. The width is even.
pub const ECHOCART_PIXEL_YUY2: u32 = 4;
/// A plane of Y, then one of interleaved U and V for two by two pixels, both with the same row
/// stride, BT.601 in video range. Width and height are even.
pub const ECHOCART_PIXEL_NV12: u32 = 5;

/// Pixels in memory that the processor reads.
pub const ECHOCART_MEMORY_HOST: u32 = 0;
/// Memory of a CUDA device. ECHOCART_UNSUPPORTED in this version.
pub const ECHOCART_MEMORY_CUDA: u32 = 1;
/// A DMA buffer. ECHOCART_UNSUPPORTED in this version.
pub const ECHOCART_MEMORY_DMABUF: u32 = 2;

/// Colour Doppler is on: what this frame would be part of is withheld for COLOUR_ON.
pub const ECHOCART_FRAME_COLOUR_ON: u32 = 1;
/// The image is frozen: what this frame would be part of is withheld for FROZEN.
pub const ECHOCART_FRAME_FROZEN: u32 = 2;
/// `ecg_millivolts` is set.
pub const ECHOCART_FRAME_HAS_ECG: u32 = 4;
/// `depth_mm` is set.
pub const ECHOCART_FRAME_HAS_DEPTH: u32 = 8;
/// `sequence` is set.
pub const ECHOCART_FRAME_HAS_SEQUENCE: u32 = 16;

/// As `engine.isolation` of the configuration says, which without it is WORKER.
pub const ECHOCART_ISOLATION_DEFAULT: u32 = 0;
/// Inference runs in a process of its own, `echocart-worker`, whose end does not end the caller's.
pub const ECHOCART_ISOLATION_WORKER: u32 = 1;
/// Inference runs in the caller's process.
pub const ECHOCART_ISOLATION_IN_PROCESS: u32 = 2;

/// Everything else goes first: nice 19 where the system has it.
pub const ECHOCART_PRIORITY_LOWEST: u32 = 0;
/// Most else goes first: nice 10.
pub const ECHOCART_PRIORITY_LOW: u32 = 1;
/// As the thread that creates the session.
pub const ECHOCART_PRIORITY_INHERIT: u32 = 2;

/// Words of a CPU set: bit `n % 64` of word `n / 64` is CPU `n`.
pub const ECHOCART_CPU_SET_WORDS: usize = 4;
/// Bytes of an exam token.
pub const ECHOCART_EXAM_TOKEN_BYTES: usize = 16;

/// Something does not work.
pub const ECHOCART_LOG_ERROR: u32 = 1;
/// Something works less well than asked for.
pub const ECHOCART_LOG_WARNING: u32 = 2;
/// What the session does.
pub const ECHOCART_LOG_INFO: u32 = 3;

/// The package has no calibration of the EF for the variant that runs.
pub const ECHOCART_CALIBRATION_NONE: u32 = 0;
/// The calibration speaks for the value: the interval is set.
pub const ECHOCART_CALIBRATION_INSIDE: u32 = 1;
/// The value or its view is not among those the calibration was made from.
pub const ECHOCART_CALIBRATION_OUTSIDE: u32 = 2;

/// Generated weights: outputs are demonstrations and mean nothing.
pub const ECHOCART_TRAINED_NOTHING: u32 = 1;
/// Learnt from simulated hearts: outputs are demonstrations.
pub const ECHOCART_TRAINED_SIMULATED: u32 = 2;
/// Learnt from patient images.
pub const ECHOCART_TRAINED_CLINICAL: u32 = 3;

/// One clip, evaluated or refused: `clip`, the three outputs and the raw numbers are set.
pub const ECHOCART_RESULT_ESTIMATE: u32 = 1;
/// A change of the session, or its counters once a second of capture time: `state`, `at_nanos`,
/// `detail` and, except in STARTED, `counters` are set.
pub const ECHOCART_RESULT_STATE: u32 = 2;
/// The last result: `counters` and the totals are set.
pub const ECHOCART_RESULT_SUMMARY: u32 = 3;

/// The session is loaded and ready; the first result.
pub const ECHOCART_STATE_STARTED: u32 = 1;
/// The counters are due.
pub const ECHOCART_STATE_COUNTERS: u32 = 2;
/// The size or format of the frames changed.
pub const ECHOCART_STATE_SECTOR_CHANGED: u32 = 3;
/// The engine failed or its process ended; estimates are withheld.
pub const ECHOCART_STATE_ENGINE_DOWN: u32 = 4;
/// The last frame has gone through the pipeline.
pub const ECHOCART_STATE_SOURCE_ENDED: u32 = 5;
/// What the image does has changed: live, frozen, repeating, colour.
pub const ECHOCART_STATE_SCREEN_CHANGED: u32 = 6;
/// The degradation ladder moved.
pub const ECHOCART_STATE_LADDER_CHANGED: u32 = 7;
/// The source's device went away.
pub const ECHOCART_STATE_SOURCE_LOST: u32 = 8;
/// It is there again; the time grid starts anew.
pub const ECHOCART_STATE_SOURCE_BACK: u32 = 9;
/// The device's clock was taken up anew; the time grid starts anew.
pub const ECHOCART_STATE_SOURCE_REANCHORED: u32 = 10;
/// The engine is being made ready; estimates are withheld. Since ABI 0.2.
pub const ECHOCART_STATE_ENGINE_WARMING_UP: u32 = 11;
/// The engine serves again, or another one in its place; views and numbers begin anew, and
/// `echocart_session_info` says which. Since ABI 0.2.
pub const ECHOCART_STATE_ENGINE_READY: u32 = 12;
/// Another engine is being made ready to take the place of the one that serves, which goes on.
/// Since ABI 0.2.
pub const ECHOCART_STATE_ENGINE_PROGRESS: u32 = 13;

/// A value the package may give.
pub const ECHOCART_STATUS_VALUE: u32 = 1;
/// No value; `reason` says why.
pub const ECHOCART_STATUS_WITHHELD: u32 = 2;
/// The head was not due for this clip.
pub const ECHOCART_STATUS_NOT_DUE: u32 = 3;
/// Switched off, or not in the package.
pub const ECHOCART_STATUS_OFF: u32 = 4;
/// The package is untrained or trained on simulated hearts. The number is there only when the
/// session allows demonstrations, and means nothing.
pub const ECHOCART_STATUS_DEMONSTRATION: u32 = 5;

/// The output is not withheld.
pub const ECHOCART_REASON_NONE: u32 = 0;
/// Not enough evidence yet.
pub const ECHOCART_REASON_WARMING_UP: u32 = 1;
/// The image does not change.
pub const ECHOCART_REASON_FROZEN: u32 = 2;
/// The scanner replays a stored loop.
pub const ECHOCART_REASON_REVIEW_LOOP: u32 = 3;
/// Frames are missing for longer than the package allows.
pub const ECHOCART_REASON_GAP: u32 = 4;
/// A frame's time stamp is not later than the one before it.
pub const ECHOCART_REASON_BAD_TIMESTAMP: u32 = 5;
/// The imaging sector or the frame's size changed within the evidence.
pub const ECHOCART_REASON_SECTOR_CHANGED: u32 = 6;
/// The image is mirrored or upside down against the site setting.
pub const ECHOCART_REASON_ORIENTATION: u32 = 7;
/// Colour Doppler is on.
pub const ECHOCART_REASON_COLOUR_ON: u32 = 8;
/// Not an ultrasound image.
pub const ECHOCART_REASON_NOT_ULTRASOUND: u32 = 9;
/// Outside what the package permits.
pub const ECHOCART_REASON_NOT_PERMITTED: u32 = 10;
/// Too little image signal.
pub const ECHOCART_REASON_LOW_SIGNAL: u32 = 11;
/// The view is not one the head accepts.
pub const ECHOCART_REASON_WRONG_VIEW: u32 = 12;
/// The view is not certain enough.
pub const ECHOCART_REASON_UNCERTAIN: u32 = 13;
/// The rhythm does not allow a number.
pub const ECHOCART_REASON_RHYTHM: u32 = 14;
/// The number lies outside the range the package may give.
pub const ECHOCART_REASON_OUT_OF_RANGE: u32 = 15;
/// The package has no calibration for this.
pub const ECHOCART_REASON_UNCALIBRATED: u32 = 16;
/// The evidence is older than a number may be.
pub const ECHOCART_REASON_STALE: u32 = 17;
/// A new exam began.
pub const ECHOCART_REASON_NEW_EXAM: u32 = 18;
/// The engine failed or gave no finite number.
pub const ECHOCART_REASON_ENGINE_DOWN: u32 = 19;
/// Withheld by the degradation ladder.
pub const ECHOCART_REASON_DEGRADED: u32 = 20;
