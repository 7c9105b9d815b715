//! The manual page lvpipe-buffer(1), and the words for completion: both from the table of options.

use super::config_file::KEYS;
use super::options::{OPTIONS, Opt};

/// The page in roff's man macros.
pub fn page() -> String {
    let mut page = format!(
        ".\\\" Made from the table of options in src/cli/mbuffer; do not edit.\n\
         .TH LVPIPE\\-BUFFER 1 \"\" \"lvpipe {}\" \"User Commands\"\n",
        env!("CARGO_PKG_VERSION")
    );
    page += &PROLOGUE.replace('-', "\\-");
    for opt in OPTIONS {
        page += &option(opt);
    }
    page += &NUMBERS.replace('-', "\\-");
    for (key, value, text) in KEYS {
        page += &format!(".TP\n\\fB{key}\\fR = \\fI{value}\\fR\n{}\n", escape(text));
    }
    page + &EPILOGUE.replace('-', "\\-")
}

/// Every name of an option, with what follows it: `(name, takes a value, description)`.
pub fn completion_words() -> impl Iterator<Item = (&'static str, bool, &'static str)> {
    OPTIONS.iter().flat_map(|opt| opt.names.iter().map(|name| (*name, opt.value.is_some(), opt.help.trim_end())))
}

fn option(opt: &Opt) -> String {
    let names: Vec<String> = opt.names.iter().map(|name| format!("\\fB{}\\fR", escape(name))).collect();
    let value = opt.value.map_or_else(String::new, |value| format!(" \\fI{}\\fR", escape(value)));
    format!(".TP\n{}{value}\n{}\n", names.join(", "), escape(opt.man))
}

fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    // A line that begins with a dot or quote would be a macro.
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

