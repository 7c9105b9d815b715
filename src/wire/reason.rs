//! A peer's words, made fit for a terminal.

/// The text with nothing in it that a terminal would obey, and no line that could be taken for one of this side's own:
/// what follows a line's end is indented, as the way out behind a message is.
pub(super) fn plain(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for (number, line) in String::from_utf8_lossy(bytes).lines().enumerate() {
        if number > 0 {
            text.push_str("\n  ");
        }
        // A way out is indented already.
        let line = if number > 0 { line.trim_start() } else { line };
        line.chars().for_each(|c| if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_forge_a_line_or_command_the_terminal() {
        assert_eq!(plain(b"cannot open: x: no\n  umount x"), "cannot open: x: no\n  umount x");
        assert_eq!(plain(b"a\x1b[2J\x07\nlvpipe: done\r\n"), "a\\u{1b}[2J\\u{7}\n  lvpipe: done");
    }
}
