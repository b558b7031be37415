/* The C interface of echocart: live B-mode frames in, view label and ejection fraction out.
 *
 * The contract is CONTRACT.md of the delivery, firmware-bridge/README.md of the source. C11 or C++17. This
 * file is generated; do not edit it.
 * Research software, not a medical device. */

#ifndef ECHOCART_H
#define ECHOCART_H

#include <stdint.h>

#if defined(_WIN32)
#define ECHOCART_CALL __cdecl
#if defined(ECHOCART_STATIC)
#define ECHOCART_API
#else
#define ECHOCART_API __declspec(dllimport)
#endif
#else
#define ECHOCART_CALL
#define ECHOCART_API
#endif


// Raised when a function, field or code changes or goes. The library's soname carries it.
#define ECHOCART_ABI_MAJOR 0

// Raised when a function, a field at a struct's end, or a code is added.
#define ECHOCART_ABI_MINOR 3

// What `echocart_session_config_t::abi_version` must be: major << 16 | minor.
#define ECHOCART_ABI_VERSION ((ECHOCART_ABI_MAJOR << 16) | ECHOCART_ABI_MINOR)

// Most labels a view head may have.
#define ECHOCART_MAX_LABELS 32

// Most clips behind one output.
#define ECHOCART_MAX_SEGMENTS 4

// Length of the array of rejected frames; its index is a reason.
#define ECHOCART_REASONS 32

// Bytes of a state's sentence, the terminating NUL included.
#define ECHOCART_DETAIL_BYTES 256

// A label index that points to no label.
#define ECHOCART_NO_LABEL UINT32_MAX

// A time or an age that does not exist.
#define ECHOCART_NO_TIME INT64_MIN

// Frames come when they are captured: a full ring drops the frame, late clips are superseded.
#define ECHOCART_PACE_REAL 0

// Virtual time: the clock is capture time, every due clip is inferred, nothing is dropped.
#define ECHOCART_PACE_MAX 1

// One byte a pixel: luminance.
#define ECHOCART_PIXEL_GRAY8 1

// Three bytes a pixel: red, green, blue.
#define ECHOCART_PIXEL_RGB24 2

// Four bytes a pixel: blue, green, red, and one that is ignored.
#define ECHOCART_PIXEL_BGRA32 3

// Four bytes for two pixels: Y0, U, Y1, V, BT.601 in video range. The width is even.
#define ECHOCART_PIXEL_YUY2 4

// A plane of Y, then one of interleaved U and V for two by two pixels, both with the same row
// stride, BT.601 in video range. Width and height are even.
#define ECHOCART_PIXEL_NV12 5

// Pixels in memory that the processor reads.
#define ECHOCART_MEMORY_HOST 0

// Memory of a CUDA device. ECHOCART_UNSUPPORTED in this version.
#define ECHOCART_MEMORY_CUDA 1

// A DMA buffer. ECHOCART_UNSUPPORTED in this version.
#define ECHOCART_MEMORY_DMABUF 2

// Colour Doppler is on: what this frame would be part of is withheld for COLOUR_ON.
#define ECHOCART_FRAME_COLOUR_ON 1

// The image is frozen: what this frame would be part of is withheld for FROZEN.
#define ECHOCART_FRAME_FROZEN 2

// `ecg_millivolts` is set.
#define ECHOCART_FRAME_HAS_ECG 4

// `depth_mm` is set.
#define ECHOCART_FRAME_HAS_DEPTH 8

// `sequence` is set.
#define ECHOCART_FRAME_HAS_SEQUENCE 16

// As `engine.isolation` of the configuration says, which without it is WORKER.
#define ECHOCART_ISOLATION_DEFAULT 0

// Inference runs in a process of its own, `echocart-worker`, whose end does not end the caller's.
#define ECHOCART_ISOLATION_WORKER 1

// Inference runs in the caller's process.
#define ECHOCART_ISOLATION_IN_PROCESS 2

// Everything else goes first: nice 19 where the system has it.
#define ECHOCART_PRIORITY_LOWEST 0

// Most else goes first: nice 10.
#define ECHOCART_PRIORITY_LOW 1

// As the thread that creates the session.
#define ECHOCART_PRIORITY_INHERIT 2

// Words of a CPU set: bit `n % 64` of word `n / 64` is CPU `n`.
#define ECHOCART_CPU_SET_WORDS 4

// Bytes of an exam token.
#define ECHOCART_EXAM_TOKEN_BYTES 16

// Something does not work.
#define ECHOCART_LOG_ERROR 1

// Something works less well than asked for.
#define ECHOCART_LOG_WARNING 2

// What the session does.
#define ECHOCART_LOG_INFO 3

// The package has no calibration of the EF for the variant that runs.
#define ECHOCART_CALIBRATION_NONE 0

// The calibration speaks for the value: the interval is set.
#define ECHOCART_CALIBRATION_INSIDE 1

// The value or its view is not among those the calibration was made from.
#define ECHOCART_CALIBRATION_OUTSIDE 2

// Generated weights: outputs are demonstrations and mean nothing.
#define ECHOCART_TRAINED_NOTHING 1

// Learnt from simulated hearts: outputs are demonstrations.
#define ECHOCART_TRAINED_SIMULATED 2

// Learnt from patient images.
#define ECHOCART_TRAINED_CLINICAL 3

// One clip, evaluated or refused: `clip`, the three outputs and the raw numbers are set.
#define ECHOCART_RESULT_ESTIMATE 1

// A change of the session, or its counters once a second of capture time: `state`, `at_nanos`,
// `detail` and, except in STARTED, `counters` are set.
#define ECHOCART_RESULT_STATE 2

