//! OpenIGTLink: images from a PLUS server or another one that speaks the protocol.
//!
//! Read are the headers of versions 1 and 2 and IMAGE messages of one slice with one or three
//! 8-bit components; every other message is passed over. Nothing is ever sent.

mod client;
mod crc;
mod message;
mod reader;

pub(crate) use client::{IgtlClient, SCHEME};
pub use crc::crc64;
pub use message::{HEADER_BYTES, Header, IgtlError, Image};
pub use reader::{ImageReader, Item};
