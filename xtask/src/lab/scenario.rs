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

fn seconds(script: &str) -> u64 {
    script.lines().find_map(|line| line.strip_prefix("# seconds:")?.trim().parse().ok()).unwrap_or(SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

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