// The last result: `counters` and the totals are set.
#define ECHOCART_RESULT_SUMMARY 3

// The session is loaded and ready; the first result.
#define ECHOCART_STATE_STARTED 1

// The counters are due.
#define ECHOCART_STATE_COUNTERS 2

// The size or format of the frames changed.
#define ECHOCART_STATE_SECTOR_CHANGED 3

// The engine failed or its process ended; estimates are withheld.
#define ECHOCART_STATE_ENGINE_DOWN 4

// The last frame has gone through the pipeline.
#define ECHOCART_STATE_SOURCE_ENDED 5

// What the image does has changed: live, frozen, repeating, colour.
#define ECHOCART_STATE_SCREEN_CHANGED 6

// The degradation ladder moved.
#define ECHOCART_STATE_LADDER_CHANGED 7

// The source's device went away.
#define ECHOCART_STATE_SOURCE_LOST 8

// It is there again; the time grid starts anew.
#define ECHOCART_STATE_SOURCE_BACK 9

// The device's clock was taken up anew; the time grid starts anew.
#define ECHOCART_STATE_SOURCE_REANCHORED 10

// The engine is being made ready; estimates are withheld. Since ABI 0.2.
#define ECHOCART_STATE_ENGINE_WARMING_UP 11

// The engine serves again, or another one in its place; views and numbers begin anew, and
// `echocart_session_info` says which. Since ABI 0.2.
#define ECHOCART_STATE_ENGINE_READY 12

// Another engine is being made ready to take the place of the one that serves, which goes on.
// Since ABI 0.2.
#define ECHOCART_STATE_ENGINE_PROGRESS 13

// A value the package may give.
#define ECHOCART_STATUS_VALUE 1

// No value; `reason` says why.
#define ECHOCART_STATUS_WITHHELD 2

// The head was not due for this clip.
#define ECHOCART_STATUS_NOT_DUE 3

// Switched off, or not in the package.
#define ECHOCART_STATUS_OFF 4

// The package is untrained or trained on simulated hearts. The number is there only when the
// session allows demonstrations, and means nothing.
#define ECHOCART_STATUS_DEMONSTRATION 5

// The output is not withheld.
#define ECHOCART_REASON_NONE 0

// Not enough evidence yet.
#define ECHOCART_REASON_WARMING_UP 1

// The image does not change.
#define ECHOCART_REASON_FROZEN 2

// The scanner replays a stored loop.
#define ECHOCART_REASON_REVIEW_LOOP 3

// Frames are missing for longer than the package allows.
#define ECHOCART_REASON_GAP 4

// A frame's time stamp is not later than the one before it.
#define ECHOCART_REASON_BAD_TIMESTAMP 5

// The imaging sector or the frame's size changed within the evidence.
#define ECHOCART_REASON_SECTOR_CHANGED 6

// The image is mirrored or upside down against the site setting.
#define ECHOCART_REASON_ORIENTATION 7

// Colour Doppler is on.
#define ECHOCART_REASON_COLOUR_ON 8

// Not an ultrasound image.
#define ECHOCART_REASON_NOT_ULTRASOUND 9

// Outside what the package permits.
#define ECHOCART_REASON_NOT_PERMITTED 10

// Too little image signal.
#define ECHOCART_REASON_LOW_SIGNAL 11

// The view is not one the head accepts.
#define ECHOCART_REASON_WRONG_VIEW 12

// The view is not certain enough.
#define ECHOCART_REASON_UNCERTAIN 13

// The rhythm does not allow a number.
#define ECHOCART_REASON_RHYTHM 14

// The number lies outside the range the package may give.
#define ECHOCART_REASON_OUT_OF_RANGE 15

// The package has no calibration for this.
#define ECHOCART_REASON_UNCALIBRATED 16

// The evidence is older than a number may be.
#define ECHOCART_REASON_STALE 17

// A new exam began.
#define ECHOCART_REASON_NEW_EXAM 18

// The engine failed or gave no finite number.
#define ECHOCART_REASON_ENGINE_DOWN 19

// Withheld by the degradation ladder.
#define ECHOCART_REASON_DEGRADED 20

// The call did what it says.
#define ECHOCART_OK 0

// A pointer that must not be NULL is NULL: a handle, a struct, an output, or text with a length.
#define ECHOCART_NULL_ARGUMENT 1001

// An argument or a field has a value that is not allowed.
#define ECHOCART_BAD_ARGUMENT 1002

// `struct_size`, or the size given for an output struct, is not one this library knows.
#define ECHOCART_BAD_STRUCT_SIZE 1003

// The caller was built for another major version or a later minor version.
#define ECHOCART_ABI_MISMATCH 1004

// Text is not UTF-8.
#define ECHOCART_BAD_TEXT 1005

// The number is reserved for something this version does not do.
#define ECHOCART_UNSUPPORTED 1006

// Width, height, row stride and pixel bytes do not fit together or exceed the limit.
#define ECHOCART_BAD_FRAME_SIZE 1007

// The capture time is negative, absurd, or in real pace later than now.
#define ECHOCART_BAD_TIME 1008

// Another thread is inside a call with the same handle.
#define ECHOCART_CONCURRENT_USE 1009

// No frame is taken any more: the port is closed, the session stopped or its result port gone.
#define ECHOCART_CLOSED 1010

// The call came from inside a callback of this library.
#define ECHOCART_IN_CALLBACK 1011

// The call does not fit what the handle is doing: a second lease or subscription, a commit without
// a lease, a start after the end, a poll beside a callback.
#define ECHOCART_BAD_STATE 1012

