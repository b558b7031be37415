//! Frame grabbers and cameras: V4L2 devices and GStreamer pipelines through OpenCV.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::mpsc;
use std::time::Duration;

use echocart_core::buffer::FrameBuffer;
use echocart_core::frame::PixelFormat;
use opencv::core::{CV_8UC1, CV_8UC3, Mat};
use opencv::prelude::*;
use opencv::videoio::{
    CAP_GSTREAMER, CAP_PROP_BUFFERSIZE, CAP_PROP_FOURCC, CAP_PROP_FPS, CAP_PROP_FRAME_HEIGHT,
    CAP_PROP_FRAME_WIDTH, CAP_V4L2, VideoCapture, VideoWriter,
};

use crate::error::one_line;
use crate::live::{Device, Read};
use crate::video::{position_millis, swap_red_and_blue};
use crate::{OpenOptions, SourceError};

/// Scheme of V4L2 devices.
pub(crate) const V4L2_SCHEME: &str = "v4l2:";
/// Scheme of GStreamer pipelines.
pub(crate) const GST_SCHEME: &str = "gst:";

const V4L2_FORM: &str =
    "v4l2:/dev/v4l/by-id/NAME[,size=WxH][,fps=N][,format=FOURCC], without --assume-fps";
const GST_FORM: &str = "gst:ELEMENT ! ELEMENT, without --assume-fps";
/// How long a pipeline may take to start.
const START: Duration = Duration::from_secs(5);
/// The number under which Linux has its video devices.
const V4L2_MAJOR: u64 = 81;
/// What makes a pipeline one that ends.
const FINITE: [&str; 3] = ["num-buffers=", "filesrc", "uridecodebin"];
const SINK: &str = " ! videoconvert ! video/x-raw,format=BGR ! appsink sync=false";

/// A device or pipeline that OpenCV reads.
pub(crate) struct Camera {
    input: Input,
    capture: Option<VideoCapture>,
    picture: Mat,
    timing: String,
    period_nanos: i64,
    /// A call into GStreamer has not come back.
    hangs: bool,
}

enum Input {
    V4l2 { path: String, wish: Wish },
    Gst { pipeline: String, finite: bool },
}

/// What is asked of a device; it may give something else.
#[derive(Debug, Default, PartialEq)]
struct Wish {
    size_px: Option<(u32, u32)>,
    fps: Option<f64>,
    fourcc: Option<[char; 4]>,
}

impl Camera {
    /// The device or pipeline of a location; opens nothing yet.
    pub(crate) fn new(location: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let wrong = |expected: &'static str, found: &str| SourceError::Location {
            expected,
            found: one_line(found),
            location: one_line(location),
        };
        let input = if let Some(text) = location.strip_prefix(GST_SCHEME) {
            if options.assume_fps.is_some() || text.trim().is_empty() || text.contains('\0') {
                return Err(wrong(GST_FORM, "another form"));
            }
            Input::gst(text)
        } else {
            let text = location.strip_prefix(V4L2_SCHEME).unwrap_or(location);
            let mut parts = text.split(',');
            let path = parts.next().unwrap_or_default().to_owned();
            if options.assume_fps.is_some() || path.is_empty() {
                return Err(wrong(V4L2_FORM, "another form"));
            }
            let wish = Wish::parse(parts).map_err(|found| wrong(V4L2_FORM, found))?;
            Input::V4l2 { path, wish }
        };
        Ok(Self {
            input,
            capture: None,
            picture: Mat::default(),
            timing: String::new(),
            period_nanos: 0,
            hangs: false,
        })
    }

    /// Remembers what was negotiated.
    fn note(&mut self, capture: &VideoCapture) {
        let get = |which| capture.get(which).unwrap_or(0.0);
        let size = format!(
            "{}x{}",
            get(CAP_PROP_FRAME_WIDTH),
            get(CAP_PROP_FRAME_HEIGHT)
        );
        let fps = get(CAP_PROP_FPS);
        let known = fps.is_finite() && fps > 0.0 && fps <= 1000.0;
        self.period_nanos = if known { (1e9 / fps).round() as i64 } else { 0 };
        let rate = if known {
            format!("{fps:.2} frames/s")
        } else {
            "an unknown rate".to_owned()
        };
        let format = match &self.input {
            Input::V4l2 { .. } => format!(" {}", fourcc_words(get(CAP_PROP_FOURCC))),
            Input::Gst { .. } => String::new(),
        };
        let asked = match &self.input {
            Input::V4l2 { wish, .. } => wish.words(),
            Input::Gst { .. } => String::new(),
        };
        self.timing = format!("negotiated {size}{format} at {rate}{asked}, stamps of the driver");
    }
}

