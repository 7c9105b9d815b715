//! mbuffer's options as data: names, value, one line for `-h`, a paragraph for the manual.
//!
//! The parser, the help, the manual page lvpipe-buffer(1) and the words for completion all come from [`OPTIONS`].

mod table;

pub use table::OPTIONS;

/// Which option it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Each is described by its row in `OPTIONS`.
pub enum Key {
    Blocks,
    BlockSize,
    Total,
    Lock,
    DeviceBlocks,
    VolumeSize,
    StartWriting,
    StartReading,
    Input,
    Output,
    Append,
    Truncate,
    Listen,
    Connect,
    Volumes,
    TempFile,
    BufferFile,
    LogFile,
    Pause,
    ReadRate,
    WriteRate,
    LeastRate,
    Overwrite,
    AutoloadTime,
    AutoloadCommand,
    Verbose,
    Quiet,
    QuietLog,
    Sync,
    EndOnError,
    Pid,
    Watchdog,
    Ipv4,
    Ipv6,
    AnyIp,
    NoDirect,
    TcpBuffer,
    TcpTimeout,
    TapeAware,
    Direct,
    Md5,
    Hash,
    Progress,
    Version,
    Help,
}

/// One option.
#[derive(Debug)]
pub struct Opt {
    /// Which it is.
    pub key: Key,
    /// `-x` takes its value attached or as the next argument; `--xyz` only as the next argument.
    pub names: &'static [&'static str],
    /// What the value is called, if it takes one.
    pub value: Option<&'static str>,
    /// The rest of its line in `-h`.
    pub help: &'static str,
    /// Its paragraph in the manual.
    pub man: &'static str,
}

/// The subcommand `buffer` as clap sees it: for lvpipe's help and for completion. It never parses: mbuffer's grammar
/// is [`super::grammar`].
pub fn command() -> clap::Command {
    let command = clap::Command::new("buffer")
        .about("Buffer a stream in memory, in mbuffer's place, with mbuffer's options")
        .disable_help_flag(true)
        .disable_version_flag(true);
    OPTIONS.iter().fold(command, |command, opt| command.arg(arg(opt)))
}

fn arg(opt: &'static Opt) -> clap::Arg {
    let arg = clap::Arg::new(opt.names[0]).help(opt.help.trim_end());
    let arg = match opt.value {
        Some(value) => arg.value_name(value).action(clap::ArgAction::Append),
        None => arg.action(clap::ArgAction::Count),
    };
    opt.names.iter().fold(arg, |arg, name| match name.strip_prefix("--") {
        Some(long) => arg.long(long),
        None => arg.short(name.chars().nth(1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_short_ones_have_two_bytes() {
        let mut seen = HashSet::new();
        for name in OPTIONS.iter().flat_map(|opt| opt.names) {
            assert!(seen.insert(name), "{name} twice");
            assert!(name.starts_with("--") && name.len() > 3 || name.len() == 2, "{name}");
        }
        let keys: HashSet<Key> = OPTIONS.iter().map(|opt| opt.key).collect();
        assert_eq!(keys.len(), OPTIONS.len());
        assert_eq!(keys.len(), Key::Help as usize + 1, "every key has a row");
    }
}
