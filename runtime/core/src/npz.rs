//! `.npz` files as NumPy reads them: uncompressed, without times, so the same arrays are the same
//! bytes.
//!
//! Only what [`write`] writes is read back: stored entries, little-endian 32-bit floats and 64-bit
//! integers in C order. A file of NumPy's own is read too where it keeps to that.

use std::collections::BTreeMap;

/// Largest file read.
pub const MOST_BYTES: u64 = 64 << 20;

/// An array, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes.
    pub shape: Vec<usize>,
    /// As many as the shape says.
    pub values: Values,
}

/// The values of an [`Array`].
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    Floats(Vec<f32>),
    /// 64-bit integers.
    Integers(Vec<i64>),
}

/// Why a file is not read, or arrays are not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("npz: {what}: expected {expected}, found {found}")]
pub struct NpzError {
    /// Which part, an array's name for example.
    pub what: String,
    /// What it may be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

fn wrong(what: &str, expected: impl Into<String>, found: impl ToString) -> NpzError {
    NpzError {
        what: what.escape_debug().to_string(),
        expected: expected.into(),
        found: found.to_string(),
    }
}

impl Array {
    /// An array of 32-bit floats.
    pub fn floats(shape: &[usize], values: Vec<f32>) -> Self {
        Self {
            shape: shape.to_vec(),
            values: Values::Floats(values),
        }
    }

    /// An array of 64-bit integers in one dimension.
    pub fn integers(values: Vec<i64>) -> Self {
        Self {
            shape: vec![values.len()],
            values: Values::Integers(values),
        }
    }

