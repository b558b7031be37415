//! `layers.NAME.svg`: every layer's error as a bar.

use super::report::LayerReport;
use std::fmt::Write;

const BAR_PX: usize = 6;
const LEFT_PX: usize = 60;
const TOP_PX: usize = 64;
const PLOT_PX: usize = 240;
const BOTTOM_PX: usize = 40;
/// Decibels of the axis.
const LOWEST_DB: f64 = 20.0;
const HIGHEST_DB: f64 = 80.0;

const KINDS: [(&str, &str); 5] = [
    ("q, k, v", "#4878a8"),
    ("proj", "#58a068"),
    ("fc1", "#c89048"),
    ("fc2", "#b85450"),
    ("attention and others", "#8868a8"),
];

fn kind(name: &str) -> usize {
    let last = name.rsplit('.').next().unwrap_or(name);
    match last {
        "q" | "k" | "v" => 0,
        "proj" => 1,
        "fc1" => 2,
        "fc2" => 3,
        _ => 4,
    }
}

fn y_px(db: f64) -> f64 {
    let share = (db - LOWEST_DB) / (HIGHEST_DB - LOWEST_DB);
    TOP_PX as f64 + PLOT_PX as f64 * (1.0 - share.clamp(0.0, 1.0))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Draws the bars: higher is better, hollow is left in fp32.
pub(super) fn draw(title: &str, layers: &[LayerReport]) -> String {
    let width = (LEFT_PX + BAR_PX * layers.len() + 20).max(620);
    let height = TOP_PX + PLOT_PX + BOTTOM_PX;
    let floor = TOP_PX + PLOT_PX;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT_PX}\" y=\"20\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    let mut x = LEFT_PX;
    for (words, colour) in KINDS {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"32\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"41\">{words}</text>",
            x + 14
        );
        x += 30 + 7 * words.len();
    }
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"32\" width=\"10\" height=\"10\" fill=\"none\" stroke=\"#606060\"/>\
         <text x=\"{}\" y=\"41\">left in fp32</text>",
        x + 14
    );
    for db in [20, 40, 60, 80] {
        let y = y_px(f64::from(db));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT_PX}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\" stroke=\"#d0d0d0\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{db} dB</text>",
            width - 10,
            LEFT_PX - 6,
            y + 4.0
        );
    }
    let mut graph = "";
    for (at, layer) in layers.iter().enumerate() {
        let x = LEFT_PX + at * BAR_PX;
        let (_, colour) = KINDS[kind(&layer.name)];
        let top = y_px(layer.block_db());
        let fill = if layer.quantised { colour } else { "none" };
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{top:.1}\" width=\"{}\" height=\"{:.1}\" fill=\"{fill}\" \
             stroke=\"{colour}\" stroke-width=\"0.6\"><title>{} {}: {:.1} dB</title></rect>",
            BAR_PX - 1,
            floor as f64 - top,
            escaped(&layer.graph),
            escaped(&layer.name),
            layer.block_db()
        );
        if layer.graph != graph {
            graph = &layer.graph;
            let _ = writeln!(
                svg,
                "<line x1=\"{x}\" y1=\"{TOP_PX}\" x2=\"{x}\" y2=\"{}\" stroke=\"#404040\"/>\
                 <text x=\"{}\" y=\"{}\">{}</text>",
                floor + 14,
                x + 3,
                floor + 14,
                escaped(graph)
            );
        }
    }
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT_PX}\" y=\"{}\" fill=\"#404040\">signal over noise of the block's output \
         when one layer alone is quantised; layers in the order of the graph</text>\n</svg>",
        floor + 30
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_left_in_fp32_is_hollow() {
        let layer = |name: &str, quantised| LayerReport {
            graph: "encoder".to_owned(),
            name: name.to_owned(),
            quantised,
            block_error: 0.01,
            signal_to_noise_db: None,
            input_limit: None,
            range: None,
            migration_alpha: None,
            bias_corrected: false,
        };
        let svg = draw("int8 <x>", &[layer("a.fc1", true), layer("a.fc2", false)]);
        assert!(svg.contains("int8 &lt;x&gt;"));
        assert_eq!(svg.matches("a.fc2: 40.0 dB").count(), 1);
        let hollow = svg.lines().find(|line| line.contains("a.fc2")).unwrap();
        assert!(hollow.contains("fill=\"none\""), "{hollow}");
        let full = svg.lines().find(|line| line.contains("a.fc1")).unwrap();
        assert!(full.contains("fill=\"#c89048\""), "{full}");
    }
}
