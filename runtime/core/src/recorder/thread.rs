//! The recorder's thread and the handle to it.

use super::image;
use super::record::Header;
use super::store::{Candidate, Saved, Snapshot, Store, StoredImage};
use super::tap::{BUFFERS, Ends, Message, QUEUE, Tap, What};
use crate::clock::Pace;
use crate::config::RecorderConfig;
use crate::exam::NewestExam;
use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How soon a new exam erases what is held although nothing comes of it.
const LOOK: Duration = Duration::from_millis(100);
/// Recordings that may be saved in one second.
const NAMES: u32 = 100;

/// Why a recording is not saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The file could not be written; it is never replaced.
    #[error("cannot write recording: {error} ({path})")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The recorder's thread has ended.
    #[error("recorder: expected a running one, found it ended")]
    Ended,
}

enum Command {
    Snapshot(Sender<Snapshot>),
    Best(Sender<Option<BestClip>>),
}

/// The best clip of the exam so far whose frames are all held.
pub struct BestClip {
    /// Which clip it is and what was shown of it.
    pub clip: Candidate,
    /// Its frames in time order.
    pub frames: Vec<StoredImage>,
}

/// A handle to a session's recorder. What is held is gone with the last one.
#[derive(Clone)]
pub struct Recorder {
    commands: Sender<Command>,
    folder: Arc<Path>,
    held_bytes: Arc<AtomicUsize>,
    left_out: Arc<AtomicU64>,
    /// Ends with the thread.
    ended: Receiver<Infallible>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub(crate) fn start(
        config: &RecorderConfig,
        header: Header,
        clip_frames: usize,
        pace: Pace,
        newest_exam: NewestExam,
    ) -> io::Result<(Self, Tap)> {
        let (tap, ends) = Tap::new(pace);
        let (commands, taken) = bounded(4);
        let held_bytes = Arc::new(AtomicUsize::new(0));
        let left_out = ends.left_out.clone();
        let queue_bytes = QUEUE * size_of::<Message>();
        let budget = (config.budget_mib << 20).saturating_sub(queue_bytes);
        let (running, ended) = bounded(0);
        let keeper = Keeper {
            _running: running,
            header,
            clip_frames,
            newest_exam,
            budget,
            store: Store::new(budget),
            ends,
            held_bytes: held_bytes.clone(),
            queue_bytes,
            buffer_bytes: 0,
        };
        std::thread::Builder::new()
            .name("echocart-rec".to_owned())
            .spawn(move || keeper.run(&taken))?;
        let recorder = Self {
            commands,
            folder: config.folder.as_path().into(),
            held_bytes,
            left_out,
            ended,
        };
        Ok((recorder, tap))
    }

    /// Waits until the thread has ended; to be called with the last handle.
    pub fn end(self) {
        let Self {
            commands, ended, ..
        } = self;
        drop(commands);
        let _ = ended.recv();
    }

    /// Everything that was handed over before this call and is still held.
    ///
    /// # Errors
    /// [`SaveError::Ended`].
    pub fn snapshot(&self) -> Result<Snapshot, SaveError> {
        self.ask(Command::Snapshot)
    }

    /// Writes what is held to a new file, on the caller's thread.
    ///
    /// # Errors
    /// [`SaveError`]; what was written of the file is left there and can be read.
    pub fn save(&self, path: &Path) -> Result<Saved, SaveError> {
        let create = || File::options().write(true).create_new(true).open(path);
        let snapshot = self.snapshot()?;
        create()
            .and_then(|file| write(snapshot, file))
            .map_err(|error| not_written(path, error))
    }

