use super::show::{Canvas, Show};
use super::{Fault, ScreenSetup};

const WHITE: [u8; 3] = [255; 3];
/// Size, thickness, colour and whether it slants.
const DRAWN: [(i32, i32, [u8; 3], bool); 4] = [
    (9, 1, WHITE, false),
    (13, 1, [255, 255, 0], true),
    (17, 2, [0, 255, 0], false),
    (21, 3, WHITE, false),
];

/// A pair of crosses `size` high in the upper and the lower half of the image, and dots between.
fn pair(canvas: &mut Canvas<'_>, size: i32, thick: i32, rgb: [u8; 3], slanting: bool) {
    let (width, height) = canvas.size();
    let at = |x: usize, y: usize| [(width * x / 100) as i32, (height * y / 100) as i32];
    let ends = [at(47, 40), at(50, 70)];
    for end in ends {
        cross(canvas, end, size, thick, rgb, slanting);
    }
    dots(canvas, ends, size, rgb);
}

fn dots(canvas: &mut Canvas<'_>, [a, b]: [[i32; 2]; 2], size: i32, rgb: [u8; 3]) {
    let long = (b[0] - a[0]).abs().max((b[1] - a[1]).abs()).max(1);
    for along in (size..long - size).step_by(6) {
        let [x, y] = [0, 1].map(|axis| a[axis] + (b[axis] - a[axis]) * along / long);
        canvas.fill(x..x + 2, y..y + 2, rgb);
    }
}

fn cross(
    canvas: &mut Canvas<'_>,
    at: [i32; 2],
    size: i32,
    thick: i32,
    rgb: [u8; 3],
    slanting: bool,
) {
    let half = size / 2;
    for along in -half..=half {
        for across in -(thick / 2)..thick - thick / 2 {
            let [x, y] = at;
            match slanting {
                true => {
                    canvas.dot(x + along + across, y + along, rgb);
                    canvas.dot(x + along + across, y - along, rgb);
                }
                false => {
                    canvas.dot(x + along, y + across, rgb);
                    canvas.dot(x + across, y + along, rgb);
                }
            }
        }
    }
}

#[test]
fn a_pair_of_crosses_on_a_beating_heart_is_called_and_held() {
    for (view, size) in [
        ("A4C", "640x480"),
        ("PLAX", "800x600"),
        ("PSAX-PM", "1024x768"),
    ] {
        for (cross, thick, rgb, slanting) in DRAWN {
            let what = format!("{view} {size} {rgb:?} {cross} px {slanting}");
            let mut show = Show::new(ScreenSetup::default());
            let spec = format!("view={view},size={size},skin=bare");
            let before = show.phantom(&spec, 20);
            assert!(before.iter().all(Option::is_none), "{what}");
            let said = show.painted(&spec, 90, |_, canvas| {
                pair(canvas, cross, thick, rgb, slanting);
            });
            let called = |s: &Option<Fault>| *s == Some(Fault::Callipers);
            let from = said.iter().position(called);
            assert!(from.is_some_and(|from| from <= 45), "{what}: {from:?}");
            let held = &said[from.unwrap_or(0)..];
            assert!(held.iter().all(called), "{what}: {said:?}");
        }
    }
}

#[test]
fn callipers_that_were_removed_are_forgotten() {
    let mut show = Show::new(ScreenSetup::default());
    let spec = "view=A4C,size=640x480,skin=bare";
    let said = show.painted(spec, 180, |at, canvas| {
        if at < 60 {
            pair(canvas, 13, 1, WHITE, false);
        }
    });
    let called = said.iter().filter(|s| **s == Some(Fault::Callipers));
    assert!(called.count() > 60, "{said:?}");
    assert!(said[160..].iter().all(Option::is_none), "{said:?}");
}

/// Paints one frame of an exam, given its number.
type Paint = fn(u32, &mut Canvas<'_>);

#[test]
fn what_is_no_pair_of_crosses_is_not_called() {
    let others: [(&str, Paint); 6] = [
        ("one cross", |_, canvas| {
            cross(canvas, [320, 240], 13, 1, WHITE, false)
        }),
        ("a pair that moves", |at, canvas| {
            let off = i32::try_from(at).unwrap_or(0) % 40 * 4;
            cross(canvas, [240 + off, 200], 13, 1, WHITE, false);
            cross(canvas, [260 + off, 300], 13, 1, WHITE, false);
        }),
        ("dots", |_, canvas| {
            dots(canvas, [[260, 200], [380, 330]], 0, WHITE)
        }),
        ("lines", |_, canvas| {
            canvas.fill(280..281, 160..360, WHITE);
            canvas.fill(360..361, 160..360, WHITE);
            canvas.fill(230..420, 260..261, WHITE);
        }),
        ("squares", |_, canvas| {
            canvas.fill(260..271, 200..211, WHITE);
            canvas.fill(360..371, 300..311, WHITE);
        }),
        ("letters", |_, canvas| {
            for at in 0..6 {
                canvas.letter([280 + 14 * at, 250], 13, WHITE);
            }
        }),
    ];
    for (what, paint) in others {
        let mut show = Show::new(ScreenSetup::default());
        let said = show.painted("view=A4C,skin=bare,size=640x480", 90, paint);
        assert!(said.iter().all(Option::is_none), "{what}: {said:?}");
    }
}

#[test]
fn no_phantom_has_callipers() {
    for view in ["A4C", "A3C", "PLAX", "PSAX-PM", "PSAX-AV", "Subcostal"] {
        for skin in ["cart", "tablet"] {
            let spec = format!("view={view},skin={skin},ecg=on,size=640x480,gain=12");
            let said = Show::new(ScreenSetup::default()).phantom(&spec, 45);
            assert!(!said.contains(&Some(Fault::Callipers)), "{spec}");
        }
    }
}