impl Device for Camera {
    fn name(&self) -> String {
        match &self.input {
            Input::V4l2 { path, .. } => path.clone(),
            Input::Gst { pipeline, .. } => one_line(pipeline),
        }
    }

    fn kind(&self) -> &'static str {
        match self.input {
            Input::V4l2 { .. } => "V4L2",
            Input::Gst { .. } => "GStreamer",
        }
    }

    fn timing(&self) -> String {
        self.timing.clone()
    }

    fn nominal_period_nanos(&self) -> i64 {
        self.period_nanos
    }

    fn connect(&mut self) -> Result<(), String> {
        self.capture = None;
        let text = |error: opencv::Error| one_line(&error.message);
        let capture = match &self.input {
            Input::V4l2 { path, wish } => {
                let kind = std::fs::metadata(path).map_err(|e| one_line(&e.to_string()))?;
                if !kind.file_type().is_char_device() || major(kind.rdev()) != V4L2_MAJOR {
                    return Err("expected a video device, found something else".to_owned());
                }
                let mut capture = VideoCapture::from_file(path, CAP_V4L2).map_err(text)?;
                wish.ask(&mut capture).map_err(text)?;
                capture
            }
            Input::Gst { pipeline, .. } => {
                if self.hangs {
                    return Err("an earlier attempt to start the pipeline still hangs".to_owned());
                }
                match start_pipeline(pipeline) {
                    Ok(started) => started.map_err(text)?,
                    Err(why) => {
                        self.hangs = true;
                        return Err(why);
                    }
                }
            }
        };
        if !capture.is_opened().map_err(text)? {
            return Err(match self.input {
                Input::V4l2 { .. } => "expected a capture device, found none that OpenCV opens",
                Input::Gst { .. } => {
                    "expected a pipeline, found none that OpenCV's GStreamer reader starts (an \
                     element or its plug-in is missing, or it gives no video)"
                }
            }
            .to_owned());
        }
        self.note(&capture);
        self.capture = Some(capture);
        Ok(())
    }

    fn read(&mut self, pixels: &mut FrameBuffer) -> Result<Read, String> {
        let Some(capture) = &mut self.capture else {
            return Err("expected an open device, found none".to_owned());
        };
        let read = capture.read(&mut self.picture);
        if !read.map_err(|error| one_line(&error.message))? {
            return match self.input {
                Input::Gst { finite: true, .. } => Ok(Read::Ended),
                Input::Gst { .. } => Err("the pipeline stopped".to_owned()),
                Input::V4l2 { .. } => Err("the device gives no frame".to_owned()),
            };
        }
        let millis = position_millis(capture);
        let (size_px, format) = copy(&self.picture, pixels.refill())?;
        Ok(Read::Frame {
            size_px,
            format,
            device_nanos: (millis > 0.0 && millis < 9e12).then(|| (millis * 1e6).round() as i64),
        })
    }
}

impl Input {
    fn gst(text: &str) -> Self {
        let mut pipeline = text.trim().to_owned();
        if !pipeline.contains("appsink") {
            pipeline.push_str(SINK);
        }
        Self::Gst {
            finite: FINITE.iter().any(|mark| pipeline.contains(mark)),
            pipeline,
        }
    }
}

impl Wish {
    /// Reads `key=value` pairs; an error is the pair that is wrong.
    fn parse<'a>(pairs: impl Iterator<Item = &'a str>) -> Result<Self, &'a str> {
        let mut wish = Self::default();
        for pair in pairs {
            let done = match pair.split_once('=') {
                Some(("size", size)) => {
                    let sides = size.split_once('x');
                    wish.size_px =
                        sides.and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
                    wish.size_px
                        .is_some_and(|(w, h)| (1..=8192).contains(&w) && (1..=8192).contains(&h))
                }
                Some(("fps", fps)) => {
                    wish.fps = fps.parse().ok();
                    wish.fps.is_some_and(|fps: f64| fps > 0.0 && fps <= 1000.0)
                }
                Some(("format", format)) => {
                    let letters: Vec<char> = format.chars().collect();
                    wish.fourcc = letters.try_into().ok().filter(|_| format.is_ascii());
                    wish.fourcc.is_some()
                }
                _ => false,
            };
            if !done {
                return Err(pair);
            }
        }
        Ok(wish)
    }

    fn ask(&self, capture: &mut VideoCapture) -> opencv::Result<()> {
        if let Some([a, b, c, d]) = self.fourcc {
            let code = VideoWriter::fourcc(a, b, c, d)?;
            capture.set(CAP_PROP_FOURCC, f64::from(code))?;
        }
        if let Some((width, height)) = self.size_px {
            capture.set(CAP_PROP_FRAME_WIDTH, f64::from(width))?;
            capture.set(CAP_PROP_FRAME_HEIGHT, f64::from(height))?;
        }
        if let Some(fps) = self.fps {
            capture.set(CAP_PROP_FPS, fps)?;
        }
        capture.set(CAP_PROP_BUFFERSIZE, 2.0)?;
        Ok(())
    }

    fn words(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.size_px.map(|(w, h)| format!("{w}x{h}")));
        words.extend(self.fourcc.map(|letters| letters.iter().collect()));
        words.extend(self.fps.map(|fps| format!("{fps} frames/s")));
        if words.is_empty() {
            return String::new();
        }
        format!(" (asked for {})", words.join(" "))
    }
}

