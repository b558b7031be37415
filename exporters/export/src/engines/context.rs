//! The graph that stands for an engine: one `EPContext` node, which names the engine's file.
//!
//! ONNX Runtime's TensorRT-RTX plug-in 0.5.0 takes an engine in this form only, with the attributes
//! that it writes itself. The metadata repeat the engine's first bytes: by them it refuses an engine
//! of another chip before it reads the rest.

use super::{PROVIDER, Target};
use crate::error::ExportError;
use crate::onnx::graph::{Attribute, MICROSOFT, node};
use crate::onnx::proto::{
    GraphProto, IR_VERSION, ModelProto, OPSET, OperatorSetIdProto, StringStringEntryProto,
};
use prost::Message;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// ONNX Runtime's name of the provider.
const SOURCE: &str = "NvTensorRTRTXExecutionProvider";
/// Format of the attributes, after the plug-in's own files.
const FORMAT: &str = "1.0";
/// An engine's header.
const HEADER_BYTES: usize = 64;

/// Writes the graph of an engine that was compiled from `graph`, beside it under its name.
pub(super) fn write(graph: &Path, engine: &Path, target: Target) -> Result<PathBuf, ExportError> {
    let bytes = fs::read(graph).map_err(ExportError::read(graph))?;
    let compiled = ModelProto::decode(bytes.as_slice()).map_err(|e| ExportError::Graph {
        message: e.to_string(),
        path: graph.to_owned(),
    })?;
    let mut header = [0; HEADER_BYTES];
    File::open(engine)
        .and_then(|mut file| file.read_exact(&mut header))
        .map_err(ExportError::read(engine))?;
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let made = context(
        compiled.graph.unwrap_or_default(),
        [&name(graph), &name(engine)],
        target,
        &header,
    );
    let to = engine.with_extension("onnx");
    fs::write(&to, made.encode_to_vec()).map_err(ExportError::write(&to))?;
    Ok(to)
}

fn context(
    compiled: GraphProto,
    [graph, engine]: [&str; 2],
    target: Target,
    header: &[u8],
) -> ModelProto {
    let names = |values: &[crate::onnx::proto::ValueInfoProto]| -> Vec<String> {
        values.iter().map(|value| value.name().to_owned()).collect()
    };
    let (inputs, outputs) = (names(&compiled.input), names(&compiled.output));
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let attributes = [
        ("main_context", Attribute::Int(0)),
        ("embed_mode", Attribute::Int(0)),
        ("ep_cache_context", Attribute::Text(engine)),
        ("source", Attribute::Text(SOURCE)),
        ("ep_sdk_version", Attribute::Text(FORMAT)),
        ("hardware_architecture", Attribute::Text(target.as_str())),
        ("partition_name", Attribute::Text(engine)),
        ("onnx_model_filename", Attribute::Text(graph)),
        ("max_size", Attribute::Int(0)),
    ];
    let only = node(MICROSOFT, "EPContext", &inputs, &outputs, &attributes);
    let set = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.to_owned()),
        version: Some(version),
    };
    let hex: String = header.iter().map(|byte| format!("{byte:02x}")).collect();
    ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some(format!("echocart for {PROVIDER}")),
        graph: Some(GraphProto {
            name: compiled.name,
            node: vec![only],
            input: compiled.input,
            output: compiled.output,
            ..GraphProto::default()
        }),
        opset_import: vec![set("", OPSET), set(MICROSOFT, 1)],
        metadata_props: vec![StringStringEntryProto {
            key: Some(format!("ep_compatibility_info.{SOURCE}")),
            value: Some(hex),
        }],
        ..ModelProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::graph::{Dim, Graph};

    #[test]
    fn the_graph_names_its_engine_and_repeats_the_header() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let mut graph = Graph::new("encoder", Vec::new());
        graph.input_f32("rows", &[Dim::Fixed(1), Dim::Fixed(8)]);
        graph.output_f32("tokens", &[Dim::Fixed(1), Dim::Fixed(8)]);
        fs::write(file("encoder.onnx"), graph.into_bytes()).unwrap();
        let engine = file("encoder.t8.sm89.engine");
        fs::write(&engine, [0xabu8; 70]).unwrap();
        let made = write(&file("encoder.onnx"), &engine, Target::Sm89).unwrap();
        assert_eq!(made, file("encoder.t8.sm89.onnx"));
        let made = ModelProto::decode(fs::read(made).unwrap().as_slice()).unwrap();
        assert_eq!(made.metadata_props[0].value(), "ab".repeat(HEADER_BYTES));
        let graph = made.graph.unwrap();
        let [only] = graph.node.as_slice() else {
            panic!("expected one node, found {:?}", graph.node)
        };
        assert_eq!(
            (only.input[0].as_str(), only.output[0].as_str()),
            ("rows", "tokens")
        );
        assert_eq!(graph.input.len() + graph.output.len(), 2);
        let named = |name: &str| only.attribute.iter().find(|a| a.name() == name).unwrap();
        assert_eq!(named("ep_cache_context").s(), b"encoder.t8.sm89.engine");
        assert_eq!(named("hardware_architecture").s(), b"sm89");
        fs::write(&engine, [0u8; 63]).unwrap();
        let error = write(&file("encoder.onnx"), &engine, Target::Sm89).unwrap_err();
        assert!(
            error.to_string().contains("encoder.t8.sm89.engine"),
            "{error}"
        );
    }
}
