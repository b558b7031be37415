//! The scale of a regression target, from a fitted scaler.

use crate::error::ExportError;
use crate::input::check_regular;
use crate::pickle::objects::{DTYPE, ENCODE, FROM_BUFFER, RECONSTRUCT, STANDARD_SCALER};
use crate::pickle::{Node, NodeId, Object, Pickle, parse_scaler};
use std::fs::File;
use std::io::Read;
use std::path::Path;

const MOST_BYTES: u64 = 64 << 10;
const ROOT_TOLERANCE: f64 = 1e-9;

/// Reads mean and standard deviation from a pickled `StandardScaler` of one feature.
///
/// Nothing of the file is executed. A file written by joblib is refused: its arrays lie outside
/// the pickle.
///
/// # Units
/// `(mean, std)` in the unit of the target.
///
/// # Errors
/// [`ExportError::Read`], [`ExportError::Settings`] for another pickle, another class, a scaler
/// that does not centre and scale, several features, or numbers that cannot be.
pub fn read_scaler(path: &Path) -> Result<(f64, f64), ExportError> {
    let wrong = |message: String| ExportError::Settings {
        what: "scaler",
        message,
        path: path.to_owned(),
    };
    check_regular("scaler", path)?;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(ExportError::read(path))?;
    if bytes.len() as u64 > MOST_BYTES {
        let message = format!("expected at most {MOST_BYTES} bytes, found more");
        return Err(wrong(message));
    }
    let pickle = parse_scaler(&bytes).map_err(|e| wrong(e.to_string()))?;
    scale(&pickle).map_err(wrong)
}

fn scale(pickle: &Pickle) -> Result<(f64, f64), String> {
    let state = match pickle.node(pickle.root()) {
        Node::Object(Object {
            of: STANDARD_SCALER,
            state: Some(state),
            ..
        }) => *state,
        other => {
            return Err(format!(
                "expected a fitted StandardScaler, found {}",
                other.kind()
            ));
        }
    };
    let entry = |key: &str| {
        let id = pickle.entry(state, key);
        id.ok_or_else(|| format!("{key}: expected a fitted scaler that has it, found none"))
    };
    for key in ["with_mean", "with_std"] {
        if pickle.node(entry(key)?) != &Node::Bool(true) {
            return Err(format!("{key}: expected true, found another value"));
        }
    }
    let value = |key: &str| {
        number(pickle, entry(key)?)
            .map_err(|(expected, found)| format!("{key}: expected {expected}, found {found}"))
    };
    let (mean, std, variance) = (value("mean_")?, value("scale_")?, value("var_")?);
    if !mean.is_finite() {
        return Err(format!("mean_: expected a finite number, found {mean}"));
    }
    if !(std.is_finite() && std > 0.0) {
        return Err(format!(
            "scale_: expected a finite number above 0, found {std}"
        ));
    }
    let root = variance.sqrt();
    if (root - std).abs() <= ROOT_TOLERANCE * std {
        Ok((mean, std))
    } else {
        Err(format!(
            "scale_: expected the root of var_, {root}, found {std}"
        ))
    }
}

type Mismatch = (&'static str, String);

fn items(pickle: &Pickle, id: NodeId) -> &[NodeId] {
    match pickle.node(id) {
        Node::Tuple(items) => items,
        _ => &[],
    }
}

fn object(pickle: &Pickle, id: NodeId, of: &str) -> Option<Object> {
    match pickle.node(id) {
        Node::Object(object) if object.of == of => Some(*object),
        _ => None,
    }
}

fn number(pickle: &Pickle, id: NodeId) -> Result<f64, Mismatch> {
    let parts = if let Some(array) = object(pickle, id, RECONSTRUCT) {
        match array.state.map(|state| items(pickle, state)) {
            Some(&[_version, shape, dtype, _order, content]) => Some((shape, dtype, content)),
            _ => None,
        }
    } else if let Some(array) = object(pickle, id, FROM_BUFFER) {
        match *items(pickle, array.arguments) {
            [content, dtype, shape, _order] => Some((shape, dtype, content)),
            _ => None,
        }
    } else {
        None
    };
    let Some((shape, dtype, content)) = parts else {
        return Err(("an array", pickle.node(id).kind().to_owned()));
    };
    let lengths = items(pickle, shape)
        .iter()
        .map(|&id| match pickle.node(id) {
            Node::Int(length) => length.to_string(),
            other => other.kind().to_owned(),
        });
    let lengths: Vec<String> = lengths.collect();
    if lengths != ["1"] {
        let found = format!("shape [{}]", lengths.join(", "));
        return Err(("an array of one feature", found));
    }
    if !is_little_endian_double(pickle, dtype) {
        return Err(("64-bit little-endian floats", "another type".to_owned()));
    }
    let content = content_bytes(pickle, content);
    match content.as_deref().map(<[u8; 8]>::try_from) {
        Some(Ok(bytes)) => Ok(f64::from_le_bytes(bytes)),
        _ => Err(("8 bytes", content.map_or(0, |c| c.len()).to_string())),
    }
}

fn is_little_endian_double(pickle: &Pickle, id: NodeId) -> bool {
    let text = |id: Option<&NodeId>| match id.map(|&id| pickle.node(id)) {
        Some(Node::Text(text)) => text.as_str(),
        _ => "",
    };
    object(pickle, id, DTYPE).is_some_and(|dtype| {
        let order = dtype.state.map(|state| items(pickle, state));
        text(items(pickle, dtype.arguments).first()) == "f8"
            && order.is_some_and(|state| text(state.get(1)) == "<")
    })
}

/// Protocol 2 has no byte strings: there they are text, one character per byte.
fn content_bytes(pickle: &Pickle, id: NodeId) -> Option<Vec<u8>> {
    if let Node::Bytes(bytes) = pickle.node(id) {
        return Some(bytes.clone());
    }
    let encoded = object(pickle, id, ENCODE)?;
    let &[text, encoding] = items(pickle, encoded.arguments) else {
        return None;
    };
    match (pickle.node(text), pickle.node(encoding)) {
        (Node::Text(text), Node::Text(encoding)) if encoding == "latin1" => text
            .chars()
            .map(|character| u8::try_from(u32::from(character)).ok())
            .collect(),
        _ => None,
    }
}
