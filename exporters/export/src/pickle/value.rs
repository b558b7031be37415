//! What a pickle holds.

/// Index of a value in its [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeId(pub(super) u32);

/// Element type of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit float: the only one whose values are read.
    Float32,
    /// Any other, by the name of its storage class.
    Other(&'static str),
}

impl Element {
    /// The name of its storage class.
    pub fn storage_class(self) -> &'static str {
        match self {
            Self::Float32 => "FloatStorage",
            Self::Other(name) => name,
        }
    }
}

/// A block of values in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Element type.
    pub element: Element,
    /// Entry name below `data/`.
    pub key: String,
    /// Elements.
    pub elements: u64,
}

/// A strided view of a storage. Nothing of it has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The storage.
    pub storage: Storage,
    /// First element.
    pub offset: u64,
    /// Shape.
    pub shape: Vec<u64>,
    /// Elements from one index to the next, per dimension.
    pub strides: Vec<u64>,
}

/// What a class or function would make of its arguments and a state. It is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    /// The class or function.
    pub of: &'static str,
    /// Its arguments, a tuple.
    pub arguments: NodeId,
    /// The last state given to it.
    pub state: Option<NodeId>,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// Text.
    Text(String),
    /// A byte string; its content is kept in the pickle of a scaler only.
    Bytes(Vec<u8>),
    /// A tuple.
    Tuple(Vec<NodeId>),
    /// A list.
    List(Vec<NodeId>),
    /// A dict in insertion order; a repeated key keeps both entries.
    Dict(Vec<(NodeId, NodeId)>),
    /// The class `collections.OrderedDict`.
    OrderedDictClass,
    /// The function `torch._utils._rebuild_tensor_v2`.
    RebuildTensor,
    /// A storage class of torch.
    StorageClass(Element),
    /// A storage.
    Storage(Storage),
    /// A tensor.
    Tensor(Box<Tensor>),
    /// A class or function of a scaler, by name.
    Global(&'static str),
    /// What a class or function of a scaler would make.
    Object(Object),
}

impl Node {
    /// The kind in words, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Float(_) => "a float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::OrderedDictClass => "the class OrderedDict",
            Self::RebuildTensor => "the function _rebuild_tensor_v2",
            Self::StorageClass(_) => "a storage class",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Global(name) => name,
            Self::Object(object) => object.of,
        }
    }
}

/// A parsed pickle.
#[derive(Debug, Clone)]
pub struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

impl Pickle {
    /// The outermost value.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// The value at `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0 as usize).unwrap_or(&Node::None)
    }

    /// The entries of the dict at `id` whose keys are text; `None` if it is no dict.
    pub fn text_entries(&self, id: NodeId) -> Option<Vec<(&str, NodeId)>> {
        let Node::Dict(entries) = self.node(id) else {
            return None;
        };
        let text = |&(key, value): &(NodeId, NodeId)| match self.node(key) {
            Node::Text(key) => Some((key.as_str(), value)),
            _ => None,
        };
        Some(entries.iter().filter_map(text).collect())
    }

    /// The last value under `key` of the dict at `id`.
    pub fn entry(&self, id: NodeId, key: &str) -> Option<NodeId> {
        self.text_entries(id)?
            .into_iter()
            .rev()
            .find(|(k, _)| *k == key)
            .map(|(_, v)| v)
    }
}
