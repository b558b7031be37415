//! Under strace: nothing leaves the machine, nothing is written outside the project's own folders.
//!
//! `CI` is unset for the traced programs, because libraries that report home tend to keep quiet
//! when they see it.

mod plain;

use echocart_tests::{build_dir, demo_config, echocart, events, fetched, root, text};
use std::path::{Path, PathBuf};
use std::process::Command;

const CALLS: &str = "trace=socket,connect,sendto,sendmsg,open,openat,creat,mkdir,mkdirat,rename,\
                     renameat,renameat2,symlink,symlinkat,link,linkat,mknod,mknodat,bind";

fn traced(command: &Command, log: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-s", "4096", "-e", CALLS, "-o"])
        .arg(log);
    strace.arg(command.get_program()).args(command.get_args());
    strace.current_dir(root()).env_remove("CI");
    strace
}

/// Network calls that leave the machine, and paths created outside `own`.
fn offences(log: &str, own: &[PathBuf]) -> Vec<String> {
    let network = |line: &str| {
        let inet = line.contains("AF_INET");
        let connects =
            line.contains("connect(") || line.contains("sendto(") || line.contains("bind(");
        inet && connects && !line.contains("\"127.0.0.1\"") && !line.contains("\"::1\"")
    };
    let created = |line: &str| {
        let call = line.split_whitespace().nth(1).unwrap_or_default();
        let writes = call.contains("O_CREAT") || line.contains("O_CREAT");
        let makes = ["mkdir", "rename", "symlink", "link", "mknod", "creat"]
            .iter()
            .any(|name| call.starts_with(name));
        if !(writes || makes) || line.contains("= -1 ") {
            return false;
        }
        let Some(path) = line.split('"').nth(1) else {
            return false;
        };
        let path = root().join(path);
        let harmless = path.starts_with("/dev/null") || path.starts_with("/dev/shm/echocart");
        !harmless && !own.iter().any(|o| path.starts_with(o))
    };
    log.lines()
        .filter(|l| network(l) || created(l))
        .map(str::to_owned)
        .collect()
}

#[track_caller]
#[expect(clippy::unwrap_used, clippy::expect_used, reason = "a test helper")]
fn assert_quiet(command: &Command, own: &[PathBuf]) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("strace.log");
    let output = traced(command, &log)
        .output()
        .expect("strace is needed: cargo xtask setup --tests");
    assert!(output.status.success(), "{}", text(&output));
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(
        log.contains("libonnxruntime.so"),
        "the trace shows no runtime library:\n{log}"
    );
    let offences = offences(&log, own);
    assert!(offences.is_empty(), "{offences:#?}");
}

#[test]
fn the_demo_run_stays_on_this_machine_and_in_its_folders() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("cart.toml");
    std::fs::write(&config, demo_config(dir.path()).unwrap()).unwrap();
    let mut run = echocart().unwrap();
    run.arg("run")
        .arg("--source")
        .arg(fetched("data/color3d_jpeg_baseline.dcm").unwrap());
    run.arg("--package")
        .arg(fetched("packages/generated").unwrap());
    run.args(["--loop", "--seconds", "5", "--config"])
        .arg(&config);
    run.arg("--events").arg(dir.path().join("events.jsonl"));
    assert_quiet(&run, &[dir.path().to_owned()]);
}

#[test]
fn openvino_stays_on_this_machine_and_in_its_folders() {
    if cfg!(not(target_arch = "x86_64")) {
        println!("skipped: no OpenVINO library for this architecture");
        return;
    }
    fetched("lib/openvino-1.24.1").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    plain::plain_package(
        &fetched("packages/generated").unwrap(),
        &package,
        &["OpenVINO"],
    )
    .unwrap();
    let config = dir.path().join("cart.toml");
    let demo = std::fs::read_to_string(root().join("configs/carts/demo.toml")).unwrap();
    let strict = demo
        .replace("[\"CPU\"]", "[\"OpenVINO\"]")
        .replace("\"degrade\"", "\"strict\"");
    std::fs::write(&config, strict).unwrap();
    let mut run = echocart().unwrap();
    run.args([
        "run",
        "--headless",
        "--pace",
        "max",
        "--seconds",
        "4",
        "--source",
    ])
    .arg(fetched("data/color3d_jpeg_baseline.dcm").unwrap());
    run.arg("--package")
        .arg(&package)
        .arg("--config")
        .arg(&config);
    run.arg("--events").arg(dir.path().join("events.jsonl"));
    assert_quiet(&run, &[dir.path().to_owned()]);
    let log = events(&dir.path().join("events.jsonl")).unwrap();
    let started = &log[0]["session"];
    assert_eq!(started["provider"], "OpenVINO", "{started}");
    assert_eq!(started["nodes"].as_object().unwrap().len(), 1, "{started}");
}

#[test]
fn the_c_example_stays_on_this_machine_and_creates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dump = dir.path().join("frames.dump");
    let package = fetched("packages/generated").unwrap();
    let output = echocart()
        .unwrap()
        .args([
            "run",
            "--headless",
            "--pace",
            "max",
            "--seconds",
            "4",
            "--source",
        ])
        .arg(fetched("data/color3d_jpeg_baseline.dcm").unwrap())
        .arg("--package")
        .arg(&package)
        .arg("--dump-frames")
        .arg(&dump)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let program = dir.path().join("minimal");
    let library = build_dir().unwrap().join("libechocart.so");
    std::os::unix::fs::symlink(&library, dir.path().join("libechocart.so.0")).unwrap();
    let gcc = Command::new("gcc")
        .args(["-std=c11", "-O1", "-I"])
        .arg(root().join("firmware-bridge/include"))
        .arg(root().join("firmware-bridge/examples/minimal.c"))
        .arg("-o")
        .arg(&program)
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", dir.path().display()))
        .output()
        .unwrap();
    assert!(gcc.status.success(), "{}", text(&gcc));
    let mut minimal = Command::new(&program);
    minimal.arg(&dump).arg(&package);
    minimal.arg(fetched("lib/onnxruntime-1.28.0/libonnxruntime.so.1.28.0").unwrap());
    assert_quiet(&minimal, &[]);
}

#[test]
fn the_check_itself_notices_an_offence() {
    let own = [PathBuf::from("/own")];
    for line in [
        r#"12 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16) = 0"#,
        r#"12 openat(AT_FDCWD, "/elsewhere/deviceid", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 4"#,
        r#"12 mkdir("/elsewhere/.onnxruntime", 0777) = 0"#,
    ] {
        assert_eq!(offences(line, &own).len(), 1, "{line}");
    }
    for line in [
        r#"12 bind(3, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("127.0.0.1")}, 16) = 0"#,
        r#"12 openat(AT_FDCWD, "/own/events.jsonl", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 4"#,
        r#"12 openat(AT_FDCWD, "/elsewhere/x", O_RDONLY) = 4"#,
    ] {
        assert!(offences(line, &own).is_empty(), "{line}");
    }
}
