//! Plots as SVG.

use std::fmt::Write as _;

use crate::probing::VIEWS;

const SIDE: f64 = 420.0;
const MARGIN: f64 = 70.0;

fn open(text: &mut String, (width, height): (f64, f64), title: &str) {
    let _ = write!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{MARGIN}\" y=\"20\" font-size=\"13\">{title}</text>\n"
    );
}

/// Estimated over true EF, with the diagonal.
pub fn fractions(pairs: &[(f64, f64)]) -> String {
    let mut text = String::new();
    let size = SIDE + 1.5 * MARGIN;
    open(
        &mut text,
        (size, size),
        "Estimated over true EF, simulated hearts",
    );
    let place = |ef: f64| (ef - 10.0) / 75.0 * SIDE;
    let (x, y) = (|ef| MARGIN + place(ef), |ef| 35.0 + SIDE - place(ef));
    for ef in [20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0] {
        let _ = write!(
            text,
            "<path d=\"M{:.1} {:.1}V{:.1}M{:.1} {:.1}H{:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{ef}</text>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{ef}</text>\n",
            x(ef),
            y(10.0),
            y(85.0),
            x(10.0),
            y(ef),
            x(85.0),
            x(ef),
            y(10.0) + 16.0,
            x(10.0) - 6.0,
            y(ef) + 4.0
        );
    }
    let _ = writeln!(
        text,
        "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#999\"/>",
        x(10.0),
        y(10.0),
        x(85.0),
        y(85.0)
    );
    for (found, truth) in pairs {
        let (truth, found) = (truth.clamp(10.0, 85.0), found.clamp(10.0, 85.0));
        let _ = writeln!(
            text,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2\" fill=\"#06c\" fill-opacity=\"0.4\"/>",
            x(truth),
            y(found)
        );
    }
    text.push_str("</svg>\n");
    text
}

/// Clips by true view (row) and most probable view (column).
pub fn confusion(counts: &[Vec<usize>]) -> String {
    let mut text = String::new();
    let cell = 36.0;
    let (left, top) = (MARGIN + 20.0, 100.0);
    let size = cell * counts.len() as f64;
    open(
        &mut text,
        (left + size + 20.0, top + size + 20.0),
        "True view (rows) and most probable view (columns), simulated hearts",
    );
    for ((row, view), at) in counts.iter().zip(VIEWS).zip(0..) {
        let middle = cell * f64::from(at) + 0.5 * cell;
        let _ = write!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{view}</text>\n\
             <text transform=\"translate({:.1} {:.1}) rotate(-60)\">{view}</text>\n",
            left - 6.0,
            top + middle + 4.0,
            left + middle,
            top - 6.0
        );
        let all: usize = row.iter().sum();
        for (count, column) in row.iter().zip(0..) {
            let share = *count as f64 / all.max(1) as f64;
            let (x, y) = (left + cell * f64::from(column), top + cell * f64::from(at));
            let ink = if share > 0.5 { "#fff" } else { "#000" };
            let number = if *count == 0 {
                String::new()
            } else {
                count.to_string()
            };
            let _ = write!(
                text,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{cell}\" height=\"{cell}\" fill=\"#06c\" \
                 fill-opacity=\"{share:.2}\" stroke=\"#ddd\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{ink}\">{number}</text>\n",
                x + 0.5 * cell,
                y + 0.5 * cell + 4.0
            );
        }
    }
    text.push_str("</svg>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_heart_has_a_point_and_every_count_its_number() {
        let text = fractions(&[(50.0, 52.0), (90.0, 5.0)]);
        assert_eq!(text.matches("<circle").count(), 2);
        assert!(text.ends_with("</svg>\n") && !text.contains("NaN"));
        let mut counts = vec![vec![0; VIEWS.len()]; VIEWS.len()];
        counts[2][3] = 41;
        let text = confusion(&counts);
        assert!(text.contains(">41</text>"));
        assert_eq!(text.matches("<rect").count(), 1 + VIEWS.len() * VIEWS.len());
    }
}
