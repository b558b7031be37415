use super::show::{Drawing, Show, meta, screen};
use super::{Apex, AreaNews, Fault, Pinned, Pixels, Scene, ScreenSetup};
use crate::frame::{PixelFormat, PixelLayout};
use crate::screen::sector::{Outline, SectorMask, Shape};
use echocart_phantom::{Imaging, Spec};
use proptest::prelude::*;

/// True inside a phantom's sector.
fn in_fan(imaging: &Imaging, right_mm: f32, down_mm: f32) -> bool {
    let down_mm = down_mm + imaging.origin_mm;
    let angle_deg = right_mm.atan2(down_mm).to_degrees();
    let far_mm = right_mm.hypot(down_mm) - imaging.origin_mm;
    (angle_deg - imaging.steer_deg).abs() <= 0.5 * imaging.sector_deg
        && (0.0..=imaging.depth_mm).contains(&far_mm)
}

#[test]
fn the_area_of_a_phantom_is_found_on_every_skin() {
    for spec in [
        "view=A4C",
        "view=A4C,skin=tablet,size=800x450",
        "view=PLAX,skin=portable,size=1024x768",
        "view=A2C,skin=bare",
        "view=PSAX-PM,quality=drawn,seed=7",
        "view=A4C,size=320x240",
    ] {
        let mut show = Show::new(ScreenSetup::default());
        let said = show.phantom(spec, 45);
        assert!(said.iter().all(Option::is_none), "{spec}: {said:?}");
        let sector = show.scene.sector().unwrap();
        assert_eq!(
            (sector.shape, sector.inverted),
            (Shape::Phased, false),
            "{spec}"
        );
        let phantom = Spec::parse(spec).unwrap().screen().unwrap();
        let phantom = phantom.phantom();
        let (layout, imaging) = (phantom.exam().layout, &phantom.exam().imaging);
        let mut mask = SectorMask::default();
        mask.build(&sector.outline, layout.width_px, layout.height_px);
        let (mut both, mut either) = (0, 0);
        for y in 0..layout.height_px {
            for x in 0..layout.width_px {
                let (right, down) = phantom.placement().mm_from_px(x, y);
                let (truth, found) = (in_fan(imaging, right, down), mask.contains(x, y));
                both += u32::from(truth && found);
                either += u32::from(truth || found);
            }
        }
        let common = both as f32 / either as f32;
        assert!(common > 0.93, "{spec}: {common}");
        assert!(
            matches!(show.news[..], [(_, AreaNews::First), ..]),
            "{spec}"
        );
        assert!(
            show.news.iter().all(|(_, n)| *n != AreaNews::Other),
            "{spec}"
        );
        assert!(show.scene.signal().unwrap().meter > 0.5, "{spec}");
    }
}

#[test]
fn colour_is_called_within_100_ms_and_an_ecg_and_a_marker_are_none() {
    let mut show = Show::new(ScreenSetup::default());
    assert!(show.phantom("view=A4C", 30).iter().all(Option::is_none));
    let said = show.phantom("view=A4C,colour=on", 30);
    let from = said.iter().position(|s| *s == Some(Fault::Colour));
    assert!(from.is_some_and(|from| from <= 2), "{said:?}");
    assert!(
        said[3..].iter().all(|s| *s == Some(Fault::Colour)),
        "{said:?}"
    );
    assert!(!show.scene.is_tinted());
}

#[test]
fn tinted_grey_is_no_colour() {
    for tint in [[255_u32, 190, 110], [90, 160, 255], [200, 255, 190]] {
        let mut show = Show::new(ScreenSetup::default());
        let drawing = screen().fan([0.45, 0.06], true, 0.8);
        let meta = meta(640, 480, PixelFormat::Rgb24);
        for seed in 0..45 {
            let grey = drawing.pixels(seed);
            let tinted: Vec<u8> = grey
                .iter()
                .flat_map(|v| tint.map(|t| (u32::from(*v) * t / 255) as u8))
                .collect();
            assert_eq!(show.push(&meta, &tinted), None, "{tint:?} frame {seed}");
        }
        assert!(show.scene.sector().is_some(), "{tint:?}");
        assert!(show.scene.is_tinted(), "{tint:?}");
    }
}

