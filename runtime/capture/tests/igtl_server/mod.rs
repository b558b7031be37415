//! An OpenIGTLink server on the loopback interface that says what a test tells it to.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use echocart_capture::igtl::crc64;

/// An IMAGE message to be.
#[derive(Clone)]
pub struct Message {
    pub version: u16,
    pub device: String,
    pub stamp_nanos: i64,
    pub scalar: u8,
    pub components: u8,
    pub size: [u16; 3],
    pub part: [u16; 3],
    pub pixels: Vec<u8>,
    pub spoil_crc: bool,
}

impl Message {
    pub fn grey(width: u16, height: u16, stamp_nanos: i64, pixels: Vec<u8>) -> Self {
        Self {
            version: 1,
            device: "Probe".to_owned(),
            stamp_nanos,
            scalar: 3,
            components: 1,
            size: [width, height, 1],
            part: [width, height, 1],
            pixels,
            spoil_crc: false,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        if self.version == 2 {
            // Extended header, then content, then four bytes of metadata.
            for field in [12_u16, 2] {
                body.extend(field.to_be_bytes());
            }
            for field in [2_u32, 7] {
                body.extend(field.to_be_bytes());
            }
        }
        body.extend(self.version.to_be_bytes());
        body.extend([self.components, self.scalar, 2, 1]);
        body.extend(self.size.iter().flat_map(|side| side.to_be_bytes()));
        body.extend([0; 48]);
        body.extend([0; 6]);
        body.extend(self.part.iter().flat_map(|side| side.to_be_bytes()));
        body.extend(&self.pixels);
        if self.version == 2 {
            body.extend([0, 0, 9, 9]);
        }
        let crc = crc64(&body) ^ u64::from(self.spoil_crc);
        message(
            self.version,
            "IMAGE",
            &self.device,
            self.stamp_nanos,
            &body,
            crc,
        )
    }
}

/// Any message.
pub fn message(
    version: u16,
    kind: &str,
    device: &str,
    stamp_nanos: i64,
    body: &[u8],
    crc: u64,
) -> Vec<u8> {
    let mut bytes = version.to_be_bytes().to_vec();
    bytes.extend(kind.as_bytes());
    bytes.resize(14, 0);
    bytes.extend(device.as_bytes());
    bytes.resize(34, 0);
    let seconds = (stamp_nanos / 1_000_000_000) as u32;
    let fraction = ((stamp_nanos % 1_000_000_000) as u64) << 32;
    bytes.extend(seconds.to_be_bytes());
    bytes.extend((fraction.div_ceil(1_000_000_000) as u32).to_be_bytes());
    bytes.extend((body.len() as u64).to_be_bytes());
    bytes.extend(crc.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// What the server does next on a connection.
#[derive(Clone)]
pub enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    /// Closes the connection; the next client goes on behind this step.
    HangUp,
}

/// A server that goes through its steps once and then keeps the connection open.
pub struct Server {
    pub location: String,
    pub accepted: Arc<AtomicU32>,
    /// Set when the client has closed its connection.
    pub left: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let location = format!("igtl://{}", listener.local_addr().unwrap());
        let flags = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let [left, stop] = flags.clone();
        let accepted = Arc::new(AtomicU32::new(0));
        let count = accepted.clone();
        let thread = std::thread::spawn(move || {
            let [left, stop] = flags;
            let mut steps = steps.into_iter();
            while let Some(mut stream) = accept(&listener, &stop) {
                count.fetch_add(1, Ordering::SeqCst);
                let hung_up = serve(&mut stream, &mut steps, &stop);
                if !hung_up {
                    wait_for_leave(&mut stream, &stop);
                    left.store(true, Ordering::SeqCst);
                }
            }
        });
        Self {
            location,
            accepted,
            left,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, stop: &AtomicBool) -> Option<TcpStream> {
    while !stop.load(Ordering::SeqCst) {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            return Some(stream);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// True when the connection is to be closed.
fn serve(
    stream: &mut TcpStream,
    steps: &mut impl Iterator<Item = Step>,
    stop: &AtomicBool,
) -> bool {
    for step in steps {
        if stop.load(Ordering::SeqCst) {
            return true;
        }
        match step {
            Step::Send(bytes) => {
                if stream.write_all(&bytes).is_err() {
                    return false;
                }
            }
            Step::Wait(time) => std::thread::sleep(time),
            Step::HangUp => return true,
        }
    }
    false
}

fn wait_for_leave(stream: &mut TcpStream, stop: &AtomicBool) {
    stream
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    while !stop.load(Ordering::SeqCst) {
        match stream.read(&mut [0; 16]) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}
