//! The report for a reader: Markdown, and a few lines for the package's card.

use std::fmt::Write as _;

use serde_json::Value;

use super::report::{Encoder, Report};
use super::{SUPERVISED, WITH_MAPS};
use crate::probing::{UNSUPPORTED, VIEWS};

/// The whole report.
pub fn markdown(report: &Report) -> String {
    let mut text = String::from(
        "# What the stand-in reaches\n\nWritten by `cargo xtask evaluate`. Simulated hearts only: no \
         clinical meaning.\n\n",
    );
    let _ = writeln!(
        text,
        "{} test clips (one heart each, seeds from {}), {} calibration clips. No heart of either was \
         trained on.\n",
        report.test_clips, report.first_seed, report.calibration_clips
    );
    encoders(&mut text, report);
    fractions(&mut text, report);
    disturbances(&mut text, report);
    kept(&mut text, report);
    through_the_package(&mut text, report);
    views(&mut text, report);
    if !report.not_done.is_empty() {
        let _ = writeln!(text, "## Not done\n");
        for what in &report.not_done {
            let _ = writeln!(text, "- {what}");
        }
    }
    text
}

/// What the card of a package of these weights says.
pub fn card(report: &Report) -> String {
    let mut text = format!(
        "Measured on {} clips of simulated hearts that nothing was fitted on:\n",
        report.test_clips
    );
    let labels = match report.shipped {
        Some(SUPERVISED) => Some("the labels"),
        Some(WITH_MAPS) => Some("the labels and chamber maps"),
        _ => None,
    };
    if let Some(labels) = labels {
        let _ = writeln!(
            text,
            "- the encoder was taught with {labels} of simulated hearts, not by self-supervised pretraining;"
        );
    }
    if let Some(accuracy) = report.view_accuracy_all {
        let _ = writeln!(text, "- view right in {} of the clips;", percent(accuracy));
    }
    if let (Some(mae), Some(constant)) = (report.ef_mae, report.ef_mae_predict_mean) {
        let _ = writeln!(
            text,
            "- EF off by {mae:.1} points on average ({constant:.1} for always saying the mean);"
        );
    }
    if let Some(coverage) = report.interval_coverage {
        let _ = writeln!(text, "- 90 % interval right in {};", percent(coverage));
    }
    if let Some(degradation) = report.perturbation_degradation {
        let _ = writeln!(
            text,
            "- EF error {} under the paper's disturbances;",
            signed(degradation)
        );
    }
    let _ = writeln!(
        text,
        "Never seen in training and never to be believed: {}.",
        UNSUPPORTED.join(", ")
    );
    text
}

fn encoders(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "## Encoders under the same probe\n\n| encoder | view, all labels | ECE | 10 % (600 labels) | \
         1 % (60 labels, 5 draws) | EF MAE | EF error under disturbances |\n|---|---|---|---|---|---|---|"
    );
    for encoder in &report.encoders {
        let few = |at: usize| match encoder.few.get(at) {
            Some(few) if few.draws.len() > 1 => {
                let [low, high] = few.interval.map(percent);
                format!("{} ({low} to {high})", percent(few.accuracy))
            }
            Some(few) => percent(few.accuracy),
            None => "-".to_owned(),
        };
        let ejection = encoder.ejection.as_ref();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            encoder.name,
            or_dash(
                encoder
                    .view
                    .as_ref()
                    .map(|view| percent(view.views.accuracy))
            ),
            or_dash(
                encoder
                    .view
                    .as_ref()
                    .map(|view| format!("{:.3}", view.views.ece))
            ),
            few(1),
            few(0),
            or_dash(ejection.map(|found| format!("{:.1}", found.ejection.mae))),
            or_dash(encoder.degradation.map(signed))
        );
    }
    if let Some(few) = &report.scratch {
        let [low, high] = few.interval.map(percent);
        let _ = writeln!(
            text,
            "| whole network, 60 labels alone | | | | {} ({low} to {high}) | | |",
            percent(few.accuracy)
        );
    }
    if let Some(constant) = report.ef_mae_predict_mean {
        let _ = writeln!(text, "| always the mean | | | | | {constant:.1} | |");
    }
    let _ = writeln!(
        text,
        "\nThe first encoder is the shipped one. Intervals: 95 % bootstrap over hearts and draws. A supervised encoder has \
         seen all labels of the training; its probes with few labels are fitted on its frozen features and are no baseline. One with maps was \
         also taught which chamber every patch shows.\n"
    );
}

fn shipped(report: &Report) -> Option<&Encoder> {
    report.encoders.first()
}

fn fractions(text: &mut String, report: &Report) {
    let Some(found) = shipped(report).and_then(|encoder| encoder.ejection.as_ref()) else {
        return;
    };
    let of = &found.ejection;
    let _ = writeln!(
        text,
        "## Ejection fraction, A4C\n\nMAE {:.2} points ({:.2} to {:.2}), bias {:+.2}, scatter {:.2}, limits of \
         agreement {:+.1} to {:+.1}; interval plus and minus {:.1} points, made for 90 %.\n\n\
         | true EF | clips | MAE | bias | interval holds the truth |\n|---|---|---|---|---|",
        of.mae,
        found.mae_interval[0],
        found.mae_interval[1],
        of.bias,
        of.scatter,
        found.limits[0],
        found.limits[1],
        of.half_width
    );
    for band in &found.bands {
        let _ = writeln!(
            text,
            "| {} | {} | {:.2} | {:+.2} | {} |",
            band.ef_percent,
            band.clips,
            band.mae,
            band.bias,
            percent(band.coverage)
        );
    }
    let _ = writeln!(
        text,
        "| all | {} | {:.2} | {:+.2} | {} |\n\n![Estimated over true EF](ef.svg)\n",
        of.clips,
        of.mae,
        of.bias,
        percent(of.coverage)
    );
}

