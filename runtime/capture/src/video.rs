//! Video files through OpenCV.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use echocart_core::buffer::FrameBuffer;
use echocart_core::frame::{FrameMeta, PixelFormat};
use opencv::core::Mat;
use opencv::prelude::*;
use opencv::videoio::{
    CAP_FFMPEG, CAP_PROP_FPS, CAP_PROP_FRAME_COUNT, CAP_PROP_FRAME_HEIGHT, CAP_PROP_FRAME_WIDTH,
    CAP_PROP_POS_MSEC, VideoCapture,
};

use crate::container::Container;
use crate::error::one_line;
use crate::location::file_name;
use crate::source::frame_meta;
use crate::{Delivery, OpenOptions, Polled, Source, SourceError, SourceInfo, Stamps};

const NANOS_PER_MILLI: f64 = 1e6;
const NANOS_PER_SECOND: f64 = 1e9;
const MAX_FPS: f64 = 1000.0;
const MAX_FRAME_BYTES: f64 = (1_u64 << 30) as f64;
/// Frames looked at on opening to see whether the container's times can be used.
const PROBE_FRAMES: usize = 64;
/// Frames that a decoder may still hold back when the file's data ends.
const HELD_BACK_FRAMES: usize = 32;
/// Edit lists may hide frames that the container counts.
const MIN_SHARE_DECODED: f64 = 0.9;

/// A video file.
pub(crate) struct VideoSource {
    path: PathBuf,
    container: Container,
    capture: VideoCapture,
    decoded: Mat,
    stream: Stream,
    clock: Clock,
    next_frame: u64,
    last_nanos: i64,
}

/// What the container says about its video stream.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stream {
    width_px: u32,
    height_px: u32,
    /// Announced number of frames, where the container counts them.
    frames: Option<u64>,
    /// Announced rate, where there is one.
    fps: Option<f64>,
}

/// Where frame times come from.
#[derive(Debug, Clone, PartialEq)]
struct Clock {
    /// The container's time of the first frame; nothing where its times are not used.
    first_millis: Option<f64>,
    period_nanos: f64,
    words: String,
}

impl VideoSource {
    /// Opens a video file and looks at its first frames.
    pub(crate) fn open(
        path: &Path,
        container: Container,
        options: &OpenOptions,
    ) -> Result<Self, SourceError> {
        let (mut probe, stream) = open_capture(path, container)?;
        let clock = Clock::probe(&mut probe, stream, options, path)?;
        let (capture, _) = open_capture(path, container)?;
        Ok(Self {
            path: path.to_owned(),
            container,
            capture,
            decoded: Mat::default(),
            stream,
            clock,
            next_frame: 0,
            last_nanos: 0,
        })
    }

    fn nanos(&self) -> Result<i64, SourceError> {
        let frame = self.next_frame;
        if frame == 0 {
            return Ok(0);
        }
        let Some(first_millis) = self.clock.first_millis else {
            return Ok((self.clock.period_nanos * frame as f64).round() as i64);
        };
        let millis = position_millis(&self.capture);
        let found_nanos = ((millis - first_millis) * NANOS_PER_MILLI).round() as i64;
        if found_nanos > self.last_nanos {
            return Ok(found_nanos);
        }
        if millis == 0.0 {
            // OpenCV 4.6 has no time for frames that the decoder still held at the end.
            return Ok(self.last_nanos + self.clock.period_nanos.round() as i64);
        }
        Err(SourceError::FrameTime {
            frame,
            previous_nanos: self.last_nanos,
            found_nanos,
            path: self.path.clone(),
        })
    }

    fn end(&self) -> Result<Option<FrameMeta>, SourceError> {
        match self.stream.frames {
            Some(frames) if (self.next_frame as f64) < frames as f64 * MIN_SHARE_DECODED => {
                Err(SourceError::Video {
                    expected: format!("{frames} frames"),
                    found: format!("the end after {}", self.next_frame),
                    path: self.path.clone(),
                })
            }
            _ => Ok(None),
        }
    }
}

impl Source for VideoSource {
    fn describe(&self) -> SourceInfo {
        SourceInfo {
            name: file_name(&self.path),
            kind: "video",
            delivery: Delivery::OnDemand,
            stamps: Stamps::Exact,
            width_px: self.stream.width_px,
            height_px: self.stream.height_px,
            format: PixelFormat::Rgb24,
            frames: self.stream.frames,
            nominal_period_nanos: self.clock.period_nanos.round() as i64,
            timing: self.clock.words.clone(),
        }
    }