// Maximum pace: no room now. The frame was not taken and not counted; poll, then push it again.
#define ECHOCART_WOULD_BLOCK 1101

// No result is waiting. More may come.
#define ECHOCART_EMPTY 1102

// The summary was the last result. None will come.
#define ECHOCART_END 1103

// Real pace: the ring was full. The frame was counted as dropped; do not push it again.
#define ECHOCART_DROPPED 1104

// The session is stopped, but the pipeline had not run dry when the time ran out: frames may be left.
#define ECHOCART_TIMEOUT 1105

// The session is not started, or paused. The frame was not taken and not counted.
#define ECHOCART_PAUSED 1106

// The configuration does not parse, lacks a key, has an unknown key or a value out of range.
#define ECHOCART_CONFIG_INVALID 2001

// A file of the package cannot be read.
#define ECHOCART_PACKAGE_UNREADABLE 2002

// `package.toml` is no valid manifest.
#define ECHOCART_PACKAGE_INVALID 2003

// A file of the package is missing or is not the one that its manifest lists, or its signature
// is one of another manifest.
#define ECHOCART_PACKAGE_ALTERED 2004

// The package has no signature by a trusted key and the configuration does not allow that.
#define ECHOCART_PACKAGE_UNSIGNED 2005

// The package is valid but needs a newer echocart, holds more than this ABI can carry, or no
// variant that can serve.
#define ECHOCART_PACKAGE_UNSUPPORTED 2006

// The ONNX Runtime library is missing or cannot be read.
#define ECHOCART_LIBRARY_MISSING 3001

// The file is not an ONNX Runtime library that this version was built for.
#define ECHOCART_LIBRARY_UNKNOWN 3002

// This process has already loaded another ONNX Runtime library, through this one or on its own.
#define ECHOCART_LIBRARY_CONFLICT 3003

// The operating system or ONNX Runtime itself refused the library.
#define ECHOCART_LIBRARY_FAILED 3004

// ONNX Runtime does not take a graph of the package.
#define ECHOCART_ENGINE_FAILED 3005

// The operating system gave no thread.
#define ECHOCART_THREAD_FAILED 3006

// The engine does not give what the package's golden clips expect.
#define ECHOCART_SELF_TEST_FAILED 3007

// The operating system refused the CPU set.
#define ECHOCART_CPU_SET_REFUSED 3008

// Isolation WORKER, and `echocart-worker` is not where it should be. Since ABI 0.2.
#define ECHOCART_WORKER_MISSING 3009

// The recording's file cannot be written. Since ABI 0.3.
#define ECHOCART_SAVE_FAILED 3010

// A defect in the library. The handle of the call is poisoned.
#define ECHOCART_PANIC 9001

// An earlier call with this handle ended in ECHOCART_PANIC. Only destroying it is left.
#define ECHOCART_POISONED 9002

// Where frames go in. One thread at a time may use it; it need not be the session's.
typedef struct echocart_frame_port_t echocart_frame_port_t;

// Where results come out. One thread at a time may use it; it need not be the session's.
typedef struct echocart_result_port_t echocart_result_port_t;

// Life cycle of one pipeline. One thread at a time may use it.
typedef struct echocart_session_t echocart_session_t;

// Takes one line of the log: UTF-8, `text_bytes` long, ended by NUL, borrowed for the call.
//
// It is called on the thread of the call that has something to say, on `echocart-load` while a
// session is created, and on `echocart-infer`; never for a frame or a result, and never with an
// exam token. Inside it every call with a handle gives ECHOCART_IN_CALLBACK. No exception and no
// `longjmp` may leave it.
typedef void (ECHOCART_CALL *echocart_log_callback_t)(void *user_data,
                                        uint32_t level,
                                        const char *text,
                                        uint64_t text_bytes);

// What a session is made from. Set every byte to zero, then the fields.
typedef struct echocart_session_config_t {
    // `sizeof(echocart_session_config_t)`.
    uint32_t struct_size;
    // `ECHOCART_ABI_VERSION`.
    uint32_t abi_version;
    // `ECHOCART_PACE_REAL` or `ECHOCART_PACE_MAX`.
    uint32_t pace;
    // 1: numbers with the status DEMONSTRATION are handed out. 0: they stay NaN.
    uint32_t allow_demonstration;
    // Folder of the model package, UTF-8.
    const char *package_dir;
    // Bytes of `package_dir`, without a terminating NUL.
    uint64_t package_dir_bytes;
    // Absolute path of the ONNX Runtime library, UTF-8.
    const char *library_path;
    // Bytes of `library_path`.
    uint64_t library_path_bytes;
    // The cart's configuration as TOML text. Empty: the demo's, which accepts unsigned packages.
    const char *config_toml;
    // Bytes of `config_toml`.
    uint64_t config_toml_bytes;
    // One of `ECHOCART_ISOLATION_*`.
    uint32_t isolation;
    // One of `ECHOCART_PRIORITY_*`, for every thread of the session.
    uint32_t priority;
    // Threads of one inference call, 1 to 64; 0: as `engine.intra_op_threads`.
    uint32_t threads;
    // Lines of this level and below go to `log_callback`: one of `ECHOCART_LOG_*`, or 0.
    uint32_t log_level;
    // CPUs that the session's threads may run on; all zero: those of the creating thread.
    uint64_t cpu_set[ECHOCART_CPU_SET_WORDS];
    // Most bytes that the graphs may take of the GPU's memory, at least 1,048,576: weights, tokens and
    // what is computed on the way, not the driver's own. 0: as `engine.gpu_memory_bytes`, else as many as
    // they take. With TensorRT or TensorRT-RTX among the providers, which keep to no limit:
    // ECHOCART_UNSUPPORTED. Below what the weights take: no provider serves.
    uint64_t gpu_memory_bytes;
    // Bytes that each pooled frame buffer has from the start, at most
    // `pipeline.max_frame_bytes`; 0: a buffer grows when its first frame comes.
    uint64_t reserve_frame_bytes;
    // Where the log goes, or NULL.
    echocart_log_callback_t log_callback;
    // Handed to `log_callback` untouched.
    void *log_user_data;
    // With isolation WORKER: path of `echocart-worker`, UTF-8. Empty: `engine.worker` of the
    // configuration, else the one beside this library. Since ABI 0.2, like all that follows.
    const char *worker_path;
    // Bytes of `worker_path`.
    uint64_t worker_path_bytes;
    // Folder for what need not be made at every start, UTF-8: which variants were proven here.
    // Only this user may be able to write it and the folders above it; it is made where it is not
    // there. Empty: nothing is kept and nothing is written.
    const char *cache_dir;
    // Bytes of `cache_dir`.
    uint64_t cache_dir_bytes;
} echocart_session_config_t;

