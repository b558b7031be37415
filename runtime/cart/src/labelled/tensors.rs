//! Tensors of every clip in one `.npz` file, written as they come.
//!
//! Entries are stored, not compressed, and carry no times: the same recordings give the same
//! bytes.

use super::player::Outcome;
use crate::exit::{Cause, Failure};
use echocart_core::manifest::{Encoder, Manifest};
use serde::Serialize;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempPath;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// A tensor file being written.
pub struct TensorFile {
    zip: ZipWriter<BufWriter<File>>,
    encoder: Encoder,
    index: Index,
    clips: usize,
    failed: Option<io::Error>,
    path: PathBuf,
}

/// Where a tensor file is written until it is whole. Dropped before, the file is gone.
pub struct TensorPlace {
    temporary: TempPath,
    target: PathBuf,
}

/// What the arrays are, as JSON in the array `index`.
#[derive(Debug, Default, Serialize)]
struct Index {
    package: String,
    variant: String,
    view_labels: Vec<String>,
    files: Vec<IndexedFile>,
}

#[derive(Debug, Serialize)]
struct IndexedFile {
    path: String,
    first_clip: usize,
    clips: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

fn cannot_write(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let shown = path.display();
    let text = format!("cannot write tensors: {error} ({shown})");
    Failure::text(Cause::Other, text)
}

impl TensorPlace {
    /// Puts the whole file in its place.
    pub fn publish(self) -> Result<(), Failure> {
        let Self { temporary, target } = self;
        temporary
            .persist(&target)
            .map_err(|e| cannot_write(&target, &e.error))
    }
}

impl TensorFile {
    /// Creates the file beside `target`.
    pub fn create(
        target: &Path,
        package: &str,
        variant: &str,
        manifest: &Manifest,
    ) -> Result<(Self, TensorPlace), Failure> {
        if target.extension().is_none_or(|e| e != "npz") {
            let shown = target.display();
            let text = format!("--dump-tensors: expected a name ending in .npz, found {shown}");
            return Err(Failure::text(Cause::Usage, text));
        }
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let made = tempfile::Builder::new()
            .prefix(".echocart-tensors-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder);
        let (file, temporary) = made.map_err(|e| cannot_write(target, &e))?.into_parts();
        let tensors = Self {
            zip: ZipWriter::new(BufWriter::with_capacity(1 << 20, file)),
            encoder: manifest.encoder.clone(),
            index: Index {
                package: package.to_owned(),
                variant: variant.to_owned(),
                view_labels: manifest.view_labels().to_vec(),
                files: Vec::new(),
            },
            clips: 0,
            failed: None,
            path: target.to_owned(),
        };
        let place = TensorPlace {
            temporary,
            target: target.to_owned(),
        };
        Ok((tensors, place))
    }

    /// Writes the rows and tokens of the next clip. An error is told by [`TensorFile::file`].
    pub fn clip(&mut self, tubelets: &[Arc<Vec<f32>>], tokens: &[f32]) {
        let (count, row, dim) = (self.encoder.tokens(), self.encoder.row(), self.encoder.dim);
        let name = |what: &str| format!("clip{:05}.{what}", self.clips);
        let (rows_name, tokens_name) = (name("rows"), name("tokens"));
        self.clips += 1;
        if self.failed.is_some() {
            return;
        }
        let rows = tubelets.iter().flat_map(|t| t.iter().copied());
        let written = array(&mut self.zip, &rows_name, &[count, row], rows)
            .and_then(|()| array(&mut self.zip, &tokens_name, &[count, dim], tokens.to_vec()));
        self.failed = written.err();
    }

    /// Writes what else is known of one recording's clips.
    pub fn file(&mut self, shown: &str, outcome: &Outcome) -> Result<(), Failure> {
        let first = self
            .index
            .files
            .last()
            .map_or(0, |f| f.first_clip + f.clips);
        let mut indexed = IndexedFile {
            path: shown.to_owned(),
            first_clip: first,
            clips: self.clips - first,
            skipped: None,
        };
        let written = match (self.failed.take(), outcome) {
            (Some(error), _) => Err(error),
            (None, Outcome::Skipped(reason)) => {
                indexed.skipped = Some(reason.clone());
                Ok(())
            }
            (None, Outcome::Played(played)) => {
                let mut clips = played.clips.iter().zip(first..);
                clips.try_for_each(|(clip, at)| self.outputs(clip, at, first))
            }
        };
        self.index.files.push(indexed);
        written.map_err(|e| cannot_write(&self.path, &e))
    }

    fn outputs(
        &mut self,
        clip: &super::player::PlayedClip,
        at: usize,
        first: usize,
    ) -> io::Result<()> {
        let name = |what: &str| format!("clip{at:05}.{what}");
        let zip = &mut self.zip;
        let frames = clip.frames.len();
        let numbers = clip.frames.iter().map(|f| f.number as i64);
        array(zip, &name("frame_numbers"), &[frames], numbers)?;
        let times = clip.frames.iter().map(|f| f.capture_nanos);
        array(zip, &name("frame_nanos"), &[frames], times)?;
        let view = clip.record.view.iter().copied();
        array(zip, &name("view"), &[clip.record.view.len()], view)?;
        if let Some(z) = clip.record.lvef_z {
            array(zip, &name("lvef"), &[1], [z])?;
            let from = clip.record.lvef_from.iter().map(|r| (r + first) as i64);
            array(zip, &name("lvef_clips"), &[from.len()], from)?;
        }
        Ok(())
    }

    /// Writes the index and ends the file.
    pub fn finish(mut self) -> Result<(), Failure> {
        let path = self.path.clone();
        let failed = |e: &dyn std::fmt::Display| cannot_write(&path, e);
        let index = serde_json::to_vec(&self.index).map_err(|e| failed(&e))?;
        array(&mut self.zip, "index", &[index.len()], index).map_err(|e| failed(&e))?;
        let mut buffer = self.zip.finish().map_err(|e| failed(&e))?;
        buffer.flush().map_err(|e| failed(&e))
    }
}

/// A number as NumPy stores it.
trait Number: Copy {
    const DESCR: &'static str;
    fn write(self, to: &mut impl Write) -> io::Result<()>;
}

impl Number for f32 {
    const DESCR: &'static str = "<f4";
    fn write(self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.to_le_bytes())
    }
}

impl Number for i64 {
    const DESCR: &'static str = "<i8";
    fn write(self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.to_le_bytes())
    }
}

impl Number for u8 {
    const DESCR: &'static str = "|u1";
    fn write(self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&[self])
    }
}

/// Writes one array as an entry `NAME.npy`, format version 1.0.
fn array<N: Number>(
    zip: &mut ZipWriter<BufWriter<File>>,
    name: &str,
    shape: &[usize],
    values: impl IntoIterator<Item = N>,
) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .large_file(true);
    zip.start_file(format!("{name}.npy"), options)?;
    let sizes: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let descr = N::DESCR;
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    let unpadded = 10 + header.len() + 1;
    header += &" ".repeat(unpadded.next_multiple_of(64) - unpadded);
    header.push('\n');
    zip.write_all(b"\x93NUMPY\x01\x00")?;
    zip.write_all(&(header.len() as u16).to_le_bytes())?;
    zip.write_all(header.as_bytes())?;
    let mut buffered = BufWriter::with_capacity(1 << 16, zip);
    let mut left: usize = shape.iter().product();
    for value in values {
        value.write(&mut buffered)?;
        left = left.wrapping_sub(1);
    }
    if left != 0 {
        let text = format!("{name}: expected values for {shape:?}, found another number");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    buffered.flush()
}