    fn next(&mut self, pixels: &mut Vec<u8>) -> Result<Option<FrameMeta>, SourceError> {
        let failed = |error: opencv::Error| decode_error(self.next_frame, &error, &self.path);
        if !self.capture.read(&mut self.decoded).map_err(failed)? {
            return self.end();
        }
        let capture_nanos = self.nanos()?;
        let meta = frame_meta(
            (self.stream.width_px, self.stream.height_px),
            PixelFormat::Rgb24,
            capture_nanos,
        );
        let size_px = (self.stream.width_px, self.stream.height_px);
        let bytes = bgr_bytes(&self.decoded, size_px).map_err(|found| SourceError::FrameShape {
            frame: self.next_frame,
            expected: format!("{}x{} with 3 channels", meta.width_px, meta.height_px),
            found,
            path: self.path.clone(),
        })?;
        swap_red_and_blue(bytes, pixels);
        self.last_nanos = capture_nanos;
        self.next_frame += 1;
        Ok(Some(meta))
    }

    fn poll(&mut self, pixels: &mut FrameBuffer, _: Duration) -> Result<Polled, SourceError> {
        self.next(pixels.refill()).map(Polled::exact)
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        let (capture, stream) = open_capture(&self.path, self.container)?;
        if stream != self.stream {
            return Err(SourceError::Video {
                expected: format!("the same file again ({:?})", self.stream),
                found: format!("{stream:?}"),
                path: self.path.clone(),
            });
        }
        self.capture = capture;
        self.next_frame = 0;
        self.last_nanos = 0;
        Ok(())
    }
}

impl Clock {
    /// Uses the container's times if they rise strictly over the first frames, else its rate.
    fn probe(
        capture: &mut VideoCapture,
        stream: Stream,
        options: &OpenOptions,
        path: &Path,
    ) -> Result<Self, SourceError> {
        let mut times = Vec::with_capacity(PROBE_FRAMES);
        let mut ended = false;
        let mut held_back = false;
        while !ended
            && (times.len() < PROBE_FRAMES
                || (held_back && times.len() <= PROBE_FRAMES + HELD_BACK_FRAMES))
        {
            let frame = times.len() as u64;
            ended = !capture
                .grab()
                .map_err(|error| decode_error(frame, &error, path))?;
            if !ended {
                let millis = position_millis(capture);
                held_back = !times.is_empty() && millis == 0.0;
                times.push(millis);
            }
        }
        if times.is_empty() {
            return Err(SourceError::Video {
                expected: "at least one frame".to_owned(),
                found: "none that decodes".to_owned(),
                path: path.to_owned(),
            });
        }
        if let Some(clock) = Self::from_times(&times, ended) {
            return Ok(clock);
        }
        let (fps, word) = match (stream.fps, options.assume_fps) {
            (Some(fps), _) => (fps, "frame rate of the container"),
            (None, Some(fps)) => (fps, "assumed"),
            (None, None) => {
                return Err(SourceError::NoTiming {
                    expected: "frame times or a frame rate",
                    path: path.to_owned(),
                });
            }
        };
        Ok(Self {
            first_millis: None,
            period_nanos: NANOS_PER_SECOND / fps,
            words: format!("{word}, {fps} frames/s"),
        })
    }

    fn from_times(times: &[f64], ended: bool) -> Option<Self> {
        let trailing = times
            .iter()
            .skip(1)
            .rev()
            .take_while(|&&millis| millis == 0.0)
            .count();
        if trailing > 0 && (!ended || trailing > HELD_BACK_FRAMES) {
            return None;
        }
        let known = times.get(..times.len() - trailing)?;
        let mut steps: Vec<f64> = known
            .windows(2)
            .filter_map(|pair| Some(pair.last()? - pair.first()?))
            .collect();
        if !steps.iter().all(|&step| step >= 1000.0 / MAX_FPS) {
            return None;
        }
        steps.sort_by(f64::total_cmp);
        let median = *steps.get(steps.len() / 2)?;
        let (low, high) = (steps.first()?, steps.last()?);
        Some(Self {
            first_millis: known.first().copied(),
            period_nanos: median * NANOS_PER_MILLI,
            words: format!(
                "frame times of the container, {low:.1} to {high:.1} ms, the median step where the \
                 decoder has none"
            ),
        })
    }
}

