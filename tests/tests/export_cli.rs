//! `echocart export` and `echocart parity`: exit codes, signals, and outputs nobody takes.

use echocart_tests::{echocart, text};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

const EMPTY_ZIP: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const TINY_CASE: &str = r#"{"tag": "t", "dim": 16, "depth": 1, "heads": 2, "mlp_ratio": 4.0,
    "frames": 4, "height": 16, "width": 32, "probe_heads": 2, "probe_depth": 2, "classes": 3,
    "tokens_per_clip": 4}"#;
const LARGE_CASE: &str = r#"{"tag": "t", "dim": 1024, "depth": 24, "heads": 16, "mlp_ratio": 4.0,
    "frames": 4, "height": 16, "width": 32, "probe_heads": 16, "probe_depth": 4, "classes": 3,
    "tokens_per_clip": 4}"#;

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn export(recipe: &str, out: &Path) -> Command {
    let mut command = echocart().unwrap();
    let recipe = ["export", "--generated-weights", "t", "--recipe", recipe];
    command.args(recipe).arg("--out").arg(out);
    command
}

const DEMO: &str = "configs/models/demo.toml";

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn parity(case: &Path, json: &str) -> Command {
    fs::create_dir(case).unwrap();
    fs::write(case.join("case.json"), json).unwrap();
    fs::write(case.join("expected.npz"), EMPTY_ZIP).unwrap();
    let mut command = echocart().unwrap();
    command.arg("parity").arg(case);
    command
}

#[track_caller]
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn refused(command: &mut Command, code: i32, words: &[&str]) {
    let output = command.output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("echocart: "), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} not in {said}");
    }
}

#[expect(clippy::unwrap_used, reason = "a test helper")]
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Sends `signal` once a temporary folder whose name starts with `prefix` is in `dir`.
#[expect(clippy::unwrap_used, reason = "a test helper")]
fn stop_at_work(mut child: Child, dir: &Path, prefix: &str, signal: &str) -> Output {
    while !names(dir).iter().any(|name| name.starts_with(prefix)) {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        thread::sleep(Duration::from_millis(5));
    }
    let kill = format!("kill -{signal} {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    child.wait_with_output().unwrap()
}

fn piped(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

#[track_caller]
fn assert_interrupted(output: &Output) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert_eq!(said, "echocart: interrupted, nothing was written\n");
}

#[test]
fn a_signal_during_an_export_leaves_nothing_behind() {
    for signal in ["INT", "TERM"] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = export("configs/models/echojepa-l.toml", &dir.path().join("p"));
        let child = piped(&mut command).spawn().unwrap();
        let output = stop_at_work(child, dir.path(), ".echocart-export-", signal);
        assert_interrupted(&output);
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }
}

#[test]
fn a_signal_during_parity_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let temporary = dir.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut command = parity(&dir.path().join("case"), LARGE_CASE);
    command.env("TMPDIR", &temporary);
    let child = piped(&mut command).spawn().unwrap();
    let output = stop_at_work(child, &temporary, "echocart-parity-", "INT");
    assert_interrupted(&output);
    assert_eq!(names(&temporary), Vec::<String>::new());
}

#[test]
fn replace_leaves_a_folder_with_other_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("p");
    assert!(export(DEMO, &out).status().unwrap().success());
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let mut command = export(DEMO, &out);
    refused(command.arg("--replace"), 1, &["found notes.txt (", "/p)"]);
    fs::remove_file(out.join("notes.txt")).unwrap();
    assert!(
        export(DEMO, &out)
            .arg("--replace")
            .status()
            .unwrap()
            .success()
    );
    fs::write(out.join("package.toml"), "mine = true").unwrap();
    let mut command = export(DEMO, &out);
    refused(command.arg("--replace"), 1, &["is no manifest", "/p)"]);
    assert_eq!(fs::read(out.join("package.toml")).unwrap(), b"mine = true");
}

#[test]
fn an_output_inside_a_file_is_exit_1() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "mine").unwrap();
    refused(&mut export(DEMO, &file.join("p")), 1, &["file/p)"]);
    refused(&mut export(DEMO, &file), 1, &["found something else"]);
}

/// A limit on the size of a file stands in for a full disk: the same error comes from the same
/// writes, here after the first tenth of the weights.
#[test]
fn a_disk_that_fills_up_half_way_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let export = export(DEMO, &dir.path().join("p"));
    let mut command = Command::new("sh");
    let limited = "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\"";
    command.args(["-c", limited]).arg(export.get_program());
    command.args(export.get_args());
    command.current_dir(echocart_tests::root());
    refused(&mut command, 1, &["cannot write", "encoder.fp32.weights)"]);
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn a_fixed_number_of_tokens_must_fit_the_resolution() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(echocart_tests::root().join(DEMO)).unwrap();
    let recipe = dir.path().join("recipe.toml");
    fs::write(&recipe, text.replace("112", "96")).unwrap();
    let mut command = export(recipe.to_str().unwrap(), &dir.path().join("p"));
    command.args(["--variants", "fp32-plain:392"]);
    let words = ["fp32-plain-k392", "1 to 288 tokens", "found 392"];
    refused(&mut command, 2, &words);
    assert_eq!(names(dir.path()), ["recipe.toml"]);
}