// What a self-test found. Text is UTF-8 and ends with NUL.
typedef struct echocart_self_test_t {
    // `sizeof(echocart_self_test_t)`.
    uint32_t struct_size;
    // Golden clips of the package that were run.
    uint32_t clips;
    // Comparisons with the package's expected outputs.
    uint32_t checks;
    // Comparisons that were outside the package's tolerances.
    uint32_t failed;
    // One sentence: what was compared, or the first failure.
    char detail[ECHOCART_DETAIL_BYTES];
} echocart_self_test_t;

// What a session runs. Text is UTF-8, ends with NUL, and is cut where it does not fit.
typedef struct echocart_session_info_t {
    // `sizeof(echocart_session_info_t)`.
    uint32_t struct_size;
    // One of `ECHOCART_TRAINED_*`.
    uint32_t trained;
    // 1 when the package was loaded without a signature by a trusted key.
    uint32_t unsigned_package;
    // Labels of the view head; their texts come from `echocart_result_label`.
    uint32_t label_count;
    // Package id and the first 12 hex digits of its SHA-256, `id@hash`.
    char package[96];
    // First line of the package's card.
    char card[256];
    // The encoder in words.
    char model[128];
    // Provider that runs the graphs, for example `CPU`.
    char provider[32];
    // Name and version of the runtime library, for example `onnxruntime 1.28.0`.
    char library[64];
    // First 12 hex digits of the SHA-256 of the effective configuration.
    char config[16];
    // Version of echocart.
    char version[32];
    // The package's variant that runs, for example `fp32`.
    char variant[32];
    // What the variant is calibrated on, in words.
    char calibration[128];
    // What works less well than asked for, in words; empty when nothing does.
    char degraded[256];
    // Where inference runs, one of `ECHOCART_ISOLATION_*` but DEFAULT.
    uint32_t isolation;
    // Threads of one inference call.
    uint32_t threads;
    // Frames of one clip.
    uint32_t clip_frames;
    // Frames a second that the clip is sampled at.
    float sampling_hz;
    // Lowest frame rate the package permits.
    float min_fps;
    // Highest frame rate the package permits.
    float max_fps;
} echocart_session_info_t;

// Where every frame went: `captured == used + unused + dropped_ring_full + sum of rejected +
// in_flight`.
typedef struct echocart_counters_t {
    // Frames taken or dropped, pushed by copy or committed.
    uint64_t captured;
    // Frames in a clip that was inferred.
    uint64_t used;
    // Frames that left the window otherwise.
    uint64_t unused;
    // Frames that found the ring full.
    uint64_t dropped_ring_full;
    // Frames still held.
    uint64_t in_flight;
    // Clips that a newer one replaced before they were inferred.
    uint64_t clips_superseded;
    // Frames refused; the index is one of `ECHOCART_REASON_*`.
    uint64_t rejected[ECHOCART_REASONS];
} echocart_counters_t;

// How long something took. Percentiles are upper ends of buckets no wider than 1/16.
typedef struct echocart_histogram_t {
    // How often it was measured; without any the rest is 0.
    uint64_t count;
    // Shortest, nanoseconds.
    int64_t min_nanos;
    // Mean, nanoseconds.
    int64_t mean_nanos;
    // Half took no longer, nanoseconds.
    int64_t p50_nanos;
    // 90 % took no longer, nanoseconds.
    int64_t p90_nanos;
    // 99 % took no longer, nanoseconds.
    int64_t p99_nanos;
    // 99.9 % took no longer, nanoseconds.
    int64_t p999_nanos;
    // Longest, nanoseconds.
    int64_t max_nanos;
} echocart_histogram_t;

// Counts and times of a session since it was created.
typedef struct echocart_session_stats_t {
    // `sizeof(echocart_session_stats_t)`.
    uint32_t struct_size;
    // 1 when frames are taken, 0 before start, while paused and after the end.
    uint32_t running;
    // Exams begun by frames that were pushed.
    uint64_t exams;
    // Frames that the device counted and that never came, by `sequence`.
    uint64_t frames_missing;
    // Results waiting to be taken.
    uint64_t results_waiting;
    // Where every frame went, as of the pipeline's newest decision.
    struct echocart_counters_t counters;
    // What `echocart_frame_push` took, for frames that went in.
    struct echocart_histogram_t push;
    // What `echocart_frame_commit` took, for frames that went in.
    struct echocart_histogram_t commit;
    // From a whole clip to the start of its inference.
    struct echocart_histogram_t clip_wait;
    // Encoder and heads of one clip.
    struct echocart_histogram_t inference;
    // From the capture of a clip's newest frame to its result, in real pace.
    struct echocart_histogram_t event;
} echocart_session_stats_t;

