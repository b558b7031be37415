//! Checkpoints in, packages out, seen from outside.

#[cfg(test)]
mod formula;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod multi_view;
#[cfg(test)]
mod package;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod parity_cases;
#[cfg(test)]
mod parity_files;
#[cfg(test)]
mod probes;
#[cfg(test)]
mod recipes;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod safetensors;
#[cfg(test)]
mod scaler;
#[cfg(test)]
mod strictness;
#[cfg(test)]
mod variant_model;
#[cfg(test)]
mod variants;
#[cfg(test)]
mod writer;
