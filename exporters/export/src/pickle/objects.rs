//! The globals of a fitted scaler. They are names: nothing is looked up, made or called.

use super::value::Node;

/// `sklearn`'s scaler.
pub(crate) const STANDARD_SCALER: &str = "sklearn.preprocessing._data.StandardScaler";
/// An empty array, filled by its state.
pub(crate) const RECONSTRUCT: &str = "numpy.core.multiarray._reconstruct";
/// An array over bytes.
pub(crate) const FROM_BUFFER: &str = "numpy.core.numeric._frombuffer";
/// An element type.
pub(crate) const DTYPE: &str = "numpy.dtype";
/// Text that stands for bytes.
pub(crate) const ENCODE: &str = "_codecs.encode";
const SCALAR: &str = "numpy.core.multiarray.scalar";
const NDARRAY: &str = "numpy.ndarray";

/// The globals of a scaler, by name. Both names of numpy's inner package become the older one.
pub(super) fn global(module: &str, name: &str) -> Option<Node> {
    let name = match (module, name) {
        ("sklearn.preprocessing._data", "StandardScaler") => STANDARD_SCALER,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => RECONSTRUCT,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => SCALAR,
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => FROM_BUFFER,
        ("numpy", "ndarray") => NDARRAY,
        ("numpy", "dtype") => DTYPE,
        ("_codecs", "encode") => ENCODE,
        _ => return None,
    };
    Some(Node::Global(name))
}