fn open_capture(path: &Path, container: Container) -> Result<(VideoCapture, Stream), SourceError> {
    let io_error = |error| SourceError::Io {
        error,
        path: path.to_owned(),
    };
    let broken = |expected: &str, found: String| SourceError::Video {
        expected: expected.to_owned(),
        found,
        path: path.to_owned(),
    };
    let mut file = File::open(path).map_err(io_error)?;
    if let Some(incomplete) = container.incomplete(&mut file).map_err(io_error)? {
        return Err(broken(&incomplete.expected, incomplete.found));
    }
    // A bare name with a colon in it would be taken for a protocol.
    let absolute = std::path::absolute(path).map_err(io_error)?;
    let Some(name) = absolute.to_str() else {
        return Err(broken("a path in UTF-8", "other bytes".to_owned()));
    };
    let opencv_error =
        |error: opencv::Error| broken("a stream that OpenCV decodes", one_line(&error.message));
    let capture = VideoCapture::from_file(name, CAP_FFMPEG).map_err(opencv_error)?;
    if !capture.is_opened().map_err(opencv_error)? {
        let found = "none that OpenCV's FFmpeg reader opens".to_owned();
        return Err(broken("a video stream", found));
    }
    let property = |which| capture.get(which).unwrap_or(0.0);
    let (width, height) = (
        property(CAP_PROP_FRAME_WIDTH),
        property(CAP_PROP_FRAME_HEIGHT),
    );
    if !(width >= 1.0 && height >= 1.0 && width * height * 3.0 <= MAX_FRAME_BYTES) {
        return Err(broken(
            "frames of at most 1 GiB",
            format!("{width} by {height}"),
        ));
    }
    let count = property(CAP_PROP_FRAME_COUNT);
    let fps = property(CAP_PROP_FPS);
    let stream = Stream {
        width_px: width as u32,
        height_px: height as u32,
        frames: (container.counts_frames() && count >= 1.0).then_some(count as u64),
        fps: (fps.is_finite() && fps > 0.0 && fps <= MAX_FPS).then_some(fps),
    };
    Ok((capture, stream))
}

/// Time of the frame grabbed last; 0 where there is none.
pub(crate) fn position_millis(capture: &VideoCapture) -> f64 {
    capture
        .get(CAP_PROP_POS_MSEC)
        .ok()
        .filter(|millis| millis.is_finite())
        .unwrap_or(0.0)
}

fn decode_error(frame: u64, error: &opencv::Error, path: &Path) -> SourceError {
    SourceError::Decode {
        frame,
        codec: "a video frame".to_owned(),
        found: one_line(&error.message),
        path: path.to_owned(),
    }
}

/// The bytes of a picture of a width and height, three for each pixel.
///
/// # Errors
/// The shape found instead.
pub(crate) fn bgr_bytes(picture: &Mat, size_px: (u32, u32)) -> Result<&[u8], String> {
    let found = || {
        format!(
            "{}x{} with {} channels",
            picture.cols(),
            picture.rows(),
            picture.channels()
        )
    };
    let fits = i64::from(picture.cols()) == i64::from(size_px.0)
        && i64::from(picture.rows()) == i64::from(size_px.1)
        && picture.typ() == opencv::core::CV_8UC3;
    let bytes = picture
        .data_bytes()
        .map_err(|error| one_line(&error.message))?;
    if !fits || bytes.len() as u64 != u64::from(size_px.0) * u64::from(size_px.1) * 3 {
        return Err(found());
    }
    Ok(bytes)
}

/// Copies pixels of three bytes with the first and the third exchanged.
pub(crate) fn swap_red_and_blue(bytes: &[u8], pixels: &mut Vec<u8>) {
    pixels.clear();
    pixels.resize(bytes.len(), 0);
    swap_red_and_blue_into(bytes, pixels);
}

/// The same into pixels of that length.
pub(crate) fn swap_red_and_blue_into(bytes: &[u8], pixels: &mut [u8]) {
    let out = pixels.as_chunks_mut::<3>().0.iter_mut();
    for (out, &[blue, green, red]) in out.zip(bytes.as_chunks::<3>().0) {
        *out = [red, green, blue];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rising_times_are_used_and_held_back_frames_are_allowed_at_the_end_only() {
        let clock = Clock::from_times(&[0.0, 40.0, 90.0, 130.0, 0.0, 0.0], true).unwrap();
        assert_eq!(clock.period_nanos, 40e6);
        assert!(clock.words.contains("40.0 to 50.0 ms"), "{}", clock.words);
        assert_eq!(Clock::from_times(&[0.0, 40.0, 0.0], false), None);
        assert_eq!(Clock::from_times(&[0.0, 40.0, 30.0, 80.0], true), None);
        assert_eq!(Clock::from_times(&[0.0, 0.0, 0.0], true), None);
        assert_eq!(
            Clock::from_times(&[5.0, 45.0], true).unwrap().first_millis,
            Some(5.0)
        );
        assert_eq!(Clock::from_times(&[0.0], true), None);
    }
}
