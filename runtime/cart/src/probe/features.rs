//! Features on their way to the trainer: a safetensors file.

use crate::exit::{Because, Cause, Failure};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Features of clips, on disk as they come.
pub struct Features {
    dir: TempDir,
    clips: BufWriter<File>,
    dim: usize,
    lengths: Vec<usize>,
    targets: Vec<f32>,
    groups: Vec<f32>,
}

impl Features {
    /// Starts an empty file, gone when this is.
    pub fn new(dim: usize) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("echocart-probe-").tempdir();
        let dir = dir.because(Cause::Other)?;
        let clips = File::create(dir.path().join("clips")).because(Cause::Other)?;
        Ok(Self {
            clips: BufWriter::with_capacity(1 << 20, clips),
            dir,
            dim,
            lengths: Vec::new(),
            targets: Vec::new(),
            groups: Vec::new(),
        })
    }

    /// Number of clips.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Adds a clip.
    ///
    /// # Shapes
    /// - `tokens`: one `[tokens, dim]` per segment.
    pub fn push(&mut self, tokens: &[&[f32]], target: f32, group: usize) -> Result<(), Failure> {
        for value in tokens.iter().copied().flatten() {
            self.clips
                .write_all(&value.to_le_bytes())
                .because(Cause::Other)?;
        }
        self.lengths
            .push(tokens.iter().map(|segment| segment.len()).sum());
        self.targets.push(target);
        self.groups.push(group as f32);
        Ok(())
    }

    /// The folder that holds the files.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the file that the trainer reads.
    pub fn finish(&mut self) -> Result<PathBuf, Failure> {
        self.clips.flush().because(Cause::Other)?;
        let path = self.dir.path().join("features.safetensors");
        self.write(&path).because(Cause::Other)?;
        Ok(path)
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut header = Map::new();
        let mut end = 0;
        let mut entry = |name: String, shape: Vec<usize>| {
            let from = end;
            end += 4 * shape.iter().product::<usize>();
            let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [from, end]});
            header.insert(name, entry);
        };
        entry("targets".to_owned(), vec![self.len()]);
        entry("groups".to_owned(), vec![self.len()]);
        for (at, length) in self.lengths.iter().enumerate() {
            entry(format!("clip.{at}"), vec![length / self.dim, self.dim]);
        }
        let header = Value::Object(header).to_string();
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        for value in self.targets.iter().chain(&self.groups) {
            file.write_all(&value.to_le_bytes())?;
        }
        io::copy(&mut File::open(self.dir.path().join("clips"))?, &mut file)?;
        file.flush()
    }
}
