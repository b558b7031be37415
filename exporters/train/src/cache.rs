//! The cache of rendered clips: per split one file of pixels and one of labels.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::{TrainError, parallel, progress, render};

/// Frames of a clip.
pub const FRAMES: usize = 16;
/// Side of a frame.
pub const SIDE_PX: usize = 128;
/// Bytes of a clip.
pub const CLIP_BYTES: usize = FRAMES * SIDE_PX * SIDE_PX;

/// Clips that are rendered before they are written.
const BATCH: usize = 16;

/// A part of the hearts; no heart is in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Weights are fitted on these.
    Train,
    /// Settings are chosen on these.
    Validation,
    /// Intervals and temperatures are fitted on these.
    Calibration,
    /// Results are stated for these.
    Test,
}

impl Split {
    /// Every split.
    pub const ALL: [Self; 4] = [Self::Train, Self::Validation, Self::Calibration, Self::Test];

    /// Its files' name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Calibration => "calibration",
            Self::Test => "test",
        }
    }

    /// Seed of its first heart; there is room for a million hearts.
    pub fn first_seed(self) -> u64 {
        1_000_000 * (1 + self as u64)
    }
}

/// What is true about a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Seed of the heart and of everything else.
    pub seed: u64,
    /// The view; nothing near a border between two.
    pub view: Option<String>,
    /// Ejection fraction; nothing where no beating heart is seen.
    pub ef_percent: Option<f64>,
    /// Heart rate.
    pub rate_bpm: f64,
    /// Turn from the standard pose.
    pub angle_deg: f32,
    /// Distance from the standard place.
    pub slide_mm: f32,
}

/// The clips of a split in memory.
#[derive(Debug, Clone)]
pub struct Clips {
    /// Labels in order.
    pub labels: Vec<Label>,
    pixels: Vec<u8>,
}

impl Clips {
    /// Number of clips.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without clips.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// # Shapes
    /// - the result: `[16, 128, 128]` u8, empty for an index too high.
    pub fn pixels(&self, index: usize) -> &[u8] {
        let range = index * CLIP_BYTES..(index + 1) * CLIP_BYTES;
        self.pixels.get(range).unwrap_or_default()
    }

    /// Reads the first `most` clips of a split.
    ///
    /// # Errors
    /// [`TrainError::File`], [`TrainError::Content`] for labels that are none or without pixels.
    pub fn open(folder: &Path, split: Split, most: usize) -> Result<Self, TrainError> {
        let (pixels_path, labels_path) = paths(folder, split);
        let mut labels = read_labels(&labels_path)?;
        labels.truncate(most);
        let mut pixels = vec![0; labels.len() * CLIP_BYTES];
        let mut file = File::open(&pixels_path).map_err(TrainError::file(&pixels_path))?;
        file.read_exact(&mut pixels)
            .map_err(TrainError::file(&pixels_path))?;
        Ok(Self { labels, pixels })
    }
}

/// Single clips of a split: from the cache where they are there, else rendered.
#[derive(Debug)]
pub struct Shelf {
    split: Split,
    labels: Vec<Label>,
    pixels: PathBuf,
}

impl Shelf {
    /// Opens a split, cached or not.
    ///
    /// # Errors
    /// [`TrainError::File`], [`TrainError::Content`].
    pub fn open(folder: &Path, split: Split) -> Result<Self, TrainError> {
        let (pixels, labels) = paths(folder, split);
        Ok(Self {
            split,
            labels: match labels.exists() && pixels.exists() {
                true => read_labels(&labels)?,
                false => Vec::new(),
            },
            pixels,
        })
    }

    /// One clip.
    ///
    /// # Errors
    /// [`TrainError::File`], [`TrainError::Phantom`].
    pub fn clip(&self, index: usize) -> Result<(Label, Vec<u8>), TrainError> {
        let Some(label) = self.labels.get(index) else {
            return render::clip(self.split, index as u64);
        };
        let mut pixels = vec![0; CLIP_BYTES];
        let mut read = |file: &mut File| {
            file.seek(SeekFrom::Start((index * CLIP_BYTES) as u64))?;
            file.read_exact(&mut pixels)
        };
        File::open(&self.pixels)
            .and_then(|mut file| read(&mut file))
            .map_err(TrainError::file(&self.pixels))?;
        Ok((label.clone(), pixels))
    }
}

/// Renders a split up to `count` clips, from where an earlier run ended. False if it was stopped.
///
/// # Errors
/// [`TrainError::File`], [`TrainError::Content`], [`TrainError::Phantom`].
pub fn fill(
    folder: &Path,
    (split, count): (Split, usize),
    threads: usize,
    stop: &AtomicBool,
) -> Result<bool, TrainError> {
    fs::create_dir_all(folder).map_err(TrainError::file(folder))?;
    let (pixels_path, labels_path) = paths(folder, split);
    let labels = match labels_path.exists() {
        true => read_labels(&labels_path)?,
        false => Vec::new(),
    };
    let mut pixels_file = open_at(&pixels_path)?;
    let bytes = pixels_file
        .metadata()
        .map_err(TrainError::file(&pixels_path))?
        .len();
    let first = labels.len().min(bytes as usize / CLIP_BYTES);
    let mut text: String = labels.iter().take(first).map(line).collect();
    pixels_file
        .set_len((first * CLIP_BYTES) as u64)
        .and_then(|()| pixels_file.seek(SeekFrom::End(0)).map(|_| ()))
        .map_err(TrainError::file(&pixels_path))?;
    let mut labels_file = open_at(&labels_path)?;
    labels_file
        .set_len(0)
        .and_then(|()| labels_file.write_all(text.as_bytes()))
        .map_err(TrainError::file(&labels_path))?;
    let started = Instant::now();
    for from in (first..count).step_by(BATCH) {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let clips = batch(split, from..(from + BATCH).min(count), threads)?;
        text.clear();
        for (label, pixels) in &clips {
            pixels_file
                .write_all(pixels)
                .map_err(TrainError::file(&pixels_path))?;
            text.push_str(&line(label));
        }
        labels_file
            .write_all(text.as_bytes())
            .map_err(TrainError::file(&labels_path))?;
        let done = from + clips.len();
        progress::line("render", split.name(), (first, done, count), started);
    }
    Ok(true)
}

fn batch(
    split: Split,
    range: std::ops::Range<usize>,
    threads: usize,
) -> Result<Vec<(Label, Vec<u8>)>, TrainError> {
    let made = parallel::map(range, threads, |&index| render::clip(split, index as u64));
    made.into_iter().collect()
}

fn paths(folder: &Path, split: Split) -> (PathBuf, PathBuf) {
    let name = split.name();
    (
        folder.join(format!("{name}.clips")),
        folder.join(format!("{name}.jsonl")),
    )
}

fn open_at(path: &Path) -> Result<File, TrainError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(TrainError::file(path))
}

fn line(label: &Label) -> String {
    let text = serde_json::to_string(label).unwrap_or_default();
    format!("{text}\n")
}

/// A last line without its end is one that was being written.
fn read_labels(path: &Path) -> Result<Vec<Label>, TrainError> {
    let text = fs::read_to_string(path).map_err(TrainError::file(path))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().zip(1..);
    lines
        .map(|(line, number)| {
            serde_json::from_str(line).map_err(|error| TrainError::Content {
                what: "labels",
                expected: "a label in every line".to_owned(),
                found: format!("line {number}: {error}"),
                path: path.to_owned(),
            })
        })
        .collect()
}
