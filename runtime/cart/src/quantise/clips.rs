//! Which clips calibrate and which are held out.

use super::QuantiseArgs;
use super::cine::{Cine, wrong};
use crate::exit::{Because, Cause, Failure};
use echocart_capture::OpenOptions;
use echocart_core::golden;
use echocart_core::manifest::Manifest;
use echocart_core::package::Package;
use echocart_export::Progress;
use echocart_export::quantise::{Clip, Origin};
use std::fs::File;
use std::io::BufReader;

/// The clips of a run.
pub struct Clips {
    pub calibration: Vec<Clip>,
    pub held_out: Vec<Clip>,
    /// How the held-out ones were picked.
    pub rule: String,
}

struct Reader<'a> {
    manifest: &'a Manifest,
    options: OpenOptions,
    progress: Progress<'a>,
}

/// The golden clips of a package: what its variants are proven on belongs to what they are made for.
pub fn golden(package: &Package) -> Result<Vec<Clip>, Failure> {
    let manifest = &package.manifest;
    let mut clips = Vec::new();
    for golden in manifest.golden.values() {
        let path = package.dir.join(&golden.frames);
        let file = File::open(&path).because(Cause::Package)?;
        let clip = golden::clip(manifest, BufReader::new(file)).because(Cause::Package)?;
        let entry = manifest.files.get(&golden.frames);
        clips.push(Clip {
            origin: Origin {
                file: golden.frames.clone(),
                sha256: entry.map(|e| e.sha256.clone()).unwrap_or_default(),
                first_frame: clip.chosen.first().copied().unwrap_or(0),
                last_frame: clip.chosen.last().copied().unwrap_or(0),
            },
            tubelets: clip.tubelets,
        });
    }
    Ok(clips)
}

/// At most `most` of `clips`, evenly spread, the first and the last among them.
fn spread(clips: Vec<Clip>, most: usize) -> Vec<Clip> {
    let count = clips.len();
    if count <= most {
        return clips;
    }
    let steps = most.saturating_sub(1).max(1);
    let places: Vec<usize> = (0..most).map(|at| at * (count - 1) / steps).collect();
    let kept = clips.into_iter().enumerate();
    kept.filter(|(at, _)| places.contains(at))
        .map(|(_, clip)| clip)
        .collect()
}

impl Reader<'_> {
    /// The clips of `files`, at most `most` in all, as even over the files as they allow.
    fn files(&mut self, files: &[&str], most: usize) -> Result<Option<Vec<Clip>>, Failure> {
        let mut all = Vec::new();
        for (at, file) in files.iter().enumerate() {
            let left = files.len() - at;
            let own = (most.saturating_sub(all.len())).div_ceil(left).max(1);
            let what = format!("read {file}");
            let progress = &mut *self.progress;
            let mut go_on = || progress(&what, 0, 0).is_continue();
            let cine = Cine::new(self.manifest, file, own * 2)?;
            let Some(clips) = cine.read(&self.options, &mut go_on)? else {
                return Ok(None);
            };
            if all.len() < most {
                all.extend(spread(clips, own));
            }
        }
        Ok(Some(all))
    }
}

impl Clips {
    /// Reads the files; `None` when `progress` stops it.
    pub fn read(
        args: &QuantiseArgs,
        manifest: &Manifest,
        progress: Progress<'_>,
    ) -> Result<Option<Self>, Failure> {
        let mut reader = Reader {
            manifest,
            options: OpenOptions {
                assume_fps: args.assume_fps,
            },
            progress,
        };
        let (most, most_held) = (usize::from(args.clips), usize::from(args.held_out_clips));
        let mut given: Vec<&str> = args.calibrate.iter().map(String::as_str).collect();
        let held: Vec<&str> = args.held_out.iter().map(String::as_str).collect();
        if let ([file], []) = (given.as_slice(), held.as_slice()) {
            return reader.one_file(file, most, most_held);
        }
        let (held, rule) = if held.is_empty() {
            let at = given.len() - (given.len() / 4).max(1);
            let held = given.split_off(at);
            let files = held.len();
            (
                held,
                format!("the last {files} of the files given to --calibrate"),
            )
        } else {
            (held, "the files given to --held-out".to_owned())
        };
        if let Some(file) = held.iter().find(|file| given.contains(file)) {
            let expected = "different files to calibrate and to hold out";
            return Err(wrong(file, expected, "the same one"));
        }
        let Some(calibration) = reader.files(&given, most)? else {
            return Ok(None);
        };
        let Some(held_out) = reader.files(&held, most_held)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            calibration,
            held_out,
            rule,
        }))
    }
}

impl Reader<'_> {
    fn one_file(
        &mut self,
        file: &str,
        most: usize,
        most_held: usize,
    ) -> Result<Option<Clips>, Failure> {
        let Some(mut clips) = self.files(&[file], most + most_held)? else {
            return Ok(None);
        };
        let held = (clips.len() / 4).clamp(1, most_held);
        let held_out = clips.split_off(clips.len() - held);
        let first = held_out.first().map_or(0, |clip| clip.origin.first_frame);
        clips.retain(|clip| clip.origin.last_frame < first);
        if clips.is_empty() {
            let expected = "a file long enough to hold out clips that share no frame with those \
                            that calibrate, or a second file";
            return Err(wrong(file, expected, "too few frames"));
        }
        Ok(Some(Clips {
            calibration: spread(clips, most),
            held_out,
            rule: "the last clips of the only file; none shares a frame with a calibration clip"
                .to_owned(),
        }))
    }
}
