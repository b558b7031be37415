//! The host's side: an engine whose work a worker does.

use super::keeper::{Desk, Ready, Standing, keep};
use super::message::Message;
use super::setup::{Opening, Running, WorkerError, WorkerSetup};
use echocart_core::engine::{Engine, EngineError, EngineInfo};
use echocart_core::manifest::Encoder;
use echocart_core::package::Package;
use std::io;
use std::path::absolute;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// An engine in a child process.
///
/// A worker that dies fails the call in flight, or the next one, exactly once more than there is
/// none: no death goes by unseen, and its tokens are gone.
///
/// # Real-time
/// A call copies its numbers into and out of the shared memory and blocks until the worker has
/// answered, has ended, or has been silent for 400 ms.
pub struct WorkerEngine {
    desk: Arc<Desk>,
    keeper: Option<JoinHandle<()>>,
    running: Running,
    encoder: Encoder,
    /// The worker that holds the tokens.
    known: Option<u64>,
}

impl WorkerEngine {
    /// Starts a worker and waits until it has opened the engine.
    ///
    /// # Errors
    /// [`WorkerError`] with what the worker says; no process and no thread is left behind.
    pub fn open(setup: WorkerSetup, package: &Package) -> Result<Self, WorkerError> {
        let executable = setup.executable.clone();
        let refused = |message: String| WorkerError::Refused {
            message,
            path: executable.clone(),
        };
        let given = |error: io::Error| refused(error.to_string());
        let opening = Opening {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            package: absolute(&package.dir).map_err(given)?,
            package_name: package.name(),
            engine: setup.engine.clone(),
            trust: setup.trust.clone(),
            library: setup
                .library
                .as_deref()
                .map(absolute)
                .transpose()
                .map_err(given)?,
            root: std::env::current_dir().map_err(given)?.join(&setup.root),
            nice: setup.nice,
            cpus: setup.cpus.clone(),
        };
        let opening = serde_json::to_string(&opening).map_err(|e| refused(e.to_string()))?;
        let encoder = package.manifest.encoder.clone();
        let values = encoder.tokens() * encoder.row().max(encoder.dim);
        let desk = Arc::new(Desk::new());
        let keeper = thread::Builder::new().name("echocart-keeper".to_owned());
        let seen = desk.clone();
        let keeper = keeper
            .spawn(move || keep(&seen, &setup, &opening, values.max(4096)))
            .map_err(given)?;
        let mut engine = Self {
            desk,
            keeper: Some(keeper),
            running: Running::new(EngineInfo::default(), 0),
            encoder,
            known: None,
        };
        let desk = engine.desk.clone();
        let mut state = desk.lock();
        while !state.settled {
            state = desk.wait(state);
        }
        match &state.standing {
            Standing::Ready(ready) => {
                engine.running = ready.running.clone();
                engine.known = Some(ready.number);
            }
            Standing::Refused(why) | Standing::Down(why) => return Err(refused(why.clone())),
        }
        drop(state);
        Ok(engine)
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
        self.desk.change(|state| state.new_exam = true);
    }

    /// The worker to ask, or why there is none to be trusted.
    fn ready(&mut self) -> Result<Ready, EngineError> {
        let standing = self.desk.lock().standing.clone();
        let ready = match standing {
            Standing::Ready(ready) => ready,
            Standing::Down(why) | Standing::Refused(why) => {
                self.known = None;
                return Err(failed(why));
            }
        };
        match self.known.replace(ready.number) {
            Some(before) if before != ready.number => Err(failed(
                "it was started again and its tokens are gone".to_owned(),
            )),
            _ => Ok(ready),
        }
    }

    fn ask(&mut self, ready: &Ready, message: &Message) -> Result<usize, EngineError> {
        self.desk.lock().reply = None;
        let sent = ready.socket.send(message);
        if let Err(error) = sent
            && error.kind() == io::ErrorKind::Other
        {
            return Err(failed(error.to_string()));
        }
        let mut state = self.desk.lock();
        loop {
            match &state.standing {
                Standing::Ready(now) if now.number == ready.number => {}
                Standing::Ready(_) => {
                    self.known = None;
                    return Err(failed("it ended during a call".to_owned()));
                }
                Standing::Down(why) | Standing::Refused(why) => {
                    self.known = None;
                    return Err(failed(why.clone()));
                }
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
        let most = self.encoder.tokens() * self.encoder.row().max(self.encoder.dim);
        if values > most.max(4096) {
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
        self.ask(&ready, message).map(|_| ())
    }
}

fn failed(message: String) -> EngineError {
    EngineError::Failed {
        what: "worker".to_owned(),
        message,
    }
}

impl Engine for WorkerEngine {
    fn info(&self) -> EngineInfo {
        self.running.info()
    }

    fn slots(&self) -> usize {
        self.running.slots
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
    }
}
