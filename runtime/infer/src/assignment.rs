//! Which provider got which nodes of a graph: asked of ONNX Runtime, never assumed.
//!
//! The only `unsafe` on ONNX Runtime's C API.

#![expect(unsafe_code, reason = "ort has no safe call for the assignment")]

use crate::provider::Provider;
use ort::AsPointer;
use ort::session::Session;
use ort::sys::{OrtEpAssignedNode, OrtEpAssignedSubgraph, OrtStatusPtr};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::ptr;

/// Session configuration that makes ONNX Runtime keep the assignment.
pub(crate) const RECORD: &str = "session.record_ep_graph_assignment_info";

/// Counts the nodes that each provider got, by our word for the provider. A provider that fuses
/// nodes reports those it was given, before the fusion.
pub(crate) fn nodes_by_provider(session: &Session) -> Result<BTreeMap<String, usize>, String> {
    let api = ort::api();
    let mut subgraphs: *const *const OrtEpAssignedSubgraph = ptr::null();
    let mut count = 0usize;
    // SAFETY: the session lives through the call, and both results are ours to write. The array
    // and what it points to belong to the session, which outlives this function.
    told(unsafe {
        (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &raw mut subgraphs, &raw mut count)
    })?;
    let mut nodes = BTreeMap::new();
    for at in 0..count {
        // SAFETY: ONNX Runtime gave `count` pointers at `subgraphs`, which count > 0 makes valid.
        let subgraph = unsafe { *subgraphs.add(at) };
        let mut name: *const c_char = ptr::null();
        // SAFETY: `subgraph` is one of the session's, `name` is ours to write.
        told(unsafe { (api.EpAssignedSubgraph_GetEpName)(subgraph, &raw mut name) })?;
        if name.is_null() {
            return Err("a subgraph without a provider's name".to_owned());
        }
        // SAFETY: a string that ends with nul and belongs to the session.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let mut members: *const *const OrtEpAssignedNode = ptr::null();
        let mut in_it = 0usize;
        // SAFETY: `subgraph` is one of the session's, the results are ours to write.
        told(unsafe {
            (api.EpAssignedSubgraph_GetNodes)(subgraph, &raw mut members, &raw mut in_it)
        })?;
        *nodes.entry(Provider::word(&name).to_owned()).or_insert(0) += in_it;
    }
    Ok(nodes)
}

/// The message of a status, which is released.
fn told(status: OrtStatusPtr) -> Result<(), String> {
    if status.0.is_null() {
        return Ok(());
    }
    let api = ort::api();
    // SAFETY: a status that is not null is a valid one; its message ends with nul and lives until
    // the status is released, after it was copied.
    let message = unsafe {
        let text = CStr::from_ptr((api.GetErrorMessage)(status.0)).to_string_lossy();
        let message = text.replace('\n', " ");
        (api.ReleaseStatus)(status.0);
        message
    };
    Err(message)
}
