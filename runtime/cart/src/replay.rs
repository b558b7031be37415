//! `echocart replay`: does a recording give the same decisions here?

use crate::cli::ReplayArgs;
use crate::engine;
use crate::exit::{Because, Cause, Failure};
use crate::export::print;
use crate::run;
use echocart_core::engine::Engine;
use echocart_core::package::Package;
use echocart_core::recorder::replay::{Compared, Difference, Inferred, Replay};
use echocart_core::recorder::{Header, RecordingReader};
use std::fmt::Write as _;
use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

/// What a replay came to.
struct Outcome {
    header: Header,
    whole: bool,
    entries: u64,
    compared: Compared,
    difference: Option<(u64, Difference)>,
    inferred: Option<(String, Inferred)>,
}

/// Replays a recording and prints what came of it.
pub fn replay(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let shown = args.recording.display();
    let in_file =
        |e: &dyn std::fmt::Display| Failure::text(Cause::Source, format!("{e} ({shown})"));
    let file = File::open(&args.recording).map_err(|e| in_file(&e))?;
    let mut reader =
        RecordingReader::new(BufReader::with_capacity(1 << 20, file)).map_err(|e| in_file(&e))?;
    let header = reader.header().clone();
    let (engine, words) = match &args.package {
        Some(_) => {
            let (engine, words) = open(args, &header)?;
            (Some(engine), Some(words))
        }
        None => (None, None),
    };
    let mut replay = Replay::new(&header, engine).map_err(|e| in_file(&e))?;
    let (mut entries, mut difference) = (0, None);
    while let Some(entry) = reader.next().map_err(|e| in_file(&e))? {
        if let Err(found) = replay.entry(entry) {
            difference = Some((entries, *found));
            break;
        }
        entries += 1;
    }
    let outcome = Outcome {
        whole: reader.is_whole(),
        header,
        entries,
        compared: replay.compared(),
        difference,
        inferred: words.map(|words| (words, replay.inferred())),
    };
    let text = match args.json {
        true => outcome.json(),
        false => outcome.text(),
    };
    print(&text).because(Cause::Other)?;
    Ok(match outcome.difference {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::from(Cause::Other as u8),
    })
}

/// The engine of `--infer`, and what it is in words.
fn open(args: &ReplayArgs, header: &Header) -> Result<(Box<dyn Engine>, String), Failure> {
    let config = run::config(args.config.as_deref())?;
    let dir = args.package.as_deref().unwrap_or(std::path::Path::new(""));
    let package = Package::open(dir, &config.package).map_err(|e| run::hint(e, dir))?;
    let recorded = header
        .manifest()
        .map_err(|e| Failure::text(Cause::Source, format!("recording: {e}")))?;
    let ours = &package.manifest;
    if recorded.encoder != ours.encoder || recorded.view_labels() != ours.view_labels() {
        let text = format!(
            "package: expected one with the encoder and the views of {}, found {}",
            header.package,
            package.name()
        );
        return Err(Failure::text(Cause::Package, text));
    }
    let name = package.name();
    let engine = engine::open(
        &config.engine,
        args.library.as_deref(),
        &package,
        &mut |_: &str| {},
    )?;
    let words = format!("{name}, {}", engine::words(&engine.info()));
    Ok((Box::new(engine), words))
}

impl Outcome {
    fn text(&self) -> String {
        let (header, compared) = (&self.header, self.compared);
        let mut text = format!(
            "recording: echocart {}, package {}, config {}, {} {}, exam {}\n",
            header.version,
            header.package,
            header.config,
            header.provider,
            header.variant,
            header.exam
        );
        let whole = match (self.whole, &self.difference) {
            (true, _) => "whole",
            (false, None) => "cut off there",
            (false, Some(_)) => "read up to the difference",
        };
        let _ = writeln!(text, "entries: {}, {whole}", self.entries);
        let _ = writeln!(
            text,
            "compared: {} frames, {} slots, {} clips, {} steps of the ladder, {} estimates",
            compared.frames, compared.slots, compared.clips, compared.loads, compared.estimates
        );
        if compared.skipped + compared.lost > 0 {
            let _ = writeln!(
                text,
                "not compared: {} entries before a known state, {} that the recorder lost",
                compared.skipped, compared.lost
            );
        }
        if let Some((words, inferred)) = &self.inferred {
            let _ = writeln!(text, "model now: {words}");
            let _ = writeln!(
                text,
                "inferred: {} clips, {} without all frames, {} failed; {} of {} numbers differ, \
                 view logits by at most {:e}, standardised EF by at most {:e}",
                inferred.clips,
                inferred.without_frames,
                inferred.failed,
                inferred.differing,
                inferred.numbers,
                inferred.view_most,
                inferred.lvef_most
            );
        }
        match &self.difference {
            None => text += "identical\n",
            Some((entry, found)) => {
                let _ = writeln!(text, "first difference, entry {entry}: {found}");
            }
        }
        text
    }

    fn json(&self) -> String {
        let compared = self.compared;
        let difference = self.difference.as_ref().map(|(entry, found)| {
            serde_json::json!({
                "entry": entry,
                "what": found.what,
                "recorded": found.recorded,
                "replayed": found.replayed,
            })
        });
        let inferred = self.inferred.as_ref().map(|(words, i)| {
            serde_json::json!({
                "model": words,
                "clips": i.clips,
                "without_frames": i.without_frames,
                "failed": i.failed,
                "numbers": i.numbers,
                "differing": i.differing,
                "view_most": i.view_most,
                "lvef_most": i.lvef_most,
            })
        });
        let value = serde_json::json!({
            "package": self.header.package,
            "config": self.header.config,
            "exam": self.header.exam,
            "version": self.header.version,
            "whole": self.whole,
            "entries": self.entries,
            "compared": {
                "frames": compared.frames,
                "slots": compared.slots,
                "clips": compared.clips,
                "loads": compared.loads,
                "estimates": compared.estimates,
                "skipped": compared.skipped,
                "lost": compared.lost,
            },
            "identical": self.difference.is_none(),
            "difference": difference,
            "inferred": inferred,
        });
        format!("{value:#}\n")
    }
}
