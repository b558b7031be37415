//! A small blocking HTTP and WebSocket client, as strict as the tests need.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const GIVE_UP: Duration = Duration::from_secs(30);
const HELLO: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[derive(Debug, PartialEq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
    Close(u16),
}

pub struct Reader {
    stream: TcpStream,
}

/// Sends one request and returns the whole answer as text.
pub fn request(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = connect(address);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(GIVE_UP)).unwrap();
    stream
}

impl Reader {
    /// Asks for `/ws`; `Err` is the status line of a refusal.
    pub fn open(address: SocketAddr, headers: &str) -> Result<Self, String> {
        let mut stream = connect(address);
        write!(stream, "GET /ws HTTP/1.1\r\n{headers}{HELLO}\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.lines().next().unwrap().to_owned();
        if status.contains(" 101 ") {
            Ok(Self { stream })
        } else {
            Err(status)
        }
    }

    pub fn local(address: SocketAddr) -> Self {
        Self::open(address, &format!("Host: {address}\r\n")).unwrap()
    }

    pub fn next(&mut self) -> Message {
        let [first, second] = self.take();
        let length = match second {
            126 => u64::from(u16::from_be_bytes(self.take())),
            127 => u64::from_be_bytes(self.take()),
            short => u64::from(short),
        };
        let mut body = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        match first {
            0x81 => Message::Text(String::from_utf8(body).unwrap()),
            0x82 => Message::Binary(body),
            0x88 => Message::Close(u16::from_be_bytes([body[0], body[1]])),
            other => panic!("unexpected frame {other:#x}"),
        }
    }

    /// The next text that is not the clock.
    pub fn next_event(&mut self) -> String {
        loop {
            match self.next() {
                Message::Text(text) if !text.contains(r#""type":"clock""#) => return text,
                Message::Text(_) | Message::Binary(_) => {}
                Message::Close(code) => panic!("closed with {code}"),
            }
        }
    }

    /// The next image: frame number, capture time, JPEG.
    pub fn next_image(&mut self) -> (u64, i64, Vec<u8>) {
        loop {
            if let Message::Binary(body) = self.next() {
                let number = u64::from_le_bytes(body[..8].try_into().unwrap());
                let capture = i64::from_le_bytes(body[8..16].try_into().unwrap());
                return (number, capture, body[16..].to_vec());
            }
        }
    }

    /// The numbers of the images that arrive before the next event.
    pub fn images_until_the_next_event(&mut self) -> Vec<u64> {
        let mut numbers = Vec::new();
        loop {
            match self.next() {
                Message::Binary(body) => {
                    numbers.push(u64::from_le_bytes(body[..8].try_into().unwrap()));
                }
                Message::Text(text) if text.contains(r#""type":"clock""#) => {}
                Message::Text(_) => return numbers,
                Message::Close(code) => panic!("closed with {code}"),
            }
        }
    }

    /// The code with which the server closes.
    pub fn closing_code(&mut self) -> u16 {
        loop {
            if let Message::Close(code) = self.next() {
                return code;
            }
        }
    }

    pub fn say(&mut self, text: &str) {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap()];
        frame.extend_from_slice(&mask);
        frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        self.stream.write_all(&frame).unwrap();
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }
}
