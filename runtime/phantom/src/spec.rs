//! A phantom in one line of text: `view=A4C,ef=55,hr=70,seed=1`.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::error::within;
use crate::exam::{Exam, Subject, Waypoint};
use crate::pose::PoseOffset;
use crate::screen::{Decoration, Screen, Skin};
use crate::{Anatomy, Imaging, Phantom, PhantomError, Rhythm, View};

const KEYS: [&str; 29] = [
    "view",
    "ef",
    "hr",
    "rhythm",
    "seed",
    "fps",
    "seconds",
    "size",
    "depth",
    "sector",
    "steer",
    "gain",
    "range",
    "noise",
    "quality",
    "skin",
    "ecg",
    "colour",
    "rotation",
    "tilt",
    "rock",
    "lateral",
    "elevation",
    "to_rotation",
    "to_tilt",
    "move_at",
    "move_for",
    "to_ef",
    "ef_at",
];

/// A phantom with its screen, as a text of `key=value` pairs asks for it.
///
/// Pairs are separated by commas; a text may be empty. Keys, with their defaults:
///
/// - `view=A4C`: a view's name, or `abdomen`, `lung`, `air`, `gel`, `still`;
/// - `ef=58` percent, `hr=70` beats per minute, `rhythm=sinus`, `ectopic` or `af`;
/// - `seed=1`, `fps=30` frames per second, `seconds=10`, `size=640x480` pixels;
/// - `depth=170` mm, `sector=84` and `steer=0` degrees, `gain=0`, `range=58` and `noise=-52` dB;
/// - `quality=good`: a well set machine and a good window, or `drawn`: both drawn from the seed;
/// - `skin=cart`, `tablet`, `portable` or `bare`; `ecg=on` or `off`; `colour=off` or `on`;
/// - `rotation`, `tilt`, `rock` (degrees), `lateral`, `elevation` (mm): the hand, from the view's
///   standard pose;
/// - `to_rotation`, `to_tilt` (degrees) with `move_at=5` and `move_for=1` (seconds): the hand moves;
/// - `to_ef` (percent, below `ef`) with `ef_at=5` (seconds): later beats are weaker.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The exam.
    pub exam: Exam,
    /// What is drawn around it.
    pub decoration: Decoration,
}

impl Spec {
    /// Reads a text.
    ///
    /// # Errors
    /// [`PhantomError`] for the first pair that is not one of the keys with a value that fits.
    pub fn parse(text: &str) -> Result<Self, PhantomError> {
        let pairs = Pairs::parse(text)?;
        let seed: u64 = pairs.number("seed", 1)?;
        let ef = pairs.number("ef", 58.0)?;
        within("ef", ef, 20.0, 75.0, "%")?;
        let (view, subject) = subject(pairs.text("view").unwrap_or("A4C"))?;
        let decoration = Decoration {
            skin: pairs.skin()?,
            ecg: pairs.switch("ecg", true)?,
            colour_box: pairs.switch("colour", false)?,
        };
        let (width_px, height_px) = size(pairs.text("size").unwrap_or("640x480"))?;
        let layout = decoration.skin.layout(width_px, height_px);
        let mut exam = Exam::standard(view, Anatomy::sample_with_ef(seed, ef), layout);
        exam.subject = subject;
        exam.rate_bpm = pairs.number("hr", 70.0)?;
        exam.rhythm = pairs.rhythm()?;
        exam.frame_rate_hz = pairs.number("fps", 30.0)?;
        let seconds = pairs.number("seconds", 10.0)?;
        within("seconds", seconds, 0.04, 3600.0, "s")?;
        within("fps", exam.frame_rate_hz, 1.0, 200.0, "frames per second")?;
        exam.frames = (seconds * exam.frame_rate_hz).round().max(1.0) as u32;
        exam.imaging = pairs.imaging(&exam)?;
        exam.path = pairs.path()?;
        if let Some(to_ef) = pairs.optional("to_ef")? {
            exam.ef_changes = vec![(pairs.number("ef_at", 5.0)?, to_ef)];
        }
        exam.check()?;
        Ok(Self { exam, decoration })
    }

    /// Builds what the text asks for.
    ///
    /// # Errors
    /// [`PhantomError`] for what does not go together.
    pub fn screen(self) -> Result<Screen, PhantomError> {
        Screen::new(Phantom::new(self.exam)?, self.decoration)
    }

    /// Whether the screen has colour: three bytes a pixel instead of one.
    pub fn has_colour(&self) -> bool {
        self.decoration != Decoration::NONE
    }
}

