//! The shared golden cases, where they are there.

use echocart_core::manifest::{LVEF, VIEW};
use echocart_export::checkpoint::{Best, read_encoder, read_probe};
use echocart_export::parity::Case;
use echocart_export::{generator, layout};
use std::path::PathBuf;

fn cases() -> Vec<PathBuf> {
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
    let cases: Vec<PathBuf> = ["tiny-square", "tiny-wide"]
        .map(|name| shared.join(name))
        .into_iter()
        .filter(|case| case.join("encoder.pt").is_file())
        .collect();
    if cases.is_empty() {
        println!("skipped: no shared reference cases");
    }
    cases
}

#[test]
fn the_generator_gives_every_tensor_of_the_reference_checkpoints() {
    for dir in cases() {
        let case = Case::open(&dir.join("case.json")).unwrap();
        let encoder = case.recipe().encoder;
        let mut state = read_encoder(&dir.join("encoder.pt"), &encoder)
            .unwrap()
            .state;
        for (key, shape) in layout::encoder(&encoder) {
            let expected = generator::weight(&case.tag, "encoder", &key, &shape);
            assert!(state.read(&key).unwrap() == expected, "{key}");
        }
    }
}

#[test]
fn the_right_head_of_the_reference_probes_is_chosen() {
    for dir in cases() {
        let case = Case::open(&dir.join("case.json")).unwrap();
        for (name, last, outputs, best) in [
            (VIEW, "linear", case.classes, Best::Highest),
            (LVEF, "regressor", 1, Best::Lowest),
        ] {
            let probe = layout::Probe {
                kind: layout::ProbeKind::Attentive,
                dim: case.dim,
                depth: case.probe_depth,
                heads: case.probe_heads,
                hidden: 4 * case.dim,
                last,
                outputs,
            };
            let path = dir.join(format!("{name}_probe.pt"));
            let mut chosen = read_probe(&path, &probe, best).unwrap();
            for (key, shape) in layout::probe(&probe) {
                let expected = generator::weight(&case.tag, name, &key, &shape);
                assert!(chosen.state.read(&key).unwrap() == expected, "{key}");
            }
        }
    }
}
