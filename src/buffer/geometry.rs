//! How large a block is and how many there are, from `-s`, `-b` and `-m` or from the machine's memory.
//!
//! Pure arithmetic, mbuffer's own: the same options give the same buffer.

use super::Fatal;

/// mbuffer counts blocks in semaphores; so do its users' scripts, in effect.
const MOST_BLOCKS: u64 = i32::MAX as u64;
const FEWEST_BLOCKS: u64 = 5;

/// What was asked for; `None` where nothing was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `-s`, bytes.
    pub block: Option<u64>,
    /// `-b`.
    pub blocks: Option<u64>,
    /// `-m`, bytes.
    pub total: Option<u64>,
}

/// The buffer: `blocks` blocks of `block` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes in a block, at least 1.
    pub block: u64,
    /// Blocks in the buffer, at least 5.
    pub blocks: u64,
}

/// The machine's memory, as far as the defaults and the warnings need it.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Bytes in a page.
    pub page: u64,
    /// Pages of physical memory.
    pub pages: u64,
    /// Pages that are free now.
    pub free_pages: u64,
}

impl Machine {
    /// This machine, by `sysconf`. What cannot be found out counts as 4 KiB pages and 1 GiB of memory.
    pub fn this() -> Self {
        use nix::unistd::{SysconfVar, sysconf};
        let ask = |what, otherwise| {
            sysconf(what).ok().flatten().and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(otherwise)
        };
        Machine {
            page: ask(SysconfVar::PAGE_SIZE, 4096),
            pages: ask(SysconfVar::_PHYS_PAGES, 1 << 18),
            free_pages: ask(SysconfVar::_AVPHYS_PAGES, 1 << 18),
        }
    }

    /// Bytes that are so many percent of the memory.
    pub fn percent(&self, percent: u8) -> u64 {
        (u128::from(self.page) * u128::from(self.pages) * u128::from(percent) / 100) as u64
    }

    /// The buffer when nothing is asked for: 2 % of the memory in at most 200 blocks.
    fn default_geometry(&self) -> Geometry {
        let mut geometry = Geometry { block: self.page, blocks: (self.pages / 50).max(FEWEST_BLOCKS) };
        while geometry.blocks > 200 {
            geometry.blocks /= 2;
            geometry.block *= 2;
        }
        geometry
    }
}

impl Geometry {
    /// The buffer for what was asked, or mbuffer's reason why there is none.
    pub fn choose(wanted: Wanted, machine: &Machine) -> Result<Self, Fatal> {
        let default = machine.default_geometry();
        let geometry = match (wanted.block, wanted.blocks, wanted.total) {
            (block, blocks, None) => {
                Geometry { block: block.unwrap_or(default.block), blocks: blocks.unwrap_or(default.blocks) }
            }
            (Some(block), None, Some(total)) => Geometry { block, blocks: total / block.max(1) },
            (None, Some(blocks), Some(total)) => Geometry { block: total / blocks.max(1), blocks },
            (None, None, Some(total)) => Self::of_total(total, machine.page),
            (Some(block), Some(blocks), Some(total)) => {
                if block.checked_mul(blocks) != Some(total) {
                    return Err(Fatal::new("inconsistent options: blocksize * number of blocks != totalsize!"));
                }
                Geometry { block, blocks }
            }
        };
        geometry.check()
    }

    /// Pages, doubled until there are at most 1024 of them.
    fn of_total(total: u64, page: u64) -> Self {
        let mut block = if total / page < FEWEST_BLOCKS { total / 8 } else { page };
        while block > 0 && total / block > 1024 {
            block *= 2;
        }
        Geometry { block, blocks: total.checked_div(block).unwrap_or(0) }
    }

    fn check(self) -> Result<Self, Fatal> {
        if self.blocks < FEWEST_BLOCKS || self.block == 0 {
            return Err(Fatal::new("Number of blocks must be at least 5."));
        }
        if self.blocks > MOST_BLOCKS {
            return Err(Fatal::new(format!(
                "cannot allocate more than {MOST_BLOCKS} blocks.\nThis is a system dependent limit, depending on \
                 the maximum semaphore value.\nPlease choose a bigger block size."
            )));
        }
        Ok(self)
    }

    /// Bytes in the whole buffer; more than any machine has if it does not fit a number.
    pub fn total(&self) -> u64 {
        self.block.saturating_mul(self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The machine of the behaviour page: 24 GB.
    const MACHINE: Machine = Machine { page: 4096, pages: 6_171_023, free_pages: 6_000_000 };

    fn choose(block: Option<u64>, blocks: Option<u64>, total: Option<u64>) -> Result<(u64, u64), String> {
        let wanted = Wanted { block, blocks, total };
        Geometry::choose(wanted, &MACHINE).map(|g| (g.blocks, g.block)).map_err(|fatal| fatal.to_string())
    }

    #[test]
    fn geometry_is_mbuffers() {
        const K: u64 = 1 << 10;
        const M: u64 = 1 << 20;
        let percent = MACHINE.percent(25);
        let rows = [
            ((None, None, None), (120, 4 * M)),
            ((Some(M), None, None), (120, M)),
            ((None, Some(10), None), (10, 4 * M)),
            ((Some(128 * K), None, Some(16 * M)), (128, 128 * K)),
            ((Some(128 * K), None, Some(1000 * K)), (7, 128 * K)),
            ((None, None, Some(M)), (256, 4 * K)),
            ((None, None, Some(16 * M)), (1024, 16 * K)),
            ((None, None, Some(100 * M)), (800, 128 * K)),
            ((None, None, Some(1 << 30)), (1024, M)),
            ((None, None, Some(10 * K)), (8, 1280)),
            ((None, None, Some(percent)), (753, 8 * M)),
            ((None, Some(7), Some(16 * M)), (7, 2_396_745)),
            ((Some(64 * K), Some(20), Some(1280 * K)), (20, 64 * K)),
        ];
        for ((block, blocks, total), expected) in rows {
            assert_eq!(choose(block, blocks, total), Ok(expected), "{block:?} {blocks:?} {total:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wanted in [(Some(4 << 20), None, Some(16 << 20)), (None, Some(4), None), (None, Some(0), Some(1 << 24))]
        {
            let message = choose(wanted.0, wanted.1, wanted.2);
            assert_eq!(message, Err("Number of blocks must be at least 5.".into()), "{wanted:?}");
        }
        assert!(choose(Some(1), Some(5), Some(6)).is_err_and(|text| text.starts_with("inconsistent")));
        assert!(choose(None, Some(1 << 40), None).is_err_and(|text| text.starts_with("cannot allocate more")));
        assert!(choose(None, None, Some(1)).is_err());
    }
}
