//! The checksum of OpenIGTLink bodies.

/// ECMA-182.
const POLYNOMIAL: u64 = 0x42F0_E1EB_A9EA_3693;
const LANES: usize = 8;

static TABLES: [[u64; 256]; LANES] = tables();

const fn tables() -> [[u64; 256]; LANES] {
    let mut tables = [[0; 256]; LANES];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u64) << 56;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc >> 63 == 1 {
                (crc << 1) ^ POLYNOMIAL
            } else {
                crc << 1
            };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut lane = 1;
    while lane < LANES {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[lane - 1][byte];
            tables[lane][byte] = (before << 8) ^ tables[0][(before >> 56) as usize];
            byte += 1;
        }
        lane += 1;
    }
    tables
}

/// CRC-64 of ECMA-182: start 0, most significant bit first, nothing inverted.
///
/// # Real-time
/// No allocation; eight bytes a step.
pub fn crc64(bytes: &[u8]) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<LANES>();
    let mut crc = 0;
    for chunk in chunks {
        let mixed = (crc ^ u64::from_be_bytes(*chunk)).to_be_bytes();
        let lanes = mixed.iter().zip(TABLES.iter().rev());
        crc = lanes.fold(0, |crc, (&byte, table)| crc ^ table[usize::from(byte)]);
    }
    for &byte in rest {
        crc = (crc << 8) ^ TABLES[0][usize::from((crc >> 56) as u8 ^ byte)];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        assert_eq!(crc64(b"123456789"), 0x6C40_DF5F_0B49_7347);
        assert_eq!(crc64(b""), 0);
    }

    #[test]
    fn a_checksum_does_not_depend_on_where_the_eights_end() {
        let bytes: Vec<u8> = (0..100).map(|i| (i * 37 % 251) as u8).collect();
        for length in 0..bytes.len() {
            let slow = bytes[..length].iter().fold(0_u64, |crc, &byte| {
                (0..8).fold(crc ^ u64::from(byte) << 56, |crc, _| {
                    let high = crc >> 63;
                    (crc << 1) ^ (high * POLYNOMIAL)
                })
            });
            assert_eq!(crc64(&bytes[..length]), slow, "{length}");
        }
    }
}
