//! What `dmsetup table` and `dmsetup status` print of thin devices and pools, as values.
//!
//! In: lines of text. Out: values, or a sentence on what is wrong with the text. Pure. The formats are the kernel's,
//! `Documentation/admin-guide/device-mapper/thin-provisioning.rst`.

use super::dmsetup::DeviceNumber;

/// The table of a thin device: `0 LENGTH thin POOL DEVICE_ID [EXTERNAL_ORIGIN]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinTable {
    /// Size in sectors of 512 bytes.
    pub sectors: u64,
    /// The pool.
    pub pool: DeviceNumber,
    /// The device's id in its pool, 24 bits.
    pub device: u32,
    /// The device that is read where nothing is mapped, if there is one: number or path.
    pub external_origin: Option<String>,
}

impl ThinTable {
    /// Parses a table; `None` if it is not that of a thin device.
    pub fn parse(table: &str) -> Result<Option<Self>, String> {
        let words: Vec<_> = table.split_whitespace().collect();
        match words.as_slice() {
            ["0", sectors, "thin", pool, device, origin @ ..] if origin.len() <= 1 => Ok(Some(ThinTable {
                sectors: number(sectors)?,
                pool: pool.parse()?,
                device: u32::try_from(number(device)?).map_err(|_| format!("{device} is no device id"))?,
                external_origin: origin.first().map(ToString::to_string),
            })),
            [_, _, "thin", ..] => Err(format!("\"{table}\" is not the table of one thin device")),
            _ => Ok(None),
        }
    }
}

/// The table of a pool: `0 LENGTH thin-pool METADATA DATA CHUNK_SECTORS LOW_WATER [FEATURES]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolTable {
    /// The metadata device: number, as the kernel prints it.
    pub metadata: String,
    /// The data device.
    pub data: String,
    /// Data chunk in sectors of 512 bytes.
    pub chunk_sectors: u32,
    /// What a write leaves of a new chunk is zeros; else (`skip_block_zeroing`) it is what the pool held there.
    pub zeroes_new_chunks: bool,
}

impl PoolTable {
    /// Parses the table of a pool.
    pub fn parse(table: &str) -> Result<Self, String> {
        let words: Vec<_> = table.split_whitespace().collect();
        match words.as_slice() {
            ["0", _, "thin-pool", metadata, data, chunk_sectors, rest @ ..] => Ok(PoolTable {
                metadata: metadata.to_string(),
                data: data.to_string(),
                chunk_sectors: chunk_sectors.parse().map_err(|_| format!("{chunk_sectors} is no number"))?,
                zeroes_new_chunks: !rest.contains(&"skip_block_zeroing"),
            }),
            _ => Err(format!("\"{table}\" is not the table of a thin pool")),
        }
    }
}

/// What a pool lets happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// All is well.
    ReadWrite,
    /// The metadata cannot change: the kernel found it damaged, or it has no space left.
    ReadOnly,
    /// No new chunks can be mapped.
    OutOfDataSpace,
}

/// The status of a pool: `0 LENGTH thin-pool TRANSACTION_ID USED/TOTAL USED/TOTAL HELD_ROOT MODE ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStatus {
    /// The transaction id that LVM keeps.
    pub transaction_id: u64,
    /// Metadata blocks of 4096 bytes: used, and in all.
    pub metadata_blocks: (u64, u64),
    /// Data chunks: used, and in all.
    pub data_chunks: (u64, u64),
    /// The block of the metadata snapshot, if one is held.
    pub held_root: Option<u64>,
    /// What the pool lets happen.
    pub mode: PoolMode,
    /// A write that finds no chunk fails at once, instead of waiting for the pool to grow.
    pub error_if_no_space: bool,
    /// The kernel found the metadata inconsistent and wants `thin_check` run.
    pub needs_check: bool,
}

impl PoolStatus {
    /// Parses the status of a pool. A pool that has failed has none but that: an error.
    pub fn parse(status: &str) -> Result<Self, String> {
        let words: Vec<_> = status.split_whitespace().collect();
        match words.as_slice() {
            ["0", _, "thin-pool", "Fail" | "Error", ..] => Err("the pool has failed".into()),
            ["0", _, "thin-pool", transaction_id, metadata, data, held_root, mode, features @ ..] => {
                Ok(PoolStatus {
                    transaction_id: number(transaction_id)?,
                    metadata_blocks: used_and_total(metadata)?,
                    data_chunks: used_and_total(data)?,
                    held_root: if *held_root == "-" { None } else { Some(number(held_root)?) },
                    mode: match *mode {
                        "rw" => PoolMode::ReadWrite,
                        "ro" => PoolMode::ReadOnly,
                        "out_of_data_space" => PoolMode::OutOfDataSpace,
                        other => return Err(format!("\"{other}\" is no mode of a thin pool")),
                    },
                    error_if_no_space: features.contains(&"error_if_no_space"),
                    needs_check: features.contains(&"needs_check"),
                })
            }
            _ => Err(format!("\"{status}\" is not the status of a thin pool")),
        }
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("\"{text}\" is no number"))
}

