//! `echocart keep-tokens` on simulated hearts and the generated package.

use echocart_tests::{echocart, fetched, text};
use std::fs;
use std::path::Path;
use std::process::Output;

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn keep_tokens(dir: &Path, labels: &str, variant: &str) -> Output {
    let file = dir.join("labels.csv");
    fs::write(&file, labels).unwrap();
    let mut command = echocart().unwrap();
    command.arg("keep-tokens").arg("--labels").arg(file);
    command.args(["--replace", "--variant", variant, "--package"]);
    command.arg(fetched("packages/generated").unwrap());
    command.arg("--keep").arg(dir.join("kept.toml"));
    command
        .arg("--out")
        .arg(dir.join("fewer"))
        .output()
        .unwrap()
}

fn heart(seed: u32) -> String {
    format!("\"phantom:view=A4C,seed={seed},fps=16,seconds=4,size=320x240\"")
}

#[test]
fn what_fewer_tokens_do_goes_into_a_new_package_and_allows_nothing_untrained() {
    let dir = tempfile::tempdir().unwrap();
    let labels = format!(
        "path,view\n{},A4C\n{},PLAX\nnone.mp4,\n",
        heart(1),
        heart(2)
    );
    let output = keep_tokens(dir.path(), &labels, "fp32");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in [
        "view: the same in ",
        "labelled: ",
        "EF: ",
        "skipped none.mp4",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let why = "carts keep all tokens: the package is not trained";
    assert!(said.contains(why), "{said}");
    let manifest = fs::read_to_string(dir.path().join("fewer/package.toml")).unwrap();
    let table = manifest.split_once("[kept_tokens.fp32]").unwrap().1;
    let table: toml::Table = toml::from_str(table.split("\n[").next().unwrap()).unwrap();
    let clips = table["clips"].as_integer().unwrap();
    assert!(said.contains(&format!(" of them, {clips} clips")), "{said}");
    assert!((0.0..=1.0).contains(&table["view_agreement"].as_float().unwrap()));
    assert!(table["ef_shift"].as_float().unwrap() > 0.0, "{manifest}");
    let kept = fs::read_to_string(dir.path().join("kept.toml")).unwrap();
    assert!(kept.contains("[kept_tokens.fp32]"), "{kept}");
}

#[test]
fn without_clips_of_fewer_tokens_there_is_nothing_to_say() {
    let dir = tempfile::tempdir().unwrap();
    let labels = "path\n\"phantom:view=A4C,fps=16,seconds=1\"\n";
    let output = keep_tokens(dir.path(), labels, "fp32");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("found 0 clips"), "{said}");
    assert!(!dir.path().join("fewer").exists());
}
