//! Writes a contact sheet of every view at end-diastole and end-systole.
//!
//! `cargo run -p echocart-phantom --release --example sheet -- OUT.pgm [SEED]`

use std::error::Error;
use std::io::Write;

use echocart_phantom::{Anatomy, Exam, Layout, Phantom, Subject, View};

const WIDTH_PX: u32 = 480;
const HEIGHT_PX: u32 = 360;
const COLUMNS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let out = args.next().ok_or("usage: sheet OUT.pgm [SEED]")?;
    let seed: u64 = args.next().map_or(Ok(1), |text| text.parse())?;
    let sampled = args.next().is_some();
    let mut tiles = Vec::new();
    let started = std::time::Instant::now();
    for view in View::ALL.into_iter().filter(|view| *view != View::Other) {
        let layout = Layout::plain(WIDTH_PX, HEIGHT_PX);
        let mut exam = match sampled {
            true => Exam::sample(view, seed + u64::from(view.class_id()), layout, 50.0, 120),
            false => {
                let mut exam = Exam::standard(view, Anatomy::sample_with_ef(seed, 60.0), layout);
                exam.frame_rate_hz = 50.0;
                exam
            }
        };
        exam.frames = 120;
        let mut phantom = Phantom::new(exam)?;
        let beat = *phantom
            .beats()
            .all()
            .iter()
            .find(|beat| beat.start_millis > 100.0)
            .ok_or("no beat")?;
        let frame = |millis: f64| (millis / 20.0).round() as u32;
        for at in [beat.start_millis - 10.0, beat.end_systole_millis()] {
            let mut pixels = vec![0; (WIDTH_PX * HEIGHT_PX) as usize];
            phantom.restart();
            for back in (0..3).rev() {
                phantom.render(frame(at).saturating_sub(back), &mut pixels);
            }
            tiles.push(pixels);
        }
    }
    let others = [Subject::Abdomen, Subject::Lung, Subject::Air, Subject::Gel];
    for (subject, seed) in others.into_iter().zip(seed..) {
        let layout = Layout::plain(WIDTH_PX, HEIGHT_PX);
        let mut exam = Exam::standard(View::Other, Anatomy::sample(seed), layout);
        exam.subject = subject;
        let mut phantom = Phantom::new(exam)?;
        let mut pixels = vec![0; (WIDTH_PX * HEIGHT_PX) as usize];
        phantom.render(3, &mut pixels);
        tiles.push(pixels);
    }
    eprintln!("{} tiles in {:?}", tiles.len(), started.elapsed());
    write_sheet(&out, &tiles)
}

fn write_sheet(path: &str, tiles: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    let (width, height) = (WIDTH_PX as usize, HEIGHT_PX as usize);
    let rows = tiles.len().div_ceil(COLUMNS);
    let mut sheet = vec![0; COLUMNS * width * rows * height];
    for (index, tile) in tiles.iter().enumerate() {
        let (column, row) = (index % COLUMNS, index / COLUMNS);
        for (y, line) in tile.chunks_exact(width).enumerate() {
            let start = (row * height + y) * COLUMNS * width + column * width;
            sheet[start..start + width].copy_from_slice(line);
        }
    }
    let mut file = std::fs::File::create(path)?;
    writeln!(file, "P5\n{} {}\n255", COLUMNS * width, rows * height)?;
    file.write_all(&sheet)?;
    Ok(())
}
