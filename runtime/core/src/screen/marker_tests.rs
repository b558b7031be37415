use super::show::{Canvas, Show};
use super::{Fault, ScreenSetup, Side};

const HEIGHT: i32 = 480;
/// A phantom whose apex is in the middle of a 640x480 frame.
const SPEC: &str = "view=A4C,skin=bare,size=640x480";
const APEX: [i32; 2] = [320, 10];

/// A mark of any maker, its middle `aside` of the apex.
fn mark(canvas: &mut Canvas<'_>, kind: &str, aside: i32) {
    let [x, y] = [APEX[0] + aside, APEX[1] + 9];
    match kind {
        "grey disc" => canvas.disc([x, y], 9, [90, 92, 96]),
        "red disc" => canvas.disc([x, y], 8, [110, 40, 30]),
        "green dot" => canvas.disc([x, y], 5, [70, 160, 130]),
        "orange sign" => {
            canvas.fill(x - 7..x + 7, y - 6..y + 6, [230, 150, 30]);
            canvas.fill(x - 4..x + 4, y - 3..y + 2, [20, 10, 0]);
        }
        "yellow V" => {
            for down in 0..14 {
                let half = 7 - down / 2;
                canvas.fill(
                    x - half..x - half + 4,
                    y - 7 + down..y - 6 + down,
                    [200, 240, 30],
                );
                canvas.fill(
                    x + half - 4..x + half,
                    y - 7 + down..y - 6 + down,
                    [200, 240, 30],
                );
            }
        }
        other => panic!("no such mark: {other}"),
    }
}

fn watch(marker: Option<Side>) -> Show {
    Show::new(ScreenSetup {
        marker,
        ..ScreenSetup::default()
    })
}

#[test]
fn a_mark_on_the_other_side_than_the_sites_is_mirrored() {
    for kind in [
        "grey disc",
        "red disc",
        "green dot",
        "orange sign",
        "yellow V",
    ] {
        for (aside, side) in [(-40, Side::Left), (40, Side::Right)] {
            for set in [None, Some(Side::Left), Some(Side::Right)] {
                let mut show = watch(set);
                let said = show.painted(SPEC, 60, |_, canvas| mark(canvas, kind, aside));
                assert_eq!(show.scene.marker(), Some(side), "{kind} at {aside}");
                let against = set.is_some_and(|set| set != side);
                let expected = against.then_some(Fault::Mirrored);
                assert_eq!(said[59], expected, "{kind} at {aside}, set {set:?}");
                // several looks, so nothing is said at once
                assert!(said[..12].iter().all(Option::is_none), "{said:?}");
            }
        }
    }
}

#[test]
fn a_mark_that_goes_to_the_other_side_is_followed() {
    let mut show = watch(Some(Side::Right));
    let said = show.painted(SPEC, 120, |at, canvas| {
        mark(canvas, "green dot", if at < 60 { 40 } else { -40 });
    });
    assert!(said[..60].iter().all(Option::is_none), "{said:?}");
    let from = said.iter().position(|s| *s == Some(Fault::Mirrored));
    assert!(from.is_some_and(|at| (70..90).contains(&at)), "{from:?}");
    assert!(said[90..].iter().all(|s| *s == Some(Fault::Mirrored)));
}

/// Paints one frame of an exam, given its number.
type Paint = fn(u32, &mut Canvas<'_>);

#[test]
fn text_scales_and_what_moves_are_no_mark() {
    let others: [(&str, Paint); 9] = [
        ("nothing", |_, _| {}),
        ("a word", |_, canvas| {
            for at in 0..4 {
                canvas.letter([250 + 11 * at, 14], 11, [220; 3]);
            }
        }),
        ("a coloured word", |_, canvas| {
            for at in 0..4 {
                canvas.letter([350 + 11 * at, 14], 11, [240, 220, 40]);
            }
        }),
        ("a grey letter", |_, canvas| {
            canvas.letter([274, 14], 12, [200; 3])
        }),
        ("marks on both sides", |_, canvas| {
            mark(canvas, "green dot", 40);
            mark(canvas, "green dot", -40);
        }),
        ("a mark and a word", |_, canvas| {
            mark(canvas, "green dot", 40);
            canvas.letter([262, 14], 11, [220; 3]);
        }),
        ("dots of a scale", |_, canvas| {
            for at in 0..6 {
                let x = APEX[0] + 12 + 14 * at;
                canvas.fill(x..x + 3, 4 + 14 * at..7 + 14 * at, [255; 3]);
            }
        }),
        ("a disc that moves", |at, canvas| {
            let to = 30 + i32::try_from(at).unwrap_or(0) % 20 * 2;
            mark(canvas, "grey disc", to);
        }),
        ("a disc far away", |_, canvas| {
            canvas.disc([APEX[0] + HEIGHT / 3, APEX[1] + 9], 9, [90; 3]);
        }),
    ];
    for (what, paint) in others {
        for set in [Side::Left, Side::Right] {
            let mut show = watch(Some(set));
            let said = show.painted(SPEC, 60, paint);
            assert_eq!(show.scene.marker(), None, "{what}");
            assert!(said.iter().all(Option::is_none), "{what}: {said:?}");
        }
    }
}

#[test]
fn a_phantom_has_the_mark_of_a_tablet_where_it_is_large_enough_and_no_other() {
    let mut wrong = Vec::new();
    for (view, size) in [("A4C", "640x480"), ("PLAX", "800x450"), ("A2C", "320x240")] {
        for skin in ["bare", "cart", "tablet", "portable"] {
            let spec = format!("view={view},skin={skin},size={size},ecg=on");
            let large = skin == "tablet" && size == "320x240";
            let expected = large.then_some(Side::Left);
            let mut show = watch(Some(Side::Left));
            let said = show.phantom(&spec, 40);
            if show.scene.marker() != expected || said.iter().any(Option::is_some) {
                wrong.push((spec, show.scene.marker(), said.last().copied()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
