//! Keeps what video libraries say to themselves off the error stream.
#![expect(
    unsafe_code,
    reason = "the environment is all that FFmpeg's reader looks at"
)]

/// FFmpeg writes a line for each piece of a stream that it cannot use; a run says it once, in its
/// own words. Whoever sets one of the two variables keeps it.
///
/// To be called before there is a second thread.
pub fn video_libraries() {
    const LEVEL: &str = "OPENCV_FFMPEG_LOGLEVEL";
    const QUIET: &str = "-8";
    let set = |name: &str| std::env::var_os(name).is_some();
    if !set(LEVEL) && !set("OPENCV_FFMPEG_DEBUG") {
        // SAFETY: `main` calls this first, so no other thread reads the environment.
        unsafe { std::env::set_var(LEVEL, QUIET) };
    }
}
