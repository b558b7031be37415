//! `case.json`, and what follows from it: a recipe and the input clips.

use crate::error::ExportError;
use crate::generator;
use crate::input::{MOST_TEXT_BYTES, read_text};
use crate::recipe::{Recipe, RecipeHead};
use echocart_core::manifest::{
    Card, Encoder, FORMAT, Limits, Mask, Preprocess, Sampling, Step, Trained, VIEW, ViewRule,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const TUBELET_FRAMES: usize = 2;
const PATCH_PX: usize = 16;
const CHANNELS: usize = 3;

/// Sizes of a golden case.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Case {
    /// First part of every generated tensor's name.
    pub tag: String,
    /// Token width.
    pub dim: usize,
    /// Encoder blocks.
    pub depth: usize,
    /// Encoder attention heads.
    pub heads: usize,
    /// Encoder MLP width over token width.
    pub mlp_ratio: f64,
    /// Frames of a clip.
    pub frames: usize,
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// Attention heads of the attentive probes; no file holds them.
    pub probe_heads: Option<usize>,
    /// Blocks of the generated attentive probes, the cross-attention block included.
    pub probe_depth: Option<usize>,
    /// Classes of the generated view probe.
    pub classes: Option<usize>,
    /// Views of a multi-view probe, where its vectors do not say it.
    pub views: Option<usize>,
    /// Clips of each view, likewise.
    pub clips_per_view: Option<usize>,
    /// Tokens of a clip.
    pub tokens_per_clip: Option<usize>,
    #[serde(skip)]
    path: PathBuf,
}

