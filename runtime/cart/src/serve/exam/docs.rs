//! `docs/events.md` says what the types say.

use super::wire::{Command, Exam, Export, Refused, RejectReason};
use echocart_core::events::{Event, Reason, StateKind, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const TEXT: &str = include_str!("../../../../../docs/events.md");

fn examples() -> Vec<Value> {
    let blocks = TEXT.split("```json\n").skip(1);
    let texts = blocks.map(|b| b.split("```").next().unwrap());
    texts
        .map(|t| serde_json::from_str(t).unwrap_or_else(|e| panic!("{e}: {t}")))
        .collect()
}

/// Reads `example` as a `T` and writes it again.
fn same<T: Serialize + DeserializeOwned>(example: &Value) {
    let read: T =
        serde_json::from_value(example.clone()).unwrap_or_else(|e| panic!("{e}: {example}"));
    assert_eq!(serde_json::to_value(read).unwrap(), *example);
}

/// All words of an enum, as serde lists them in its refusal.
fn words<T: DeserializeOwned>() -> Vec<String> {
    let refusal = match serde_json::from_str::<T>("\"?\"") {
        Ok(_) => panic!("expected a refusal"),
        Err(e) => e.to_string(),
    };
    refusal
        .split('`')
        .skip(3)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_example_is_of_the_types_and_written_again_alike() {
    let mut kinds = Vec::new();
    for example in examples() {
        if let Some(commands) = example.as_array() {
            commands.iter().for_each(same::<Command>);
            kinds.push("commands".to_owned());
            continue;
        }
        let kind = example["type"].as_str().unwrap_or("export").to_owned();
        match kind.as_str() {
            "estimate" | "state" | "summary" => same::<Event>(&example),
            "exam" => same::<Exam>(&example["exam"]),
            "export" => same::<Export>(&example),
            "clock" => assert!(example["ladder"].is_u64() && example["now_nanos"].is_i64()),
            other => panic!("{other}"),
        }
        kinds.push(kind);
    }
    for kind in [
        "estimate", "state", "summary", "clock", "exam", "commands", "export",
    ] {
        assert!(kinds.iter().any(|k| k == kind), "no example of {kind}");
    }
}

#[test]
fn every_word_of_the_schema_is_explained() {
    let mut all = words::<StateKind>();
    for more in [
        words::<Status>(),
        words::<Reason>(),
        words::<Refused>(),
        words::<RejectReason>(),
    ] {
        all.extend(more);
    }
    assert!(all.len() > 40, "{all:?}");
    for word in all {
        assert!(
            TEXT.contains(&format!("`{word}`")),
            "docs/events.md lacks {word}"
        );
    }
}

#[test]
fn every_command_has_an_example() {
    let refusal = serde_json::from_str::<Command>("{\"do\":\"?\"}")
        .unwrap_err()
        .to_string();
    let names: Vec<&str> = refusal.split('`').skip(3).step_by(2).collect();
    assert!(names.len() > 10, "{refusal}");
    for name in names {
        assert!(
            TEXT.contains(&format!("{{\"do\":\"{name}\"")),
            "docs/events.md lacks {name}"
        );
    }
}
