//! Variants that need no calibration: the fp32 graphs with attention in plain operators, for
//! providers that do not know the fused one, made at export.

use crate::engines::Target;
use crate::error::ExportError;
use crate::onnx::proto::TensorProto;
use crate::progress::Steps;
use crate::quantise::plan::{AttentionPlan, GraphPlan, LinearPlan};
use crate::variant::{Draft, Form, Islands, Model, rewrite};
use echocart_core::manifest::{
    FileEntry, Manifest, Measured, Precision, Tokens, Tolerance, Variant,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::str::FromStr;

const MADE_HERE: [Precision; 2] = [Precision::Fp32, Precision::Fp16];
const CALIBRATED: [Precision; 4] = [
    Precision::Int8,
    Precision::Fp8,
    Precision::WeightInt8,
    Precision::WeightInt4,
];

/// A variant to be made beside fp32, by its name: `fp32-plain` for OpenVINO or `fp16-plain` for
/// TensorRT and TensorRT-RTX, with `:N` for a fixed number of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlainVariant {
    precision: Precision,
    tokens: Option<usize>,
}

impl PlainVariant {
    /// Name in the manifest, `fp32-plain` or `fp32-plain-k245`.
    pub fn name(self) -> String {
        let tokens = self.tokens.map(|tokens| format!("-k{tokens}"));
        format!("{}{}", stem(self.precision), tokens.unwrap_or_default())
    }

    /// The fixed number of tokens, if it has one.
    pub(crate) fn tokens(self) -> Option<usize> {
        self.tokens
    }

    fn providers(self) -> &'static [&'static str] {
        match self.precision {
            Precision::Fp16 => &["TensorRT", crate::engines::PROVIDER],
            _ => &["OpenVINO"],
        }
    }
}

fn stem(precision: Precision) -> String {
    format!("{}-plain", precision.as_str())
}

/// A word that is no variant of an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("variant: expected fp32-plain or fp16-plain, or either with :TOKENS, found {0:?}")]
pub struct UnknownVariant(String);

impl FromStr for PlainVariant {
    type Err = UnknownVariant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownVariant(text.to_owned());
        let (name, tokens) = match text.split_once(':') {
            Some((name, tokens)) => (name, Some(tokens.parse().map_err(|_| unknown())?)),
            None => (text, None),
        };
        let made = MADE_HERE.into_iter().find(|&p| stem(p) == name);
        let calibrated = CALIBRATED.into_iter().find(|p| p.as_str() == name);
        let precision = made.or(calibrated).ok_or_else(unknown)?;
        Ok(Self { precision, tokens })
    }
}

/// Checks that an export can make `variants` of an encoder of `all` tokens, and that every chip of
/// `targets` takes those for TensorRT-RTX.
///
/// # Errors
/// [`ExportError::Request`] for a number format that a chip cannot take, with the reason; for one
/// that needs calibration; for a number of tokens that a clip does not have; for chips without a
/// variant for them.
pub fn check_variants(
    variants: &[PlainVariant],
    targets: &[Target],
    all: usize,
) -> Result<(), ExportError> {
    let wrong = |what: String, expected: String, found: String| {
        Err(ExportError::Request {
            what,
            expected,
            found,
        })
    };
    for (at, variant) in variants.iter().enumerate() {
        let precision = variant.precision;
        let what = format!("variant {}", variant.name());
        for target in targets {
            if let Some(reason) = target.refusal(precision) {
                let word = precision.as_str();
                return wrong(
                    format!("variant {word}"),
                    format!("one that {target} takes"),
                    format!("{word}: {reason}"),
                );
            }
        }
        if !MADE_HERE.contains(&precision) {
            let expected = "fp32-plain or fp16-plain, which need no calibration (echocart quantise \
                            makes the others)";
            let what = "variant of an export".to_owned();
            return wrong(what, expected.to_owned(), precision.as_str().to_owned());
        }
        if let Some(tokens) = variant.tokens.filter(|tokens| !(1..=all).contains(tokens)) {
            let found = tokens.to_string();
            return wrong(what, format!("1 to {all} tokens"), found);
        }
        if variants.iter().skip(at + 1).any(|other| other == variant) {
            return wrong(what, "one of the name".to_owned(), "two".to_owned());
        }
    }
    let compiled = |v: &PlainVariant| v.providers().contains(&crate::engines::PROVIDER);
    if let Some(target) = targets.first().filter(|_| !variants.iter().any(compiled)) {
        let expected = "a variant that is compiled for chips: fp16-plain".to_owned();
        return wrong(format!("target {target}"), expected, "none".to_owned());
    }
    Ok(())
}

/// Plan and form of 16-bit floats with plain attention, norms and softmax in 32 bits.
pub(crate) fn half(model: &Model) -> (GraphPlan, Form) {
    let zero = AttentionPlan {
        query_limit: 0.0,
        key_limit: 0.0,
        share_limit: 0.0,
        value_limit: 0.0,
    };
    let linears = model.linear_layers().into_iter();
    let attentions = model.attentions().into_iter();
    let plan = GraphPlan {
        linears: linears.map(|l| (l.name, LinearPlan::default())).collect(),
        attentions: attentions.map(|a| (a.name, zero)).collect(),
        ..GraphPlan::default()
    };
    let islands = Islands {
        norms: true,
        softmax: true,
        layers: BTreeSet::new(),
    };
    (plan, Form::fp16(true, islands))
}

fn draft(model: &Model, precision: Precision) -> Result<Draft<'_>, ExportError> {
    match precision {
        Precision::Fp16 => {
            let (plan, form) = half(model);
            rewrite(model, &plan, &form)
        }
        _ => rewrite(model, &GraphPlan::default(), &Form::fp32(true)),
    }
}

