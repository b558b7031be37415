//! What can be wrong with a source.

use std::io;
use std::path::PathBuf;

use echocart_phantom::PhantomError;

/// Why a source cannot be opened or read.
///
/// Each message is one line: what, what was expected, what was found, and the path last. Frames
/// are counted from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The operating system refuses to open or read the file.
    #[error("cannot read the source: {error}: {}", path.display())]
    Io {
        /// What the operating system says.
        error: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The location is a URI that is not a file.
    #[error(
        "unsupported kind of source: expected a path or file:// URI, found {scheme}:// : {uri}"
    )]
    Scheme {
        /// The URI's scheme.
        scheme: String,
        /// The whole URI.
        uri: String,
    },
    /// The path leads to a folder, pipe or device.
    #[error("not a source: expected a regular file, found {found}: {}", path.display())]
    NotAFile {
        /// What it is.
        found: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The content is neither DICOM, nor a MetaImage, nor a known video container.
    #[error("unknown kind of source: expected DICOM, MetaImage or a video container, found {found}: {}", path.display())]
    UnknownContent {
        /// The first bytes, or that there are none.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// The DICOM structure cannot be read: truncated or damaged.
    #[error("damaged DICOM file: expected a complete data set, found {found}: {}", path.display())]
    Dicom {
        /// What the reader stumbled over.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// The DICOM object is something else than an ultrasound cine.
    #[error("not an ultrasound multi-frame image: expected Ultrasound Multi-frame Image Storage or modality US, found {found}: {}", path.display())]
    NotUltrasound {
        /// SOP class and modality.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// The DICOM object is a still.
    #[error("not a cine: expected more than one frame, found {found}: {}", path.display())]
    Still {
        /// Number of frames and SOP class.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// The pixel data is in a transfer syntax without a decoder here.
    #[error("unsupported transfer syntax: expected uncompressed, RLE, JPEG, JPEG-LS, JPEG 2000, JPEG XL, MPEG-2, H.264 or HEVC, found {uid} ({name}): {}", path.display())]
    TransferSyntax {
        /// Its UID.
        uid: String,
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// An attribute is missing or has a value that cannot be worked with.
    #[error("{attribute}: expected {expected}, found {found}: {}", path.display())]
    Attribute {
        /// The attribute's keyword.
        attribute: &'static str,
        /// What would do.
        expected: String,
        /// What it says.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// The pixel data is not as long as its attributes say.
    #[error("pixel data: expected {expected}, found {found}: {}", path.display())]
    PixelData {
        /// What the attributes ask for.
        expected: String,
        /// What is there.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// The file says nothing about the time of its frames.
    #[error("no frame timing: expected {expected} in the file or --assume-fps, found neither: {}", path.display())]
    NoTiming {
        /// What the file could have said.
        expected: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The assumed frame rate is not a rate.
    #[error("--assume-fps: expected a number above 0 and at most 1000, found {found}: {}", path.display())]
    AssumedRate {
        /// The rate given.
        found: f64,
        /// The file.
        path: PathBuf,
    },
    /// A frame does not decode.
    #[error("frame {frame} does not decode: expected {codec}, found {found}: {}", path.display())]
    Decode {
        /// The frame, counted from 0.
        frame: u64,
        /// Transfer syntax or video codec.
        codec: String,
        /// What the decoder says.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// A frame decodes to another size or format than the file announces.
    #[error("frame {frame} has another shape: expected {expected}, found {found}: {}", path.display())]
    FrameShape {
        /// The frame, counted from 0.
        frame: u64,
        /// The shape announced.
        expected: String,
        /// The shape decoded.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// The video container is cut off or has no picture that decodes.
    #[error("video does not decode: expected {expected}, found {found}: {}", path.display())]
    Video {
        /// What a good file has.
        expected: String,
        /// What this one has.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// A video frame is not later than the one before it.
    #[error("frame {frame} is out of order: expected a time after {previous_nanos} ns, found {found_nanos} ns: {}", path.display())]
    FrameTime {
        /// The frame, counted from 0.
        frame: u64,
        /// Time of the frame before.
        previous_nanos: i64,
        /// Time of this frame.
        found_nanos: i64,
        /// The file.
        path: PathBuf,
    },
    /// The phantom cannot be made as asked.
    #[error("{error} ({location})")]
    Phantom {
        /// What is wrong with it.
        error: PhantomError,
        /// The whole location.
        location: String,
    },
    /// A phantom has its own frame rate.
    #[error(
        "--assume-fps: expected fps=... in the phantom's location, found the option: {location}"
    )]
    PhantomRate {
        /// The whole location.
        location: String,
    },
    /// A live device cannot be reached, or gives nothing that can be used.
    #[error("{kind} source: {found}: {location}")]
    Device {
        /// `OpenIGTLink`, `V4L2` or `GStreamer`.
        kind: &'static str,
        /// What is wrong, with what was expected.
        found: String,
        /// The whole location.
        location: String,
    },
    /// The location of a live device or a fault script is malformed.
    #[error("source: expected {expected}, found {found}: {location}")]
    Location {
        /// The form it should have.
        expected: &'static str,
        /// What is there.
        found: String,
        /// The whole location.
        location: String,
    },
    /// A live source cannot start over.
    #[error("live source: expected to be read on, found it rewound: {name}")]
    Live {
        /// The source's name.
        name: String,
    },
    /// A fault script cannot be read.
    #[error("fault script, statement {statement}: expected {expected}, found {found}")]
    Script {
        /// The statement, counted from 1.
        statement: usize,
        /// What would do.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// This build has no video reader.
    #[error("video source: expected a build with the feature \"video\", found one without: {}", path.display())]
    VideoNotBuilt {
        /// The file.
        path: PathBuf,
    },
}

/// One line without control characters, at most 200 characters long.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let clean: String = words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    if clean.is_empty() {
        "nothing".to_owned()
    } else {
        clean
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    one_line(&text)
}
