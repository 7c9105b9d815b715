//! One boot of the machine and the scenarios that it runs, as its console tells them.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::console::{Line, Verdict};
use super::machine::{Machine, Silence};
use super::scenario::Scenario;

/// How long booting may take, and cleaning up after a scenario, before the machine counts as hung.
const GRACE: Duration = Duration::from_secs(60);
/// How many of a console's last lines a message shows.
const TAIL: usize = 40;

/// How a scenario went.
pub struct Outcome {
    pub name: String,
    pub verdict: Verdict,
    pub took: Duration,
    /// All that it printed.
    pub log: Vec<String>,
}

/// What is told while a boot is followed.
pub trait Audience {
    /// The machine is up, after so long.
    fn ready(&self, after: Duration);
    /// A scenario starts.
    fn begins(&self, name: &str);
    /// A line of a scenario's output.
    fn line(&self, text: &str);
    /// A scenario has ended.
    fn ended(&self, outcome: Outcome);
}

/// Follows the machine until all `planned` scenarios have run or it is of no more use; how many have ended.
/// A scenario that takes the machine down or hangs it has failed, and those after it need another boot.
pub fn follow(machine: &Machine, planned: &[Scenario], audience: &dyn Audience) -> Result<usize> {
    wait_until_ready(machine, audience)?;
    for (ended, scenario) in planned.iter().enumerate() {
        let mut run = Run { scenario, began: Instant::now(), log: Vec::new() };
        audience.begins(&scenario.name);
        let deadline = run.began + Duration::from_secs(scenario.seconds) + GRACE;
        let (verdict, usable) = run.until_clean(machine, deadline, audience);
        audience.ended(Outcome { name: scenario.name.clone(), verdict, took: run.began.elapsed(), log: run.log });
        if !usable {
            return Ok(ended + 1);
        }
    }
    Ok(planned.len())
}

fn wait_until_ready(machine: &Machine, audience: &dyn Audience) -> Result<()> {
    let began = Instant::now();
    let mut seen = Vec::new();
    loop {
        match machine.line((began + GRACE).saturating_duration_since(Instant::now())) {
            Ok(Line::Ready) => {
                audience.ready(began.elapsed());
                return Ok(());
            }
            Ok(Line::Text(text)) => seen.push(text),
            Ok(_) => {}
            Err(why) => {
                let tail = &seen[seen.len().saturating_sub(TAIL)..];
                bail!("the lab's machine did not come up ({why:?}); its last words:\n{}", tail.join("\n"));
            }
        }
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    began: Instant,
    log: Vec<String>,
}

impl Run<'_> {
    /// The scenario's verdict, and whether the machine can run another one.
    fn until_clean(&mut self, machine: &Machine, deadline: Instant, audience: &dyn Audience) -> (Verdict, bool) {
        let mut verdict = None;
        loop {
            match machine.line(deadline.saturating_duration_since(Instant::now())) {
                Ok(Line::Text(text)) => {
                    audience.line(&text);
                    self.log.push(text);
                }
                Ok(Line::End(name, how)) if name == self.scenario.name => verdict = Some(how),
                Ok(Line::Clean) if verdict.is_some() => {
                    return (verdict.unwrap_or_else(|| Verdict::Failed("no verdict".into())), true);
                }
                Ok(_) => {}
                // A machine that goes down after a verdict could not be cleaned: that is said by its init.
                Err(Silence::Off) => return (verdict.unwrap_or(failed("the machine went down")), false),
                Err(Silence::TimeOut) => return (failed("the machine hung"), false),
            }
        }
    }
}

fn failed(why: &str) -> Verdict {
    Verdict::Failed(why.into())
}
