//! The compiler as a program.

use super::{Outcome, Target};
use crate::error::ExportError;
use crate::progress::Steps;
use echocart_core::hash::sha256_file;
use serde::Deserialize;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The compiler, in words.
pub(super) const NAME: &str = "TensorRT for RTX 1.7.1";

const PROGRAM: &str = "compile.py";
const LIBRARY: &str = "libtensorrt_rtx.so.1";
const MOST_OUTPUT_BYTES: u64 = 1 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) struct Compiler {
    dir: PathBuf,
}

/// What `compile.py` prints.
#[derive(Deserialize)]
struct Said {
    compiled: bool,
    seconds: f64,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    reason: String,
}

/// Ends the program when the caller is stopped while it runs.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Compiler {
    pub(super) fn find(dir: &Path) -> Result<Self, ExportError> {
        for name in [PROGRAM, LIBRARY] {
            if !dir.join(name).is_file() {
                return Err(ExportError::Tool {
                    message: format!(
                        "expected {name} (`cargo xtask check-tensorrt` fetches it), found none"
                    ),
                    path: dir.to_owned(),
                });
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    pub(super) fn sha256(&self) -> Result<String, ExportError> {
        let path = self.dir.join(LIBRARY);
        let hashed = sha256_file(&path).map_err(ExportError::read(&path))?;
        Ok(hashed.0)
    }

    pub(super) fn run(
        &self,
        graph: &Path,
        target: Target,
        engine: Option<&Path>,
        steps: &mut Steps<'_>,
    ) -> Result<Outcome, ExportError> {
        let program = self.dir.join(PROGRAM);
        let wrong = |message: String| ExportError::Tool {
            message,
            path: program.clone(),
        };
        let mut command = Command::new("python3");
        command
            .arg("-I")
            .arg(&program)
            .arg("--libraries")
            .arg(&self.dir);
        command
            .args(["--target", target.as_str(), "--graph"])
            .arg(graph);
        if let Some(engine) = engine {
            command.arg("--engine").arg(engine);
        }
        let scratch = || tempfile::tempfile().map_err(|e| wrong(e.to_string()));
        let (mut out, mut err) = (scratch()?, scratch()?);
        let handle = |file: &File| file.try_clone().map_err(|e| wrong(e.to_string()));
        let child = command
            .stdin(Stdio::null())
            .stdout(handle(&out)?)
            .stderr(handle(&err)?)
            .spawn();
        let mut running = Running(child.map_err(|e| wrong(format!("cannot start python3: {e}")))?);
        let status = loop {
            match running.0.try_wait().map_err(|e| wrong(e.to_string()))? {
                Some(status) => break status,
                None => sleep(LOOK_EVERY),
            }
            steps.check()?;
        };
        if !status.success() {
            let text = text(&mut err);
            let said = text.lines().last().unwrap_or("nothing");
            return Err(wrong(format!("{}: {}: {said}", graph.display(), status)));
        }
        let said: Said = serde_json::from_str(text(&mut out).trim())
            .map_err(|e| wrong(format!("expected one JSON line, found {e}")))?;
        let bytes = said.bytes;
        Ok(if said.compiled {
            Outcome::Engine {
                seconds: said.seconds,
                bytes,
            }
        } else {
            Outcome::Refused {
                reason: said.reason,
            }
        })
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(MOST_OUTPUT_BYTES).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) => e.to_string(),
    }
}
