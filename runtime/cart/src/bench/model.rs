//! `echocart bench model`: encoder and view + EF update of one or two sides, in turn.

use super::child::SideProcess;
use super::clips::Nearness;
use super::figures::Figures;
use super::side::{Answer, Ask, Opened, SideArgs};
use crate::exit::{Because, Cause, Failure};
use crate::export::print;
use clap::Args;
use echocart_core::config::PackageConfig;
use echocart_core::manifest::{Manifest, Tokens};
use echocart_core::package::Package;
use echocart_infer::{Provider, choose};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const STAGES: [&str; 6] = [
    "encoder",
    "view",
    "lvef",
    "update",
    "encoder_cpu",
    "update_cpu",
];
const EXAMPLES: &str = "\
Examples:
  echocart bench model --package pkg                              the CPU provider, its best variant
  echocart bench model --package pkg --provider OpenVINO --variant int8 --pairs 20
  echocart bench model --package pkg --provider CPU,OpenVINO      two providers in turn
  echocart bench model --package pkg --provider OpenVINO --variant fp32-plain,int8 --tokens all
  echocart bench model --package pkg --tokens all,62.5%,400 --threads 1 --cpu-set 0 --json

An update is what one clip costs: encoder and view head on it, then the EF head on it and the clip
before. Two sides are asked in turn, each in a process of its own, the first one first in every other
pair. Kept tokens are spread evenly over the clip and are forced here whatever the package allows;
what that does to the numbers is not measured. `_cpu` is time that all threads computed, which a
busy machine changes less. Cosines are of the golden clips' tokens, against fp32.

Exit codes: 0 done, 2 usage, 4 package, 5 a provider does not run it.";

/// What to time.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ModelArgs {
    /// Model package.
    #[arg(long, value_name = "DIR")]
    package: PathBuf,
    /// One provider, or two to compare: CPU, OpenVINO, CUDA, TensorRT, TensorRT-RTX.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "CPU"
    )]
    provider: Vec<Provider>,
    /// One variant, or two to compare. Without it: the one that live use would take.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    variant: Vec<String>,
    /// Tokens of a clip: all, a number, or a share such as 62.5%.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "all,62.5%"
    )]
    tokens: Vec<TokenCount>,
    /// Updates timed of each side and number of tokens, after two that are not.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pairs: u32,
    /// Threads of one graph run.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// CPUs that the engine may use, for example 0,1. Without it: as they are.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    cpu_set: Vec<usize>,
    /// Let OpenVINO, TensorRT and TensorRT-RTX build graphs for any number of tokens instead of one each.
    #[arg(long)]
    open_sizes: bool,
    /// Time the encoder alone.
    #[arg(long)]
    encoder_only: bool,
    /// Provider option by ONNX Runtime's name, for trying.
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = pair)]
    options: Vec<(String, String)>,
    /// Print JSON, with every sample.
    #[arg(long)]
    json: bool,
}

/// A number of tokens as it is typed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TokenCount {
    All,
    Number(usize),
    Percent(f64),
}

impl std::str::FromStr for TokenCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("expected all, a number above 0 or a share such as 62.5%, found {text:?}");
        match (text, text.strip_suffix('%')) {
            ("all", _) => Ok(Self::All),
            (_, Some(share)) => match share.parse::<f64>() {
                Ok(share) if share > 0.0 && share <= 100.0 => Ok(Self::Percent(share)),
                _ => Err(wrong()),
            },
            _ => match text.parse::<usize>() {
                Ok(number) if number > 0 => Ok(Self::Number(number)),
                _ => Err(wrong()),
            },
        }
    }
}

impl TokenCount {
    fn of(self, all: usize) -> usize {
        match self {
            Self::All => all,
            Self::Number(number) => number,
            Self::Percent(share) => ((all as f64 * share / 100.0).round() as usize).max(1),
        }
    }
}

/// `KEY=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("expected KEY=VALUE, found {text:?}")),
    }
}

#[derive(Debug, Serialize)]
struct Report {
    package: String,
    model: String,
    threads: u16,
    cpu_set: Vec<usize>,
    pairs: u32,
    sides: Vec<SideReport>,
    /// Median of the first side over that of the second, by tokens and stage.
    ratios: BTreeMap<usize, BTreeMap<String, f64>>,
}

#[derive(Debug, Serialize)]
struct SideReport {
    provider: &'static str,
    variant: String,
    opened: Opened,
    /// Resident memory after the last update.
    resident_mib: u64,
    nearness: Option<Nearness>,
    /// Milliseconds by tokens and stage.
    figures: BTreeMap<usize, BTreeMap<String, Figures>>,
}

