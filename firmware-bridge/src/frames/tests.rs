use super::*;
use crate::trial;
use echocart_core::frame::HostMeta;

fn rows(stride_bytes: usize, row: u32, rows: u32, bytes: usize) -> Vec<u8> {
    let pixels: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
    let mut buffer = vec![9; 99];
    let meta = FrameMeta {
        width_px: row,
        height_px: rows,
        format: PixelFormat::Gray8,
        capture_nanos: 0,
        pass: 0,
        host: HostMeta::default(),
    };
    let layout = PixelLayout {
        stride_bytes,
        chroma_offset_bytes: 0,
    };
    copy_rows(&pixels, &meta, layout, &mut buffer);
    buffer
}

#[test]
fn a_known_shape_is_checked_again_once_any_field_of_it_is_another() {
    let (mut session, mut port, _results) = trial::parts("untrained", Pace::Max, true);
    session.start().unwrap();
    type Change = fn(&mut echocart_frame_t);
    let changes: [(Change, Code, &str); 11] = [
        (|f| f.format = 9, Code::BadArgument, "9: format"),
        (|f| f.memory = 1, Code::Unsupported, "1: memory"),
        (|f| f.memory = 7, Code::BadArgument, "7: memory"),
        (
            |f| f.width_px = 33,
            Code::BadFrameSize,
            "least 33, found 32: row_stride_bytes",
        ),
        (|f| f.width_px = 0, Code::BadFrameSize, "0: width_px"),
        (
            |f| f.height_px = 33,
            Code::BadFrameSize,
            "least 1056, found 1024: pixel_bytes",
        ),
        (
            |f| f.row_stride_bytes = 31,
            Code::BadFrameSize,
            "least 32, found 31: row_stride_bytes",
        ),
        (
            |f| f.row_stride_bytes = 33,
            Code::BadFrameSize,
            "least 1055, found 1024: pixel_bytes",
        ),
        (
            |f| f.chroma_offset_bytes = 5,
            Code::BadFrameSize,
            "5: chroma_offset_bytes",
        ),
        (
            |f| f.pixel_bytes = 1023,
            Code::BadFrameSize,
            "least 1024, found 1023: pixel_bytes",
        ),
        (
            |f| f.format = ECHOCART_PIXEL_BGRA32,
            Code::BadFrameSize,
            "least 128, found 32: row_stride_bytes",
        ),
    ];
    let mut at_nanos = 0;
    for (change, code, text) in changes {
        for known in [true, false] {
            at_nanos += 40_000_000;
            let pixels = port.lease(1024).unwrap();
            let good = trial::frame(pixels, at_nanos);
            let mut bad = good;
            change(&mut bad);
            if known {
                assert!(port.newest.shape.is_some() || at_nanos == 40_000_000);
            } else {
                port.newest.shape = None;
            }
            let fault = port.commit(&bad).unwrap_err();
            assert_eq!(fault.code, code, "{}", fault.detail);
            assert!(fault.detail.ends_with(text), "{text}: {}", fault.detail);
            assert_eq!(port.lease(1).unwrap_err().code, Code::BadState);
            port.commit(&good).unwrap();
            assert_eq!(port.commit(&good).unwrap_err().code, Code::BadState);
        }
    }
}

#[test]
fn a_lease_asks_for_all_that_a_commit_touches() {
    let (_session, port, _results) = trial::parts("untrained", Pace::Max, true);
    let all = port.intake.memory();
    assert!(all.len() <= TOUCHED, "{}", all.len());
    assert_eq!(port.touched[..all.len()], all);
    // Of each end of both queues the meeting line and the places, of which 32 fill four lines.
    port.intake.reserve(1024);
    assert!(port.intake.memory().len() + 4 <= all.len());
}

