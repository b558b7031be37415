use super::*;
use crate::trial;
use echocart_core::clock;

fn running(
    trained: &str,
    pace: Pace,
    allow_demonstration: bool,
) -> (SessionState, FramePort, ResultPort) {
    let (mut session, frames, results) = trial::parts(trained, pace, allow_demonstration);
    session.start().unwrap();
    (session, frames, results)
}

fn push(frames: &mut FramePort, number: u64, capture_nanos: i64, exam: u8) {
    let shade = |at: usize| (((at as u64 * 37 + number * 91) * 2_654_435_761) >> 13) as u8;
    let pixels: [u8; 32 * 32] = std::array::from_fn(shade);
    let frame = echocart_frame_t {
        host_frame_id: 100 + number,
        exam_token: [exam; ECHOCART_EXAM_TOKEN_BYTES],
        ..trial::frame(pixels.as_ptr(), capture_nanos)
    };
    assert_eq!(frames.push(&frame, &pixels).unwrap(), number);
}

fn next_estimate(results: &mut ResultPort) -> echocart_result_t {
    loop {
        let result = results.wait(Duration::from_secs(60)).unwrap();
        if result.kind == ECHOCART_RESULT_ESTIMATE {
            return result;
        }
    }
}

fn first_estimate(trained: &str, allow_demonstration: bool) -> echocart_result_t {
    let (mut session, mut frames, mut results) = running(trained, Pace::Max, allow_demonstration);
    for number in 0..4 {
        push(&mut frames, number, number as i64 * 125_000_000, 3);
    }
    session.stop(Duration::from_secs(60)).unwrap();
    next_estimate(&mut results)
}

#[test]
fn a_result_that_nobody_polled_before_a_new_exam_is_withheld() {
    let (mut session, mut frames, mut results) = running("clinical", Pace::Real, false);
    for number in 0..6 {
        push(&mut frames, number, clock::now_nanos(), 3);
        std::thread::sleep(Duration::from_millis(125));
    }
    while session.latencies.event.spread().count == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    push(&mut frames, 6, clock::now_nanos(), 4);
    let result = next_estimate(&mut results);
    assert_eq!(result.view.segments[0].exam_token, [3; 16]);
    assert_eq!(result.view.status, ECHOCART_STATUS_WITHHELD);
    assert_eq!(result.view.reason, ECHOCART_REASON_NEW_EXAM);
    assert_eq!(result.view_label, ECHOCART_NO_LABEL);
    assert_eq!(result.raw_view_count, 0);
    assert_eq!(session.stats().exams, 2);
}

#[test]
fn a_clinical_value_needs_no_leave() {
    let result = first_estimate("clinical", false);
    assert_eq!(result.view.status, ECHOCART_STATUS_VALUE);
    assert_eq!((result.view_label, result.view.segments[0].view), (1, 1));
    assert_eq!(result.raw_view[..2], [0.5, 2.5]);
    assert_eq!(
        (result.raw_view_count, result.view_probability_count),
        (2, 2)
    );
    assert!(result.view.valid_until_nanos > 0);
    let segment = &result.view.segments[0];
    let ids = (segment.first_host_frame_id, segment.last_host_frame_id);
    assert_eq!((ids, segment.exam_token), ((100, 103), [3; 16]));
}

#[test]
fn a_demonstration_needs_leave() {
    for trained in ["untrained", "simulated"] {
        let shown = first_estimate(trained, true);
        assert_eq!(shown.view.status, ECHOCART_STATUS_DEMONSTRATION);
        assert_eq!(shown.view_label, 1);
        let hidden = first_estimate(trained, false);
        assert_eq!(hidden.view.status, ECHOCART_STATUS_DEMONSTRATION);
        assert_eq!(hidden.view_label, ECHOCART_NO_LABEL);
        assert_eq!(
            (hidden.raw_view_count, hidden.view_probability_count),
            (0, 0)
        );
        assert!(hidden.view_probabilities.iter().all(|p| p.is_nan()));
    }
}
