//! The heads of a case: from its probe files where it has them, else from its numbers.

use super::case::Case;
use super::output::{Of, Output, Selection};
use crate::checkpoint::{Best, ProbeFacts, probe_facts};
use crate::error::ExportError;
use crate::layout::{ProbeKind, SlotEmbedding};
use crate::recipe::{RecipeHead, RecipeOutput};
use crate::source::WeightSource;
use echocart_core::manifest::{LVEF, Slots, VIEW, is_plain_name};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const RVSP: &str = "rvsp";
const RANGE: [f64; 2] = [-1e6, 1e6];

/// Clips of a view, and slots, where neither the probe nor the case says them.
const CLIPS_PER_VIEW: usize = 2;
const SLOTS: usize = 4;

/// Most clips of one head: an engine's places for tokens.
const MOST_CLIPS: usize = 16;

/// One head of a case.
pub(super) struct CaseHead {
    pub(super) head: RecipeHead,
    pub(super) source: WeightSource,
    /// Values it gives.
    pub(super) values: usize,
    /// False for a view head that is there because a package needs one.
    pub(super) compared: bool,
}

impl CaseHead {
    fn new(head: RecipeHead, source: WeightSource, compared: bool) -> Self {
        let values = match &head.output {
            RecipeOutput::Classification { labels } => labels.len(),
            RecipeOutput::Regression { .. } => 1,
        };
        Self {
            head,
            source,
            values,
            compared,
        }
    }

    pub(super) fn regression(&self) -> bool {
        matches!(self.head.output, RecipeOutput::Regression { .. })
    }

    /// The clips that a name means for this head.
    pub(super) fn clips(&self, clips: &Selection) -> Option<Vec<usize>> {
        match (&self.head.slots, clips) {
            (Some(slots), clips) => clips.slots(slots.views.len(), slots.clips_per_view),
            (None, Selection::First(n @ 1..=MOST_CLIPS)) => Some((0..*n).collect()),
            (None, _) => None,
        }
    }
}

/// What is asked of one head.
#[derive(Default)]
struct Asked<'a> {
    regression: bool,
    selections: Vec<&'a Selection>,
}

/// Finds the heads of the case in `dir`, whose expected outputs are `outputs`.
pub(super) fn heads(
    case: &Case,
    dir: &Path,
    outputs: &[Output],
) -> Result<BTreeMap<String, CaseHead>, ExportError> {
    let mut asked: BTreeMap<&str, Asked<'_>> = BTreeMap::new();
    for output in outputs {
        if let Of::Head {
            head,
            regression,
            clips,
        } = &output.of
        {
            let entry = asked.entry(head).or_default();
            entry.regression = *regression && head != VIEW;
            entry.selections.push(clips);
        }
    }
    let file = |name: &str| dir.join(format!("{name}_probe.pt"));
    for (name, regression) in [(VIEW, false), (LVEF, true), (RVSP, true)] {
        if file(name).exists() {
            let unasked = Asked {
                regression,
                ..Asked::default()
            };
            asked.entry(name).or_insert(unasked);
        }
    }
    asked.retain(|name, _| {
        let named = is_plain_name(name) && !name.contains('.');
        named && ([VIEW, LVEF, RVSP].contains(name) || file(name).exists())
    });

    let mut names: Vec<&str> = asked.keys().copied().collect();
    names.sort_by_key(|&name| (name != VIEW, name));
    let mut heads = BTreeMap::new();
    let mut labels = vec![];
    if !names.contains(&VIEW) {
        let least = RecipeHead::least();
        labels = least.output.labels().to_vec();
        let source = WeightSource::Generated(case.tag.clone());
        heads.insert(VIEW.to_owned(), CaseHead::new(least, source, false));
    }
    for name in names {
        let Some(asked) = asked.get(name) else {
            continue;
        };
        let path = file(name);
        let best = if asked.regression {
            Best::Lowest
        } else {
            Best::Highest
        };
        let (facts, source) = if path.exists() {
            let facts = probe_facts(&path, best)?;
            (Some(facts), WeightSource::Checkpoint(path))
        } else {
            (None, WeightSource::Generated(case.tag.clone()))
        };
        let head = head(case, name, asked, facts.as_ref(), &labels)?;
        if name == VIEW {
            labels = head.output.labels().to_vec();
        }
        heads.insert(name.to_owned(), CaseHead::new(head, source, true));
    }
    Ok(heads)
}

fn head(
    case: &Case,
    name: &str,
    asked: &Asked<'_>,
    facts: Option<&ProbeFacts>,
    view_labels: &[String],
) -> Result<RecipeHead, ExportError> {
    let known = |key: &str, value: Option<usize>| {
        value.ok_or_else(|| case.wrong(format!("{key}: expected a number, found none")))
    };
    let probe = facts.map_or(ProbeKind::Attentive, |facts| facts.kind);
    let (mut heads, mut depth) = (None, None);
    if probe == ProbeKind::Attentive {
        heads = Some(known("probe_heads", case.probe_heads)?);
        let found = facts.map(|facts| facts.depth);
        depth = Some(known("probe_depth", found.or(case.probe_depth))?);
    }
    let output = if asked.regression {
        RecipeOutput::Regression {
            unit: "z".to_owned(),
            mean: Some(0.0),
            std: Some(1.0),
            scaler: None,
            required_views: view_labels.to_vec(),
            range: RANGE,
        }
    } else {
        let found = facts.map(|facts| facts.outputs);
        let classes = known("classes", found.or(case.classes))?;
        let labels = (0..classes).map(|i| format!("class {i}")).collect();
        RecipeOutput::Classification { labels }
    };
    let slots = slots(case, name, asked, facts);
    Ok(RecipeHead {
        segments: match &slots {
            Some(slots) => slots.count(),
            None if name == VIEW => 1,
            None => 2,
        },
        probe,
        heads,
        depth,
        slots,
        output,
    })
}

fn slots(case: &Case, name: &str, asked: &Asked<'_>, facts: Option<&ProbeFacts>) -> Option<Slots> {
    let found = facts.and_then(|facts| facts.embedding);
    if found.is_none() && name != RVSP && !asked.selections.iter().any(|s| s.needs_slots()) {
        return None;
    }
    let named = asked
        .selections
        .iter()
        .filter_map(|selection| match selection {
            Selection::All(n) => Some(*n),
            _ => None,
        });
    let named = named.max().unwrap_or(SLOTS);
    let (embedding, views, clips_per_view, count) = match (found, facts) {
        (Some(found), _) => (found.kind, found.views, found.clips_per_view, found.slots),
        (None, Some(_)) => (SlotEmbedding::None, None, None, named),
        (None, None) => (SlotEmbedding::Factorized, None, None, named),
    };
    let views = views.or(case.views);
    let clips_per_view = clips_per_view.or(case.clips_per_view);
    let usual = if count.is_multiple_of(CLIPS_PER_VIEW) {
        CLIPS_PER_VIEW
    } else {
        1
    };
    let clips_per_view = clips_per_view
        .or_else(|| views.map(|views| count / views.max(1)))
        .unwrap_or(usual)
        .max(1);
    let views = views.unwrap_or(count / clips_per_view);
    let mut allowed: BTreeSet<Vec<usize>> = asked
        .selections
        .iter()
        .filter_map(|selection| selection.slots(views, clips_per_view))
        .collect();
    if allowed.is_empty() {
        allowed.insert((0..views * clips_per_view).collect());
    }
    Some(Slots {
        views: (0..views).map(|view| format!("view {view}")).collect(),
        clips_per_view,
        embedding,
        allowed: allowed.into_iter().collect(),
    })
}
