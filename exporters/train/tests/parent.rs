//! A training that starts from another's encoder.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use echocart_train::TrainError;
use echocart_train::cache::{CELL_PX, CELLS, CLIP_BYTES, Clips, MAPS_BYTES, SIDE_PX, Split, fill};
use echocart_train::encoder_file;
use echocart_train::net::params::Layout;
use echocart_train::net::predictor::PredictorSize;
use echocart_train::net::vit::{Size, Vit};
use echocart_train::pretrain::{Entry, pretrain};
use echocart_train::settings::{Settings, read_settings};
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
        ejection: 1.0,
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
    let weighs = |objective, chambers| Settings {
        objective,
        chambers,
        ..settings(0.0, 0.0)
    };
    for (objective, chambers, expected) in [
        (Objective::Supervised, -1.0, "0 or more, found -1"),
        (Objective::Supervised, f32::NAN, "0 or more, found NaN"),
        (
            Objective::Jepa,
            2.0,
            "0 in a pretraining, which needs no labels, found 2",
        ),
    ] {
        let wrong = train(weighs(objective, chambers), None, &clips, &at("wrong")).unwrap_err();
        assert_eq!(wrong.to_string(), format!("chambers: expected {expected}"));
    }

    for ejection in [-1.0, f32::INFINITY] {
        let wrong = Settings {
            ejection,
            ..settings(0.0, 0.0)
        };
        let wrong = train(wrong, None, &clips, &at("wrong")).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            format!("ejection: expected 0 or more, found {ejection}")
        );
    }

    // What a loss is made of is logged, and weighs what it is to weigh.
    let heavy = Settings {
        ejection: 9.0,
        ..settings(1e-2, 0.0)
    };
    train(heavy, None, &clips, &at("heavy")).unwrap();
    assert_ne!(encoder(&at("heavy")), encoder(&at("parent")));
    let first = |name: &str| -> Entry {
        let log = std::fs::read_to_string(at(name).join("log.jsonl")).unwrap();
        serde_json::from_str(log.lines().next().unwrap()).unwrap()
    };
    for (name, weight) in [("parent", 1.0), ("heavy", 9.0)] {
        let (entry, of) = (first(name), first(name).losses.unwrap());
        let sum = of.view + weight * of.ejection + of.chambers;
        assert!((entry.loss - sum).abs() < 1e-4 * sum, "{name}: {entry:?}");
        assert_eq!(Some(of), first("parent").losses);
    }

    // The maps teach: with them the same steps end elsewhere.
    let without = Settings {
        chambers: 0.0,
        ..settings(1e-2, 0.0)
    };
    train(without, None, &clips, &at("without")).unwrap();
    assert_ne!(encoder(&at("without")), encoder(&at("parent")));
}

#[test]
fn a_cache_goes_on_where_one_of_its_files_ends_and_maps_lie_on_the_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let render = || fill(dir.path(), (Split::Train, 6), 2, &AtomicBool::new(false)).unwrap();
    let read = |kind: &str| std::fs::read(dir.path().join(format!("train.{kind}"))).unwrap();
    let all = || ["clips", "chambers", "jsonl"].map(read);
    render();
    let whole = all();
    for (kind, bytes) in [
        ("chambers", 2 * MAPS_BYTES + 5),
        ("clips", 3 * CLIP_BYTES - 1),
    ] {
        let path = dir.path().join(format!("train.{kind}"));
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(bytes as u64).unwrap();
        render();
        assert!(all() == whole, "{kind}");
    }

    // Blood is dark beside the walls, and nowhere as dark as where the map has the left ventricle.
    let clips = Clips::open(dir.path(), Split::Train, 6).unwrap();
    let (label, map) = (&clips.labels[0], &clips.chambers(0)[..CELLS * CELLS]);
    assert_eq!(label.view.as_deref(), Some("A4C"));
    let is_ventricle = |row: usize, column: usize| map.get(row * CELLS + column) == Some(&1);
    let contrast = |right: usize| {
        let mut sums = [(0.0, 0.0); 2];
        let middle = 5..CELLS - 5;
        for (row, column) in (0..CELLS).flat_map(|row| middle.clone().map(move |at| (row, at))) {
            let inside = is_ventricle(row, column);
            if inside || is_ventricle(row, column + 1) || is_ventricle(row, column - 1) {
                let at = (column + right - 4) * CELL_PX + CELL_PX / 2;
                let grey = clips.pixels(0)[(row * CELL_PX + CELL_PX / 2) * SIDE_PX + at];
                let sum = &mut sums[usize::from(inside)];
                *sum = (sum.0 + f64::from(grey), sum.1 + 1.0);
            }
        }
        let [wall, blood] = sums.map(|(grey, cells)| grey / cells);
        wall / blood
    };
    let here = contrast(4);
    for right in [0, 2, 6, 8] {
        assert!(here > 1.2 * contrast(right), "{here} {}", contrast(right));
    }
}
