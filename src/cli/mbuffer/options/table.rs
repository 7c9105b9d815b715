//! The table: a row an option, in the order of the help.

use super::{Key, Opt};

const fn opt(
    key: Key,
    names: &'static [&'static str],
    value: Option<&'static str>,
    help: &'static str,
    man: &'static str,
) -> Opt {
    Opt { key, names, value, help, man }
}

/// All of them, in the order of the help.
pub const OPTIONS: &[Opt] = &[
    opt(
        Key::Blocks,
        &["-b"],
        Some("num"),
        "use <num> blocks for buffer",
        "The buffer has this many blocks, at least 5. The number may be hexadecimal (0x10) or octal (010). Alone it \
         keeps the default size of a block; with -m the blocks share that memory.",
    ),
    opt(
        Key::BlockSize,
        &["-s"],
        Some("size"),
        "use blocks of <size> bytes for processing",
        "Blocks have this size: data is passed on in whole blocks, and to a tape each write is one. Alone it keeps the \
         default number of blocks.",
    ),
    opt(
        Key::Total,
        &["-m"],
        Some("size"),
        "memory <size> of buffer in b,k,M,G,% ",
        "The whole buffer has this size, in bytes or in percent of the physical memory (below 90). Alone, blocks begin \
         at the size of a page and are doubled until there are at most 1024.",
    ),
    opt(
        Key::Lock,
        &["-L"],
        None,
        "lock buffer in memory (unusable with file-based buffers)",
        "The buffer is locked in memory, also that of -t and -T. Needs the right to (see RLIMIT_MEMLOCK in getrlimit(2)); without it there is \
         a warning, and the run goes on.",
    ),
    opt(
        Key::DeviceBlocks,
        &["-d"],
        None,
        "use blocksize of device for output",
        "Each device is written in its own block size, which must divide the size of a block. Other outputs are not.",
    ),
    opt(
        Key::VolumeSize,
        &["-D"],
        Some("size"),
        "assumed output device size (default: infinite/auto-detect)",
        "A volume of the last -o with a name holds this much, rounded down to whole blocks; then the next one is asked \
         for. Other outputs get everything.",
    ),
    opt(
        Key::StartWriting,
        &["-P"],
        Some("num"),
        "start writing after buffer has been filled more than <num>%",
        "Whenever the buffer has run empty, writing starts again when it is filled to this percentage (above 0, at \
         most 100), or the input ends.",
    ),
    opt(
        Key::StartReading,
        &["-p"],
        Some("num"),
        "start reading after buffer has been filled less than <num>%",
        "Whenever the buffer is full, reading starts again when no more than this percentage is left in it (at least \
         0, below 100).",
    ),
    opt(
        Key::Input,
        &["-i"],
        Some("file"),
        "use <file> for input",
        "Input is this file or device instead of standard input; - is standard input.",
    ),
    opt(
        Key::Output,
        &["-o"],
        Some("file"),
        "use <file> for output (this option can be passed MULTIPLE times)",
        "Output is this file or device instead of standard output; - is standard output. May be given several times. \
         A file that exists is refused without -f or --append; names below /dev are never refused, and never \
         truncated.",
    ),
    opt(
        Key::Append,
        &["--append"],
        None,
        "append to output file (must be passed before -o)",
        "The file of the next -o is continued.",
    ),
    opt(
        Key::Truncate,
        &["--truncate"],
        None,
        "truncate next file (must be passed before -o)",
        "The file of the next -o is emptied when it is opened. It does not allow an existing file: use it with -f.",
    ),
    opt(
        Key::Listen,
        &["-I"],
        Some("[h:]p[@if]"),
        "use network port <p> as input, allow only host <h> to connect, on interface <if>",
        "Input is the first connection to this TCP port; the program waits for it at this place of the command line. \
         With a host, connections from elsewhere are closed and waiting goes on. With an interface, only connections \
         that come in there are taken. An IPv6 address may stand in brackets.",
    ),
    opt(
        Key::Connect,
        &["-O"],
        Some("h:p"),
        "output data to host <h> and port <p> (MULTIPLE outputs supported)",
        "Output is a connection to this host and TCP port, made at this place of the command line. May be given \
         several times, also together with -o.",
    ),
    opt(
        Key::Volumes,
        &["-n"],
        Some("num"),
        "<num> volumes for input, '0' to prompt interactively",
        "The input has this many volumes, joined without a seam. 0: until somebody at the terminal says that it was \
         the last. Needs -i with a name.",
    ),
    opt(
        Key::TempFile,
        &["-t"],
        None,
        "use memory-mapped temporary file (for huge buffer)",
        "The buffer lies in a file in $TMPDIR, or /var/tmp, that has no name.",
    ),
    opt(
        Key::BufferFile,
        &["-T"],
        Some("file"),
        "as -t but uses <file> as buffer",
        "The buffer lies in this file, which must not exist and loses its name at once. A name below /dev is used as \
         it is.",
    ),
    opt(
        Key::LogFile,
        &["-l"],
        Some("file"),
        "use <file> for logging messages",
        "Messages go to this file, which is emptied, instead of standard error. Status and summary go to both.",
    ),
    opt(
        Key::Pause,
        &["-u"],
        Some("num"),
        "pause <num> microseconds after each write",
        "Writing pauses for so many microseconds after each block.",
    ),
    opt(
        Key::ReadRate,
        &["-r"],
        Some("rate"),
        "limit read rate to <rate> B/s, where <rate> can be given in b,k,M,G",
        "Reading is limited to so many bytes a second. Time without input is not saved up.",
    ),
    opt(
        Key::WriteRate,
        &["-R"],
        Some("rate"),
        "same as -r for writing; use either one, if your tape is too fast",
        "Writing is limited to so many bytes a second, at each output.",
    ),
    opt(
        Key::LeastRate,
        &["-M"],
        Some("rate"),
        "minimum rate: -r/-R follow the buffer's fill between -p and -P",
        "The limit of -R rises from this rate to its own as the buffer fills from the percentage of -p to that of -P; \
         the limit of -r falls from its own to this rate. Only with -M may -p and -P be given together; they are then \
         the ends of that range, and nothing waits for them.",
    ),
    opt(
        Key::Overwrite,
        &["-f"],
        None,
        "overwrite existing files (must be passed before -o)",
        "The file of the next -o may exist, and is emptied; symbolic links are followed.",
    ),
    opt(
        Key::AutoloadTime,
        &["-a"],
        Some("time"),
        "autoloader which needs <time> seconds to reload",
        "Volumes are changed by a machine that needs so many seconds after the command of -A. Without -A the command \
         is mt -f DEVICE offline.",
    ),
    opt(
        Key::AutoloadCommand,
        &["-A"],
        Some("cmd"),
        "issue command <cmd> to request new volume",
        "The shell command that brings the next volume. It finds the number of the volume in MBUFFER_VOL, the bytes \
         read and written so far in MBUFFER_NUMIN and MBUFFER_NUMOUT. If it fails, so does the copy; and also if it has \
         brought three volumes, one after the other, on which nothing could be written.",
    ),
    opt(
        Key::Verbose,
        &["-v"],
        Some("level"),
        "set verbose level to <level> (valid values are 0..6)",
        "How much is said: 0 silent (or none), 1 fatal, 2 error, 3 warning (the default), 4 info, 5 debug, 6 io. It \
         counts from the start, wherever it stands.",
    ),
    opt(
        Key::Quiet,
        &["-q"],
        None,
        "quiet - do not display the status on stderr",
        "No status and no summary on standard error.",
    ),
    opt(
        Key::QuietLog,
        &["-Q"],
        None,
        "quiet - do not log the status",
        "No status and no summary in the log file of -l.",
    ),
    opt(
        Key::Sync,
        &["-c"],
        None,
        "write with synchronous data integrity support (must be passed before -o)",
        "Each write to the files of all later -o returns when the data is on stable storage.",
    ),
    opt(
        Key::EndOnError,
        &["-e"],
        None,
        "stop processing on any kind of error",
        "From here on the first error ends the program; otherwise other outputs go on.",
    ),
    opt(
        Key::Pid,
        &["--pid"],
        None,
        "print PID of this instance",
        "Prints the process id, and adds it to every later message.",
    ),
    opt(
        Key::Watchdog,
        &["-W"],
        Some("time"),
        "set watchdog timeout to <time> seconds",
        "Every so many seconds: if no byte was read, or none written, and the other side or an option is not the \
         reason, the program ends with status 1. The clock starts here, so a -W before -I also limits the wait for a \
         connection, which then ends by SIGINT. Changing a volume counts as standing still, the time of -a excepted; -a must not be \
         longer than this, and an -a before -W not much longer than half of it.",
    ),
    opt(Key::Ipv4, &["-4"], None, "force use of IPv4", "Later -I and -O use IPv4."),
    opt(
        Key::Ipv6,
        &["-6"],
        None,
        "force use of IPv6",
        "Later -I and -O use IPv6; a -I then takes connections from IPv4 hosts as well.",
    ),
    opt(Key::AnyIp, &["-0"], None, "use IPv4 or IPv6", "Later -I and -O use what there is."),
    opt(
        Key::NoDirect,
        &["--no-direct"],
        None,
        "omit use of O_DIRECT - e.g. to enable compression on btrfs",
        "Files of -i and -o go through the page cache. Otherwise O_DIRECT is used where the file system has it.",
    ),
    opt(
        Key::TcpBuffer,
        &["--tcpbuffer"],
        Some("size"),
        "size for TCP buffer",
        "The least size of the socket's buffer for later -I and -O; the system's own choice is usually better.",
    ),
    opt(
        Key::TcpTimeout,
        &["--tcptimeo"],
        Some("time"),
        "TCP send/receive time-out limit in msec",
        "For later -I and -O: a peer that gives or takes nothing for so long is gone. A number with us, ms, msec, s, \
         sec, m, min or h; without a unit it is milliseconds. 0 and less mean never; the default is 100 seconds. A \
         peer whose own buffer is full takes nothing until some sixteenth of it is free.",
    ),
    opt(
        Key::TapeAware,
        &["--tapeaware"],
        None,
        "write to end of tape instead of stopping when the drive signals the media end is approaching \
         (write until 2x ENOSPC errors)",
        "A drive's first \"no space left\" only means that the end is near: writing goes on until there are two in a \
         row.",
    ),
    opt(
        Key::Direct,
        &["--direct"],
        None,
        "use direct I/O for temporary file buffer",
        "Taken for mbuffer's sake: a mapped file has no direct I/O.",
    ),
    opt(
        Key::Md5,
        &["-H", "--md5"],
        None,
        "generate md5 hash of transferred data",
        "Prints the MD5 hash of the data at the end, before the summary, also with -q.",
    ),
    opt(
        Key::Hash,
        &["--hash"],
        Some("alg"),
        "use algorithm <alg>, if <alg> is 'list' possible algorithms are listed",
        "Prints a hash by this algorithm; may be given several times. The case does not matter; list prints the \
         names.",
    ),
    opt(
        Key::Progress,
        &["--progress"],
        Some("kind"),
        "'bar' shows a bar on a terminal instead of the status line",
        "lvpipe's own: bar shows a bar on a terminal instead of the status line; plain, the default, is mbuffer's \
         status line.",
    ),
    opt(Key::Version, &["-V", "--version"], None, "print version information", "Prints the version and ends."),
    opt(Key::Help, &["-h", "--help"], None, "print this help", "Prints the options with their defaults and ends."),
];
