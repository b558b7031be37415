//! `package.toml`: everything that is the model's.
//!
//! No key has a default and an unknown key is an error: a package says all of it or does not load.
//! Code never repeats a size that stands here.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The manifest format this version reads and writes.
pub const FORMAT: u32 = 1;

/// `package.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Package id: lower case letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// What a person must know.
    pub card: Card,
    /// Where the weights came from.
    pub checkpoint: Checkpoint,
    /// The encoder's sizes.
    pub encoder: Encoder,
    /// Which frames make a clip.
    pub sampling: Sampling,
    /// How a frame becomes the encoder's image.
    pub preprocess: Preprocess,
    /// When the view head's answer counts.
    pub view: ViewRule,
    /// The heads, by name.
    pub heads: BTreeMap<String, Head>,
    /// What the package may be used on.
    pub limits: Limits,
    /// Precision variants, by name (`fp32`).
    pub variants: BTreeMap<String, Variant>,
    /// Every file of the package but `package.toml`, by plain name.
    pub files: BTreeMap<String, FileEntry>,
}

/// What a person must know before using the package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// One line, shown on the page all the time.
    pub title: String,
    /// The rest, any number of lines.
    pub text: String,
    /// What the weights have learnt from.
    pub trained: Trained,
}

/// What the weights have learnt from. Decides whether a number may be called a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trained {
    /// Nothing: generated weights. Outputs are DEMONSTRATION.
    Untrained,
    /// Simulated hearts: DEMONSTRATION on every source but the phantom.
    Simulated,
    /// Patient images.
    Clinical,
}

impl Trained {
    /// The word used in the manifest and in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untrained => "untrained",
            Self::Simulated => "simulated",
            Self::Clinical => "clinical",
        }
    }
}

/// Where the weights came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// File name without folder, or `generated:TAG`.
    pub source: String,
    /// SHA-256 of the file, or of the words `generated:TAG`.
    pub sha256: String,
    /// Which weights of the file (`target_encoder`).
    pub key: String,
}

/// Sizes of the encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// Always `vjepa2`: ViT with three-axis rotary positions of V-JEPA 2.
    pub family: String,
    /// Token width.
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// MLP width over token width.
    pub mlp_ratio: f64,
    /// Frames of a clip.
    pub frames: usize,
    /// Image height in pixels.
    pub height_px: usize,
    /// Image width in pixels.
    pub width_px: usize,
    /// Frames of a tubelet.
    pub tubelet_frames: usize,
    /// Side of a patch in pixels.
    pub patch_px: usize,
    /// Image channels.
    pub channels: usize,
}

impl Encoder {
    /// Tubelets of a clip.
    pub fn tubelets(&self) -> usize {
        self.frames / self.tubelet_frames
    }

    /// Tokens of one tubelet.
    pub fn tokens_per_tubelet(&self) -> usize {
        (self.height_px / self.patch_px) * (self.width_px / self.patch_px)
    }

    /// Tokens of a clip.
    pub fn tokens(&self) -> usize {
        self.tubelets() * self.tokens_per_tubelet()
    }

    /// Length of a patch row: channels x tubelet frames x patch x patch.
    pub fn row(&self) -> usize {
        self.channels * self.tubelet_frames * self.patch_px * self.patch_px
    }

    /// In words, for the page and the log.
    pub fn words(&self) -> String {
        format!(
            "ViT dim {}, depth {}, heads {}, {}x{} px, {} frames",
            self.dim, self.depth, self.heads, self.width_px, self.height_px, self.frames
        )
    }
}

/// Which frames make a clip: one per grid time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Grid rate: slot `k` is due at `k / rate_hz` seconds after the first frame.
    pub rate_hz: f64,
    /// Grid slots between the starts of two clips. A multiple of the tubelet's frames.
    pub hop_slots: usize,
    /// Largest distance of a frame from its grid time, milliseconds; beyond it the slot is a gap.
    pub max_skew_millis: f64,
}

