//! From a path or URI to an open source.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::container::Container;
use crate::dicom::DicomSource;
use crate::fault;
use crate::igtl::{self, IgtlClient};
use crate::live::LiveSource;
use crate::mha::{MhaSource, is_mha};
use crate::phantom::{PhantomSource, SCHEME};
use crate::shm::{self, ShmClient};
use crate::{OpenOptions, Source, SourceError};

const HEAD_BYTES: u64 = 1024;

/// Opens a path or `file://` URI as whatever its content is: DICOM, a MetaImage sequence or a video
/// container; `phantom:key=value,...` as a simulated heart; `igtl://HOST:PORT[/DEVICE]` as the images
/// of an OpenIGTLink server; `shm:SOCKET` as the frames of scanner software on this machine; `v4l2:DEVICE[,size=WxH][,fps=N][,format=FOURCC]` as a frame grabber;
/// `gst:PIPELINE` as what a GStreamer pipeline gives; or `fault:SCRIPT|LOCATION` as another source with faults
/// (see [`Script`](crate::Script)).
///
/// # Errors
/// Any [`SourceError`]: the whole header is checked here, so that reading starts only with a
/// source whose size, format and timing are known.
pub fn open(uri_or_path: &str, options: &OpenOptions) -> Result<Box<dyn Source>, SourceError> {
    if uri_or_path.starts_with(SCHEME) {
        return Ok(Box::new(PhantomSource::open(uri_or_path, options)?));
    }
    if uri_or_path.starts_with(fault::SCHEME) {
        return fault::open_location(uri_or_path, options);
    }
    if uri_or_path.starts_with(igtl::SCHEME) {
        let client = IgtlClient::new(uri_or_path, options)?;
        return Ok(Box::new(LiveSource::open(client, uri_or_path)?));
    }
    if uri_or_path.starts_with(shm::SCHEME) {
        let client = ShmClient::new(uri_or_path, options)?;
        return Ok(Box::new(LiveSource::open(client, uri_or_path)?));
    }
    if ["v4l2:", "gst:"]
        .iter()
        .any(|scheme| uri_or_path.starts_with(scheme))
    {
        return open_camera(uri_or_path, options);
    }
    let path = path_from_uri(uri_or_path)?;
    match options.assume_fps {
        Some(fps) if !(fps.is_finite() && fps > 0.0 && fps <= 1000.0) => {
            return Err(SourceError::AssumedRate { found: fps, path });
        }
        _ => {}
    }
    let head = head_of(&path)?;
    if is_dicom(&head, &path) {
        return Ok(Box::new(DicomSource::open(&path, options)?));
    }
    if is_mha(&head) {
        return Ok(Box::new(MhaSource::open(&path, options)?));
    }
    let Some(container) = Container::from_head(&head) else {
        return Err(SourceError::UnknownContent {
            found: first_bytes(&head),
            path,
        });
    };
    open_video(&path, container, options)
}

#[cfg(feature = "video")]
fn open_video(
    path: &Path,
    container: Container,
    options: &OpenOptions,
) -> Result<Box<dyn Source>, SourceError> {
    Ok(Box::new(crate::video::VideoSource::open(
        path, container, options,
    )?))
}

#[cfg(feature = "video")]
fn open_camera(location: &str, options: &OpenOptions) -> Result<Box<dyn Source>, SourceError> {
    let camera = crate::camera::Camera::new(location, options)?;
    Ok(Box::new(LiveSource::open(camera, location)?))
}

#[cfg(not(feature = "video"))]
fn open_camera(location: &str, _options: &OpenOptions) -> Result<Box<dyn Source>, SourceError> {
    Err(SourceError::VideoNotBuilt {
        path: PathBuf::from(location),
    })
}

#[cfg(not(feature = "video"))]
fn open_video(
    path: &Path,
    _container: Container,
    _options: &OpenOptions,
) -> Result<Box<dyn Source>, SourceError> {
    Err(SourceError::VideoNotBuilt {
        path: path.to_owned(),
    })
}

/// The file's name without its folder.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn path_from_uri(text: &str) -> Result<PathBuf, SourceError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(PathBuf::from(text));
    };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    if !is_scheme {
        return Ok(PathBuf::from(text));
    }
    if !scheme.eq_ignore_ascii_case("file") || !rest.starts_with('/') {
        return Err(SourceError::Scheme {
            scheme: scheme.to_owned(),
            uri: text.to_owned(),
        });
    }
    Ok(PathBuf::from(percent_decoded(rest)))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn head_of(path: &Path) -> Result<Vec<u8>, SourceError> {
    let io_error = |error| SourceError::Io {
        error,
        path: path.to_owned(),
    };
    let kind = std::fs::metadata(path).map_err(io_error)?;
    if !kind.is_file() {
        let found = if kind.is_dir() {
            "a folder"
        } else {
            "a pipe or device"
        };
        return Err(SourceError::NotAFile {
            found,
            path: path.to_owned(),
        });
    }
    let mut head = Vec::new();
    let file = File::open(path).map_err(io_error)?;
    file.take(HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(io_error)?;
    Ok(head)
}

fn is_dicom(head: &[u8], path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    head.get(128..132) == Some(b"DICM".as_slice())
        || head.starts_with(b"DICM")
        || extension.eq_ignore_ascii_case("dcm")
        || extension.eq_ignore_ascii_case("dicom")
}

/// The first bytes of what is not known, in words.
pub(crate) fn first_bytes(head: &[u8]) -> String {
    if head.is_empty() {
        return "an empty file".to_owned();
    }
    let hex: Vec<String> = head
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("the first bytes {}", hex.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_uri_is_decoded_and_other_schemes_are_named() {
        assert_eq!(
            path_from_uri("file:///a%20b/c%2.dcm").unwrap(),
            PathBuf::from("/a b/c%2.dcm")
        );
        assert_eq!(
            path_from_uri("a%20b.dcm").unwrap(),
            PathBuf::from("a%20b.dcm")
        );
        let error = path_from_uri("rtsp://host/stream").unwrap_err().to_string();
        assert!(error.contains("found rtsp://"), "{error}");
    }
}