#[test]
fn frames_that_a_sequence_lacks_are_counted_whichever_way_a_frame_goes() {
    let (mut session, mut port, _results) = trial::parts("untrained", Pace::Max, true);
    session.start().unwrap();
    let (mut missing, mut short) = (Vec::new(), Vec::new());
    for (at, sequence) in [4, 5, 6, 9, 10, 10, 3, 4, u64::MAX, 0, 1]
        .into_iter()
        .enumerate()
    {
        let mut frame = trial::frame(port.lease(1024).unwrap(), at as i64 * 40_000_000);
        frame.flags |= ECHOCART_FRAME_HAS_SEQUENCE;
        frame.sequence = sequence;
        short.push(port.commit_alike(&frame, 0).is_some());
        if short.last() == Some(&false) {
            port.commit(&frame).unwrap();
        }
        missing.push(port.intake.frames_missing());
    }
    let end = 2 + (u64::MAX - 5);
    assert_eq!(missing, [0, 0, 0, 2, 2, 2, 2, 2, end, end, end]);
    let follows = [1, 2, 4, 7, 9, 10];
    assert_eq!(
        short,
        std::array::from_fn::<_, 11, _>(|at| follows.contains(&at))
    );
}

#[test]
fn a_frame_like_the_one_before_goes_in_only_with_what_was_lent() {
    let (mut session, mut port, _results) = trial::parts("untrained", Pace::Max, true);
    session.start().unwrap();
    let pixels = port.lease(1024).unwrap();
    port.commit(&trial::frame(pixels, 0)).unwrap();
    let refuses = |port: &mut FramePort, frame: &echocart_frame_t, text: &str| {
        assert_eq!(port.commit_alike(frame, 0), None);
        let fault = port.commit(frame).unwrap_err();
        assert!(fault.detail.contains(text), "{text}: {}", fault.detail);
        assert_eq!(port.lease(1).unwrap_err().code, Code::BadState);
    };

    let pixels = port.lease(1024).unwrap();
    let good = trial::frame(pixels, 40_000_000);
    let elsewhere = trial::frame(pixels.wrapping_add(1), 40_000_000);
    refuses(&mut port, &elsewhere, "the buffer lent, found another");
    port.release();

    assert_eq!(port.lease(100).unwrap(), pixels);
    refuses(&mut port, &good, "at most the 100 bytes lent, found 1024");
    port.release();
    assert_eq!(port.commit_alike(&good, 0), None);
    assert_eq!(port.commit(&good).unwrap_err().code, Code::BadState);

    assert_eq!(port.lease(1024).unwrap(), pixels);
    assert_eq!(port.commit_alike(&good, 0), Some(1));
    assert_eq!(port.commit(&good).unwrap_err().code, Code::BadState);
}

#[test]
fn the_buffer_that_is_held_grows_with_a_lease_and_goes_back_for_a_copy() {
    let (mut session, mut port, _results) = trial::parts("untrained", Pace::Max, true);
    session.start().unwrap();
    let pixels = port.lease(1024).unwrap();
    port.commit(&trial::frame(pixels, 0)).unwrap();
    assert!(port.held.is_some());
    port.lease(100).unwrap();
    port.release();
    port.lease(5000).unwrap();
    let first = here::inside(|here| here.leases());
    let first = first.unwrap();
    assert!(first.iter().all(|line| *line > 0), "{first:?}");
    assert_eq!(first[0], lines(&port).next().unwrap());
    let elsewhere = std::thread::spawn(|| here::inside(|here| here.leases()));
    assert_eq!(elsewhere.join().unwrap(), None);
    assert!(port.held.as_mut().unwrap().pixels().len() >= 5000);
    let mut small = trial::frame(*port.pixels.get_mut(), 40_000_000);
    small.pixel_bytes = 5001;
    let fault = port.commit(&small).unwrap_err();
    assert!(
        fault
            .detail
            .contains("at most the 5000 bytes lent, found 5001"),
        "{}",
        fault.detail
    );
    port.release();
    let pixels = [7; 1024];
    port.push(&trial::frame(pixels.as_ptr(), 40_000_000), &pixels)
        .unwrap();
    assert!(port.held.is_none());
    port.lease(1024).unwrap();
    port.push(&trial::frame(pixels.as_ptr(), 80_000_000), &pixels)
        .unwrap();
    assert!(port.held.is_some() && port.lent_bytes == 1024);
}

#[test]
fn padding_and_whatever_follows_the_last_row_are_left_out() {
    assert_eq!(rows(3, 3, 2, 10), [0, 1, 2, 3, 4, 5]);
    assert_eq!(rows(4, 3, 2, 7), [0, 1, 2, 4, 5, 6]);
    assert_eq!(rows(4, 3, 2, 20), [0, 1, 2, 4, 5, 6]);
}