// Memory of a session, as far as the library can tell.
typedef struct echocart_session_memory_t {
    // `sizeof(echocart_session_memory_t)`.
    uint32_t struct_size;
    // Pooled frame buffers.
    uint32_t frame_buffers;
    // Bytes that the pooled frame buffers have now.
    uint64_t frame_buffer_bytes;
    // Bytes that they may have at most: buffers times `pipeline.max_frame_bytes`.
    uint64_t frame_buffer_limit_bytes;
    // Bytes of the clips' patch rows that were allocated so far.
    uint64_t clip_bytes;
    // Resident bytes that the process gained while this session was created: package, engine and
    // queues, but not what a worker takes; what other threads did meanwhile is in it. 0 where the system
    // does not tell.
    uint64_t create_bytes;
    // Resident bytes of the process now; 0 where the system does not tell.
    uint64_t process_bytes;
} echocart_session_memory_t;

// One frame, borrowed for the call. Set every byte to zero, then the fields.
typedef struct echocart_frame_t {
    // `sizeof(echocart_frame_t)`.
    uint32_t struct_size;
    // One of `ECHOCART_PIXEL_*`.
    uint32_t format;
    // Width in pixels, at least 1.
    uint32_t width_px;
    // Height in pixels, at least 1.
    uint32_t height_px;
    // Bytes from the start of one row to the start of the next.
    uint32_t row_stride_bytes;
    // How often a looped source has started over; 0 on a live source.
    uint32_t pass;
    // Rows from top to bottom.
    const uint8_t *pixels;
    // Bytes at `pixels`: at least `row_stride_bytes * (height_px - 1)` and one row more.
    uint64_t pixel_bytes;
    // When the frame was captured, nanoseconds of `echocart_clock_now`, 0 to 2^62; at maximum
    // pace of any clock.
    int64_t capture_nanos;
    // The caller's own number of the frame, echoed by the results that it is behind.
    uint64_t host_frame_id;
    // The device's own count of frames; holes in it are counted.
    uint64_t sequence;
    // Opaque, never logged, echoed by the results. A token other than the last frame's begins a
    // new exam: everything of the one before is dropped first. All zero is a token too.
    uint8_t exam_token[ECHOCART_EXAM_TOKEN_BYTES];
    // Any of `ECHOCART_FRAME_*`, added up.
    uint32_t flags;
    // One of `ECHOCART_MEMORY_*`.
    uint32_t memory;
    // ECG at the frame's time. Finite; carried, not used in this version.
    float ecg_millivolts;
    // Depth of the image. Above 0; carried, not used in this version.
    float depth_mm;
    // NV12: bytes from `pixels` to the plane of U and V; 0: `row_stride_bytes * height_px`.
    uint64_t chroma_offset_bytes;
    // What names memory that is not the host's; not read for HOST.
    uint64_t memory_handle;
} echocart_frame_t;

// One clip as evidence.
typedef struct echocart_segment_t {
    // Number of the clip's first frame, as `echocart_frame_push` gave it.
    uint64_t first_frame;
    // Number of the clip's last frame.
    uint64_t last_frame;
    // Capture time of the first frame, nanoseconds.
    int64_t first_capture_nanos;
    // Capture time of the last frame, nanoseconds.
    int64_t last_capture_nanos;
    // Number of the frame geometry that all frames share.
    uint32_t sector;
    // Index of the clip's view label, or `ECHOCART_NO_LABEL`.
    uint32_t view;
    // 1 when the clip runs across the seam of a looped source.
    uint32_t seam;
    // 0.
    uint32_t reserved;
    // `host_frame_id` of the first frame.
    uint64_t first_host_frame_id;
    // `host_frame_id` of the last frame.
    uint64_t last_host_frame_id;
    // The exam that every frame of the clip belongs to.
    uint8_t exam_token[ECHOCART_EXAM_TOKEN_BYTES];
} echocart_segment_t;

// One output: whether there is a value, why not, and the frames behind it.
typedef struct echocart_output_t {
    // One of `ECHOCART_STATUS_*`.
    uint32_t status;
    // One of `ECHOCART_REASON_*`; NONE unless `status` is WITHHELD.
    uint32_t reason;
    // Blank the value past this instant, or `ECHOCART_NO_TIME` without a value.
    int64_t valid_until_nanos;
    // Nanoseconds from the newest frame's capture to this poll, or `ECHOCART_NO_TIME`.
    int64_t age_newest_nanos;
    // Nanoseconds from the oldest frame's capture to this poll, or `ECHOCART_NO_TIME`.
    int64_t age_oldest_nanos;
    // Entries of `segments` that are set, oldest clip first.
    uint32_t segment_count;
    // 0.
    uint32_t reserved;
    // The clips used.
    struct echocart_segment_t segments[ECHOCART_MAX_SEGMENTS];
} echocart_output_t;

