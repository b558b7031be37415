//! iceoryx2: a service for the frames and one for the wake-up.

use crate::figures::{Seen, paced};
use crate::{FRAME_BYTES, Outcome};
use iceoryx2::prelude::*;
use std::time::{Duration, Instant};

/// What the reader does with a sample.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Copied,
    InPlace,
}

const PATIENCE: Duration = Duration::from_millis(500);

pub fn write(place: &str, frames: u64) -> Outcome<()> {
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let service = node
        .service_builder(&place.try_into()?)
        .publish_subscribe::<[u8]>()
        .subscriber_max_buffer_size(4)
        .open_or_create()?;
    let publisher = service
        .publisher_builder()
        .initial_max_slice_len(FRAME_BYTES)
        .create()?;
    let event = node
        .service_builder(&place.try_into()?)
        .event()
        .open_or_create()?;
    let notifier = event.notifier_builder().create()?;
    while service.dynamic_config().number_of_subscribers() == 0
        || event.dynamic_config().number_of_listeners() == 0
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    paced(frames, |pixels| {
        let sample = publisher.loan_slice_uninit(FRAME_BYTES)?;
        sample.write_from_slice(pixels).send()?;
        notifier.notify()?;
        Ok(())
    })
}

pub fn read(place: &str, way: Way) -> Outcome<()> {
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let service = node
        .service_builder(&place.try_into()?)
        .publish_subscribe::<[u8]>()
        .subscriber_max_buffer_size(4)
        .open_or_create()?;
    let subscriber = service.subscriber_builder().create()?;
    let event = node
        .service_builder(&place.try_into()?)
        .event()
        .open_or_create()?;
    let listener = event.listener_builder().create()?;
    let mut seen = Seen::default();
    let mut pixels = vec![0; FRAME_BYTES];
    let mut newest = None;
    loop {
        listener.timed_wait(|_| {}, PATIENCE)?;
        while let Some(sample) = subscriber.receive()? {
            let bytes = sample.payload();
            match way {
                Way::Copied => {
                    pixels.copy_from_slice(bytes);
                    drop(sample);
                    seen.frame(&pixels);
                }
                Way::InPlace => seen.frame(bytes),
            }
            newest = Some(Instant::now());
        }
        if newest.is_some_and(|at| at.elapsed() >= PATIENCE) {
            break;
        }
    }
    seen.tell();
    Ok(())
}
