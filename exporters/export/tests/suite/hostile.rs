//! No bytes make the reader run anything, panic, or use much memory.

use crate::writer::{
    Value, bytes, encoder_state, pickle, probe_file, probe_state, tiny_encoder, tiny_probe,
    training_checkpoint,
};
use echocart_core::manifest::VIEW;
use echocart_export::checkpoint::{Best, read_encoder, read_probe};
use echocart_export::pickle::{PickleError, parse};
use proptest::prelude::*;
use std::sync::LazyLock;

static PICKLE: LazyLock<Vec<u8>> =
    LazyLock::new(|| pickle(&training_checkpoint(encoder_state())).0);
static CHECKPOINT: LazyLock<Vec<u8>> =
    LazyLock::new(|| bytes(&training_checkpoint(encoder_state())));

fn global(text: &str) -> PickleError {
    let mut pickle = b"\x80\x02".to_vec();
    pickle.extend(text.as_bytes());
    parse(&pickle).unwrap_err()
}

#[test]
fn any_other_global_is_refused_by_name() {
    let name = |name: &str| PickleError::Global {
        name: name.to_owned(),
    };
    assert_eq!(global("cos\nsystem\n(X\x02\0\0\0idtR."), name("os.system"));
    assert_eq!(global("cbuiltins\neval\n."), name("builtins.eval"));
    assert_eq!(
        global("cnumpy.core.multiarray\nscalar\n."),
        name("numpy.core.multiarray.scalar")
    );
    assert_eq!(global("ctorch\nload\n."), name("torch.load"));
    assert_eq!(global("\u{c}X"), PickleError::Opcode { code: 0x0c, at: 2 });
    let stack = b"\x80\x04\x8c\x05posix\x8c\x06system\x93.";
    assert_eq!(parse(stack).unwrap_err(), name("posix.system"));
}

#[test]
fn a_refused_global_cannot_write_to_the_terminal() {
    let PickleError::Global { name } = global("c\u{1b}[2J\nx\n.") else {
        panic!("not refused")
    };
    assert_eq!(name, "\\u{1b}[2J.x");
    let PickleError::Global { name } = global(&format!("c{}\nx\n.", "m".repeat(5000))) else {
        panic!("not refused")
    };
    assert!(name.len() < 200);
}

#[test]
fn a_checkpoint_that_asks_for_a_global_names_it() {
    let evil = Value::Raw(b"cos\nsystem\nX\x04\0\0\0true\x85R".to_vec());
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("evil.pt");
    std::fs::write(
        &path,
        bytes(&Value::Dict(vec![("target_encoder".to_owned(), evil)])),
    )
    .unwrap();
    let error = read_encoder(&path, &tiny_encoder())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("found os.system"), "{error}");
}

#[test]
fn calls_of_anything_but_the_two_known_ones_are_refused() {
    for bytes in [
        &b"\x80\x02ctorch\nFloatStorage\n)R."[..],
        b"\x80\x02K\x01)R.",
        b"\x80\x02ccollections\nOrderedDict\nK\x01R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02K\x01}b.",
    ] {
        assert!(
            matches!(parse(bytes), Err(PickleError::Operand { .. })),
            "{bytes:?}"
        );
    }
}

#[test]
fn depth_costs_no_stack_and_cycles_no_memory() {
    let mut nested = vec![0x80, 2, b')'];
    nested.extend(std::iter::repeat_n(0x85, 1_000_000));
    nested.push(b'.');
    assert!(parse(&nested).is_ok());
    assert!(parse(b"\x80\x02]q\x00h\x00a.").is_ok());
}

#[test]
fn a_small_file_cannot_ask_for_much_memory() {
    assert_eq!(
        parse(b"\x80\x02X\xff\xff\xff\xff").err(),
        Some(PickleError::Truncated { at: 2 })
    );
    assert!(parse(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
    let mut pairs = b"\x80\x02ccollections\nOrderedDict\nq\x00](".to_vec();
    pairs.extend(b"NN\x86".repeat(20_000));
    pairs.extend(b"e\x85q\x01");
    pairs.extend(b"h\x00h\x01R".repeat(1000));
    pairs.push(b'.');
    assert!(matches!(parse(&pairs), Err(PickleError::TooLarge { .. })));
}

fn read_all(bytes: &[u8]) {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("case.pt");
    std::fs::write(&path, bytes).unwrap();
    if let Ok(mut state) = read_encoder(&path, &tiny_encoder()).map(|checked| checked.state) {
        let keys: Vec<String> = state.keys().map(str::to_owned).collect();
        for key in keys {
            let _ = state.read(&key);
        }
    }
    let _ = read_probe(&path, &tiny_probe(VIEW), Best::Highest);
}

#[test]
fn every_prefix_of_a_pickle_is_refused() {
    for length in 0..PICKLE.len() {
        assert!(parse(&PICKLE[..length]).is_err(), "{length}");
    }
    assert!(parse(&PICKLE).is_ok());
}

#[test]
fn a_cut_checkpoint_is_refused() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("cut.pt");
    for part in 0..20 {
        std::fs::write(&path, &CHECKPOINT[..CHECKPOINT.len() * part / 20]).unwrap();
        assert!(read_encoder(&path, &tiny_encoder()).is_err(), "{part}/20");
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn random_instructions_never_panic(
        codes in proptest::collection::vec(
            prop::sample::select(b"(.01NJKMGXCBqrhj)tl]ae}dsucQRb\x80\x85\x86\x87\x88\x89\x8a\x8c\x93\x94\x00\x01\n".to_vec()),
            0..300,
        )
    ) {
        let _ = parse(&codes);
    }

    #[test]
    fn a_mutated_pickle_never_panics(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)
    ) {
        let mut bytes = PICKLE.clone();
        for (index, byte) in edits {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = parse(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_mutated_checkpoint_never_panics(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        at_the_end in any::<bool>(),
    ) {
        let mut bytes = CHECKPOINT.clone();
        let length = bytes.len();
        let window = if at_the_end { length.min(6000) } else { length };
        for (index, byte) in edits {
            bytes[length - window + index.index(window)] = byte;
        }
        read_all(&bytes);
    }

    #[test]
    fn a_mutated_probe_file_never_panics(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
    ) {
        let mut bytes = bytes(&probe_file(vec![probe_state(VIEW, "a")], &[1.0]));
        for (index, byte) in edits {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        read_all(&bytes);
    }
}
