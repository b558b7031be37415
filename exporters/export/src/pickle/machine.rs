//! The stack machine.

use super::value::{Node, NodeId, Object, Pickle};
use super::{PickleError, objects, torch};
use std::collections::BTreeMap;

const MOST_NODES: usize = 4_000_000;
const MOST_NAME_CHARACTERS: usize = 80;

/// Which globals and instructions a pickle may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Checkpoint,
    Scaler,
}

/// Reads the pickle of a checkpoint; bytes after STOP are ignored.
///
/// # Errors
/// [`PickleError`] for anything but plain data, OrderedDicts and tensors.
pub fn parse(bytes: &[u8]) -> Result<Pickle, PickleError> {
    parse_kind(bytes, Kind::Checkpoint)
}

/// Reads the pickle of a fitted scaler; bytes after STOP are ignored.
///
/// # Errors
/// [`PickleError`] for anything but plain data, numpy arrays and the scaler itself.
pub fn parse_scaler(bytes: &[u8]) -> Result<Pickle, PickleError> {
    parse_kind(bytes, Kind::Scaler)
}

fn parse_kind(bytes: &[u8], kind: Kind) -> Result<Pickle, PickleError> {
    let mut machine = Machine {
        kind,
        bytes,
        position: 0,
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        copied: 0,
    };
    loop {
        if let Some(root) = machine.step()? {
            return Ok(Pickle {
                nodes: machine.nodes,
                root,
            });
        }
    }
}

pub(super) struct Machine<'a> {
    kind: Kind,
    bytes: &'a [u8],
    position: usize,
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<NodeId>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, NodeId>,
    copied: usize,
}

