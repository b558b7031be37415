//! The heart rate from images: of simulated hearts against the truth, and of real clips.
//!
//! `cargo test --release -p echocart-capture --test heart -- --nocapture` prints the tables of
//! `tests/benches/results/heart.md`.
#![cfg(feature = "video")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use echocart_capture::{OpenOptions, open};
use echocart_core::frame::PixelLayout;
use echocart_core::pulse::Pulse;
use echocart_core::screen::{Pixels, Scene, ScreenSetup};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Share of the times in sinus rhythm, once there were six seconds, at which a rate is known.
const LEAST_KNOWN: f64 = 0.9;
/// Simulated hearts, in pictures as hospitals have them, whose imaging area is not found: no area, no
/// number of any kind.
const MOST_WITHOUT_AREA: usize = 2;
const SECOND: i64 = 1_000_000_000;

/// What was known at one time.
struct Said {
    at_nanos: i64,
    bpm: Option<f64>,
}

struct Heard {
    said: Vec<Said>,
    /// Capture time from the first frame to the last.
    nanos: i64,
    /// Time that a frame took on average, and asking, microseconds.
    took_micros: [f64; 2],
    pulse: Pulse,
}

/// Plays a clip twice: once for its imaging area, once for the heart, which is asked every half
/// second and at the end. Reasons against a frame, as colour, are not looked at.
fn play(location: &str) -> Option<Heard> {
    let simulated = location.starts_with("phantom:");
    let options = OpenOptions {
        assume_fps: (!simulated).then_some(30.0),
    };
    let mut source = open(location, &options).unwrap();
    let mut scene = Scene::new(ScreenSetup::default());
    let mut frames = Vec::new();
    let mut pixels = Vec::new();
    while let Some(meta) = source.next(&mut pixels).unwrap() {
        let seen = Pixels::new(&pixels, PixelLayout::packed(&meta), &meta);
        scene.look(&seen, meta.capture_nanos);
        frames.push((meta, pixels.clone()));
    }
    let area = scene.sector()?.outline;
    let first = frames.first()?.0.capture_nanos;
    let nanos = frames.last()?.0.capture_nanos - first;
    let mut pulse = Pulse::new();
    let mut said = Vec::new();
    let mut due = first + SECOND / 2;
    let mut took = [Duration::ZERO; 2];
    for (meta, pixels) in &frames {
        let seen = Pixels::new(pixels, PixelLayout::packed(meta), meta);
        let begin = Instant::now();
        pulse.look(seen.picture(), Some(&area), meta.capture_nanos);
        took[0] += begin.elapsed();
        let at_nanos = meta.capture_nanos - first;
        if meta.capture_nanos >= due || at_nanos == nanos {
            due += SECOND / 2;
            let begin = Instant::now();
            let bpm = pulse.heart().map(|h| h.bpm);
            took[1] += begin.elapsed();
            said.push(Said { at_nanos, bpm });
        }
    }
    let mean = |took: Duration, times: usize| took.as_secs_f64() * 1e6 / times.max(1) as f64;
    Some(Heard {
        took_micros: [mean(took[0], frames.len()), mean(took[1], said.len())],
        said,
        nanos,
        pulse,
    })
}

fn is_right(bpm: f64, truth: f64) -> bool {
    (bpm - truth).abs() <= (0.05 * truth).max(3.0)
}

/// A simulated heart, small so that it is drawn quickly; none where no imaging area is found.
fn phantom(text: &str) -> Option<Heard> {
    let heard = play(&format!("phantom:{text},fps=25,seconds=7,size=200x150"));
    if heard.is_none() {
        println!("{text}: no imaging area");
    }
    heard
}

fn row(text: &str, heard: &Heard) -> String {
    let rates = heard.said.iter().filter(|s| s.at_nanos >= 3 * SECOND);
    let rates = rates.map(|s| match s.bpm {
        Some(bpm) => format!("{bpm:.0}"),
        None => "-".to_owned(),
    });
    format!("{text}: {}", rates.collect::<Vec<_>>().join(" "))
}

#[test]
fn rates_of_simulated_sinus_rhythm_are_right_and_mostly_known() {
    let hearts = [
        (40, "view=PLAX,hr=40,seed=1,ef=40"),
        (47, "view=PSAX-PM,hr=47,seed=5,ef=55,quality=drawn"),
        (55, "view=Subcostal,hr=55,seed=8,ef=65,quality=drawn"),
        (63, "view=A2C,hr=63,seed=12,ef=25"),
        (72, "view=A4C,hr=72,seed=14,ef=55,quality=drawn"),
        (84, "view=PSAX-AV,hr=84,seed=18,ef=65"),
        (95, "view=A3C,hr=95,seed=21,ef=40,quality=drawn"),
        (107, "view=A5C,hr=107,seed=24,ef=65"),
        (118, "view=A4C,hr=118,seed=27,ef=25"),
        (130, "view=A3C,hr=130,seed=30,ef=40,quality=drawn"),
    ];
    let (mut known, mut asked, mut without) = (0, 0, 0);
    let mut wrong = Vec::new();
    for (truth, text) in hearts {
        let Some(heard) = phantom(text) else {
            without += 1;
            continue;
        };
        println!("{}", row(text, &heard));
        for said in &heard.said {
            let settled = said.at_nanos >= 6 * SECOND;
            asked += usize::from(settled);
            let Some(bpm) = said.bpm else {
                continue;
            };
            known += usize::from(settled);
            if !is_right(bpm, f64::from(truth)) {
                wrong.push(format!("{text} at {} ns: {bpm}", said.at_nanos));
            }
        }
    }
    println!(
        "sinus rhythm, after 6 s: known {known} of {asked}, wrong {}; hearts without an imaging area: {without} of {}",
        wrong.len(),
        hearts.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        known as f64 >= LEAST_KNOWN * asked as f64,
        "{known} of {asked}"
    );
    assert!(without <= MOST_WITHOUT_AREA, "{without}");
}

