//! A scenario: a shell script tests/lab/scenarios/NN-name.sh that proves one thing with the real thing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// How long a scenario may take when it does not say so itself with a line `# seconds: N`.
const SECONDS: u64 = 60;

/// A scenario to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// `NN-name`: the file's name without `.sh`.
    pub name: String,
    /// How long it may take, in seconds.
    pub seconds: u64,
}

/// The scenarios in `directory` whose names contain one of `wanted`, in order of name; all when nothing is wanted.
pub fn select(directory: &Path, wanted: &[String]) -> Result<Vec<Scenario>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let file = entry?.path();
        let Some(name) = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".sh")) else { continue };
        all.push(Scenario { name: name.into(), seconds: seconds(&fs::read_to_string(&file)?) });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(unknown) = wanted.iter().find(|wanted| !all.iter().any(|scenario| scenario.name.contains(*wanted)))
    {
        let names: Vec<_> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        bail!("no scenario is named {unknown}; there are: {}", names.join(", "));
    }
    all.retain(|scenario| wanted.is_empty() || wanted.iter().any(|wanted| scenario.name.contains(wanted)));
    Ok(all)
}

/// Shares for so many machines, of about the same time if each scenario takes what it may; in each, the order is kept.
pub fn share_out(mut scenarios: Vec<Scenario>, machines: usize) -> Vec<Vec<Scenario>> {
    let mut shares = vec![Vec::new(); machines.min(scenarios.len()).max(1)];
    let seconds = |share: &Vec<Scenario>| share.iter().map(|scenario: &Scenario| scenario.seconds).sum::<u64>();
    scenarios.sort_by_key(|scenario| std::cmp::Reverse(scenario.seconds));
    for scenario in scenarios {
        // There is at least one.
        if let Some(share) = shares.iter_mut().min_by_key(|share| seconds(share)) {
            share.push(scenario);
        }
    }
    shares.iter_mut().for_each(|share| share.sort_by(|a, b| a.name.cmp(&b.name)));
    shares
}

fn seconds(script: &str) -> u64 {
    script.lines().find_map(|line| line.strip_prefix("# seconds:")?.trim().parse().ok()).unwrap_or(SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_get_about_as_much_to_do() {
        let scenario = |name: &str, seconds| Scenario { name: name.into(), seconds };
        let all = vec![scenario("00", 60), scenario("10", 60), scenario("20", 240), scenario("30", 120)];
        let names = |machines| {
            let shares = share_out(all.clone(), machines);
            shares.into_iter().map(|share| share.into_iter().map(|s| s.name).collect()).collect::<Vec<Vec<_>>>()
        };
        assert_eq!(names(2), [vec!["20"], vec!["00", "10", "30"]]);
        assert_eq!(names(1), [vec!["00", "10", "20", "30"]]);
        assert_eq!(names(9).len(), 4, "no more than there is to do");
        assert_eq!(share_out(Vec::new(), 2).len(), 1);
    }

    #[test]
    fn scenarios_are_chosen_by_a_piece_of_their_name() {
        let directory = std::env::temp_dir().join(format!("lvpipe-scenarios-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("made");
        fs::write(directory.join("20-b.sh"), "#!/bin/sh\n# seconds: 7\n").expect("written");
        fs::write(directory.join("10-a.sh"), "true\n").expect("written");
        let names = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|text| text.to_string()).collect();
            select(&directory, &wanted).map(|all| all.into_iter().map(|s| (s.name, s.seconds)).collect::<Vec<_>>())
        };
        let (a, b) = (("10-a".to_string(), SECONDS), ("20-b".to_string(), 7));
        assert_eq!(names(&[]).expect("all"), [a, b.clone()]);
        assert_eq!(names(&["b"]).expect("one"), [b]);
        assert!(names(&["c"]).expect_err("none").to_string().contains("10-a, 20-b"));
        fs::remove_dir_all(directory).expect("removed");
    }
}
