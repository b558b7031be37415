//! Saving a recording, by signal or at the end.

use crate::exit::{Because, Cause, Failure};
use echocart_core::recorder::Recorder;
use signal_hook::consts::SIGUSR1;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The recorder of a run, if it has one, and whether SIGUSR1 asked to save it.
pub struct Saving {
    recorder: Option<Recorder>,
    asked: Arc<AtomicBool>,
}

impl Saving {
    /// Listens to SIGUSR1 where there will be a recorder: without a listener it ends the process.
    pub fn new(will_record: bool) -> Result<Self, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        if will_record {
            signal_hook::flag::register(SIGUSR1, asked.clone()).because(Cause::Other)?;
        }
        let recorder = None;
        Ok(Self { recorder, asked })
    }

    /// From now on it is this recorder that is saved.
    pub fn of(self, recorder: Option<Recorder>) -> Self {
        Self { recorder, ..self }
    }

    /// Saves into the recorder's folder where the signal came; a failure is said, the run goes on.
    pub fn if_asked(&self) {
        let Some(recorder) = &self.recorder else {
            return;
        };
        if !self.asked.swap(false, Ordering::Relaxed) {
            return;
        }
        match recorder.save_in_folder() {
            Ok((path, saved)) => say(&path, saved.records, saved.images),
            Err(error) => {
                let _ = Failure::new(Cause::Other, error).report();
            }
        }
    }

    /// Saves to `path`.
    pub fn at_the_end(&self, path: &Path) -> Result<(), Failure> {
        let Some(recorder) = &self.recorder else {
            return Ok(());
        };
        let saved = recorder.save(path).because(Cause::Other)?;
        say(path, saved.records, saved.images);
        Ok(())
    }
}

fn say(path: &Path, records: usize, images: usize) {
    let shown = path.display();
    let text = format!("recording: {records} records, {images} frames ({shown})");
    let _ = writeln!(std::io::stdout(), "{text}");
}
