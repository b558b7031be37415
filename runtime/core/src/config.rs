//! `configs/carts/*.toml`: everything that belongs to the site.

use crate::screen::sector::{MAX_CORNERS, Outline, Shape};
use crate::screen::{Apex, Pinned, ScreenSetup, Side};
use crate::signature::PublicKey;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

mod engine;

pub use engine::{EngineConfig, Isolation, LEAST_GPU_MEMORY, PROVIDERS, Policy};

/// A cart's configuration. Complete or not loaded: no key has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CartConfig {
    /// Which engine may serve.
    pub engine: EngineConfig,
    /// Which packages may be loaded.
    pub package: PackageConfig,
    /// Queues and windows.
    pub pipeline: PipelineConfig,
    /// The page and the WebSocket.
    pub serve: ServeConfig,
    /// How the scanner's screen lies.
    pub screen: ScreenConfig,
    /// The flight recorder; off without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorder: Option<RecorderConfig>,
}

/// How the scanner's screen lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScreenConfig {
    /// Where the probe is on the screen.
    pub apex: ApexSide,
    /// On which side of the image the scanner draws its orientation mark as this site works.
    pub marker: MarkerSide,
    /// The imaging area, where the site knows it; otherwise it is looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<AreaConfig>,
}

/// Where the probe is on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApexSide {
    /// At the top.
    Up,
    /// At the bottom.
    Down,
    /// Either: not checked.
    Any,
}

/// On which side of the image the scanner draws its orientation mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MarkerSide {
    /// Left of the probe, as a person looks at the screen.
    Left,
    /// Right of the probe.
    Right,
    /// Either: not checked.
    Any,
}

/// An imaging area that never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AreaConfig {
    /// What kind of probe draws it.
    pub shape: Shape,
    /// Three to forty corners in order, each x and y as fractions of the frame, 0 to 1.
    pub outline: Vec<[f32; 2]>,
}

impl ScreenConfig {
    /// What of the orientation is not checked, in words.
    pub fn unchecked(&self) -> Option<&'static str> {
        match (self.apex, self.marker) {
            (ApexSide::Any, MarkerSide::Any) => Some("apex and any marker"),
            (ApexSide::Any, _) => Some("apex"),
            (_, MarkerSide::Any) => Some("marker"),
            _ => None,
        }
    }

    /// The setting as the pipeline takes it.
    ///
    /// # Errors
    /// [`ConfigError`] for an outline that is none.
    pub fn setup(&self) -> Result<ScreenSetup, ConfigError> {
        let pinned = self.area.as_ref().map(|area| {
            let inside = |v: &f32| (0.0..=1.0).contains(v);
            let outline = Some(&area.outline).filter(|o| o.iter().flatten().all(inside));
            let outline = outline.and_then(|corners| Outline::new(corners));
            outline
                .filter(|o| o.area() > 0.0)
                .map(|outline| Pinned {
                    outline,
                    shape: area.shape,
                })
                .ok_or_else(|| ConfigError {
                    message: format!(
                        "screen.area.outline: expected 3 to {MAX_CORNERS} corners from 0 to 1 \
                         around some of the frame, found {:?}",
                        area.outline
                    ),
                })
        });
        Ok(ScreenSetup {
            apex: match self.apex {
                ApexSide::Up => Some(Apex::Up),
                ApexSide::Down => Some(Apex::Down),
                ApexSide::Any => None,
            },
            marker: match self.marker {
                MarkerSide::Left => Some(Side::Left),
                MarkerSide::Right => Some(Side::Right),
                MarkerSide::Any => None,
            },
            pinned: pinned.transpose()?,
        })
    }
}

/// The flight recorder: the newest frames and decisions of the exam, in memory until saved by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecorderConfig {
    /// Most memory it takes, MiB, 8 to 4096.
    pub budget_mib: usize,
    /// Folder that recordings are saved to.
    pub folder: PathBuf,
}

/// Which packages may be loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PackageConfig {
    /// Load a package without a signature by a trusted key; the page then shows a banner.
    pub allow_unsigned: bool,
    /// Ed25519 public keys whose signatures are trusted, 64 hex digits each. May be empty.
    pub trusted_keys: Vec<PublicKey>,
}

impl PackageConfig {
    /// Any package whose files are unaltered: for tools that make, show and compare packages, not
    /// for running them.
    pub const ANY: Self = Self {
        allow_unsigned: true,
        trusted_keys: Vec::new(),
    };
}

/// Queues and windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// Frames the ring between source and assembler holds, 2 to 1024.
    pub ring_frames: usize,
    /// Largest frame accepted, bytes. The pool allocates `ring_frames + 4` of the source's size.
    pub max_frame_bytes: usize,
    /// How long after its newest frame an estimate may be shown, milliseconds, 100 to 60000.
    pub valid_for_millis: u64,
    /// Longest time between the two segments of a head, milliseconds.
    pub max_segment_gap_millis: u64,
    /// Events a reader may lag behind before the oldest is dropped and counted, 16 to 65536.
    pub event_queue: usize,
}

/// The page and the WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ServeConfig {
    /// Address to listen on. Any other than a loopback address needs `remote`.
    pub address: String,
    /// JPEG quality of the page's image, 1 to 100.
    pub jpeg_quality: u8,
    /// What readers on other machines need. With it, every reader needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteConfig>,
    /// The exam: captures, checklist, summary. Without it the page is live guidance only and keeps
    /// no image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exam: Option<ExamConfig>,
}

