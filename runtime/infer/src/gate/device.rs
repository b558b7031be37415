//! What a proof is about: graphs, options, libraries, driver and device.

use super::cache::Subject;
use crate::engine::OrtEngine;
use crate::provider::Provider;
use echocart_core::package::Package;
use std::fs;

/// Everything that may change what the graphs answer.
pub(crate) fn subject(engine: &OrtEngine, package: &Package) -> Subject {
    let options = engine.options();
    let provider = options.provider;
    let library = engine.library();
    let files: Vec<String> = library
        .files()
        .map(|file| format!("{}={}", file.name, file.sha256))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    Subject::from([
        ("variant", engine.variant().to_owned()),
        ("provider", provider.to_string()),
        ("graph", package.hash.clone()),
        ("options", format!("{options:?} {version}")),
        ("library", format!("{} {}", library.name(), files.join(" "))),
        ("driver", driver(provider)),
        ("device", device(provider)),
    ])
}

fn driver(provider: Provider) -> String {
    match provider.is_nvidia() {
        false => "none".to_owned(),
        true => first_line("/proc/driver/nvidia/version"),
    }
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

fn device(provider: Provider) -> String {
    let cpu = format!("{} {}", std::env::consts::ARCH, cpu());
    if !provider.is_nvidia() {
        return cpu;
    }
    let folders = fs::read_dir("/proc/driver/nvidia/gpus");
    let mut gpus: Vec<String> = folders
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|folder| fs::read_to_string(folder.path().join("information")).ok())
        .map(|text| named(&text, "Model").unwrap_or("unknown").to_owned())
        .collect();
    gpus.sort_unstable();
    format!("{cpu}; {}", gpus.join(", "))
}

/// Model and instruction sets: a library picks its kernels by them.
fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let facts = ["model name", "CPU part", "flags", "Features"];
    let found: Vec<&str> = facts.iter().filter_map(|name| named(&text, name)).collect();
    found.join(" ")
}

/// The value of the first line `name : value`.
fn named<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_the_first_of_its_name() {
        let text = "processor\t: 0\nmodel name\t: A 1\n\nmodel name\t: B\n";
        assert_eq!(named(text, "model name"), Some("A 1"));
        assert_eq!(named(text, "model"), None);
    }
}