#[test]
fn a_probe_in_air_or_gel_has_no_contact() {
    for spec in [
        "view=air",
        "view=gel",
        "view=air,skin=tablet",
        "view=air,skin=bare",
    ] {
        let mut show = Show::new(ScreenSetup::default());
        let said = show.phantom(spec, 60);
        assert!(
            said[45..].iter().all(|s| *s == Some(Fault::InAir)),
            "{spec}: {said:?}"
        );
        assert!(show.scene.signal().unwrap().meter < 0.15, "{spec}");
    }
}

#[test]
fn a_screen_without_an_image_shows_no_ultrasound() {
    let page =
        Drawing::new(1024, 768).fill(false, |_, y| Some(if y < 0.06 { 90.0 } else { 235.0 }));
    let mut lines = Drawing::new(800, 600);
    for column in 0..6 {
        lines = lines.text(1..28, column as f32 * 0.16);
    }
    for (name, drawing) in [
        ("black", Drawing::new(640, 480)),
        ("page", page),
        ("list", lines),
    ] {
        let said = Show::new(ScreenSetup::default()).drawn(&drawing);
        assert_eq!(said, Some(Fault::NoImage), "{name}");
    }
}

#[test]
fn a_picture_that_fills_the_frame_is_left_alone() {
    let noise = Drawing::new(320, 240).fill(true, |_, _| Some(120.0));
    assert_eq!(Show::new(ScreenSetup::default()).drawn(&noise), None);
}

#[test]
fn a_linear_probe_is_not_permitted() {
    let image = |x: f32, y: f32| {
        let inside = (0.2..0.7).contains(&x) && (0.08..0.85).contains(&y);
        inside.then_some(60.0 + 60.0 * (y * 21.0).sin() * (x * 13.0).cos())
    };
    let mut show = Show::new(ScreenSetup::default());
    assert_eq!(
        show.drawn(&screen().fill(true, image)),
        Some(Fault::LinearProbe)
    );
    let bounds = show.scene.sector().unwrap().outline.bounds();
    for (found, truth) in bounds.iter().zip([0.2, 0.08, 0.7, 0.85]) {
        assert!((found - truth).abs() < 0.02, "{bounds:?}");
    }
}

#[test]
fn a_strip_of_doppler_under_a_small_image_is_not_permitted() {
    let strip = |x: f32, y: f32| {
        let beat = (x * 25.0).sin().abs() * 0.25;
        ((0.66 - beat * 0.3..0.9).contains(&y) && (0.03..0.8).contains(&x)).then_some(110.0)
    };
    let duplex = screen().fan([0.45, 0.04], true, 0.5).fill(true, strip);
    let said = Show::new(ScreenSetup::default()).drawn(&duplex);
    assert!(
        matches!(said, Some(Fault::SecondImage | Fault::LinearProbe)),
        "{said:?}"
    );
}

#[test]
fn the_side_of_the_probe_is_held_against_the_sites_setting() {
    for up in [true, false] {
        let apex = [0.45, if up { 0.06 } else { 0.94 }];
        let drawing = screen().fan(apex, up, 0.8);
        for (set, agrees) in [(Some(Apex::Up), up), (Some(Apex::Down), !up), (None, true)] {
            let mut show = Show::new(ScreenSetup {
                apex: set,
                ..ScreenSetup::default()
            });
            let said = show.drawn(&drawing);
            let expected = (!agrees).then_some(Fault::UpsideDown);
            assert_eq!(said, expected, "probe up {up}, set {set:?}");
        }
    }
}

#[test]
fn another_depth_is_another_area() {
    let mut show = Show::new(ScreenSetup::default());
    show.phantom("view=A4C,depth=170", 60);
    let changed_nanos = show.at_nanos;
    show.phantom("view=A4C,depth=120", 45);
    let other = show.news.iter().find(|(_, n)| *n == AreaNews::Other);
    let after = other.map(|(at, _)| at - changed_nanos);
    assert!(
        after.is_some_and(|n| (0..=200_000_000).contains(&n)),
        "{:?}",
        show.news
    );
    assert_eq!(
        show.news
            .iter()
            .filter(|(_, n)| *n == AreaNews::Other)
            .count(),
        1
    );
}

