//! What a rendered frame may and may not depend on.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use echocart_phantom::{
    Anatomy, Chamber, Decoration, Exam, Imaging, Layout, Phantom, PhantomError, PoseOffset, Random,
    Screen, Skin, Spec, Subject, View, Waypoint,
};

const SIZE: u32 = 96;

fn exam(view: View, seed: u64) -> Exam {
    let mut exam = Exam::standard(view, Anatomy::sample(seed), Layout::plain(SIZE, SIZE));
    exam.imaging.scatterer_mm = 2.5;
    exam
}

fn frames(exam: &Exam, count: u32) -> Vec<Vec<u8>> {
    let mut phantom = Phantom::new(exam.clone()).unwrap();
    (0..count)
        .map(|frame| {
            let mut pixels = vec![0; (SIZE * SIZE) as usize];
            phantom.render(frame, &mut pixels);
            pixels
        })
        .collect()
}

#[test]
fn the_same_exam_gives_the_same_bytes_and_another_seed_gives_others() {
    let exam = exam(View::A4c, 5);
    let first = frames(&exam, 4);
    assert_eq!(first, frames(&exam, 4));
    let mut other = exam.clone();
    other.anatomy.texture_seed += 1;
    assert_ne!(first, frames(&other, 4));
}

#[test]
fn a_second_pass_is_identical_to_the_first() {
    let mut phantom = Phantom::new(exam(View::Plax, 6)).unwrap();
    let mut pass = || {
        phantom.restart();
        let mut pixels = vec![0; (SIZE * SIZE) as usize];
        for frame in 0..5 {
            phantom.render(frame, &mut pixels);
        }
        pixels
    };
    assert_eq!(pass(), pass());
}

