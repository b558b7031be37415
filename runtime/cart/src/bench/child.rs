//! The process of one side, from the other end.

use super::side::{Answer, Ask, Opened, SideArgs};
use crate::exit::{Because, Cause, Failure};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A side's process; ends with it.
pub struct SideProcess {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl SideProcess {
    /// Starts one; it is told to open its graphs and answers with [`Opened`].
    pub fn start(args: &SideArgs) -> Result<(Self, Opened), Failure> {
        let mut command = Command::new(std::env::current_exe().because(Cause::Other)?);
        command
            .args(["bench", "side", "--package"])
            .arg(&args.package);
        command.args(["--provider", args.provider.as_str()]);
        command.args(["--variant", &args.variant]);
        command.args(["--threads", &args.threads.to_string()]);
        let list = |numbers: &[usize]| {
            let words: Vec<String> = numbers.iter().map(usize::to_string).collect();
            words.join(",")
        };
        command.args(["--tokens", &list(&args.tokens)]);
        if !args.cpus.is_empty() {
            command.args(["--cpus", &list(&args.cpus)]);
        }
        if args.open_sizes {
            command.arg("--open-sizes");
        }
        if args.encoder_only {
            command.arg("--encoder-only");
        }
        for (key, value) in &args.options {
            command.arg(format!("--option={key}={value}"));
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .because(Cause::Other)?;
        let (asks, answers) = (child.stdin.take(), child.stdout.take());
        let answers =
            answers.ok_or_else(|| Failure::text(Cause::Other, "a side without output"))?;
        let mut side = Self {
            child,
            asks,
            answers: BufReader::new(answers),
        };
        let opened: Opened = side.hear()?;
        match &opened.error {
            Some(error) => Err(Failure::text(
                Cause::Library,
                format!("{} {}: {error}", args.provider, args.variant),
            )),
            None => Ok((side, opened)),
        }
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, ask: Ask) -> Result<Answer, Failure> {
        let line = serde_json::to_string(&ask).because(Cause::Other)? + "\n";
        if let Some(asks) = &mut self.asks {
            asks.write_all(line.as_bytes()).because(Cause::Library)?;
        }
        match self.hear()? {
            Answer::Failed(error) => Err(Failure::text(Cause::Library, error)),
            answer => Ok(answer),
        }
    }

    fn hear<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let mut line = String::new();
        self.answers.read_line(&mut line).because(Cause::Other)?;
        if line.is_empty() {
            let ended = self.child.wait().because(Cause::Other)?;
            let text = format!("a side of the comparison died: {ended}");
            return Err(Failure::text(Cause::Library, text));
        }
        serde_json::from_str(&line).because(Cause::Other)
    }
}

impl Drop for SideProcess {
    fn drop(&mut self) {
        self.asks = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