/// Times and prints.
pub fn model(args: &ModelArgs) -> Result<ExitCode, Failure> {
    let package = Package::open(&args.package, &PackageConfig::ANY).because(Cause::Package)?;
    let counts = counts(args, &package.manifest)?;
    let mut sides = Vec::new();
    for side in sides_of(args, &package.manifest, &counts)? {
        let (process, opened) = SideProcess::start(&side)?;
        let report = SideReport {
            provider: side.provider.as_str(),
            variant: side.variant,
            resident_mib: opened.resident_mib,
            opened,
            nearness: None,
            figures: BTreeMap::new(),
        };
        sides.push((process, report));
    }
    for (process, report) in &mut sides {
        if let Answer::Nearness(nearness) = process.ask(Ask::Nearness)? {
            report.nearness = nearness;
        }
    }
    for tokens in counts {
        measure(&mut sides, tokens, args.pairs)?;
    }
    let sides: Vec<SideReport> = sides.into_iter().map(|(_, report)| report).collect();
    let report = Report {
        package: package.name(),
        model: package.manifest.encoder.words(),
        threads: args.threads,
        cpu_set: args.cpu_set.clone(),
        pairs: args.pairs,
        ratios: ratios(&sides),
        sides,
    };
    let text = match args.json {
        true => serde_json::to_string_pretty(&report).because(Cause::Other)? + "\n",
        false => table(&report).because(Cause::Other)?,
    };
    print(&text).because(Cause::Other)?;
    Ok(ExitCode::SUCCESS)
}

fn counts(args: &ModelArgs, manifest: &Manifest) -> Result<Vec<usize>, Failure> {
    let all = manifest.encoder.tokens();
    let mut counts = Vec::new();
    for count in args.tokens.iter().map(|count| count.of(all)) {
        if count > all {
            let text = format!("--tokens: expected at most the {all} of a clip, found {count}");
            return Err(Failure::text(Cause::Usage, text));
        }
        if !counts.contains(&count) {
            counts.push(count);
        }
    }
    Ok(counts)
}

fn sides_of(
    args: &ModelArgs,
    manifest: &Manifest,
    counts: &[usize],
) -> Result<Vec<SideArgs>, Failure> {
    let usage = |text: String| Failure::text(Cause::Usage, text);
    let count = args.provider.len().max(args.variant.len());
    if count > 2 {
        return Err(usage(format!("expected one side or two, found {count}")));
    }
    let mut sides = Vec::new();
    for at in 0..count {
        let provider = args.provider.get(at).or(args.provider.last());
        let provider = *provider.ok_or_else(|| usage("--provider: found none".to_owned()))?;
        let variant = match args.variant.get(at).or(args.variant.last()) {
            Some(variant) => variant.clone(),
            None => choose(manifest, provider)
                .map_err(|why| Failure::text(Cause::Package, why))?
                .to_owned(),
        };
        let Some(found) = manifest.variants.get(&variant) else {
            let known: Vec<&str> = manifest.variants.keys().map(String::as_str).collect();
            let known = known.join(", ");
            return Err(usage(format!(
                "--variant: expected one of {known}, found {variant}"
            )));
        };
        let tokens: Vec<usize> = match found.tokens {
            Tokens::Any(_) => counts.to_vec(),
            Tokens::Exactly(only) => counts.iter().copied().filter(|&n| n == only).collect(),
        };
        if tokens.is_empty() {
            let text = format!("variant {variant} takes none of {counts:?} tokens");
            return Err(usage(text));
        }
        sides.push(SideArgs {
            package: args.package.clone(),
            provider,
            variant,
            tokens,
            threads: usize::from(args.threads),
            cpus: args.cpu_set.clone(),
            open_sizes: args.open_sizes,
            encoder_only: args.encoder_only,
            options: args.options.clone(),
        });
    }
    Ok(sides)
}

/// Two updates of each side that do not count, then `pairs` in turn.
fn measure(
    sides: &mut [(SideProcess, SideReport)],
    tokens: usize,
    pairs: u32,
) -> Result<(), Failure> {
    const WARM_UP: u32 = 2;
    let mut nanos: Vec<BTreeMap<String, Vec<u64>>> = vec![BTreeMap::new(); sides.len()];
    for turn in 0..WARM_UP + pairs {
        for place in 0..sides.len() {
            let at = match turn.is_multiple_of(2) {
                true => place,
                false => sides.len() - 1 - place,
            };
            let Some((process, report)) = sides.get_mut(at) else {
                continue;
            };
            if !report.opened.tokens.contains(&tokens) {
                continue;
            }
            let Answer::Update {
                nanos: took,
                resident_mib,
            } = process.ask(Ask::Update(tokens))?
            else {
                continue;
            };
            report.resident_mib = resident_mib;
            if turn >= WARM_UP
                && let Some(all) = nanos.get_mut(at)
            {
                for (stage, took) in took {
                    all.entry(stage).or_default().push(took);
                }
            }
        }
    }
    for ((_, report), nanos) in sides.iter_mut().zip(nanos) {
        let stages = nanos.into_iter();
        let figures = stages.map(|(stage, nanos)| (stage, Figures::of(&nanos)));
        report.figures.insert(tokens, figures.collect());
    }
    Ok(())
}

