//! Policy `auto`: take the fastest that passes the parity gate. For development.

use super::probe::{Probe, ProbeArgs, probe};
use crate::exit::{Because, Cause, Failure};
use echocart_core::config::{EngineConfig, Policy};
use echocart_core::package::Package;
use echocart_infer::{Provider, candidates};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Clips timed per pair.
const CLIPS: usize = 2;

/// What `auto` takes.
pub struct Fastest {
    pub provider: Provider,
    pub variant: String,
    /// What does not serve, and why.
    pub refused: Vec<String>,
}

impl Fastest {
    /// The `[engine]` table that asks for it and nothing else.
    pub fn engine(&self, config: &EngineConfig) -> EngineConfig {
        EngineConfig {
            policy: Policy::Strict,
            providers: vec![self.provider.to_string()],
            variant: Some(self.variant.clone()),
            meanwhile: None,
            ..config.clone()
        }
    }
}

/// How the measuring behaves.
#[derive(Clone, Copy)]
pub struct Manner<'a> {
    /// Nice value, or none to leave it.
    pub nice: Option<i32>,
    /// Ends it.
    pub stop: &'a AtomicBool,
}

/// Times every provider of the list with every variant it may run, each in its own process.
pub fn fastest(
    config: &EngineConfig,
    library: Option<&Path>,
    package: &Package,
    manner: Manner,
    say: &mut dyn FnMut(&str),
) -> Result<Fastest, Failure> {
    let mut best: Option<(f64, Provider, String)> = None;
    let mut tried = Vec::new();
    let mut refused = Vec::new();
    for name in &config.providers {
        let provider: Provider = name.parse().because(Cause::Usage)?;
        let variants = candidates(&package.manifest, provider);
        if variants.is_empty() {
            tried.push(format!("{provider}: the package has no variant for it"));
            refused.extend(tried.last().cloned());
        }
        for variant in variants {
            let args = ProbeArgs {
                provider,
                library: library.map(Path::to_owned),
                package: Some(package.dir.clone()),
                variant: Some(variant.to_owned()),
                threads: config.intra_op_threads,
                clips: CLIPS,
                nice: manner.nice,
                gpu_memory: config.gpu_memory_bytes,
            };
            let found = probe(&args, manner.stop);
            tried.push(line(provider, variant, &found));
            say(tried.last().map_or("", String::as_str));
            let Some(millis) = found.clip_millis.filter(|_| found.error.is_none()) else {
                refused.extend(tried.last().cloned());
                continue;
            };
            if best
                .as_ref()
                .is_none_or(|(fastest, _, _)| millis < *fastest)
            {
                best = Some((millis, provider, variant.to_owned()));
            }
        }
    }
    let Some((_, provider, variant)) = best else {
        let text = format!("no provider serves: {}", tried.join("; "));
        return Err(Failure::text(Cause::Library, text));
    };
    say(&format!(
        "{provider} {variant} serves: the fastest that passes the gate"
    ));
    Ok(Fastest {
        provider,
        variant,
        refused,
    })
}

fn line(provider: Provider, variant: &str, found: &Probe) -> String {
    match (&found.error, found.clip_millis) {
        (None, Some(millis)) => format!(
            "{provider} {variant}: {millis:.1} ms a clip, opened in {:.1} s, {}",
            found.open_millis / 1e3,
            found.library
        ),
        (error, _) => format!(
            "{provider} {variant}: does not serve: {}",
            error.as_deref().unwrap_or("no time was taken")
        ),
    }
}