// One result. What `kind` does not set is 0, NaN, `ECHOCART_NO_LABEL` or `ECHOCART_NO_TIME`.
typedef struct echocart_result_t {
    // `sizeof(echocart_result_t)`.
    uint32_t struct_size;
    // One of `ECHOCART_RESULT_*`.
    uint32_t kind;
    // Clip number, counted from 0 over evaluated and refused clips alike.
    uint64_t clip;
    // When the result left the pipeline, or `ECHOCART_NO_TIME` at maximum pace.
    int64_t sent_nanos;
    // Capture time that a state refers to.
    int64_t at_nanos;
    // One of `ECHOCART_STATE_*`.
    uint32_t state;
    // Index of the view, or `ECHOCART_NO_LABEL` without a value. The most probable one when it comes up; it stays
    // while it holds, even if another is a little more probable then.
    uint32_t view_label;
    // Ejection fraction in percent, never clamped; NaN without a value.
    float lvef_percent;
    // Image signal, 0 to 1; NaN until an imaging area has been found and measured.
    float signal_meter;
    // Lower end of the interval around the EF in percent; NaN unless `lvef_calibration` is INSIDE.
    float lvef_low_percent;
    // Upper end of the interval; NaN unless `lvef_calibration` is INSIDE.
    float lvef_high_percent;
    // Share of new patients' values that such intervals hold, at least; NaN likewise.
    float lvef_coverage;
    // One of `ECHOCART_CALIBRATION_*`; NONE without a value.
    uint32_t lvef_calibration;
    // Which echo view this is.
    struct echocart_output_t view;
    // Left ventricular ejection fraction.
    struct echocart_output_t lvef;
    // Image signal meter. OFF until an imaging area has been found and measured.
    struct echocart_output_t signal;
    // Probabilities in the order of the labels; NaN without a value.
    float view_probabilities[ECHOCART_MAX_LABELS];
    // The view head's logits as the graph gave them. For comparison, not for display.
    float raw_view[ECHOCART_MAX_LABELS];
    // Entries of `raw_view` that are set; 0 when the head did not run.
    uint32_t raw_view_count;
    // 1 when `raw_lvef` is set, else 0.
    uint32_t raw_lvef_count;
    // The EF head's standardised output as the graph gave it. For comparison, not for display.
    float raw_lvef;
    // Entries of `view_probabilities` that are set.
    uint32_t view_probability_count;
    // Where every frame went.
    struct echocart_counters_t counters;
    // Estimates sent, in the summary.
    uint64_t estimates;
    // Estimates whose view is a value or a demonstration, in the summary.
    uint64_t values_view;
    // Estimates whose EF is a value or a demonstration, in the summary.
    uint64_t values_lvef;
    // Estimates whose signal is a value or a demonstration, in the summary.
    uint64_t values_signal;
    // Results lost because nobody polled, in the summary.
    uint64_t results_dropped;
    // One plain sentence of a state, UTF-8, ends with NUL.
    char detail[ECHOCART_DETAIL_BYTES];
} echocart_result_t;

// Takes one result. `result` is borrowed for the call.
//
// It is called on the library's thread `echocart-result`, one call at a time, and may take its
// time: results wait in their queue meanwhile. Inside it every call with a handle gives
// ECHOCART_IN_CALLBACK. No exception and no `longjmp` may leave it.
typedef void (ECHOCART_CALL *echocart_result_callback_t)(void *user_data, const struct echocart_result_t *result);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Gives the ABI version of the library, major << 16 | minor. Not a result code.
//
// Timing: does not block.
ECHOCART_API uint32_t ECHOCART_CALL echocart_abi_version(void);

// Gives static text, ASCII and ended by NUL, for any number; never NULL.
//
// Timing: does not block.
ECHOCART_API const char *ECHOCART_CALL echocart_code_text(uint32_t code);

// Copies the text of the newest failure of a call on this thread; empty when there was none.
//
// A failure is any code but ECHOCART_OK and 11xx. Other calls leave the text as it is.
// The text is UTF-8, cut between two characters where it does not fit, and ends with NUL.
//
// - `buffer`: `buffer_bytes` bytes, or NULL with 0.
// - `out_text_bytes`: length of the whole text without NUL.
//
// Timing: does not block.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_last_error(char *buffer,
                                           uint64_t buffer_bytes,
                                           uint64_t *out_text_bytes);

// Gives the time on the clock of all `_nanos` fields: monotonic, from an arbitrary start.
//
// - `out_nanos`: nanoseconds, never negative.
//
// Timing: one clock read, does not block. A thread that leases frame buffers reads the time of a frame right
// before its lease: this call then asks the processor for what the lease will read.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_clock_now(int64_t *out_nanos);

// Checks and loads a package and the runtime library, and makes the pipeline's two threads, which
// wait. `echocart_session_start` lets frames in.
//
// The three handles are the caller's; each is destroyed by its own function, in any order.
// No output is written, and nothing is left behind, unless the result is ECHOCART_OK; a runtime
// library that was loaded stays loaded.
//
// - `config`: borrowed for the call, as is all text in it.
//
// ECHOCART_SELF_TEST_FAILED: the engine does not give the package's golden answers here.
// ECHOCART_WORKER_MISSING: with isolation WORKER there is no `echocart-worker`.
//
// Timing: blocks; reads and hashes every file of the package, builds the graphs, and runs them on
// the package's golden clips, unless `cache_dir` knows that they were proven here.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_session_create(const struct echocart_session_config_t *config,
                                               struct echocart_session_t **out_session,
                                               struct echocart_frame_port_t **out_frame_port,
                                               struct echocart_result_port_t **out_result_port);

// Runs the package's golden clips on an engine made for this call and compares the outputs with
// those the package expects.
//
// It makes no session; one may run meanwhile. ECHOCART_SELF_TEST_FAILED: an output was outside its
// tolerance, `echocart_last_error` says which. ECHOCART_PACKAGE_UNSUPPORTED: the package has no
// golden clips for the variant.
//
// - `config`: as for `echocart_session_create`.
// - `report_bytes`: `sizeof(echocart_self_test_t)`.
//
// Timing: blocks; loads the package and runs it on each golden clip.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_self_test(const struct echocart_session_config_t *config,
                                          uint32_t report_bytes,
                                          struct echocart_self_test_t *out_report);

