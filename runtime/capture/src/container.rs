//! Video containers by their first bytes, and whether they are complete.

/// A container format that the video reader accepts.
///
/// Playlists and descriptions that lead to other files or hosts are none of these: a source never
/// opens anything but the file it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    /// MP4, MOV and their relatives: boxes with sizes.
    IsoMedia,
    /// AVI.
    Avi,
    /// Matroska and WebM.
    Matroska,
    /// MPEG program or transport stream, or a bare MPEG video stream.
    Mpeg,
    /// Windows Media.
    Asf,
    /// Flash video.
    Flv,
    /// Ogg.
    Ogg,
}

impl Container {
    /// Recognises a container by the first bytes of the file.
    pub(crate) fn from_head(head: &[u8]) -> Option<Self> {
        const BOXES: [&[u8]; 6] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"];
        let at = |offset: usize, what: &[u8]| {
            head.get(offset..)
                .is_some_and(|rest| rest.starts_with(what))
        };
        if BOXES.iter().any(|name| at(4, name)) {
            Some(Self::IsoMedia)
        } else if at(0, b"RIFF") && at(8, b"AVI ") {
            Some(Self::Avi)
        } else if at(0, &[0x1A, 0x45, 0xDF, 0xA3]) {
            Some(Self::Matroska)
        } else if at(0, &[0, 0, 1, 0xBA])
            || at(0, &[0, 0, 1, 0xB3])
            || (at(0, &[0x47]) && at(188, &[0x47]) && at(376, &[0x47]))
            || (at(4, &[0x47]) && at(196, &[0x47]) && at(388, &[0x47]))
        {
            Some(Self::Mpeg)
        } else if at(0, &[0x30, 0x26, 0xB2, 0x75]) {
            Some(Self::Asf)
        } else if at(0, b"FLV\x01") {
            Some(Self::Flv)
        } else if at(0, b"OggS") {
            Some(Self::Ogg)
        } else {
            None
        }
    }
}

#[cfg(feature = "video")]
mod checks {
    use std::io::{self, Read, Seek, SeekFrom};

    use super::Container;

    /// What a container lacks, in words.
    #[derive(Debug, PartialEq, Eq)]
    pub(crate) struct Incomplete {
        pub(crate) expected: String,
        pub(crate) found: String,
    }

    impl Container {
        /// Whether the container stores its number of frames instead of an estimate.
        pub(crate) fn counts_frames(self) -> bool {
            matches!(self, Self::IsoMedia | Self::Avi)
        }

        /// Finds out whether the parts that the container announces are all there.
        ///
        /// The video library would say so on the process's error stream only, and would play a
        /// file that was cut off as if it simply were shorter.
        pub(crate) fn incomplete<R: Read + Seek>(
            self,
            file: &mut R,
        ) -> io::Result<Option<Incomplete>> {
            let file_bytes = file.seek(SeekFrom::End(0))?;
            match self {
                Self::IsoMedia => incomplete_boxes(file, file_bytes),
                Self::Avi => incomplete_riff(file, file_bytes),
                _ => Ok(None),
            }
        }
    }

    fn incomplete_riff<R: Read + Seek>(
        file: &mut R,
        file_bytes: u64,
    ) -> io::Result<Option<Incomplete>> {
        let mut head = [0; 8];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut head)?;
        let [_, _, _, _, size @ ..] = head;
        let needed = u64::from(u32::from_le_bytes(size)) + 8;
        Ok((needed > file_bytes).then(|| Incomplete {
            expected: format!("{needed} bytes"),
            found: format!("{file_bytes} bytes"),
        }))
    }

    fn incomplete_boxes<R: Read + Seek>(
        file: &mut R,
        file_bytes: u64,
    ) -> io::Result<Option<Incomplete>> {
        let mut start = 0;
        let mut has_movie = false;
        while start + 8 <= file_bytes {
            let mut head = [0; 8];
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut head)?;
            let [s0, s1, s2, s3, name @ ..] = head;
            let mut bytes = u64::from(u32::from_be_bytes([s0, s1, s2, s3]));
            if bytes == 1 && start + 16 <= file_bytes {
                let mut long = [0; 8];
                file.read_exact(&mut long)?;
                bytes = u64::from_be_bytes(long);
            } else if bytes == 0 {
                bytes = file_bytes - start;
            }
            let left = file_bytes - start;
            if bytes < 8 || bytes > left {
                return Ok(Some(Incomplete {
                    expected: format!("a box of {bytes} bytes at offset {start}"),
                    found: format!("{left} bytes"),
                }));
            }
            has_movie |= name == *b"moov";
            start += bytes;
        }
        Ok((!has_movie).then(|| Incomplete {
            expected: "a movie header (moov)".to_owned(),
            found: "none".to_owned(),
        }))
    }

    #[cfg(test)]
    mod tests {
        use std::io::Cursor;

        use super::*;

        fn boxed(name: &[u8; 4], content: usize) -> Vec<u8> {
            let mut bytes = u32::try_from(content + 8).unwrap().to_be_bytes().to_vec();
            bytes.extend_from_slice(name);
            bytes.resize(content + 8, 0);
            bytes
        }

        fn missing(bytes: Vec<u8>) -> Option<Incomplete> {
            Container::IsoMedia
                .incomplete(&mut Cursor::new(bytes))
                .unwrap()
        }

        #[test]
        fn boxes_must_fit_and_include_a_movie_header() {
            let whole = [boxed(b"ftyp", 8), boxed(b"moov", 4), boxed(b"mdat", 90)].concat();
            assert_eq!(missing(whole.clone()), None);
            let cut = whole[..whole.len() - 1].to_vec();
            assert_eq!(missing(cut).unwrap().found, "97 bytes");
            let headless = [boxed(b"ftyp", 8), boxed(b"mdat", 90)].concat();
            assert_eq!(missing(headless).unwrap().expected, "a movie header (moov)");
            let tiny_box = [boxed(b"moov", 0), vec![0, 0, 0, 3, 0, 0, 0, 0]].concat();
            assert!(
                missing(tiny_box)
                    .unwrap()
                    .expected
                    .contains("3 bytes at offset 8")
            );
        }

        #[test]
        fn a_long_box_size_does_not_overflow() {
            let mut bytes = boxed(b"moov", 0);
            bytes.extend_from_slice(&1_u32.to_be_bytes());
            bytes.extend_from_slice(b"mdat");
            bytes.extend_from_slice(&u64::MAX.to_be_bytes());
            assert!(missing(bytes).is_some());
        }

        #[test]
        fn an_avi_file_is_as_long_as_it_says() {
            let file = |size: u32| {
                let mut bytes = b"RIFF".to_vec();
                bytes.extend_from_slice(&size.to_le_bytes());
                bytes.extend_from_slice(b"AVI ");
                Container::Avi.incomplete(&mut Cursor::new(bytes)).unwrap()
            };
            assert_eq!(file(4), None);
            assert_eq!(file(5).unwrap().expected, "13 bytes");
        }
    }
}