#[test]
fn a_pinned_area_is_taken_as_it_is() {
    let corners = [[0.5, 0.1], [0.8, 0.8], [0.5, 0.9], [0.2, 0.8]];
    let outline = Outline::new(&corners).unwrap();
    let setup = ScreenSetup {
        apex: Some(Apex::Up),
        pinned: Some(Pinned {
            outline,
            shape: Shape::Phased,
        }),
        ..ScreenSetup::default()
    };
    let mut show = Show::new(setup);
    show.phantom("view=A4C", 10);
    assert_eq!(show.scene.sector().unwrap().outline, outline);
    assert_eq!(show.news, [(0, AreaNews::First)]);
}

#[test]
fn every_format_gives_the_same_area() {
    let drawing = screen().fan([0.45, 0.06], true, 0.8);
    let mut bounds = Vec::new();
    for format in [
        PixelFormat::Gray8,
        PixelFormat::Rgb24,
        PixelFormat::Bgra32,
        PixelFormat::Yuy2,
        PixelFormat::Nv12,
    ] {
        let mut show = Show::new(ScreenSetup::default());
        let meta = meta(640, 480, format);
        for seed in 0..30 {
            let grey = drawing.pixels(seed);
            let pixels: Vec<u8> = match format {
                PixelFormat::Gray8 => grey,
                PixelFormat::Rgb24 => grey.iter().flat_map(|v| [*v; 3]).collect(),
                PixelFormat::Bgra32 => grey.iter().flat_map(|v| [*v, *v, *v, 9]).collect(),
                PixelFormat::Yuy2 => grey.iter().flat_map(|v| [*v, 128]).collect(),
                PixelFormat::Nv12 => {
                    let chroma = vec![128; grey.len() / 2];
                    [grey, chroma].concat()
                }
            };
            assert_eq!(show.push(&meta, &pixels), None, "{format} frame {seed}");
        }
        bounds.push(show.scene.sector().unwrap().outline.bounds());
    }
    for other in &bounds {
        let off = other.iter().zip(&bounds[0]).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) < 0.02, "{bounds:?}");
    }
}

#[test]
fn an_8k_frame_is_looked_at_and_a_1x1_frame_is_not() {
    let mut show = Show::new(ScreenSetup::default());
    let small = meta(1, 1, PixelFormat::Rgb24);
    let large = meta(7680, 4320, PixelFormat::Gray8);
    let pixels = vec![40; large.frame_bytes()];
    for _ in 0..4 {
        assert_eq!(show.push(&small, &[9, 9, 9]), None);
        assert_eq!(show.push(&large, &pixels), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn anything_may_be_in_a_frame(
        width in 1_usize..700,
        height in 1_usize..500,
        stride in 0_usize..3000,
        chroma in 0_usize..2_000_000,
        bytes in 0_usize..400_000,
        seed in any::<u64>(),
        format in 0_usize..5,
        times in proptest::collection::vec(any::<i64>(), 1..12),
    ) {
        let format = [
            PixelFormat::Gray8,
            PixelFormat::Rgb24,
            PixelFormat::Bgra32,
            PixelFormat::Yuy2,
            PixelFormat::Nv12,
        ][format];
        let meta = meta(width, height, format);
        let layout = PixelLayout { stride_bytes: stride, chroma_offset_bytes: chroma };
        let pixels: Vec<u8> = (0..bytes as u64)
            .map(|at| (at.wrapping_mul(seed | 1) >> 17) as u8)
            .collect();
        let (mut scene, mut again) = (Scene::default(), Scene::default());
        for time in times {
            let frame = Pixels::new(&pixels, layout, &meta);
            prop_assert_eq!(scene.look(&frame, time), again.look(&frame, time));
            prop_assert_eq!(scene.sector(), again.sector());
        }
    }
}
