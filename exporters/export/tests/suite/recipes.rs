//! Every recipe of the repository loads, and a wrong one names its key.

use crate::writer::RECIPE;
use echocart_core::config::PackageConfig;
use echocart_core::manifest::{Mask, Trained};
use echocart_core::package::Package;
use echocart_export::{
    ExportError, ExportRequest, Recipe, RecipeOutput, WeightSource, export, layout,
};
use std::ops::ControlFlow;
use std::path::Path;

fn recipes() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/models")
}

#[test]
fn every_recipe_of_the_repository_loads() {
    let mut seen = 0;
    for entry in std::fs::read_dir(recipes()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            Recipe::open(&path).unwrap();
            seen += 1;
        }
    }
    assert!(seen >= 2);
}

#[test]
fn the_demo_recipe_says_what_it_is() {
    let recipe = Recipe::open(&recipes().join("demo.toml")).unwrap();
    assert_eq!(recipe.card.trained, Trained::Untrained);
    for word in [
        "untrained",
        "generated",
        "no clinical meaning",
        "threshold is 0",
        "every view",
    ] {
        assert!(recipe.card.text.replace('\n', " ").contains(word), "{word}");
    }
    assert_eq!(recipe.view.threshold, 0.0);
    let RecipeOutput::Classification { labels } = &recipe.heads["view"].output else {
        panic!("view is no classification")
    };
    let RecipeOutput::Regression { required_views, .. } = &recipe.heads["lvef"].output else {
        panic!("lvef is no regression")
    };
    assert_eq!(labels.len(), 13);
    assert_eq!(labels, required_views);
}

#[track_caller]
fn refused(from: &str, to: &str) -> String {
    assert!(RECIPE.contains(from), "{from}");
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("wrong.toml");
    std::fs::write(&path, RECIPE.replacen(from, to, 1)).unwrap();
    let error = Recipe::open(&path).unwrap_err();
    assert!(matches!(error, ExportError::Settings { .. }));
    let error = error.to_string();
    assert!(
        !error.contains('\n') && error.ends_with(&format!("({})", path.display())),
        "{error}"
    );
    error
}

#[test]
fn a_wrong_recipe_names_its_key() {
    for (from, to, key) in [
        ("hop_slots = 2", "hop_slots = 3", "sampling.hop_slots"),
        ("rate_hz = 8.0", "rate_hz = 8.0\nrate = 1", "rate"),
        ("patch_px = 16", "", "patch_px"),
        ("threshold = 0.0", "threshold = 1.5", "view.threshold"),
        ("depth = 1", "depth = 0", "heads.view.depth"),
        ("heads = 3 ", "heads = 5 ", "encoder.heads"),
        ("id = \"echojepa-demo\"", "id = \"Echo Demo\"", "id"),
        ("size_px = 128", "size_px = 100, width_px = 2", "steps"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(key), "{error}");
    }
}

/// Every way to a key of `table`, and the text of `root` without that key.
fn without_each_key(root: &toml::Table) -> Vec<(Vec<String>, String)> {
    fn paths(value: &toml::Value, path: &[String], all: &mut Vec<Vec<String>>) {
        let mut visit = |part: String, value: &toml::Value, is_key: bool| {
            let path = [path, &[part]].concat();
            if is_key {
                all.push(path.clone());
            }
            paths(value, &path, all);
        };
        match value {
            toml::Value::Table(table) => {
                table
                    .iter()
                    .for_each(|(key, value)| visit(key.clone(), value, true));
            }
            toml::Value::Array(items) => {
                let items = items.iter().enumerate();
                items.for_each(|(index, value)| visit(index.to_string(), value, false));
            }
            _ => {}
        }
    }
    fn remove(value: &mut toml::Value, path: &[String]) {
        match (value, path) {
            (toml::Value::Table(table), [key]) => drop(table.remove(key)),
            (toml::Value::Table(table), [key, rest @ ..]) => remove(&mut table[key.as_str()], rest),
            (toml::Value::Array(items), [index, rest @ ..]) => {
                remove(&mut items[index.parse::<usize>().unwrap()], rest);
            }
            _ => panic!("no such path"),
        }
    }
    let root = toml::Value::Table(root.clone());
    let mut all = Vec::new();
    paths(&root, &[], &mut all);
    let text = |path: Vec<String>| {
        let mut edited = root.clone();
        remove(&mut edited, &path);
        (path, toml::to_string(&edited).unwrap())
    };
    all.into_iter().map(text).collect()
}