// Lets frames in.
//
// A second call does nothing. ECHOCART_BAD_STATE after `echocart_session_stop`, and while paused.
//
// Timing: does not block.
ECHOCART_API uint32_t ECHOCART_CALL echocart_session_start(struct echocart_session_t *session);

// Takes no frame until `echocart_session_resume`: pushes give ECHOCART_PAUSED.
//
// Frames taken before go through, and their results come. What is shown must be blanked as
// always. A second call does nothing. ECHOCART_BAD_STATE before start and after stop.
//
// Timing: does not block.
ECHOCART_API uint32_t ECHOCART_CALL echocart_session_pause(struct echocart_session_t *session);

// Takes frames again. Evidence begins anew where the pause was longer than the package lets
// frames be missing.
//
// ECHOCART_BAD_STATE unless paused.
//
// Timing: does not block.
ECHOCART_API uint32_t ECHOCART_CALL echocart_session_resume(struct echocart_session_t *session);

// Tells what the session runs.
//
// - `info_bytes`: `sizeof(echocart_session_info_t)`.
//
// Timing: does not block.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_session_info(const struct echocart_session_t *session,
                                             uint32_t info_bytes,
                                             struct echocart_session_info_t *out_info);

// Gives counts and times since the session was created.
//
// It works until the session is destroyed, also after a stop.
//
// - `stats_bytes`: `sizeof(echocart_session_stats_t)`.
//
// Timing: does not block.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_session_stats(const struct echocart_session_t *session,
                                              uint32_t stats_bytes,
                                              struct echocart_session_stats_t *out_stats);

// Tells how much memory the session has.
//
// - `memory_bytes`: `sizeof(echocart_session_memory_t)`.
//
// Timing: reads two lines of the system's about this process; does not block.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_session_memory(const struct echocart_session_t *session,
                                               uint32_t memory_bytes,
                                               struct echocart_session_memory_t *out_memory);

// Writes what the flight recorder holds to a new file: the newest frames and decisions of the exam.
//
// The recorder is on where the configuration has `[recorder]`. A frame with another `exam_token`
// erases what it holds, as does the session's end. Frames are those that a clip has a place for, black outside the imaging area;
// none is kept while that area is not known for sure. `echocart replay` reads the file. It works until the session is destroyed, also after a stop. Since ABI 0.3.
//
// - `path`: UTF-8, `path_bytes` bytes. A file that is there is never replaced.
// - `out_records`, `out_frames`: how many of each are in the file.
//
// ECHOCART_BAD_STATE: the configuration has no `[recorder]`. ECHOCART_SAVE_FAILED: the file cannot
// be written; what was written of it stays and can be read.
//
// Timing: blocks until the file is on the disk, which has at most `recorder.budget_mib`. Frames and results go on
// meanwhile; other calls with this handle give ECHOCART_CONCURRENT_USE.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_session_save(struct echocart_session_t *session,
                                             const char *path,
                                             uint64_t path_bytes,
                                             uint64_t *out_records,
                                             uint64_t *out_frames);

// Closes the frame port, lets the frames taken so far go through, and ends the pipeline. The
// summary becomes the last result.
//
// At maximum pace results must be polled meanwhile, or before: poll until SOURCE_ENDED, then
// stop. Results nobody polls in time are dropped and counted. With a timeout of 0 frames still
// in the pipeline are abandoned. A second call does nothing and gives ECHOCART_OK.
//
// Timing: blocks for at most `timeout_micros` and half a second more. ECHOCART_TIMEOUT: frames
// were left in the pipeline; the session is stopped all the same.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_session_stop(struct echocart_session_t *session,
                                             uint64_t timeout_micros);

// Stops the session at once if it runs, waits for its threads, frees it and sets `*session` to
// NULL. The ports stay: they answer ECHOCART_CLOSED, and the results that are left, then END.
//
// NULL and a pointer to NULL do nothing.
//
// Timing: blocks until the inference call in flight, if any, has returned.
ECHOCART_API uint32_t ECHOCART_CALL echocart_session_destroy(struct echocart_session_t **session);

// Copies one frame into the pipeline.
//
// - `frame`: borrowed for the call, as are its pixels.
// - `out_number`: number of the frame, counted from 0 over all frames captured.
//
// ECHOCART_PAUSED: the session is not started or paused, nothing happened. ECHOCART_WOULD_BLOCK at maximum pace: nothing happened, poll results and push the same frame
// again. ECHOCART_DROPPED in real pace: the frame was counted as dropped. A capture time that is
// not later than the one before is taken, refused by the pipeline and counted as BAD_TIMESTAMP.
//
// Timing: does not block; one copy of the pixels. Memory is allocated only until each of the
// `pipeline.ring_frames + 4` buffers has held a frame of this size, and for the text of a failure.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_frame_push(struct echocart_frame_port_t *port,
                                           const struct echocart_frame_t *frame,
                                           uint64_t *out_number);

// Lends a pooled frame buffer: the frame goes into the pipeline without a copy.
//
// Write rows from top to bottom, then `echocart_frame_commit`, or give it back with
// `echocart_frame_release`. A port lends one buffer at a time; frames may be pushed meanwhile.
// What was in the buffer before is not defined. It is the caller's until it is committed or
// released, or the port is destroyed, and lives as long also when the session is destroyed.
//
// - `pixel_bytes`: bytes needed, row padding included.
// - `out_pixels`: the buffer, aligned to 1 byte, of at least `pixel_bytes` bytes.
//
// ECHOCART_BAD_FRAME_SIZE: more than `pipeline.max_frame_bytes`, or none. ECHOCART_BAD_STATE: a
// buffer is lent already. ECHOCART_WOULD_BLOCK: no buffer is free now, at either pace; nothing was
// counted. ECHOCART_PAUSED, ECHOCART_CLOSED: as for a push.
//
// Timing: does not block. Memory is allocated only when the buffer never held as many bytes.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_frame_lease(struct echocart_frame_port_t *port,
                                            uint64_t pixel_bytes,
                                            uint8_t **out_pixels);

