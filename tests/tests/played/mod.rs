//! Frames through a session with the engine in this process, in virtual time.
#![expect(clippy::unwrap_used, reason = "a test helper")]

use echocart_core::clock::Pace;
use echocart_core::config::CartConfig;
use echocart_core::events::Event;
use echocart_core::frame::FrameMeta;
use echocart_core::kept::Kept;
use echocart_core::package::Package;
use echocart_core::ring::Pushed;
use echocart_core::session::{Session, SessionSetup};
use echocart_infer::{Libraries, open_configured};
use echocart_tests::fetched;
use std::time::Duration;

/// Every event of the frames.
pub fn play(
    package: &Package,
    frames: impl IntoIterator<Item = (FrameMeta, Vec<u8>)>,
) -> Vec<Event> {
    let config = CartConfig::demo().unwrap();
    let library = fetched("lib/onnxruntime-1.28.0/libonnxruntime.so.1.28.0").unwrap();
    let engine = open_configured(&config.engine, Libraries::File(&library), package).unwrap();
    let (mut session, mut producer, events) = Session::start(SessionSetup {
        manifest: package.manifest.clone(),
        package: package.name(),
        signed: package.signed,
        config,
        engine: Box::new(engine),
        pace: Pace::Max,
        kept: Kept::AsAllowed,
        guide: None,
    })
    .unwrap();
    let mut seen = Vec::new();
    for (meta, pixels) in frames {
        let mut push = || producer.offer(meta, |to| to.clone_from(&pixels)).unwrap();
        while push() == Pushed::RingFull {
            seen.extend(events.try_iter());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    drop(producer);
    assert!(session.wait_finished(Duration::from_secs(120)));
    session.stop();
    seen.extend(events.try_iter());
    seen
}
