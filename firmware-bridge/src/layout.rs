//! The structs that cross the boundary, as the header shows them.
//!
//! Sizes are asserted here and in the header. Within a major version a struct only grows at its
//! end, and a struct that is a field of another never grows.

#![expect(
    non_camel_case_types,
    reason = "the names are those of the C header, which is generated from them"
)]

use crate::abi::{
    ECHOCART_CPU_SET_WORDS, ECHOCART_DETAIL_BYTES, ECHOCART_EXAM_TOKEN_BYTES, ECHOCART_MAX_LABELS,
    ECHOCART_MAX_SEGMENTS, ECHOCART_REASONS,
};
use std::ffi::{c_char, c_void};

/// Takes one line of the log: UTF-8, `text_bytes` long, ended by NUL, borrowed for the call.
///
/// It is called on the thread of the call that has something to say, on `echocart-load` while a
/// session is created, and on `echocart-infer`; never for a frame or a result, and never with an
/// exam token. Inside it every call with a handle gives ECHOCART_IN_CALLBACK. No exception and no
/// `longjmp` may leave it.
pub type echocart_log_callback_t = Option<
    unsafe extern "C" fn(user_data: *mut c_void, level: u32, text: *const c_char, text_bytes: u64),
>;

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
    /// One of `ECHOCART_ISOLATION_*`.
    pub isolation: u32,
    /// One of `ECHOCART_PRIORITY_*`, for every thread of the session.
    pub priority: u32,
    /// Threads of one inference call, 1 to 64; 0: as `engine.intra_op_threads`.
    pub threads: u32,
    /// Lines of this level and below go to `log_callback`: one of `ECHOCART_LOG_*`, or 0.
    pub log_level: u32,
    /// CPUs that the session's threads may run on; all zero: those of the creating thread.
    pub cpu_set: [u64; ECHOCART_CPU_SET_WORDS],
    /// Most bytes that the graphs may take of the GPU's memory, at least 1,048,576: weights, tokens and
    /// what is computed on the way, not the driver's own. 0: as `engine.gpu_memory_bytes`, else as many as
    /// they take. With TensorRT or TensorRT-RTX among the providers, which keep to no limit:
    /// ECHOCART_UNSUPPORTED. Below what the weights take: no provider serves.
    pub gpu_memory_bytes: u64,
    /// Bytes that each pooled frame buffer has from the start, at most
    /// `pipeline.max_frame_bytes`; 0: a buffer grows when its first frame comes.
    pub reserve_frame_bytes: u64,
    /// Where the log goes, or NULL.
    pub log_callback: echocart_log_callback_t,
    /// Handed to `log_callback` untouched.
    pub log_user_data: *mut c_void,
    /// With isolation WORKER: path of `echocart-worker`, UTF-8. Empty: `engine.worker` of the
    /// configuration, else the one beside this library. Since ABI 0.2, like all that follows.
    pub worker_path: *const c_char,
    /// Bytes of `worker_path`.
    pub worker_path_bytes: u64,
    /// Folder for what need not be made at every start, UTF-8: which variants were proven here.
    /// Only this user may be able to write it and the folders above it; it is made where it is not
    /// there. Empty: nothing is kept and nothing is written.
    pub cache_dir: *const c_char,
    /// Bytes of `cache_dir`.
    pub cache_dir_bytes: u64,
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
    /// The package's variant that runs, for example `fp32`.
    pub variant: [c_char; 32],
    /// What the variant is calibrated on, in words.
    pub calibration: [c_char; 128],
    /// What works less well than asked for, in words; empty when nothing does.
    pub degraded: [c_char; 256],
    /// Where inference runs, one of `ECHOCART_ISOLATION_*` but DEFAULT.
    pub isolation: u32,
    /// Threads of one inference call.
    pub threads: u32,
    /// Frames of one clip.
    pub clip_frames: u32,
    /// Frames a second that the clip is sampled at.
    pub sampling_hz: f32,
    /// Lowest frame rate the package permits.
    pub min_fps: f32,
    /// Highest frame rate the package permits.
    pub max_fps: f32,
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
    /// The caller's own number of the frame, echoed by the results that it is behind.
    pub host_frame_id: u64,
    /// The device's own count of frames; holes in it are counted.
    pub sequence: u64,
    /// Opaque, never logged, echoed by the results. A token other than the last frame's begins a
    /// new exam: everything of the one before is dropped first. All zero is a token too.
    pub exam_token: [u8; ECHOCART_EXAM_TOKEN_BYTES],
    /// Any of `ECHOCART_FRAME_*`, added up.
    pub flags: u32,
    /// One of `ECHOCART_MEMORY_*`.
    pub memory: u32,
    /// ECG at the frame's time. Finite; carried, not used in this version.
    pub ecg_millivolts: f32,
    /// Depth of the image. Above 0; carried, not used in this version.
    pub depth_mm: f32,
    /// NV12: bytes from `pixels` to the plane of U and V; 0: `row_stride_bytes * height_px`.
    pub chroma_offset_bytes: u64,
    /// What names memory that is not the host's; not read for HOST.
    pub memory_handle: u64,
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
    /// `host_frame_id` of the first frame.
    pub first_host_frame_id: u64,
    /// `host_frame_id` of the last frame.
    pub last_host_frame_id: u64,
    /// The exam that every frame of the clip belongs to.
    pub exam_token: [u8; ECHOCART_EXAM_TOKEN_BYTES],
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
    /// Frames taken or dropped, pushed by copy or committed.
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
    /// Index of the view, or `ECHOCART_NO_LABEL` without a value. The most probable one when it comes up; it stays
    /// while it holds, even if another is a little more probable then.
    pub view_label: u32,
    /// Ejection fraction in percent, never clamped; NaN without a value.
    pub lvef_percent: f32,
    /// Image signal, 0 to 1; NaN until an imaging area has been found and measured.
    pub signal_meter: f32,
    /// Lower end of the interval around the EF in percent; NaN unless `lvef_calibration` is INSIDE.
    pub lvef_low_percent: f32,
    /// Upper end of the interval; NaN unless `lvef_calibration` is INSIDE.
    pub lvef_high_percent: f32,
    /// Share of new patients' values that such intervals hold, at least; NaN likewise.
    pub lvef_coverage: f32,
    /// One of `ECHOCART_CALIBRATION_*`; NONE without a value.
    pub lvef_calibration: u32,
    /// Which echo view this is.
    pub view: echocart_output_t,
    /// Left ventricular ejection fraction.
    pub lvef: echocart_output_t,
    /// Image signal meter. OFF until an imaging area has been found and measured.
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

