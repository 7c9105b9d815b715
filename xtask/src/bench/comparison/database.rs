//! An image as a database leaves it: pages of 8 KiB, written at random places of a sparse file, with rows that compress
//! as such rows do. The same on every machine.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Bytes of a page: PostgreSQL's default.
const PAGE: usize = 8 << 10;
/// What text is made of.
const WORDS: [&str; 16] = [
    "invoice",
    "shipped",
    "customer",
    "pending",
    "Berlin",
    "London",
    "2024-11-05",
    "cancelled",
    "warehouse",
    "express",
    "standard",
    "refund",
    "quantity",
    "article",
    "contact@example.com",
    "confirmed",
];

/// Makes an image of `size` bytes by so many writes. It appears under its name when it is whole.
pub fn make(image: &Path, size: u64, writes: u64) -> Result<()> {
    let partial = image.with_extension("partial");
    let file = File::create(&partial).with_context(|| partial.display().to_string())?;
    file.set_len(size)?;
    let mut random = Random(size ^ writes);
    let mut page = [0; PAGE];
    for write in 0..writes {
        let number = random.next() % (size / PAGE as u64);
        fill(&mut page, number, write, &mut random);
        file.write_all_at(&page, number * PAGE as u64)?;
    }
    file.sync_all()?;
    Ok(fs::rename(&partial, image)?)
}

/// Its number and the number of the write, then rows: a key, two words and 16 random bytes each. A fifth of it stays
/// free, as databases leave it for later.
fn fill(page: &mut [u8; PAGE], number: u64, write: u64, random: &mut Random) {
    page.fill(0);
    page[..8].copy_from_slice(&number.to_le_bytes());
    page[8..16].copy_from_slice(&write.to_le_bytes());
    let mut at = 32;
    let mut put = |bytes: &[u8]| {
        page[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
        at < PAGE * 4 / 5
    };
    let mut key = number * 64;
    loop {
        let noise = random.next();
        key += 1 + noise % 3;
        let words = [WORDS[noise as usize >> 8 & 15], WORDS[noise as usize >> 16 & 15]];
        put(&key.to_le_bytes());
        put(words[0].as_bytes());
        put(b" ");
        put(words[1].as_bytes());
        put(&random.next().to_le_bytes());
        if !put(&random.next().to_le_bytes()) {
            break;
        }
    }
}

/// xorshift64*: the same sequence everywhere. Marsaglia, Xorshift RNGs, Journal of Statistical Software 8 (2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::comparison::sparse;

    #[test]
    fn it_is_sparse_and_the_same_each_time() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let images = ["a", "b"].map(|name| directory.path().join(name));
        for image in &images {
            make(image, 16 << 20, 200).expect("made");
        }
        sparse::same(&images[0], &images[1]).expect("the same");
        let used = sparse::used(&images[0]).expect("its data");
        // 200 pages of 2048, some of them twice.
        assert!((170 * PAGE as u64..=200 * PAGE as u64).contains(&used), "{used}");
    }

    #[test]
    fn each_page_has_its_number_and_rows() {
        let mut page = [0; PAGE];
        fill(&mut page, 5, 6, &mut Random(1));
        assert_eq!((page[0], page[8]), (5, 6));
        assert!(page[32..PAGE * 4 / 5].iter().filter(|byte| **byte == 0).count() < PAGE / 2);
        assert!(page[PAGE * 4 / 5 + 64..].iter().all(|byte| *byte == 0));
    }
}
