//! Golden cases: an exported package on an engine against the outputs of the original model.
//!
//! A case is a folder with `case.json`, `expected.npz`, and the `.pt` files whose weights are not
//! generated: `encoder.pt`, `view_probe.pt`, `lvef_probe.pt`.

mod case;
mod compare;
mod expected;

pub use case::Case;
pub use compare::{HEAD_TOLERANCE, Row, Status, TOKENS_TOLERANCE};

use crate::error::ExportError;
use crate::package::{ExportRequest, export};
use crate::progress::{Progress, go_on};
use crate::source::WeightSource;
use compare::{compare_head, compare_tokens};
use echocart_core::engine::Engine;
use echocart_core::manifest::{LVEF, VIEW};
use expected::Expected;
use std::collections::BTreeMap;
use std::path::Path;

const TOKENS: &str = "tokens_clip0";
const INDEX: &str = "token_index";
const NO_OUTPUTS: [&str; 3] = [INDEX, "keep", "kept_token_index"];
const HEAD_OUTPUTS: [(&str, &str, usize); 4] = [
    (VIEW, "view_logits_1clip", 1),
    (VIEW, "view_logits_2clip", 2),
    (LVEF, "lvef_z_1clip", 1),
    (LVEF, "lvef_z_2clip", 2),
];

/// Makes an engine over a package folder.
pub type MakeEngine<'a> = &'a mut dyn FnMut(&Path) -> Result<Box<dyn Engine>, String>;

/// What a case gave.
#[derive(Debug, Clone, PartialEq)]
pub struct ParityReport {
    /// One row per output of the case.
    pub rows: Vec<Row>,
    /// Where the weights of the encoder and of each head came from, in words.
    pub sources: BTreeMap<String, String>,
    /// What ran it.
    pub engine: String,
}

impl ParityReport {
    /// True if no output failed.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.status != Status::Fail)
    }
}

/// Exports the case at `case_dir` into a temporary folder, runs it and compares every output.
///
/// An expected array that is missing, has another shape or holds a value that is no number fails.
/// Outputs that this version does not compute are `not checked`.
///
/// # Errors
/// [`ExportError`] if the case cannot be read, exported or run at all, [`ExportError::Interrupted`]
/// if `progress` stops it; a call of the engine in flight ends first.
pub fn run(
    case_dir: &Path,
    make_engine: MakeEngine<'_>,
    progress: Progress<'_>,
) -> Result<ParityReport, ExportError> {
    let case = Case::open(&case_dir.join("case.json"))?;
    let mut expected = Expected::open(&case_dir.join("expected.npz"))?;
    let source = |file: &str| {
        let path = case_dir.join(file);
        if path.exists() {
            WeightSource::Checkpoint(path)
        } else {
            WeightSource::Generated(case.tag.clone())
        }
    };
    let encoder = source("encoder.pt");
    let probes: BTreeMap<String, WeightSource> = [VIEW, LVEF]
        .map(|name| (name.to_owned(), source(&format!("{name}_probe.pt"))))
        .into();
    let words = |source: &WeightSource| match source {
        WeightSource::Checkpoint(path) => path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        WeightSource::Generated(tag) => format!("generated:{tag}"),
    };
    let mut sources: BTreeMap<String, String> = probes
        .iter()
        .map(|(name, source)| (name.clone(), words(source)))
        .collect();
    sources.insert("encoder".to_owned(), words(&encoder));
    let absent = |name: &str| {
        let no_file = |source: Option<&WeightSource>| {
            source.is_none_or(|source| matches!(source, WeightSource::Generated(_)))
        };
        !no_file(Some(&encoder))
            && no_file(probes.get(name))
            && HEAD_OUTPUTS
                .iter()
                .all(|(head, output, _)| *head != name || !expected.has(output))
    };
    let outputs: Vec<_> = HEAD_OUTPUTS
        .into_iter()
        .filter(|(name, _, _)| !absent(name))
        .collect();

    let temporary = tempfile::Builder::new()
        .prefix("echocart-parity-")
        .tempdir()
        .map_err(ExportError::write(&std::env::temp_dir()))?;
    let request = ExportRequest {
        recipe: case.recipe(),
        encoder: encoder.clone(),
        probes: probes.clone(),
        out_dir: temporary.path().join("package"),
        replace: false,
    };
    let package = export(&request, progress)?;

    let failed = |message: String| ExportError::Engine { message };
    go_on(progress("load the graphs", 0, 1))?;
    let mut engine = make_engine(&package.dir).map_err(failed)?;
    let info = engine.info();
    if engine.slots() < 2 {
        return Err(failed(format!(
            "expected at least 2 token slots, found {}",
            engine.slots()
        )));
    }
    for clip in 0..2 {
        go_on(progress(&format!("encode clip {clip}"), clip, 2))?;
        engine
            .encode(&case.tubelets(clip), clip)
            .map_err(|e| failed(e.to_string()))?;
    }
    let mut found = Vec::new();
    engine
        .tokens(0, &mut found)
        .map_err(|e| failed(e.to_string()))?;
    let mut rows = vec![compare_tokens(
        TOKENS,
        &found,
        [case.tokens(), case.dim],
        expected.floats(TOKENS),
        expected.has(INDEX).then(|| expected.integers(INDEX)),
    )];
    for &(head, output, clips) in &outputs {
        go_on(progress(output, 0, 1))?;
        let slots: Vec<usize> = (0..clips).collect();
        engine
            .head(head, &slots, &mut found)
            .map_err(|e| failed(e.to_string()))?;
        let values = if head == VIEW { case.classes } else { 1 };
        rows.push(compare_head(
            output,
            &found,
            values,
            expected.floats(output),
        ));
    }
    go_on(progress("done", 1, 1))?;
    for name in expected.names() {
        if !NO_OUTPUTS.contains(&name.as_str()) && rows.iter().all(|row| row.output != name) {
            rows.push(Row::not_checked(name));
        }
    }
    Ok(ParityReport {
        rows,
        sources,
        engine: format!("{}, {}", info.provider, info.library),
    })
}
