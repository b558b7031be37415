//! The package that guides beside the one that measures.

use super::hint;
use crate::cli::RunArgs;
use crate::engine::{self, Announcer, Patience};
use crate::exit::{Because, Cause, Failure};
use echocart_core::clock::Pace;
use echocart_core::config::CartConfig;
use echocart_core::manifest::Manifest;
use echocart_core::package::Package;
use echocart_core::pair;
use echocart_core::session::GuideSetup;
use std::path::Path;

/// A guide with its engine.
pub struct Guide {
    pub setup: GuideSetup,
    pub announcer: Announcer,
}

/// The package of `--guide`, checked against what `measure` needs before any engine starts.
pub fn package(
    args: &RunArgs,
    config: &CartConfig,
    measure: &Manifest,
) -> Result<Option<Package>, Failure> {
    let Some(path) = &args.guide else {
        return Ok(None);
    };
    if config.recorder.is_some() {
        let text = "--guide: expected none with a recorder, which holds the answers of one package";
        return Err(Failure::text(Cause::Usage, text));
    }
    let package = Package::open(path, &config.package).map_err(|e| hint(e, path))?;
    pair::check(&package.manifest, measure).because(Cause::Package)?;
    Ok(Some(package))
}

/// Starts the engine of a guide.
pub fn start(
    package: Package,
    config: &CartConfig,
    library: Option<&Path>,
    (patience, pace): (Patience, Pace),
    say: &mut dyn FnMut(&str),
) -> Result<Guide, Failure> {
    let own = CartConfig {
        engine: config.engine.of_the_guide().because(Cause::Usage)?,
        ..config.clone()
    };
    let engine = engine::start(&own, library, &package, (patience, pace), say)?;
    Ok(Guide {
        announcer: Announcer::new(engine.as_ref(), &package.manifest, "guide "),
        setup: GuideSetup {
            package: package.name(),
            signed: package.signed,
            manifest: package.manifest,
            engine,
        },
    })
}

/// Two lines about it, each ended.
pub fn words(guide: &mut Guide) -> String {
    let GuideSetup {
        manifest,
        package,
        signed,
        engine,
    } = &guide.setup;
    let lines = about("guide: ", package, manifest);
    let news = guide.announcer.news();
    let news = news.unwrap_or_else(|| guide.announcer.words(&engine.info()));
    format!("{lines}guide signature: {signed}\n{news}")
}

/// A line about a package, ended.
pub fn about(whose: &str, package: &str, manifest: &Manifest) -> String {
    let (model, card) = (manifest.encoder.words(), &manifest.card);
    let (trained, title) = (card.trained.as_str(), &card.title);
    format!("{whose}{package}, {model} ({trained}), {title}\n")
}