#[test]
fn a_scaler_gives_the_scale_or_must_agree_with_the_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("p");
    let scaler = "lvef=exporters/export/tests/data/scaler/sklearn-1.8.0-p4.pkl";
    let mut command = export(DEMO, &out);
    let both = ["heads.lvef.output.mean = 57.06, found 56.75", "p4.pkl)"];
    refused(command.args(["--scaler", scaler]), 2, &both);
    let text = fs::read_to_string(echocart_tests::root().join(DEMO)).unwrap();
    let without = |line: &&str| !line.starts_with("mean = 5") && !line.starts_with("std = 11");
    let lines: Vec<&str> = text.lines().filter(without).collect();
    let text = lines
        .join("\n")
        .replace("unit = ", "scaler = \"file\"\nunit = ");
    let recipe = dir.path().join("recipe.toml");
    fs::write(&recipe, text).unwrap();
    let recipe = recipe.to_str().unwrap();
    let missing = [
        "heads.lvef.output.scaler: expected a scaler file",
        "found none",
    ];
    refused(&mut export(recipe, &out), 2, &missing);
    let output = export(recipe, &out)
        .args(["--scaler", scaler])
        .output()
        .unwrap();
    let said = echocart_tests::text(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("value: z x 13.102957681378658 + 56.75 %"),
        "{said}"
    );
    let twice = ["--scaler", scaler, "--scaler", scaler];
    refused(export(recipe, &out).args(twice), 2, &["found two for lvef"]);
    let view = scaler.replace("lvef=", "view=");
    let wrong = ["--scaler", view.as_str()];
    refused(
        export(recipe, &out).args(wrong),
        2,
        &["regression head", "found view"],
    );
}

#[test]
fn a_recipe_that_is_missing_or_endless_is_exit_2() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("p");
    refused(&mut export("no-such.toml", &out), 2, &["(no-such.toml)"]);
    refused(
        &mut export("/dev/zero", &out),
        2,
        &["regular file", "(/dev/zero)"],
    );
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn whatever_keeps_a_case_from_loading_is_exit_4() {
    let dir = tempfile::tempdir().unwrap();
    let case = |name: &str| dir.path().join(name);
    let wrong = TINY_CASE.replace("\"heads\": 2", "\"heads\": 3");
    for (name, json, word) in [("a", "{", "EOF"), ("b", wrong.as_str(), "encoder.heads")] {
        refused(&mut parity(&case(name), json), 4, &[word, "case.json)"]);
    }
    let mut command = parity(&case("c"), TINY_CASE);
    fs::write(case("c").join("expected.npz"), "no zip").unwrap();
    refused(&mut command, 4, &["expected.npz)"]);
    let mut command = parity(&case("d"), TINY_CASE);
    fs::write(case("d").join("encoder.pt"), "no checkpoint").unwrap();
    refused(&mut command, 4, &["encoder.pt)"]);
    let mut command = parity(&case("e"), TINY_CASE);
    fs::remove_file(case("e").join("case.json")).unwrap();
    refused(&mut command, 4, &["cannot read", "e/case.json)"]);
}

#[test]
fn a_temporary_folder_that_is_not_there_is_exit_1() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = parity(&dir.path().join("case"), TINY_CASE);
    let absent = dir.path().join("absent");
    refused(
        command.env("TMPDIR", &absent),
        1,
        &["cannot write", "/absent)"],
    );
}

#[test]
fn a_reader_that_has_gone_away_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let case = parity(&dir.path().join("case"), TINY_CASE);
    for (mut command, code) in [(export(DEMO, &dir.path().join("p")), 0), (case, 1)] {
        let mut child = piped(&mut command).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{said}");
        assert_eq!(said, "");
    }
}

#[test]
fn a_full_output_never_panics() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        println!("skipped: no /dev/full here");
        return;
    };
    let full = || -> File { full.try_clone().unwrap() };
    let dir = tempfile::tempdir().unwrap();
    let mut command = export(DEMO, &dir.path().join("p"));
    let output = command.stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    for json in [false, true] {
        let case = dir.path().join(format!("case-{json}"));
        let mut command = parity(&case, TINY_CASE);
        command.args(json.then_some("--json")).stdout(full());
        refused(
            &mut command,
            1,
            &["cannot write the results", "(standard output)"],
        );
        command.stderr(full());
        assert_eq!(command.status().unwrap().code(), Some(1));
    }
}
