//! runtime/infer
