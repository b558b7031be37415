//! Videos that OpenCV writes, and whether its GStreamer reader has what it needs.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};

use opencv::core::{CV_8UC3, Mat, Scalar, Size};
use opencv::prelude::*;
use opencv::videoio::{CAP_FFMPEG, CAP_GSTREAMER, CAP_OPENCV_MJPEG, VideoCapture, VideoWriter};

pub const COUNT: usize = 12;
const RATE: f64 = 25.0;

/// A clip of 64x48 pixels that goes from red to blue.
pub fn motion_jpeg(folder: &Path) -> PathBuf {
    written(folder.join("clip.avi"), CAP_OPENCV_MJPEG, *b"MJPG")
}

/// The same clip through FFmpeg: the name's ending decides what it lies in.
pub fn encoded(folder: &Path, name: &str, fourcc: [u8; 4]) -> PathBuf {
    written(folder.join(name), CAP_FFMPEG, fourcc)
}

fn written(path: PathBuf, backend: i32, fourcc: [u8; 4]) -> PathBuf {
    let [a, b, c, d] = fourcc.map(char::from);
    let fourcc = VideoWriter::fourcc(a, b, c, d).unwrap();
    let size = Size::new(64, 48);
    let name = path.to_str().unwrap();
    let mut writer =
        VideoWriter::new_with_backend(name, backend, fourcc, RATE, size, true).unwrap();
    assert!(writer.is_opened().unwrap(), "{}", path.display());
    for frame in 0..COUNT {
        let blue = frame as f64 * 20.0;
        let colour = Scalar::new(blue, 10.0, 220.0 - blue, 0.0);
        let picture = Mat::new_rows_cols_with_default(48, 64, CV_8UC3, colour).unwrap();
        writer.write(&picture).unwrap();
    }
    writer.release().unwrap();
    path
}

/// OpenCV loads GStreamer's elements when it runs: they are separate packages.
pub fn has_gstreamer_elements() -> bool {
    let pipeline = "videotestsrc num-buffers=1 ! videoconvert ! video/x-raw,format=BGR ! appsink";
    VideoCapture::from_file(pipeline, CAP_GSTREAMER)
        .and_then(|capture| capture.is_opened())
        .unwrap_or(false)
}