const PROLOGUE: &str = r#".SH NAME
lvpipe-buffer - buffer a stream in memory, in mbuffer's place
.SH SYNOPSIS
.B lvpipe
[\fBbuffer\fR] [\fIoptions\fR]
.br
.B mbuffer
[\fIoptions\fR]
.SH DESCRIPTION
Copies one input to any number of outputs through a buffer in memory, so that a side that stutters does not stop the
other. Input and output are pipes, files, devices with volumes that are changed, or TCP connections; standard input and
standard output if nothing else is given. Options, messages and exit statuses are those of mbuffer R20230301, but for
what is listed under COMING FROM MBUFFER, and a connection's other end may be a real mbuffer.
.PP
This is what
.B lvpipe
does without a subcommand, as
.BR "lvpipe buffer" ,
and under any name that ends in
.BR mbuffer ,
such as a symbolic link. (\fBlvpipe -h\fR and \fBlvpipe -V\fR are lvpipe's own; use \fBlvpipe buffer -h\fR.)
.PP
Data is passed on in whole blocks, the last one excepted; into a pipe, blocks of more than 2 MiB go in pieces of that
size. Memory is used only as the buffer fills.
.SH OPTIONS
A value may be attached to a short option (-s128k) or be the next argument; a long option takes it only as the next
argument. Short options cannot be put together. Of an option given twice the last one counts. \fB-f\fR,
\fB--append\fR and \fB--truncate\fR hold for the next \fB-o\fR only, \fB-c\fR for all later ones, \fB-4\fR,
\fB-6\fR, \fB-0\fR, \fB--tcpbuffer\fR and \fB--tcptimeo\fR for later \fB-I\fR and \fB-O\fR.
"#;

const NUMBERS: &str = r#".SH NUMBERS
Sizes and rates are decimal numbers, fractions allowed, or hexadecimal ones (0x), with b, k, M, G or T after them in
either case, each 1024 times the one before; what follows that letter is ignored. A number without a letter must be
above 100: it is bytes.
.SH STATUS LINE AND SUMMARY
Twice a second a line on standard error shows rates in and out, the total, and how full the buffer is; with -i FILE
also how much of the file is done. With several outputs the rate out is their sum. It begins with a carriage return and
has no end. The summary is the last line. With -P it also tells how often the buffer ran empty, with -p how often it
was full.
.SH SEVERAL OUTPUTS
Each gets every byte. The slowest sets the pace once the buffer is full. One that fails is left out with a message; the
others go on, and the exit status is 1. When the last is gone the run ends at once, unless a hash is still to be made.
That also holds while the input is idle: a connection that was reset, or a pipe or FIFO whose reader went away before it
got all that was read, is noticed within a second. A connection is seen to its end: status 0 means that the peer's
system has every byte.
.SH VOLUMES
At the end of an output's medium, or after -D bytes, and at the end of each of -n input media, the device is closed, the
command of -A is run, and the device is opened again. Without a command the terminal is asked, if standard error is one:
for an output Return goes on, for an input the keys y and n are the answer, without Return. If there is neither a
command nor a terminal, the end of an output's medium is an error, and the first input medium is the only one. Of several
outputs only the last that -o names has volumes. Three media from a command, one after the other, on which nothing could
be written, are an error.
.SH HASHES
The names are those of --hash list. Of libgcrypt's, SHAKE128 and SHAKE256 are left out: they have no length of their
own.
.SH CONFIGURATION FILES
Read in this order, each overriding the one before:
.IR /etc/mbuffer.rc ,
.IR /usr/etc/mbuffer.rc ,
.IR ~/.mbuffer.rc ,
and the file that $MBUFFERRC names. Options override them all, and -m discards their blocksize and numblocks. What is
not understood is ignored with a warning, if verbose in a line before lets it through; for verbose and tcptimeout it is an error, and the exit status 1. A file
that belongs to another user than root or oneself is ignored. A line is \fIkey\fR = \fIvalue\fR; keys in any case, a
colon or blank will do as well, and # begins a comment. Booleans are yes, on, 1, true, and no, off, 0, false.
"#;

const EPILOGUE: &str = r#".SH COMING FROM MBUFFER
Command lines stay as they are: replace the name, or make a symbolic link of it. What is different on purpose:
.IP \(bu 3
SIGINT, SIGHUP and -W end it at once, also where it waits for a slow reader or writer, and -W counts bytes. When the
last output is gone it ends, also while the input is idle.
.IP \(bu
The space for the file of -t and -T is reserved at the start. Messages always go to standard error.
.IP \(bu
Rates are kept below the size of a block, and charged by the byte.
.IP \(bu
--tcptimeo ends only a peer that moves nothing for so long. Standard streams that another process has made non-blocking
are waited for. SIGPIPE is ignored, also when it is sent by hand.
.IP \(bu
With -D and -o - the last output that has a name has volumes, never standard output.
.IP \(bu
What makes mbuffer crash or hang is refused with a message that names the option. The hashes shake128 and shake256 are
left out, --direct does nothing, and the lines of -v 5 and -v 6 are lvpipe's own.
.PP
For volumes there is more than a buffer:
.PP
.nf
    dd if=/dev/vg/vm1 | mbuffer -O host:31337      lvpipe send vg/vm1 ssh://host/vg/vm1
    mbuffer -I 31337 -o /dev/vg/vm1                (starts the receiver there by itself)
    mbuffer -H, --hash sha256                      checked at the other end, part by part
    | zstd | mbuffer ...                           compressed on all processors, as much as helps
.fi
.PP
\fBlvpipe send\fR reads only what is in use, \fBlvpipe recv\fR writes it sparse, over one pipe or several encrypted
connections, and a transfer that ends early can be gone on with.
.SH EXIT STATUS
.TP
.B 0
No error was raised.
.TP
.B 1
An error was raised, shown or not: an output lost, a read that failed, an option refused, SIGINT or SIGHUP, a stall
under -W.
.PP
Other signals have their usual effect. SIGINT and SIGHUP end the program at once, also where it waits for a slow reader
or writer; what was in the buffer is lost, and files stay as they are.
.SH ENVIRONMENT
.TP
.B TMPDIR
Where the file of -t lies, instead of /var/tmp.
.TP
.B MBUFFERRC
One more configuration file.
.TP
.BR MBUFFER_VOL ", " MBUFFER_NUMIN ", " MBUFFER_NUMOUT
Set for the command of -A: the number of the volume asked for, the bytes read, and the bytes written so far.
.SH EXAMPLES
Between a fast and a stuttering process:
.PP
.nf
    tar c . | lvpipe -m 1G -s 128k | zstd > backup.tar.zst
.fi
.PP
Over the network; start the receiver first:
.PP
.nf
    receiver: lvpipe -s 128k -m 1G -I 31337 > backup.tar
    sender:   tar c . | lvpipe -s 128k -m 1G -O receiver:31337
.fi
.PP
On several tapes:
.PP
.nf
    tar c /srv | lvpipe -m 4G -P 80 -A 'mtx next' -o /dev/nst0
.fi
.PP
To two places, with a hash:
.PP
.nf
    tar c . | lvpipe --hash sha256 -o copy.tar -O other:31337
.fi
.SH SEE ALSO
.BR lvpipe (1),
.BR mbuffer (1)
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_option_and_every_key() {
        let page = page();
        for (name, _, _) in completion_words() {
            assert!(page.contains(&format!("\\fB{}\\fR", escape(name))), "{name}");
        }
        for (key, _, _) in KEYS {
            assert!(page.contains(&format!("\\fB{key}\\fR")), "{key}");
        }
    }

    #[test]
    fn no_hyphen_is_left_that_roff_would_turn_into_another_sign() {
        for line in page().lines() {
            assert!(!line.replace("\\-", "").contains('-'), "{line}");
            assert!(!line.contains("\\\\-"), "{line}");
        }
    }
}
