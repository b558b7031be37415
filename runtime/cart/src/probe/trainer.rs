//! The program that fits: `echocart-train`, beside this one.

use crate::exit::{Because, Cause, Failure};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NAME: &str = "echocart-train";
/// How often the waiting looks at the stop flag.
const POLL: Duration = Duration::from_millis(50);

/// What the trainer says of recordings that its first try did not see.
#[derive(Debug, Clone, Deserialize)]
pub struct HeldOut {
    pub clips: usize,
    pub found: f64,
    pub constant: f64,
}

/// Finds the trainer.
pub fn find() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().because(Cause::Other)?;
    let path = own.with_file_name(NAME);
    if path.is_file() {
        return Ok(path);
    }
    let shown = path.display();
    let text = format!(
        "expected {NAME} beside echocart, found none: `cargo build --release -p {NAME}` makes it ({shown})"
    );
    Err(Failure::text(Cause::Usage, text))
}

/// Runs it. Nothing if it was stopped.
pub fn run(
    trainer: &Path,
    arguments: &[String],
    answer: &Path,
    stop: &AtomicBool,
) -> Result<Option<Option<HeldOut>>, Failure> {
    let out = std::fs::File::create(answer).because(Cause::Other)?;
    let mut child = Command::new(trainer)
        .arg("head")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(out)
        .spawn()
        .because(Cause::Other)?;
    let status = loop {
        if let Some(status) = child.try_wait().because(Cause::Other)? {
            break status;
        }
        if stop.load(Ordering::Relaxed) {
            let _ = child.kill();
            child.wait().because(Cause::Other)?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    };
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    if !status.success() {
        let text = format!("expected {NAME} to fit a head, found {status}");
        return Err(Failure::text(Cause::Other, text));
    }
    let text = std::fs::read_to_string(answer).because(Cause::Other)?;
    serde_json::from_str(&text).because(Cause::Other).map(Some)
}
