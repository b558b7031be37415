//! What a host and its worker say to each other: one packet per message, little-endian.
//!
//! Numbers of a clip and of an answer do not go through packets but through the shared memory.

use crate::refusal::Refused;
use echocart_core::engine::EngineError;

/// Version of these messages; both sides are of one build, and this proves it.
pub(super) const PROTOCOL: u16 = 3;
/// Largest packet.
pub(super) const MOST_BYTES: usize = 64 * 1024;

/// A message of either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// Host: what to open, JSON.
    Open(String),
    /// Host: encode the clip in the shared memory.
    Encode { slot: usize },
    /// Host: encode these tokens, whose rows are in the shared memory.
    EncodeKept { slot: usize, ids: Vec<usize> },
    /// Host: run a head.
    Head { name: String, slots: Vec<usize> },
    /// Host: run a multi-view head.
    MultiView {
        name: String,
        places: Vec<usize>,
        slots: Vec<usize>,
    },
    /// Host: hand over a slot's tokens.
    Tokens { slot: usize },
    /// Host: run once on whatever there is, so that an idle device stays ready.
    Warm,
    /// Host: end.
    Bye,
    /// Worker: alive.
    Beat,
    /// Worker: open; what is running, JSON.
    Ready(String),
    /// Worker: does not open; kind as JSON, and why.
    Refused(Refused, String),
    /// Worker: what it does before it is open.
    Progress(String),
    /// Worker: done; so many numbers are in the shared memory.
    Done { values: usize },
    /// Worker: the engine's error.
    Failed(EngineError),
}

impl Message {
    /// As a packet.
    pub fn packet(&self) -> Vec<u8> {
        let mut to = Writer(PROTOCOL.to_le_bytes().to_vec());
        match self {
            Self::Open(json) => to.kind(1).text(json),
            Self::Encode { slot } => to.kind(2).number(*slot),
            Self::EncodeKept { slot, ids } => to.kind(3).number(*slot).list(ids),
            Self::Head { name, slots } => to.kind(4).text(name).list(slots),
            Self::MultiView {
                name,
                places,
                slots,
            } => to.kind(5).text(name).list(places).list(slots),
            Self::Tokens { slot } => to.kind(6).number(*slot),
            Self::Bye => to.kind(7),
            Self::Warm => to.kind(8),
            Self::Beat => to.kind(32),
            Self::Ready(json) => to.kind(33).text(json),
            Self::Refused(kind, why) => {
                let kind = serde_json::to_string(kind).unwrap_or_default();
                to.kind(34).text(&kind).text(why)
            }
            Self::Progress(what) => to.kind(39).text(what),
            Self::Done { values } => to.kind(35).number(*values),
            Self::Failed(EngineError::EmptySlot { slot }) => to.kind(38).number(*slot),
            Self::Failed(EngineError::Shape {
                what,
                expected,
                found,
            }) => to.kind(37).text(what).text(expected).text(found),
            Self::Failed(EngineError::Failed { what, message }) => {
                to.kind(36).text(what).text(message)
            }
            Self::Failed(other) => to.kind(36).text("engine").text(&other.to_string()),
        };
        to.0
    }