/// Starts a pipeline on a thread of its own: OpenCV waits without end for one that lacks an element.
fn start_pipeline(pipeline: &str) -> Result<opencv::Result<VideoCapture>, String> {
    let (sender, receiver) = mpsc::channel();
    let pipeline = pipeline.to_owned();
    let start = move || {
        let _ = sender.send(VideoCapture::from_file(&pipeline, CAP_GSTREAMER));
    };
    std::thread::Builder::new()
        .name("echocart-gst-start".to_owned())
        .spawn(start)
        .map_err(|error| error.to_string())?;
    receiver.recv_timeout(START).map_err(|_| {
        let seconds = START.as_secs();
        format!("expected a pipeline, found one that does not start within {seconds} s")
    })
}

/// The driver's number in a device number.
fn major(device: u64) -> u64 {
    (device >> 8) & 0xFFF
}

fn fourcc_words(code: f64) -> String {
    let bytes = (code as i64 as u32).to_le_bytes();
    if bytes.iter().all(u8::is_ascii_graphic) {
        bytes.iter().map(|&byte| char::from(byte)).collect()
    } else {
        "of an unknown format".to_owned()
    }
}

/// Copies a picture of any size; its rows may be padded.
fn copy(
    picture: &impl MatTraitConst,
    pixels: &mut Vec<u8>,
) -> Result<((u32, u32), PixelFormat), String> {
    let text = |error: opencv::Error| one_line(&error.message);
    let side = |side: i32| u32::try_from(side).unwrap_or(0);
    let size_px = (side(picture.cols()), side(picture.rows()));
    let format = match picture.typ() {
        CV_8UC1 => PixelFormat::Gray8,
        CV_8UC3 => PixelFormat::Rgb24,
        _ => {
            let (bits, channels) = (picture.elem_size1() * 8, picture.channels());
            return Err(format!(
                "expected 8-bit frames with 1 or 3 channels, found {bits}-bit ones with {channels}"
            ));
        }
    };
    if size_px.0 == 0 || size_px.1 == 0 {
        return Err(format!(
            "expected a frame, found {}x{} pixels",
            size_px.0, size_px.1
        ));
    }
    let packed;
    let picture = if picture.is_continuous() {
        picture.data_bytes().map_err(text)?
    } else {
        packed = picture.try_clone().map_err(text)?;
        packed.data_bytes().map_err(text)?
    };
    if format == PixelFormat::Rgb24 {
        swap_red_and_blue(picture, pixels);
    } else {
        pixels.clear();
        pixels.extend_from_slice(picture);
    }
    Ok((size_px, format))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opencv::core::{CV_16UC1, Rect, Scalar};

    #[test]
    fn wishes_are_read_and_a_wrong_one_is_named() {
        let wish = Wish::parse("size=1920x1080,fps=59.94,format=YUYV".split(',')).unwrap();
        assert_eq!(wish.size_px, Some((1920, 1080)));
        assert_eq!(wish.words(), " (asked for 1920x1080 YUYV 59.94 frames/s)");
        for wrong in [
            "size=0x5",
            "size=5",
            "fps=0",
            "fps=nan",
            "format=RGB",
            "colour=red",
            "",
        ] {
            assert_eq!(Wish::parse([wrong].into_iter()), Err(wrong));
        }
    }

    #[test]
    fn padded_rows_are_packed_and_other_samples_are_refused() {
        let colour = Scalar::new(1.0, 2.0, 3.0, 0.0);
        let wide = Mat::new_rows_cols_with_default(4, 9, CV_8UC3, colour).unwrap();
        let part = wide.roi(Rect::new(1, 1, 5, 2)).unwrap();
        assert!(!part.is_continuous());
        let mut pixels = vec![9; 100];
        assert_eq!(copy(&part, &mut pixels), Ok(((5, 2), PixelFormat::Rgb24)));
        assert_eq!(pixels, [3, 2, 1].repeat(10));
        let deep = Mat::new_rows_cols_with_default(2, 2, CV_16UC1, colour).unwrap();
        let refused = copy(&deep, &mut pixels).unwrap_err();
        assert!(refused.ends_with("found 16-bit ones with 1"), "{refused}");
        assert!(copy(&Mat::default(), &mut pixels).is_err());
    }
}