#[test]
fn a_moving_probe_starts_its_second_pass_where_the_first_one_did() {
    let mut exam = exam(View::A4c, 6);
    let point = |seconds, rotation_deg| Waypoint {
        seconds,
        offset: PoseOffset {
            rotation_deg,
            ..PoseOffset::default()
        },
    };
    exam.path = vec![point(0.0, 0.0), point(0.2, 30.0)];
    let mut phantom = Phantom::new(exam).unwrap();
    let mut pass = || {
        phantom.restart();
        (0..8)
            .map(|frame| {
                let mut pixels = vec![0; (SIZE * SIZE) as usize];
                phantom.render(frame, &mut pixels);
                pixels
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(pass(), pass());
}

#[test]
fn a_still_does_not_change_and_a_heart_does() {
    let mut still = exam(View::A4c, 7);
    still.subject = Subject::Still;
    still.imaging.persistence = 0.0;
    let shown = frames(&still, 6);
    assert!(shown.windows(2).all(|pair| pair[0] == pair[1]));
    let beating = frames(&exam(View::A4c, 7), 6);
    assert!(beating.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn frame_times_are_multiples_of_the_period() {
    for fps in [1.0, 24.0, 29.97, 60.0, 200.0] {
        let mut exam = exam(View::A4c, 1);
        exam.frame_rate_hz = fps;
        let phantom = Phantom::new(exam).unwrap();
        assert_eq!(phantom.time_nanos(0), 0);
        for frame in 1..200_u32 {
            let exact = f64::from(frame) * 1e9 / f64::from(fps);
            assert!((phantom.time_nanos(frame) as f64 - exact).abs() <= 0.5);
        }
    }
}

#[test]
fn absurd_parameters_are_refused_by_name() {
    let change = |name: &str, change: &dyn Fn(&mut Exam)| {
        let mut exam = exam(View::A4c, 1);
        change(&mut exam);
        let error = Phantom::new(exam).map(|_| ()).unwrap_err();
        assert!(error.to_string().ends_with(name), "{error}");
    };
    change("width", &|exam| exam.layout = Layout::plain(1, 1));
    change("height", &|exam| exam.layout.height_px = 100_000);
    change("margin", &|exam| exam.layout.margins = [f32::NAN; 4]);
    change("ef", &|exam| exam.anatomy.ef_percent = 90.0);
    change("lv_length_mm", &|exam| exam.anatomy.lv_length_mm = f32::NAN);
    change("hr", &|exam| exam.rate_bpm = 131.0);
    change("fps", &|exam| exam.frame_rate_hz = 0.0);
    change("frames", &|exam| exam.frames = 0);
    change("depth", &|exam| exam.imaging.depth_mm = f32::INFINITY);
    change("scatterer_mm", &|exam| exam.imaging.scatterer_mm = 0.01);
    change("waypoints", &|exam| exam.path.clear());
    change("to_ef", &|exam| exam.ef_changes = vec![(1.0, 80.0)]);
    change("shadows", &|exam| {
        exam.imaging.shadows = vec![(0.0, 5.0); 9]
    });
}

#[test]
fn extreme_but_allowed_parameters_render() {
    for (depth_mm, sector_deg, origin_mm) in [(40.0, 20.0, 80.0), (300.0, 120.0, 0.0)] {
        for (width, height) in [(16, 16), (16, 300), (300, 16)] {
            let mut exam = exam(View::Subcostal, 2);
            exam.layout = Layout::plain(width, height);
            exam.layout.aspect = exam.layout.aspect.clamp(0.2, 5.0);
            exam.imaging = Imaging {
                depth_mm,
                sector_deg,
                origin_mm,
                steer_deg: 30.0,
                scatterer_mm: 3.0,
                ..Imaging::default()
            };
            let mut phantom = Phantom::new(exam).unwrap();
            let mut pixels = vec![0; (width * height) as usize];
            phantom.render(0, &mut pixels);
            assert!(
                pixels.iter().any(|&grey| grey > 0),
                "{depth_mm} {width}x{height}"
            );
        }
    }
}

#[test]
fn other_subjects_are_labelled_other_and_have_no_ejection_fraction() {
    for subject in [
        Subject::Abdomen,
        Subject::Lung,
        Subject::Air,
        Subject::Gel,
        Subject::Still,
    ] {
        let mut exam = exam(View::A4c, 3);
        exam.subject = subject;
        let phantom = Phantom::new(exam).unwrap();
        let truth = phantom.truth(0, 30);
        assert_eq!(truth.label, Some(View::Other), "{subject:?}");
        assert_eq!(truth.ef_percent, None, "{subject:?}");
    }
}

#[test]
fn a_later_ejection_fraction_is_true_of_later_beats() {
    let mut exam = exam(View::A4c, 3);
    exam.anatomy = Anatomy::sample_with_ef(3, 60.0);
    exam.frames = 400;
    exam.ef_changes = vec![(6.0, 30.0)];
    let phantom = Phantom::new(exam).unwrap();
    let ef = |first| phantom.truth(first, 60).ef_percent.unwrap();
    assert!((ef(30) - 60.0).abs() < 1.0, "{}", ef(30));
    assert!((ef(240) - 30.0).abs() < 1.0, "{}", ef(240));
}

#[test]
fn masks_show_four_chambers_in_their_places() {
    let mut phantom = Phantom::new(exam(View::A4c, 8)).unwrap();
    let mut mask = vec![0; (SIZE * SIZE) as usize];
    phantom.mask(0, &mut mask);
    let centre = |chamber: Chamber| {
        let (mut x, mut y, mut n) = (0.0, 0.0, 0.0);
        for (at, _) in mask
            .iter()
            .enumerate()
            .filter(|(_, m)| **m == chamber.number())
        {
            x += f64::from(at as u32 % SIZE);
            y += f64::from(at as u32 / SIZE);
            n += 1.0;
        }
        assert!(n > 30.0, "{chamber:?} {n}");
        (x / n, y / n)
    };
    let (left, right) = (
        centre(Chamber::LeftVentricle),
        centre(Chamber::RightVentricle),
    );
    let (left_atrium, right_atrium) = (centre(Chamber::LeftAtrium), centre(Chamber::RightAtrium));
    assert!(left.0 > right.0 && left_atrium.0 > right_atrium.0);
    assert!(left.1 < left_atrium.1 && right.1 < right_atrium.1);
    let mut pixels = vec![0; (SIZE * SIZE) as usize];
    phantom.render(0, &mut pixels);
    let is_lv = |at: usize| mask.get(at) == Some(&Chamber::LeftVentricle.number());
    let near_lv = |at: usize| {
        let row = 4 * SIZE as usize;
        [at.wrapping_sub(4), at + 4, at.wrapping_sub(row), at + row]
            .into_iter()
            .any(is_lv)
    };
    let level = |wanted: &dyn Fn(usize) -> bool| {
        let of: Vec<f64> = (0..mask.len())
            .filter(|&at| pixels[at] > 0 && wanted(at))
            .map(|at| f64::from(pixels[at]))
            .collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let (blood, tissue) = (level(&is_lv), level(&|at| mask[at] == 0 && near_lv(at)));
    assert!(blood < 0.75 * tissue, "blood {blood}, tissue {tissue}");
}

#[test]
fn the_decoration_stays_outside_the_sector_and_changes_the_rest() {
    for skin in [Skin::Cart, Skin::Tablet, Skin::Portable] {
        let mut exam = exam(View::A4c, 9);
        exam.layout = skin.layout(320, 240);
        let decoration = Decoration {
            skin,
            ecg: true,
            colour_box: false,
        };
        let mut bare = vec![0; 320 * 240];
        Phantom::new(exam.clone()).unwrap().render(0, &mut bare);
        let mut screen = Screen::new(Phantom::new(exam).unwrap(), decoration).unwrap();
        let mut dressed = vec![0; 320 * 240];
        screen.render(0, &mut dressed);
        let placement = screen.phantom().placement();
        let imaging = &screen.phantom().exam().imaging;
        let mut drawn = 0;
        for at in 0..320 * 240_u32 {
            let (right, down) = placement.mm_from_px(at % 320, at / 320);
            let distance = right.hypot(down + imaging.origin_mm);
            let angle_deg = right.atan2(down + imaging.origin_mm).to_degrees().abs();
            let inside = angle_deg < 0.5 * imaging.sector_deg - 0.5
                && distance > imaging.origin_mm + 1.0
                && distance < imaging.origin_mm + imaging.depth_mm - 1.0;
            let same = bare[at as usize] == dressed[at as usize];
            assert!(same || !inside, "{skin:?} at {at}");
            drawn += u32::from(!same);
        }
        assert!(drawn > 500, "{skin:?} drew {drawn} pixels");
    }
}

#[test]
fn a_colour_box_shows_flow_in_the_sector_only_with_colour() {
    let spec = Spec::parse("view=A4C,colour=on,size=320x240,skin=bare,ecg=off").unwrap();
    let mut screen = spec.screen().unwrap();
    let mut most = 0;
    for frame in 0..30 {
        let mut pixels = vec![0; 320 * 240 * 3];
        screen.render(frame, &mut pixels);
        let coloured = pixels
            .chunks_exact(3)
            .filter(|p| p[0].abs_diff(p[2]) > 60)
            .count();
        most = most.max(coloured);
    }
    assert!(most > 300, "{most} coloured pixels");
}

#[test]
fn a_text_says_what_is_wrong_with_it() {
    for (text, expected) in [
        ("views=A4C", "found an unknown key: views"),
        ("view=A6C", "found \"A6C\": view"),
        ("ef=90", "expected 20 to 75 %, found 90: ef"),
        ("ef=high", "expected a number, found \"high\": ef"),
        ("ef=NaN", "found NaN: ef"),
        ("hr=10", "found 10: hr"),
        ("size=1x1", "found 1: width"),
        (
            "size=640",
            "expected WIDTHxHEIGHT in pixels, found \"640\": size",
        ),
        ("seed=1,seed=2", "found a second one: seed"),
        ("seed", "found \"\": seed"),
        ("view=lung,colour=on", "found another subject: colour"),
        ("seconds=inf", "found inf: seconds"),
        ("to_ef=70,ef=50", "expected 20 to 50 %, found 70: to_ef"),
        ("skin=gold", "found \"gold\": skin"),
    ] {
        let error = Spec::parse(text)
            .and_then(Spec::screen)
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn random_texts_never_panic() {
    let mut random = Random::new(1, 1);
    let alphabet: Vec<char> = "viewefhrdptsz=,.-0123456789xA4C ".chars().collect();
    for _ in 0..20_000 {
        let length = random.bits() % 24;
        let text: String = (0..length)
            .map(|_| alphabet[random.bits() as usize % alphabet.len()])
            .collect();
        let _: Result<Spec, PhantomError> = Spec::parse(&text);
    }
}
