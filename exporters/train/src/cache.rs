//! The cache of rendered clips: per split one file of pixels, one of chamber maps and one of labels.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::render::Drawn;
use crate::{TrainError, parallel, progress, render};

/// Frames of a clip.
pub const FRAMES: usize = 16;
/// Side of a frame.
pub const SIDE_PX: usize = 128;
/// Bytes of a clip.
pub const CLIP_BYTES: usize = FRAMES * SIDE_PX * SIDE_PX;
/// Side of a cell of a chamber map.
pub const CELL_PX: usize = 4;
/// Cells along a side.
pub const CELLS: usize = SIDE_PX / CELL_PX;
/// Chamber maps of a clip, one for every two frames.
pub const MAPS: usize = FRAMES / 2;
/// Bytes of a clip's chamber maps.
pub const MAPS_BYTES: usize = MAPS * CELLS * CELLS;

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
    chambers: Vec<u8>,
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

    /// # Shapes
    /// - the result: `[8, 32, 32]` u8, the chamber's number in a mask or 0, empty for an index too high.
    pub fn chambers(&self, index: usize) -> &[u8] {
        let range = index * MAPS_BYTES..(index + 1) * MAPS_BYTES;
        self.chambers.get(range).unwrap_or_default()
    }

    /// Reads the first `most` clips of a split.
    ///
    /// # Errors
    /// [`TrainError::File`], [`TrainError::Content`] for labels that are none or without pixels.
    pub fn open(folder: &Path, split: Split, most: usize) -> Result<Self, TrainError> {
        let [pixels, chambers, labels] = paths(folder, split);
        let mut labels = read_labels(&labels)?;
        labels.truncate(most);
        let start = |path: &Path, bytes: usize| {
            let mut start = vec![0; labels.len() * bytes];
            File::open(path)
                .and_then(|mut file| file.read_exact(&mut start))
                .map_err(TrainError::file(path))?;
            Ok::<_, TrainError>(start)
        };
        Ok(Self {
            pixels: start(&pixels, CLIP_BYTES)?,
            chambers: start(&chambers, MAPS_BYTES)?,
            labels,
        })
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
        let [pixels, _, labels] = paths(folder, split);
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
            let drawn = render::draw(self.split.first_seed(), index as u64)?;
            return Ok((drawn.label, drawn.pixels));
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
    let [pixels_path, chambers_path, labels_path] = paths(folder, split);
    let labels = match labels_path.exists() {
        true => read_labels(&labels_path)?,
        false => Vec::new(),
    };
    let mut pixels = Rows::open(pixels_path, CLIP_BYTES)?;
    let mut chambers = Rows::open(chambers_path, MAPS_BYTES)?;
    let first = labels.len().min(pixels.count()?).min(chambers.count()?);
    pixels.cut(first)?;
    chambers.cut(first)?;
    let mut text: String = labels.iter().take(first).map(line).collect();
    let mut labels = Rows::open(labels_path, 1)?;
    labels.cut(0)?;
    labels.add(text.as_bytes())?;
    let started = Instant::now();
    for from in (first..count).step_by(BATCH) {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let clips = batch(split, from..(from + BATCH).min(count), threads)?;
        text.clear();
        for clip in &clips {
            pixels.add(&clip.pixels)?;
            chambers.add(&clip.chambers)?;
            text.push_str(&line(&clip.label));
        }
        labels.add(text.as_bytes())?;
        let done = from + clips.len();
        progress::line("render", split.name(), (first, done, count), started);
    }
    Ok(true)
}

/// A file of rows of equal length.
struct Rows {
    file: File,
    path: PathBuf,
    bytes: usize,
}

impl Rows {
    fn open(path: PathBuf, bytes: usize) -> Result<Self, TrainError> {
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).read(true).write(true);
        let file = options.open(&path).map_err(TrainError::file(&path))?;
        Ok(Self { file, path, bytes })
    }

    fn count(&self) -> Result<usize, TrainError> {
        let file = self.file.metadata().map_err(TrainError::file(&self.path))?;
        Ok(file.len() as usize / self.bytes)
    }

    /// Leaves the first `rows`; the next is added after them.
    fn cut(&mut self, rows: usize) -> Result<(), TrainError> {
        self.file
            .set_len((rows * self.bytes) as u64)
            .and_then(|()| self.file.seek(SeekFrom::End(0)).map(|_| ()))
            .map_err(TrainError::file(&self.path))
    }

    fn add(&mut self, row: &[u8]) -> Result<(), TrainError> {
        self.file
            .write_all(row)
            .map_err(TrainError::file(&self.path))
    }
}

fn batch(
    split: Split,
    range: std::ops::Range<usize>,
    threads: usize,
) -> Result<Vec<Drawn>, TrainError> {
    let seed = split.first_seed();
    let made = parallel::map(range, threads, |&index| render::draw(seed, index as u64));
    made.into_iter().collect()
}

/// Pixels, chamber maps and labels.
fn paths(folder: &Path, split: Split) -> [PathBuf; 3] {
    ["clips", "chambers", "jsonl"].map(|kind| folder.join(format!("{}.{kind}", split.name())))
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