struct Pairs<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Pairs<'a> {
    fn parse(text: &'a str) -> Result<Self, PhantomError> {
        let mut pairs = BTreeMap::new();
        for pair in text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (key.trim(), value.trim());
            if !KEYS.contains(&key) {
                return Err(PhantomError::Key {
                    expected: KEYS.join(", "),
                    found: key.to_owned(),
                });
            }
            if pairs.insert(key, value).is_some() {
                return Err(PhantomError::Twice {
                    key: key.to_owned(),
                });
            }
        }
        Ok(Self(pairs))
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).copied()
    }

    fn optional<T: FromStr>(&self, key: &str) -> Result<Option<T>, PhantomError> {
        self.text(key)
            .map(|text| text.parse().map_err(|_| word("a number", text, key)))
            .transpose()
    }

    fn number<T: FromStr>(&self, key: &str, default: T) -> Result<T, PhantomError> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    fn switch(&self, key: &str, default: bool) -> Result<bool, PhantomError> {
        match self.text(key) {
            None => Ok(default),
            Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(text) => Err(word("on or off", text, key)),
        }
    }

    fn skin(&self) -> Result<Skin, PhantomError> {
        let text = self.text("skin").unwrap_or(Skin::Cart.name());
        Skin::ALL
            .into_iter()
            .find(|skin| skin.name() == text)
            .ok_or_else(|| word(&Skin::ALL.map(Skin::name).join(", "), text, "skin"))
    }

    fn rhythm(&self) -> Result<Rhythm, PhantomError> {
        match self.text("rhythm").unwrap_or("sinus") {
            "sinus" => Ok(Rhythm::Sinus),
            "ectopic" => Ok(Rhythm::Ectopic),
            "af" => Ok(Rhythm::AtrialFibrillation),
            text => Err(word("sinus, ectopic or af", text, "rhythm")),
        }
    }

    fn imaging(&self, exam: &Exam) -> Result<Imaging, PhantomError> {
        let drawn = match self.text("quality").unwrap_or("good") {
            "good" => exam.imaging.clone(),
            "drawn" => Imaging::sample(exam.seed),
            text => return Err(word("good or drawn", text, "quality")),
        };
        Ok(Imaging {
            depth_mm: self.number("depth", drawn.depth_mm)?,
            sector_deg: self.number("sector", drawn.sector_deg)?,
            steer_deg: self.number("steer", drawn.steer_deg)?,
            gain_db: self.number("gain", drawn.gain_db)?,
            range_db: self.number("range", drawn.range_db)?,
            noise_db: self.number("noise", drawn.noise_db)?,
            scatterer_mm: Imaging::default().scatterer_mm,
            ..drawn
        })
    }

    fn path(&self) -> Result<Vec<Waypoint>, PhantomError> {
        let from = PoseOffset {
            rotation_deg: self.number("rotation", 0.0)?,
            tilt_deg: self.number("tilt", 0.0)?,
            rock_deg: self.number("rock", 0.0)?,
            slide_lateral_mm: self.number("lateral", 0.0)?,
            slide_elevation_mm: self.number("elevation", 0.0)?,
        };
        let (at, takes): (f32, f32) = (self.number("move_at", 5.0)?, self.number("move_for", 1.0)?);
        within("move_at", at, 0.0, 3600.0, "s")?;
        within("move_for", takes, 0.0, 3600.0, "s")?;
        let to = PoseOffset {
            rotation_deg: self.number("to_rotation", from.rotation_deg)?,
            tilt_deg: self.number("to_tilt", from.tilt_deg)?,
            ..from
        };
        let point = |seconds, offset| Waypoint { seconds, offset };
        Ok(match to == from {
            true => vec![point(0.0, from)],
            false => vec![point(at, from), point(at + takes, to)],
        })
    }
}

fn word(expected: &str, found: &str, key: &str) -> PhantomError {
    PhantomError::Word {
        expected: expected.to_owned(),
        found: found.to_owned(),
        key: key.to_owned(),
    }
}

fn subject(text: &str) -> Result<(View, Subject), PhantomError> {
    match text.to_ascii_lowercase().as_str() {
        "abdomen" => return Ok((View::Other, Subject::Abdomen)),
        "lung" => return Ok((View::Other, Subject::Lung)),
        "air" => return Ok((View::Other, Subject::Air)),
        "gel" => return Ok((View::Other, Subject::Gel)),
        "still" => return Ok((View::A4c, Subject::Still)),
        _ => {}
    }
    match View::from_name(text) {
        Some(view) if view != View::Other => Ok((view, Subject::Heart)),
        _ => {
            let views = View::ALL.into_iter().filter(|view| *view != View::Other);
            let names: Vec<&str> = views.map(View::name).collect();
            let expected = format!("{}, abdomen, lung, air, gel or still", names.join(", "));
            Err(word(&expected, text, "view"))
        }
    }
}

fn size(text: &str) -> Result<(u32, u32), PhantomError> {
    text.split_once('x')
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)))
        .ok_or_else(|| word("WIDTHxHEIGHT in pixels", text, "size"))
}
