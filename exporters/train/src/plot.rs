//! Curves as SVG files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::TrainError;
use crate::pretrain::Entry;

const WIDTH: f32 = 640.0;
const HEIGHT: f32 = 160.0;

/// A curve with its name and points.
type Curve = (&'static str, Vec<(f32, f32)>);

/// Draws a training's log: loss, deviation and effective rank over steps, one above the other.
///
/// # Errors
/// [`TrainError::File`].
pub fn training(log: &Path, out: &Path) -> Result<(), TrainError> {
    let text = fs::read_to_string(log).map_err(TrainError::file(log))?;
    let entries: Vec<Entry> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let curve = |name, value: fn(&Entry) -> f32| -> Curve {
        let points = entries
            .iter()
            .map(|entry| (entry.step as f32, value(entry)));
        (name, points.collect())
    };
    let curves = [
        curve("loss", |entry| entry.loss),
        curve("standard deviation of a feature between clips", |entry| {
            entry.kept.deviation
        }),
        curve("effective rank of the features", |entry| {
            entry.kept.effective_rank
        }),
    ];
    fs::write(out, svg(&curves)).map_err(TrainError::file(out))
}

fn svg(curves: &[Curve]) -> String {
    let height = HEIGHT * curves.len() as f32;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n"
    );
    for (index, (name, points)) in curves.iter().enumerate() {
        let top = HEIGHT * index as f32;
        let most = points
            .iter()
            .fold(f32::MIN_POSITIVE, |most, p| most.max(p.1));
        let last = points.last().map_or(1.0, |point| point.0.max(1.0));
        let line: Vec<String> = points
            .iter()
            .map(|(x, y)| {
                let x = 50.0 + (WIDTH - 60.0) * x / last;
                let y = top + HEIGHT - 20.0 - (HEIGHT - 50.0) * y / most;
                format!("{x:.1},{y:.1}")
            })
            .collect();
        let (base, label) = (top + HEIGHT - 20.0, top + 14.0);
        let _ = write!(
            text,
            "<text x=\"50\" y=\"{label}\">{name}, 0 to {most:.3}, steps 0 to {last}</text>\n\
             <path d=\"M50 {}V{base}H{}\" stroke=\"#999\" fill=\"none\"/>\n\
             <polyline points=\"{}\" stroke=\"#06c\" fill=\"none\"/>\n",
            top + 30.0,
            WIDTH - 10.0,
            line.join(" ")
        );
    }
    text.push_str("</svg>\n");
    text
}
