//! A training that starts from another's encoder.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use echocart_train::TrainError;
use echocart_train::cache::{Clips, Split, fill};
use echocart_train::encoder_file;
use echocart_train::net::params::Layout;
use echocart_train::net::predictor::PredictorSize;
use echocart_train::net::vit::{Size, Vit};
use echocart_train::pretrain::{Settings, pretrain, read_settings};
use echocart_train::supervised::Objective;
use std::path::Path;
use std::sync::atomic::AtomicBool;

const SIZE: Size = Size {
    side_px: 32,
    dim: 16,
    depth: 1,
    heads: 2,
};

fn settings(rate: f32, disturbed: f32) -> Settings {
    Settings {
        objective: Objective::Supervised,
        parent: None,
        encoder: SIZE,
        predictor: PredictorSize {
            dim: 16,
            depth: 1,
            heads: 2,
        },
        probe_heads: 2,
        steps: 2,
        batch: 2,
        rate,
        warmup: 1,
        decay: 0.0,
        momentum: [0.0, 0.0],
        equal_from: 0.0,
        least_area: 0.6,
        disturbed,
        short_steps: 1,
        chambers: 1.0,
        keep_student: true,
        seed: 3,
    }
}

fn train(
    settings: Settings,
    parent: Option<&Path>,
    clips: &Clips,
    folder: &Path,
) -> Result<bool, TrainError> {
    let go_on = AtomicBool::new(false);
    pretrain(settings, parent, (clips, folder), (1, 1), &go_on)
}

fn encoder(folder: &Path) -> Vec<f32> {
    let mut layout = Layout::default();
    let _: Vit<f32> = Vit::new(&mut layout, SIZE);
    encoder_file::read(&folder.join(encoder_file::NAME), &layout, layout.len()).unwrap()
}

#[test]
fn a_training_goes_on_from_its_parent_s_weights_and_from_no_other_parent_s() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fill(&at("cache"), (Split::Train, 4), 1, &AtomicBool::new(false)).unwrap();
    let clips = Clips::open(&at("cache"), Split::Train, 4).unwrap();
    train(settings(1e-2, 0.0), None, &clips, &at("parent")).unwrap();
    train(settings(1e-2, 1.0), None, &clips, &at("other")).unwrap();
    assert_ne!(
        encoder(&at("parent")),
        encoder(&at("other")),
        "disturbed clips teach the same"
    );

    // Without a rate nothing is learned: the weights stay the parent's.
    let (parent, child) = (at("parent"), at("child"));
    train(settings(0.0, 0.0), Some(&parent), &clips, &child).unwrap();
    assert_eq!(encoder(&child), encoder(&parent));
    let said = read_settings(&child).unwrap().parent.unwrap();
    assert_eq!(said.len(), 64);
    assert_eq!(read_settings(&parent).unwrap().parent, None);

    let refused = train(settings(0.0, 0.0), Some(&at("other")), &clips, &child);
    let text = refused.unwrap_err().to_string();
    assert!(
        text.starts_with("settings: expected those that the training began with"),
        "{text}"
    );
    let absent = train(settings(0.0, 0.0), Some(&at("nothing")), &clips, &at("new"));
    assert!(matches!(absent, Err(TrainError::File { .. })));
    let wrong = train(settings(0.0, 1.5), None, &clips, &at("wrong")).unwrap_err();
    assert_eq!(wrong.to_string(), "disturbed: expected 0 to 1, found 1.5");
}