/// The exam on the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExamConfig {
    /// Folder of this user only for what outlives a restart: numbers and decisions, no images.
    pub state_folder: PathBuf,
    /// View, signal and checklist are on at the start.
    pub guidance: bool,
    /// EF is on at the start.
    pub measurement: bool,
    /// The model's EF is hidden until the user has given their own.
    pub own_first: bool,
    /// Language until a viewer chooses another: `en` or `de`.
    pub language: String,
    /// Keys that capture, as browsers name them (`KeyboardEvent.key`); a foot switch sends one.
    pub capture_keys: Vec<String>,
    /// Keys that freeze and go on, likewise.
    pub freeze_keys: Vec<String>,
    /// How long view and signal must hold for an automatic capture, milliseconds, 0 to 60000; 0:
    /// never.
    pub auto_capture_millis: u64,
    /// Lowest signal meter for it, percent, 0 to 100.
    pub auto_capture_signal_percent: u64,
    /// Seconds without live ultrasound until it is asked whether the patient is the same, 5 to
    /// 3600.
    pub ask_after_seconds: u64,
}

impl ExamConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |message: String| Err(ConfigError { message });
        range(
            "serve.exam.auto_capture_millis",
            self.auto_capture_millis,
            0,
            60_000,
        )?;
        let signal = self.auto_capture_signal_percent;
        range("serve.exam.auto_capture_signal_percent", signal, 0, 100)?;
        range(
            "serve.exam.ask_after_seconds",
            self.ask_after_seconds,
            5,
            3600,
        )?;
        if !["en", "de"].contains(&self.language.as_str()) {
            let found = &self.language;
            return wrong(format!(
                "serve.exam.language: expected en or de, found {found:?}"
            ));
        }
        let mut keys: Vec<&String> = self.capture_keys.iter().chain(&self.freeze_keys).collect();
        let reserved = ["", "Enter", "Tab", "Escape"];
        if let Some(key) = keys.iter().find(|k| reserved.contains(&k.as_str())) {
            let expected = "keys that the page does not need itself";
            return wrong(format!(
                "serve.exam.capture_keys, freeze_keys: expected {expected}, found {key:?}"
            ));
        }
        keys.sort();
        if let Some(twice) = keys.windows(2).find(|w| w[0] == w[1]) {
            let found = twice[0];
            return wrong(format!(
                "serve.exam.capture_keys, freeze_keys: expected each key once, found {found:?} twice"
            ));
        }
        Ok(())
    }
}

/// A token and TLS, for readers on other machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// File with the token that a reader must show, 32 to 256 characters.
    pub token_file: PathBuf,
    /// PEM file with the certificate and those above it.
    pub certificate_file: PathBuf,
    /// PEM file with the certificate's private key.
    pub key_file: PathBuf,
}

/// Why a configuration does not load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What, expected, found; the caller adds the path.
    pub message: String,
}

/// The configuration of the demo, embedded.
pub const DEMO_TOML: &str = include_str!("../../../configs/carts/demo.toml");

impl CartConfig {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] for TOML that does not parse, unknown or missing keys, values out of range.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|e| ConfigError {
            message: e.to_string().trim_end().to_owned(),
        })?;
        config.validate()?;
        Ok(config)
    }

    /// The demo's configuration.
    ///
    /// # Errors
    /// Never in a released build: a test parses the embedded text.
    pub fn demo() -> Result<Self, ConfigError> {
        Self::parse(DEMO_TOML)
    }

    /// First 12 hex digits of the SHA-256 of the effective configuration.
    pub fn hash12(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        crate::hash::sha256_hex(text.as_bytes())[..12].to_owned()
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let p = &self.pipeline;
        range("pipeline.ring_frames", p.ring_frames as u64, 2, 1024)?;
        range(
            "pipeline.max_frame_bytes",
            p.max_frame_bytes as u64,
            1,
            1 << 30,
        )?;
        range("pipeline.valid_for_millis", p.valid_for_millis, 100, 60_000)?;
        range(
            "pipeline.max_segment_gap_millis",
            p.max_segment_gap_millis,
            0,
            60_000,
        )?;
        range("pipeline.event_queue", p.event_queue as u64, 16, 65_536)?;
        range("serve.jpeg_quality", self.serve.jpeg_quality.into(), 1, 100)?;
        if let Some(recorder) = &self.recorder {
            let mib = recorder.budget_mib as u64;
            range("recorder.budget_mib", mib, 8, 4096)?;
        }
        self.engine.validate()?;
        self.screen.setup()?;
        if let Some(exam) = &self.serve.exam {
            exam.validate()?;
        }
        let address: Result<std::net::SocketAddr, _> = self.serve.address.parse();
        let far = self.serve.remote.is_some();
        if !address.is_ok_and(|a| far || a.ip().is_loopback()) {
            return Err(ConfigError {
                message: format!(
                    "serve.address: expected a loopback address and port, or any with \
                     [serve.remote] (token and TLS), found {:?}",
                    self.serve.address
                ),
            });
        }
        Ok(())
    }
}

fn range(key: &str, value: u64, low: u64, high: u64) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(ConfigError {
        message: format!("{key}: expected {low} to {high}, found {value}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_demo_config_loads() {
        CartConfig::demo().unwrap();
    }

    #[test]
    fn an_unknown_key_is_named() {
        let text = DEMO_TOML.replace("ring_frames", "ring_framez");
        let error = CartConfig::parse(&text).unwrap_err();
        assert!(error.message.contains("ring_framez"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        let text = DEMO_TOML.replace("ring_frames = 32", "ring_frames = 1");
        let error = CartConfig::parse(&text).unwrap_err();
        assert_eq!(
            error.message,
            "pipeline.ring_frames: expected 2 to 1024, found 1"
        );
    }
}
