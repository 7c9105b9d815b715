//! Contenders in turn, on equal terms.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::pipeline::{Measured, Pipeline};

/// One way to do it.
pub struct Contender<'a> {
    name: String,
    /// Does it once, and says what it took.
    run: Box<dyn Fn() -> Result<Measured> + 'a>,
    /// Removed before each run: replacing a file and making one do not take the same time.
    outputs: Vec<PathBuf>,
}

impl<'a> Contender<'a> {
    /// `outputs` are the files that the pipeline makes.
    pub fn new(name: &str, pipeline: Pipeline, outputs: &[&Path]) -> Self {
        Contender::measured_by(name, move || pipeline.run(), outputs)
    }

    /// What is no pipeline measures itself.
    pub fn measured_by(name: &str, run: impl Fn() -> Result<Measured> + 'a, outputs: &[&Path]) -> Self {
        let outputs = outputs.iter().map(|path| path.to_path_buf()).collect();
        Contender { name: name.into(), run: Box::new(run), outputs }
    }

    fn remove_outputs(&self) -> Result<()> {
        for output in &self.outputs {
            match fs::remove_file(output) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| output.display().to_string());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// All runs of one contender.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    runs: Vec<Measured>,
}

impl Outcome {
    /// The median of the times: with an even number of runs, the mean of the two in the middle.
    pub fn median(&self) -> Duration {
        median(self.runs.iter().map(|run| run.time).collect())
    }

    /// The median of the processor time of one of the pipeline's commands.
    pub fn processor(&self, command: usize) -> Duration {
        median(self.runs.iter().filter_map(|run| run.processor.get(command)).copied().collect())
    }

    /// The shortest and the longest time.
    pub fn range(&self) -> (Duration, Duration) {
        let times = || self.runs.iter().map(|run| run.time);
        (times().min().unwrap_or_default(), times().max().unwrap_or_default())
    }

    /// Peak memory of one of the pipeline's commands over all runs, in bytes.
    pub fn peak(&self, command: usize) -> u64 {
        self.runs.iter().filter_map(|run| run.peaks.get(command)).copied().max().unwrap_or(0)
    }
}

/// With an even number of times, the mean of the two in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    match times.len() {
        0 => Duration::ZERO,
        len if len % 2 == 1 => times[len / 2],
        len => (times[len / 2 - 1] + times[len / 2]) / 2,
    }
}

/// Runs all contenders `runs` times, in turn, each round in the other order. Before each run the outputs are gone,
/// nothing waits to be written, and `prepare` has been called. `check` is called once all outputs are there, after
/// the first round.
pub fn race(
    contenders: &[Contender<'_>],
    runs: u32,
    prepare: &dyn Fn() -> Result<()>,
    check: &dyn Fn() -> Result<()>,
) -> Result<Vec<Outcome>> {
    let mut outcomes = vec![Outcome::default(); contenders.len()];
    for round in 0..runs {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let contender = &contenders[index];
            contender.remove_outputs()?;
            nix::unistd::sync();
            prepare()?;
            let measured = (contender.run)().with_context(|| contender.name.clone())?;
            eprintln!("{:24} {:8.3} s", contender.name, measured.time.as_secs_f64());
            outcomes[index].runs.push(measured);
        }
        if round == 0 {
            check()?;
        }
    }
    contenders.iter().try_for_each(Contender::remove_outputs)?;
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn outcome(times: &[u64]) -> Outcome {
        let run =
            |ms: &u64| Measured { time: Duration::from_millis(*ms), peaks: vec![1, *ms], ..Measured::default() };
        Outcome { runs: times.iter().map(run).collect() }
    }

    #[test]
    fn medians_do_not_follow_outliers() {
        assert_eq!(outcome(&[900, 1, 3]).median(), Duration::from_millis(3));
        assert_eq!(outcome(&[900, 1, 3, 5]).median(), Duration::from_millis(4));
        assert_eq!(outcome(&[]).median(), Duration::ZERO);
        assert_eq!((outcome(&[2, 7]).peak(1), outcome(&[2, 7]).peak(9)), (7, 0));
    }

    #[test]
    fn each_round_runs_in_the_other_order_and_starts_clean() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let (log, output) = (directory.path().join("log"), directory.path().join("output"));
        let contender = |name: &str| {
            // Fails if the output is still there.
            let script = format!("echo {name} >> {}; set -C; : > {}", log.display(), output.display());
            Contender::new(name, Pipeline::new(&[&"sh", &"-ec", &script]), &[&output])
        };
        let checked = RefCell::new(0);
        let check = || {
            *checked.borrow_mut() += 1;
            Ok(())
        };
        race(&[contender("a"), contender("b")], 3, &|| Ok(()), &check).expect("they run");
        assert_eq!(fs::read_to_string(&log).expect("a log"), "a\nb\nb\na\na\nb\n");
        assert_eq!((*checked.borrow(), output.exists()), (1, false));
    }
}