fn ratios(sides: &[SideReport]) -> BTreeMap<usize, BTreeMap<String, f64>> {
    let [first, second] = sides else {
        return BTreeMap::new();
    };
    let mut ratios = BTreeMap::new();
    for (tokens, stages) in &first.figures {
        let other = second.figures.get(tokens);
        let ratio = |(stage, figures): (&String, &Figures)| {
            let other = other?.get(stage)?;
            Some((stage.clone(), figures.median / other.median))
        };
        let of_stages: BTreeMap<String, f64> = stages.iter().filter_map(ratio).collect();
        ratios.insert(*tokens, of_stages);
    }
    ratios
}

fn table(report: &Report) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let cpus: Vec<String> = report.cpu_set.iter().map(usize::to_string).collect();
    let cpus = match cpus.is_empty() {
        true => "as they are".to_owned(),
        false => cpus.join(","),
    };
    let Report {
        package,
        model,
        threads,
        pairs,
        ..
    } = report;
    writeln!(text, "package: {package}, {model}")?;
    writeln!(
        text,
        "{threads} thread(s), CPUs {cpus}, {pairs} updates of each side in turn"
    )?;
    for (letter, side) in ["A", "B"].into_iter().zip(&report.sides) {
        writeln!(text, "{letter}: {}", side.opened.words)?;
        for (graph, nodes) in &side.opened.nodes {
            let nodes: Vec<String> = nodes.iter().map(|(p, n)| format!("{p} {n}")).collect();
            writeln!(text, "   {graph}: {}", nodes.join(", "))?;
        }
        let opened = side.opened.open_millis.iter();
        let opened: Vec<String> = opened
            .map(|(tokens, millis)| format!("{tokens} tokens {:.2} s", millis / 1e3))
            .collect();
        writeln!(
            text,
            "   opened: {}; resident {} MiB, after the last update {} MiB",
            opened.join(", "),
            side.opened.resident_mib,
            side.resident_mib
        )?;
        match &side.nearness {
            Some(n) => writeln!(
                text,
                "   tokens against fp32: cosine {:.5} mean, {:.5} worst, relative RMS {:.2e} ({} tokens)",
                n.cosine_mean, n.cosine_worst, n.relative_rms, n.tokens
            )?,
            None => writeln!(text, "   tokens against fp32: not compared")?,
        }
    }
    writeln!(text, "milliseconds: median (p99, least)")?;
    writeln!(
        text,
        "| tokens | stage | A | B | A / B |\n|---|---|---|---|---|"
    )?;
    let Some(first) = report.sides.first() else {
        return Ok(text);
    };
    for (tokens, stages) in first.figures.iter().rev() {
        for stage in STAGES {
            let cell = |side: &SideReport| {
                let figures = side.figures.get(tokens).and_then(|s| s.get(stage));
                figures.map(|f| format!("{:.1} ({:.1}, {:.1})", f.median, f.p99, f.least))
            };
            if !stages.contains_key(stage) {
                continue;
            }
            let a = cell(first).unwrap_or_else(|| "-".to_owned());
            let b = report
                .sides
                .get(1)
                .and_then(cell)
                .unwrap_or_else(|| "-".to_owned());
            let ratio = report.ratios.get(tokens).and_then(|r| r.get(stage));
            let ratio = ratio.map_or("-".to_owned(), |r| format!("{r:.3}"));
            writeln!(text, "| {tokens} | {stage} | {a} | {b} | {ratio} |")?;
        }
    }
    for (letter, side) in ["A", "B"].into_iter().zip(&report.sides) {
        savings(&mut text, letter, side)?;
    }
    Ok(text)
}

/// What fewer tokens save, against the most tokens measured.
fn savings(text: &mut String, letter: &str, side: &SideReport) -> std::fmt::Result {
    let median = |stages: &BTreeMap<String, Figures>| stages.get("update").map(|f| f.median);
    let mut counts = side.figures.iter().rev();
    let Some((most, Some(whole))) = counts.next().map(|(n, s)| (n, median(s))) else {
        return Ok(());
    };
    for (tokens, stages) in counts {
        if let Some(kept) = median(stages) {
            let share = 100.0 * *tokens as f64 / *most as f64;
            let saved = 100.0 * (1.0 - kept / whole);
            writeln!(
                text,
                "{letter}: {tokens} tokens ({share:.1} %) take {saved:.1} % less per update"
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_tokens_is_all_a_number_or_a_share() {
        let read = |text: &str| text.parse::<TokenCount>();
        assert_eq!(read("all").unwrap().of(1568), 1568);
        assert_eq!(read("62.5%").unwrap().of(1568), 980);
        assert_eq!(read("7").unwrap().of(1568), 7);
        for text in ["0", "", "0%", "101%", "-3", "some"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
