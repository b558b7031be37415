//! Two scripted engines and one change.

use super::*;
use echocart_core::config::PackageConfig;
use std::path::Path;

/// Tokens and answers that are all one number, until the script says otherwise.
struct Scripted {
    info: EngineInfo,
    value: f32,
    clips: u32,
    /// At which clip what happens.
    at: (u32, Happens),
}

#[derive(Clone, Copy, PartialEq)]
enum Happens {
    Nothing,
    EncoderFails,
    HeadFails,
    HeadGivesNoNumber,
    Drifts,
}

struct There(EngineInfo);

impl EngineWatch for There {
    fn number(&self) -> u64 {
        0
    }

    fn standing(&self) -> Standing {
        Standing::Serving(Box::new(self.0.clone()))
    }

    fn begin_exam(&self) {}
}

fn scripted(provider: &str, at: (u32, Happens)) -> Box<dyn Engine> {
    Box::new(Scripted {
        info: EngineInfo {
            provider: provider.to_owned(),
            variant: "fp32".to_owned(),
            ..EngineInfo::default()
        },
        value: 1.0,
        clips: 0,
        at,
    })
}

impl Scripted {
    fn happens(&self, what: Happens) -> bool {
        self.clips >= self.at.0 && self.at.1 == what
    }

    fn failed() -> EngineError {
        EngineError::Failed {
            what: "script".to_owned(),
            message: "as it says".to_owned(),
        }
    }
}

impl Engine for Scripted {
    fn info(&self) -> EngineInfo {
        self.info.clone()
    }

    fn watch(&self) -> Option<Arc<dyn EngineWatch>> {
        Some(Arc::new(There(self.info.clone())))
    }

    fn slots(&self) -> usize {
        16
    }

    fn encode(&mut self, _: &[Arc<Vec<f32>>], _: usize) -> Result<(), EngineError> {
        self.clips += 1;
        match self.happens(Happens::EncoderFails) {
            true => Err(Self::failed()),
            false => Ok(()),
        }
    }

    fn encode_kept(&mut self, _: &[f32], _: &[usize], slot: usize) -> Result<(), EngineError> {
        self.encode(&[], slot)
    }

    fn head(&mut self, _: &str, _: &[usize], out: &mut Vec<f32>) -> Result<(), EngineError> {
        out.clear();
        out.push(match self.happens(Happens::HeadGivesNoNumber) {
            true => f32::NAN,
            false => self.value,
        });
        match self.happens(Happens::HeadFails) {
            true => Err(Self::failed()),
            false => Ok(()),
        }
    }

    fn multi_view_head(
        &mut self,
        name: &str,
        _: &[usize],
        slots: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        self.head(name, slots, out)
    }

    fn tokens(&mut self, _: usize, out: &mut Vec<f32>) -> Result<(), EngineError> {
        let drift = if self.happens(Happens::Drifts) {
            1.1
        } else {
            1.0
        };
        out.clear();
        out.resize(8, self.value * drift);
        Ok(())
    }
}

fn manifest() -> Option<Manifest> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = root.join(".echocart/packages/generated");
    if !dir.is_dir() {
        println!("skipped: run `cargo xtask demo` first (.echocart/packages/generated)");
        return None;
    }
    Some(Package::open(&dir, &PackageConfig::ANY).unwrap().manifest)
}

/// A relay from OLD to FAKE, where `what` happens at the new engine's clip `at`.
fn relay(at: u32, what: Happens) -> Option<Relay> {
    let (old, new) = (
        scripted("OLD", (0, Happens::Nothing)),
        scripted("FAKE", (at, what)),
    );
    Some(Relay::between(old, new, &manifest()?))
}

/// Clip by clip: who served, and whether encoder and head answered.
fn serve(relay: &mut Relay, clips: u32) -> Vec<(String, bool)> {
    let mut out = Vec::new();
    (0..clips)
        .map(|clip| {
            let encoded = match clip % 2 {
                0 => relay.encode(&[], 3),
                _ => relay.encode_kept(&[], &[], 3),
            };
            let answered = encoded.and_then(|()| match clip % 3 {
                0 => relay.multi_view_head("rvsp", &[0], &[3], &mut out),
                _ => relay.head("view", &[3], &mut out),
            });
            (relay.info().provider, answered.is_ok())
        })
        .collect()
}

