//! The delivery of `cargo xtask dist`, unpacked in an empty folder, for the tests that use it there.

use echocart_tests::{build_dir, fetched, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// An unpacked delivery.
pub struct Sdk {
    folder: tempfile::TempDir,
}

impl Sdk {
    /// Unpacks the delivery of this build's library.
    #[track_caller]
    pub fn unpack() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-xzf")
            .arg(named(delivery(), ".tar.gz"))
            .args(["--strip-components=1", "--one-top-level=sdk", "-C"])
            .arg(folder.path());
        succeed(&mut tar);
        Self { folder }
    }

    /// Where it was unpacked.
    pub fn root(&self) -> PathBuf {
        self.path("sdk")
    }

    /// A path in the folder around it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Builds a CMake project of the delivery; gives the folder of its programs.
    #[track_caller]
    pub fn cmake(&self, project: &str) -> PathBuf {
        let build = self.path(&format!("build-{project}"));
        let mut configure = Command::new("cmake");
        configure
            .arg("-S")
            .arg(self.root().join("share/echocart").join(project))
            .arg("-B")
            .arg(&build)
            .arg(format!("-DCMAKE_PREFIX_PATH={}", self.root().display()))
            .arg("-DCMAKE_C_FLAGS=-Werror")
            .arg("-DCMAKE_CXX_FLAGS=-Werror")
            .env_remove("CPATH");
        succeed(&mut configure);
        succeed(Command::new("cmake").arg("--build").arg(&build).arg("-j2"));
        build
    }
}

/// The folder of this build's delivery, packed once for the tests of one file.
#[track_caller]
pub fn delivery() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let name = concat!("delivery-", env!("CARGO_CRATE_NAME"));
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if out.exists() {
            fs::remove_dir_all(&out).unwrap();
        }
        let output = run(dist(&deps(), &out));
        assert!(output.status.success(), "{}", text(&output));
        out
    })
}

/// `cargo xtask dist` over libraries that are built already.
pub fn dist(built: &Path, out: &Path) -> Command {
    let xtask = build_dir().unwrap().join("xtask");
    assert!(
        xtask.is_file(),
        "build it first: cargo build --release ({})",
        xtask.display()
    );
    let mut command = Command::new(xtask);
    command.arg("dist").arg("--built").arg(built);
    command.arg("--out").arg(out);
    command
}

/// The folder of the libraries that Cargo built with this test.
pub fn deps() -> PathBuf {
    let mut dir = std::env::current_exe().unwrap();
    dir.pop();
    assert!(dir.join("libechocart.so").is_file(), "{}", dir.display());
    dir
}

/// The one file of a folder whose name ends so.
#[track_caller]
pub fn named(folder: &Path, end: &str) -> PathBuf {
    let files = fs::read_dir(folder).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    paths
        .find(|path| path.to_string_lossy().ends_with(end))
        .unwrap_or_else(|| panic!("no *{end} in {}", folder.display()))
}

/// The demo package and the runtime library.
pub fn package_and_library() -> [PathBuf; 2] {
    let library = "lib/onnxruntime-1.28.0/libonnxruntime.so.1.28.0";
    [
        fetched("packages/generated").unwrap(),
        fetched(library).unwrap(),
    ]
}

/// Runs a command whatever its end.
#[track_caller]
pub fn run(mut command: Command) -> Output {
    command
        .output()
        .unwrap_or_else(|e| panic!("{e}: {command:?}"))
}

/// Runs a command that must end with 0; gives what it printed.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{e}: {command:?}"));
    assert!(output.status.success(), "{command:?}\n{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}
