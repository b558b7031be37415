//! `case.json`, and what follows from it: a recipe and the input clips.

use crate::error::ExportError;
use crate::generator;
use crate::input::{MOST_TEXT_BYTES, read_text};
use crate::layout::ProbeKind;
use crate::recipe::{Recipe, RecipeHead};
use echocart_core::manifest::{Mask, 
    Card, Encoder, FORMAT, HeadOutput, LVEF, Limits, Preprocess, Sampling, Step, Trained, VIEW,
    ViewRule,
};
use serde::Deserialize;
use std::path::Path;
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
    /// Attention heads of the probes.
    pub probe_heads: usize,
    /// Blocks of the probes, the cross-attention block included.
    pub probe_depth: usize,
    /// Classes of the view probe.
    pub classes: usize,
    /// Tokens of a clip.
    pub tokens_per_clip: usize,
}

impl Case {
    /// Reads and checks `case.json`.
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
        let case: Self = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if !(1..=10_000).contains(&case.classes) {
            return Err(wrong(format!(
                "classes: expected 1 to 10000, found {}",
                case.classes
            )));
        }
        case.recipe().check().map_err(|e| wrong(e.to_string()))?;
        if case.tokens_per_clip != case.tokens() {
            let message = format!(
                "tokens_per_clip: expected {} for {} frames of {}x{}, found {}",
                case.tokens(),
                case.frames,
                case.width,
                case.height,
                case.tokens_per_clip
            );
            return Err(wrong(message));
        }
        Ok(case)
    }

    fn encoder(&self) -> Encoder {
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

    /// Tokens of a clip. Frames and pixels beyond the last whole tubelet are dropped.
    pub fn tokens(&self) -> usize {
        self.encoder().tokens()
    }

    /// A recipe with these sizes.
    pub fn recipe(&self) -> Recipe {
        let encoder = self.encoder();
        let head = |segments, output| RecipeHead {
            segments,
            probe: ProbeKind::Attentive,
            heads: Some(self.probe_heads),
            depth: Some(self.probe_depth),
            slots: None,
            output,
        };
        let labels: Vec<String> = (0..self.classes).map(|i| format!("class {i}")).collect();
        let lvef = HeadOutput::Regression {
            unit: "z".to_owned(),
            mean: 0.0,
            std: 1.0,
            required_views: labels.clone(),
            range: [-1e6, 1e6],
        };
        let (width_px, height_px) = (encoder.width_px as u32, encoder.height_px as u32);
        Recipe {
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
            view: ViewRule { threshold: 0.0 },
            heads: [
                (
                    VIEW.to_owned(),
                    head(1, HeadOutput::Classification { labels }),
                ),
                (LVEF.to_owned(), head(2, lvef)),
            ]
            .into(),
            limits: Limits {
                population: "none".to_owned(),
                min_fps: 8.0,
                max_fps: 240.0,
            },
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
            probe_heads: 1,
            probe_depth: 1,
            classes: 2,
            tokens_per_clip: 12,
        }
    }

    #[test]
    fn rest_frames_and_pixels_are_dropped() {
        let case = case();
        assert_eq!(case.tokens(), 12);
        case.recipe().check().unwrap();
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
