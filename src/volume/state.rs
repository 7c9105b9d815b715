//! The name of what a volume holds, by which a delta finds its base.
//!
//! A snapshot that nobody has written to is one state of a volume, wherever a copy of it is: the LV's UUID, a colon,
//! and how many chunks it had mapped. The sender puts it into the stream's lineage, the receiver keeps it with the
//! target, so it comes from strangers: it is checked before it is believed, and is short enough for one of LVM's tags.

use std::fmt;
use std::str::FromStr;

/// The most bytes of a state's name.
const LONGEST: usize = 100;

/// One state of a volume. Letters, digits, dashes and colons.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct State(String);

impl State {
    /// The UUID of the LV whose state it is, or was.
    pub fn volume(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(volume, _)| volume)
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-".contains(&byte);
        if text.is_empty() || text.len() > LONGEST || !text.bytes().all(allowed) {
            return Err(format!("\"{}\" is no name of a volume's state", text.escape_default()));
        }
        Ok(State(text.into()))
    }
}

impl TryFrom<String> for State {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<State> for String {
    fn from(state: State) -> String {
        state.0
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_what_a_tag_can_hold() {
        let text = "ngZuTG-wV9e-Sh2v-eiJP-lHtp-puET-dwqbPT:1600";
        let state = text.parse::<State>().expect("a state");
        assert_eq!((state.to_string().as_str(), state.volume()), (text, &text[..38]));
        for text in ["", "a b", "a/b", "a,b", "\u{e4}", &"x".repeat(101)] {
            assert!(text.parse::<State>().is_err(), "{text}");
        }
    }
}
