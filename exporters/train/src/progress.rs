//! Progress on the terminal.

use std::time::{Duration, Instant};

/// Says on standard error how far a job is and how long it will take.
///
/// `first`, `done` and `total` count the same things; `first` were there before `started`.
pub fn line(job: &str, part: &str, (first, done, total): (usize, usize, usize), started: Instant) {
    let left = left(done - first, total - done, started.elapsed());
    eprintln!("{job} {part}: {done} of {total}, {left} left");
}

/// Time left in minutes and seconds, if the rest goes as what was done.
pub fn left(done: usize, rest: usize, took: Duration) -> String {
    let seconds = took.as_secs_f64() / done.max(1) as f64 * rest as f64;
    let seconds = seconds.round() as u64;
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}