impl Case {
    /// Reads `case.json` and checks what does not depend on the probes.
    ///
    /// # Errors
    /// [`ExportError::Read`], [`ExportError::Settings`].
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        let text = read_text("parity case", path, MOST_TEXT_BYTES)?;
        let wrong = |message: String| ExportError::Settings {
            what: "parity case",
            message,
            path: path.to_owned(),
        };
        let mut case: Self = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        case.path = path.to_owned();
        for (key, value) in [
            ("classes", case.classes),
            ("views", case.views),
            ("clips_per_view", case.clips_per_view),
        ] {
            if let Some(value) = value.filter(|value| !(1..=10_000).contains(value)) {
                return Err(wrong(format!("{key}: expected 1 to 10000, found {value}")));
            }
        }
        if [case.frames, case.height, case.width]
            .iter()
            .any(|&n| n > 4096)
        {
            let found = format!("{} frames of {}x{}", case.frames, case.width, case.height);
            let message = format!("frames, height and width: expected at most 4096, found {found}");
            return Err(wrong(message));
        }
        case.recipe([(VIEW.to_owned(), RecipeHead::least())].into())?;
        let tokens = case.tokens();
        match case.tokens_per_clip {
            Some(found) if found != tokens => Err(wrong(format!(
                "tokens_per_clip: expected {tokens} for {} frames of {}x{}, found {found}",
                case.frames, case.width, case.height,
            ))),
            _ => Ok(case),
        }
    }

    pub(super) fn wrong(&self, message: impl Into<String>) -> ExportError {
        ExportError::Settings {
            what: "parity case",
            message: message.into(),
            path: self.path.clone(),
        }
    }

    /// The encoder's sizes. Frames and pixels beyond the last whole tubelet are dropped.
    pub fn encoder(&self) -> Encoder {
        Encoder {
            family: "vjepa2".to_owned(),
            dim: self.dim,
            depth: self.depth,
            heads: self.heads,
            mlp_ratio: self.mlp_ratio,
            frames: self.frames / TUBELET_FRAMES * TUBELET_FRAMES,
            height_px: self.height / PATCH_PX * PATCH_PX,
            width_px: self.width / PATCH_PX * PATCH_PX,
            tubelet_frames: TUBELET_FRAMES,
            patch_px: PATCH_PX,
            channels: CHANNELS,
        }
    }

    /// Tokens of a clip.
    pub fn tokens(&self) -> usize {
        self.encoder().tokens()
    }

    /// A recipe with these sizes and heads.
    ///
    /// # Errors
    /// [`ExportError::Settings`] naming the first key that is wrong.
    pub fn recipe(&self, heads: BTreeMap<String, RecipeHead>) -> Result<Recipe, ExportError> {
        let encoder = self.encoder();
        let (width_px, height_px) = (encoder.width_px as u32, encoder.height_px as u32);
        let recipe = Recipe {
            format: FORMAT,
            id: "parity".to_owned(),
            card: Card {
                title: format!("Parity case {}", self.tag),
                text: "Made to be compared with the original model, not to be used.".to_owned(),
                trained: Trained::Untrained,
            },
            encoder,
            sampling: Sampling {
                rate_hz: 8.0,
                hop_slots: TUBELET_FRAMES,
                max_skew_millis: 60.0,
            },
            preprocess: Preprocess {
                mask: Mask::None,
                steps: vec![Step::Squash {
                    width_px,
                    height_px,
                }],
                mean: [0.0; CHANNELS],
                std: [1.0; CHANNELS],
                orientation: "none: inputs are generated".to_owned(),
            },
            view: ViewRule {
                threshold: 0.0,
                standard: Default::default(),
            },
            heads,
            limits: Limits {
                population: "none".to_owned(),
                min_fps: 8.0,
                max_fps: 240.0,
                widest_interval: None,
            },
            calibration: None,
        };
        match recipe.check() {
            Ok(()) => Ok(recipe),
            Err(error) => Err(self.wrong(error.to_string())),
        }
    }

    /// Input clip `clip` as the blocks an engine takes.
    ///
    /// # Shapes
    /// One `[tokens_per_tubelet, row]` per tubelet, row in (channel, frame, y, x) order.
    pub fn tubelets(&self, clip: usize) -> Vec<Arc<Vec<f32>>> {
        let pixels = generator::clip(&self.tag, clip, self.frames, self.height, self.width);
        let encoder = self.encoder();
        (0..encoder.tubelets())
            .map(|tubelet| Arc::new(self.tubelet(&pixels, tubelet)))
            .collect()
    }

    /// The rows of the tokens `ids` of input clip `clip`, or the id that the clip does not have.
    ///
    /// # Shapes
    /// `[ids.len(), row]`, rows as in [`Case::tubelets`].
    pub fn rows(&self, clip: usize, ids: &[usize]) -> Result<Vec<f32>, usize> {
        let (block, row) = (self.encoder().tokens_per_tubelet(), self.encoder().row());
        let tubelets = self.tubelets(clip);
        let mut rows = Vec::with_capacity(ids.len() * row);
        for &id in ids {
            let start = id % block * row;
            let tubelet = tubelets.get(id / block).ok_or(id)?;
            rows.extend_from_slice(tubelet.get(start..start + row).ok_or(id)?);
        }
        Ok(rows)
    }

    fn tubelet(&self, pixels: &[f32], tubelet: usize) -> Vec<f32> {
        let encoder = self.encoder();
        let mut rows = Vec::with_capacity(encoder.tokens_per_tubelet() * encoder.row());
        for y in (0..encoder.height_px).step_by(PATCH_PX) {
            for x in (0..encoder.width_px).step_by(PATCH_PX) {
                for plane in (0..CHANNELS).flat_map(|channel| {
                    (0..TUBELET_FRAMES)
                        .map(move |frame| channel * self.frames + tubelet * TUBELET_FRAMES + frame)
                }) {
                    for line in y..y + PATCH_PX {
                        let start = (plane * self.height + line) * self.width + x;
                        rows.extend_from_slice(&pixels[start..start + PATCH_PX]);
                    }
                }
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Case {
        Case {
            tag: "t".to_owned(),
            dim: 64,
            depth: 1,
            heads: 1,
            mlp_ratio: 4.0,
            frames: 5,
            height: 40,
            width: 50,
            probe_heads: None,
            probe_depth: None,
            classes: None,
            views: None,
            clips_per_view: None,
            tokens_per_clip: None,
            path: PathBuf::new(),
        }
    }

    #[test]
    fn rest_frames_and_pixels_are_dropped() {
        let case = case();
        assert_eq!(case.tokens(), 12);
        let tubelets = case.tubelets(0);
        assert_eq!(tubelets.len(), 2);
        assert!(tubelets.iter().all(|block| block.len() == 6 * 1536));
    }

    #[test]
    fn a_row_runs_over_channel_frame_line_and_column() {
        let case = case();
        let pixels = generator::clip("t", 1, 5, 40, 50);
        let at = |c: usize, f: usize, y: usize, x: usize| pixels[((c * 5 + f) * 40 + y) * 50 + x];
        let block = &case.tubelets(1)[1];
        let token = 4;
        let row = &block[token * 1536..(token + 1) * 1536];
        assert_eq!(row[0], at(0, 2, 16, 16));
        assert_eq!(row[1], at(0, 2, 16, 17));
        assert_eq!(row[16], at(0, 2, 17, 16));
        assert_eq!(row[256], at(0, 3, 16, 16));
        assert_eq!(row[512], at(1, 2, 16, 16));
        assert_eq!(row[1535], at(2, 3, 31, 31));
    }
}