fn used_and_total(text: &str) -> Result<(u64, u64), String> {
    let (used, total) = text.split_once('/').ok_or_else(|| format!("\"{text}\" is not USED/TOTAL"))?;
    Ok((number(used)?, number(total)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tables_of_thin_devices() {
        let pool = DeviceNumber { major: 254, minor: 2 };
        let thin = |external_origin| ThinTable { sectors: 2_097_152, pool, device: 7, external_origin };
        let rows = [
            ("0 2097152 thin 254:2 7", Ok(Some(thin(None)))),
            ("0 2097152 thin 254:2 7 254:9", Ok(Some(thin(Some("254:9".into()))))),
            ("0 2097152 linear 254:2 0", Ok(None)),
            ("0 8 linear 254:2 0\n8 8 linear 254:3 0", Ok(None)),
            ("0 100 thin-pool 254:0 254:1 128 0", Ok(None)),
            ("", Ok(None)),
            ("0 2097152 thin pool 7", Err("\"pool\" is no device number such as 254:3".into())),
            ("0 2097152 thin 254:2 5000000000", Err("5000000000 is no device id".into())),
            ("0 x thin 254:2 7", Err("\"x\" is no number".into())),
            ("8 8 thin 254:2 7", Err("\"8 8 thin 254:2 7\" is not the table of one thin device".into())),
        ];
        for (text, expected) in rows {
            assert_eq!(ThinTable::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn tables_of_pools() {
        let expected = |zeroes_new_chunks| {
            let (metadata, data) = ("254:0".into(), "254:1".into());
            Ok(PoolTable { metadata, data, chunk_sectors: 128, zeroes_new_chunks })
        };
        assert_eq!(PoolTable::parse("0 100 thin-pool 254:0 254:1 128 0"), expected(true));
        let told_not_to = "0 100 thin-pool 254:0 254:1 128 0 1 skip_block_zeroing";
        assert_eq!(PoolTable::parse(told_not_to), expected(false));
        for text in ["", "0 100 thin 254:2 7", "0 100 thin-pool 254:0 254:1", "0 1 thin-pool 254:0 254:1 x 0"] {
            assert!(PoolTable::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn statuses_of_pools() {
        let plain = PoolStatus {
            transaction_id: 4,
            metadata_blocks: (12, 1024),
            data_chunks: (160, 1600),
            held_root: None,
            mode: PoolMode::ReadWrite,
            error_if_no_space: false,
            needs_check: false,
        };
        let rows = [
            ("rw discard_passdown queue_if_no_space - 1024", plain.clone()),
            (
                "rw no_discard_passdown error_if_no_space - 1024",
                PoolStatus { error_if_no_space: true, ..plain.clone() },
            ),
            (
                "ro ignore_discard queue_if_no_space needs_check 1024",
                PoolStatus { mode: PoolMode::ReadOnly, needs_check: true, ..plain.clone() },
            ),
            (
                "out_of_data_space discard_passdown queue_if_no_space",
                PoolStatus { mode: PoolMode::OutOfDataSpace, ..plain.clone() },
            ),
        ];
        for (tail, expected) in rows {
            let line = format!("0 204800 thin-pool 4 12/1024 160/1600 - {tail}");
            assert_eq!(PoolStatus::parse(&line), Ok(expected), "{line}");
        }
        let held = PoolStatus::parse("0 204800 thin-pool 4 12/1024 160/1600 35 rw discard_passdown");
        assert_eq!(held, Ok(PoolStatus { held_root: Some(35), ..plain }));
    }

    #[test]
    fn a_pool_that_failed_says_so() {
        for text in ["0 204800 thin-pool Fail", "0 204800 thin-pool Error"] {
            assert_eq!(PoolStatus::parse(text), Err("the pool has failed".into()));
        }
        for text in ["", "0 1 thin 16 8", "0 1 thin-pool 4 12 160/1600 - rw", "0 1 thin-pool 4 1/2 1/2 x rw"] {
            assert!(PoolStatus::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(0 [0-9]+ (thin|thin-pool|linear) )?[0-9:/a-z -]*") {
            let _ = (ThinTable::parse(&text), PoolTable::parse(&text), PoolStatus::parse(&text));
        }
    }
}
