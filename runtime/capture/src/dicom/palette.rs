//! Palette colour lookup tables.

use std::path::Path;

use dicom_core::{DicomValue, Tag};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::header::attribute_error;
use crate::SourceError;

/// The three tables, expanded: one colour for every value that an index can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Palette {
    colours: Vec<[u8; 3]>,
}

struct Channel {
    descriptor: Tag,
    descriptor_name: &'static str,
    data: Tag,
    data_name: &'static str,
    segmented: Tag,
}

const CHANNELS: [Channel; 3] = [
    Channel {
        descriptor: tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        descriptor_name: "RedPaletteColorLookupTableDescriptor",
        data: tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        data_name: "RedPaletteColorLookupTableData",
        segmented: tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    },
    Channel {
        descriptor: tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        descriptor_name: "GreenPaletteColorLookupTableDescriptor",
        data: tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        data_name: "GreenPaletteColorLookupTableData",
        segmented: tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    },
    Channel {
        descriptor: tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        descriptor_name: "BluePaletteColorLookupTableDescriptor",
        data: tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        data_name: "BluePaletteColorLookupTableData",
        segmented: tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    },
];

struct Table {
    first_mapped: usize,
    wide: bool,
    entries: Vec<u16>,
}

impl Palette {
    /// Reads the tables for indices of `index_bits` bits.
    ///
    /// # Errors
    /// [`SourceError::Attribute`] where a table is missing, segmented or does not fit its
    /// descriptor.
    ///
    /// # Source
    /// DICOM PS3.3 C.7.6.3.1.5 and C.7.6.3.1.6.
    pub(super) fn read(
        object: &InMemDicomObject,
        index_bits: u16,
        path: &Path,
    ) -> Result<Self, SourceError> {
        let [red, green, blue] = &CHANNELS;
        let tables = [
            Table::read(object, red, path)?,
            Table::read(object, green, path)?,
            Table::read(object, blue, path)?,
        ];
        // Some devices announce 16 bits and store 8: read as announced, nothing but black is left.
        let narrow = tables.iter().all(|table| {
            !table.wide
                || table
                    .entries
                    .iter()
                    .all(|&entry| entry <= u16::from(u8::MAX))
        });
        let colours = (0..1_usize << index_bits)
            .map(|index| std::array::from_fn(|c| tables.get(c).map_or(0, |t| t.at(index, narrow))))
            .collect();
        Ok(Self { colours })
    }

    /// The colour of an index.
    pub(super) fn colour(&self, index: usize) -> [u8; 3] {
        self.colours.get(index).copied().unwrap_or_default()
    }
}

impl Table {
    fn read(
        object: &InMemDicomObject,
        channel: &Channel,
        path: &Path,
    ) -> Result<Self, SourceError> {
        let descriptor_error = |expected: &str, found: String| {
            attribute_error(channel.descriptor_name, expected, found, path)
        };
        let data_error = |expected: String, found: String| {
            attribute_error(channel.data_name, expected, found, path)
        };
        let descriptor: Vec<i32> = match object.get(channel.descriptor) {
            None => return Err(descriptor_error("a value", "none".to_owned())),
            Some(element) => element
                .value()
                .to_multi_int()
                .map_err(|_| descriptor_error("three numbers", "something else".to_owned()))?,
        };
        let &[count, first_mapped, bits] = descriptor.as_slice() else {
            return Err(descriptor_error("three numbers", format!("{descriptor:?}")));
        };
        let (Ok(first_mapped), 8 | 16) = (usize::try_from(first_mapped), bits) else {
            let expected = "a first index from 0 and entries of 8 or 16 bits";
            return Err(descriptor_error(expected, format!("{descriptor:?}")));
        };
        // 65536 does not fit the attribute and is written as 0; a signed one wraps.
        let count = match (count & 0xFFFF) as usize {
            0 => 65_536,
            count => count,
        };
        let Some(element) = object.get(channel.data) else {
            let found = match object.get(channel.segmented) {
                Some(_) => "a segmented table",
                None => "none",
            };
            return Err(data_error("a plain table".to_owned(), found.to_owned()));
        };
        let DicomValue::Primitive(value) = element.value() else {
            return Err(data_error(
                "a plain table".to_owned(),
                "a sequence".to_owned(),
            ));
        };
        let bytes = value.to_bytes();
        let words = || -> Vec<u16> {
            bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&pair| u16::from_le_bytes(pair))
                .collect()
        };
        let entries = if bytes.len() == count * 2 {
            words()
        } else if bits == 8 && (bytes.len() == count || bytes.len() == count + 1) {
            bytes
                .iter()
                .take(count)
                .map(|&byte| u16::from(byte))
                .collect()
        } else {
            let expected = format!("{count} entries of {bits} bits");
            return Err(data_error(expected, format!("{} bytes", bytes.len())));
        };
        Ok(Self {
            first_mapped,
            wide: bits == 16,
            entries,
        })
    }

    fn at(&self, index: usize, narrow: bool) -> u8 {
        let offset = index.saturating_sub(self.first_mapped);
        let entry = self
            .entries
            .get(offset)
            .or(self.entries.last())
            .copied()
            .unwrap_or(0);
        let entry = if self.wide && !narrow {
            entry >> 8
        } else {
            entry & 0xFF
        };
        entry as u8
    }
}