/// How a frame becomes the encoder's image: 8-bit steps in order, then normalisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// The steps in order. The last one must leave the encoder's size.
    pub steps: Vec<Step>,
    /// Mean per channel, of pixel values divided by 255.
    pub mean: [f32; 3],
    /// Standard deviation per channel, of pixel values divided by 255.
    pub std: [f32; 3],
    /// How the training images lay, in words, for example `apex up, left ventricle on the right`.
    pub orientation: String,
}

/// One 8-bit step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Bilinear resize to a fixed size, aspect ignored.
    Squash {
        /// New width.
        width_px: u32,
        /// New height.
        height_px: u32,
    },
    /// Bilinear resize of the short side to `size_px`, aspect kept, the long side truncated.
    /// Skipped when the short side already has that size.
    ShortSide {
        /// New length of the short side.
        size_px: u32,
    },
    /// Centre crop; offsets round half to even.
    CentreCrop {
        /// New width.
        width_px: u32,
        /// New height.
        height_px: u32,
    },
}

/// When the view head's answer counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewRule {
    /// Probability from which the most probable label is a view; below it: UNCERTAIN.
    pub threshold: f32,
}

/// One head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Clips it is given in live use.
    pub segments: usize,
    /// Attention heads of the probe.
    pub heads: usize,
    /// Blocks of the probe, the cross-attention block included.
    pub depth: usize,
    /// Index of the chosen entry in the probe file's `classifiers`.
    pub classifier_index: usize,
    /// Why that entry: its `val_acc_per_head`, in words.
    pub classifier_choice: String,
    /// What it gives.
    pub output: HeadOutput,
}

/// What a head gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeadOutput {
    /// Logits over `labels`.
    Classification {
        /// Labels in order.
        labels: Vec<String>,
    },
    /// One standardised value: `value = z * std + mean`.
    Regression {
        /// Unit of the value.
        unit: String,
        /// Mean of the training targets.
        mean: f64,
        /// Standard deviation of the training targets.
        std: f64,
        /// View labels it accepts. Empty does not load.
        required_views: Vec<String>,
        /// Range it may give; outside: OUT_OF_RANGE, never clamped.
        range: [f64; 2],
    },
}

/// What the package may be used on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Who, in words.
    pub population: String,
    /// Lowest source rate the sampling was tested with, frames per second.
    pub min_fps: f64,
    /// Highest source rate the sampling was tested with, frames per second.
    pub max_fps: f64,
}

/// One precision variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Providers it is made for.
    pub providers: Vec<String>,
    /// Encoder graph file.
    pub encoder: String,
    /// Head graph files by head name, then by number of segments (`"1"`, `"2"`).
    pub heads: BTreeMap<String, BTreeMap<String, String>>,
}

/// A file and its hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, lower case hex.
    pub sha256: String,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: expected {expected}, found {found}")]
pub struct ManifestError {
    /// Dotted key.
    pub key: String,
    /// What it may be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

fn wrong(
    key: impl Into<String>,
    expected: impl Into<String>,
    found: impl ToString,
) -> Result<(), ManifestError> {
    Err(ManifestError {
        key: key.into(),
        expected: expected.into(),
        found: found.to_string(),
    })
}

/// Name of the view head.
pub const VIEW: &str = "view";
/// Name of the ejection fraction head.
pub const LVEF: &str = "lvef";

/// True for a name that stays inside the package's folder.
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

impl Manifest {
    /// Checks everything that types cannot hold.
    ///
    /// # Errors
    /// [`ManifestError`] with the first key that is wrong.
    pub fn validate(&self) -> Result<(), ManifestError> {
        if self.format != FORMAT {
            return wrong("format", FORMAT.to_string(), self.format);
        }
        let id_ok = self
            .id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
        if self.id.is_empty() || self.id.len() > 64 || !id_ok {
            return wrong("id", "1 to 64 of a-z 0-9 - _ .", format!("{:?}", self.id));
        }
        if self.card.title.trim().is_empty() || self.card.title.contains('\n') {
            return wrong("card.title", "one line of text", format!("{:?}", self.card.title));
        }
        self.validate_encoder()?;
        self.validate_sampling()?;
        self.validate_preprocess()?;
        if !(0.0..=1.0).contains(&self.view.threshold) {
            return wrong("view.threshold", "0 to 1", self.view.threshold);
        }
        self.validate_heads()?;
        self.validate_files()
    }

