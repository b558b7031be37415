//! Whether the elements of a DICOM file fit into the file.
//!
//! The reader of dicom-rs 0.10 allocates what an element announces before it reads, up to 4 GiB,
//! and takes encapsulated pixel data that was cut off for complete.

use std::io::{self, Read, Seek, SeekFrom};

/// How element headers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Explicit value representation; stops at the end of group 0002.
    FileMeta,
    /// Explicit value representation, little endian.
    Explicit,
    /// Implicit value representation, little endian.
    Implicit,
}

const SHORT_LENGTH: [&[u8; 2]; 20] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN",
    b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL",
];
const UNDEFINED: u32 = u32::MAX;
const ITEM: (u16, u16) = (0xFFFE, 0xE000);
const SEQUENCE_END: (u16, u16) = (0xFFFE, 0xE0DD);
const PIXEL_DATA: (u16, u16) = (0x7FE0, 0x0010);

/// Walks over the element headers from `start` to `end` and returns where the walk stopped.
///
/// Sequences are entered, so that nested elements are checked too.
///
/// # Errors
/// The inner error is what was found instead of an element that fits, in words.
///
/// # Source
/// DICOM PS3.5 chapter 7.1 (element headers) and annex A.4 (fragments).
pub(super) fn walk<R: Read + Seek>(
    file: &mut R,
    start: u64,
    end: u64,
    layout: Layout,
) -> io::Result<Result<u64, String>> {
    let mut at = start;
    let mut in_fragments = false;
    while at + 8 <= end {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [g0, g1, e0, e1, v0, v1, l0, l1] = head;
        let tag = (u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1]));
        if layout == Layout::FileMeta && tag.0 != 2 {
            return Ok(Ok(at));
        }
        let mut length = u32::from_le_bytes([v0, v1, l0, l1]);
        let mut content = at + 8;
        let mut enters = length == UNDEFINED;
        if tag.0 == ITEM.0 {
            if in_fragments && tag == SEQUENCE_END {
                return Ok(Ok(content));
            }
            enters = !(in_fragments && tag == ITEM);
        } else if layout != Layout::Implicit {
            let representation = [v0, v1];
            if SHORT_LENGTH.contains(&&representation) || &representation == b"US" {
                length = u32::from(u16::from_le_bytes([l0, l1]));
                enters = false;
            } else {
                if content + 4 > end {
                    break;
                }
                let mut long = [0; 4];
                file.read_exact(&mut long)?;
                length = u32::from_le_bytes(long);
                content += 4;
                enters = length == UNDEFINED || &representation == b"SQ";
                if length == UNDEFINED && &representation == b"UN" {
                    return Ok(Ok(at));
                }
            }
        }
        if enters {
            in_fragments |= tag == PIXEL_DATA;
            at = content;
            continue;
        }
        let left = end - content;
        if u64::from(length) > left {
            let (group, element) = tag;
            let what = if in_fragments {
                "a fragment"
            } else {
                "element"
            };
            return Ok(Err(format!(
                "{what} ({group:04X},{element:04X}) at byte {at} that announces {length} bytes, \
                 {left} are left"
            )));
        }
        at = content + u64::from(length);
    }
    Ok(Ok(at))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn walked(bytes: &[u8], layout: Layout) -> Result<u64, String> {
        walk(&mut Cursor::new(bytes), 0, bytes.len() as u64, layout).unwrap()
    }

    #[test]
    fn nested_elements_and_fragments_must_fit() {
        let sequence = b"\x08\0\x10\0SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF";
        let inner =
            b"\x08\0\x20\0OB\0\0\x04\0\0\0abcd\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
        let pixels = b"\xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\x02\0\0\0ab\xFE\xFF\xDD\xE0\0\0\0\0";
        let whole = [&sequence[..], inner, pixels].concat();
        assert_eq!(walked(&whole, Layout::Explicit), Ok(whole.len() as u64));
        let mut nested = whole.clone();
        nested[28] = 200;
        let error = walked(&nested, Layout::Explicit).unwrap_err();
        assert!(
            error.contains("(0008,0020) at byte 20 that announces 200"),
            "{error}"
        );
        let cut = &whole[..whole.len() - 9];
        let error = walked(cut, Layout::Explicit).unwrap_err();
        assert!(error.starts_with("a fragment (FFFE,E000)"), "{error}");
    }

    #[test]
    fn an_implicit_element_must_fit() {
        let bytes = b"\x28\0\x10\0\x02\0\0\0ab\x28\0\x11\0\x05\0\0\0ab";
        assert!(
            walked(bytes, Layout::Implicit)
                .unwrap_err()
                .contains("(0028,0011)")
        );
    }

    #[test]
    fn any_bytes_end_the_walk() {
        for seed in 0..=255_u8 {
            let bytes: Vec<u8> = (0..200).map(|i: u8| i.wrapping_mul(seed) ^ seed).collect();
            for layout in [Layout::FileMeta, Layout::Explicit, Layout::Implicit] {
                let _ = walked(&bytes, layout);
            }
        }
    }
}
