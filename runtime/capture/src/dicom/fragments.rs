//! Which fragments of encapsulated pixel data make which frame.

use std::ops::Range;

/// Finds the fragments of every frame.
///
/// One fragment for each frame needs no table. Otherwise the basic offset table decides, and where
/// there is none, the fragments that begin a new code stream.
///
/// # Errors
/// What was expected and what was found, if frames and fragments cannot be matched.
///
/// # Source
/// DICOM PS3.5 A.4: offsets count from the first fragment's item tag; an item adds 8 bytes.
pub(super) fn frames_from_fragments(
    fragments: &[Vec<u8>],
    offsets: &[u32],
    frames: u32,
) -> Result<Vec<Range<usize>>, (String, String)> {
    let count = fragments.len();
    let frames = frames as usize;
    let fail = |found: String| Err((format!("{frames} frames"), found));
    if count == frames {
        return Ok((0..count).map(|index| index..index + 1).collect());
    }
    if count < frames {
        return fail(format!("{count} fragments"));
    }
    let starts: Vec<usize> = if offsets.len() == frames {
        let mut item_offset = 0_u64;
        let mut starts = Vec::with_capacity(frames);
        for (index, fragment) in fragments.iter().enumerate() {
            if offsets
                .get(starts.len())
                .is_some_and(|&next| u64::from(next) == item_offset)
            {
                starts.push(index);
            }
            item_offset += fragment.len() as u64 + 8;
        }
        starts
    } else if frames == 1 {
        vec![0]
    } else {
        (0..count)
            .filter(|&index| {
                fragments
                    .get(index)
                    .is_some_and(|bytes| begins_stream(bytes))
            })
            .collect()
    };
    if starts.len() != frames || starts.first() != Some(&0) {
        let table = match offsets.len() {
            0 => "without an offset table".to_owned(),
            entries => format!("with an offset table of {entries} entries"),
        };
        return fail(format!(
            "{count} fragments {table}, {} of them starting one",
            starts.len()
        ));
    }
    let ends = starts.iter().skip(1).copied().chain([count]);
    Ok(starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| start..end)
        .collect())
}

fn begins_stream(bytes: &[u8]) -> bool {
    const STARTS: [&[u8]; 5] = [
        &[0xFF, 0xD8, 0xFF],
        &[0xFF, 0x4F, 0xFF, 0x51],
        &[0xFF, 0x0A],
        b"\0\0\0\x0CJXL ",
        b"\0\0\0\x0CjP  ",
    ];
    STARTS.iter().any(|start| bytes.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg_start(bytes: usize) -> Vec<u8> {
        let mut fragment = vec![0xFF, 0xD8, 0xFF];
        fragment.resize(bytes, 0);
        fragment
    }

    #[test]
    fn one_fragment_for_each_frame_needs_no_table() {
        let fragments = [vec![0; 4], vec![0; 6]];
        assert_eq!(
            frames_from_fragments(&fragments, &[], 2).unwrap(),
            [0..1, 1..2]
        );
    }

    #[test]
    fn the_offset_table_groups_fragments() {
        let fragments = [vec![0; 4], vec![0; 6], vec![0; 2]];
        let frames = frames_from_fragments(&fragments, &[0, 26], 2).unwrap();
        assert_eq!(frames, [0..2, 2..3]);
        let (_, found) = frames_from_fragments(&fragments, &[0, 25], 2).unwrap_err();
        assert!(found.contains("offset table of 2 entries"), "{found}");
    }

    #[test]
    fn without_a_table_code_streams_start_frames() {
        let fragments = [jpeg_start(8), vec![1; 6], jpeg_start(4)];
        assert_eq!(
            frames_from_fragments(&fragments, &[], 2).unwrap(),
            [0..2, 2..3]
        );
        assert!(frames_from_fragments(&[vec![1; 4], jpeg_start(4), vec![0; 2]], &[], 2).is_err());
    }

    #[test]
    fn too_few_fragments_are_an_error() {
        let (expected, found) = frames_from_fragments(&[vec![0; 4]], &[], 3).unwrap_err();
        assert_eq!(
            (expected.as_str(), found.as_str()),
            ("3 frames", "1 fragments")
        );
    }
}