// Puts the lent buffer into the pipeline, as `echocart_frame_push` would a copy of it.
//
// - `frame`: borrowed for the call. `pixels` is what the lease gave; `pixel_bytes` is at most what
//   was asked for.
// - `out_number`: number of the frame, as from a push.
//
// ECHOCART_OK and ECHOCART_DROPPED end the lease, every other code leaves it as it is.
// ECHOCART_BAD_STATE: no buffer is lent.
//
// Timing: does not block, copies no pixel, allocates nothing but the text of a failure.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_frame_commit(struct echocart_frame_port_t *port,
                                             const struct echocart_frame_t *frame,
                                             uint64_t *out_number);

// Gives the lent buffer back unused. Without a lease it does nothing.
//
// Timing: does not block.
ECHOCART_API uint32_t ECHOCART_CALL echocart_frame_release(struct echocart_frame_port_t *port);

// Says that no frame will come any more. Results go on until SOURCE_ENDED; a second call does
// nothing.
//
// Timing: does not block.
ECHOCART_API uint32_t ECHOCART_CALL echocart_frame_port_close(struct echocart_frame_port_t *port);

// Closes the port, frees it and sets `*port` to NULL. NULL and a pointer to NULL do nothing.
//
// Timing: does not block.
ECHOCART_API uint32_t ECHOCART_CALL echocart_frame_port_destroy(struct echocart_frame_port_t **port);

// Takes the oldest result that is waiting.
//
// In real pace a value past `valid_until_nanos` comes as WITHHELD with the reason STALE, and
// ages count up to this call. A value taken in time must still be blanked by the caller when
// `echocart_clock_now` passes `valid_until_nanos`.
//
// - `result_bytes`: `sizeof(echocart_result_t)`.
//
// ECHOCART_EMPTY: none is waiting. ECHOCART_END: the summary was the last one.
//
// Timing: does not block.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_result_poll(struct echocart_result_port_t *port,
                                            uint32_t result_bytes,
                                            struct echocart_result_t *out_result);

// Takes the oldest result, and waits for one if there is none.
//
// As `echocart_result_poll`, but ECHOCART_EMPTY comes after `timeout_micros`. Other calls with this
// port give ECHOCART_CONCURRENT_USE meanwhile.
//
// Timing: blocks for at most `timeout_micros`; the thread sleeps.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_result_wait(struct echocart_result_port_t *port,
                                            uint64_t timeout_micros,
                                            uint32_t result_bytes,
                                            struct echocart_result_t *out_result);

// Has every result from now on handed to `callback` on a thread of the library's,
// `echocart-result`. It cannot be taken back: it ends after the summary, or when the port is
// destroyed.
//
// - `user_data`: handed to `callback` untouched.
//
// Polling and waiting give ECHOCART_BAD_STATE from then on, and so does a second subscription.
//
// Timing: does not block; makes a thread.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_result_subscribe(struct echocart_result_port_t *port,
                                                 echocart_result_callback_t callback,
                                                 void *user_data);

// Copies the text of a view label: UTF-8, cut as in `echocart_last_error`, ended by NUL.
//
// - `index`: 0 to `label_count - 1` of `echocart_session_info_t`.
// - `buffer`: `buffer_bytes` bytes, or NULL with 0.
// - `out_text_bytes`: length of the whole text without NUL.
//
// Timing: does not block.
ECHOCART_API
uint32_t ECHOCART_CALL echocart_result_label(const struct echocart_result_port_t *port,
                                             uint32_t index,
                                             char *buffer,
                                             uint64_t buffer_bytes,
                                             uint64_t *out_text_bytes);

// Closes the frame port too, since nobody would read its results, frees this port and sets
// `*port` to NULL. NULL and a pointer to NULL do nothing.
//
// Timing: blocks until a callback in progress has returned; without one it does not block.
ECHOCART_API uint32_t ECHOCART_CALL echocart_result_port_destroy(struct echocart_result_port_t **port);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ECHOCART_H */

#if defined(__cplusplus)
#define ECHOCART_ASSERT_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type)
#else
#define ECHOCART_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#endif

ECHOCART_ASSERT_SIZE(echocart_segment_t, 80);
ECHOCART_ASSERT_SIZE(echocart_output_t, 360);
ECHOCART_ASSERT_SIZE(echocart_counters_t, 304);
ECHOCART_ASSERT_SIZE(echocart_session_info_t, 1080);
ECHOCART_ASSERT_SIZE(echocart_result_t, 2016);
ECHOCART_ASSERT_SIZE(echocart_histogram_t, 64);
ECHOCART_ASSERT_SIZE(echocart_session_stats_t, 656);
ECHOCART_ASSERT_SIZE(echocart_session_memory_t, 48);
ECHOCART_ASSERT_SIZE(echocart_self_test_t, 272);
#if UINTPTR_MAX == UINT64_MAX
ECHOCART_ASSERT_SIZE(echocart_session_config_t, 176);
ECHOCART_ASSERT_SIZE(echocart_frame_t, 112);
#endif
#undef ECHOCART_ASSERT_SIZE
