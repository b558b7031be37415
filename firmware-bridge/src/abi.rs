//! The types and numbers that cross the boundary, as the header shows them.
//!
//! Sizes are asserted here and in the header. Within a major version a struct only grows at its
//! end, and a struct that is a field of another never grows.

use std::ffi::c_char;

/// Raised when a function, field or code changes or goes. The library's soname carries it.
pub const ECHOCART_ABI_MAJOR: u32 = 0;
/// Raised when a function, a field at a struct's end, or a code is added.
pub const ECHOCART_ABI_MINOR: u32 = 1;
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
/// Four bytes a pixel: blue, green, red, alpha. ECHOCART_UNSUPPORTED in this version.
pub const ECHOCART_PIXEL_BGRA32: u32 = 3;
/// Packed YUV 4:2:2. ECHOCART_UNSUPPORTED in this version.
pub const ECHOCART_PIXEL_YUY2: u32 = 4;
/// Luminance plane and interleaved chroma plane. ECHOCART_UNSUPPORTED in this version.
pub const ECHOCART_PIXEL_NV12: u32 = 5;

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

/// The session serves.
pub const ECHOCART_STATE_STARTED: u32 = 1;
/// The counters are due.
pub const ECHOCART_STATE_COUNTERS: u32 = 2;
/// The size or format of the frames changed.
pub const ECHOCART_STATE_SECTOR_CHANGED: u32 = 3;
/// The engine failed; estimates are withheld.
pub const ECHOCART_STATE_ENGINE_DOWN: u32 = 4;
/// The last frame has gone through the pipeline.
pub const ECHOCART_STATE_SOURCE_ENDED: u32 = 5;

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

/// What a session is made from. Set every byte to zero, then the fields.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct echocart_session_config_t {
    /// `sizeof(echocart_session_config_t)`.
    pub struct_size: u32,
    /// `ECHOCART_ABI_VERSION`.
    pub abi_version: u32,
    /// `ECHOCART_PACE_REAL` or `ECHOCART_PACE_MAX`.
    pub pace: u32,
    /// 1: numbers with the status DEMONSTRATION are handed out. 0: they stay NaN.
    pub allow_demonstration: u32,
    /// Folder of the model package, UTF-8.
    pub package_dir: *const c_char,
    /// Bytes of `package_dir`, without a terminating NUL.
    pub package_dir_bytes: u64,
    /// Absolute path of the ONNX Runtime library, UTF-8.
    pub library_path: *const c_char,
    /// Bytes of `library_path`.
    pub library_path_bytes: u64,
    /// The cart's configuration as TOML text. Empty: the demo's, which accepts unsigned packages.
    pub config_toml: *const c_char,
    /// Bytes of `config_toml`.
    pub config_toml_bytes: u64,
}

/// What a session runs. Text is UTF-8, ends with NUL, and is cut where it does not fit.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct echocart_session_info_t {
    /// `sizeof(echocart_session_info_t)`.
    pub struct_size: u32,
    /// One of `ECHOCART_TRAINED_*`.
    pub trained: u32,
    /// 1 when the package was loaded without a signature by a trusted key.
    pub unsigned_package: u32,
    /// Labels of the view head; their texts come from `echocart_result_label`.
    pub label_count: u32,
    /// Package id and the first 12 hex digits of its SHA-256, `id@hash`.
    pub package: [c_char; 96],
    /// First line of the package's card.
    pub card: [c_char; 256],
    /// The encoder in words.
    pub model: [c_char; 128],
    /// Provider that runs the graphs, for example `CPU`.
    pub provider: [c_char; 32],
    /// Name and version of the runtime library, for example `onnxruntime 1.28.0`.
    pub library: [c_char; 64],
    /// First 12 hex digits of the SHA-256 of the effective configuration.
    pub config: [c_char; 16],
    /// Version of echocart.
    pub version: [c_char; 32],
}

/// One frame, borrowed for the call. Set every byte to zero, then the fields.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct echocart_frame_t {
    /// `sizeof(echocart_frame_t)`.
    pub struct_size: u32,
    /// One of `ECHOCART_PIXEL_*`.
    pub format: u32,
    /// Width in pixels, at least 1.
    pub width_px: u32,
    /// Height in pixels, at least 1.
    pub height_px: u32,
    /// Bytes from the start of one row to the start of the next.
    pub row_stride_bytes: u32,
    /// How often a looped source has started over; 0 on a live source.
    pub pass: u32,
    /// Rows from top to bottom.
    pub pixels: *const u8,
    /// Bytes at `pixels`: at least `row_stride_bytes * (height_px - 1)` and one row more.
    pub pixel_bytes: u64,
    /// When the frame was captured, nanoseconds of `echocart_clock_now`, 0 to 2^62; at maximum
    /// pace of any clock.
    pub capture_nanos: i64,
}