/// Takes one result. `result` is borrowed for the call.
///
/// It is called on the library's thread `echocart-result`, one call at a time, and may take its
/// time: results wait in their queue meanwhile. Inside it every call with a handle gives
/// ECHOCART_IN_CALLBACK. No exception and no `longjmp` may leave it.
pub type echocart_result_callback_t =
    Option<unsafe extern "C" fn(user_data: *mut c_void, result: *const echocart_result_t)>;

/// How long something took. Percentiles are upper ends of buckets no wider than 1/16.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct echocart_histogram_t {
    /// How often it was measured; without any the rest is 0.
    pub count: u64,
    /// Shortest, nanoseconds.
    pub min_nanos: i64,
    /// Mean, nanoseconds.
    pub mean_nanos: i64,
    /// Half took no longer, nanoseconds.
    pub p50_nanos: i64,
    /// 90 % took no longer, nanoseconds.
    pub p90_nanos: i64,
    /// 99 % took no longer, nanoseconds.
    pub p99_nanos: i64,
    /// 99.9 % took no longer, nanoseconds.
    pub p999_nanos: i64,
    /// Longest, nanoseconds.
    pub max_nanos: i64,
}

/// Counts and times of a session since it was created.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct echocart_session_stats_t {
    /// `sizeof(echocart_session_stats_t)`.
    pub struct_size: u32,
    /// 1 when frames are taken, 0 before start, while paused and after the end.
    pub running: u32,
    /// Exams begun by frames that were pushed.
    pub exams: u64,
    /// Frames that the device counted and that never came, by `sequence`.
    pub frames_missing: u64,
    /// Results waiting to be taken.
    pub results_waiting: u64,
    /// Where every frame went, as of the pipeline's newest decision.
    pub counters: echocart_counters_t,
    /// What `echocart_frame_push` took, for frames that went in.
    pub push: echocart_histogram_t,
    /// What `echocart_frame_commit` took, for frames that went in.
    pub commit: echocart_histogram_t,
    /// From a whole clip to the start of its inference.
    pub clip_wait: echocart_histogram_t,
    /// Encoder and heads of one clip.
    pub inference: echocart_histogram_t,
    /// From the capture of a clip's newest frame to its result, in real pace.
    pub event: echocart_histogram_t,
}

/// Memory of a session, as far as the library can tell.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct echocart_session_memory_t {
    /// `sizeof(echocart_session_memory_t)`.
    pub struct_size: u32,
    /// Pooled frame buffers.
    pub frame_buffers: u32,
    /// Bytes that the pooled frame buffers have now.
    pub frame_buffer_bytes: u64,
    /// Bytes that they may have at most: buffers times `pipeline.max_frame_bytes`.
    pub frame_buffer_limit_bytes: u64,
    /// Bytes of the clips' patch rows that were allocated so far.
    pub clip_bytes: u64,
    /// Resident bytes that the process gained while this session was created: package, engine and
    /// queues, but not what a worker takes; what other threads did meanwhile is in it. 0 where the system
    /// does not tell.
    pub create_bytes: u64,
    /// Resident bytes of the process now; 0 where the system does not tell.
    pub process_bytes: u64,
}

/// What a self-test found. Text is UTF-8 and ends with NUL.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct echocart_self_test_t {
    /// `sizeof(echocart_self_test_t)`.
    pub struct_size: u32,
    /// Golden clips of the package that were run.
    pub clips: u32,
    /// Comparisons with the package's expected outputs.
    pub checks: u32,
    /// Comparisons that were outside the package's tolerances.
    pub failed: u32,
    /// One sentence: what was compared, or the first failure.
    pub detail: [c_char; ECHOCART_DETAIL_BYTES],
}

/// Size of the configuration in ABI 0.1.
pub(crate) const CONFIG_SIZE_0_1: usize =
    std::mem::offset_of!(echocart_session_config_t, worker_path);

const _: () = {
    assert!(size_of::<echocart_segment_t>() == 80);
    assert!(size_of::<echocart_output_t>() == 360);
    assert!(size_of::<echocart_counters_t>() == 304);
    assert!(size_of::<echocart_session_info_t>() == 1080);
    assert!(size_of::<echocart_result_t>() == 2016);
    assert!(size_of::<echocart_histogram_t>() == 64);
    assert!(size_of::<echocart_session_stats_t>() == 656);
    assert!(size_of::<echocart_session_memory_t>() == 48);
    assert!(size_of::<echocart_self_test_t>() == 272);
};

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<echocart_session_config_t>() == 176);
    assert!(CONFIG_SIZE_0_1 == 144);
    assert!(size_of::<echocart_frame_t>() == 112);
};
