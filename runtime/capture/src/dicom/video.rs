//! A video stream inside a DICOM file, through OpenCV's FFmpeg.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;

use opencv::core::Mat;
use opencv::prelude::*;
use opencv::videoio::{
    CAP_FFMPEG, CAP_PROP_FORMAT, CAP_PROP_FRAME_HEIGHT, CAP_PROP_FRAME_WIDTH, VideoCapture,
};
use rustix::fs::{MemfdFlags, SealFlags};

use super::header::Header;
use crate::container::Container;
use crate::error::one_line;
use crate::location::first_bytes;
use crate::video::{bgr_bytes, swap_red_and_blue_into};

const HEAD_BYTES: u64 = 1024;

/// What was expected and what was found.
type Wrong = (String, String);

/// All frames of a cine as one video stream; it lies in a memory file that nobody can change, and
/// frames are decoded as they are asked for.
pub(super) struct VideoStream {
    /// Keeps what `name` leads to.
    _memory: File,
    name: String,
    capture: VideoCapture,
    decoded: Mat,
}

impl VideoStream {
    /// Joins the fragments and checks size and number of the frames, without decoding them where
    /// the stream has a packet for each.
    ///
    /// # Errors
    /// What was expected of the stream and what was found.
    ///
    /// # Source
    /// DICOM PS3.5 8.2.5 to 8.2.11 and A.4: the stream may be cut into fragments anywhere, and may
    /// be bare or in MPEG-TS or MP4.
    pub(super) fn from_fragments(fragments: &[Vec<u8>], header: &Header) -> Result<Self, Wrong> {
        let memory = memory(fragments)
            .and_then(|mut memory| Ok((checked_head(&mut memory)?, memory)))
            .map_err(|error| {
                (
                    "memory for the stream".to_owned(),
                    one_line(&error.to_string()),
                )
            })?;
        let (checked, memory) = memory;
        checked?;
        let name = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let capture = opened(&name).map_err(|found| ("a video stream".to_owned(), found))?;
        let property = |which| capture.get(which).unwrap_or(0.0);
        let size = (
            property(CAP_PROP_FRAME_WIDTH),
            property(CAP_PROP_FRAME_HEIGHT),
        );
        let (width_px, height_px) = (header.width_px, header.height_px);
        if size != (f64::from(width_px), f64::from(height_px)) {
            return Err((
                format!("frames of {width_px}x{height_px}"),
                format!("a stream of {}x{}", size.0, size.1),
            ));
        }
        check_count(&name, header.frames)?;
        Ok(Self {
            _memory: memory,
            name,
            capture,
            decoded: Mat::default(),
        })
    }

    /// Decodes the next frame, which is frame `frame` counted from 0.
    ///
    /// # Errors
    /// What was found instead.
    pub(super) fn read(
        &mut self,
        frame: u32,
        header: &Header,
        pixels: &mut [u8],
    ) -> Result<(), String> {
        let there = self.capture.read(&mut self.decoded).map_err(text)?;
        if !there {
            let frames = header.frames;
            return Err(format!("the end after {frame} of {frames} frames"));
        }
        let size_px = (header.width_px.into(), header.height_px.into());
        swap_red_and_blue_into(bgr_bytes(&self.decoded, size_px)?, pixels);
        Ok(())
    }

    /// Goes back to the first frame.
    ///
    /// # Errors
    /// What OpenCV says.
    pub(super) fn rewind(&mut self) -> Result<(), String> {
        self.capture = opened(&self.name)?;
        Ok(())
    }
}

/// The fragments one after the other, sealed.
fn memory(fragments: &[Vec<u8>]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut memory = File::from(rustix::fs::memfd_create("echocart-dicom", flags)?);
    for fragment in fragments {
        memory.write_all(fragment)?;
    }
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&memory, seals)?;
    Ok(memory)
}

/// Whether the stream begins as one that DICOM allows, and has what its container announces.
///
/// Nothing else reaches FFmpeg, which also knows lists of other files and hosts.
fn checked_head(memory: &mut File) -> io::Result<Result<(), Wrong>> {
    let mut head = Vec::new();
    memory.seek(SeekFrom::Start(0))?;
    (&mut *memory).take(HEAD_BYTES).read_to_end(&mut head)?;
    let container = Container::from_head(&head);
    match container {
        Some(container @ (Container::IsoMedia | Container::Mpeg)) => {
            let incomplete = container.incomplete(memory)?;
            Ok(incomplete.map_or(Ok(()), |lacks| Err((lacks.expected, lacks.found))))
        }
        None if begins_with_unit(&head) => Ok(Ok(())),
        _ => {
            let expected = "MP4, MPEG-TS or a bare MPEG-2, H.264 or HEVC stream";
            let found = match head.is_empty() {
                true => "no bytes".to_owned(),
                false => first_bytes(&head),
            };
            Ok(Err((expected.to_owned(), found)))
        }
    }
}

/// Whether a start code and a unit of H.264 or HEVC come first.
///
/// # Source
/// ITU-T H.264 annex B and H.265 annex B; the first bit of a unit is 0.
fn begins_with_unit(head: &[u8]) -> bool {
    let zeros = head.iter().take_while(|&&byte| byte == 0).count();
    zeros >= 2 && matches!(head.get(zeros..), Some(&[1, unit, ..]) if unit != 0 && unit < 0x80)
}

fn opened(name: &str) -> Result<VideoCapture, String> {
    let capture = VideoCapture::from_file(name, CAP_FFMPEG).map_err(text)?;
    match capture.is_opened().map_err(text)? {
        true => Ok(capture),
        false => Err("none that OpenCV's FFmpeg reader opens".to_owned()),
    }
}

/// Compares the announced number of frames with the packets of the stream, and where it has more
/// of those, with the frames that decode.
fn check_count(name: &str, frames: u32) -> Result<(), Wrong> {
    let wrong = |count| {
        let found = format!("a stream of {count}");
        Err((format!("{frames} frames"), found))
    };
    let failed = |found| (format!("{frames} frames"), found);
    let mut packets = opened(name).map_err(failed)?;
    if packets.set(CAP_PROP_FORMAT, -1.0).unwrap_or(false) {
        match count(&mut packets).map_err(failed)? {
            equal if equal == u64::from(frames) => return Ok(()),
            fewer if fewer < u64::from(frames) => return wrong(fewer),
            _ => {}
        }
    }
    match count(&mut opened(name).map_err(failed)?).map_err(failed)? {
        equal if equal == u64::from(frames) => Ok(()),
        other => wrong(other),
    }
}

fn count(capture: &mut VideoCapture) -> Result<u64, String> {
    let mut count = 0;
    while capture.grab().map_err(text)? {
        count += 1;
    }
    Ok(count)
}

fn text(error: opencv::Error) -> String {
    one_line(&error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_begins_with_a_start_code_and_a_zero_bit() {
        assert!(begins_with_unit(&[0, 0, 0, 1, 0x67, 0x64]));
        assert!(begins_with_unit(&[0, 0, 1, 0x40, 1]));
        for other in [
            &[0, 0, 1, 0xE7][..],
            &[0, 0, 1],
            &[0, 1, 0x67, 0],
            b"#EXTM3U",
            &[0; 9],
        ] {
            assert!(!begins_with_unit(other), "{other:?}");
        }
    }
}