/// One clip as evidence.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct echocart_segment_t {
    /// Number of the clip's first frame, as `echocart_frame_push` gave it.
    pub first_frame: u64,
    /// Number of the clip's last frame.
    pub last_frame: u64,
    /// Capture time of the first frame, nanoseconds.
    pub first_capture_nanos: i64,
    /// Capture time of the last frame, nanoseconds.
    pub last_capture_nanos: i64,
    /// Number of the frame geometry that all frames share.
    pub sector: u32,
    /// Index of the clip's view label, or `ECHOCART_NO_LABEL`.
    pub view: u32,
    /// 1 when the clip runs across the seam of a looped source.
    pub seam: u32,
    /// 0.
    pub reserved: u32,
}

/// One output: whether there is a value, why not, and the frames behind it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct echocart_output_t {
    /// One of `ECHOCART_STATUS_*`.
    pub status: u32,
    /// One of `ECHOCART_REASON_*`; NONE unless `status` is WITHHELD.
    pub reason: u32,
    /// Blank the value past this instant, or `ECHOCART_NO_TIME` without a value.
    pub valid_until_nanos: i64,
    /// Nanoseconds from the newest frame's capture to this poll, or `ECHOCART_NO_TIME`.
    pub age_newest_nanos: i64,
    /// Nanoseconds from the oldest frame's capture to this poll, or `ECHOCART_NO_TIME`.
    pub age_oldest_nanos: i64,
    /// Entries of `segments` that are set, oldest clip first.
    pub segment_count: u32,
    /// 0.
    pub reserved: u32,
    /// The clips used.
    pub segments: [echocart_segment_t; ECHOCART_MAX_SEGMENTS],
}

/// Where every frame went: `captured == used + unused + dropped_ring_full + sum of rejected +
/// in_flight`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct echocart_counters_t {
    /// Frames taken or dropped by `echocart_frame_push`.
    pub captured: u64,
    /// Frames in a clip that was inferred.
    pub used: u64,
    /// Frames that left the window otherwise.
    pub unused: u64,
    /// Frames that found the ring full.
    pub dropped_ring_full: u64,
    /// Frames still held.
    pub in_flight: u64,
    /// Clips that a newer one replaced before they were inferred.
    pub clips_superseded: u64,
    /// Frames refused; the index is one of `ECHOCART_REASON_*`.
    pub rejected: [u64; ECHOCART_REASONS],
}

/// One result. What `kind` does not set is 0, NaN, `ECHOCART_NO_LABEL` or `ECHOCART_NO_TIME`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct echocart_result_t {
    /// `sizeof(echocart_result_t)`.
    pub struct_size: u32,
    /// One of `ECHOCART_RESULT_*`.
    pub kind: u32,
    /// Clip number, counted from 0 over evaluated and refused clips alike.
    pub clip: u64,
    /// When the result left the pipeline, or `ECHOCART_NO_TIME` at maximum pace.
    pub sent_nanos: i64,
    /// Capture time that a state refers to.
    pub at_nanos: i64,
    /// One of `ECHOCART_STATE_*`.
    pub state: u32,
    /// Index of the most probable view, or `ECHOCART_NO_LABEL` without a value.
    pub view_label: u32,
    /// Ejection fraction in percent, never clamped; NaN without a value.
    pub lvef_percent: f32,
    /// Image signal, 0 to 1; NaN: no signal meter exists in this version.
    pub signal_meter: f32,
    /// Which echo view this is.
    pub view: echocart_output_t,
    /// Left ventricular ejection fraction.
    pub lvef: echocart_output_t,
    /// Image signal meter. OFF in this version.
    pub signal: echocart_output_t,
    /// Probabilities in the order of the labels; NaN without a value.
    pub view_probabilities: [f32; ECHOCART_MAX_LABELS],
    /// The view head's logits as the graph gave them. For comparison, not for display.
    pub raw_view: [f32; ECHOCART_MAX_LABELS],
    /// Entries of `raw_view` that are set; 0 when the head did not run.
    pub raw_view_count: u32,
    /// 1 when `raw_lvef` is set, else 0.
    pub raw_lvef_count: u32,
    /// The EF head's standardised output as the graph gave it. For comparison, not for display.
    pub raw_lvef: f32,
    /// Entries of `view_probabilities` that are set.
    pub view_probability_count: u32,
    /// Where every frame went.
    pub counters: echocart_counters_t,
    /// Estimates sent, in the summary.
    pub estimates: u64,
    /// Estimates whose view is a value or a demonstration, in the summary.
    pub values_view: u64,
    /// Estimates whose EF is a value or a demonstration, in the summary.
    pub values_lvef: u64,
    /// Estimates whose signal is a value or a demonstration, in the summary.
    pub values_signal: u64,
    /// Results lost because nobody polled, in the summary.
    pub results_dropped: u64,
    /// One plain sentence of a state, UTF-8, ends with NUL.
    pub detail: [c_char; ECHOCART_DETAIL_BYTES],
}

const _: () = {
    assert!(size_of::<echocart_segment_t>() == 48);
    assert!(size_of::<echocart_output_t>() == 232);
    assert!(size_of::<echocart_counters_t>() == 304);
    assert!(size_of::<echocart_session_info_t>() == 640);
    assert!(size_of::<echocart_result_t>() == 1616);
};

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<echocart_session_config_t>() == 64);
    assert!(size_of::<echocart_frame_t>() == 48);
};
