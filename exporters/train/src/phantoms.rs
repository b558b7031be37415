//! Simulated hearts as locations that `echocart` opens, with their labels.

use echocart_phantom::{Decoration, Exam, PhantomError, Rhythm, Spec, View};

use crate::render;

/// Frames per second of a location, and its length: enough to find the sector and for some clips.
const FPS: u32 = 24;
const SECONDS: f32 = 4.0;

const SCREEN: (u32, u32) = (640, 480);

/// The header of the label file.
pub const HEADER: &str = "path,view,lvef,patient";

/// The label line of a heart, drawn as those of the training; nothing for one without a label.
///
/// # Errors
/// [`PhantomError`].
pub fn line(seed: u64, index: u64) -> Result<Option<String>, PhantomError> {
    let view = render::view(index);
    let decoration = Decoration::sample(seed);
    let layout = decoration.skin.layout(SCREEN.0, SCREEN.1);
    let frames = (SECONDS * FPS as f32) as u32;
    let exam = Exam::sample(view, seed, layout, FPS as f32, frames);
    let location = match view {
        View::Other => other(seed, index),
        _ => heart(&exam, decoration, seed),
    };
    let text = location.strip_prefix("phantom:").unwrap_or(&location);
    let truth = Spec::parse(text)?.screen()?.phantom().truth(0, frames);
    let fraction = match truth.ef_percent {
        Some(ef) if view != View::Other => format!("{ef:.2}"),
        _ => String::new(),
    };
    let label = truth.label.map(View::name);
    Ok(label.map(|label| format!("\"{location}\",{label},{fraction},heart {seed}")))
}

fn heart(exam: &Exam, decoration: Decoration, seed: u64) -> String {
    let hand = exam
        .path
        .first()
        .map(|point| point.offset)
        .unwrap_or_default();
    let rhythm = match exam.rhythm {
        Rhythm::Sinus => "sinus",
        Rhythm::Ectopic => "ectopic",
        Rhythm::AtrialFibrillation => "af",
    };
    format!(
        "phantom:view={},seed={seed},ef={:.2},hr={:.1},rhythm={rhythm},quality=drawn,depth={:.0},\
         skin={},ecg={},rotation={:.2},tilt={:.2},rock={:.2},lateral={:.2},elevation={:.2},fps={FPS},\
         seconds={SECONDS}",
        exam.view.name(),
        exam.anatomy.ef_percent,
        exam.rate_bpm,
        exam.imaging.depth_mm,
        decoration.skin.name(),
        if decoration.ecg { "on" } else { "off" },
        hand.rotation_deg,
        hand.tilt_deg,
        hand.rock_deg,
        hand.slide_lateral_mm,
        hand.slide_elevation_mm,
    )
}

fn other(seed: u64, index: u64) -> String {
    let subject = ["abdomen", "lung"][(index / 6 % 2) as usize];
    format!("phantom:view={subject},seed={seed},quality=drawn,fps={FPS},seconds={SECONDS}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_its_location_shows_and_nothing_else() {
        let line = line(5_000_000, 0).unwrap().unwrap();
        assert!(
            line.starts_with("\"phantom:view=A4C,seed=5000000,ef="),
            "{line}"
        );
        let (location, rest) = line[1..].split_once("\",").unwrap();
        let fields: Vec<&str> = rest.split(',').collect();
        assert_eq!((fields[0], fields[2]), ("A4C", "heart 5000000"));
        let asked = location.split("ef=").nth(1).unwrap();
        let asked: f64 = asked.split(',').next().unwrap().parse().unwrap();
        assert!(
            (fields[1].parse::<f64>().unwrap() - asked).abs() < 3.0,
            "{line}"
        );
    }

    #[test]
    fn other_pictures_have_a_view_and_no_fraction() {
        let line = line(5_000_005, 5).unwrap().unwrap();
        assert!(line.ends_with(",Other,,heart 5000005"), "{line}");
    }
}
