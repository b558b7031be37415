//! What ONNX Runtime says when it refuses, in one line without the compiler's part of it.
//!
//! Its errors often name only the step that failed, and the reason goes to its log.

use ort::logging::LogLevel;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

type Logger = dyn Fn(LogLevel, &str, &str, &str, &str) + Send + Sync;

static LAST: Mutex<String> = Mutex::new(String::new());

/// Takes ONNX Runtime's log in place of standard error; keeps the last error.
pub(crate) fn logger() -> Arc<Logger> {
    Arc::new(|level, _, _, _, message| {
        if matches!(level, LogLevel::Error | LogLevel::Fatal) {
            let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
            message.clone_into(&mut last);
        }
    })
}

/// Forgets what was logged before.
pub(crate) fn begin() {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The error, with the logged reason where it says more.
pub(crate) fn why(error: impl Display) -> String {
    let error = plain(&error.to_string());
    let logged = plain(&LAST.lock().unwrap_or_else(PoisonError::into_inner));
    if logged.is_empty() || logged.contains(&error) || error.contains(&logged) {
        error
    } else {
        format!("{error}: {logged}")
    }
}

/// One line from the first words meant for a person on.
pub(crate) fn plain(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    let text = words.join(" ");
    let marks = [
        "[OpenVINO-EP] ",
        "[ERROR] ",
        "<lambda(const std::string&)> ",
        "<lambda()> ",
    ];
    let from = marks
        .iter()
        .filter_map(|mark| text.find(mark).map(|at| at + mark.len()))
        .max()
        .unwrap_or(0);
    text.get(from..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_for_a_person_is_kept() {
        let text = "/a/b.cc:136 ns::F(std::x<y>&) [OpenVINO-EP] Exception while\n  Loading: no KEY";
        assert_eq!(plain(text), "Exception while Loading: no KEY");
        assert_eq!(plain("Load model failed"), "Load model failed");
    }
}
