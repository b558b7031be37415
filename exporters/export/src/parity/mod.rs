//! Golden cases: an exported package on an engine against the outputs of the original model.
//!
//! A case is a folder with `case.json`, `expected.npz`, and the `.pt` files whose weights are not
//! generated: `encoder.pt`, `view_probe.pt`, `lvef_probe.pt`, `rvsp_probe.pt` and others of that
//! form. What a probe file says about itself (its kind, depth, classes, slots) is taken from it.

mod case;
mod compare;
mod expected;
mod heads;
mod output;

pub use case::Case;
pub use compare::{HEAD_TOLERANCE, Row, Status, TOKENS_TOLERANCE};

use crate::error::ExportError;
use crate::package::{ExportRequest, export_with_graphs};
use crate::progress::{Progress, go_on};
use crate::recipe::MoreGraphs;
use crate::source::WeightSource;
use compare::{compare_head, compare_tokens};
use echocart_core::engine::Engine;
use echocart_core::manifest::{LVEF, VIEW};
use expected::Expected;
use heads::{CaseHead, heads};
use output::{Of, Output, Selection};
use std::collections::BTreeMap;
use std::path::Path;

const KEEP: &str = "keep";
const INDEX: &str = "token_index";
const KEPT_INDEX: &str = "kept_token_index";
const NO_OUTPUTS: [&str; 3] = [INDEX, KEEP, KEPT_INDEX];

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
    let listed: Vec<Output> = expected
        .names()
        .iter()
        .filter_map(|n| Output::parse(n))
        .collect();
    let heads = heads(&case, case_dir, &listed)?;
    let plan = Plan::new(listed, &heads, expected.has(KEEP));
    let file = case_dir.join("encoder.pt");
    let encoder = if file.exists() {
        WeightSource::Checkpoint(file)
    } else {
        WeightSource::Generated(case.tag.clone())
    };
    let words = |source: &WeightSource| match source {
        WeightSource::Checkpoint(path) => path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        WeightSource::Generated(tag) => format!("generated:{tag}"),
    };
    let mut sources: BTreeMap<String, String> = heads
        .iter()
        .filter(|(_, head)| head.compared)
        .map(|(name, head)| (name.clone(), words(&head.source)))
        .collect();
    sources.insert("encoder".to_owned(), words(&encoder));

    let temporary = tempfile::Builder::new()
        .prefix("echocart-parity-")
        .tempdir()
        .map_err(ExportError::write(&std::env::temp_dir()))?;
    let recipes = heads
        .iter()
        .map(|(name, head)| (name.clone(), head.head.clone()));
    let probes = heads
        .iter()
        .map(|(name, head)| (name.clone(), head.source.clone()));
    let request = ExportRequest {
        recipe: case.recipe(recipes.collect())?,
        encoder,
        probes: probes.collect(),
        out_dir: temporary.path().join("package"),
        replace: false,
    };
    let package = export_with_graphs(&request, None, &plan.graphs(), progress)?;

    go_on(progress("load the graphs", 0, 1))?;
    let engine = make_engine(&package.dir).map_err(|message| ExportError::Engine { message })?;
    let info = engine.info();
    let mut run = Run {
        case: &case,
        heads: &heads,
        expected: &mut expected,
        engine,
        progress,
        rows: Vec::new(),
    };
    run.whole_clips(&plan)?;
    run.kept_tokens(&plan)?;
    let mut rows = run.rows;
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

/// One comparison: an output, and the clips its head is given.
struct Task {
    output: Output,
    clips: Vec<usize>,
}

/// What is compared, in the order of the report.
struct Plan {
    tasks: Vec<Task>,
}

impl Plan {
    /// Takes the outputs listed that this version computes, and those that a case with these heads
    /// must list.
    fn new(listed: Vec<Output>, heads: &BTreeMap<String, CaseHead>, kept: bool) -> Self {
        let mut outputs = listed;
        let mut need = |name: String| {
            if outputs.iter().all(|output| output.name != name) {
                outputs.extend(Output::parse(&name));
            }
        };
        need("tokens_clip0".to_owned());
        if kept {
            need("tokens_kept_clip0".to_owned());
        }
        for (name, head) in heads.iter().filter(|(_, head)| head.compared) {
            match &head.head.slots {
                Some(slots) => need(format!("{name}_z_{}slot", slots.count())),
                None if name == VIEW => (1..=2).for_each(|n| need(format!("view_logits_{n}clip"))),
                None if name == LVEF => (1..=2).for_each(|n| need(format!("lvef_z_{n}clip"))),
                None => {}
            }
        }
        let clips = |output: &Output| match &output.of {
            Of::Tokens(clip) => Some(vec![*clip]),
            Of::Head {
                head,
                regression,
                clips,
            } => {
                let head = heads
                    .get(head)
                    .filter(|h| h.compared && h.regression() == *regression);
                head?.clips(clips)
            }
        };
        let task = |output: Output| {
            let clips = clips(&output)?;
            Some(Task { output, clips })
        };
        let mut tasks: Vec<Task> = outputs.into_iter().filter_map(task).collect();
        tasks.sort_by_cached_key(|task| {
            let (head, slots) = match &task.output.of {
                Of::Tokens(_) => (0, false),
                Of::Head { head, clips, .. } => match head.as_str() {
                    VIEW => (1, clips.needs_slots()),
                    LVEF => (2, clips.needs_slots()),
                    _ => (3, clips.needs_slots()),
                },
            };
            let partial = matches!(
                &task.output.of,
                Of::Head { clips, .. } if clips.needs_slots() && !matches!(clips, Selection::All(_))
            );
            (
                slots,
                task.output.kept,
                head,
                partial,
                task.output.name.clone(),
            )
        });
        Self { tasks }
    }

