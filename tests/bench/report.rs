//! A benchmark as the tests run it, and its report.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{Ran, lvpipe, run};

/// What the report in JSON says.
pub struct Report(pub Value);

/// `lvpipe bench --json ARGS` for a second.
pub fn bench<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    bench_for(1, args)
}

/// The same for so many seconds; with little memory, so that little is compressed.
pub fn bench_for<S: AsRef<OsStr>>(seconds: u32, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = lvpipe(["bench", "-m", "24M", "--json", "--time", &seconds.to_string()]);
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs it; it ends well, and says what it says in JSON.
#[track_caller]
pub fn report(command: &mut Command) -> Report {
    let ran = run(command).expect_ok();
    parsed(&ran)
}

#[track_caller]
pub fn parsed(ran: &Ran) -> Report {
    Report(serde_json::from_slice(&ran.stdout).unwrap_or_else(|e| panic!("{e}:\n{ran}")))
}

impl Report {
    /// The number there: a JSON pointer.
    #[track_caller]
    pub fn number(&self, pointer: &str) -> f64 {
        let found = self.0.pointer(pointer).and_then(Value::as_f64);
        found.unwrap_or_else(|| panic!("no number at {pointer}: {:#}", self.0))
    }

    /// The text there.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> &str {
        let found = self.0.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text at {pointer}: {:#}", self.0))
    }

    /// The list there.
    #[track_caller]
    pub fn list(&self, pointer: &str) -> &[Value] {
        let found = self.0.pointer(pointer).and_then(Value::as_array);
        found.unwrap_or_else(|| panic!("no list at {pointer}: {:#}", self.0))
    }

    /// In every estimate the bottleneck is the slowest of its stages, and the time and what goes over the link follow
    /// from the figures.
    #[track_caller]
    pub fn assert_consistent(&self) {
        let estimates = self.list("/estimates");
        let is_empty = self.0.pointer("/volume/used").is_some_and(|used| used == 0);
        assert_eq!(estimates.is_empty(), is_empty, "{:#}", self.0);
        for (number, estimate) in estimates.iter().enumerate() {
            let at = |field: &str| self.number(&format!("/estimates/{number}/{field}"));
            let stages: Vec<(&str, f64)> = self
                .list(&format!("/estimates/{number}/stages"))
                .iter()
                .map(|stage| (stage["name"].as_str().expect("a name"), stage["rate"].as_f64().expect("a rate")))
                .collect();
            let slowest =
                stages.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).expect("the processors at least");
            assert_eq!((estimate["bottleneck"].as_str(), at("rate")), (Some(slowest.0), slowest.1), "{estimate:#}");
            let seconds = at("used") / at("rate");
            assert!((at("seconds") - seconds).abs() <= seconds * 1e-9, "{estimate:#}");
            let level = self.level(&estimate["level"]);
            assert_eq!(at("remains"), level["remains"].as_f64().expect("a share"), "{estimate:#}");
            assert!((at("wire") - at("used") * at("remains")).abs() <= 1.0, "{estimate:#}");
            if let Some(source) = stages.iter().find(|stage| stage.0 == "source") {
                assert_eq!(source.1, self.number("/source/rate"));
            }
            if let Some(target) = stages.iter().find(|stage| stage.0 == "target") {
                assert_eq!(target.1, self.number("/target/written/rate"));
            }
            // Processors read and carry, too: they are never faster than encoding alone.
            let processors = stages.iter().find(|stage| stage.0 == "processors").expect("always there");
            assert!(processors.1 <= level["encode"].as_f64().expect("a rate") * 1.000_001, "{estimate:#}");
        }
    }

    /// This machine's figures at a level.
    #[track_caller]
    pub fn level(&self, level: &Value) -> &Value {
        let levels = self.list("/here/levels");
        levels.iter().find(|at| &at["level"] == level).unwrap_or_else(|| panic!("no level {level}: {levels:#?}"))
    }
}
