//! The model as ONNX graphs, node by node.
//!
//! Each part first writes its weights in the form its nodes want them, then its nodes.

mod block;
pub mod encoder;
mod fold;
pub mod head;
pub mod rope;

use crate::error::ExportError;
use crate::source::Weights;

/// Called with the name of each tensor before it is written; an error ends it.
pub(crate) type OnTensor<'a> = &'a mut dyn FnMut(&str) -> Result<(), ExportError>;

pub(crate) struct Reader<'a> {
    pub(crate) weights: &'a mut Weights,
    pub(crate) on_tensor: OnTensor<'a>,
}

impl Reader<'_> {
    pub(crate) fn read(&mut self, key: &str) -> Result<Vec<f32>, ExportError> {
        (self.on_tensor)(key)?;
        self.weights.read(key)
    }
}
