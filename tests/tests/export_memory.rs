//! Memory of a whole export: what is not needed of a training checkpoint is never read.
//!
//! `cargo test --release -p echocart-tests --test export_memory -- --nocapture` prints the figures.
//! `ECHOCART_TEST_LAYERS=24` takes the full depth of ViT-L instead of 8 layers.

use echocart_export::{Recipe, layout};
use echocart_tests::{echocart, root};
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

type Shapes = Vec<(String, Vec<usize>)>;

/// Peak memory over the weights that come out, the golden clips' run on ONNX Runtime included.
const MOST_OVER_WEIGHTS: f64 = 1.5;

/// Predictor of ViT-L: 12 blocks of width 384, about 22 million values.
const PREDICTOR: [usize; 2] = [57_500, 384];

/// A file in which runs of zeros take no room on the disk.
struct Sparse(File);

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.iter().all(|&byte| byte == 0) {
            self.0.seek_relative(bytes.len() as i64)?;
            return Ok(bytes.len());
        }
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

/// A `torch.save` of tensors that hold zeros.
#[derive(Default)]
struct Saved {
    pickle: Vec<u8>,
    lengths: Vec<usize>,
}

impl Saved {
    fn text(&mut self, text: &str) {
        self.pickle.push(b'X');
        self.pickle.extend((text.len() as u32).to_le_bytes());
        self.pickle.extend(text.as_bytes());
    }

    fn int(&mut self, value: usize) {
        self.pickle.push(b'J');
        self.pickle.extend((value as u32).to_le_bytes());
    }

    fn counts(&mut self, counts: &[usize]) {
        self.pickle.push(b'(');
        counts.iter().for_each(|&n| self.int(n));
        self.pickle.push(b't');
    }

    fn tensor(&mut self, shape: &[usize]) {
        let strides: Vec<usize> = (1..=shape.len())
            .map(|axis| shape[axis..].iter().product())
            .collect();
        let length = shape.iter().product();
        self.pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.pickle.extend(b"ctorch\nFloatStorage\n");
        self.text(&self.lengths.len().to_string());
        self.text("cuda:0");
        self.int(length);
        self.pickle.extend(b"tQ");
        self.int(0);
        self.counts(shape);
        self.counts(&strides);
        self.pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        self.lengths.push(length);
    }

    fn state(&mut self, prefix: &str, shapes: &Shapes) {
        self.pickle.extend(b"}(");
        for (key, shape) in shapes {
            self.text(&format!("{prefix}{key}"));
            self.tensor(shape);
        }
        self.pickle.push(b'u');
    }

    /// The two running averages that AdamW keeps of every tensor.
    fn moments(&mut self, shapes: &Shapes) {
        self.pickle.extend(b"}(");
        for (key, shape) in shapes {
            self.text(key);
            self.pickle.extend(b"}(");
            for part in ["exp_avg", "exp_avg_sq"] {
                self.text(part);
                self.tensor(shape);
            }
            self.pickle.push(b'u');
        }
        self.pickle.push(b'u');
    }

    fn write(mut self, path: &Path) -> zip::result::ZipResult<()> {
        self.pickle.push(b'.');
        let stored = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(true);
        let mut zip = ZipWriter::new(Sparse(File::create(path)?));
        zip.start_file("stem/data.pkl", stored)?;
        zip.write_all(b"\x80\x02")?;
        zip.write_all(&self.pickle)?;
        let zeros = vec![0; 1 << 20];
        for (index, length) in self.lengths.iter().enumerate() {
            zip.start_file(format!("stem/data/{index}"), stored)?;
            let mut left = length * 4;
            while left > 0 {
                let part = left.min(zeros.len());
                zip.write_all(&zeros[..part])?;
                left -= part;
            }
        }
        zip.finish()?;
        Ok(())
    }
}

fn training_checkpoint(encoder: &Shapes) -> Saved {
    let predictor = vec![("predictor.weight".to_owned(), PREDICTOR.to_vec())];
    let trained = [encoder.clone(), predictor.clone()].concat();
    let mut saved = Saved::default();
    saved.pickle.extend(b"}(");
    saved.text("encoder");
    saved.state("module.backbone.", encoder);
    saved.text("predictor");
    saved.state("module.backbone.", &predictor);
    saved.text("opt");
    saved.moments(&trained);
    saved.text("target_encoder");
    saved.state("module.backbone.", encoder);
    saved.pickle.push(b'u');
    saved
}

fn probe_file(probe: &Shapes) -> Saved {
    let mut saved = Saved::default();
    saved.pickle.extend(b"}(");
    saved.text("classifiers");
    saved.pickle.extend(b"](");
    saved.state("module.", probe);
    saved.state("module.", probe);
    saved.pickle.push(b'e');
    saved.text("opt");
    saved.moments(probe);
    saved.text("val_acc_per_head");
    saved.pickle.extend(b"](K\x50K\x51eu");
    saved
}

/// The high-water mark of a child's resident memory, read until it ends.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn peak_bytes(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        if let Some(kilobytes) = kilobytes.and_then(|n| n.trim().parse::<u64>().ok()) {
            peak = peak.max(kilobytes * 1024);
        }
        thread::sleep(Duration::from_millis(1));
    }
    peak
}

#[test]
fn an_export_holds_little_more_than_its_weights() {
    let layers = std::env::var("ECHOCART_TEST_LAYERS");
    let layers: usize = layers.map_or(8, |layers| layers.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let from = root().join("configs/models/echojepa-l.toml");
    let mut recipe = Recipe::open(&from).unwrap();
    recipe.encoder.depth = layers;
    recipe.heads.retain(|name, _| name == "view");
    fs::write(path("recipe.toml"), toml::to_string(&recipe).unwrap()).unwrap();

    let encoder = layout::encoder(&recipe.encoder);
    training_checkpoint(&encoder)
        .write(&path("encoder.pt"))
        .unwrap();
    let view = layout::probe(&layout::Probe {
        kind: layout::ProbeKind::Attentive,
        dim: recipe.encoder.dim,
        depth: 4,
        heads: 16,
        hidden: 4 * recipe.encoder.dim,
        last: "linear",
        outputs: 13,
        places: None,
    });
    probe_file(&view).write(&path("view.pt")).unwrap();
    let checkpoint_bytes = fs::metadata(path("encoder.pt")).unwrap().len();

    let mut command = echocart().unwrap();
    command
        .args(["export", "--recipe"])
        .arg(path("recipe.toml"));
    command.arg("--checkpoint").arg(path("encoder.pt"));
    command
        .arg("--probe")
        .arg(format!("view={}", path("view.pt").display()));
    command.arg("--out").arg(path("p")).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let peak = peak_bytes(&mut child);
    assert!(child.wait().unwrap().success());

    let files = fs::read_dir(path("p")).unwrap().map(|file| file.unwrap());
    let weights = files.filter(|file| file.path().extension().is_some_and(|e| e == "weights"));
    let weights: u64 = weights.map(|file| file.metadata().unwrap().len()).sum();
    let ratio = peak as f64 / weights as f64;
    println!(
        "{layers} layers: checkpoint {} MB, exported weights {} MB, peak {} MB, {ratio:.2} of the \
         weights",
        checkpoint_bytes / 1_000_000,
        weights / 1_000_000,
        peak / 1_000_000
    );
    assert!(checkpoint_bytes > 2 * weights && peak > 0);
    assert!(ratio <= MOST_OVER_WEIGHTS, "{ratio}");
}
