//! Tensors that a graph is given and writes into, made once and used for every clip.

use crate::provider::Provider;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{
    HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue, SessionInputs,
};
use ort::value::Tensor;

/// An output of a graph, in memory that stays where it is.
pub(crate) struct Bound {
    name: String,
    options: RunOptions<HasSelectedOutputs>,
    shape: Vec<usize>,
    /// The tensor that `options` holds as well, once a run has given it back.
    tensor: Option<Tensor<f32>>,
    filled: bool,
}

impl Bound {
    /// Takes memory for output `name` of a graph.
    pub fn new(name: &str, shape: &[usize], allocator: &Allocator) -> Result<Self, ort::Error> {
        let tensor = Tensor::<f32>::new(allocator, shape.to_vec())?;
        let selector = OutputSelector::default().preallocate(name, tensor);
        Ok(Self {
            name: name.to_owned(),
            options: RunOptions::new()?.with_outputs(selector),
            shape: shape.to_vec(),
            tensor: None,
            filled: false,
        })
    }

    /// Whether it has this shape.
    pub fn is(&self, shape: &[usize]) -> bool {
        self.shape == shape
    }

    /// Runs a graph into it; whatever it held is gone, also after an error.
    pub fn run<'i, 'v: 'i, const N: usize>(
        &mut self,
        graph: &mut Session,
        inputs: impl Into<SessionInputs<'i, 'v, N>>,
    ) -> Result<(), ort::Error> {
        self.filled = false;
        let mut outputs = graph.run_with_options(inputs, &self.options)?;
        if self.tensor.is_none() {
            let output = outputs.remove(&self.name);
            self.tensor = output.map(|o| o.downcast()).transpose()?;
        }
        self.filled = true;
        Ok(())
    }

    /// What the newest run wrote, if it wrote anything.
    pub fn tensor(&self) -> Option<&Tensor<f32>> {
        self.tensor.as_ref().filter(|_| self.filled)
    }

    /// Says that it holds nothing; the memory stays.
    pub fn clear(&mut self) {
        self.filled = false;
    }
}

/// Runs a graph on what `inputs` hold, in the order of its inputs. One and two take no memory.
pub(crate) fn run_on(
    graph: &mut Session,
    inputs: &[&Tensor<f32>],
    to: &mut Bound,
) -> Result<(), ort::Error> {
    match inputs {
        [one] => to.run(graph, ort::inputs![*one]),
        [one, two] => to.run(graph, ort::inputs![*one, *two]),
        more => {
            let values: Vec<SessionInputValue> = more.iter().map(|&t| t.into()).collect();
            to.run::<0>(graph, values.as_slice())
        }
    }
}

/// Where tokens lie between encoder and heads: on the GPU for CUDA and TensorRT (not run on one), in
/// the host's memory for the others. TensorRT-RTX would have them on the GPU as well, under a name
/// that its plug-in chooses; nobody has run that, so they take the way that always works.
pub(crate) fn tokens_allocator(
    provider: Provider,
    encoder: &Session,
) -> Result<Allocator, ort::Error> {
    match provider {
        Provider::Cpu | Provider::OpenVino | Provider::TensorRtRtx => Ok(Allocator::default()),
        Provider::Cuda | Provider::TensorRt => {
            let device = AllocationDevice::CUDA;
            let place = MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::Default)?;
            Allocator::new(encoder, place)
        }
    }
}

/// Copies a tensor to `out`, from wherever it lies.
pub(crate) fn read(tensor: &Tensor<f32>, out: &mut Vec<f32>) -> Result<(), ort::Error> {
    if tensor.memory_info().is_cpu_accessible() {
        out.extend_from_slice(tensor.extract_tensor().1);
    } else {
        let here = tensor.to(AllocationDevice::CPU, 0)?;
        out.extend_from_slice(here.extract_tensor().1);
    }
    Ok(())
}