    fn validate_encoder(&self) -> Result<(), ManifestError> {
        let e = &self.encoder;
        if e.family != "vjepa2" {
            return wrong("encoder.family", "vjepa2", &e.family);
        }
        if e.channels != 3 {
            return wrong("encoder.channels", "3", e.channels);
        }
        for (key, value, most) in [
            ("encoder.dim", e.dim, 8192),
            ("encoder.depth", e.depth, 256),
            ("encoder.heads", e.heads, 256),
            ("encoder.frames", e.frames, 256),
            ("encoder.height_px", e.height_px, 2048),
            ("encoder.width_px", e.width_px, 2048),
            ("encoder.tubelet_frames", e.tubelet_frames, 16),
            ("encoder.patch_px", e.patch_px, 64),
        ] {
            if value == 0 || value > most {
                return wrong(key, format!("1 to {most}"), value);
            }
        }
        if e.dim % e.heads != 0 {
            return wrong("encoder.heads", format!("a divisor of dim {}", e.dim), e.heads);
        }
        if !(e.mlp_ratio > 0.0 && e.mlp_ratio <= 16.0) {
            return wrong("encoder.mlp_ratio", "above 0, at most 16", e.mlp_ratio);
        }
        if e.frames % e.tubelet_frames != 0 {
            let expected = format!("a multiple of tubelet_frames {}", e.tubelet_frames);
            return wrong("encoder.frames", expected, e.frames);
        }
        for (key, value) in [
            ("encoder.height_px", e.height_px),
            ("encoder.width_px", e.width_px),
        ] {
            if value % e.patch_px != 0 {
                return wrong(key, format!("a multiple of patch_px {}", e.patch_px), value);
            }
        }
        Ok(())
    }

    fn validate_sampling(&self) -> Result<(), ManifestError> {
        let s = &self.sampling;
        if !(s.rate_hz >= 0.5 && s.rate_hz <= 240.0) {
            return wrong("sampling.rate_hz", "0.5 to 240", s.rate_hz);
        }
        if s.hop_slots == 0
            || s.hop_slots % self.encoder.tubelet_frames != 0
            || s.hop_slots > self.encoder.frames
        {
            let expected = format!(
                "a multiple of tubelet_frames {} up to {}",
                self.encoder.tubelet_frames, self.encoder.frames
            );
            return wrong("sampling.hop_slots", expected, s.hop_slots);
        }
        let half_slot = 500.0 / s.rate_hz;
        if !(s.max_skew_millis > 0.0 && s.max_skew_millis <= half_slot) {
            let expected = format!("above 0, at most half a grid period ({half_slot} ms)");
            return wrong("sampling.max_skew_millis", expected, s.max_skew_millis);
        }
        Ok(())
    }

    fn validate_preprocess(&self) -> Result<(), ManifestError> {
        let target = (self.encoder.width_px as u32, self.encoder.height_px as u32);
        let mut size = None;
        for step in &self.preprocess.steps {
            match *step {
                Step::Squash { width_px, height_px } | Step::CentreCrop { width_px, height_px } => {
                    if !(1..=4096).contains(&width_px) || !(1..=4096).contains(&height_px) {
                        let found = format!("{width_px}x{height_px}");
                        return wrong("preprocess.steps", "sides of 1 to 4096", found);
                    }
                    size = Some((width_px, height_px));
                }
                Step::ShortSide { size_px } => {
                    if !(1..=4096).contains(&size_px) {
                        return wrong("preprocess.steps.size_px", "1 to 4096", size_px);
                    }
                    size = match size {
                        Some((w, h)) if w == h => Some((size_px, size_px)),
                        _ => None,
                    };
                }
            }
        }
        if size != Some(target) {
            let expected = format!("a last step that leaves {}x{}", target.0, target.1);
            let found = size.map_or("an open size".to_owned(), |(w, h)| format!("{w}x{h}"));
            return wrong("preprocess.steps", expected, found);
        }
        for (key, values) in [
            ("preprocess.mean", self.preprocess.mean),
            ("preprocess.std", self.preprocess.std),
        ] {
            let bad = |v: &f32| !v.is_finite() || (key.ends_with("std") && *v <= 0.0);
            if let Some(value) = values.iter().find(|v| bad(v)) {
                return wrong(key, "finite numbers, std above 0", value);
            }
        }
        Ok(())
    }