    fn of(&self, kept: bool) -> impl Iterator<Item = &Task> {
        self.tasks
            .iter()
            .filter(move |task| task.output.kept == kept)
    }

    /// Numbers of clips that the heads need graphs for.
    fn graphs(&self) -> MoreGraphs {
        let mut graphs = MoreGraphs::new();
        for task in &self.tasks {
            if let Of::Head { head, .. } = &task.output.of {
                let numbers = graphs.entry(head.clone()).or_default();
                numbers.insert(task.clips.len());
            }
        }
        graphs
    }

    /// Clips to encode: one more than the highest number.
    fn clips(&self, kept: bool) -> usize {
        let highest = self.of(kept).flat_map(|task| &task.clips).max();
        highest.map_or(0, |clip| clip + 1)
    }
}

struct Run<'a, 'p> {
    case: &'a Case,
    heads: &'a BTreeMap<String, CaseHead>,
    expected: &'a mut Expected,
    engine: Box<dyn Engine>,
    progress: Progress<'p>,
    rows: Vec<Row>,
}

fn failed(message: impl ToString) -> ExportError {
    ExportError::Engine {
        message: message.to_string(),
    }
}

impl Run<'_, '_> {
    fn room(&self, clips: usize) -> Result<(), ExportError> {
        let found = self.engine.slots();
        if found >= clips {
            return Ok(());
        }
        Err(failed(format!(
            "expected at least {clips} token slots, found {found}"
        )))
    }

    fn whole_clips(&mut self, plan: &Plan) -> Result<(), ExportError> {
        let clips = plan.clips(false);
        self.room(clips)?;
        for clip in 0..clips {
            go_on((self.progress)(&format!("encode clip {clip}"), clip, clips))?;
            let tubelets = self.case.tubelets(clip);
            self.engine.encode(&tubelets, clip).map_err(failed)?;
        }
        let index = self.expected.has(INDEX).then_some(INDEX);
        for task in plan.of(false) {
            self.compare(task, self.case.tokens(), index)?;
        }
        Ok(())
    }

    fn kept_tokens(&mut self, plan: &Plan) -> Result<(), ExportError> {
        let clips = plan.clips(true);
        if clips == 0 {
            return Ok(());
        }
        let tokens = self.case.tokens();
        let keep = self.expected.integers(KEEP).and_then(|ids| {
            let place = |&id: &i64| usize::try_from(id).ok().filter(|&id| id < tokens);
            let places: Option<Vec<usize>> = ids.iter().map(place).collect();
            places
                .filter(|places| !places.is_empty())
                .ok_or_else(|| format!("{KEEP}: expected ids of 0 to {}", tokens.max(1) - 1))
        });
        let keep = match keep {
            Ok(keep) => keep,
            Err(note) => {
                let row = |task: &Task| Row::failed(&task.output.name, note.clone());
                self.rows.extend(plan.of(true).map(row));
                return Ok(());
            }
        };
        self.room(clips)?;
        for clip in 0..clips {
            let what = format!("encode the kept tokens of clip {clip}");
            go_on((self.progress)(&what, clip, clips))?;
            let rows = self.case.rows(clip, &keep).map_err(failed)?;
            let encoded = self.engine.encode_kept(&rows, &keep, clip);
            encoded.map_err(failed)?;
        }
        let index = self.expected.has(KEPT_INDEX).then_some(KEPT_INDEX);
        for task in plan.of(true) {
            self.compare(task, keep.len(), index)?;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        task: &Task,
        tokens: usize,
        index: Option<&str>,
    ) -> Result<(), ExportError> {
        let (name, clips) = (&task.output.name, &task.clips);
        go_on((self.progress)(name, 0, 1))?;
        let mut found = Vec::new();
        let row = match &task.output.of {
            Of::Tokens(clip) => {
                self.engine.tokens(*clip, &mut found).map_err(failed)?;
                let expected = self.expected.floats(name);
                let index = index.map(|index| (index, self.expected.integers(index)));
                compare_tokens(name, &found, [tokens, self.case.dim], expected, index)
            }
            Of::Head { head, .. } => {
                let Some(known) = self.heads.get(head) else {
                    return Ok(());
                };
                let ran = match known.head.slots {
                    Some(_) => self.engine.multi_view_head(head, clips, clips, &mut found),
                    None => self.engine.head(head, clips, &mut found),
                };
                ran.map_err(failed)?;
                compare_head(name, &found, known.values, self.expected.floats(name))
            }
        };
        self.rows.push(row);
        Ok(())
    }
}
