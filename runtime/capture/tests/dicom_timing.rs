//! Capture times of DICOM cines.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod cines;

use cines::{Cine, folder, frames, opened, refusal};
use dicom_core::{PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use echocart_capture::{OpenOptions, open};

const MILLI: i64 = 1_000_000;

fn pointing_at(cine: Cine, tag: Tag) -> Cine {
    cine.put(
        tags::FRAME_INCREMENT_POINTER,
        VR::AT,
        PrimitiveValue::Tags(vec![tag].into()),
    )
}

fn untimed(count: u8) -> Cine {
    Cine::new()
        .without(tags::FRAME_TIME)
        .text(tags::NUMBER_OF_FRAMES, VR::IS, &count.to_string())
        .bytes(vec![7; usize::from(count) * 8])
}

/// Times, nominal period and words of a cine.
#[track_caller]
fn timing(cine: Cine, options: OpenOptions) -> (Vec<i64>, i64, String) {
    let folder = folder();
    let path = cine.write(folder.path());
    let mut source = open(path.to_str().unwrap(), &options).unwrap();
    let info = source.describe();
    let times = frames(&mut *source)
        .unwrap()
        .iter()
        .map(|(meta, _)| meta.capture_nanos)
        .collect();
    (times, info.nominal_period_nanos, info.timing)
}

#[test]
fn a_vector_gives_each_frame_its_own_time() {
    let cine = pointing_at(untimed(5), tags::FRAME_TIME_VECTOR)
        .text(tags::FRAME_TIME, VR::DS, "10")
        .text(
            tags::FRAME_TIME_VECTOR,
            VR::DS,
            "33.3\\33.3\\50\\33.3\\40.1",
        );
    let (times, period, words) = timing(cine, OpenOptions::default());
    assert_eq!(times, [0, 33_300_000, 83_300_000, 116_600_000, 156_700_000]);
    assert_eq!(period, 36_700_000);
    assert_eq!(words, "FrameTimeVector, 33.3 to 50.0 ms");
}

#[test]
fn the_pointer_chooses_and_the_order_is_fixed_without_it() {
    let mut cine = pointing_at(untimed(3), tags::FRAME_TIME)
        .text(tags::FRAME_TIME_VECTOR, VR::DS, "0\\50\\60")
        .text(tags::FRAME_TIME, VR::DS, "20")
        .text(tags::CINE_RATE, VR::IS, "25")
        .text(tags::RECOMMENDED_DISPLAY_FRAME_RATE, VR::IS, "10");
    let expected = [
        (20, "FrameTime, 20.0 ms", tags::FRAME_TIME),
        (
            50,
            "FrameTimeVector, 50.0 to 60.0 ms",
            tags::FRAME_TIME_VECTOR,
        ),
        (40, "CineRate, 25 frames/s", tags::CINE_RATE),
        (
            100,
            "RecommendedDisplayFrameRate, 10 frames/s",
            tags::RECOMMENDED_DISPLAY_FRAME_RATE,
        ),
    ];
    for (second_millis, words, next_gone) in expected {
        let found = timing(
            cine.clone(),
            OpenOptions {
                assume_fps: Some(1.0),
            },
        );
        assert_eq!(
            (found.0[1], found.2.as_str()),
            (second_millis * MILLI, words)
        );
        cine = cine.without(next_gone);
    }
    let (times, period, words) = timing(
        cine.clone(),
        OpenOptions {
            assume_fps: Some(30.0),
        },
    );
    assert_eq!(times, [0, 33_333_333, 66_666_667]);
    assert_eq!(
        (period, words.as_str()),
        (33_333_333, "assumed, 30 frames/s")
    );
    let message = refusal(cine);
    assert!(message.contains("--assume-fps"), "{message}");
}

#[test]
fn an_empty_attribute_says_nothing() {
    let cine = untimed(2)
        .text(tags::FRAME_TIME, VR::DS, "")
        .text(tags::CINE_RATE, VR::IS, "50 ");
    assert_eq!(timing(cine, OpenOptions::default()).0, [0, 20 * MILLI]);
}

#[test]
fn impossible_times_are_refused_by_name() {
    let vector = |value: &str| {
        let cine = pointing_at(untimed(3), tags::FRAME_TIME_VECTOR);
        refusal(cine.text(tags::FRAME_TIME_VECTOR, VR::DS, value))
    };
    assert_eq!(
        vector("0\\33"),
        "FrameTimeVector: expected one entry for each of 3 frames, found 2 entries"
    );
    assert!(
        vector("0\\33\\-1").contains("found -1 ms in entry 2"),
        "{}",
        vector("0\\33\\-1")
    );
    assert!(vector("0\\0\\33").contains("found 0 ms in entry 1"));
    assert!(vector("0\\inf\\33").contains("found inf ms"));
    assert!(vector("0\\nan\\33").contains("found NaN ms"));
    assert!(vector("0\\1e300\\33").contains("expected a cine of less than a year"));
    assert!(vector("0\\x\\33").contains("expected numbers"));
    let rates = [
        (tags::FRAME_TIME, VR::DS, "FrameTime"),
        (tags::CINE_RATE, VR::IS, "CineRate"),
        (
            tags::RECOMMENDED_DISPLAY_FRAME_RATE,
            VR::IS,
            "RecommendedDisplayFrameRate",
        ),
    ];
    for (tag, vr, name) in rates {
        for value in ["0", "-3", "3\\4"] {
            let message = refusal(untimed(3).text(tag, vr, value));
            assert!(
                message.starts_with(&format!("{name}: expected one")),
                "{value}: {message}"
            );
        }
    }
}

#[test]
fn a_cine_of_years_is_refused() {
    let message = refusal(untimed(3).text(tags::FRAME_TIME, VR::DS, "1e300"));
    assert!(
        message.starts_with("FrameTime: expected a cine of less than a year"),
        "{message}"
    );
}

#[test]
fn an_assumed_rate_must_be_a_rate() {
    let folder = folder();
    let path = untimed(2).write(folder.path());
    for fps in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
        let options = OpenOptions {
            assume_fps: Some(fps),
        };
        let error = open(path.to_str().unwrap(), &options)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("--assume-fps: expected a number above 0"),
            "{error}"
        );
    }
    assert!(opened(&path).is_err());
}
