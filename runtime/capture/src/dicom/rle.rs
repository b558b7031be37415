//! RLE Lossless.
//!
//! Own code: the decoder of dicom-rs 0.10 panics on a segment that ends early.

/// Decodes one frame into interleaved samples.
///
/// # Shapes
/// - `out`: `[pixels, samples]`, each sample of `sample_bytes` bytes, little endian; its length
///   says how many pixels there are.
///
/// # Errors
/// What was found instead, in words. `out` is then partly written.
///
/// # Source
/// DICOM PS3.5 annex G: a header of 16 words, then one byte plane for each segment, the most
/// significant byte of a sample first.
pub(super) fn decode(
    fragment: &[u8],
    samples: usize,
    sample_bytes: usize,
    out: &mut [u8],
) -> Result<(), String> {
    let planes = samples * sample_bytes;
    let word = |index: usize| -> Option<usize> {
        let bytes = fragment.get(index * 4..index * 4 + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    if fragment.len() < 64 {
        return Err(format!(
            "a fragment of {} bytes, less than a header",
            fragment.len()
        ));
    }
    let segments = word(0).unwrap_or(0);
    if segments != planes {
        return Err(format!("{segments} segments instead of {planes}"));
    }
    for plane in 0..planes {
        let start = word(plane + 1).unwrap_or(0);
        let end = if plane + 1 < planes {
            word(plane + 2).unwrap_or(0)
        } else {
            fragment.len()
        };
        let Some(segment) = fragment.get(start..end).filter(|_| start >= 64) else {
            return Err(format!(
                "segment {plane} from byte {start} to {end} of {}",
                fragment.len()
            ));
        };
        let (sample, byte) = (plane / sample_bytes, plane % sample_bytes);
        let offset = sample * sample_bytes + (sample_bytes - 1 - byte);
        unpack(segment, out.iter_mut().skip(offset).step_by(planes))
            .map_err(|found| format!("segment {plane}: {found}"))?;
    }
    Ok(())
}

/// Expands one segment into a byte plane; what follows a full plane is padding.
fn unpack<'a>(
    segment: &[u8],
    plane: impl ExactSizeIterator<Item = &'a mut u8>,
) -> Result<(), String> {
    let expected = plane.len();
    let mut plane = plane.into_iter();
    let mut input = segment.iter().copied();
    while plane.len() > 0 {
        let short = |left: usize| format!("{} of {expected} bytes", expected - left);
        let Some(control) = input.next() else {
            return Err(short(plane.len()));
        };
        match control {
            0..=127 => {
                for _ in 0..=control {
                    let Some(byte) = input.next() else {
                        return Err(short(plane.len()));
                    };
                    match plane.next() {
                        Some(out) => *out = byte,
                        None => break,
                    }
                }
            }
            128 => {}
            129..=255 => {
                let Some(byte) = input.next() else {
                    return Err(short(plane.len()));
                };
                for out in plane.by_ref().take(257 - usize::from(control)) {
                    *out = byte;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(segments: &[&[u8]]) -> Vec<u8> {
        let mut words = vec![u32::try_from(segments.len()).unwrap()];
        let mut offset = 64;
        for segment in segments {
            words.push(offset);
            offset += u32::try_from(segment.len()).unwrap();
        }
        words.resize(16, 0);
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        segments
            .iter()
            .for_each(|segment| bytes.extend_from_slice(segment));
        bytes
    }

    #[test]
    fn planes_are_interleaved_and_words_are_little_endian() {
        let colours = fragment(&[&[254, 10], &[2, 20, 21, 22], &[0, 30, 128, 255, 31]]);
        let mut out = [0; 9];
        decode(&colours, 3, 1, &mut out).unwrap();
        assert_eq!(out, [10, 20, 30, 10, 21, 31, 10, 22, 31]);
        let words = fragment(&[&[1, 0x12, 0x34], &[1, 0x56, 0x78]]);
        let mut out = [0; 4];
        decode(&words, 1, 2, &mut out).unwrap();
        assert_eq!(out, [0x56, 0x12, 0x78, 0x34]);
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_an_error_or_a_picture() {
        let whole = fragment(&[&[254, 10], &[2, 20, 21, 22], &[1, 30, 31, 255, 31]]);
        for end in 0..whole.len() - 2 {
            assert!(decode(&whole[..end], 3, 1, &mut [0; 9]).is_err(), "{end}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xFF;
            let _ = decode(&changed, 3, 1, &mut [0; 9]);
        }
    }

    #[test]
    fn the_number_of_segments_must_fit() {
        let one = fragment(&[&[254, 10]]);
        assert_eq!(
            decode(&one, 3, 1, &mut [0; 9]).unwrap_err(),
            "1 segments instead of 3"
        );
    }
}