fn disturbances(text: &mut String, report: &Report) {
    let Some(first) = shipped(report).filter(|encoder| !encoder.disturbed.is_empty()) else {
        return;
    };
    let with = report.encoders.iter().filter(|e| !e.disturbed.is_empty());
    let with: Vec<&Encoder> = with.collect();
    let names: Vec<&str> = with.iter().map(|encoder| encoder.name).collect();
    let _ = writeln!(
        text,
        "## EF error under the paper's disturbances\n\nThe same clips, each shadow at the same place at every \
         level. MAE in points and its rise.\n\n| | {} |\n|---|{}",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for (at, disturbed) in first.disturbed.iter().enumerate() {
        let cells: Vec<String> = with
            .iter()
            .filter_map(|encoder| encoder.disturbed.get(at))
            .map(|found| format!("{:.2} ({})", found.mae, signed(found.degradation)))
            .collect();
        let _ = writeln!(text, "| {} | {} |", disturbed.what, cells.join(" | "));
    }
    let means: Vec<String> = with
        .iter()
        .map(|encoder| or_dash(encoder.degradation.map(signed)))
        .collect();
    let _ = writeln!(text, "| mean rise | {} |\n", means.join(" | "));
}

fn kept(text: &mut String, report: &Report) {
    let Some(kept) = &report.kept_tokens else {
        return;
    };
    let _ = writeln!(
        text,
        "## The sector's tokens alone\n\n{} of the tokens, {} clips: the same view in {}, accuracy {}; EF moves \
         by {:+.2} points on average ({:.2} without sign), MAE {:.2}.\n",
        percent(kept.share),
        kept.clips,
        percent(kept.view_agreement),
        percent(kept.view_accuracy),
        kept.ef_shift,
        kept.ef_shift_absolute,
        kept.ef_mae
    );
}

fn through_the_package(text: &mut String, report: &Report) {
    if let Some(live) = &report.package {
        let _ = writeln!(
            text,
            "## The exported package, through the live path\n\n{} simulated hearts as a cart sees them, {} of them without a \
             clip. Released: what a reader of the page would have seen.\n",
            number(live, "/files"),
            number(live, "/skipped")
        );
        for (what, at) in [("all clips", "before"), ("released", "after")] {
            let _ = writeln!(
                text,
                "- view, {what}: {} of {} right;",
                number(live, &format!("/view_{at}_gating/right")),
                number(live, &format!("/view_{at}_gating/count"))
            );
        }
        let _ = writeln!(
            text,
            "- EF, released for {} hearts: MAE {}, bias {}, limits {} to {}; the interval holds the truth in a share \
             of {};",
            number(live, "/lvef_after_gating/count"),
            number(live, "/lvef_after_gating/mae"),
            number(live, "/lvef_after_gating/bias"),
            number(live, "/lvef_after_gating/limits/0"),
            number(live, "/lvef_after_gating/limits/1"),
            number(live, "/interval/coverage")
        );
        let _ = writeln!(
            text,
            "- withheld: the view of {} hearts, the EF of {} (those of other views than A4C among them).\n",
            number(live, "/view_withheld"),
            number(live, "/lvef_withheld")
        );
    }
    if let Some(int8) = &report.int8 {
        let _ = writeln!(
            text,
            "## INT8 against fp32, through the exported package\n\nToken cosine {} (worst {}); the same view in {} of {} clips; \
             largest change of the EF {} points; targets met: {}.\n",
            number(int8, "/tokens/cosine_mean"),
            number(int8, "/tokens/cosine_worst"),
            number(int8, "/heads/view/same_label"),
            number(int8, "/heads/view/compared"),
            number(int8, "/heads/lvef/largest_shift"),
            number(int8, "/targets_met")
        );
    }
}

/// A number of another program's report, or a dash.
fn number(value: &Value, at: &str) -> String {
    match value.pointer(at) {
        Some(Value::Number(number)) if number.is_f64() => {
            format!("{:.3}", number.as_f64().unwrap_or(f64::NAN))
        }
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        _ => "-".to_owned(),
    }
}

fn views(text: &mut String, report: &Report) {
    let Some(view) = shipped(report).and_then(|encoder| encoder.view.as_ref()) else {
        return;
    };
    let _ = writeln!(
        text,
        "## Views\n\nBalanced accuracy {}, temperature {:.2}. {} are outputs that no clip of the phantom \
         shows.\n\n![True and most probable view](views.svg)\n\n| true view | clips | right | most often taken \
         for |\n|---|---|---|---|",
        percent(view.views.balanced),
        view.temperature,
        UNSUPPORTED.join(" and ")
    );
    for (at, row) in view.confusion.iter().enumerate() {
        let all: usize = row.iter().sum();
        if all == 0 {
            continue;
        }
        let wrong = row.iter().enumerate().filter(|(to, _)| *to != at);
        let worst = wrong.max_by_key(|(_, count)| **count);
        let worst = worst.filter(|(_, count)| **count > 0);
        let _ = writeln!(
            text,
            "| {} | {all} | {} | {} |",
            VIEWS[at],
            percent(row[at] as f64 / all as f64),
            or_dash(worst.map(|(to, count)| format!("{} ({count})", VIEWS[to])))
        );
    }
    text.push('\n');
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn signed(share: f64) -> String {
    format!("{:+.1} %", 100.0 * share)
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
