//! Which ONNX Runtime library is loaded, and proof that it is that one.

use crate::pins::{PAPERS, PINNED, PinnedLibrary, PinnedSet};
use crate::provider::{Family, Provider};
use crate::said;
use echocart_core::hash;
use ort::environment::Environment;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Why no ONNX Runtime library is loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// There is no file, or it cannot be read.
    #[error(
        "ONNX Runtime library missing: expected a readable file, found {found}; {} ({path})",
        .family.remedy()
    )]
    Missing {
        /// Whose library.
        family: Family,
        /// What reading it said.
        found: String,
        /// Where it was expected.
        path: PathBuf,
    },
    /// The file is not one this version may load.
    #[error(
        "ONNX Runtime library altered or of another version: expected {expected}, \
         found {found}; {} ({path})",
        .family.remedy()
    )]
    Unknown {
        /// Whose library it was taken for.
        family: Family,
        /// Size or hash for this architecture.
        expected: String,
        /// The file's size or hash.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// A file lies beside the libraries that they would read, and nothing vouches for it.
    #[error("{family} library folder: expected only pinned files, found {name} ({path})")]
    Unlisted {
        /// Whose folder.
        family: Family,
        /// The file's name.
        name: String,
        /// The folder.
        path: PathBuf,
    },
    /// A variable that makes the library load files from elsewhere.
    #[error("{family} library: expected no {name} in the environment, found {value:?}")]
    Environment {
        /// Whose library.
        family: Family,
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// No library of the family is pinned for this machine's architecture.
    #[error(
        "{family} library: expected one for {}, found none pinned",
        std::env::consts::ARCH
    )]
    NoneHere {
        /// Whose library.
        family: Family,
    },
    /// The operating system or ONNX Runtime refused it.
    #[error("ONNX Runtime library does not load: {message} ({path})")]
    Load {
        /// What the loader said.
        message: String,
        /// The file.
        path: PathBuf,
    },
    /// Another library file is already loaded; one process holds one.
    #[error(
        "one process holds one ONNX Runtime library: expected the one loaded, {loaded}, \
         found a request for {path}"
    )]
    Another {
        /// The file in use.
        loaded: PathBuf,
        /// The file asked for.
        path: PathBuf,
    },
}

/// Where `cargo xtask setup` puts the CPU library, below the checkout's root.
pub fn default_library_path(root: &Path) -> PathBuf {
    let set = PinnedSet::of(Family::Cpu).unwrap_or(&PINNED[0]);
    path_of(set, root)
}

/// Where `cargo xtask runtime-libs` puts a family's library, below the checkout's root.
///
/// # Errors
/// [`LibraryError::NoneHere`].
pub fn family_library_path(root: &Path, family: Family) -> Result<PathBuf, LibraryError> {
    let set = PinnedSet::of(family).ok_or(LibraryError::NoneHere { family })?;
    Ok(path_of(set, root))
}

fn path_of(set: &PinnedSet, root: &Path) -> PathBuf {
    let folder = root.join(".echocart/lib").join(set.folder);
    folder.join(set.library.name)
}

/// A loaded and checked ONNX Runtime library. Cheap to clone.
#[derive(Clone)]
pub struct Library {
    pub(crate) environment: Environment,
    path: PathBuf,
    set: &'static PinnedSet,
}

static LOADED: Mutex<Option<Library>> = Mutex::new(None);