#[test]
fn no_key_of_a_recipe_can_be_left_out() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("without.toml");
    for name in ["echojepa-l.toml", "echojepa-l-rvsp.toml"] {
        let text = std::fs::read_to_string(recipes().join(name)).unwrap();
        let whole: toml::Table = text.parse().unwrap();
        let edits = without_each_key(&whole);
        assert!(edits.len() > 60, "{}", edits.len());
        for (key, text) in edits {
            let dotted = key.join(".");
            let optional = [
                "heads.lvef",
                "heads.rvsp",
                "view.standard",
                "limits.widest_interval",
            ];
            if optional.contains(&dotted.as_str()) || dotted.starts_with("view.standard.") {
                continue;
            }
            std::fs::write(&path, text).unwrap();
            let error = Recipe::open(&path).expect_err(&dotted).to_string();
            let last = key.last().unwrap();
            let named = error.contains(&format!("`{last}`"))
                || error.contains(&format!("{last}: expected"))
                || error.contains(&format!("{last}.slots"))
                || dotted.ends_with(".slots") && error.contains("heads.rvsp.segments");
            assert!(named, "{dotted}: {error}");
        }
    }
}

/// The clip's span is stated where the rate is, since frames x rate is easily taken for it.
#[test]
fn every_recipe_says_the_span_of_a_clip_beside_its_rate() {
    for entry in std::fs::read_dir(recipes()).unwrap() {
        let path = entry.unwrap().path();
        let recipe = Recipe::open(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("rate_hz = "))
            .unwrap();
        let span = (recipe.encoder.frames - 1) as f64 / recipe.sampling.rate_hz;
        let words = format!("{} frames span {span} s", recipe.encoder.frames);
        assert!(line.contains(&words), "{}: {line}", path.display());
    }
}

#[test]
fn the_echojepa_recipes_state_the_mask_of_their_training() {
    let mut boxes_of = Vec::new();
    for name in [
        "echojepa-l.toml",
        "echojepa-l-scratch.toml",
        "echojepa-l-vmix22m.toml",
        "echojepa-l-rvsp.toml",
        "echojepa-g.toml",
    ] {
        let recipe = Recipe::open(&recipes().join(name)).unwrap();
        let Mask::Boxes { boxes, .. } = &recipe.preprocess.mask else {
            panic!("{name} states no mask")
        };
        assert!(recipe.card.text.contains("other layout"), "{name}");
        boxes_of.push(boxes.clone());
    }
    assert!(boxes_of.windows(2).all(|pair| pair[0] == pair[1]));
    let kept = |x: u32, y: u32| {
        let inside = |b: &[f64; 4]| {
            let edge = |fraction: f64, side: u32| ((fraction * f64::from(side)) as u32).min(side);
            (edge(b[0], 640)..edge(b[0] + b[2], 640)).contains(&x)
                && (edge(b[1], 480)..edge(b[1] + b[3], 480)).contains(&y)
        };
        !boxes_of[0].iter().any(inside)
    };
    for (rows, columns) in [
        (35..96, 220..420),
        (96..124, 150..495),
        (124..144, 130..495),
        (144..235, 90..495),
        (235..244, 90..510),
        (244..254, 90..525),
        (254..264, 90..550),
        (264..297, 77..550),
        (297..326, 60..550),
        (326..345, 60..535),
        (345..390, 105..525),
    ] {
        for y in rows {
            for x in 0..640 {
                assert_eq!(kept(x, y), columns.contains(&x), "{x}, {y}");
            }
        }
    }
    assert!(
        (0..35)
            .chain(390..480)
            .all(|y| (0..640).all(|x| !kept(x, y)))
    );
}

#[track_caller]
fn edited(name: &str, edit: impl FnOnce(&mut Recipe)) -> Result<(), String> {
    let mut recipe = Recipe::open(&recipes().join(name)).unwrap();
    edit(&mut recipe);
    recipe.check().map_err(|e| e.to_string())
}

