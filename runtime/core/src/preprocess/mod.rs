//! One frame into its half of a tubelet's patch rows, by the manifest's ordered 8-bit steps.
//!
//! Guarantees: after the first frame of a geometry, [`Preprocessor::frame_into`] allocates nothing,
//! locks nothing and calls no system function; on an error the block is untouched. Only pixels
//! that survive the later steps are computed. A mask's boxes are black in the image between two
//! steps, so that a later resize blends them with their surroundings. Not offered: antialiasing (the model was trained
//! without). BGRA32, YUY2 and NV12 become RGB24 first.

mod across;
mod blackout;
mod colour;
mod patch;
mod resize;
mod steps;
mod tokens;

use crate::frame::{FrameMeta, PixelFormat, PixelLayout};
use crate::manifest::{Encoder, ManifestError, Preprocess, Step};
use blackout::Blackout;
pub(crate) use colour::rgb as ycbcr_to_rgb;
use patch::PatchWriter;
use resize::{Source, Stage, View};
use steps::{Op, Size, Window};

/// Longest side of a frame, in pixels.
pub const MAX_SIDE_PX: u32 = 16_384;

/// Largest image a step may leave, in pixels.
pub const MAX_IMAGE_PX: u64 = 64_000_000;

/// Why a frame cannot be preprocessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessError {
    /// The frame has no pixels or is beyond [`MAX_SIDE_PX`].
    #[error("frame size: expected sides of 1 to {MAX_SIDE_PX} px, found {width_px}x{height_px}")]
    FrameSize {
        /// Width given.
        width_px: u32,
        /// Height given.
        height_px: u32,
    },
    /// Chroma that covers two pixels lies across the edge.
    #[error("frame size: expected even sides for {format}, found {width_px}x{height_px}")]
    Odd {
        /// The format.
        format: PixelFormat,
        /// Width given.
        width_px: u32,
        /// Height given.
        height_px: u32,
    },
    /// A resize would leave an image beyond [`MAX_IMAGE_PX`].
    #[error(
        "image size: expected at most {MAX_IMAGE_PX} px, found {width_px}x{height_px}, \
         preprocess.steps[{step}]"
    )]
    ImageSize {
        /// Width the step would leave.
        width_px: u32,
        /// Height the step would leave.
        height_px: u32,
        /// Index of the step.
        step: usize,
    },
    /// A crop is larger than the image it is taken from.
    #[error(
        "centre crop: expected an image of at least {crop_width_px}x{crop_height_px}, \
         found {width_px}x{height_px}, preprocess.steps[{step}]"
    )]
    Crop {
        /// Width of the crop.
        crop_width_px: u32,
        /// Height of the crop.
        crop_height_px: u32,
        /// Width of the image.
        width_px: u32,
        /// Height of the image.
        height_px: u32,
        /// Index of the step.
        step: usize,
    },
    /// The last step does not leave the encoder's image.
    #[error(
        "encoder image: expected {expected_width_px}x{expected_height_px}, \
         found {width_px}x{height_px} after the last of preprocess.steps"
    )]
    FinalSize {
        /// The encoder's width.
        expected_width_px: u32,
        /// The encoder's height.
        expected_height_px: u32,
        /// Width left.
        width_px: u32,
        /// Height left.
        height_px: u32,
    },
    /// A row is longer than the stride.
    #[error("row stride: expected at least {expected} bytes, found {found}")]
    Stride {
        /// Bytes of a row without padding.
        expected: usize,
        /// Stride given.
        found: usize,
    },
    /// The buffer ends before the last row does.
    #[error("frame pixels: expected at least {expected} bytes, found {found}")]
    Pixels {
        /// Bytes up to the end of the last row.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The block is not one tubelet.
    #[error("tubelet block: expected {expected} values, found {found}")]
    Block {
        /// Values of a tubelet.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// The tubelet has no such frame.
    #[error("frame in tubelet: expected below {expected}, found {found}")]
    FrameInTubelet {
        /// Frames of a tubelet.
        expected: usize,
        /// Index given.
        found: usize,
    },
}

/// Executes a manifest's steps on frames of one geometry at a time.
#[derive(Debug, Clone)]
pub struct Preprocessor {
    steps: Vec<Step>,
    mask: Option<Masking>,
    image: Size,
    writer: PatchWriter,
    geometry: Option<(Size, PixelFormat)>,
    ops: Vec<Op>,
    stages: Vec<Stage>,
    used_stages: usize,
    window: Window,
    line: Vec<u8>,
    /// The frame as RGB24, when it comes in another format with colours.
    rgb: Vec<u8>,
}

/// The mask, and where it comes in.
#[derive(Debug, Clone)]
struct Masking {
    after_steps: usize,
    /// The resize that reads the blackened image; none for the encoder's image.
    read_by: Option<usize>,
    blackout: Blackout,
}

impl Preprocessor {
    /// Takes steps, normalisation and sizes from a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] for sizes no frame could be brought to.
    pub fn new(preprocess: &Preprocess, encoder: &Encoder) -> Result<Self, ManifestError> {
        steps::check(&preprocess.steps)?;
        let mask = Blackout::new(&preprocess.mask, preprocess.steps.len())?;
        let writer = PatchWriter::new(preprocess, encoder)?;
        let image = Size {
            width_px: encoder.width_px as u32,
            height_px: encoder.height_px as u32,
        };
        Ok(Self {
            steps: preprocess.steps.clone(),
            mask: mask.map(|(after_steps, blackout)| Masking {
                after_steps,
                read_by: None,
                blackout,
            }),
            image,
            writer,
            geometry: None,
            ops: Vec::new(),
            stages: Vec::new(),
            used_stages: 0,
            window: Window::whole(image),
            line: Vec::new(),
            rgb: Vec::new(),
        })
    }

    /// Computes source indices and weights for a frame geometry, keeping the buffers.
    ///
    /// # Errors
    /// [`PreprocessError`] for a size the steps cannot bring to the encoder's image. No geometry
    /// is prepared then.
    pub fn prepare(
        &mut self,
        width_px: u32,
        height_px: u32,
        format: PixelFormat,
    ) -> Result<(), PreprocessError> {
        let frame = Size {
            width_px,
            height_px,
        };
        if self.geometry == Some((frame, format)) {
            return Ok(());
        }
        self.geometry = None;
        let (across, down) = format.granule_px();
        if !width_px.is_multiple_of(across) || !height_px.is_multiple_of(down) {
            return Err(PreprocessError::Odd {
                format,
                width_px,
                height_px,
            });
        }
        let bytes = match format {
            PixelFormat::Gray8 => 1,
            _ => 3,
        };
        let mask_after = self.mask.as_ref().map(|m| m.after_steps);
        let left = steps::trace(&self.steps, mask_after, frame, &mut self.ops)?;
        if left != self.image {
            return Err(PreprocessError::FinalSize {
                expected_width_px: self.image.width_px,
                expected_height_px: self.image.height_px,
                width_px: left.width_px,
                height_px: left.height_px,
            });
        }
        let resizes = self
            .ops
            .iter()
            .filter(|op| matches!(op, Op::Resize { .. }))
            .count();
        if self.stages.len() < resizes {
            self.stages.resize_with(resizes, Stage::default);
        }
        let mut window = Window::whole(left);
        let mut stages = self.stages[..resizes].iter_mut().enumerate().rev();
        let mut read_by = None;
        for op in self.ops.iter().rev() {
            match *op {
                Op::Crop { x_px, y_px } => window = window.shifted(x_px, y_px),
                Op::Resize { from, to } => {
                    if let Some((at, stage)) = stages.next() {
                        window = stage.prepare(from, to, window, bytes);
                        read_by = Some(at);
                    }
                }
                Op::Blacken { size } => {
                    if let Some(mask) = &mut self.mask {
                        mask.read_by = read_by;
                        mask.blackout.prepare(size, window, bytes);
                    }
                }
            }
        }
        if let Some((_, inner)) = self.stages[..resizes].split_last_mut() {
            for stage in inner {
                stage.hold_image();
            }
        }
        self.used_stages = resizes;
        self.window = window;
        self.line.resize(self.image.width_px as usize * bytes, 0);
        self.geometry = Some((frame, format));
        Ok(())
    }

    /// Writes frame `frame_in_tubelet` of a tubelet into `block`, preparing its geometry if it is
    /// not the last one's.
    ///
    /// # Shapes
    /// - `pixels`: rows from top to bottom, `row_stride_bytes` apart; the last row needs no padding.
    /// - `block`: `[tokens_per_tubelet, row]`, row in (channel, frame in tubelet, y, x) order. Only
    ///   the values of this frame are written. A gray frame fills all channels.
    ///
    /// # Units
    /// Input 0..=255; output `(x / 255 - mean) / std`, no dimension.
    ///
    /// # Errors
    /// [`PreprocessError`]; `block` is then untouched.
    ///
    /// # Real-time
    /// No allocation, lock or system call once the geometry is prepared.
    pub fn frame_into(
        &mut self,
        pixels: &[u8],
        row_stride_bytes: usize,
        meta: &FrameMeta,
        frame_in_tubelet: usize,
        block: &mut [f32],
    ) -> Result<(), PreprocessError> {
        let layout = PixelLayout {
            stride_bytes: row_stride_bytes,
            chroma_offset_bytes: row_stride_bytes.saturating_mul(meta.height_px as usize),
        };
        self.layout_into(pixels, layout, meta, frame_in_tubelet, block)
    }

    /// As [`Preprocessor::frame_into`] for rows and planes that lie anywhere.
    ///
    /// # Errors
    /// [`PreprocessError`]; `block` is then untouched.
    ///
    /// # Real-time
    /// As [`Preprocessor::frame_into`].
    pub fn layout_into(
        &mut self,
        pixels: &[u8],
        layout: PixelLayout,
        meta: &FrameMeta,
        frame_in_tubelet: usize,
        block: &mut [f32],
    ) -> Result<(), PreprocessError> {
        self.prepare(meta.width_px, meta.height_px, meta.format)?;
        let row_bytes = meta.row_bytes();
        if layout.stride_bytes < row_bytes {
            return Err(PreprocessError::Stride {
                expected: row_bytes,
                found: layout.stride_bytes,
            });
        }
        let needed_bytes = usize::try_from(layout.needed_bytes(meta)).unwrap_or(usize::MAX);
        if pixels.len() < needed_bytes {
            return Err(PreprocessError::Pixels {
                expected: needed_bytes,
                found: pixels.len(),
            });
        }
        self.writer.check(frame_in_tubelet, block)?;
        match meta.format {
            PixelFormat::Gray8 => {
                self.run::<1>(pixels, layout.stride_bytes, frame_in_tubelet, block);
            }
            PixelFormat::Rgb24 => {
                self.run::<3>(pixels, layout.stride_bytes, frame_in_tubelet, block);
            }
            PixelFormat::Bgra32 | PixelFormat::Yuy2 | PixelFormat::Nv12 => {
                let mut rgb = std::mem::take(&mut self.rgb);
                colour::rgb24(pixels, layout, meta, &mut rgb);
                let stride = meta.width_px as usize * 3;
                self.run::<3>(&rgb, stride, frame_in_tubelet, block);
                self.rgb = rgb;
            }
        }
        Ok(())
    }

    fn run<const BYTES: usize>(
        &mut self,
        pixels: &[u8],
        stride_bytes: usize,
        frame_in_tubelet: usize,
        block: &mut [f32],
    ) {
        let frame = View::of_frame(pixels, stride_bytes, self.window, BYTES);
        let rows = self.image.height_px as usize;
        let blackout = |read_by: Option<usize>| {
            let mask = self.mask.as_ref().filter(|m| m.read_by == read_by);
            mask.map(|m| &m.blackout)
        };
        let of_image = blackout(None);
        let Some((last, inner)) = self.stages[..self.used_stages].split_last_mut() else {
            let source = Source {
                view: frame,
                blackout: of_image,
            };
            for y in 0..rows {
                let row = source.row(y, &mut self.line);
                self.writer.write::<BYTES>(y, row, frame_in_tubelet, block);
            }
            return;
        };
        let (mut view, last_at) = (frame, inner.len());
        for (at, stage) in inner.iter_mut().enumerate() {
            let blackout = blackout(Some(at));
            stage.fill_image::<BYTES>(Source { view, blackout });
            view = stage.view();
        }
        let source = Source {
            view,
            blackout: blackout(Some(last_at)),
        };
        last.restart();
        for y in 0..rows {
            last.row::<BYTES>(source, y, &mut self.line);
            if let Some(blackout) = of_image {
                blackout.apply(y, &mut self.line);
            }
            self.writer
                .write::<BYTES>(y, &self.line, frame_in_tubelet, block);
        }
    }
}

#[cfg(test)]
mod tests;
