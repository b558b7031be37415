//! Calibration's graphs on ONNX Runtime.

use echocart_export::quantise::{GraphRunner, Input, LoadedGraph, Output};
use echocart_infer::{GraphSession, Library};
use std::path::Path;

/// Runs graphs on ONNX Runtime's CPU provider.
pub struct OrtRunner {
    library: Library,
    threads: usize,
}

impl OrtRunner {
    pub fn new(library: Library, threads: usize) -> Self {
        Self { library, threads }
    }
}

struct Loaded(GraphSession);

impl LoadedGraph for Loaded {
    fn run(&mut self, inputs: &[(&str, Input<'_>)]) -> Result<Vec<Output>, String> {
        self.0.run(inputs).map_err(|e| e.to_string())
    }
}

impl GraphRunner for OrtRunner {
    fn name(&self) -> (String, String) {
        ("CPU".to_owned(), self.library.name())
    }

    fn open(&mut self, path: &Path) -> Result<Box<dyn LoadedGraph>, String> {
        let graph = GraphSession::open_file(&self.library, path, self.threads);
        let graph = graph.map_err(|e| format!("{e} ({})", path.display()))?;
        Ok(Box::new(Loaded(graph)))
    }

    fn load(&mut self, model: &[u8]) -> Result<Box<dyn LoadedGraph>, String> {
        let graph = GraphSession::open(&self.library, model, self.threads);
        Ok(Box::new(Loaded(graph.map_err(|e| e.to_string())?)))
    }
}
