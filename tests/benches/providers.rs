//! The encoder of one package on the CPU provider and on OpenVINO, interleaved in one process.
//!
//! `ECHOCART_BENCH_PACKAGE` names the package (the demo's without it), `ECHOCART_BENCH_PAIRS` the
//! number of rounds after a warm-up, `ECHOCART_BENCH_THREADS` the threads.

#[path = "../tests/plain/mod.rs"]
mod plain;

use echocart_core::config::PackageConfig;
use echocart_core::engine::Engine;
use echocart_core::package::Package;
use echocart_infer::{
    Arithmetic, EngineOptions, Family, Library, OrtEngine, Provider, family_library_path, has_bf16,
};
use echocart_tests::root;
use plain::{PLAIN, plain_package};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

struct Side {
    name: &'static str,
    engine: OrtEngine,
    seconds: Vec<f64>,
    tokens: Vec<f32>,
}

fn number(name: &str, without: usize) -> Result<usize, Box<dyn Error>> {
    Ok(match std::env::var(name) {
        Ok(text) => text.parse()?,
        Err(_) => without,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let package = std::env::var_os("ECHOCART_BENCH_PACKAGE").map_or_else(
        || root().join(".echocart/packages/generated"),
        PathBuf::from,
    );
    let pairs = number("ECHOCART_BENCH_PAIRS", 10)?;
    let threads = number("ECHOCART_BENCH_THREADS", 2)?;
    let scratch = tempfile::tempdir_in(package.parent().unwrap_or(&package))?;
    let dir = scratch.path().join("package");
    plain_package(&package, &dir, &["OpenVINO"])?;
    let package = Package::open(&dir, &PackageConfig::ANY)?;
    let library = Library::load(&family_library_path(&root(), Family::OpenVino)?)?;
    println!(
        "{}: {}, {threads} thread(s), {pairs} rounds",
        library.name(),
        package.manifest.encoder.words()
    );
    let mut sides = Vec::new();
    let mut add = |name, variant, provider, arithmetic| -> Result<(), Box<dyn Error>> {
        let mut options = EngineOptions::new(provider, threads);
        options.arithmetic = arithmetic;
        let engine = OrtEngine::open_on(&library, &package, variant, options)?;
        println!("{name}: nodes {:?}", engine.info().nodes);
        sides.push(Side {
            name,
            engine,
            seconds: Vec::new(),
            tokens: Vec::new(),
        });
        Ok(())
    };
    add(
        "CPU fp32, fused attention",
        "fp32",
        Provider::Cpu,
        Arithmetic::F32,
    )?;
    add(
        "OpenVINO f32, plain attention",
        PLAIN,
        Provider::OpenVino,
        Arithmetic::F32,
    )?;
    if has_bf16() {
        add(
            "OpenVINO bf16, plain attention",
            PLAIN,
            Provider::OpenVino,
            Arithmetic::Bf16,
        )?;
    }
    let sizes = &package.manifest.encoder;
    let clip: Vec<Arc<Vec<f32>>> = (0..sizes.tubelets())
        .map(|t| {
            let value = |i: usize| ((i * 7 + t * 131) % 509) as f32 / 127.0 - 2.0;
            Arc::new(
                (0..sizes.tokens_per_tubelet() * sizes.row())
                    .map(value)
                    .collect(),
            )
        })
        .collect();
    for round in 0..=pairs {
        for side in &mut sides {
            let start = Instant::now();
            side.engine.encode(&clip, 0)?;
            if round > 0 {
                side.seconds.push(start.elapsed().as_secs_f64());
            }
        }
    }
    for side in &mut sides {
        side.engine.tokens(0, &mut side.tokens)?;
        side.seconds.sort_unstable_by(f64::total_cmp);
    }
    println!(
        "| engine | median s | best s | tokens, relative RMS to the first |\n|---|---|---|---|"
    );
    let reference = sides.first().map(|s| s.tokens.clone()).unwrap_or_default();
    for side in &sides {
        let median = side
            .seconds
            .get(side.seconds.len() / 2)
            .copied()
            .unwrap_or(f64::NAN);
        let best = side.seconds.first().copied().unwrap_or(f64::NAN);
        let rms = relative_rms(&side.tokens, &reference);
        println!("| {} | {median:.3} | {best:.3} | {rms:.2e} |", side.name);
    }
    Ok(())
}

fn relative_rms(found: &[f32], reference: &[f32]) -> f64 {
    let squares = |pair: (&f32, &f32)| (f64::from(*pair.0) - f64::from(*pair.1)).powi(2);
    let error: f64 = found.iter().zip(reference).map(squares).sum();
    let all: f64 = reference.iter().map(|r| f64::from(*r).powi(2)).sum();
    (error / all).sqrt()
}
