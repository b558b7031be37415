//! The event thread: file, page and status line.

use super::status::StatusLine;
use crate::exit::{Because, Cause, Failure};
use crate::metrics::{self, Metrics};
use crate::serve::Hub;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use echocart_core::clock::Pace;
use echocart_core::events::Event;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the status line is brought up to date.
const TICK: Duration = Duration::from_millis(250);

/// An events file being written.
pub struct EventsFile {
    writer: BufWriter<File>,
    path: PathBuf,
}

/// Who else takes events, none of whom ever makes them wait.
pub struct Readers {
    pub hub: Hub,
    pub metrics: Metrics,
}

impl Readers {
    fn event(&self, event: &Event) {
        self.metrics.event(event);
        metrics::log(event);
        self.hub.event(event);
    }
}

/// Creates the events file, if one is wanted.
pub fn create(path: Option<&Path>) -> Result<Option<EventsFile>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let file = File::create(path).map_err(|e| cannot_write(path, &e))?;
    Ok(Some(EventsFile {
        writer: BufWriter::new(file),
        path: path.to_owned(),
    }))
}

fn cannot_write(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let shown = path.display();
    Failure::text(
        Cause::Other,
        format!("cannot write events: {error} ({shown})"),
    )
}

/// The running event thread; ends with the summary.
pub struct EventThread {
    thread: JoinHandle<Result<(), Failure>>,
}

impl EventThread {
    /// Starts taking events.
    pub fn start(
        receiver: Receiver<Event>,
        file: Option<EventsFile>,
        readers: Readers,
        stop: Arc<AtomicBool>,
        pace: Pace,
    ) -> Result<Self, Failure> {
        let thread = std::thread::Builder::new()
            .name("echocart-events".to_owned())
            .spawn(move || {
                let result = take(&receiver, file, &readers, pace);
                if result.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                result
            })
            .because(Cause::Other)?;
        Ok(Self { thread })
    }

    /// Waits for the last event to be written.
    pub fn join(self) -> Result<(), Failure> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(Failure::text(Cause::Other, "the event thread panicked")))
    }
}

fn take(
    receiver: &Receiver<Event>,
    mut file: Option<EventsFile>,
    readers: &Readers,
    pace: Pace,
) -> Result<(), Failure> {
    let mut status = StatusLine::new(pace);
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(event) => {
                if let Some(file) = &mut file {
                    write(file, &event, pace).map_err(|e| cannot_write(&file.path, &e))?;
                }
                readers.event(&event);
                status.event(&event);
                if matches!(event, Event::Summary(_)) {
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        status.tick();
    }
    status.finish();
    if let Some(file) = &mut file {
        file.writer
            .flush()
            .map_err(|e| cannot_write(&file.path, &e))?;
    }
    Ok(())
}

fn write(file: &mut EventsFile, event: &Event, pace: Pace) -> std::io::Result<()> {
    serde_json::to_writer(&mut file.writer, event)?;
    file.writer.write_all(b"\n")?;
    if pace == Pace::Real {
        file.writer.flush()?;
    }
    Ok(())
}