    /// Writes what is held to a new file in the configuration's folder, named after the exam's
    /// number and the time, and says which.
    ///
    /// # Errors
    /// As [`Recorder::save`].
    pub fn save_in_folder(&self) -> Result<(PathBuf, Saved), SaveError> {
        let snapshot = self.snapshot()?;
        let folder = &self.folder;
        std::fs::create_dir_all(folder).map_err(|e| not_written(folder, e))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since.unwrap_or_default().as_secs();
        let exam = snapshot.exam();
        let mut tried = 0;
        loop {
            let path = folder.join(format!("exam{exam}-{seconds}-{tried}.echorec"));
            tried += 1;
            match File::options().write(true).create_new(true).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tried < NAMES => {}
                Err(e) => return Err(not_written(&path, e)),
                Ok(file) => {
                    let saved = write(snapshot, file).map_err(|e| not_written(&path, e))?;
                    return Ok((path, saved));
                }
            }
        }
    }

    /// The best clip of the exam so far, if the frames of one are all held.
    ///
    /// # Errors
    /// [`SaveError::Ended`].
    pub fn best_clip(&self) -> Result<Option<BestClip>, SaveError> {
        self.ask(Command::Best)
    }

    /// Bytes that the recorder takes now: queue, buffers, and what is held.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// Frames of slots that were not stored for want of a buffer or of room.
    pub fn images_left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Result<T, SaveError> {
        let (reply, answer) = bounded(1);
        self.commands
            .send(command(reply))
            .map_err(|_| SaveError::Ended)?;
        answer.recv().map_err(|_| SaveError::Ended)
    }
}

fn write(snapshot: Snapshot, file: File) -> io::Result<Saved> {
    let mut sink = BufWriter::with_capacity(1 << 20, file);
    let saved = snapshot.write(&mut sink)?;
    sink.get_ref().sync_all()?;
    Ok(saved)
}

fn not_written(path: &Path, error: io::Error) -> SaveError {
    let path = path.to_owned();
    SaveError::Write { path, error }
}

/// What the thread works with.
struct Keeper {
    _running: Sender<Infallible>,
    header: Header,
    clip_frames: usize,
    newest_exam: NewestExam,
    budget: usize,
    store: Store,
    ends: Ends,
    held_bytes: Arc<AtomicUsize>,
    queue_bytes: usize,
    /// Of the largest buffer so far, times their number.
    buffer_bytes: usize,
}

impl Keeper {
    fn run(mut self, commands: &Receiver<Command>) {
        let mut messages = self.ends.messages.clone();
        loop {
            select! {
                recv(messages) -> message => match message {
                    Ok(message) => self.keep(message),
                    Err(_) => messages = never(),
                },
                recv(commands) -> command => match command {
                    Ok(command) => self.obey(command),
                    Err(_) => return,
                },
                default(LOOK) => {}
            }
            self.follow(self.newest_exam.number());
            let held = self.queue_bytes + self.buffer_bytes + self.store.held_bytes();
            self.held_bytes.store(held, Ordering::Relaxed);
        }
    }

    /// Erases everything where `exam` is newer than the one held.
    fn follow(&mut self, exam: u64) {
        if exam > self.header.exam {
            self.store.erase();
            self.header.exam = exam;
        }
    }

    fn keep(&mut self, message: Message) {
        if let Some(exam) = message.exam {
            self.follow(exam);
        }
        self.follow(self.newest_exam.number());
        let current = message.exam.is_none_or(|e| e == self.header.exam);
        match message.what {
            What::Record(record) if current => self.store.record(&record, message.lost),
            What::Record(_) => {}
            What::Image {
                number,
                meta,
                mut pixels,
            } => {
                self.resize(pixels.capacity());
                if current {
                    let payload = image::encode(number, &meta, &mut pixels);
                    if !self.store.image(number, &payload) {
                        self.ends.left_out.fetch_add(1, Ordering::Relaxed);
                    }
                }
                let _ = self.ends.give_back.try_send(pixels);
            }
        }
    }

    /// Takes the room of larger buffers out of the budget.
    fn resize(&mut self, bytes: usize) {
        let needed = BUFFERS * bytes;
        if needed > self.buffer_bytes {
            self.buffer_bytes = needed;
            self.store
                .set_budget(self.budget.saturating_sub(self.buffer_bytes));
        }
    }

    fn obey(&mut self, command: Command) {
        for _ in 0..self.ends.messages.len() {
            if let Ok(message) = self.ends.messages.try_recv() {
                self.keep(message);
            }
        }
        self.follow(self.newest_exam.number());
        match command {
            Command::Snapshot(reply) => {
                let _ = reply.send(self.store.snapshot(self.header.clone()));
            }
            Command::Best(reply) => {
                let best = self.store.best(self.clip_frames);
                let best = best.map(|(clip, frames)| BestClip { clip, frames });
                let _ = reply.send(best);
            }
        }
    }
}
