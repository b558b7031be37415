//! Whether a loaded graph takes and gives what the manifest says.

use ort::session::Session;
use ort::value::{Outlet, TensorElementType, ValueType};

/// One input or output as the manifest implies it; a dimension without a size may be any.
pub(crate) struct Wanted {
    pub name: String,
    pub element: TensorElementType,
    pub shape: Vec<Option<usize>>,
}

impl Wanted {
    pub fn floats(name: impl Into<String>, shape: &[Option<usize>]) -> Self {
        Self {
            name: name.into(),
            element: TensorElementType::Float32,
            shape: shape.to_vec(),
        }
    }

    fn words(&self) -> String {
        let sizes: Vec<String> = self
            .shape
            .iter()
            .map(|s| s.map_or("any".to_owned(), |s| s.to_string()))
            .collect();
        format!("{} {:?} [{}]", self.name, self.element, sizes.join(", "))
    }

    /// A graph that leaves a size open is taken: the run itself then tells.
    fn is(&self, outlet: &Outlet) -> bool {
        let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
            return false;
        };
        let size = |(wanted, found): (&Option<usize>, &i64)| {
            *found < 0 || wanted.is_none_or(|w| i64::try_from(w) == Ok(*found))
        };
        *ty == self.element
            && shape.len() == self.shape.len()
            && self.shape.iter().zip(shape.iter()).all(size)
    }
}

/// Compares a graph's inputs and outputs with what is wanted, in words when they differ.
pub(crate) fn check(
    session: &Session,
    inputs: &[Wanted],
    outputs: &[Wanted],
) -> Result<(), String> {
    for (what, wanted, found) in [
        ("input", inputs, session.inputs()),
        ("output", outputs, session.outputs()),
    ] {
        for w in wanted {
            let Some(outlet) = found.iter().find(|o| o.name() == w.name) else {
                let names: Vec<&str> = found.iter().map(Outlet::name).collect();
                let names = names.join(", ");
                return Err(format!("{what}: expected {}, found {names}", w.words()));
            };
            if !w.is(outlet) {
                let found = outlet.dtype();
                return Err(format!("{what}: expected {}, found {found}", w.words()));
            }
        }
        if found.len() != wanted.len() {
            return Err(format!(
                "{what}s: expected {}, found {}",
                wanted.len(),
                found.len()
            ));
        }
    }
    Ok(())
}