    fn validate_heads(&self) -> Result<(), ManifestError> {
        let labels = self.view_labels();
        if labels.is_empty() {
            return wrong("heads.view", "a classification head with labels", "none");
        }
        for (name, head) in &self.heads {
            let key = format!("heads.{name}");
            if !is_plain_name(name) || name.contains('.') {
                return wrong("heads", "names of letters, digits, - and _", name);
            }
            if name != VIEW && name != LVEF {
                return wrong("heads", "view and lvef in this version", name);
            }
            if !(1..=2).contains(&head.segments) {
                return wrong(format!("{key}.segments"), "1 or 2", head.segments);
            }
            if head.heads == 0 || self.encoder.dim % head.heads != 0 {
                let expected = format!("a divisor of encoder.dim {}", self.encoder.dim);
                return wrong(format!("{key}.heads"), expected, head.heads);
            }
            match &head.output {
                HeadOutput::Classification { labels } => {
                    if name != VIEW || head.segments != 1 {
                        return wrong(key, "view alone to be a classification of 1 segment", name);
                    }
                    let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
                    if distinct.len() != labels.len() {
                        return wrong(format!("{key}.labels"), "distinct labels", "a repeated one");
                    }
                }
                HeadOutput::Regression { mean, std, required_views, range, .. } => {
                    if !mean.is_finite() || !(std.is_finite() && *std > 0.0) {
                        let found = format!("{mean}, {std}");
                        return wrong(format!("{key}.mean/std"), "finite, std above 0", found);
                    }
                    if !(range[0] < range[1]) {
                        return wrong(format!("{key}.range"), "low < high", format!("{range:?}"));
                    }
                    if required_views.is_empty() {
                        return wrong(format!("{key}.required_views"), "at least one view", "none");
                    }
                    if let Some(view) = required_views.iter().find(|v| !labels.contains(v)) {
                        let expected = "labels of the view head";
                        return wrong(format!("{key}.required_views"), expected, view);
                    }
                }
            }
        }
        Ok(())
    }

    fn validate_files(&self) -> Result<(), ManifestError> {
        for (name, entry) in &self.files {
            if !is_plain_name(name) {
                return wrong("files", "plain names without folders", format!("{name:?}"));
            }
            if entry.sha256.len() != 64
                || !entry.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            {
                let key = format!("files.{name}.sha256");
                return wrong(key, "64 lower case hex digits", &entry.sha256);
            }
        }
        if self.variants.is_empty() {
            return wrong("variants", "at least one", "none");
        }
        for (variant, v) in &self.variants {
            let graphs = v.heads.values().flat_map(|by| by.values());
            for file in std::iter::once(&v.encoder).chain(graphs) {
                if !self.files.contains_key(file) {
                    let key = format!("variants.{variant}");
                    return wrong(key, "graphs listed in files", file);
                }
            }
            for (name, head) in &self.heads {
                let segments = head.segments.to_string();
                if v.heads.get(name).is_none_or(|by| !by.contains_key(&segments)) {
                    let key = format!("variants.{variant}.heads.{name}");
                    return wrong(key, format!("a graph for {segments} segment(s)"), "none");
                }
            }
        }
        Ok(())
    }

    /// Labels of the view head, empty without one.
    pub fn view_labels(&self) -> &[String] {
        match self.heads.get(VIEW).map(|h| &h.output) {
            Some(HeadOutput::Classification { labels }) => labels,
            _ => &[],
        }
    }
}
