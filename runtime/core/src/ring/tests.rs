//! A frame that goes in as the one before it did.

use crate::exam::NewestExam;
use crate::frame::{ExamToken, FrameMeta, FrameMoment, HostMeta, PixelFormat, PixelLayout};
use crate::ring::{
    FrameConsumer, FrameProducer, Lease, MAX_CAPTURE_NANOS, Pushed, Queued, Shape, frame_ring,
};
use crate::source::Notice;

/// Of a frame; the ring takes two more.
const BYTES: usize = 6;

struct Bench {
    producer: FrameProducer,
    frames: FrameConsumer,
    shape: Shape,
    lease: Option<Lease>,
}

/// A ring of two places, into which one frame of exam 7 went and came out again.
fn bench() -> Bench {
    let (mut producer, frames) = frame_ring(2, BYTES + 2, &NewestExam::default());
    let shape = shape(&producer, 3);
    let mut lease = None;
    producer.lease(BYTES, &mut lease).unwrap();
    let mut bench = Bench {
        producer,
        frames,
        shape,
        lease,
    };
    let first = bench.alike(&moment(1));
    assert_eq!(first, None, "no exam has begun");
    bench.any(&moment(1));
    bench.take();
    bench
}

/// Of two rows.
fn shape(producer: &FrameProducer, width_px: u32) -> Shape {
    let meta = FrameMeta {
        width_px,
        height_px: 2,
        format: PixelFormat::Gray8,
        capture_nanos: 0,
        pass: 0,
        host: HostMeta::default(),
    };
    producer.shape(&meta, PixelLayout::packed(&meta)).unwrap()
}

fn moment(at: i64) -> FrameMoment {
    let exam = ExamToken([7; 16]);
    FrameMoment {
        capture_nanos: at,
        pass: 3,
        host: HostMeta {
            frame_id: Some(at.unsigned_abs() + 90),
            exam,
            depth_mm: Some(150.0),
            ..HostMeta::default()
        },
    }
}

impl Bench {
    /// Lets the buffer at hand, if there is one, hold a frame.
    fn fill(&mut self, moment: &FrameMoment) {
        if self.lease.is_some() {
            self.producer.lease(BYTES, &mut self.lease).unwrap();
        }
        if let Some(lease) = &mut self.lease {
            lease.pixels()[..BYTES].fill(moment.capture_nanos as u8);
        }
    }

    fn alike(&mut self, moment: &FrameMoment) -> Option<u64> {
        self.fill(moment);
        self.producer
            .push_alike(&self.shape, moment, &mut self.lease)
    }

    fn any(&mut self, moment: &FrameMoment) -> Pushed {
        self.fill(moment);
        let lease = self.lease.take().unwrap();
        let (pushed, next) = self
            .producer
            .push_leased(&self.shape, *moment, lease, false);
        self.lease = next;
        pushed.unwrap()
    }

    fn take(&mut self) -> Box<Queued> {
        self.frames.take().unwrap()
    }

    /// A frame that does not go in changes nothing, and once what was in its way is mended it goes in.
    #[track_caller]
    fn refuses(mut self, frame: &FrameMoment, mend: impl FnOnce(&mut Self)) {
        self.fill(frame);
        let lent = self.lease.as_mut().map(|l| l.pixels().as_ptr());
        let pushed = self
            .producer
            .push_alike(&self.shape, frame, &mut self.lease);
        assert_eq!(pushed, None);
        assert_eq!(self.lease.as_mut().map(|l| l.pixels().as_ptr()), lent);
        assert_eq!(self.producer.captured(), 1);
        assert!(self.frames.take().is_none());
        mend(&mut self);
        assert!(self.alike(&moment(9)).is_some());
    }
}

#[test]
fn a_frame_alike_goes_in_as_any_other_would() {
    let (mut one, mut other) = (bench(), bench());
    for at in 2..30 {
        let number = one.alike(&moment(at)).unwrap();
        assert_eq!(other.alike(&moment(at)), Some(number));
        let (a, b) = (one.take(), other.take());
        assert_eq!(a.pixels[..BYTES], [at as u8; BYTES]);
        one.frames.give_back(a);
        other.frames.give_back(b);

        let number = one.alike(&moment(at)).unwrap();
        assert_eq!(other.any(&moment(at)), Pushed::Queued { number });
        let (a, b) = (one.take(), other.take());
        assert_eq!((a.meta, a.layout, a.number), (b.meta, b.layout, b.number));
        assert_eq!((a.exam, a.source, a.anew), (b.exam, b.source, b.anew));
        assert_eq!((a.captured, a.dropped), (b.captured, b.dropped));
        assert_eq!(a.meta.capture_nanos, at);
        one.frames.give_back(a);
        other.frames.give_back(b);
    }
}

#[test]
fn a_frame_that_is_not_alike_changes_nothing() {
    let mut other_exam = moment(9);
    other_exam.host.exam = ExamToken([8; 16]);
    bench().refuses(&other_exam, |_| ());
    bench().refuses(&moment(-1), |_| ());
    bench().refuses(&moment(MAX_CAPTURE_NANOS + 1), |_| ());
}

#[test]
fn nor_does_one_while_there_is_something_to_tell() {
    let mut told = bench();
    told.producer.note(Notice::Reanchored, false);
    assert_eq!(told.alike(&moment(9)), None);
    told.any(&moment(9));
    let queued = told.take();
    assert!(queued.anew && queued.notices.len() == 1);

    let mut at_once = bench();
    at_once.producer.note(Notice::Back { away_nanos: 5 }, true);
    assert_eq!(at_once.alike(&moment(9)), None);
    at_once.any(&moment(9));
    assert!(at_once.take().anew);
}

#[test]
fn nor_does_one_without_room_or_buffer_or_after_the_end() {
    let mut full = bench();
    assert!(full.alike(&moment(2)).is_some() && full.alike(&moment(3)).is_some());
    assert_eq!(full.alike(&moment(4)), None);
    assert_eq!(full.any(&moment(4)), Pushed::RingFull);
    assert_eq!(full.take().number, 1);
    assert_eq!(full.alike(&moment(4)), Some(3));

    let mut spare = bench();
    let mut second = None;
    spare.producer.lease(BYTES, &mut second).unwrap();
    spare.producer.give_back(second.unwrap());
    spare.refuses(&moment(9), |bench| {
        bench.any(&moment(8));
        bench.take();
    });

    let mut small = bench();
    let usual = std::mem::replace(&mut small.shape, shape(&small.producer, 4));
    small.refuses(&moment(9), |bench| bench.shape = usual);

    let mut none = bench();
    let lease = none.lease.take().unwrap();
    none.refuses(&moment(9), |bench| bench.lease = Some(lease));

    let mut ended = bench();
    ended.fill(&moment(9));
    let sign = ended.producer.end_sign();
    let (_, frames) = frame_ring(1, 1, &NewestExam::default());
    assert!(!sign.is_up());
    ended.frames = frames;
    assert!(sign.is_up());
    let pushed = ended
        .producer
        .push_alike(&ended.shape, &moment(9), &mut ended.lease);
    assert!(pushed.is_none() && ended.lease.is_some());
}

#[test]
fn what_was_captured_before_the_newest_exam_is_told_apart() {
    let newest = NewestExam::default();
    newest.begin(0, 500);
    assert!(!newest.is_before(0));
    newest.begin(1, 1000);
    newest.begin(1, 1100);
    assert!(newest.is_before(999) && !newest.is_before(1000));
    newest.begin(0, 2000);
    assert!(!newest.is_before(1500) && newest.number() == 1);
}