impl<'a> Machine<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let end = self.position.checked_add(count);
        let slice = end.and_then(|end| self.bytes.get(self.position..end));
        let slice = slice.ok_or(PickleError::Truncated { at: self.at })?;
        self.position += count;
        Ok(slice)
    }

    fn unsigned(&mut self, width: usize) -> Result<u64, PickleError> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn length(&mut self, width: usize) -> Result<usize, PickleError> {
        let length = self.unsigned(width)?;
        usize::try_from(length).map_err(|_| PickleError::Truncated { at: self.at })
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest.iter().position(|&b| b == b'\n');
        let length = length.ok_or(PickleError::Truncated { at: self.at })?;
        let line = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.position += 1;
        Ok(line)
    }

    pub(super) fn operand<T>(
        &self,
        expected: &'static str,
        found: &'static str,
    ) -> Result<T, PickleError> {
        Err(PickleError::Operand {
            at: self.at,
            expected,
            found,
        })
    }

    pub(super) fn push(&mut self, node: Node) -> Result<(), PickleError> {
        if self.nodes.len() >= MOST_NODES {
            return Err(PickleError::TooLarge {
                most: MOST_NODES,
                at: self.at,
            });
        }
        self.stack.push(NodeId(self.nodes.len() as u32));
        self.nodes.push(node);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<NodeId, PickleError> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return self.operand("a value on the stack", "none");
        }
        match self.stack.pop() {
            Some(id) => Ok(id),
            None => self.operand("a value on the stack", "none"),
        }
    }

    fn top(&self) -> Result<NodeId, PickleError> {
        match self.stack.last() {
            Some(&id) if self.stack.len() > self.marks.last().copied().unwrap_or(0) => Ok(id),
            _ => self.operand("a value on the stack", "none"),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<NodeId>, PickleError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark.min(self.stack.len()))),
            None => self.operand("a mark", "none"),
        }
    }

    fn pop_tuple(&mut self, count: usize) -> Result<(), PickleError> {
        let mut items = (0..count)
            .map(|_| self.pop())
            .collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Node::Tuple(items))
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0 as usize).unwrap_or(&Node::None)
    }

    fn memoize(&mut self, index: u32) -> Result<(), PickleError> {
        let id = self.top()?;
        self.memo.insert(index, id);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), PickleError> {
        match self.memo.get(&index) {
            Some(&id) => {
                self.stack.push(id);
                Ok(())
            }
            None => self.operand("a memo entry", "none"),
        }
    }

    fn text(&mut self, width: usize) -> Result<(), PickleError> {
        let length = self.length(width)?;
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => self.push(Node::Text(text.to_owned())),
            Err(_) => self.operand("UTF-8 text", "other bytes"),
        }
    }

    fn byte_string(&mut self, width: usize) -> Result<(), PickleError> {
        let length = self.length(width)?;
        let content = self.take(length)?;
        let kept = match self.kind {
            Kind::Checkpoint => Vec::new(),
            Kind::Scaler => content.to_vec(),
        };
        self.push(Node::Bytes(kept))
    }

    fn long(&mut self) -> Result<(), PickleError> {
        let width = self.length(1)?;
        if width > 8 {
            return self.operand("an integer of up to 8 bytes", "a longer one");
        }
        let value = self.unsigned(width)?;
        let unused = 64 - 8 * width as u32;
        let signed = if width == 0 {
            0
        } else {
            ((value << unused) as i64) >> unused
        };
        self.push(Node::Int(signed))
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), PickleError> {
        let node = match self.kind {
            Kind::Checkpoint => torch::global(module, name),
            Kind::Scaler => objects::global(module, name),
        };
        match node {
            Some(node) => self.push(node),
            None => {
                let name = format!("{module}.{name}").escape_debug().to_string();
                let name = name.chars().take(MOST_NAME_CHARACTERS).collect();
                Err(PickleError::Global { name })
            }
        }
    }

    fn stack_global(&mut self) -> Result<(), PickleError> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (self.node(module), self.node(name)) {
            (Node::Text(module), Node::Text(name)) => {
                let (module, name) = (module.clone(), name.clone());
                self.global(&module, &name)
            }
            (module, _) => self.operand("two names", module.kind()),
        }
    }

    fn pairs(&self, id: NodeId) -> Result<Vec<(NodeId, NodeId)>, PickleError> {
        let (Node::Tuple(items) | Node::List(items)) = self.node(id) else {
            return self.operand("pairs", self.node(id).kind());
        };
        let pair = |&id: &NodeId| match self.node(id) {
            Node::Tuple(pair) | Node::List(pair) => match pair.as_slice() {
                &[key, value] => Ok((key, value)),
                _ => self.operand("a pair", "another length"),
            },
            other => self.operand("a pair", other.kind()),
        };
        items.iter().map(pair).collect()
    }

    fn reduce(&mut self) -> Result<(), PickleError> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let given = arguments;
        let Node::Tuple(arguments) = self.node(arguments) else {
            return self.operand("an argument tuple", self.node(arguments).kind());
        };
        let node = match self.node(callable) {
            Node::OrderedDictClass => match arguments.as_slice() {
                [] => Node::Dict(Vec::new()),
                [items] => {
                    let entries = self.pairs(*items)?;
                    self.copied += entries.len();
                    if self.copied > MOST_NODES {
                        return Err(PickleError::TooLarge {
                            most: MOST_NODES,
                            at: self.at,
                        });
                    }
                    Node::Dict(entries)
                }
                _ => return self.operand("OrderedDict() or OrderedDict(pairs)", "more arguments"),
            },
            Node::RebuildTensor => self.tensor(arguments)?,
            Node::Global(name) => Node::Object(Object {
                of: name,
                arguments: given,
                state: None,
            }),
            other => return self.operand("a known function or class", other.kind()),
        };
        self.push(node)
    }

    fn build(&mut self) -> Result<(), PickleError> {
        let state = self.pop()?;
        let id = self.top()?;
        match self.nodes.get_mut(id.0 as usize) {
            Some(Node::Dict(_)) => Ok(()),
            Some(Node::Object(object)) => {
                object.state = Some(state);
                Ok(())
            }
            other => {
                let found = other.map_or("none", |node| node.kind());
                self.operand("an object that takes state", found)
            }
        }
    }

    fn append(&mut self, items: Vec<NodeId>) -> Result<(), PickleError> {
        let id = self.top()?;
        match self.nodes.get_mut(id.0 as usize) {
            Some(Node::List(list)) => {
                list.extend(items);
                Ok(())
            }
            other => {
                let found = other.map_or("none", |node| node.kind());
                self.operand("a list to append to", found)
            }
        }
    }

    fn set_items(&mut self, items: &[NodeId]) -> Result<(), PickleError> {
        let id = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return self.operand("keys with values", "a key without one");
        }
        match self.nodes.get_mut(id.0 as usize) {
            Some(Node::Dict(entries)) => {
                entries.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            other => {
                let found = other.map_or("none", |node| node.kind());
                self.operand("a dict to fill", found)
            }
        }
    }

    fn dict_from_mark(&mut self) -> Result<(), PickleError> {
        let items = self.pop_to_mark()?;
        self.push(Node::Dict(Vec::new()))?;
        self.set_items(&items)
    }

    fn step(&mut self) -> Result<Option<NodeId>, PickleError> {
        self.at = self.position;
        let code = self.unsigned(1)? as u8;
        match code {
            0x80 => match self.unsigned(1)? {
                2..=5 => Ok(()),
                _ => self.operand("protocol 2 to 5", "another"),
            },
            0x95 => self.take(8).map(|_| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'.' => return self.pop().map(Some),
            b'0' => self.pop().map(|_| ()),
            b'1' => self.pop_to_mark().map(|_| ()),
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'J' => {
                let value = self.unsigned(4)? as u32 as i32;
                self.push(Node::Int(value.into()))
            }
            b'K' | b'M' => {
                let value = self.unsigned(if code == b'K' { 1 } else { 2 })?;
                self.push(Node::Int(value as i64))
            }
            0x8a => self.long(),
            b'G' => {
                let bits = self.unsigned(8)?.swap_bytes();
                self.push(Node::Float(f64::from_bits(bits)))
            }
            0x8c => self.text(1),
            b'X' => self.text(4),
            0x8d => self.text(8),
            b'C' => self.byte_string(1),
            b'B' => self.byte_string(4),
            0x8e => self.byte_string(8),
            0x96 if self.kind == Kind::Scaler => self.byte_string(8),
            0x81 if self.kind == Kind::Scaler => self.reduce(),
            b'q' | b'r' => {
                let index = self.unsigned(if code == b'q' { 1 } else { 4 })?;
                self.memoize(index as u32)
            }
            0x94 => self.memoize(self.memo.len() as u32),
            b'h' | b'j' => {
                let index = self.unsigned(if code == b'h' { 1 } else { 4 })?;
                self.recall(index as u32)
            }
            b')' => self.push(Node::Tuple(Vec::new())),
            0x85 => self.pop_tuple(1),
            0x86 => self.pop_tuple(2),
            0x87 => self.pop_tuple(3),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Node::Tuple(items))
            }
            b']' => self.push(Node::List(Vec::new())),
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Node::List(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)
            }
            b'}' => self.push(Node::Dict(Vec::new())),
            b'd' => self.dict_from_mark(),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)
            }
            0x93 => self.stack_global(),
            b'Q' => self.persistent(),
            b'R' => self.reduce(),
            b'b' => self.build(),
            _ => Err(PickleError::Opcode { code, at: self.at }),
        }?;
        Ok(None)
    }
}
