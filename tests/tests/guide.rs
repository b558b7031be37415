//! `echocart run --guide`: one package says the view, the other one measures.

use echocart_tests::{demo_run, fetched, root, text};
use serde_json::Value;
use std::collections::BTreeMap;

const HEART: &str = "phantom:view=A4C,ef=55,fps=20,seconds=8";

/// What estimates say of an output, by clip, where they say anything.
fn by_clip<'a>(events: &'a [Value], name: &str) -> BTreeMap<u64, &'a Value> {
    let estimates = events.iter().filter(|event| event["type"] == "estimate");
    let said = estimates.filter(|estimate| estimate[name]["status"] != "NOT_DUE");
    said.filter_map(|e| Some((e["clip"].as_u64()?, &e[name])))
        .collect()
}

#[test]
fn a_package_that_guides_itself_says_what_it_says_alone() {
    let demo = fetched("packages/demo").unwrap();
    let (output, pair) = demo_run(HEART, &["--guide", demo.to_str().unwrap()]).unwrap();
    let printed = text(&output);
    assert!(output.status.success(), "{printed}");
    for line in ["\nguide: ", "\nguide engine: ", "\nguide inference: "] {
        assert!(printed.contains(line), "{line:?} in {printed}");
    }
    let (_, alone) = demo_run(HEART, &[]).unwrap();
    for name in ["view", "lvef"] {
        let (pair, alone) = (by_clip(&pair, name), by_clip(&alone, name));
        assert!(alone.values().any(|o| o["status"] == "VALUE"), "{name}");
        for (clip, said) in &alone {
            // Once there is no view, the guide withholds the EF of its own accord.
            let kept = pair.get(clip);
            assert_eq!(
                kept.map(|o| &o["value"]),
                Some(&said["value"]),
                "{name} {clip}"
            );
        }
    }
    let started = &pair[0];
    assert_eq!(started["guide"]["package"], started["session"]["package"]);
}

#[test]
fn what_cannot_guide_is_refused_before_any_engine_starts() {
    let dir = tempfile::tempdir().unwrap();
    let slow = dir.path().join("slow");
    echocart_tests::generated_at(&slow, "").unwrap();
    let path = slow.join("package.toml");
    let manifest = std::fs::read_to_string(&path).unwrap();
    let changed = manifest.replace("hop_slots = 2", "hop_slots = 4");
    assert_ne!(changed, manifest);
    std::fs::write(&path, changed).unwrap();
    let (output, _) = demo_run(HEART, &["--guide", slow.to_str().unwrap()]).unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("sampling: expected 16 frames at 8 Hz, a clip every 2 slots"),
        "{said}"
    );
    assert!(!said.contains("engine:"), "{said}");

    let config = dir.path().join("cart.toml");
    let demo = std::fs::read_to_string(root().join("configs/carts/demo.toml")).unwrap();
    let recorder = "\n[recorder]\nbudget_mib = 8\nfolder = \"recordings\"\n";
    std::fs::write(&config, demo + recorder).unwrap();
    let guide = fetched("packages/demo").unwrap();
    let with = [
        "--guide",
        guide.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ];
    let (output, _) = demo_run(HEART, &with).unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("--guide: expected none with a recorder"),
        "{said}"
    );
}