    fn to_npy(&self, name: &str) -> Result<Vec<u8>, NpzError> {
        let (descr, bytes): (_, Vec<u8>) = match &self.values {
            Values::Floats(v) => ("<f4", v.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Values::Integers(v) => ("<i8", v.iter().flat_map(|v| v.to_le_bytes()).collect()),
        };
        let count = count(&self.shape, descr).filter(|&n| n == bytes.len());
        if count.is_none() {
            return Err(wrong(
                name,
                format!("values for {:?}", self.shape),
                format!("{} bytes", bytes.len()),
            ));
        }
        let sizes: String = self.shape.iter().map(|n| format!("{n}, ")).collect();
        let mut header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
        let unpadded = PREFIX.len() + 2 + header.len() + 1;
        header += &" ".repeat(unpadded.next_multiple_of(64) - unpadded);
        header.push('\n');
        let length = u16::try_from(header.len())
            .map_err(|_| wrong(name, "a few dimensions", self.shape.len()))?;
        let mut npy = PREFIX.to_vec();
        npy.extend_from_slice(&length.to_le_bytes());
        npy.extend_from_slice(header.as_bytes());
        npy.extend_from_slice(&bytes);
        Ok(npy)
    }

    fn from_npy(name: &str, npy: &[u8]) -> Result<Self, NpzError> {
        let header = || wrong(name, "the header of a .npy file, version 1.0", "another");
        let rest = npy.strip_prefix(&PREFIX).ok_or_else(header)?;
        let length = usize::from(u16::from_le_bytes(at(rest, 0).ok_or_else(header)?));
        let text = rest.get(2..2 + length).ok_or_else(header)?;
        let bytes = rest.get(2 + length..).ok_or_else(header)?;
        let text = std::str::from_utf8(text).map_err(|_| header())?;
        let (descr, shape) = dictionary(text).ok_or_else(header)?;
        if count(&shape, &descr) != Some(bytes.len()) {
            let expected = format!("{descr} values for {shape:?}");
            return Err(wrong(name, expected, format!("{} bytes", bytes.len())));
        }
        let values = if descr == "<f4" {
            let (values, _) = bytes.as_chunks();
            Values::Floats(values.iter().map(|&v| f32::from_le_bytes(v)).collect())
        } else {
            let (values, _) = bytes.as_chunks();
            Values::Integers(values.iter().map(|&v| i64::from_le_bytes(v)).collect())
        };
        Ok(Self { shape, values })
    }
}

const PREFIX: [u8; 8] = *b"\x93NUMPY\x01\x00";

/// Bytes of an array; none for a type that is not read, or a size beyond all bounds.
fn count(shape: &[usize], descr: &str) -> Option<usize> {
    let width = match descr {
        "<f4" => 4usize,
        "<i8" => 8,
        _ => return None,
    };
    shape.iter().try_fold(width, |n, &size| n.checked_mul(size))
}

/// `descr` and `shape` of a header in C order.
fn dictionary(text: &str) -> Option<(String, Vec<usize>)> {
    let value = |key: &str| Some(text.split_once(key)?.1.trim_start());
    let descr = value("'descr':")?.strip_prefix('\'')?.split_once('\'')?.0;
    value("'fortran_order':")?.strip_prefix("False")?;
    let sizes = value("'shape':")?.strip_prefix('(')?.split_once(')')?.0;
    let sizes = sizes.split(',').map(str::trim).filter(|s| !s.is_empty());
    let shape: Option<Vec<usize>> = sizes.map(|s| s.parse().ok()).collect();
    Some((descr.to_owned(), shape?))
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// CRC-32 as in ZIP (APPNOTE.TXT 4.4.7).
fn crc32(bytes: &[u8]) -> u32 {
    let table: [u32; 256] =
        std::array::from_fn(|n| (0..8).fold(n as u32, |c, _| (c >> 1) ^ ((c & 1) * 0xedb8_8320)));
    let step = |crc: u32, &byte: &u8| (crc >> 8) ^ table[(crc as u8 ^ byte) as usize];
    !bytes.iter().fold(!0, step)
}

/// First day that ZIP knows, 1 January 1980.
const DATE: u16 = 0x0021;
const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;

/// The bytes of a file with `arrays`, by name.
///
/// # Errors
/// [`NpzError`] for an array whose values do not fill its shape, or more than ZIP can hold.
pub fn write(arrays: &BTreeMap<String, Array>) -> Result<Vec<u8>, NpzError> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    let large = |what: &str| wrong(what, "at most 4 GiB in a file", "more");
    for (name, array) in arrays {
        let npy = array.to_npy(name)?;
        let entry = format!("{name}.npy");
        let size = u32::try_from(npy.len()).map_err(|_| large(name))?;
        let offset = u32::try_from(file.len()).map_err(|_| large(name))?;
        let length = u16::try_from(entry.len()).map_err(|_| large(name))?;
        let mut common = Vec::new();
        for field in [20u16, 0, 0, 0, DATE] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        for field in [crc32(&npy), size, size] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        common.extend_from_slice(&length.to_le_bytes());
        common.extend_from_slice(&[0; 2]);
        file.extend_from_slice(&LOCAL.to_le_bytes());
        file.extend_from_slice(&common);
        file.extend_from_slice(entry.as_bytes());
        file.extend_from_slice(&npy);
        directory.extend_from_slice(&CENTRAL.to_le_bytes());
        directory.extend_from_slice(&20u16.to_le_bytes());
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(entry.as_bytes());
    }
    let entries = u16::try_from(arrays.len()).map_err(|_| large("entries"))?;
    let size = u32::try_from(directory.len()).map_err(|_| large("directory"))?;
    let offset = u32::try_from(file.len()).map_err(|_| large("directory"))?;
    file.extend_from_slice(&directory);
    file.extend_from_slice(&END.to_le_bytes());
    file.extend_from_slice(&[0; 4]);
    for _ in 0..2 {
        file.extend_from_slice(&entries.to_le_bytes());
    }
    file.extend_from_slice(&size.to_le_bytes());
    file.extend_from_slice(&offset.to_le_bytes());
    file.extend_from_slice(&[0; 2]);
    Ok(file)
}

/// The arrays of a file, by name without `.npy`.
///
/// # Errors
/// [`NpzError`] for anything that [`write`] would not have written. Memory grows with the file,
/// not with what its headers say.
pub fn read(file: &[u8]) -> Result<BTreeMap<String, Array>, NpzError> {
    let broken = || wrong("file", "a ZIP file of stored entries", "something else");
    let end = file.len().checked_sub(22).ok_or_else(broken)?;
    if at(file, end) != Some(END.to_le_bytes()) {
        return Err(broken());
    }
    let entries = u16::from_le_bytes(at(file, end + 10).ok_or_else(broken)?);
    let mut place = u32::from_le_bytes(at(file, end + 16).ok_or_else(broken)?) as usize;
    let mut arrays = BTreeMap::new();
    for _ in 0..entries {
        let (entry, npy, next) = stored(file, place).ok_or_else(broken)?;
        place = next;
        let name = std::str::from_utf8(entry)
            .ok()
            .and_then(|name| name.strip_suffix(".npy"))
            .ok_or_else(broken)?;
        let array = Array::from_npy(name, npy)?;
        if arrays.insert(name.to_owned(), array).is_some() {
            return Err(wrong(name, "one array of a name", "two"));
        }
    }
    Ok(arrays)
}

/// Name and content of the entry at `place` of the directory, and the place of the next one.
fn stored(file: &[u8], place: usize) -> Option<(&[u8], &[u8], usize)> {
    let central = file.get(place..)?;
    let short = |bytes: &[u8], offset| Some(usize::from(u16::from_le_bytes(at(bytes, offset)?)));
    let long = |bytes: &[u8], offset| Some(u32::from_le_bytes(at(bytes, offset)?) as usize);
    let (method, size) = (short(central, 10)?, long(central, 24)?);
    if at(central, 0)? != CENTRAL.to_le_bytes() || method != 0 || long(central, 20)? != size {
        return None;
    }
    let name = central.get(46..46 + short(central, 28)?)?;
    let next = place + 46 + name.len() + short(central, 30)? + short(central, 32)?;
    let local = file.get(long(central, 42)?..)?;
    if at(local, 0)? != LOCAL.to_le_bytes() {
        return None;
    }
    let start = 30 + short(local, 26)? + short(local, 28)?;
    let content = local.get(start..start.checked_add(size)?)?;
    (crc32(content) == u32::from_le_bytes(at(central, 16)?)).then_some((name, content, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arrays() -> BTreeMap<String, Array> {
        [
            (
                "a.b",
                Array::floats(&[2, 3], vec![1.0, -2.5, 0.0, 1e-30, 7.0, 8.0]),
            ),
            ("ids", Array::integers(vec![-1, 1 << 40])),
            ("none", Array::floats(&[0, 4], Vec::new())),
        ]
        .map(|(name, array)| (name.to_owned(), array))
        .into()
    }

    #[test]
    fn arrays_survive_and_the_same_arrays_are_the_same_bytes() {
        let file = write(&arrays()).unwrap();
        assert_eq!(read(&file).unwrap(), arrays());
        assert_eq!(write(&arrays()).unwrap(), file);
    }

    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_shape_that_its_values_do_not_fill_is_refused() {
        for shape in [&[2usize, 2][..], &[usize::MAX, usize::MAX], &[]] {
            let array = Array::floats(shape, vec![0.0; 3]);
            assert!(write(&[("x".to_owned(), array)].into()).is_err());
        }
    }

    #[test]
    fn an_altered_byte_of_an_array_is_noticed() {
        let mut file = write(&arrays()).unwrap();
        file[120] ^= 1;
        assert!(read(&file).is_err());
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(at in 0usize..700, value: u8, cut in 0usize..700) {
            let mut file = write(&arrays()).unwrap();
            if let Some(byte) = file.get_mut(at) {
                *byte = value;
            }
            let _ = read(&file);
            file.truncate(cut);
            let _ = read(&file);
        }
    }
}
