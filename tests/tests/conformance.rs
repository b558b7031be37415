//! The conformance kit over an unpacked delivery: every rule holds, and every rule that is broken on
//! purpose is noticed.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod sdk;

use echocart_tests::text;
use sdk::{Sdk, package_and_library, run, succeed};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// Mutants at a time; most of their time is sleep.
const AT_ONCE: usize = 4;

fn kit(build: &Path) -> Command {
    let [package, library] = package_and_library();
    let mut command = Command::new(build.join("conformance"));
    command.arg("--package").arg(package);
    command.arg("--library").arg(library);
    command.args(["--seconds", "1"]);
    command
}

fn every_rule_holds(sdk: &Sdk, build: &Path) {
    let json = sdk.path("report.json");
    let mut command = kit(build);
    command.arg("--json").arg(&json);
    let output = run(command);
    println!("{}", text(&output));
    assert!(output.status.success(), "{}", text(&output));
    let mut command = kit(build);
    command.args(["--isolation", "in_process"]);
    let output = run(command);
    assert!(output.status.success(), "{}", text(&output));
    let report: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let rules = report["rules"].as_array().unwrap();
    assert!(rules.len() > 50 && rules.iter().all(|rule| rule["holds"] == true));
    assert_eq!(report["holds"], rules.len());
    let codes = report["codes"].as_array().unwrap();
    assert!(codes.len() > 30 && codes.iter().all(|code| code["provoked"] == true));
    let push = rules
        .iter()
        .find(|rule| rule["id"] == "timing.calls")
        .unwrap();
    assert_eq!(push["measured"][0]["promised_p99_nanos"], 150_000);
}

/// The libraries of mutants, one behind the other.
fn mutants(build: &Path) -> String {
    let one = |part: &&str| {
        build
            .join(format!("libmutant{part}.so"))
            .display()
            .to_string()
    };
    let all: Vec<String> = ["", "_frames", "_results", "_session"]
        .iter()
        .map(one)
        .collect();
    all.join(":")
}

/// Only an ARM processor of an unknown vendor makes ONNX Runtime itself print, so a mutant stands in for it.
fn what_is_printed_by_a_file_that_is_loaded_is_told_and_breaks_nothing(build: &Path) {
    for (isolation, told) in [("in_process", true), ("worker", false)] {
        let mut command = kit(build);
        command
            .args(["--isolation", isolation, "--only", "process.output"])
            .env("LD_PRELOAD", mutants(build))
            .env("ECHOCART_MUTANT", "warns_while_loaded");
        let output = succeed(&mut command);
        let note = "while it was loaded: onnxruntime cpuid_info warning";
        assert_eq!(output.contains(note), told, "{isolation}: {output}");
    }
}

fn the_scanner_accounts_for_faults(build: &Path) {
    let [package, library] = package_and_library();
    let mut scanner = Command::new(build.join("scanner"));
    scanner.arg("--package").arg(package);
    scanner.arg("--library").arg(library);
    scanner.args(["--seconds", "1", "--rate", "120", "--faults"]);
    scanner.arg("late@10=30,dup@20,reorder@30,drop@40+5,exam@60,negative@80");
    let output = succeed(&mut scanner);
    assert!(output.contains("frames made 120, kept back 5"), "{output}");
    assert!(output.contains("refused 1, not later 2"), "{output}");
    assert!(output.contains("accounting exact"), "{output}");
}

/// Runs one mutant against its rule; gives a line when it was not noticed.
fn survivor(build: &Path, mutant: &str, rule: &str) -> Option<String> {
    let mut command = kit(build);
    command
        .args(["--strict-timing", "--only", rule])
        .env("LD_PRELOAD", mutants(build))
        .env("ECHOCART_MUTANT", mutant);
    let output = run(command);
    let printed = text(&output);
    let noticed = output.status.code() == Some(1) && printed.contains(&format!("BROKEN {rule} "));
    (!noticed).then(|| format!("{mutant} does not break {rule}:\n{printed}"))
}

fn every_mutant_is_noticed(sdk: &Sdk, build: &Path) {
    let list = sdk
        .root()
        .join("share/echocart/conformance/mutants/mutants.txt");
    let list = fs::read_to_string(list).unwrap();
    let mutants: Vec<(&str, &str)> = list
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let rules = succeed(Command::new(build.join("conformance")).arg("--list"));
    let rules: BTreeSet<&str> = rules.lines().filter_map(|l| l.split(' ').next()).collect();
    let broken: BTreeSet<&str> = mutants.iter().map(|(_, rule)| *rule).collect();
    let unbroken: Vec<_> = rules.difference(&broken).collect();
    assert_eq!(unbroken, [&"codes.all_provoked"], "rules without a mutant");

    let left = Mutex::new(mutants.iter());
    let survivors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((mutant, rule)) = left.lock().unwrap().next() else {
                        return;
                    };
                    survivors
                        .lock()
                        .unwrap()
                        .extend(survivor(build, mutant, rule));
                }
            });
        }
    });
    let survivors = survivors.into_inner().unwrap();
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
    println!("{} mutants noticed", mutants.len());
}

#[test]
fn the_kit_passes_an_unpacked_delivery_and_notices_every_broken_rule() {
    if Command::new("cmake").arg("--version").output().is_err() {
        println!("skipped: cmake is not here");
        return;
    }
    let sdk = Sdk::unpack();
    let build = sdk.cmake("conformance");
    every_rule_holds(&sdk, &build);
    what_is_printed_by_a_file_that_is_loaded_is_told_and_breaks_nothing(&build);
    the_scanner_accounts_for_faults(&build);
    every_mutant_is_noticed(&sdk, &build);
}
