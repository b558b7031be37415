//! What each target does with its bytes. The replay test of the main workspace includes this file.

use echocart_core::config::CartConfig;
use echocart_core::manifest::{Encoder, Manifest};
use echocart_core::recorder::RecordingReader;
use echocart_core::recorder::replay::Replay;
use echocart_export::checkpoint::{Archive, Best, probe_facts, read_encoder, read_probe};
use echocart_export::layout::{Places, Probe, ProbeKind, SlotEmbedding};
use echocart_export::pickle::{Node, parse, parse_scaler};
use echocart_export::{Recipe, read_scaler};
use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

thread_local! {
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// Hands the bytes over as a file.
fn with_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    let path: PathBuf = FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() {
                tempfile::tempdir_in(memory)
            } else {
                tempfile::tempdir()
            };
            made.expect("a folder for the file")
        });
        folder.path().join("bytes")
    });
    fs::write(&path, bytes).expect("the bytes as a file");
    read(&path);
}

/// The pickle reader, as checkpoint and as scaler.
pub fn pickle(bytes: &[u8]) {
    for parsed in [parse(bytes), parse_scaler(bytes)] {
        match parsed {
            Ok(pickle) => {
                let root = pickle.root();
                let _ = pickle.node(root).kind();
                for (key, value) in pickle.text_entries(root).unwrap_or_default() {
                    assert!(pickle.entry(root, key).is_some());
                    let _ = pickle.node(value).kind();
                }
            }
            Err(error) => one_line(&error.to_string()),
        }
    }
    with_file(bytes, |path| {
        if let Ok((mean, std)) = read_scaler(path) {
            assert!(mean.is_finite() && std.is_finite() && std > 0.0);
        }
    });
}

/// The zip reader, and the checkpoints in it. Safetensors files come this way too.
pub fn zip(bytes: &[u8]) {
    with_file(bytes, |path| {
        match Archive::open(path) {
            Ok(mut archive) => read_tensors(&mut archive),
            Err(error) => one_line(&error.to_string()),
        }
        match read_encoder(path, &encoder()) {
            Ok(checked) => {
                let mut state = checked.state;
                let keys: Vec<String> = state.keys().map(str::to_owned).collect();
                for key in keys {
                    let values = state.read(&key);
                    assert!(
                        values.is_err() || values.is_ok_and(|v| v.iter().all(|x| x.is_finite()))
                    );
                }
            }
            Err(error) => one_line(&error.to_string()),
        }
        for best in [Best::Lowest, Best::Highest] {
            if let Err(error) = probe_facts(path, best) {
                one_line(&error.to_string());
            }
        }
        if let Ok(mut chosen) = read_probe(path, &probe(), Best::Lowest) {
            let _ = chosen.state.read("pooler.query_tokens");
        }
    });
}

fn read_tensors(archive: &mut Archive) {
    let pickle = archive.pickle();
    let root = pickle.text_entries(pickle.root()).unwrap_or_default();
    let tensors: Vec<_> = root
        .iter()
        .flat_map(|&(_, id)| pickle.text_entries(id).unwrap_or_default())
        .chain(root.iter().copied())
        .filter_map(|(key, id)| match pickle.node(id) {
            Node::Tensor(tensor) => Some((key.to_owned(), tensor.as_ref().clone())),
            _ => None,
        })
        .take(64)
        .collect();
    for (key, tensor) in tensors {
        if let Ok(values) = archive.read(&key, &tensor) {
            assert_eq!(values.len() as u64, tensor.shape.iter().product::<u64>());
        }
    }
}

/// Manifest, recipe and cart configuration. What is valid survives being written and read again.
pub fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(manifest) = toml::from_str::<Manifest>(text)
        && manifest.validate().is_ok()
    {
        let again = toml::to_string(&manifest).expect("a valid manifest as text");
        let again: Manifest = toml::from_str(&again).expect("its own text");
        assert_eq!(manifest, again);
        assert!(again.encoder.tokens() > 0 && again.encoder.row() > 0);
    }
    if let Ok(recipe) = toml::from_str::<Recipe>(text)
        && recipe.check().is_ok()
    {
        let again = toml::to_string(&recipe).expect("a valid recipe as text");
        assert_eq!(recipe, toml::from_str(&again).expect("its own text"));
    }
    let _ = CartConfig::parse(text);
}

/// A recording, read and replayed. Checksums are made good first: a fuzzer does not find them.
pub fn recording(bytes: &[u8]) {
    let sealed = sealed(bytes);
    for bytes in [bytes, &sealed] {
        let mut reader = match RecordingReader::new(bytes) {
            Ok(reader) => reader,
            Err(error) => {
                one_line(&error.to_string());
                continue;
            }
        };
        let mut replay = match Replay::new(reader.header(), None) {
            Ok(replay) => replay,
            Err(error) => {
                one_line(&error.to_string());
                continue;
            }
        };
        loop {
            match reader.next() {
                Ok(Some(entry)) => {
                    if replay.entry(entry).is_err() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    one_line(&error.to_string());
                    break;
                }
            }
        }
    }
}

/// The recording with every checksum as it should be.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 12;
    while let Some(header) = bytes.get(at..at + 12) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let Some(payload) = bytes.get(at + 12..).and_then(|rest| rest.get(..length)) else {
            break;
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&header[..8]);
        crc.update(payload);
        let crc = crc.finalize().to_le_bytes();
        bytes[at + 8..at + 12].copy_from_slice(&crc);
        at += 12 + length;
    }
    bytes
}

fn one_line(error: &str) {
    assert!(!error.contains('\n'), "{error}");
}

fn encoder() -> Encoder {
    Encoder {
        family: "vjepa2".to_owned(),
        dim: 4,
        depth: 1,
        heads: 2,
        mlp_ratio: 1.0,
        frames: 2,
        height_px: 2,
        width_px: 2,
        tubelet_frames: 2,
        patch_px: 2,
        channels: 3,
    }
}

fn probe() -> Probe {
    Probe {
        kind: ProbeKind::Attentive,
        dim: 4,
        depth: 1,
        heads: 1,
        hidden: 4,
        last: "regressor",
        outputs: 1,
        places: Some(Places {
            views: 2,
            clips_per_view: 2,
            embedding: SlotEmbedding::Factorized,
        }),
    }
}
