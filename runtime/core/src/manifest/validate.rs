//! What types cannot hold: checks of a manifest.

use super::{
    FORMAT, Head, HeadOutput, Manifest, Mask, Measured, Precision, ProbeKind, STANDARD_VIEWS,
    Slots, Step, Tokens, VIEW, Variant,
};
use crate::golden::MOST_CLIPS;

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

pub(super) fn wrong(
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

const SHA256_WORDS: &str = "64 lower case hex digits";

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The numbers of `major.minor.patch`.
pub(crate) fn version(text: &str) -> Option<[u32; 3]> {
    let parts: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
    parts?.try_into().ok()
}

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
        self.validate_lineage()?;
        if self.card.title.trim().is_empty() || self.card.title.contains('\n') {
            return wrong(
                "card.title",
                "one line of text",
                format!("{:?}", self.card.title),
            );
        }
        self.validate_words()?;
        self.validate_encoder()?;
        self.validate_sampling()?;
        self.validate_preprocess()?;
        if !(0.0..=1.0).contains(&self.view.threshold) {
            return wrong("view.threshold", "0 to 1", self.view.threshold);
        }
        self.validate_heads()?;
        self.validate_files()?;
        self.validate_calibration()?;
        self.validate_kept_tokens()
    }

    fn validate_lineage(&self) -> Result<(), ManifestError> {
        if let Some(parent) = self.parent.as_ref().filter(|p| !is_sha256(p)) {
            return wrong("parent", SHA256_WORDS, format!("{parent:?}"));
        }
        let Some(needed) = version(&self.min_version) else {
            let expected = "major.minor.patch";
            return wrong("min_version", expected, format!("{:?}", self.min_version));
        };
        let ours = env!("CARGO_PKG_VERSION");
        if version(ours).is_some_and(|ours| ours < needed) {
            let expected = format!("at most this echocart's version {ours}");
            return wrong("min_version", expected, &self.min_version);
        }
        Ok(())
    }

    fn validate_words(&self) -> Result<(), ManifestError> {
        for (key, text) in [
            ("checkpoint.source", &self.checkpoint.source),
            ("checkpoint.key", &self.checkpoint.key),
            ("preprocess.orientation", &self.preprocess.orientation),
            ("limits.population", &self.limits.population),
        ] {
            if text.trim().is_empty() {
                return wrong(key, "words", format!("{text:?}"));
            }
        }
        if !is_sha256(&self.checkpoint.sha256) {
            return wrong(
                "checkpoint.sha256",
                SHA256_WORDS,
                format!("{:?}", self.checkpoint.sha256),
            );
        }
        let (low, high) = (self.limits.min_fps, self.limits.max_fps);
        if !(low.is_finite() && high.is_finite() && low > 0.0 && low <= high && high <= 1000.0) {
            let found = format!("{low} and {high}");
            return wrong("limits.min_fps/max_fps", "0 < min <= max <= 1000", found);
        }
        Ok(())
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
        if !e.dim.is_multiple_of(e.heads) {
            return wrong(
                "encoder.heads",
                format!("a divisor of dim {}", e.dim),
                e.heads,
            );
        }
        if !(e.mlp_ratio > 0.0 && e.mlp_ratio <= 16.0) {
            return wrong("encoder.mlp_ratio", "above 0, at most 16", e.mlp_ratio);
        }
        if !e.frames.is_multiple_of(e.tubelet_frames) {
            let expected = format!("a multiple of tubelet_frames {}", e.tubelet_frames);
            return wrong("encoder.frames", expected, e.frames);
        }
        for (key, value) in [
            ("encoder.height_px", e.height_px),
            ("encoder.width_px", e.width_px),
        ] {
            if !value.is_multiple_of(e.patch_px) {
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
            || !s.hop_slots.is_multiple_of(self.encoder.tubelet_frames)
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
        for (at, step) in self.preprocess.steps.iter().enumerate() {
            let key = format!("preprocess.steps[{at}]");
            match *step {
                Step::Squash {
                    width_px,
                    height_px,
                }
                | Step::CentreCrop {
                    width_px,
                    height_px,
                } => {
                    if !(1..=4096).contains(&width_px) || !(1..=4096).contains(&height_px) {
                        let found = format!("{width_px}x{height_px}");
                        return wrong(key, "sides of 1 to 4096", found);
                    }
                    size = Some((width_px, height_px));
                }
                Step::ShortSide { size_px } => {
                    if !(1..=4096).contains(&size_px) {
                        return wrong(format!("{key}.size_px"), "1 to 4096", size_px);
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
        if let Mask::Boxes { after_steps, boxes } = &self.preprocess.mask {
            let steps = self.preprocess.steps.len();
            if *after_steps > steps {
                let expected = format!("0 to {steps}, the number of steps");
                return wrong("preprocess.mask.after_steps", expected, after_steps);
            }
            let inside = |b: &[f64; 4]| {
                b.iter().all(|v| (0.0..=1.0).contains(v)) && b[2] > 0.0 && b[3] > 0.0
            };
            if boxes.is_empty() || boxes.len() > 256 {
                return wrong("preprocess.mask.boxes", "1 to 256 boxes", boxes.len());
            }
            if let Some(found) = boxes.iter().find(|b| !inside(b)) {
                let expected = "x, y, width and height from 0 to 1, the last two above 0";
                return wrong("preprocess.mask.boxes", expected, format!("{found:?}"));
            }
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
        for (label, view) in &self.view.standard {
            if !labels.contains(label) {
                return wrong("view.standard", "labels of the view head", label);
            }
            if !STANDARD_VIEWS.contains(&view.as_str()) {
                let expected = format!("one of {}", STANDARD_VIEWS.join(", "));
                return wrong(format!("view.standard.{label}"), expected, view);
            }
        }
        let distinct: std::collections::BTreeSet<_> = self.view.standard.values().collect();
        if distinct.len() != self.view.standard.len() {
            return wrong("view.standard", "one label for a view", "two");
        }
        for (name, head) in &self.heads {
            let key = format!("heads.{name}");
            if !is_plain_name(name) || name.contains('.') {
                return wrong("heads", "names of letters, digits, - and _", name);
            }
            self.validate_probe(&key, head)?;
            match &head.output {
                HeadOutput::Classification { labels } => {
                    if name == VIEW && (head.segments != 1 || head.slots.is_some()) {
                        return wrong(key, "a view head of 1 segment without slots", head.segments);
                    }
                    if labels.is_empty() {
                        return wrong(format!("{key}.labels"), "at least one label", "none");
                    }
                    let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
                    if distinct.len() != labels.len() {
                        return wrong(format!("{key}.labels"), "distinct labels", "a repeated one");
                    }
                }
                HeadOutput::Regression {
                    mean,
                    std,
                    required_views,
                    range,
                    unit,
                } => {
                    if unit.trim().is_empty() {
                        return wrong(format!("{key}.unit"), "a unit", format!("{unit:?}"));
                    }
                    if !(mean.is_finite() && std.is_finite() && *std > 0.0) {
                        let found = format!("{mean}, {std}");
                        return wrong(format!("{key}.mean/std"), "finite, std above 0", found);
                    }
                    if !range.iter().all(|v| v.is_finite()) || range[0] >= range[1] {
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

    fn validate_probe(&self, key: &str, head: &Head) -> Result<(), ManifestError> {
        let attentive = head.probe == ProbeKind::Attentive;
        if head.heads == 0 || !self.encoder.dim.is_multiple_of(head.heads) {
            let expected = format!("a divisor of encoder.dim {}", self.encoder.dim);
            return wrong(format!("{key}.heads"), expected, head.heads);
        }
        if attentive != (1..=64).contains(&head.depth) {
            let expected = "1 to 64 for an attentive probe, 0 for any other";
            return wrong(format!("{key}.depth"), expected, head.depth);
        }
        let Some(slots) = &head.slots else {
            return match head.segments {
                1 | 2 => Ok(()),
                found => wrong(format!("{key}.segments"), "1 or 2", found),
            };
        };
        let count = slots.count();
        if !(1..=16).contains(&count) {
            let expected = "1 to 16 slots (views x clips_per_view)";
            return wrong(format!("{key}.slots"), expected, count);
        }
        if head.segments != count {
            let expected = format!("{count}, the number of slots");
            return wrong(format!("{key}.segments"), expected, head.segments);
        }
        let fits = |set: &Vec<usize>| {
            !set.is_empty() && set.windows(2).all(|w| w[0] < w[1]) && set.iter().all(|&s| s < count)
        };
        let distinct: std::collections::BTreeSet<_> = slots.allowed.iter().collect();
        if slots.allowed.is_empty()
            || distinct.len() != slots.allowed.len()
            || !slots.allowed.iter().all(fits)
        {
            let expected = format!("distinct ascending sets of slots below {count}");
            let found = format!("{:?}", slots.allowed);
            return wrong(format!("{key}.slots.allowed"), expected, found);
        }
        Ok(())
    }

    fn validate_files(&self) -> Result<(), ManifestError> {
        for (name, entry) in &self.files {
            if !is_plain_name(name) {
                return wrong("files", "plain names without folders", format!("{name:?}"));
            }
            if !is_sha256(&entry.sha256) {
                let key = format!("files.{name}.sha256");
                return wrong(key, SHA256_WORDS, &entry.sha256);
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
                let needed = match &head.slots {
                    None => vec![head.segments.to_string()],
                    Some(slots) => slots.allowed.iter().map(|set| Slots::key(set)).collect(),
                };
                let has =
                    |inputs: &String| v.heads.get(name).is_some_and(|h| h.contains_key(inputs));
                if let Some(missing) = needed.iter().find(|inputs| !has(inputs)) {
                    let key = format!("variants.{variant}.heads.{name}");
                    return wrong(key, format!("a graph for {missing}"), "none");
                }
            }
            self.validate_variant(variant, v)?;
        }
        if self.golden.len() > MOST_CLIPS {
            let expected = format!("at most {MOST_CLIPS} clips");
            return wrong("golden", expected, self.golden.len());
        }
        for (name, golden) in &self.golden {
            if !is_plain_name(name) || name.contains('.') {
                return wrong("golden", "names of letters, digits, - and _", name);
            }
            for file in [&golden.frames, &golden.expected] {
                if !self.files.contains_key(file) {
                    return wrong(format!("golden.{name}"), "files listed in files", file);
                }
            }
            if golden.origin.trim().is_empty() {
                return wrong(format!("golden.{name}.origin"), "words", "none");
            }
        }
        Ok(())
    }

    fn validate_variant(&self, name: &str, variant: &Variant) -> Result<(), ManifestError> {
        let key = format!("variants.{name}");
        if !is_plain_name(name) || name.contains('.') {
            return wrong("variants", "names of letters, digits, - and _", name);
        }
        if variant.providers.is_empty() {
            return wrong(format!("{key}.providers"), "at least one provider", "none");
        }
        let all = self.encoder.tokens();
        if let Tokens::Exactly(tokens) = variant.tokens
            && !(1..=all).contains(&tokens)
        {
            return wrong(
                format!("{key}.tokens"),
                format!("any, or 1 to {all}"),
                tokens,
            );
        }
        let t = &variant.tolerance;
        let fits = |v: f64| v.is_finite() && v > 0.0;
        if !fits(t.tokens_relative_rms) || !fits(t.heads) {
            let found = format!("{} and {}", t.tokens_relative_rms, t.heads);
            return wrong(format!("{key}.tolerance"), "numbers above 0", found);
        }
        if variant.measured == Measured::Reference && variant.precision != Precision::Fp32 {
            let expected = "status reference for fp32 only";
            return wrong(
                format!("{key}.measured"),
                expected,
                variant.precision.as_str(),
            );
        }
        Ok(())
    }
}
