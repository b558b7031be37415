//! What the ordered steps do to sizes and offsets.

use super::{MAX_IMAGE_PX, MAX_SIDE_PX, PreprocessError};
use crate::manifest::{ManifestError, Step};

/// Size of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub width_px: u32,
    pub height_px: u32,
}

/// A rectangle inside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub x_px: u32,
    pub y_px: u32,
    pub size: Size,
}

impl Window {
    /// The whole of an image.
    pub fn whole(size: Size) -> Self {
        Self {
            x_px: 0,
            y_px: 0,
            size,
        }
    }

    /// The same rectangle in an image that `x_px` and `y_px` were cropped off.
    pub fn shifted(self, x_px: u32, y_px: u32) -> Self {
        Self {
            x_px: self.x_px + x_px,
            y_px: self.y_px + y_px,
            size: self.size,
        }
    }
}

/// A step whose sizes are known. Steps that change nothing have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Resize { from: Size, to: Size },
    Crop { x_px: u32, y_px: u32 },
    Blacken { size: Size },
}

/// Checks the sizes that stand in the steps themselves.
pub(super) fn check(steps: &[Step]) -> Result<(), ManifestError> {
    for step in steps {
        let (width_px, height_px) = match *step {
            Step::Squash {
                width_px,
                height_px,
            }
            | Step::CentreCrop {
                width_px,
                height_px,
            } => (width_px, height_px),
            Step::ShortSide { size_px } => (size_px, size_px),
        };
        let sides = 1..=MAX_SIDE_PX;
        if !sides.contains(&width_px) || !sides.contains(&height_px) {
            return Err(ManifestError {
                key: "preprocess.steps".to_owned(),
                expected: format!("sides of 1 to {MAX_SIDE_PX}"),
                found: format!("{width_px}x{height_px}"),
            });
        }
    }
    Ok(())
}

/// Lists what the steps, and a mask after `mask_after` of them, do to a frame of size `frame`, and
/// answers the size they leave.
pub(super) fn trace(
    steps: &[Step],
    mask_after: Option<usize>,
    frame: Size,
    ops: &mut Vec<Op>,
) -> Result<Size, PreprocessError> {
    let sides = 1..=MAX_SIDE_PX;
    if !sides.contains(&frame.width_px) || !sides.contains(&frame.height_px) {
        return Err(PreprocessError::FrameSize {
            width_px: frame.width_px,
            height_px: frame.height_px,
        });
    }
    ops.clear();
    let mut size = frame;
    for (step, at) in steps.iter().zip(0..) {
        if mask_after == Some(at) {
            ops.push(Op::Blacken { size });
        }
        match *step {
            Step::Squash {
                width_px,
                height_px,
            } => {
                size = resize(
                    size,
                    Size {
                        width_px,
                        height_px,
                    },
                    at,
                    ops,
                )?;
            }
            Step::ShortSide { size_px } => size = resize(size, short_side(size, size_px), at, ops)?,
            Step::CentreCrop {
                width_px,
                height_px,
            } => {
                if width_px > size.width_px || height_px > size.height_px {
                    return Err(PreprocessError::Crop {
                        crop_width_px: width_px,
                        crop_height_px: height_px,
                        width_px: size.width_px,
                        height_px: size.height_px,
                        step: at,
                    });
                }
                ops.push(Op::Crop {
                    x_px: half_to_even(size.width_px - width_px),
                    y_px: half_to_even(size.height_px - height_px),
                });
                size = Size {
                    width_px,
                    height_px,
                };
            }
        }
    }
    if mask_after == Some(steps.len()) {
        ops.push(Op::Blacken { size });
    }
    Ok(size)
}

fn resize(from: Size, to: Size, step: usize, ops: &mut Vec<Op>) -> Result<Size, PreprocessError> {
    if u64::from(to.width_px) * u64::from(to.height_px) > MAX_IMAGE_PX {
        return Err(PreprocessError::ImageSize {
            width_px: to.width_px,
            height_px: to.height_px,
            step,
        });
    }
    if from != to {
        ops.push(Op::Resize { from, to });
    }
    Ok(to)
}

fn short_side(size: Size, size_px: u32) -> Size {
    let scaled = |long: u32, short: u32| {
        let length = u64::from(size_px) * u64::from(long) / u64::from(short);
        u32::try_from(length).unwrap_or(u32::MAX)
    };
    let Size {
        width_px,
        height_px,
    } = size;
    if width_px.min(height_px) == size_px {
        size
    } else if width_px < height_px {
        Size {
            width_px: size_px,
            height_px: scaled(height_px, width_px),
        }
    } else {
        Size {
            width_px: scaled(width_px, height_px),
            height_px: size_px,
        }
    }
}

/// Half of `length`, ties to the even neighbour.
fn half_to_even(length: u32) -> u32 {
    let half = length / 2;
    half + (length & half & 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width_px: u32, height_px: u32) -> Size {
        Size {
            width_px,
            height_px,
        }
    }

    #[test]
    fn half_pixels_round_to_even() {
        for length in 0..2000_u32 {
            let expected = (f64::from(length) / 2.0).round_ties_even() as u32;
            assert_eq!(half_to_even(length), expected, "{length}");
        }
    }

    #[test]
    fn the_long_side_is_truncated() {
        assert_eq!(short_side(size(640, 480), 256), size(341, 256));
        assert_eq!(short_side(size(480, 640), 256), size(256, 341));
        assert_eq!(short_side(size(1016, 708), 256), size(367, 256));
        assert_eq!(short_side(size(300, 300), 256), size(256, 256));
        assert_eq!(short_side(size(999, 256), 256), size(999, 256));
    }

    #[test]
    fn a_640x480_frame_is_cropped_at_58_16() {
        let steps = [
            Step::ShortSide { size_px: 256 },
            Step::CentreCrop {
                width_px: 224,
                height_px: 224,
            },
        ];
        let mut ops = Vec::new();
        assert_eq!(
            trace(&steps, None, size(640, 480), &mut ops),
            Ok(size(224, 224))
        );
        let resize = Op::Resize {
            from: size(640, 480),
            to: size(341, 256),
        };
        assert_eq!(ops, [resize, Op::Crop { x_px: 58, y_px: 16 }]);
    }

    #[test]
    fn a_step_that_changes_nothing_is_left_out() {
        let steps = [
            Step::Squash {
                width_px: 256,
                height_px: 256,
            },
            Step::ShortSide { size_px: 256 },
        ];
        let mut ops = Vec::new();
        assert_eq!(
            trace(&steps, None, size(256, 256), &mut ops),
            Ok(size(256, 256))
        );
        assert_eq!(ops, []);
    }
}
