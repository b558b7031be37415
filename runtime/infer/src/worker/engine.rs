//! The host's side: an engine whose work a worker does.

use super::desk::{Desk, Ready, Standing};
use super::keeper::keep;
use super::message::Message;
use super::setup::{Opening, WorkerError, WorkerSetup};
use crate::refusal::Refused;
use echocart_core::engine::{Engine, EngineError, EngineInfo, EngineWatch};
use echocart_core::manifest::Encoder;
use echocart_core::package::Package;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often who waits for a worker looks whether it still should.
const LOOK: Duration = Duration::from_millis(100);

/// An engine in a child process.
///
/// While there is no worker, calls give [`EngineError::Absent`] at once. A worker that was started
/// again is another generation: the tokens of the one before are gone.
///
/// # Real-time
/// A call copies its numbers into and out of the shared memory and blocks until the worker has
/// answered, has ended, has been silent for 400 ms, or has computed for many times longer than ever.
pub struct WorkerEngine {
    desk: Arc<Desk>,
    keeper: Option<JoinHandle<()>>,
    executable: PathBuf,
    encoder: Encoder,
    /// The worker that the newest encoded clip went to.
    generation: u64,
}

impl WorkerEngine {
    /// Starts a worker and does not wait for it.
    ///
    /// # Errors
    /// [`WorkerError`] when the system gives no thread.
    pub fn start(setup: WorkerSetup, package: &Package) -> Result<Self, WorkerError> {
        let executable = setup.executable.clone();
        let given = |error: io::Error| WorkerError::Refused {
            kind: Refused::Thread,
            message: error.to_string(),
            path: executable.clone(),
        };
        let line = Opening::line(&setup, &package.dir, &package.name()).map_err(given)?;
        let encoder = package.manifest.encoder.clone();
        let values = most_values(&encoder);
        let desk = Arc::new(Desk::new());
        let keeper = thread::Builder::new().name("echocart-keeper".to_owned());
        let seen = desk.clone();
        let keeper = keeper
            .spawn(move || keep(&seen, &setup, line, values))
            .map_err(given)?;
        Ok(Self {
            desk,
            keeper: Some(keeper),
            executable,
            encoder,
            generation: 0,
        })
    }

    /// Starts a worker and waits until it has opened and proven the engine. `say` is told what it
    /// does.
    ///
    /// # Errors
    /// [`WorkerError`] with what the worker says; no process and no thread is left behind.
    pub fn open(
        setup: WorkerSetup,
        package: &Package,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, WorkerError> {
        let engine = Self::start(setup, package)?;
        engine.settle(say, &AtomicBool::new(false))?;
        Ok(engine)
    }

    /// Waits until the first worker has opened and proven the engine, or until `stop`.
    pub(super) fn settle(
        &self,
        say: &mut dyn FnMut(&str),
        stop: &AtomicBool,
    ) -> Result<(), WorkerError> {
        let mut said = String::new();
        let mut state = self.desk.lock();
        loop {
            let stopped = || {
                (
                    Refused::EngineFailed,
                    "it is not wanted any more".to_owned(),
                )
            };
            let stopped = stop.load(Ordering::Relaxed).then(stopped);
            if let Some((kind, message)) = state.refused.clone().or(stopped) {
                return Err(WorkerError::Refused {
                    kind,
                    message,
                    path: self.executable.clone(),
                });
            }
            match &state.standing {
                Standing::Ready(_) => return Ok(()),
                Standing::WarmingUp(what) if *what != said => {
                    said.clone_from(what);
                    drop(state);
                    say(&said);
                    state = self.desk.lock();
                }
                _ => state = self.desk.wait_for(state, LOOK),
            }
        }
    }

    /// The worker's process, or none while there is none.
    pub fn pid(&self) -> Option<u32> {
        match &self.desk.lock().standing {
            Standing::Ready(ready) => Some(ready.pid),
            _ => None,
        }
    }

    /// Ends the wait for a worker that is off or backing off: a new exam has begun.
    pub fn begin_exam(&self) {
        self.desk.begin_exam();
    }

    /// The worker to ask, or why there is none.
    fn ready(&self) -> Result<Ready, EngineError> {
        match &self.desk.lock().standing {
            Standing::Ready(ready) => Ok(ready.clone()),
            Standing::Down(why) | Standing::WarmingUp(why) => Err(absent(why.clone())),
        }
    }

    fn ask(&mut self, ready: &Ready, message: &Message) -> Result<usize, EngineError> {
        {
            let mut state = self.desk.lock();
            (state.reply, state.asked) = (None, Some(Instant::now()));
        }
        let sent = ready.socket.send(message);
        if let Err(error) = sent
            && error.kind() == io::ErrorKind::Other
        {
            self.desk.lock().asked = None;
            return Err(failed(error.to_string()));
        }
        let mut state = self.desk.lock();
        loop {
            match &state.standing {
                Standing::Ready(now) if now.number == ready.number => {}
                Standing::Ready(_) => return Err(absent("it ended during a call".to_owned())),
                Standing::Down(why) | Standing::WarmingUp(why) => return Err(absent(why.clone())),
            }
            match state.reply.take() {
                Some(Message::Done { values }) => return Ok(values),
                Some(Message::Failed(error)) => return Err(error),
                Some(other) => return Err(failed(format!("expected an answer, found {other:?}"))),
                None => state = self.desk.wait(state),
            }
        }
    }

    fn fetch(&mut self, message: &Message, out: &mut Vec<f32>) -> Result<(), EngineError> {
        out.clear();
        let ready = self.ready()?;
        let values = self.ask(&ready, message)?;
        let most = most_values(&self.encoder);
        if values > most {
            return Err(failed(format!(
                "expected at most {most} values, found {values}"
            )));
        }
        out.resize(values, 0.0);
        ready.shared.read(out, 0).map_err(|e| failed(e.to_string()))
    }

    fn put(&mut self, blocks: &[&[f32]], message: &Message) -> Result<(), EngineError> {
        let ready = self.ready()?;
        let mut at = 0;
        for block in blocks {
            let written = ready.shared.write(block, at);
            written.map_err(|e| failed(e.to_string()))?;
            at += block.len();
        }
        self.ask(&ready, message)?;
        self.generation = ready.number;
        Ok(())
    }
}

/// Numbers that the shared memory must hold.
fn most_values(encoder: &Encoder) -> usize {
    let most = encoder.tokens() * encoder.row().max(encoder.dim);
    most.max(4096)
}

fn absent(message: String) -> EngineError {
    EngineError::Absent { message }
}

fn failed(message: String) -> EngineError {
    EngineError::Failed {
        what: "worker".to_owned(),
        message,
    }
}

impl Engine for WorkerEngine {
    fn info(&self) -> EngineInfo {
        self.ready().map(|r| r.running.info()).unwrap_or_default()
    }

