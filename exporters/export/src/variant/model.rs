//! A graph that is read back, its large constants left in their file.

use crate::error::ExportError;
use crate::onnx::proto::{
    EXTERNAL, FLOAT, FLOAT8_E4M3, FLOAT16, INT8, INT64, ModelProto, NodeProto, OPSET, TensorProto,
    UINT8,
};
use echocart_core::manifest::is_plain_name;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const MOST_GRAPH_BYTES: u64 = 64 << 20;

/// A graph with its constants, read back from a file or cut out of another one.
///
/// Constants that lie in a weight file stay there until they are asked for, one at a time.
#[derive(Debug, Clone)]
pub struct Model {
    path: PathBuf,
    pub(super) proto: ModelProto,
    constants: BTreeMap<String, usize>,
}

struct Place {
    path: PathBuf,
    offset: u64,
    length: u64,
}

/// Bytes of one element, or none for a type this version does not read.
pub(super) fn element_bytes(element: i32) -> Option<u64> {
    match element {
        INT8 | UINT8 | FLOAT8_E4M3 => Some(1),
        FLOAT16 => Some(2),
        FLOAT => Some(4),
        INT64 => Some(8),
        _ => None,
    }
}

impl Model {
    /// Reads a graph file that this crate wrote.
    ///
    /// Its constants may lie in files of the same folder; those must be there and long enough.
    ///
    /// # Errors
    /// [`ExportError::Read`], [`ExportError::Graph`].
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        let file = File::open(path).map_err(ExportError::read(path))?;
        let length = file.metadata().map_err(ExportError::read(path))?.len();
        if length > MOST_GRAPH_BYTES {
            return Err(ExportError::Graph {
                message: format!("expected at most {MOST_GRAPH_BYTES} bytes, found {length}"),
                path: path.to_owned(),
            });
        }
        let bytes = fs::read(path).map_err(ExportError::read(path))?;
        let proto = ModelProto::decode(bytes.as_slice()).map_err(|e| ExportError::Graph {
            message: format!("expected an ONNX graph, found {e}"),
            path: path.to_owned(),
        })?;
        if proto.encode_to_vec() != bytes {
            return Err(ExportError::Graph {
                message: "expected a graph as this program writes it, found other fields".into(),
                path: path.to_owned(),
            });
        }
        Self::checked(path, proto)
    }

    /// A model over `proto` whose external constants lie beside `path`.
    pub(super) fn checked(path: &Path, proto: ModelProto) -> Result<Self, ExportError> {
        let mut model = Self {
            path: path.to_owned(),
            proto,
            constants: BTreeMap::new(),
        };
        let mut constants = BTreeMap::new();
        for (place, tensor) in model.graph_constants().iter().enumerate() {
            if constants.insert(tensor.name().to_owned(), place).is_some() {
                let name = tensor.name();
                return Err(model.wrong(format!("constant {name}: expected once, found twice")));
            }
        }
        model.constants = constants;
        model.check_nodes()?;
        for tensor in model.graph_constants() {
            model.check_constant(tensor)?;
        }
        Ok(model)
    }

    pub(super) fn wrong(&self, message: impl Into<String>) -> ExportError {
        ExportError::Graph {
            message: message.into(),
            path: self.path.clone(),
        }
    }

    fn check_nodes(&self) -> Result<(), ExportError> {
        let standard = |domain: Option<&str>| domain.unwrap_or_default().is_empty();
        let version = self
            .proto
            .opset_import
            .iter()
            .find(|set| standard(set.domain.as_deref()))
            .and_then(|set| set.version);
        if version != Some(OPSET) {
            let found = version.map_or("none".to_owned(), |v| v.to_string());
            return Err(self.wrong(format!("operator set: expected {OPSET}, found {found}")));
        }
        let mut known: BTreeSet<&str> = self.constants.keys().map(String::as_str).collect();
        known.extend(self.inputs());
        for node in self.nodes() {
            let missing = |name: &&String| !name.is_empty() && !known.contains(name.as_str());
            if let Some(name) = node.input.iter().find(missing) {
                let node = node.name.as_deref().unwrap_or_default();
                return Err(self.wrong(format!("node {node} reads {name} before it is given")));
            }
            for name in &node.output {
                if !known.insert(name) {
                    return Err(self.wrong(format!("value {name}: expected once, found twice")));
                }
            }
        }
        match self.outputs().iter().find(|name| !known.contains(*name)) {
            Some(name) => Err(self.wrong(format!("no node gives the output {name}"))),
            None => Ok(()),
        }
    }

    fn check_constant(&self, tensor: &TensorProto) -> Result<(), ExportError> {
        let name = tensor.name.as_deref().unwrap_or_default();
        let element = tensor.data_type.unwrap_or_default();
        let size = element_bytes(element)
            .ok_or_else(|| self.wrong(format!("constant {name}: element type {element}")))?;
        let sizes: Option<Vec<u64>> = tensor.dims.iter().map(|&d| d.try_into().ok()).collect();
        let bytes = sizes
            .and_then(|sizes| sizes.into_iter().try_fold(size, u64::checked_mul))
            .ok_or_else(|| self.wrong(format!("constant {name}: shape {:?}", tensor.dims)))?;
        let found = match self.place(tensor)? {
            Some(place) => {
                let file = fs::metadata(&place.path).map_err(ExportError::read(&place.path))?;
                let end = place.offset.checked_add(place.length);
                if !file.is_file() || end.is_none_or(|end| end > file.len()) {
                    let message = format!(
                        "constant {name}: expected {} bytes at {}, found a file of {}",
                        place.length,
                        place.offset,
                        file.len()
                    );
                    let path = place.path;
                    return Err(ExportError::Graph { message, path });
                }
                place.length
            }
            None => tensor.raw_data.as_ref().map_or(0, Vec::len) as u64,
        };
        if found != bytes {
            let message = format!("constant {name}: expected {bytes} bytes, found {found}");
            return Err(self.wrong(message));
        }
        Ok(())
    }

    fn place(&self, tensor: &TensorProto) -> Result<Option<Place>, ExportError> {
        if tensor.data_location != Some(EXTERNAL) {
            return Ok(None);
        }
        let name = tensor.name.as_deref().unwrap_or_default();
        let entry = |key: &str| {
            let entry = tensor
                .external_data
                .iter()
                .find(|entry| entry.key.as_deref() == Some(key));
            entry
                .and_then(|entry| entry.value.as_deref())
                .ok_or_else(|| self.wrong(format!("constant {name}: no {key}")))
        };
        let number = |key: &str| {
            let text = entry(key)?;
            text.parse()
                .map_err(|_| self.wrong(format!("constant {name}: {key} is {text}")))
        };
        let location = entry("location")?;
        if !is_plain_name(location) {
            let message =
                format!("constant {name}: expected a plain file name, found {location:?}");
            return Err(self.wrong(message));
        }
        Ok(Some(Place {
            path: self.dir().join(location),
            offset: number("offset")?,
            length: number("length")?,
        }))
    }

    /// The graph's file; for a cut one, the file it was cut from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder the weight file lies in.
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The nodes in order.
    pub fn nodes(&self) -> &[NodeProto] {
        let graph = self.proto.graph.as_ref();
        graph.map_or(&[], |graph| graph.node.as_slice())
    }

    pub(super) fn graph_constants(&self) -> &[TensorProto] {
        let graph = self.proto.graph.as_ref();
        graph.map_or(&[], |graph| graph.initializer.as_slice())
    }

    /// Names of the inputs.
    pub fn inputs(&self) -> Vec<&str> {
        let graph = self.proto.graph.iter();
        let values = graph.flat_map(|graph| &graph.input);
        values.filter_map(|value| value.name.as_deref()).collect()
    }

    /// Names of the outputs.
    pub fn outputs(&self) -> Vec<&str> {
        let graph = self.proto.graph.iter();
        let values = graph.flat_map(|graph| &graph.output);
        values.filter_map(|value| value.name.as_deref()).collect()
    }

    /// The constant `name`, its values perhaps in another file.
    pub fn constant(&self, name: &str) -> Option<&TensorProto> {
        let place = *self.constants.get(name)?;
        self.graph_constants().get(place)
    }

    /// Shape of the constant `name`.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let dims = &self.constant(name)?.dims;
        dims.iter().map(|&d| usize::try_from(d).ok()).collect()
    }

    /// The node that gives `value`.
    pub fn producer(&self, value: &str) -> Option<&NodeProto> {
        let gives = |node: &&NodeProto| node.output.iter().any(|name| name == value);
        self.nodes().iter().find(gives)
    }

    /// The bytes of the constant `name`.
    ///
    /// # Errors
    /// [`ExportError::Graph`] if there is none, [`ExportError::Read`].
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, ExportError> {
        let tensor = self
            .constant(name)
            .ok_or_else(|| self.wrong(format!("no constant {name}")))?;
        let Some(place) = self.place(tensor)? else {
            return Ok(tensor.raw_data.clone().unwrap_or_default());
        };
        let read = || {
            let mut file = File::open(&place.path)?;
            file.seek(SeekFrom::Start(place.offset))?;
            let mut bytes = vec![0; place.length as usize];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(ExportError::read(&place.path))
    }

    /// The values of the f32 constant `name`.
    ///
    /// # Errors
    /// [`ExportError::Graph`] if there is none or it has another type, [`ExportError::Read`].
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, ExportError> {
        let element = self.constant(name).and_then(|tensor| tensor.data_type);
        if let Some(found) = element.filter(|&element| element != FLOAT) {
            let message = format!("constant {name}: expected f32 values, found type {found}");
            return Err(self.wrong(message));
        }
        let bytes = self.bytes(name)?;
        let (words, _) = bytes.as_chunks::<4>();
        Ok(words.iter().map(|&word| f32::from_le_bytes(word)).collect())
    }

    /// The values of the int64 constant `name`, or none if it is not one.
    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        let tensor = self.constant(name)?;
        if tensor.data_type != Some(INT64) {
            return None;
        }
        let (words, _) = tensor.raw_data.as_deref()?.as_chunks::<8>();
        Some(words.iter().map(|&word| i64::from_le_bytes(word)).collect())
    }

    /// The bytes of a graph file, whose weights stay where they are: it works in the folder of
    /// [`Model::dir`].
    pub fn graph_bytes(&self) -> Vec<u8> {
        self.proto.encode_to_vec()
    }

    /// The bytes of a graph file that holds all its weights and works anywhere; for small cuts.
    ///
    /// # Errors
    /// [`ExportError::Graph`] from 2 GiB on, which no reader takes; [`ExportError::Read`].
    pub fn whole_bytes(&self) -> Result<Vec<u8>, ExportError> {
        let mut proto = self.proto.clone();
        let mut total = 0usize;
        for tensor in proto.graph.iter_mut().flat_map(|g| &mut g.initializer) {
            if tensor.data_location.take() != Some(EXTERNAL) {
                continue;
            }
            let bytes = self.bytes(tensor.name.as_deref().unwrap_or_default())?;
            total += bytes.len();
            if total >= 1 << 31 {
                return Err(self.wrong("expected weights below 2 GiB"));
            }
            tensor.external_data.clear();
            tensor.raw_data = Some(bytes);
        }
        Ok(proto.encode_to_vec())
    }
}
