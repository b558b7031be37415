//! The worker's side: opens an engine and answers until the host is gone.

use super::BEAT;
use super::link::{Heard, Shared, Socket};
use super::message::Message;
use super::setup::{Opening, Running};
use crate::OrtEngine;
use crate::refusal::Refused;
use crate::select::{Libraries, open_proven};
use echocart_core::engine::{Engine, EngineError};
use echocart_core::package::Package;
use rustix::process::{Signal, getpid, kill_process, set_parent_process_death_signal};
use rustix::thread::CpuSet;
use std::fs::OpenOptions;
use std::io;
use std::sync::Arc;
use std::thread;

/// Serves the host that started this process.
///
/// # Errors
/// When it was not started by one, or the system refuses a thread.
pub fn serve() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let shared = Shared::of(rustix::io::dup(rustix::stdio::stdout())?)?;
    let socket = Arc::new(Socket::of(rustix::io::dup(rustix::stdio::stdin())?));
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    let mut packet = Vec::new();
    let Heard::Message(Message::Open(json)) = socket.hear(None, &mut packet)? else {
        return Err(io::Error::other(
            "expected to be started by echocart, found no host",
        ));
    };
    beat(socket.clone())?;
    let mut say = |what: &str| {
        let _ = socket.send(&Message::Progress(cut(what)));
    };
    let opened = open(&json, &mut say);
    let (mut engine, package) = match opened {
        Ok(opened) => opened,
        Err((kind, why)) => return socket.send(&Message::Refused(kind, cut(&why))),
    };
    let running = Running::new(engine.info(), engine.slots());
    let running = serde_json::to_string(&running).map_err(io::Error::other)?;
    socket.send(&Message::Ready(running))?;
    let encoder = &package.manifest.encoder;
    let block = encoder.tokens_per_tubelet() * encoder.row();
    let mut clip: Vec<Arc<Vec<f32>>> = (0..encoder.tubelets())
        .map(|_| Arc::new(vec![0.0; block]))
        .collect();
    loop {
        let asked = match socket.hear(None, &mut packet)? {
            Heard::Message(Message::Bye) | Heard::End => return Ok(()),
            Heard::Silence => continue,
            Heard::Message(asked) => asked,
        };
        let outcome = answer(&mut engine, &shared, &mut clip, encoder.row(), asked);
        let reply = match outcome {
            Ok(values) => Message::Done { values },
            Err(error) => Message::Failed(error),
        };
        socket.send(&reply)?;
    }
}

/// Why nothing is open.
type Refusal = (Refused, String);

fn open(json: &str, say: &mut dyn FnMut(&str)) -> Result<(OrtEngine, Package), Refusal> {
    let other = |why: String| (Refused::EngineFailed, why);
    let opening: Opening = serde_json::from_str(json).map_err(|e| other(e.to_string()))?;
    let ours = env!("CARGO_PKG_VERSION");
    if opening.version != ours {
        let theirs = &opening.version;
        let why = format!("worker: expected version {theirs}, found {ours}");
        return Err(other(why));
    }
    stand_back(&opening);
    say("reading the package");
    let package = package(&opening).map_err(|why| (Refused::PackageInvalid, why))?;
    say("loading the library and the graphs");
    let libraries = match &opening.library {
        Some(file) => Libraries::File(file),
        None => Libraries::Under(&opening.root),
    };
    let proofs = opening.proofs.as_deref();
    let opened = open_proven(&opening.engine, libraries, &package, proofs, say);
    let (engine, _) = opened.map_err(|error| (error.kind(), error.to_string()))?;
    Ok((engine.noting(opening.notes), package))
}

fn package(opening: &Opening) -> Result<Package, String> {
    let package = Package::open(&opening.package, &opening.trust).map_err(|e| e.to_string())?;
    if package.name() != opening.package_name {
        return Err(format!(
            "package: expected {}, found {} ({})",
            opening.package_name,
            package.name(),
            package.dir.display()
        ));
    }
    Ok(package)
}

/// As much of a text as a message holds.
fn cut(text: &str) -> String {
    text.chars().take(8192).collect()
}

/// Tells the host that this process runs, and ends it when the host does not listen any more.
fn beat(socket: Arc<Socket>) -> io::Result<()> {
    let beating = thread::Builder::new().name("echocart-beat".to_owned());
    beating.spawn(move || {
        loop {
            match socket.send(&Message::Beat) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    let _ = kill_process(getpid(), Signal::KILL);
                }
                _ => thread::sleep(BEAT),
            }
        }
    })?;
    Ok(())
}

/// The thread that computes, and with it those it makes, stands back; the one that beats does not.
fn stand_back(opening: &Opening) {
    if let Some(nice) = opening.nice {
        crate::system::step_back(nice);
    }
    if !opening.cpus.is_empty() {
        let mut set = CpuSet::new();
        for &cpu in opening.cpus.iter().filter(|c| **c < CpuSet::MAX_CPU) {
            set.set(cpu);
        }
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}

fn answer(
    engine: &mut OrtEngine,
    shared: &Shared,
    clip: &mut [Arc<Vec<f32>>],
    row: usize,
    asked: Message,
) -> Result<usize, EngineError> {
    let mut out = Vec::new();
    match asked {
        Message::Encode { slot } => {
            let mut at = 0;
            for block in clip.iter_mut() {
                let block = Arc::make_mut(block);
                shared.read(block, at).map_err(broken)?;
                at += block.len();
            }
            engine.encode(clip, slot)?;
        }
        Message::EncodeKept { slot, ids } => {
            let mut rows = vec![0.0; ids.len().saturating_mul(row)];
            shared.read(&mut rows, 0).map_err(broken)?;
            engine.encode_kept(&rows, &ids, slot)?;
        }
        Message::Head { name, slots } => engine.head(&name, &slots, &mut out)?,
        Message::MultiView {
            name,
            places,
            slots,
        } => engine.multi_view_head(&name, &places, &slots, &mut out)?,
        Message::Tokens { slot } => engine.tokens(slot, &mut out)?,
        Message::Warm => return engine.keep_warm().map(usize::from),
        other => {
            return Err(broken(io::Error::other(format!(
                "expected a request, found {other:?}"
            ))));
        }
    }
    shared.write(&out, 0).map_err(broken)?;
    Ok(out.len())
}

fn broken(error: io::Error) -> EngineError {
    EngineError::Failed {
        what: "worker".to_owned(),
        message: error.to_string(),
    }
}
