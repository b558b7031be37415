//! Measures frames per second at 640x480 and the time of a training clip, on one thread.
//!
//! `cargo run -p echocart-phantom --release --example pace`

use std::error::Error;
use std::time::Instant;

use echocart_phantom::{Anatomy, Exam, Layout, Phantom, View};

fn main() -> Result<(), Box<dyn Error>> {
    for view in View::ALL {
        let exam = Exam::standard(view, Anatomy::sample(5), Layout::plain(640, 480));
        let started = Instant::now();
        let mut phantom = Phantom::new(exam)?;
        let set_up = started.elapsed();
        let mut pixels = vec![0; 640 * 480];
        let started = Instant::now();
        for frame in 0..120 {
            phantom.render(frame, &mut pixels);
        }
        let per_second = 120.0 / started.elapsed().as_secs_f64();
        println!(
            "{view}: set up in {} ms, then {per_second:.0} frames/s at 640x480",
            set_up.as_millis()
        );
    }
    let clips = 40;
    let started = Instant::now();
    for seed in 0..clips {
        let view = View::ALL[seed as usize % View::ALL.len()];
        let exam = Exam::sample(view, seed, Layout::plain(128, 128), 8.0, 16);
        let mut phantom = Phantom::new(exam)?;
        let mut pixels = vec![0; 128 * 128];
        for frame in 0..16 {
            phantom.render(frame, &mut pixels);
        }
    }
    let each = started.elapsed().as_secs_f64() * 1e3 / f64::from(clips as u32);
    println!("16 frames at 128x128: {each:.0} ms a clip, set-up included");
    Ok(())
}
