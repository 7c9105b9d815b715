//! How fast one side may go now: a fixed limit, or one that follows the fill of the buffer.

use super::ring::Ring;

/// The limit of one side, bytes a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// `-r` or `-R`.
    pub most: u64,
    /// `-M`: the limit moves between this and `most`.
    pub slope: Option<Slope>,
}

/// How a limit follows the fill of the buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// The lowest rate, bytes a second.
    pub least: u64,
    /// Below this fill, in percent, the limit does not move.
    pub low: f64,
    /// Above this fill, in percent, it does not move either.
    pub high: f64,
    /// Output: faster as the buffer fills. Input: slower.
    pub rising: bool,
}

impl Rate {
    /// The limit now, bytes a second.
    pub fn now(&self, ring: &Ring) -> u64 {
        match &self.slope {
            None => self.most,
            Some(slope) => slope.at(self.most, ring.fill().bytes as f64 * 100.0 / ring.capacity() as f64),
        }
    }
}

impl Slope {
    fn at(&self, most: u64, percent: f64) -> u64 {
        let width = (self.high - self.low).max(f64::EPSILON);
        let share = ((percent - self.low) / width).clamp(0.0, 1.0);
        let share = if self.rising { share } else { 1.0 - share };
        let least = self.least.min(most);
        least + ((most - least) as f64 * share) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_speeds_up_and_input_slows_down_between_the_marks() {
        let rising = Slope { least: 100, low: 20.0, high: 80.0, rising: true };
        let falling = Slope { rising: false, ..rising };
        for (percent, out, into) in
            [(0.0, 100, 1000), (20.0, 100, 1000), (50.0, 550, 550), (80.0, 1000, 100), (100.0, 1000, 100)]
        {
            assert_eq!(rising.at(1000, percent), out, "{percent}");
            assert_eq!(falling.at(1000, percent), into, "{percent}");
        }
    }

    #[test]
    fn a_least_above_the_most_is_the_most() {
        assert_eq!(Slope { least: 9, low: 0.0, high: 100.0, rising: true }.at(5, 50.0), 5);
    }
}
