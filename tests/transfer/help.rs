//! What the help shows can be typed: every lvpipe in every example parses.

use std::ffi::OsString;

use lvpipe::cli::{Grammar, command, grammar, mbuffer};

use crate::process::{lvpipe, run};

/// The lvpipe commands in a line of examples: pipelines, redirections, quotes, a remark behind two blanks.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line.trim().split("  ").next().unwrap_or_default();
    // Quoted text is another command line, or else one word.
    let line: Vec<_> = line.split('\'').collect();
    let line: Vec<_> = line
        .iter()
        .enumerate()
        .map(|(n, text)| {
            if n % 2 == 1 && !text.contains("lvpipe ") {
                "QUOTED".into()
            } else if n % 2 == 1 {
                format!("|{text}|")
            } else {
                text.to_string()
            }
        })
        .collect();
    let line = line.concat();
    let pieces = line.split('|');
    let commands = pieces.filter_map(|piece| Some(&piece[piece.find("lvpipe ")?..]));
    commands
        .map(|command| {
            command.split(['<', '>']).next().unwrap_or_default().split_whitespace().map(String::from).collect()
        })
        .collect()
}

fn examples(args: &[&str]) -> Vec<String> {
    let help = String::from_utf8(run(&mut lvpipe(args)).expect_ok().stdout).expect("text");
    let (_, examples) =
        help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("no examples in {args:?}: {help}"));
    examples.lines().take_while(|line| line.starts_with("  ")).map(String::from).collect()
}

#[test]
fn every_example_parses() {
    let tasks: Vec<String> = command()
        .get_subcommands()
        .filter(|task| !task.is_hide_set())
        .map(|task| task.get_name().to_string())
        .collect();
    assert!(tasks.contains(&"send".into()) && tasks.contains(&"recv".into()), "{tasks:?}");
    // mbuffer's help is mbuffer's: without examples, and on stderr.
    let of_tasks = tasks.iter().filter(|task| *task != "buffer").flat_map(|task| examples(&[task, "--help"]));
    for line in of_tasks.chain(examples(&["--help"])) {
        let found = commands(&line);
        // What reads from lvpipe's server need not be lvpipe.
        if line.trim_start().starts_with("curl ") {
            continue;
        }
        assert!(!found.is_empty(), "no lvpipe in {line:?}");
        for words in found {
            // What stands for the fingerprint of a certificate.
            let words: Vec<String> = words
                .iter()
                .map(|word| word.replace("sha256:...", &format!("sha256:{}", "0".repeat(64))))
                .collect();
            let first = words.get(1).map(OsString::from);
            if grammar("lvpipe".as_ref(), first.as_ref()) != Grammar::Own {
                let step =
                    mbuffer::grammar::Grammar::new(words[1..].iter().map(OsString::from)).find(Result::is_err);
                assert_eq!(step, None, "{line:?}");
                continue;
            }
            if let Err(error) = command().try_get_matches_from(&words) {
                panic!("{line:?}: {words:?}: {error}");
            }
        }
    }
}

#[test]
fn examples_are_taken_apart() {
    let found = commands("  lvpipe send vg/a | ssh host 'lvpipe recv - | zfs recv t/a' > x    a remark | lvpipe x");
    assert_eq!(found, [vec!["lvpipe", "send", "vg/a"], vec!["lvpipe", "recv", "-"]]);
    assert_eq!(commands("lvpipe send - --exec 'tar x -C /'"), [["lvpipe", "send", "-", "--exec", "QUOTED"]]);
}