fn taken_back(what: Happens) {
    let Some(mut relay) = relay(6, what) else {
        return;
    };
    let served = serve(&mut relay, 10);
    let providers: Vec<&str> = served.iter().map(|(who, _)| who.as_str()).collect();
    // Two clips compared, then its third, fourth and fifth; its sixth is the end of it.
    assert_eq!(
        providers[..6],
        ["OLD", "OLD", "FAKE", "FAKE", "FAKE", "OLD"]
    );
    assert!(providers[6..].iter().all(|who| *who == "OLD"));
    let failed: Vec<usize> = (0..10).filter(|at| !served[*at].1).collect();
    match what {
        Happens::EncoderFails => assert!(failed.is_empty(), "{failed:?}"),
        _ => assert_eq!(failed, [5]),
    }
    let degraded = relay.info().degraded.unwrap();
    assert!(
        degraded.contains("FAKE served and was taken back"),
        "{degraded}"
    );
    assert_eq!(relay.changes, 2);
}

#[test]
fn a_new_engine_whose_encoder_fails_is_taken_back_within_the_clip() {
    taken_back(Happens::EncoderFails);
}

#[test]
fn a_new_engine_whose_head_fails_or_gives_no_number_is_taken_back() {
    taken_back(Happens::HeadFails);
    taken_back(Happens::HeadGivesNoNumber);
}

#[test]
fn a_new_engine_that_drifts_after_it_took_over_is_taken_back() {
    let Some(mut relay) = relay(30, Happens::Drifts) else {
        return;
    };
    let served = serve(&mut relay, 70);
    let news = served.iter().filter(|(who, _)| who == "FAKE").count();
    assert_eq!(news, PROBATION as usize - 1);
    assert!(served.iter().all(|(_, answered)| *answered));
    let degraded = relay.info().degraded.unwrap();
    assert!(
        degraded.contains("taken back: tokens of a live clip"),
        "{degraded}"
    );
}

#[test]
fn a_new_engine_that_holds_lets_the_one_before_go() {
    let Some(mut relay) = relay(u32::MAX, Happens::Nothing) else {
        return;
    };
    serve(&mut relay, COMPARED + PROBATION);
    assert_eq!(relay.info().provider, "FAKE");
    assert_eq!(relay.info().degraded, None);
    assert!(matches!(relay.coming, Coming::None));
    assert!(relay.board.lock().before.is_none());
}

#[test]
fn a_wanted_engine_that_is_not_made_or_is_what_serves_changes_nothing() {
    let Some(mut relay) = relay(u32::MAX, Happens::Nothing) else {
        return;
    };
    for (made, said) in [
        (
            Err("no such device".to_owned()),
            Some("FAKE does not serve: no such device"),
        ),
        (
            Ok(Made::Stays(Some("A is slow".to_owned()))),
            Some("A is slow"),
        ),
        (Ok(Made::Stays(None)), None),
    ] {
        let (done, making) = std::sync::mpsc::channel();
        done.send(made).unwrap();
        relay.coming = Coming::Making(making);
        let number = relay.board.number();
        relay.encode(&[], 0).unwrap();
        assert_eq!(relay.info().degraded.as_deref(), said);
        assert_eq!((relay.info().provider.as_str(), relay.changes), ("OLD", 0));
        assert!(relay.board.number() > number, "it is news");
    }
}

#[test]
fn tokens_that_differ_in_length_or_are_no_numbers_never_agree() {
    assert_eq!(relative_rms(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
    assert!((relative_rms(&[3.0, 4.0], &[3.0, 4.5]) - 0.1).abs() < 1e-9);
    for (expected, found) in [
        (vec![1.0, 1.0], vec![1.0]),
        (vec![], vec![]),
        (vec![0.0], vec![0.0]),
        (vec![1.0], vec![f32::NAN]),
        (vec![f32::INFINITY], vec![f32::INFINITY]),
    ] {
        assert_eq!(relative_rms(&expected, &found), f64::INFINITY);
    }
}
