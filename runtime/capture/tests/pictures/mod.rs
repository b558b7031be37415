//! Videos that OpenCV writes, and whether its GStreamer reader has what it needs.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};

use opencv::core::{CV_8UC3, Mat, Scalar, Size};
use opencv::prelude::*;
use opencv::videoio::{CAP_GSTREAMER, CAP_OPENCV_MJPEG, VideoCapture, VideoWriter};

pub const COUNT: usize = 12;
const RATE: f64 = 25.0;

/// A clip of 64x48 pixels that goes from red to blue.
pub fn motion_jpeg(folder: &Path) -> PathBuf {
    let path = folder.join("clip.avi");
    let fourcc = VideoWriter::fourcc('M', 'J', 'P', 'G').unwrap();
    let size = Size::new(64, 48);
    let name = path.to_str().unwrap();
    let mut writer =
        VideoWriter::new_with_backend(name, CAP_OPENCV_MJPEG, fourcc, RATE, size, true).unwrap();
    assert!(writer.is_opened().unwrap());
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
