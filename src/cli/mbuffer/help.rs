//! `-h` and `-V`: the options with the defaults as they are set so far.

use super::options::{Key, OPTIONS, Opt};
use crate::buffer::geometry::Geometry;

/// The text of `-h`.
pub fn help(default: Geometry) -> String {
    let mut text = "usage: mbuffer [Options]\nOptions:\n".to_owned();
    for opt in OPTIONS {
        let note = match opt.key {
            Key::Blocks => format!(" (default: {})", default.blocks),
            Key::BlockSize => format!(" (default: {})", default.block),
            Key::Total => format!("(default: 2% = {}M)", default.total() >> 20),
            _ => String::new(),
        };
        text += &entry(opt, &note);
    }
    text + "Numbers may be followed by b, k, M, G or T; see lvpipe-buffer(1).\n"
}

/// Names and value before the colon, like mbuffer's own help; long names on lines of their own.
fn entry(opt: &Opt, note: &str) -> String {
    let (last, others) = opt.names.split_last().unwrap_or((&"", &[]));
    let mut text: String = others.iter().map(|name| format!("{name}\n")).collect();
    let names = match opt.value {
        Some(value) => format!("{last} <{value}>"),
        None => (*last).to_owned(),
    };
    text += &format!("{names:<11}: {}{note}\n", opt.help);
    text
}

/// The text of `-V`: the first line is what scripts look at for what is understood.
pub fn version() -> String {
    format!(
        "mbuffer version R20230301\nlvpipe {} in mbuffer's place\nLicense: MIT or Apache-2.0\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_option_and_the_defaults() {
        let text = help(Geometry { block: 4096, blocks: 120 });
        for name in OPTIONS.iter().flat_map(|opt| opt.names) {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name}");
        }
        assert!(text.contains("-b <num>   : use <num> blocks for buffer (default: 120)\n"), "{text}");
        assert!(text.contains("-s <size>  : use blocks of <size> bytes for processing (default: 4096)\n"));
    }
}
