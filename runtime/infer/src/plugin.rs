//! TensorRT-RTX: a plug-in library that ONNX Runtime is told of once, and whose devices a session
//! is given by name.
//!
//! The plug-in takes a graph as it is and builds its engine when the session opens, or loads the
//! engine that an `EPContext` node names: `echocart package compile` writes both. Nobody has run it
//! on a GPU.

use crate::library::Library;
use crate::provider::Provider;
use crate::said::why;
use ort::session::builder::SessionBuilder;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

const PROVIDER: Provider = Provider::TensorRtRtx;
const PLUGIN: &str = "libonnxruntime_providers_nv_tensorrt_rtx.so";

/// Whether the plug-in is registered in this process.
static REGISTERED: Mutex<bool> = Mutex::new(false);

/// Lets a session run on the first device of the plug-in, which lies beside the library.
///
/// # Errors
/// Why it cannot, in words: the plug-in does not load, or offers no device.
pub(crate) fn on_device(
    builder: SessionBuilder,
    library: &Library,
    pairs: &BTreeMap<String, String>,
) -> Result<SessionBuilder, String> {
    let plugin = library.path().with_file_name(PLUGIN);
    {
        let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
        if !*registered {
            for file in library.files().filter(|file| file.name != PLUGIN) {
                load(&library.path().with_file_name(file.name))?;
            }
            register(library, PROVIDER.canonical(), &plugin)?;
            *registered = true;
        }
    }
    let name = PROVIDER.canonical();
    let options: Vec<(String, String)> = pairs
        .iter()
        .map(|(key, value)| (format!("{name}.{key}"), value.clone()))
        .collect();
    let ours = |device: &ort::device::Device| device.ep().is_ok_and(|ep| ep == name);
    let Some(first) = library.environment.devices().find(ours) else {
        return Err(format!(
            "{PROVIDER} plug-in: expected an NVIDIA GPU of compute capability 8.6, 8.9 or from 12.0 \
             on, with a driver for CUDA 13, found no device that it takes; use another provider on \
             this machine ({})",
            plugin.display()
        ));
    };
    builder
        .with_devices([first], Some(&options))
        .map_err(|e| format!("{PROVIDER} provider: {}", why(e)))
}

/// Loads what the plug-in links by its path: by its name alone the loader would search for it.
fn load(path: &Path) -> Result<(), String> {
    ort::util::preload_dylib(path)
        .map_err(|e| format!("{PROVIDER} plug-in: {} ({})", why(e), path.display()))
}

/// Tells ONNX Runtime of a plug-in library.
fn register(library: &Library, name: &str, path: &Path) -> Result<(), String> {
    library
        .environment
        .register_ep_library(name, path)
        .map_err(|e| {
            format!(
                "{PROVIDER} plug-in: expected a library that ONNX Runtime takes, found: {} ({})",
                why(e),
                path.display()
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::{default_library_path, family_library_path};
    use crate::provider::Family;
    use std::path::PathBuf;
    use std::process::Command;

    /// The library of this process's tests, whichever there is: both take plug-ins.
    fn library() -> Library {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = family_library_path(&root, Family::OpenVino);
        Library::load(&path.unwrap_or_else(|_| default_library_path(&root))).unwrap()
    }

    /// What a plug-in library must have, after ONNX Runtime's description of it; both functions of
    /// its interface that are needed here stand first in their tables and stay there.
    const INTERFACE: &str = "#include <stddef.h>\n#include <stdint.h>\n\
        struct api { void *(*create_status)(int code, const char *message); };\n\
        struct base { const struct api *(*get_api)(uint32_t version); };\n\
        void *ReleaseEpFactory(void *factory) { (void)factory; return NULL; }\n\
        void *CreateEpFactories(const char *name, const struct base *base, const void *log,\n\
        void **factories, size_t most, size_t *made)\n";

    fn compiled(dir: &Path, name: &str, source: &str) -> PathBuf {
        let file = dir.join(format!("{name}.c"));
        std::fs::write(&file, source).unwrap();
        let library = dir.join(format!("lib{name}.so"));
        let mut gcc = Command::new("gcc");
        gcc.args(["-shared", "-fPIC", "-o"]).arg(&library);
        assert!(gcc.arg(&file).status().unwrap().success());
        library
    }

    #[test]
    fn a_file_that_is_no_plug_in_is_refused_with_its_path() {
        let library = library();
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("libtext.so");
        std::fs::write(&text, "no library").unwrap();
        for (name, path, reason) in [
            ("absent", dir.path().join("absent.so"), "cannot open shared"),
            ("text", text, "file too short"),
            (
                "other",
                compiled(dir.path(), "other", "int other;"),
                "CreateEpFactories",
            ),
        ] {
            let error = register(&library, name, &path).unwrap_err();
            assert!(error.contains(reason), "{name}: {error}");
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn what_a_plug_in_says_of_itself_is_passed_on() {
        let dir = tempfile::tempdir().unwrap();
        let body = "{ return base->get_api(22)->create_status(1, \"this chip is too old\"); }";
        let plugin = compiled(dir.path(), "refuses", &format!("{INTERFACE}{body}"));
        let error = register(&library(), "refuses", &plugin).unwrap_err();
        assert!(error.contains("this chip is too old"), "{error}");
    }

    #[test]
    fn a_plug_in_without_factories_adds_no_device() {
        let library = library();
        let dir = tempfile::tempdir().unwrap();
        let body = "{ *made = 0; return NULL; }";
        let plugin = compiled(dir.path(), "empty", &format!("{INTERFACE}{body}"));
        let devices = || library.environment.devices().count();
        let before = devices();
        register(&library, "empty", &plugin).unwrap();
        assert_eq!(devices(), before);
    }
}
