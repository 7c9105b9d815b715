//! What the lab's machine says on its serial console, line by line. Lines that begin with `@lab` are its init's
//! (tests/lab/init.sh writes them); all others are output of the scenario that runs.

/// One line of the console.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// `@lab ready`: the machine is up.
    Ready,
    /// `@lab begin NAME`: this scenario starts.
    Begin(String),
    /// `@lab end NAME STATUS`: it ended so.
    End(String, Verdict),
    /// `@lab clean`: what it left is removed; the next one may start.
    Clean,
    /// `@lab done`: all have run.
    Done,
    /// Anything else.
    Text(String),
}

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything it claims held.
    Ok,
    /// It did not, or could not tell: the reason in a few words.
    Failed(String),
}

impl Line {
    /// Reads a line as it came, with or without its end.
    pub fn parse(bytes: &[u8]) -> Line {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches(['\r', '\n']);
        // Something that was printed without a line end may stand before the marker.
        let Some((_, marked)) = text.split_once("@lab ") else { return Line::Text(text.into()) };
        match *marked.split_whitespace().collect::<Vec<_>>() {
            ["ready"] => Line::Ready,
            ["begin", name] => Line::Begin(name.into()),
            ["end", name, status] => Line::End(name.into(), Verdict::of_status(status)),
            ["clean"] => Line::Clean,
            ["done"] => Line::Done,
            _ => Line::Text(text.into()),
        }
    }
}

impl Verdict {
    /// By the exit status of its shell; timeout(1) makes it 124, or 137 where it had to kill.
    fn of_status(status: &str) -> Verdict {
        match status {
            "0" => Verdict::Ok,
            "124" | "137" => Verdict::Failed("it did not end in time".into()),
            other => Verdict::Failed(format!("exit status {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_lines_are_told_from_output() {
        let rows = [
            ("@lab ready\r\n", Line::Ready),
            ("@lab begin 10-smoke\r\n", Line::Begin("10-smoke".into())),
            ("no line end@lab end 10-smoke 0\n", Line::End("10-smoke".into(), Verdict::Ok)),
            ("@lab clean", Line::Clean),
            ("@lab done", Line::Done),
            ("@lab what", Line::Text("@lab what".into())),
            ("a line\r\n", Line::Text("a line".into())),
        ];
        for (text, line) in rows {
            assert_eq!(Line::parse(text.as_bytes()), line, "{text}");
        }
        for status in ["1", "124", "137", "x"] {
            let Line::End(_, verdict) = Line::parse(format!("@lab end a {status}").as_bytes()) else { panic!() };
            assert!(matches!(verdict, Verdict::Failed(_)), "{status}");
        }
    }
}