impl Library {
    /// Checks and loads the library at `path` and what lies beside it; a second call for the same
    /// file gives the same one.
    ///
    /// # Errors
    /// [`LibraryError`]; nothing is loaded then.
    pub fn load(path: &Path) -> Result<Self, LibraryError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let canonical = std::fs::canonicalize(path);
        if let (Some(library), Ok(path)) = (loaded.as_ref(), &canonical) {
            if library.path == *path {
                return Ok(library.clone());
            }
            return Err(LibraryError::Another {
                loaded: library.path.clone(),
                path: path.clone(),
            });
        }
        let (path, set) = vouched(path)?;
        let load = |message: String| LibraryError::Load {
            message,
            path: path.clone(),
        };
        let environment = ort::init_from(&path)
            .map_err(|e| load(e.to_string()))?
            .with_name("echocart")
            .with_telemetry(false)
            .with_logger(said::logger())
            .build()
            .map_err(|e| load(e.to_string()))?;
        let library = Self {
            environment,
            path,
            set,
        };
        *loaded = Some(library.clone());
        Ok(library)
    }

    /// The library this process holds, if any.
    pub fn loaded() -> Option<Self> {
        let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.clone()
    }

    /// Name and version, for example `onnxruntime 1.28.0`.
    pub fn name(&self) -> String {
        self.set.title()
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It and the files it loads from its folder.
    pub fn files(&self) -> impl Iterator<Item = &'static PinnedLibrary> {
        std::iter::once(&self.set.library).chain(self.set.beside)
    }

    /// Which build it is.
    pub fn family(&self) -> Family {
        self.set.family
    }

    /// SHA-256 of its file, lower case hex.
    pub fn sha256(&self) -> &'static str {
        self.set.library.sha256
    }

    /// Whether it holds a provider.
    pub fn offers(&self, provider: Provider) -> bool {
        self.set.family.offers(provider)
    }
}

/// Checks the library at `path` and what lies beside it, and loads nothing.
///
/// # Errors
/// [`LibraryError`] with the file at fault.
pub fn check_library(path: &Path) -> Result<&'static PinnedSet, LibraryError> {
    vouched(path).map(|(_, set)| set)
}

fn vouched(path: &Path) -> Result<(PathBuf, &'static PinnedSet), LibraryError> {
    let guess = guessed(path);
    let missing = |found: String| LibraryError::Missing {
        family: guess.map_or(Family::Cpu, |set| set.family),
        found,
        path: path.to_owned(),
    };
    let path = std::fs::canonicalize(path).map_err(|e| missing(e.to_string()))?;
    if !path.is_file() {
        return Err(missing("no plain file".to_owned()));
    }
    let (found, _) = hash::sha256_file(&path).map_err(|e| missing(e.to_string()))?;
    let here = |set: &&PinnedSet| set.arch == std::env::consts::ARCH;
    let known = PINNED.iter().filter(here);
    let dir = path.parent().unwrap_or(Path::new("/"));
    let same = known.clone().filter(|set| set.library.sha256 == found);
    let with_files = |set: &&PinnedSet| {
        let first = set.beside.first();
        first.is_some_and(|file| dir.join(file.name).exists())
    };
    let meant = |set: &&PinnedSet| guess == Some(*set);
    let set = same.clone().find(with_files);
    let set = set.or_else(|| same.clone().find(meant));
    let Some(set) = set.or_else(|| same.clone().next()) else {
        let guess = guess.or_else(|| known.clone().next());
        return Err(match guess {
            Some(set) => compare(set.family, &set.library, &path).err(),
            None => None,
        }
        .unwrap_or(LibraryError::NoneHere {
            family: Family::Cpu,
        }));
    };
    for library in set.beside {
        compare(set.family, library, &dir.join(library.name))?;
    }
    if matches!(set.family, Family::OpenVino | Family::Rtx) {
        refuse_other_sources(dir, set)?;
    }
    Ok((path, set))
}

/// The set a path is most likely meant to be, by its folder, then by its name.
fn guessed(path: &Path) -> Option<&'static PinnedSet> {
    let here = |set: &&PinnedSet| set.arch == std::env::consts::ARCH;
    let named = |text: Option<&std::ffi::OsStr>, name| text.is_some_and(|t| t == name);
    let folder = path.parent().and_then(Path::file_name);
    let mut known = PINNED.iter().filter(here);
    known
        .clone()
        .find(|set| named(folder, set.folder))
        .or_else(|| known.find(|set| named(path.file_name(), set.library.name)))
}

