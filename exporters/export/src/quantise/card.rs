//! `report.md`: the report for a reader.

use super::report::{LayerReport, Outcome, Report, VariantReport};
use std::fmt::Write;

/// Layers shown in the table of the worst.
const WORST: usize = 10;

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn outcome_cells(variant: &VariantReport) -> String {
    match &variant.outcome {
        Outcome::NotRun { why } => format!("not run: {why} | | | "),
        Outcome::Run {
            tokens,
            targets_met,
            ..
        } => {
            let met = if *targets_met { "met" } else { "**missed**" };
            format!(
                "{:.5} | {:.5} | {:.2e} | {met}",
                tokens.cosine_mean, tokens.cosine_worst, tokens.relative_rms
            )
        }
    }
}

fn heads(text: &mut String, report: &Report) {
    let mut rows = Vec::new();
    for (name, variant) in &report.variants {
        let Outcome::Run { heads, .. } = &variant.outcome else {
            continue;
        };
        for (head, distance) in heads {
            let same = distance.same_label;
            let same = same.map_or_else(String::new, |n| format!("{n} of {}", distance.compared));
            let shift = distance.largest_shift;
            let shift = shift.map_or_else(String::new, |s| format!("{s:.3}"));
            rows.push(format!(
                "| {name} | {head} | {:.2e} | {same} | {shift} |",
                distance.max_abs
            ));
        }
    }
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n## Heads\n\n| variant | head | largest difference of a raw output | same label | \
         largest shift of the value |\n|---|---|---|---|---|\n{}",
        rows.join("\n")
    );
}

fn layer_row(layer: &LayerReport) -> String {
    let number = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.1}"));
    let range = layer.range.map_or("", |range| match range {
        super::range::RangeRule::Known => "known",
        super::range::RangeRule::MinMax => "min-max",
        super::range::RangeRule::Percentile => "percentile",
        super::range::RangeRule::Mse => "MSE",
    });
    let alpha = layer.migration_alpha;
    let alpha = alpha.map_or_else(String::new, |alpha| alpha.to_string());
    format!(
        "| {} | {} | {:.2e} | {} | {range} | {alpha} | {} |",
        layer.graph,
        layer.name,
        layer.block_error,
        number(layer.signal_to_noise_db),
        if layer.quantised { "yes" } else { "no, fp32" }
    )
}

fn layers(text: &mut String, name: &str, variant: &VariantReport) {
    if variant.layers.is_empty() {
        return;
    }
    let quantised = variant.layers.iter().filter(|l| l.quantised).count();
    let _ = writeln!(
        text,
        "\n## Layers of {name}\n\n{quantised} of {} layers and attentions are quantised; \
         `{}` shows all of them.",
        variant.layers.len(),
        picture_name(name)
    );
    if let Some(rule) = &variant.rule {
        let _ = writeln!(text, "Rule: {}.", rule.words());
    }
    let mut worst: Vec<&LayerReport> = variant.layers.iter().collect();
    worst.sort_by(|a, b| b.block_error.total_cmp(&a.block_error));
    let rows: Vec<String> = worst.iter().take(WORST).map(|l| layer_row(l)).collect();
    let _ = writeln!(
        text,
        "\nThe {} with the largest error of their block's output:\n\n| graph | layer | block error \
         | own signal to noise, dB | range | migration | quantised |\n|---|---|---|---|---|---|---|\n{}",
        rows.len(),
        rows.join("\n")
    );
    if variant.rounds.len() > 1 {
        let _ = writeln!(
            text,
            "\nTries on calibration clips until the targets held with room to spare:\n\n| budget | \
             predicted | relative RMS | mean cosine | worst |\n|---|---|---|---|---|"
        );
        for round in &variant.rounds {
            let t = &round.tokens;
            let _ = writeln!(
                text,
                "| {:.4} | {:.4} | {:.4} | {:.5} | {:.5} |",
                round.budget, round.predicted, t.relative_rms, t.cosine_mean, t.cosine_worst
            );
        }
    }
}

/// Name of a variant's picture.
pub(super) fn picture_name(variant: &str) -> String {
    format!("layers.{variant}.svg")
}

fn origins(text: &mut String, report: &Report) {
    for (what, clips) in [
        ("Calibrated on", &report.calibration),
        ("Measured on", &report.held_out),
    ] {
        let _ = writeln!(text, "\n{what} {} clips:\n", clips.len());
        for clip in clips {
            let _ = writeln!(
                text,
                "- `{}` frames {} to {} (sha256 {})",
                clip.file,
                clip.first_frame,
                clip.last_frame,
                clip.sha256.get(..12).unwrap_or_default()
            );
        }
    }
}

/// The report as Markdown.
pub(super) fn markdown(report: &Report) -> String {
    let mut text = format!(
        "# Variants of {}\n\nMade from package {} ({}) by\n\n```sh\n{}\n```\n\nEverything was run \
         on {}. Distances are from the fp32 graphs, on clips that nothing was chosen by ({}).\n",
        report.parent,
        report.parent,
        report.parent_sha256.get(..12).unwrap_or_default(),
        report.command,
        report.ran_on,
        report.held_out_rule
    );
    let t = &report.targets;
    let _ = writeln!(
        text,
        "8-bit variants are held to: mean token cosine at least {}, worst at least {}, relative RMS \
         at most {}; the others to the relative RMS error that the manifest tolerates. What misses it is \
         refused by `package verify`.\n\n| variant | for | size (fp32: {}) | token cosine, mean | worst | relative \
         RMS | targets |\n|---|---|---|---|---|---|---|",
        t.cosine_mean,
        t.cosine_worst,
        t.relative_rms,
        megabytes(
            report
                .variants
                .values()
                .map(|v| v.fp32_bytes)
                .max()
                .unwrap_or(0)
        )
    );
    for (name, variant) in &report.variants {
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} |",
            variant.providers.join(", "),
            megabytes(variant.bytes),
            outcome_cells(variant)
        );
    }
    heads(&mut text, report);
    for (name, variant) in &report.variants {
        if let Some(islands) = &variant.islands {
            let _ = writeln!(text, "\n{name} keeps in fp32: {islands}.");
        }
        layers(&mut text, name, variant);
    }
    let _ = writeln!(text, "\n## Clips");
    origins(&mut text, report);
    text
}
