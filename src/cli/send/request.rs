//! What is asked for: source, receivers, and whether an earlier transfer is gone on with.

use std::ffi::OsString;

use super::Send;
use crate::error::{Error, Result};
use crate::journal::Token;
use crate::link::ssh::SshUrl;

/// The words of the command line, each in its place.
pub(super) struct Request {
    pub(super) source: OsString,
    pub(super) destinations: Vec<SshUrl>,
    pub(super) resumption: Resumption,
}

/// Whether, and from where on.
pub(super) enum Resumption {
    /// All is sent.
    Anew,
    /// The receivers tell what they have.
    FromReceivers,
    /// A pipe tells nothing: what the receiver has was brought here by hand.
    FromToken(Box<Token>),
}

impl Resumption {
    /// Whether an earlier transfer is gone on with.
    pub(super) fn is_wanted(&self) -> bool {
        !matches!(self, Resumption::Anew)
    }

    /// Whether what the other side has can be known.
    ///
    /// # Errors
    /// A usage error.
    pub(super) fn check(&self, over_links: bool) -> Result<()> {
        match (self, over_links) {
            (Resumption::FromReceivers, false) => {
                Err(Error::usage("cannot go on", "--resume", "a pipe does not tell what the receiver has").way_out(
                    "give it the TOKEN that `lvpipe recv --resume-token TARGET` prints on the receiving side",
                ))
            }
            (Resumption::FromToken(_), true) => {
                Err(Error::usage("cannot go on", "--resume", "over links the receiver tells what it has")
                    .way_out("leave the token away"))
            }
            _ => Ok(()),
        }
    }
}

impl Send {
    /// Puts the words in their places: `--resume` takes the next word, which is the source if it is no token.
    pub(super) fn request(&self) -> Result<Request> {
        let mut words: Vec<OsString> = self.source.iter().chain(&self.destinations).cloned().collect();
        let resumption = match &self.resume {
            None => Resumption::Anew,
            Some(None) => Resumption::FromReceivers,
            Some(Some(word)) => match word.to_str().filter(|word| word.starts_with("lvr1-")) {
                Some(token) => {
                    let token =
                        token.parse().map_err(|why: String| Error::usage("cannot go on", "--resume", why))?;
                    Resumption::FromToken(Box::new(token))
                }
                None => {
                    words.insert(0, word.clone());
                    Resumption::FromReceivers
                }
            },
        };
        if let (true, Resumption::FromToken(token)) = (words.is_empty(), &resumption) {
            words.extend(token.lineage.source.clone().map(OsString::from));
        }
        let mut words = words.into_iter();
        let source = words.next().ok_or_else(|| {
            Error::usage("nothing to send", "SOURCE", "is not given")
                .way_out("lvpipe send vg/lv, or a device, a file, -")
        })?;
        let destinations = words.map(|word| {
            let word = word.to_string_lossy();
            word.parse().map_err(|why| Error::usage("cannot send to", &word, why as String))
        });
        Ok(Request { source, destinations: destinations.collect::<Result<_>>()?, resumption })
    }
}