/// Compares a file with its pin.
pub(crate) fn compare(
    family: Family,
    pinned: &PinnedLibrary,
    path: &Path,
) -> Result<(), LibraryError> {
    let missing = |e: std::io::Error| LibraryError::Missing {
        family,
        found: e.to_string(),
        path: path.to_owned(),
    };
    let unknown = |expected: String, found: String| LibraryError::Unknown {
        family,
        expected,
        found,
        path: path.to_owned(),
    };
    let bytes = std::fs::metadata(path).map_err(missing)?.len();
    if bytes != pinned.bytes {
        let expected = format!("{} bytes", pinned.bytes);
        return Err(unknown(expected, format!("{bytes} bytes")));
    }
    let (found, _) = hash::sha256_file(path).map_err(missing)?;
    if found != pinned.sha256 {
        return Err(unknown(format!("sha256 {}", pinned.sha256), found));
    }
    Ok(())
}

/// OpenVINO reads `plugins.xml` and looks for plug-ins in its own folder, and for front ends where
/// a variable says; TensorRT-RTX's plug-in loads `libtensorrt_plugins.so` where it lies beside it.
fn refuse_other_sources(dir: &Path, set: &PinnedSet) -> Result<(), LibraryError> {
    let family = set.family;
    let name = "OV_FRONTEND_PATH";
    let read = (family == Family::OpenVino).then(|| std::env::var_os(name));
    if let Some(value) = read.flatten() {
        let value = value.to_string_lossy().into_owned();
        return Err(LibraryError::Environment {
            family,
            name,
            value,
        });
    }
    let pinned = |name: &str| {
        name == set.library.name
            || PAPERS.contains(&name)
            || set.beside.iter().any(|library| library.name == name)
    };
    let missing = |e: std::io::Error| LibraryError::Missing {
        family,
        found: e.to_string(),
        path: dir.to_owned(),
    };
    for entry in std::fs::read_dir(dir).map_err(missing)? {
        let name = entry.map_err(missing)?.file_name();
        let name = name.to_string_lossy();
        if !pinned(&name) {
            return Err(LibraryError::Unlisted {
                family,
                name: name.into_owned(),
                path: dir.to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// The OpenVINO folder under another roof, files linked.
    fn openvino() -> Option<(tempfile::TempDir, PathBuf)> {
        let Ok(path) = family_library_path(&root(), Family::OpenVino) else {
            println!("skipped: no OpenVINO library for this architecture");
            return None;
        };
        let scratch = tempfile::tempdir_in(root().join(".echocart")).unwrap();
        for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
            let file = entry.unwrap().path();
            fs::hard_link(&file, scratch.path().join(file.file_name().unwrap())).unwrap();
        }
        let library = scratch.path().join(path.file_name().unwrap());
        Some((scratch, library))
    }

    #[test]
    fn a_missing_library_names_the_path_and_the_remedy() {
        let error = check_library(Path::new("no/such/lib.so")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("no/such/lib.so") && text.contains("cargo xtask setup"),
            "{text}"
        );
    }

    #[test]
    fn a_file_with_another_hash_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("library");
        fs::write(&file, b"not a library").unwrap();
        let error = check_library(&file).unwrap_err();
        assert!(matches!(error, LibraryError::Unknown { .. }), "{error}");
    }

    #[test]
    fn a_truncated_library_is_told_by_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let whole = fs::read(default_library_path(&root())).unwrap();
        let file = dir.path().join("libonnxruntime.so.1.28.0");
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let text = check_library(&file).unwrap_err().to_string();
        let found = format!("found {} bytes", whole.len() / 2);
        assert!(
            text.contains(&found) && text.contains("cargo xtask setup"),
            "{text}"
        );
    }

    #[test]
    fn whole_sets_pass() {
        assert_eq!(
            check_library(&default_library_path(&root()))
                .unwrap()
                .family,
            Family::Cpu
        );
        let Some((_scratch, library)) = openvino() else {
            return;
        };
        assert_eq!(check_library(&library).unwrap().version, "1.24.1");
    }

    #[test]
    fn a_damaged_neighbour_is_named_with_the_remedy() {
        let Some((scratch, library)) = openvino() else {
            return;
        };
        let tbb = scratch.path().join("libtbb.so.12");
        let mut bytes = fs::read(&tbb).unwrap();
        fs::remove_file(&tbb).unwrap();
        let text = check_library(&library).unwrap_err().to_string();
        assert!(
            text.contains("missing") && text.contains("libtbb.so.12"),
            "{text}"
        );
        assert!(text.contains("runtime-libs --provider openvino"), "{text}");
        bytes[5000] ^= 1;
        fs::write(&tbb, &bytes).unwrap();
        let text = check_library(&library).unwrap_err().to_string();
        assert!(
            text.contains("altered") && text.contains("libtbb.so.12"),
            "{text}"
        );
    }

    #[test]
    fn a_file_that_openvino_would_read_is_not_accepted_beside_it() {
        let Some((scratch, library)) = openvino() else {
            return;
        };
        fs::write(scratch.path().join("plugins.xml"), "<ie/>").unwrap();
        let error = check_library(&library).unwrap_err();
        assert!(matches!(&error, LibraryError::Unlisted { name, .. } if name == "plugins.xml"));
    }

    /// A folder with the plain library, and what a test adds to it.
    fn rtx() -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir_in(root().join(".echocart")).unwrap();
        let set = PinnedSet::of(Family::Rtx).unwrap();
        let folder = scratch.path().join(set.folder);
        fs::create_dir(&folder).unwrap();
        let library = folder.join(set.library.name);
        fs::hard_link(default_library_path(&root()), &library).unwrap();
        (scratch, library)
    }

    #[test]
    fn a_missing_plug_in_is_named_with_what_fetches_it() {
        let (_scratch, library) = rtx();
        let error = check_library(&library).unwrap_err();
        assert!(matches!(&error, LibraryError::Missing { family, .. } if *family == Family::Rtx));
        let text = error.to_string();
        assert!(text.contains("providers_nv_tensorrt_rtx.so"), "{text}");
        assert!(
            text.contains("runtime-libs --provider tensorrt-rtx"),
            "{text}"
        );
    }

    #[test]
    fn another_plug_in_beside_the_library_is_refused_wherever_they_lie() {
        let (scratch, library) = rtx();
        let plugin = PinnedSet::of(Family::Rtx).unwrap().beside[0];
        let whole = vec![0u8; plugin.bytes as usize];
        fs::write(library.with_file_name(plugin.name), whole).unwrap();
        let elsewhere = scratch.path().join("elsewhere");
        fs::rename(library.parent().unwrap(), &elsewhere).unwrap();
        let library = elsewhere.join(library.file_name().unwrap());
        let text = check_library(&library).unwrap_err().to_string();
        assert!(text.contains("altered"), "{text}");
        assert!(text.contains(plugin.sha256), "{text}");
    }

    #[test]
    fn a_library_of_another_version_under_a_known_name_is_not_taken_for_it() {
        let Ok(other) = family_library_path(&root(), Family::OpenVino) else {
            println!("skipped: no OpenVINO library for this architecture");
            return;
        };
        let scratch = tempfile::tempdir_in(root().join(".echocart")).unwrap();
        let file = scratch.path().join("libonnxruntime.so.1.28.0");
        fs::hard_link(other, &file).unwrap();
        let text = check_library(&file).unwrap_err().to_string();
        assert!(
            text.contains("libonnxruntime_providers_shared.so"),
            "{text}"
        );
    }
}
