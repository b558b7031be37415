//! Frames of 1024x768 GRAY8 at 60 Hz from one process to another: echocart's protocol beside
//! iceoryx2, in turns.

mod figures;
mod iox;
mod memfd;
#[path = "../../../../runtime/capture/tests/shm_writer/mod.rs"]
mod shm_writer;

use figures::{Kind, Report};
use std::io::Read;
use std::process::{Child, Command, Stdio};

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

pub const WIDTH_PX: u32 = 1024;
pub const HEIGHT_PX: u32 = 768;
pub const FRAME_BYTES: usize = (WIDTH_PX * HEIGHT_PX) as usize;
pub const PERIOD_NANOS: i64 = 1_000_000_000 / 60;
/// Frames of each turn that count for nothing.
pub const WARM_UP: u64 = 60;

const USAGE: &str = "shm-bench [ROUNDS [SECONDS]]";

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    iceoryx2::prelude::set_log_level(iceoryx2::prelude::LogLevel::Error);
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["writer", kind, place, frames] => writer(kind.parse()?, place, frames.parse()?),
        ["reader", kind, place] => reader(kind.parse()?, place),
        [] => compare(4, 8),
        [rounds] => compare(rounds.parse()?, 8),
        [rounds, seconds] => compare(rounds.parse()?, seconds.parse()?),
        _ => Err(format!("expected {USAGE}, found {}", args.join(" ")).into()),
    }
}

fn writer(kind: Kind, place: &str, frames: u64) -> Outcome<()> {
    match kind {
        Kind::Calls | Kind::SourceCopied => memfd::write(place, frames, memfd::Way::Calls),
        Kind::MappedWriter | Kind::Mapped | Kind::Source => {
            memfd::write(place, frames, memfd::Way::Mapped)
        }
        Kind::IoxCopied | Kind::Iox => iox::write(place, frames),
    }
}

fn reader(kind: Kind, place: &str) -> Outcome<()> {
    match kind {
        Kind::Calls | Kind::MappedWriter => memfd::read(place, memfd::Way::Calls),
        Kind::Mapped => memfd::read(place, memfd::Way::Mapped),
        Kind::SourceCopied | Kind::Source => memfd::source(place),
        Kind::IoxCopied => iox::read(place, iox::Way::Copied),
        Kind::Iox => iox::read(place, iox::Way::InPlace),
    }
}

/// Every kind for `seconds`, in turn, `rounds` times.
fn compare(rounds: u64, seconds: u64) -> Outcome<()> {
    let mut reports = Kind::ALL.map(|kind| (kind, Report::default()));
    let folder = tempfile::tempdir()?;
    println!("load at the start: {}", figures::load()?);
    for round in 0..rounds {
        for (kind, report) in &mut reports {
            let place = match kind {
                Kind::IoxCopied | Kind::Iox => format!("echocart/{}/{round}", std::process::id()),
                _ => folder
                    .path()
                    .join(format!("{round}-{kind}"))
                    .display()
                    .to_string(),
            };
            let frames = seconds * 60 + WARM_UP;
            let writer = child(&["writer", kind.name(), &place, &frames.to_string()])?;
            let reader = child(&["reader", kind.name(), &place])?;
            report.add(&said(writer)?, &said(reader)?)?;
        }
        println!("load after round {}: {}", round + 1, figures::load()?);
    }
    println!("\n{}", figures::HEAD);
    for (kind, report) in &mut reports {
        println!("{}", report.row(*kind));
    }
    Ok(())
}

fn child(args: &[&str]) -> Outcome<Child> {
    let program = std::env::current_exe()?;
    Ok(Command::new(program)
        .args(args)
        .stdout(Stdio::piped())
        .spawn()?)
}

fn said(mut child: Child) -> Outcome<String> {
    let mut text = String::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_string(&mut text)?;
    }
    let status = child.wait()?;
    match status.success() {
        true => Ok(text),
        false => Err(format!("a process: expected success, found {status}").into()),
    }
}
