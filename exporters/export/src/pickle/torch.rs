//! What `torch.save` refers to: storages and strided views of them.

use super::PickleError;
use super::machine::Machine;
use super::value::{Element, Node, NodeId, Storage, Tensor};

const MOST_DIMENSIONS: usize = 8;
const MOST_KEY_BYTES: usize = 32;

const OTHER_STORAGES: [&str; 15] = [
    "DoubleStorage",
    "HalfStorage",
    "BFloat16Storage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
    "ComplexFloatStorage",
    "ComplexDoubleStorage",
    "QInt8Storage",
    "QUInt8Storage",
    "QInt32Storage",
    "QUInt4x2Storage",
];

/// The globals of a checkpoint, by name.
pub(super) fn global(module: &str, name: &str) -> Option<Node> {
    let other = OTHER_STORAGES.iter().find(|&&storage| storage == name);
    match (module, name, other) {
        ("collections", "OrderedDict", _) => Some(Node::OrderedDictClass),
        ("torch._utils", "_rebuild_tensor_v2", _) => Some(Node::RebuildTensor),
        ("torch", "FloatStorage", _) => Some(Node::StorageClass(Element::Float32)),
        ("torch", _, Some(storage)) => Some(Node::StorageClass(Element::Other(storage))),
        _ => None,
    }
}

impl Machine<'_> {
    pub(super) fn persistent(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let Node::Tuple(items) = self.node(id) else {
            return self.operand("a storage tuple", self.node(id).kind());
        };
        let [kind, class, key, _location, elements] = items.as_slice() else {
            return self.operand("a storage tuple of 5", "another length");
        };
        let parts = (
            self.node(*kind),
            self.node(*class),
            self.node(*key),
            self.node(*elements),
        );
        let (Node::Text(kind), Node::StorageClass(element), Node::Text(key), Node::Int(elements)) =
            parts
        else {
            return self.operand("('storage', class, key, location, elements)", "other types");
        };
        let plain = (1..=MOST_KEY_BYTES).contains(&key.len())
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if kind != "storage" || *elements < 0 || !plain {
            return self.operand("a storage with a plain key and a count", "another value");
        }
        let storage = Storage {
            element: *element,
            key: key.clone(),
            elements: elements.unsigned_abs(),
        };
        self.push(Node::Storage(storage))
    }

    fn counts(&self, id: NodeId) -> Result<Vec<u64>, PickleError> {
        let (Node::Tuple(items) | Node::List(items)) = self.node(id) else {
            return self.operand("a tuple of counts", self.node(id).kind());
        };
        if items.len() > MOST_DIMENSIONS {
            return self.operand("at most 8 dimensions", "more");
        }
        let count = |&id: &NodeId| match self.node(id) {
            Node::Int(n) if *n >= 0 => Ok(n.unsigned_abs()),
            other => self.operand("a count", other.kind()),
        };
        items.iter().map(count).collect()
    }

    pub(super) fn tensor(&self, arguments: &[NodeId]) -> Result<Node, PickleError> {
        let [storage, offset, shape, strides, ..] = arguments else {
            return self.operand("storage, offset, shape and strides", "fewer arguments");
        };
        let (Node::Storage(storage), Node::Int(offset)) = (self.node(*storage), self.node(*offset))
        else {
            return self.operand("a storage and an offset", self.node(*storage).kind());
        };
        let (shape, strides) = (self.counts(*shape)?, self.counts(*strides)?);
        if shape.len() != strides.len() || *offset < 0 {
            return self.operand(
                "a stride per dimension and an offset from 0",
                "another value",
            );
        }
        Ok(Node::Tensor(Box::new(Tensor {
            storage: storage.clone(),
            offset: offset.unsigned_abs(),
            shape,
            strides,
        })))
    }
}
