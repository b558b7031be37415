//! The parity gate: no variant serves before it gave the package's golden answers here.
//!
//! What passed is kept in a cache, so that the same graphs with the same options, libraries,
//! driver and device are run once.

mod cache;
mod device;
mod folder;
mod mac;

use crate::engine::OrtEngine;
use crate::provider::Provider;
use cache::Cache;
use echocart_core::engine::Timings;
use echocart_core::golden::{self, Check, GoldenError};
use echocart_core::package::Package;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Checks named in an error; the rest is counted.
const NAMED: usize = 3;

/// Why a variant does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// It gave other answers than expected.
    #[error(
        "variant {variant} on {provider}: expected the package's golden outputs, found {found} \
         ({path})"
    )]
    Wrong {
        /// The variant.
        variant: String,
        /// What ran it.
        provider: Provider,
        /// The outputs at fault, with difference and limit.
        found: String,
        /// The package.
        path: PathBuf,
    },
    /// It could not be compared.
    #[error("variant {variant} on {provider} is not proven: {error} ({path})")]
    NotRun {
        /// The variant.
        variant: String,
        /// What should have run it.
        provider: Provider,
        /// Why.
        error: Box<GoldenError>,
        /// The package.
        path: PathBuf,
    },
}

/// How a variant came to serve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// Hit or miss of the cache, with the reason, in words.
    pub words: String,
    /// True if no golden clip was run because the cache holds the proof.
    pub cached: bool,
    /// Measured when the golden clips ran; absent if the variant serves without proof.
    pub timings: Option<Timings>,
}

/// Proves an open engine, from the cache in `folder` or by the golden clips. `say` is told what is
/// being done.
///
/// # Errors
/// [`GateError`]; the engine must not serve then.
pub fn prove(
    engine: &mut OrtEngine,
    package: &Package,
    folder: Option<&Path>,
    say: &mut dyn FnMut(&str),
) -> Result<Passed, GateError> {
    let subject = device::subject(engine, package);
    let opened = match folder {
        Some(folder) => Cache::open(folder),
        None => Err("no cache folder".to_owned()),
    };
    let why = match &opened {
        Ok(cache) => match cache.find(&subject) {
            Ok(timings) => {
                return Ok(Passed {
                    words: "hit: proven before".to_owned(),
                    cached: true,
                    timings: Some(timings),
                });
            }
            Err(why) => why,
        },
        Err(why) => why.clone(),
    };
    say(&format!("miss: {why}; running the golden clips"));
    let timings = run(engine, package, say)?;
    let kept = opened.and_then(|cache| cache.keep(&subject, &timings));
    let not_kept = match (folder, kept) {
        (Some(_), Err(why)) => format!("; not kept: {why}"),
        _ => String::new(),
    };
    Ok(Passed {
        words: format!("miss: {why}; passed{not_kept}"),
        cached: false,
        timings: Some(timings),
    })
}

fn run(
    engine: &mut OrtEngine,
    package: &Package,
    say: &mut dyn FnMut(&str),
) -> Result<Timings, GateError> {
    let (variant, provider) = (engine.variant().to_owned(), engine.options().provider);
    let live = engine.loaded_heads();
    let mut started = Vec::new();
    let checks = golden::verify(package, &variant, engine, &mut |what| {
        started.push(Instant::now());
        say(what);
        ControlFlow::Continue(())
    });
    started.push(Instant::now());
    engine.forget(&live);
    let path = package.dir.clone();
    match checks {
        Ok(checks) if !checks.is_empty() && checks.iter().all(Check::passed) => {
            Ok(timings(package, &variant, &started))
        }
        Ok(checks) => Err(GateError::Wrong {
            found: at_fault(&checks),
            variant,
            provider,
            path,
        }),
        Err(error) => Err(GateError::NotRun {
            variant,
            provider,
            error: Box::new(error),
            path,
        }),
    }
}

/// The steps of `golden::run` come in this order: every clip's encoding, then every head graph of
/// the variant on every clip.
fn timings(package: &Package, variant: &str, started: &[Instant]) -> Timings {
    let took: Vec<u64> = started
        .windows(2)
        .filter_map(|pair| match pair {
            [from, to] => u64::try_from(to.duration_since(*from).as_nanos()).ok(),
            _ => None,
        })
        .collect();
    let mut steps = took.chunks(package.manifest.golden.len().max(1));
    let mut shortest = || steps.next().and_then(|s| s.iter().min().copied());
    let mut timings = Timings {
        encode_nanos: shortest().unwrap_or_default(),
        heads_nanos: BTreeMap::new(),
    };
    let heads = package.manifest.variants.get(variant).map(|v| &v.heads);
    for (name, graphs) in heads.into_iter().flatten() {
        for key in graphs.keys() {
            let nanos = shortest().unwrap_or_default();
            timings
                .heads_nanos
                .insert((name.clone(), key.clone()), nanos);
        }
    }
    timings
}

fn at_fault(checks: &[Check]) -> String {
    let failed: Vec<&Check> = checks.iter().filter(|c| !c.passed()).collect();
    let mut words: Vec<String> = failed
        .iter()
        .take(NAMED)
        .map(|check| {
            let why = match (&check.note, check.difference) {
                (Some(note), _) => note.clone(),
                (None, Some(found)) => format!("{found:.2e} over the limit {:.2e}", check.limit),
                (None, None) => "nothing to compare".to_owned(),
            };
            format!("{} of {}: {why}", check.output, check.clip)
        })
        .collect();
    if failed.len() > NAMED {
        words.push(format!("and {} more", failed.len() - NAMED));
    }
    if words.is_empty() {
        words.push("no golden output at all".to_owned());
    }
    words.join(", ")
}
