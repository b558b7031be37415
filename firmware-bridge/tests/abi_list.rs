//! The ABI as a list: numbers, structs with their fields, functions with their arguments.
//!
//! `abi.txt` is the list of the released minor version. `ECHOCART_WRITE_ABI=1 cargo test -p
//! echocart-bridge --test abi_list` rewrites it; a line that goes or changes is a new major.

use std::path::PathBuf;

const WRITE: &str = "ECHOCART_WRITE_ABI";

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The header without comments, guards and white space: one number, field list or function a line.
fn list(header: &str) -> String {
    let code: Vec<&str> = header
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().trim())
        .collect();
    let numbers = code.iter().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.first() == Some(&"#define")
            && words.len() > 2
            && words[1].starts_with("ECHOCART_")
            && !words[1].contains('(')
            && !["ECHOCART_API", "ECHOCART_CALL"].contains(&words[1])
    });
    let mut lines: Vec<String> = numbers.map(|line| (*line).to_owned()).collect();
    let text: Vec<&str> = code
        .into_iter()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut depth = 0_i32;
    let mut statement = String::new();
    for part in text.join(" ").split_inclusive([';', '{', '}']) {
        statement.push_str(part);
        depth += part.matches('{').count() as i32 - part.matches('}').count() as i32;
        if depth == 0 && part.ends_with(';') {
            let words: Vec<&str> = statement.split_whitespace().collect();
            lines.push(words.join(" "));
            statement.clear();
        }
    }
    let kept = lines
        .into_iter()
        .filter(|l| l.contains("echocart") || l.contains("ECHOCART"));
    kept.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn the_abi_is_the_committed_one() {
    let header = std::fs::read_to_string(file("include/echocart.h")).unwrap();
    // What C++ reads around the declarations is no part of the list.
    let header = header
        .replace("extern \"C\" {", "")
        .replace("}  // extern \"C\"", "");
    let found = list(&header);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(file("abi.txt"), &found).unwrap();
    }
    let committed = std::fs::read_to_string(file("abi.txt")).unwrap();
    let gone: Vec<&str> = committed
        .lines()
        .filter(|line| !found.lines().any(|l| l == *line))
        .collect();
    let new: Vec<&str> = found
        .lines()
        .filter(|line| !committed.lines().any(|l| l == *line))
        .collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "abi.txt: gone or changed {gone:#?}, new {new:#?}; {WRITE}=1 rewrites it"
    );
    assert!(found.contains("echocart_frame_commit("), "{found}");
    assert!(
        found.contains("typedef struct echocart_segment_t {"),
        "{found}"
    );
}
