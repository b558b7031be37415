//! The smallest graph, made on the spot: shows that a provider runs here.

use crate::library::Library;
use crate::options::EngineOptions;
use crate::session::{self, Source};
use echocart_core::manifest::Precision;
use ort::value::Tensor;
use std::collections::BTreeMap;

/// Runs `x + x` on a provider and checks the sum.
///
/// # Errors
/// Why the provider does not run it, in one line.
pub fn smoke(
    library: &Library,
    options: &EngineOptions,
) -> Result<BTreeMap<String, usize>, String> {
    let model = model(&[("", "Add")]);
    let mut opened = session::open(library, Source::Bytes(&model), Precision::Fp32, options)?;
    let said = |e: ort::Error| e.to_string().replace('\n', " ");
    let given = Tensor::from_array(([4usize], vec![1.0f32, 2.0, 3.0, 4.0])).map_err(said)?;
    let outputs = opened
        .session
        .run(ort::inputs!["x0" => given])
        .map_err(said)?;
    let (_, sum) = outputs[0].try_extract_tensor::<f32>().map_err(said)?;
    if sum != [2.0, 4.0, 6.0, 8.0] {
        return Err(format!("x + x: expected 2, 4, 6, 8, found {sum:?}"));
    }
    Ok(opened.nodes)
}

/// A chain of operators (domain, name), each given the one before it twice, or once where one
/// input is all it takes; four 32-bit floats in, four out.
fn model(operators: &[(&str, &str)]) -> Vec<u8> {
    let mut graph = Vec::new();
    for (at, (domain, name)) in operators.iter().enumerate() {
        let mut node = Vec::new();
        let inputs = if *name == "Add" { 2 } else { 1 };
        for _ in 0..inputs {
            bytes(&mut node, 1, format!("x{at}").as_bytes());
        }
        bytes(&mut node, 2, format!("x{}", at + 1).as_bytes());
        bytes(&mut node, 3, format!("node{at}").as_bytes());
        bytes(&mut node, 4, name.as_bytes());
        bytes(&mut node, 7, domain.as_bytes());
        bytes(&mut graph, 1, &node);
    }
    bytes(&mut graph, 2, b"smoke");
    bytes(&mut graph, 11, &four_floats("x0"));
    bytes(
        &mut graph,
        12,
        &four_floats(&format!("x{}", operators.len())),
    );
    let mut model = Vec::new();
    number(&mut model, 1, 8);
    bytes(&mut model, 7, &graph);
    for (domain, version) in [("", 17), ("com.microsoft", 1)] {
        let mut opset = Vec::new();
        bytes(&mut opset, 1, domain.as_bytes());
        number(&mut opset, 2, version);
        bytes(&mut model, 8, &opset);
    }
    model
}

fn four_floats(name: &str) -> Vec<u8> {
    let (mut size, mut shape, mut tensor) = (Vec::new(), Vec::new(), Vec::new());
    number(&mut size, 1, 4);
    bytes(&mut shape, 1, &size);
    number(&mut tensor, 1, 1);
    bytes(&mut tensor, 2, &shape);
    let (mut kind, mut value) = (Vec::new(), Vec::new());
    bytes(&mut kind, 1, &tensor);
    bytes(&mut value, 1, name.as_bytes());
    bytes(&mut value, 2, &kind);
    value
}

/// A protobuf field of wire type 0; every number here is below 128.
fn number(to: &mut Vec<u8>, field: u8, value: u8) {
    to.extend([field << 3, value]);
}

/// A protobuf field of wire type 2.
fn bytes(to: &mut Vec<u8>, field: u8, content: &[u8]) {
    to.push(field << 3 | 2);
    let mut length = content.len();
    while length >= 128 {
        to.push(length as u8 & 0x7f | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
    to.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::family_library_path;
    use crate::options::Fallback;
    use crate::provider::{Family, Provider};
    use std::path::Path;

    /// The OpenVINO library, or none on machines that it is not made for.
    fn library() -> Option<Library> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let Ok(path) = family_library_path(&root, Family::OpenVino) else {
            println!("skipped: no OpenVINO library for this architecture");
            return None;
        };
        Some(Library::load(&path).unwrap())
    }

    fn with(key: &str, value: &str) -> EngineOptions {
        let mut options = EngineOptions::new(Provider::OpenVino, 1);
        options.extra.insert(key.to_owned(), value.to_owned());
        options
    }

    #[test]
    fn the_smallest_graph_is_wholly_where_it_was_asked_for() {
        let Some(library) = library() else { return };
        for provider in [Provider::OpenVino, Provider::Cpu] {
            let nodes = smoke(&library, &EngineOptions::new(provider, 1)).unwrap();
            assert_eq!(nodes, BTreeMap::from([(provider.to_string(), 1)]));
        }
    }

    #[test]
    fn a_wrong_option_never_runs_on_the_cpu_in_silence() {
        let Some(library) = library() else { return };
        for (key, value, reason) in [
            ("precision", "BF16", "CPU only supports FP32"),
            ("device_type", "GPU", "Device GPU is not available"),
            (
                "device_type",
                "TPU",
                "expected all 1 nodes on OpenVINO, found CPU 1",
            ),
            ("no_such_option", "1", "no_such_option"),
            ("load_config", "{", "JSON parsing error"),
            (
                "load_config",
                "{\"CPU\":{\"NO_SUCH_KEY\":\"1\"}}",
                "NO_SUCH_KEY",
            ),
        ] {
            let error = smoke(&library, &with(key, value)).unwrap_err();
            assert!(error.contains(reason), "{key} = {value}: {error}");
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn a_partly_fallen_back_graph_is_an_error_or_told() {
        let Some(library) = library() else { return };
        let model = model(&[("", "Add"), ("", "Hardmax"), ("", "Add")]);
        let open = |options: &EngineOptions| {
            let source = Source::Bytes(&model);
            session::open(&library, source, Precision::Fp32, options).map(|opened| opened.nodes)
        };
        let mut options = EngineOptions::new(Provider::OpenVino, 1);
        let error = open(&options).unwrap_err();
        assert_eq!(
            error,
            "expected all 3 nodes on OpenVINO, found CPU 2, OpenVINO 1"
        );
        options.fallback = Fallback::Tell;
        let nodes = open(&options).unwrap();
        assert_eq!((nodes["CPU"], nodes["OpenVINO"]), (2, 1));
    }

    #[test]
    fn a_provider_of_another_library_is_refused_by_name() {
        let Some(library) = library() else { return };
        for provider in [Provider::Cuda, Provider::TensorRt] {
            let error = smoke(&library, &EngineOptions::new(provider, 1)).unwrap_err();
            assert!(
                error.contains(&format!("found {provider}; one process")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_second_library_in_the_process_is_refused_with_both_named() {
        let Some(library) = library() else { return };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let other = family_library_path(&root, Family::Cpu).unwrap();
        let error = Library::load(&other).err().unwrap().to_string();
        assert!(error.contains(library.path().to_str().unwrap()), "{error}");
        assert!(error.contains("onnxruntime-1.28.0"), "{error}");
    }
}
