//! runtime/capture