#[test]
fn irregular_simulated_hearts_give_no_wrong_rate_and_other_images_none() {
    let hearts = [
        (50, "view=PLAX,hr=50,rhythm=af,seed=31,ef=55"),
        (80, "view=A2C,hr=80,rhythm=af,seed=35,ef=25"),
        (95, "view=A4C,hr=95,rhythm=af,seed=38,ef=65,quality=drawn"),
        (110, "view=PSAX-AV,hr=110,rhythm=af,seed=40,ef=25"),
        (50, "view=A4C,hr=50,rhythm=ectopic,seed=41,ef=55"),
        (
            65,
            "view=A4C,hr=65,rhythm=ectopic,seed=44,ef=25,quality=drawn",
        ),
        (80, "view=A2C,hr=80,rhythm=ectopic,seed=45,ef=25"),
        (110, "view=A5C,hr=110,rhythm=ectopic,seed=50,ef=55"),
        (0, "view=abdomen,seed=51"),
        (0, "view=lung,seed=52"),
        (0, "view=gel,seed=53"),
    ];
    let (mut known, mut asked) = (0, 0);
    let mut wrong = Vec::new();
    for (truth, text) in hearts {
        let Some(heard) = phantom(text) else {
            continue;
        };
        println!("{}", row(text, &heard));
        for said in &heard.said {
            asked += usize::from(said.at_nanos >= 6 * SECOND);
            let Some(bpm) = said.bpm else {
                continue;
            };
            known += usize::from(said.at_nanos >= 6 * SECOND);
            if !is_right(bpm, f64::from(truth)) {
                wrong.push(format!("{text} at {} ns: {bpm}", said.at_nanos));
            }
        }
    }
    println!(
        "irregular or no heart, after 6 s: known {known} of {asked}, wrong {}",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The lowest point of the curve between its highest ones, for a clip too short for a rate.
fn lowest_dip(curve: &[[f64; 2]]) -> Option<f64> {
    let dips = curve
        .windows(3)
        .filter(|w| w[1][1] <= w[0][1] && w[1][1] < w[2][1]);
    let lowest = dips.min_by(|a, b| a[1][1].total_cmp(&b[1][1]))?;
    Some(lowest[1][0])
}

#[test]
fn real_clips_give_the_rate_that_is_known_of_them_or_none() {
    // what is said of each: the rate in its DICOM header or on its screen, or that it has none
    let clips = [
        ("cardiac/a4c_acuson_sequoia_ecg.dcm", "61 in the header"),
        ("cardiac/a4c_lumify_s41_0011.mp4", "unknown"),
        ("cardiac/a4c_lumify_s41_0013.mp4", "unknown"),
        ("cardiac/a4c_sonosite_turbo_120f.dcm", "unknown"),
        ("cardiac/a4c_sonosite_turbo_30f_320x240.dcm", "unknown"),
        ("cardiac/apical_lumify_s41_0012_low_quality.mp4", "unknown"),
        (
            "cardiac/plax_color_philips_affiniti70_ecg.dcm",
            "75 on the screen",
        ),
        (
            "cardiac/a3c_color_ge_vivid_e95_jpegxl.dcm",
            "57 on the screen",
        ),
        ("non-cardiac/gallbladder_ruq_lumify_c52.mp4", "no heart"),
        ("non-cardiac/lung_sonosite_p19_ui.mp4", "no heart"),
        (
            "non-cardiac/pelvis_bladder_fast_philips_s42_SECTOR.mp4",
            "no heart",
        ),
        ("non-cardiac/soft_tissue_philips_l124.mp4", "no heart"),
        ("non-cardiac/eye_phantom_clarius.mp4", "no heart"),
    ];
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    println!(
        "clip: seconds; reference; known at times: rates; lowest dip of the curve; time of a frame, of asking"
    );
    for (name, reference) in clips {
        let path = shared.join(name);
        if !path.is_file() {
            println!("{name}: skipped, no shared/data/{name} beside the checkout");
            continue;
        }
        let Some(heard) = play(path.to_str().unwrap()) else {
            println!("{name}: no imaging area");
            continue;
        };
        let rates: Vec<f64> = heard.said.iter().filter_map(|s| s.bpm).collect();
        let seconds = heard.nanos as f64 / 1e9;
        let dip = lowest_dip(&heard.pulse.curve());
        let dip = dip.map_or("none".to_owned(), |s| {
            format!("{s:.2} s, {:.0}/min", 60.0 / s)
        });
        let told: Vec<String> = rates.iter().map(|r| format!("{r:.0}")).collect();
        println!(
            "{name}: {seconds:.1} s; {reference}; {} of {}: {}; {dip}; {:.0} and {:.0} us",
            rates.len(),
            heard.said.len(),
            told.join(" "),
            heard.took_micros[0],
            heard.took_micros[1]
        );
        if reference == "no heart" {
            assert!(rates.is_empty(), "{name}: {rates:?}");
        }
        let stated = reference.split(' ').next().and_then(|s| s.parse().ok());
        if let Some(stated) = stated {
            assert!(
                rates.iter().all(|r| is_right(*r, stated)),
                "{name}: {rates:?}"
            );
        }
        let spread = |most: f64, rate: &f64| most.max((rate - rates[0]).abs());
        let spread = rates.iter().fold(0.0, spread);
        assert!(spread <= 6.0, "{name}: {rates:?}");
    }
}
