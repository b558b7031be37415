//! The client: a connection to one server and one of its image streams.

use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use echocart_core::buffer::FrameBuffer;

use super::reader::{ImageReader, Item};
use crate::error::one_line;
use crate::live::{Device, Read};
use crate::{OpenOptions, SourceError};

/// Scheme of OpenIGTLink locations.
pub(crate) const SCHEME: &str = "igtl://";

const FORM: &str = "igtl://HOST:PORT or igtl://HOST:PORT/DEVICE without --assume-fps";
const CONNECT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);
/// A server that is silent for so long may be gone without a word.
const SILENCE: Duration = Duration::from_secs(10);
/// A message that stops in its middle does not go on.
const STALL: Duration = Duration::from_secs(2);

/// A server's address and the connection to it.
pub(crate) struct IgtlClient {
    address: String,
    /// Whose images are taken; the first image's where none is named.
    device: Option<String>,
    reader: Option<ImageReader<TcpStream>>,
    heard: Instant,
}

impl IgtlClient {
    /// A client for the server of a location; connects to nothing yet.
    pub(crate) fn new(location: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let rest = location.strip_prefix(SCHEME).unwrap_or(location);
        let (address, device) = match rest.split_once('/') {
            Some((address, device)) => (address, Some(device)),
            None => (rest, None),
        };
        let port = address
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        let host = address.rsplit_once(':').map_or("", |(host, _)| host);
        let named = device != Some("") && device.is_none_or(|d| d.len() <= 20);
        if options.assume_fps.is_some()
            || host.is_empty()
            || !matches!(port, Some(Ok(1..)))
            || !named
        {
            return Err(SourceError::Location {
                expected: FORM,
                found: if options.assume_fps.is_some() {
                    "the option"
                } else {
                    "another form"
                }
                .to_owned(),
                location: one_line(location),
            });
        }
        Ok(Self {
            address: address.to_owned(),
            device: device.map(str::to_owned),
            reader: None,
            heard: Instant::now(),
        })
    }
}

impl Device for IgtlClient {
    fn name(&self) -> String {
        match &self.device {
            Some(device) => format!("{device} of {}", self.address),
            None => self.address.clone(),
        }
    }

    fn kind(&self) -> &'static str {
        "OpenIGTLink"
    }

    fn timing(&self) -> String {
        "time stamps of the messages".to_owned()
    }

    fn nominal_period_nanos(&self) -> i64 {
        0
    }

    fn connect(&mut self) -> Result<(), String> {
        self.reader = None;
        let text = |error: std::io::Error| one_line(&error.to_string());
        let mut refused = "expected an address, found none for this host".to_owned();
        for address in self.address.to_socket_addrs().map_err(text)? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(LOOK)).map_err(text)?;
                    self.reader = Some(ImageReader::new(stream));
                    self.heard = Instant::now();
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    refused = format!("cannot connect: no answer within {} s", CONNECT.as_secs());
                }
                Err(error) => refused = format!("cannot connect: {}", text(error)),
            }
        }
        Err(refused)
    }

    fn read(&mut self, pixels: &mut FrameBuffer) -> Result<Read, String> {
        let Some(reader) = &mut self.reader else {
            return Err("expected a connection, found none".to_owned());
        };
        let before = reader.bytes_read();
        let item = reader
            .read(pixels.refill())
            .map_err(|error| error.to_string())?;
        let within = reader.is_within_message();
        if reader.bytes_read() > before {
            self.heard = Instant::now();
        }
        match item {
            Item::Pending => {
                let silent = self.heard.elapsed();
                if silent > SILENCE || (within && silent > STALL) {
                    let words = if within {
                        "half a message"
                    } else {
                        "no message"
                    };
                    return Err(format!("silent for {} s with {words}", silent.as_secs()));
                }
                Ok(Read::Nothing)
            }
            Item::Other => Ok(Read::Nothing),
            Item::Damaged => Ok(Read::Damaged),
            Item::Image {
                device,
                width_px,
                height_px,
                format,
                stamp_nanos,
            } => {
                if self.device.get_or_insert_with(|| device.clone()) != &device {
                    return Ok(Read::Nothing);
                }
                Ok(Read::Frame {
                    size_px: (width_px, height_px),
                    format,
                    device_nanos: stamp_nanos,
                })
            }
        }
    }
}