    /// From a packet; the text says what is wrong with it.
    pub fn read(packet: &[u8]) -> Result<Self, String> {
        let mut from = Reader(packet);
        let version = u16::from_le_bytes(from.array()?);
        if version != PROTOCOL {
            return Err(format!(
                "message: expected version {PROTOCOL}, found {version}"
            ));
        }
        let kind = u16::from_le_bytes(from.array()?);
        let message = match kind {
            1 => Self::Open(from.text()?),
            2 => Self::Encode {
                slot: from.number()?,
            },
            3 => Self::EncodeKept {
                slot: from.number()?,
                ids: from.list()?,
            },
            4 => Self::Head {
                name: from.text()?,
                slots: from.list()?,
            },
            5 => Self::MultiView {
                name: from.text()?,
                places: from.list()?,
                slots: from.list()?,
            },
            6 => Self::Tokens {
                slot: from.number()?,
            },
            7 => Self::Bye,
            8 => Self::Warm,
            32 => Self::Beat,
            33 => Self::Ready(from.text()?),
            34 => {
                let kind = serde_json::from_str(&from.text()?);
                let kind = kind.map_err(|e| format!("message of kind 34: {e}"))?;
                Self::Refused(kind, from.text()?)
            }
            35 => Self::Done {
                values: from.number()?,
            },
            36 => Self::Failed(EngineError::Failed {
                what: from.text()?,
                message: from.text()?,
            }),
            37 => Self::Failed(EngineError::Shape {
                what: from.text()?,
                expected: from.text()?,
                found: from.text()?,
            }),
            38 => Self::Failed(EngineError::EmptySlot {
                slot: from.number()?,
            }),
            39 => Self::Progress(from.text()?),
            unknown => return Err(format!("message: expected a known kind, found {unknown}")),
        };
        match from.0 {
            [] => Ok(message),
            rest => Err(format!(
                "message of kind {kind}: expected its end, found {} bytes",
                rest.len()
            )),
        }
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn kind(&mut self, kind: u16) -> &mut Self {
        self.0.extend(kind.to_le_bytes());
        self
    }

    fn number(&mut self, number: usize) -> &mut Self {
        self.0.extend((number as u64).to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len());
        self.0.extend(text.as_bytes());
        self
    }

    fn list(&mut self, numbers: &[usize]) -> &mut Self {
        self.number(numbers.len());
        for number in numbers {
            self.number(*number);
        }
        self
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .0
            .split_at_checked(bytes)
            .ok_or_else(|| format!("message: expected {bytes} bytes, found {}", self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?
            .try_into()
            .map_err(|_| "message: cut".to_owned())
    }

    fn number(&mut self) -> Result<usize, String> {
        let number = u64::from_le_bytes(self.array()?);
        usize::try_from(number).map_err(|_| format!("message: expected a size, found {number}"))
    }

    fn text(&mut self) -> Result<String, String> {
        let bytes = self.number()?;
        let text = std::str::from_utf8(self.take(bytes)?);
        text.map(str::to_owned).map_err(|e| format!("message: {e}"))
    }

    fn list(&mut self) -> Result<Vec<usize>, String> {
        let count = self.number()?;
        let bytes = count.checked_mul(8).ok_or("message: a list too long")?;
        let mut from = Reader(self.take(bytes)?);
        (0..count).map(|_| from.number()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn every() -> Vec<Message> {
        let text = "vi\u{eb}w".to_owned();
        let failed = EngineError::Failed {
            what: text.clone(),
            message: String::new(),
        };
        let shape = EngineError::Shape {
            what: text.clone(),
            expected: "1".to_owned(),
            found: "2".to_owned(),
        };
        vec![
            Message::Open(text.clone()),
            Message::Encode { slot: 3 },
            Message::EncodeKept {
                slot: 1,
                ids: vec![0, 7],
            },
            Message::Head {
                name: text.clone(),
                slots: vec![2],
            },
            Message::MultiView {
                name: text.clone(),
                places: vec![1],
                slots: vec![],
            },
            Message::Tokens { slot: 15 },
            Message::Bye,
            Message::Warm,
            Message::Beat,
            Message::Ready(text.clone()),
            Message::Refused(Refused::WrongAnswers, text.clone()),
            Message::Progress(text),
            Message::Done { values: 9 },
            Message::Failed(failed),
            Message::Failed(shape),
            Message::Failed(EngineError::EmptySlot { slot: 4 }),
        ]
    }

    #[test]
    fn every_message_comes_back_and_none_cut_or_longer_does() {
        for message in every() {
            let packet = message.packet();
            assert_eq!(Message::read(&packet), Ok(message));
            for cut in 0..packet.len() {
                assert!(Message::read(&packet[..cut]).is_err());
            }
            let longer = [packet, vec![0]].concat();
            assert!(Message::read(&longer).is_err());
        }
    }

    #[test]
    fn another_version_is_refused_by_number() {
        let error = Message::read(&[9, 0, 7, 0]).unwrap_err();
        assert_eq!(error, "message: expected version 3, found 9");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Message::read(&bytes);
            if let [low, high, ..] = bytes.as_mut_slice() {
                [*low, *high] = PROTOCOL.to_le_bytes();
            }
            if let Ok(message) = Message::read(&bytes) {
                prop_assert_eq!(message.packet(), bytes);
            }
        }
    }
}