    fn watch(&self) -> Option<Arc<dyn EngineWatch>> {
        Some(self.desk.clone())
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn slots(&self) -> usize {
        self.ready().map_or(0, |ready| ready.running.slots)
    }

    fn encode(&mut self, tubelets: &[Arc<Vec<f32>>], slot: usize) -> Result<(), EngineError> {
        let block = self.encoder.tokens_per_tubelet() * self.encoder.row();
        let count = self.encoder.tubelets();
        if tubelets.len() != count || tubelets.iter().any(|t| t.len() != block) {
            let lengths: Vec<usize> = tubelets.iter().map(|t| t.len()).collect();
            return Err(EngineError::Shape {
                what: "clip".to_owned(),
                expected: format!("{count} tubelets of {block} values"),
                found: format!("{lengths:?}"),
            });
        }
        let blocks: Vec<&[f32]> = tubelets.iter().map(|t| t.as_slice()).collect();
        self.put(&blocks, &Message::Encode { slot })
    }

    fn encode_kept(&mut self, rows: &[f32], ids: &[usize], slot: usize) -> Result<(), EngineError> {
        if rows.len() != ids.len().saturating_mul(self.encoder.row()) {
            return Err(EngineError::Shape {
                what: "kept rows".to_owned(),
                expected: format!("{} values per id", self.encoder.row()),
                found: format!("{} values for {} ids", rows.len(), ids.len()),
            });
        }
        let ids = ids.to_vec();
        self.put(&[rows], &Message::EncodeKept { slot, ids })
    }

    fn head(&mut self, name: &str, slots: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        let message = Message::Head {
            name: name.to_owned(),
            slots: slots.to_vec(),
        };
        self.fetch(&message, out)
    }

    fn multi_view_head(
        &mut self,
        name: &str,
        places: &[usize],
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let message = Message::MultiView {
            name: name.to_owned(),
            places: places.to_vec(),
            slots: slots.to_vec(),
        };
        self.fetch(&message, out)
    }

    fn tokens(&mut self, slot: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        self.fetch(&Message::Tokens { slot }, out)
    }

    fn keep_warm(&mut self) -> Result<bool, EngineError> {
        let ready = self.ready()?;
        Ok(self.ask(&ready, &Message::Warm)? > 0)
    }
}

impl Drop for WorkerEngine {
    fn drop(&mut self) {
        self.desk.change(|state| state.stop = true);
        if let Standing::Ready(ready) = &self.desk.lock().standing {
            let _ = ready.socket.send(&Message::Bye);
        }
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
        // Who still watches keeps neither the socket nor the memory.
        let closed = "the engine was closed".to_owned();
        self.desk.post(Standing::Down(closed));
    }
}