/// Steps that [`add`] takes.
pub(crate) fn steps(variants: &[PlainVariant], manifest: &Manifest) -> usize {
    let graphs = |v: &Variant| 1 + v.heads.values().map(BTreeMap::len).sum::<usize>();
    let graphs: usize = manifest.variants.values().map(graphs).sum();
    variants.len() * graphs
}

/// Graphs and weights of variants, as they are written.
struct Writer<'a, 'p> {
    dir: &'a Path,
    steps: &'a mut Steps<'p>,
    files: BTreeSet<String>,
    weights: BTreeMap<String, Vec<TensorProto>>,
}

impl Writer<'_, '_> {
    /// Writes a variant of the graph `from`; `part` names the weights that its graphs share.
    fn graph(
        &mut self,
        variant: PlainVariant,
        part: &str,
        from: &str,
    ) -> Result<String, ExportError> {
        let stem_of = from.strip_suffix(".onnx").unwrap_or(from);
        let stem_of = stem_of.strip_suffix(".fp32").unwrap_or(stem_of);
        let file = format!("{stem_of}.{}.onnx", variant.name());
        self.steps.step(&file)?;
        let model = Model::open(&self.dir.join(from))?;
        let draft = draft(&model, variant.precision)?;
        let path = self.dir.join(&file);
        let mut made = if variant.precision == Precision::Fp32 {
            draft.same_weights()?
        } else {
            let name = format!("{part}.{}.weights", stem(variant.precision));
            let tensors = match self.weights.get(&name) {
                Some(tensors) => tensors,
                None => {
                    let steps = &mut *self.steps;
                    let tensors = draft.write(self.dir, &name, &mut |_| steps.check())?;
                    self.files.insert(name.clone());
                    self.weights.entry(name).or_insert(tensors)
                }
            };
            draft.model(&path, tensors)?
        };
        if let Some(tokens) = variant.tokens {
            made = made.with_tokens(tokens)?;
        }
        fs::write(&path, made.graph_bytes()).map_err(ExportError::write(&path))?;
        self.files.insert(file.clone());
        Ok(file)
    }
}

/// Writes `variants` of the graphs of `source` into the package at `dir` and enters them in its
/// manifest.
pub(crate) fn add(
    dir: &Path,
    manifest: &mut Manifest,
    source: &Variant,
    variants: &[PlainVariant],
    steps: &mut Steps<'_>,
) -> Result<(), ExportError> {
    let mut writer = Writer {
        dir,
        steps,
        files: BTreeSet::new(),
        weights: BTreeMap::new(),
    };
    for &variant in variants {
        let encoder = writer.graph(variant, "encoder", &source.encoder)?;
        let mut heads = BTreeMap::new();
        for (head, graphs) in &source.heads {
            let part = format!("head.{head}");
            let mut named = BTreeMap::new();
            for (key, from) in graphs {
                named.insert(key.clone(), writer.graph(variant, &part, from)?);
            }
            heads.insert(head.clone(), named);
        }
        let entry = Variant {
            precision: variant.precision,
            tokens: variant.tokens.map_or(Tokens::ANY, Tokens::Exactly),
            providers: variant.providers().iter().map(|&p| p.to_owned()).collect(),
            encoder,
            heads,
            tolerance: Tolerance::of(variant.precision),
            measured: Measured::NotRun {
                why: "no golden clips at export".to_owned(),
            },
        };
        manifest.variants.insert(variant.name(), entry);
    }
    for file in writer.files {
        let (sha256, bytes) = steps.hash(&dir.join(&file))?;
        manifest.files.insert(file, FileEntry { bytes, sha256 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variants: &[&str], targets: &[Target]) -> Result<(), String> {
        let variants: Vec<PlainVariant> = variants.iter().map(|v| v.parse().unwrap()).collect();
        check_variants(&variants, targets, 392).map_err(|e| e.to_string())
    }

    #[test]
    fn words_are_variants_or_nothing() {
        let name = |text: &str| text.parse().map(PlainVariant::name).ok();
        assert_eq!(name("fp32-plain").as_deref(), Some("fp32-plain"));
        assert_eq!(name("fp16-plain:245").as_deref(), Some("fp16-plain-k245"));
        for text in [
            "",
            "fp32",
            "fp16",
            "fp32-plain:",
            "fp32-plain:x",
            "int8-plain",
        ] {
            assert_eq!(name(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_chip_cannot_take_is_refused_with_the_reason() {
        let error = check(&["fp16-plain", "fp8"], &[Target::Sm89, Target::Sm86]).unwrap_err();
        assert!(
            error.contains("sm86") && error.contains("compute capability 8.9"),
            "{error}"
        );
        let error = check(&["fp8"], &[Target::Sm89]).unwrap_err();
        assert!(error.contains("echocart quantise"), "{error}");
        let error = check(&["fp32-plain"], &[Target::Sm86]).unwrap_err();
        assert!(error.contains("fp16-plain"), "{error}");
        assert_eq!(
            check(&["fp32-plain", "fp16-plain:392"], &Target::ALL),
            Ok(())
        );
    }

    #[test]
    fn a_number_of_tokens_beyond_the_clip_and_a_name_twice_are_refused() {
        for tokens in ["0", "393"] {
            let error = check(&[&format!("fp32-plain:{tokens}")], &[]).unwrap_err();
            assert!(error.contains("1 to 392"), "{error}");
        }
        let error = check(&["fp32-plain:7", "fp32-plain:7"], &[]).unwrap_err();
        assert!(error.contains("expected one of the name"), "{error}");
    }
}