#[test]
fn the_giant_encoder_must_say_22_heads() {
    for name in [
        "echojepa-g.toml",
        "vjepa2-vitg.toml",
        "vjepa2-vitg-384.toml",
    ] {
        edited(name, |recipe| assert_eq!(recipe.encoder.heads, 22)).unwrap();
        for heads in [11, 16, 44] {
            let error = edited(name, |recipe| recipe.encoder.heads = heads).unwrap_err();
            assert!(error.starts_with("encoder.heads: expected 22"), "{error}");
            assert!(error.contains("same shapes with 16 heads"), "{error}");
            assert!(error.ends_with(&format!("found {heads}")), "{error}");
        }
    }
    let other_depth = |recipe: &mut Recipe| (recipe.encoder.depth, recipe.encoder.heads) = (39, 16);
    edited("echojepa-g.toml", other_depth).unwrap();
}

#[test]
fn the_mlp_of_the_giant_is_6144_wide() {
    let recipe = Recipe::open(&recipes().join("echojepa-g.toml")).unwrap();
    assert_eq!(layout::encoder_hidden(&recipe.encoder), 6144);
    assert_eq!(layout::encoder(&recipe.encoder).len(), 484);
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let layout = layout::encoder(&recipe.encoder);
    let values: usize = layout.iter().map(|(_, shape)| count(shape)).sum();
    assert_eq!(values, 1_012_173_952);
}

#[test]
fn the_large_recipes_export_at_a_depth_of_one() {
    for (name, head_dim) in [("echojepa-g.toml", 64), ("vjepa2-vith.toml", 80)] {
        let mut recipe = Recipe::open(&recipes().join(name)).unwrap();
        recipe.encoder.depth = 1;
        recipe.heads.remove("lvef");
        let view = recipe.heads.get_mut("view").unwrap();
        view.depth = Some(1);
        assert_eq!(recipe.encoder.dim / recipe.encoder.heads, head_dim);
        let dir = tempfile::TempDir::new().unwrap();
        let source = WeightSource::Generated("tiny".to_owned());
        let request = ExportRequest {
            recipe,
            encoder: source.clone(),
            probes: [("view".to_owned(), source)].into(),
            out_dir: dir.path().join("p"),
            replace: false,
        };
        let report = export(&request, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(
            Package::open(&report.dir, &PackageConfig::ANY)
                .unwrap()
                .hash,
            report.hash
        );
    }
}

#[test]
fn the_natural_video_recipes_never_give_a_value() {
    for name in ["vitl", "vith", "vitg", "vitg-384"] {
        let recipe = Recipe::open(&recipes().join(format!("vjepa2-{name}.toml"))).unwrap();
        assert_eq!(recipe.card.trained, Trained::Untrained);
    }
}

#[test]
fn every_recipe_states_its_open_questions() {
    for entry in std::fs::read_dir(recipes()).unwrap() {
        let path = entry.unwrap().path();
        let recipe = Recipe::open(&path).unwrap();
        let stated = recipe.card.text.contains("Open questions") || recipe.id == "echojepa-demo";
        assert!(stated, "{}", path.display());
    }
}

#[test]
fn a_probe_without_attention_has_no_heads_and_no_depth() {
    let attentive = "probe = \"attentive\"         # attentive | linear | mlp; the last two have no \
                     heads and no depth\n";
    let error = refused(attentive, "");
    assert!(error.contains("probe"), "{error}");
    let error = refused(attentive, "probe = \"linear\"\n");
    let expected = "heads.view.heads: expected no such key for probe = \"linear\", found 3";
    assert!(error.contains(expected), "{error}");
    let error = refused(
        "heads = 3                   # attention heads of the probe\n",
        "",
    );
    let expected = "heads.view.heads: expected 1 to 256 for an attentive probe, found none";
    assert!(error.contains(expected), "{error}");
    assert!(refused(attentive, "probe = \"mean\"\n").contains("mean"));
}

#[test]
fn what_is_no_small_regular_file_is_no_recipe() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("long.toml");
    std::fs::write(&path, format!("{RECIPE}#{}", "x".repeat(1 << 20))).unwrap();
    let error = Recipe::open(&path).unwrap_err().to_string();
    assert!(error.contains("expected at most 1048576 bytes"), "{error}");
    for odd in [Path::new("/dev/zero"), dir.path()] {
        let error = Recipe::open(odd).unwrap_err().to_string();
        assert!(error.contains("expected a regular file"), "{error}");
        assert!(error.ends_with(&format!("({})", odd.display())), "{error}");
    }
}
